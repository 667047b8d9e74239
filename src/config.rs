//! The configuration: environment variables, read once, all faults reported at once.
//!
//! [`VARIABLES`] is the one table of them: `--help`, `check`, the README and docs/configuration.md
//! are checked against it.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One variable: what the user may set.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: &'static str,
    /// What it means, in a few words.
    pub meaning: &'static str,
    /// Whether `NAME_FILE` may name a file that holds the value, which is never shown.
    pub secret: bool,
}

const fn variable(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: false }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning, secret: true }
}

/// How many of [`VARIABLES`] the README shows.
pub const VARIABLES_IN_README: usize = 12;

/// Every variable, the most wanted first.
pub const VARIABLES: &[Variable] = &[
    variable("TRACE_PORT", "9090", "port of the listener; 0 takes any free one, and the log says which"),
    variable(
        "TRACE_BIND",
        "127.0.0.1",
        "addresses of the listener, separated by commas; anything but loopback needs TRACE_TOKEN",
    ),
    variable(
        "TRACE_DB_PATH",
        "/data/openclaw-trace.db if /data is a directory, else under $XDG_STATE_HOME or ~/.local/state",
        "the database file",
    ),
    variable(
        "TRACE_PUSH_ENDPOINT",
        "none",
        "where rows are pushed (http or https); without it nothing leaves the machine",
    ),
    secret("TRACE_PUSH_TOKEN", "none", "bearer token for the endpoint"),
    variable("TRACE_PUSH_INTERVAL", "5m", "time between two pushes"),
    variable("TRACE_METRICS_INTERVAL", "15s", "time between two samples of the container, or off"),
    variable(
        "TRACE_RETENTION",
        "7d",
        "how long rows are kept once the remote has them (without an endpoint: once stored)",
    ),
    variable(
        "TRACE_DB_MAX_MB",
        "50",
        "size of the database file at which the oldest rows are removed, in MB of 2^20 bytes",
    ),
    variable(
        "TRACE_DISK_MAX_PERCENT",
        "80",
        "how full the volume may be before rows older than 24 h that the remote has are removed",
    ),
    secret("TRACE_TOKEN", "none", "bearer token that every route but /health asks for"),
    variable("TRACE_LOG", "info", "error, warn, info or debug"),
    variable("TRACE_ACK", "stored", "when a request is acknowledged: stored (after the commit) or queued (before it)"),
    variable(
        "TRACE_SYNC",
        "full",
        "what a commit survives: full (loss of the machine) or normal (loss of the process)",
    ),
    variable(
        "TRACE_CAPTURE_TEXT",
        "native",
        "whose prompts and completions are kept: native (posted on purpose), all (also what OTel clients attach) or off",
    ),
    variable("TRACE_MAX_TEXT_BYTES", "4096", "where a text is cut"),
    variable(
        "TRACE_PUSH_CA_FILE",
        "none",
        "PEM file of the certificate authorities to trust instead of the compiled-in ones",
    ),
    variable("TRACE_PUSH_MAX_BYTES", "5MB", "size of one push"),
    variable("TRACE_METRICS_RETENTION", "48h", "as TRACE_RETENTION, for samples of the container"),
    variable(
        "TRACE_ON_FULL",
        "refuse",
        "when only rows are left that the remote does not have: refuse new ones, or drop-oldest",
    ),
    variable("TRACE_DRAIN_TIMEOUT", "10s", "how long stopping may take"),
    variable("TRACE_DRAIN_LINGER", "0s", "how long requests are still taken after the signal to stop"),
    variable(
        "TRACE_ALLOWED_HOSTS",
        "none",
        "names, separated by commas, that a Host header may have besides localhost and IP addresses",
    ),
    variable("TRACE_LOG_FORMAT", "logfmt", "logfmt or json"),
];

/// What the program runs with. Every value is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Port of the listener; 0 = any free one.
    pub port: u16,
    /// Addresses or host names of the listener.
    pub bind: Vec<String>,
    /// The database file.
    pub db_path: PathBuf,
    /// Where rows are pushed, if anywhere.
    pub push: Option<PushConfig>,
    /// Time between two samples; `None` = no samples.
    pub metrics_interval: Option<Duration>,
    /// What is kept.
    pub retention: RetentionConfig,
    /// Bearer token that clients must send, if any.
    pub token: Option<Secret>,
    /// Highest level that is logged.
    pub log: log::LevelFilter,
    /// When a request is acknowledged.
    pub ack: Ack,
    /// What a commit survives.
    pub sync: Sync,
    /// What becomes of prompts and completions.
    pub text: TextConfig,
    /// How long stopping may take.
    pub drain_timeout: Duration,
    /// How long requests are still taken after the signal.
    pub drain_linger: Duration,
    /// Names that a Host header may have.
    pub allowed_hosts: Vec<String>,
    /// How a log line looks.
    pub log_format: LogFormat,
    /// Who we are, for the push.
    pub identity: Identity,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq)]
pub struct PushConfig {
    /// http or https URL without user info.
    pub endpoint: String,
    /// Bearer token.
    pub token: Option<Secret>,
    /// Time between two pushes.
    pub interval: Duration,
    /// PEM file of the authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// The most bytes in one body.
    pub max_bytes: usize,
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Rows of traces, events and errors.
    pub events: Duration,
    /// Samples of the container.
    pub metrics: Duration,
    /// Size of the file.
    pub db_max_bytes: u64,
    /// How full the volume may be, in percent.
    pub disk_max_percent: u8,
    /// Whether rows that the remote does not have may be removed to make room.
    pub drop_oldest: bool,
}

/// When a request is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// After the commit.
    Stored,
    /// Once queued.
    Queued,
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// The death of the machine.
    Full,
    /// The death of the process.
    Normal,
}

/// Whose prompts and completions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// What a producer posts on purpose.
    Native,
    /// Also what OTel clients attach.
    All,
    /// None.
    Off,
}

/// What becomes of prompts and completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextConfig {
    /// Whose are kept.
    pub capture: Capture,
    /// Where they are cut, in bytes.
    pub max_bytes: usize,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value`
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Who we are: what Fly.io and the kernel call this machine. `None` = not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Name of the host.
    pub hostname: Option<String>,
    /// FLY_APP_NAME
    pub fly_app_name: Option<String>,
    /// FLY_MACHINE_ID
    pub fly_machine_id: Option<String>,
    /// FLY_REGION
    pub fly_region: Option<String>,
    /// FLY_IMAGE_REF
    pub fly_image_ref: Option<String>,
    /// FLY_PROCESS_GROUP
    pub fly_process_group: Option<String>,
}

/// A value that no log, error or answer ever shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `value` from view.
    pub fn new(value: String) -> Secret {
        Secret(value)
    }

    /// The value itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

const MASK: &str = "(set, not shown)";

/// What the configuration is read from: the environment, and two questions to the file system.
pub struct Surroundings<'a> {
    /// The environment.
    pub vars: HashMap<String, String>,
    /// Reads a file whole.
    pub read_file: &'a dyn Fn(&Path) -> std::io::Result<String>,
    /// Whether there is such a directory.
    pub is_dir: &'a dyn Fn(&Path) -> bool,
}

/// Everything that is wrong with the configuration: one line each, none empty.
#[derive(Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl Config {
    /// Reads and checks all variables.
    ///
    /// # Errors
    /// Every fault there is, not only the first.
    pub fn from_vars(surroundings: &Surroundings<'_>) -> Result<Config, Faults> {
        let mut read = Reading { from: surroundings, faults: Vec::new() };
        let config = read.config();
        read.refuse_likely_misspellings();
        match config {
            Some(config) if read.faults.is_empty() => Ok(config),
            _ => Err(Faults(read.faults)),
        }
    }

    /// The effective value of each variable, in the order of [`VARIABLES`], secrets masked.
    pub fn effective(&self) -> Vec<(&'static str, String)> {
        VARIABLES.iter().map(|v| (v.name, self.shown(v.name))).collect()
    }

    fn shown(&self, name: &str) -> String {
        let push = self.push.as_ref();
        let none = || "none".to_owned();
        match name {
            "TRACE_PORT" => self.port.to_string(),
            "TRACE_BIND" => self.bind.join(","),
            "TRACE_DB_PATH" => self.db_path.display().to_string(),
            "TRACE_PUSH_ENDPOINT" => push.map_or_else(none, |p| masked_url(&p.endpoint)),
            "TRACE_PUSH_TOKEN" => shown_secret(push.and_then(|p| p.token.as_ref())),
            "TRACE_PUSH_INTERVAL" => push.map_or_else(none, |p| shown_duration(p.interval)),
            "TRACE_METRICS_INTERVAL" => self.metrics_interval.map_or("off".to_owned(), shown_duration),
            "TRACE_RETENTION" => shown_duration(self.retention.events),
            "TRACE_DB_MAX_MB" => (self.retention.db_max_bytes >> 20).to_string(),
            "TRACE_DISK_MAX_PERCENT" => self.retention.disk_max_percent.to_string(),
            "TRACE_TOKEN" => shown_secret(self.token.as_ref()),
            "TRACE_LOG" => self.log.to_string().to_ascii_lowercase(),
            "TRACE_ACK" => word_of(ACKS, self.ack),
            "TRACE_SYNC" => word_of(SYNCS, self.sync),
            "TRACE_CAPTURE_TEXT" => word_of(CAPTURES, self.text.capture),
            "TRACE_MAX_TEXT_BYTES" => self.text.max_bytes.to_string(),
            "TRACE_PUSH_CA_FILE" => {
                push.and_then(|p| p.ca_file.as_ref()).map_or_else(none, |p| p.display().to_string())
            }
            "TRACE_PUSH_MAX_BYTES" => push.map_or_else(none, |p| p.max_bytes.to_string()),
            "TRACE_METRICS_RETENTION" => shown_duration(self.retention.metrics),
            "TRACE_ON_FULL" => word_of(ON_FULLS, self.retention.drop_oldest),
            "TRACE_DRAIN_TIMEOUT" => shown_duration(self.drain_timeout),
            "TRACE_DRAIN_LINGER" => shown_duration(self.drain_linger),
            "TRACE_ALLOWED_HOSTS" if self.allowed_hosts.is_empty() => none(),
            "TRACE_ALLOWED_HOSTS" => self.allowed_hosts.join(","),
            "TRACE_LOG_FORMAT" => word_of(LOG_FORMATS, self.log_format),
            _ => unreachable!("every variable of the table has its line here: a test walks them"),
        }
    }
}

/// The words of a variable, and what each stands for.
type Words<T> = &'static [(&'static str, T)];

const ACKS: Words<Ack> = &[("stored", Ack::Stored), ("queued", Ack::Queued)];
const SYNCS: Words<Sync> = &[("full", Sync::Full), ("normal", Sync::Normal)];
const CAPTURES: Words<Capture> = &[("native", Capture::Native), ("all", Capture::All), ("off", Capture::Off)];
const ON_FULLS: Words<bool> = &[("refuse", false), ("drop-oldest", true)];
const LOG_FORMATS: Words<LogFormat> = &[("logfmt", LogFormat::Logfmt), ("json", LogFormat::Json)];
const LEVELS: Words<log::LevelFilter> = &[
    ("error", log::LevelFilter::Error),
    ("warn", log::LevelFilter::Warn),
    ("info", log::LevelFilter::Info),
    ("debug", log::LevelFilter::Debug),
];

/// A body of less cannot hold the largest row that we store.
const PUSH_BYTES_MIN: u64 = 64 << 10;
const PUSH_BYTES_MAX: u64 = 64 << 20;
/// Less than this and SQLite cannot turn round in the file.
const DB_MB_MIN: u64 = 2;
const DB_MB_MAX: u64 = 1 << 20;
/// A text larger than a native body cannot come.
const TEXT_BYTES_MAX: u64 = 1 << 20;
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

struct Reading<'a> {
    from: &'a Surroundings<'a>,
    faults: Vec<String>,
}

impl Reading<'_> {
    /// `None` only when a fault was noted.
    fn config(&mut self) -> Option<Config> {
        let port = self.number("TRACE_PORT", 9090, 0, 65_535, "a port from 1 to 65535, or 0 for any free one");
        let token = self.secret("TRACE_TOKEN");
        let bind = self.bind(token.is_some());
        let db_path = self.db_path();
        let push = self.push();
        let metrics_interval = match self.value("TRACE_METRICS_INTERVAL") {
            Some(off) if off == "off" => None,
            _ => Some(self.duration("TRACE_METRICS_INTERVAL", Duration::from_secs(15), Duration::from_secs(1), YEAR)),
        };
        let retention = self.retention();
        let log = self.word("TRACE_LOG", log::LevelFilter::Info, LEVELS);
        let ack = self.word("TRACE_ACK", Ack::Stored, ACKS);
        let sync = self.word("TRACE_SYNC", Sync::Full, SYNCS);
        let text = TextConfig {
            capture: self.word("TRACE_CAPTURE_TEXT", Capture::Native, CAPTURES),
            max_bytes: self.number(
                "TRACE_MAX_TEXT_BYTES",
                4096,
                0,
                TEXT_BYTES_MAX,
                "a number of bytes from 0 to 1048576",
            ) as usize,
        };
        let hour = Duration::from_secs(3600);
        let drain_timeout =
            self.duration("TRACE_DRAIN_TIMEOUT", Duration::from_secs(10), Duration::from_millis(100), hour);
        let drain_linger = self.duration("TRACE_DRAIN_LINGER", Duration::ZERO, Duration::ZERO, hour);
        if drain_linger >= drain_timeout {
            self.faults.push(format!(
                "TRACE_DRAIN_LINGER: expected less than TRACE_DRAIN_TIMEOUT ({}), got {}",
                shown_duration(drain_timeout),
                shown_duration(drain_linger)
            ));
        }
        let allowed_hosts = self.list("TRACE_ALLOWED_HOSTS").iter().map(|h| h.to_ascii_lowercase()).collect();
        let log_format = self.word("TRACE_LOG_FORMAT", LogFormat::Logfmt, LOG_FORMATS);
        let identity = Identity {
            hostname: self.value("HOSTNAME"),
            fly_app_name: self.value("FLY_APP_NAME"),
            fly_machine_id: self.value("FLY_MACHINE_ID"),
            fly_region: self.value("FLY_REGION"),
            fly_image_ref: self.value("FLY_IMAGE_REF"),
            fly_process_group: self.value("FLY_PROCESS_GROUP"),
        };
        Some(Config {
            port: port as u16,
            bind,
            db_path: db_path?,
            push,
            metrics_interval,
            retention,
            token,
            log,
            ack,
            sync,
            text,
            drain_timeout,
            drain_linger,
            allowed_hosts,
            log_format,
            identity,
        })
    }

    fn bind(&mut self, has_token: bool) -> Vec<String> {
        let bind = match self.list("TRACE_BIND") {
            list if list.is_empty() => vec!["127.0.0.1".to_owned()],
            list => list,
        };
        for address in &bind {
            let known = address.parse::<IpAddr>();
            let loopback = known.as_ref().map_or(address == "localhost", IpAddr::is_loopback);
            if known.is_err() && !is_host_name(address) {
                self.faults
                    .push(format!("TRACE_BIND: expected IP addresses or host names without a port, got {address:?}"));
            } else if !loopback && !has_token {
                self.faults.push(format!(
                    "TRACE_BIND: {address} can be reached from other machines: set TRACE_TOKEN, or bind 127.0.0.1"
                ));
            }
        }
        bind
    }

    fn db_path(&mut self) -> Option<PathBuf> {
        if let Some(path) = self.value("TRACE_DB_PATH") {
            if path.ends_with('/') || (self.from.is_dir)(Path::new(&path)) {
                self.faults.push(format!("TRACE_DB_PATH: expected a file, got the directory {path:?}"));
            }
            return Some(PathBuf::from(path));
        }
        if (self.from.is_dir)(Path::new("/data")) {
            return Some(PathBuf::from("/data/openclaw-trace.db"));
        }
        let state = self.value("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let state = state.or_else(|| self.value("HOME").map(|home| Path::new(&home).join(".local/state")));
        if state.is_none() {
            self.faults.push(
                "TRACE_DB_PATH: expected a file to store in: there is no directory /data, and neither \
                 XDG_STATE_HOME nor HOME is set"
                    .to_owned(),
            );
        }
        Some(state?.join("openclaw-trace/openclaw-trace.db"))
    }

    fn push(&mut self) -> Option<PushConfig> {
        let token = self.secret("TRACE_PUSH_TOKEN");
        let interval = self.duration(
            "TRACE_PUSH_INTERVAL",
            Duration::from_secs(300),
            Duration::from_secs(1),
            Duration::from_secs(86_400),
        );
        let max_bytes = self.bytes("TRACE_PUSH_MAX_BYTES", 5_000_000, PUSH_BYTES_MIN, PUSH_BYTES_MAX);
        let ca_file = self.value("TRACE_PUSH_CA_FILE").map(PathBuf::from);
        if let Some(path) = &ca_file {
            match (self.from.read_file)(path) {
                Err(error) => self.faults.push(format!("TRACE_PUSH_CA_FILE: cannot read {}: {error}", path.display())),
                Ok(text) if !text.contains("-----BEGIN CERTIFICATE-----") => self.faults.push(format!(
                    "TRACE_PUSH_CA_FILE: expected a PEM file with at least one certificate, found none in {}",
                    path.display()
                )),
                Ok(_) => {}
            }
        }
        let endpoint = self.value("TRACE_PUSH_ENDPOINT")?;
        if let Err(wanted) = check_endpoint(&endpoint) {
            self.faults.push(format!("TRACE_PUSH_ENDPOINT: expected {wanted}, got {:?}", masked_url(&endpoint)));
        }
        Some(PushConfig { endpoint, token, interval, ca_file, max_bytes: max_bytes as usize })
    }

    fn retention(&mut self) -> RetentionConfig {
        let day = Duration::from_secs(86_400);
        let hour = Duration::from_secs(3600);
        RetentionConfig {
            events: self.duration("TRACE_RETENTION", 7 * day, hour, 10 * YEAR),
            metrics: self.duration("TRACE_METRICS_RETENTION", 2 * day, hour, 10 * YEAR),
            db_max_bytes: self.number("TRACE_DB_MAX_MB", 50, DB_MB_MIN, DB_MB_MAX, "a number of MB from 2 to 1048576")
                << 20,
            disk_max_percent: self.number("TRACE_DISK_MAX_PERCENT", 80, 1, 100, "a percentage from 1 to 100") as u8,
            drop_oldest: self.word("TRACE_ON_FULL", false, ON_FULLS),
        }
    }

    /// The value of a variable; set but empty is as good as not set.
    fn value(&self, name: &str) -> Option<String> {
        self.from.vars.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn secret(&mut self, name: &str) -> Option<Secret> {
        let file_name = format!("{name}_FILE");
        let value = match (self.value(name), self.value(&file_name)) {
            (Some(_), Some(_)) => {
                self.faults.push(format!("{file_name}: expected only one of {name} and {file_name}, both are set"));
                None
            }
            (value, None) => value,
            (None, Some(path)) => match (self.from.read_file)(Path::new(&path)) {
                Ok(text) if text.trim().is_empty() => {
                    self.faults.push(format!("{file_name}: expected a value in {path:?}, the file is empty"));
                    None
                }
                Ok(text) => Some(text.trim().to_owned()),
                Err(error) => {
                    self.faults.push(format!("{file_name}: cannot read {path:?}: {error}"));
                    None
                }
            },
        }?;
        if !value.bytes().all(|b| b.is_ascii_graphic()) {
            self.faults.push(format!("{name}: expected printable ASCII without spaces, as a header can carry it"));
        }
        Some(Secret(value))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let value = self.value(name).unwrap_or_default();
        value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn number(&mut self, name: &str, default: u64, min: u64, max: u64, wanted: &str) -> u64 {
        let Some(text) = self.value(name) else { return default };
        match text.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) && text.bytes().all(|b| b.is_ascii_digit()) => number,
            _ => {
                self.faults.push(format!("{name}: expected {wanted}, got {text:?}"));
                default
            }
        }
    }

    fn bytes(&mut self, name: &str, default: u64, min: u64, max: u64) -> u64 {
        let Some(text) = self.value(name) else { return default };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match text[digits..].trim() {
            "" | "B" => Some(1),
            "kB" | "KB" => Some(1000),
            "KiB" => Some(1 << 10),
            "MB" => Some(1_000_000),
            "MiB" => Some(1 << 20),
            _ => None,
        };
        let bytes = unit.and_then(|unit| text[..digits].parse::<u64>().ok()?.checked_mul(unit));
        match bytes {
            Some(bytes) if (min..=max).contains(&bytes) => bytes,
            _ => {
                self.faults
                    .push(format!("{name}: expected a size from {min} to {max} bytes (5MB, 512KiB), got {text:?}"));
                default
            }
        }
    }

    fn duration(&mut self, name: &str, default: Duration, min: Duration, max: Duration) -> Duration {
        let Some(text) = self.value(name) else { return default };
        match parse_duration(&text) {
            Some(duration) if (min..=max).contains(&duration) => duration,
            _ => {
                self.faults.push(format!(
                    "{name}: expected a duration with its unit (ms, s, m, h, d) from {} to {}, got {text:?}",
                    shown_duration(min),
                    shown_duration(max)
                ));
                default
            }
        }
    }

    fn word<T: Copy>(&mut self, name: &str, default: T, words: Words<T>) -> T {
        let Some(text) = self.value(name) else { return default };
        match words.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)) {
            Some((_, value)) => *value,
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                self.faults.push(format!("{name}: expected {}, got {text:?}", known.join(" or ")));
                default
            }
        }
    }

    /// A variable that is nearly one of ours is ours misspelt; any other is somebody else's.
    fn refuse_likely_misspellings(&mut self) {
        let mut names: Vec<&String> = self.from.vars.keys().filter(|name| name.starts_with(PREFIX)).collect();
        names.sort();
        for name in names {
            let known = known_names();
            if known.contains(name) {
                continue;
            }
            let near = known
                .iter()
                .map(|ours| (letters_apart(&name[PREFIX.len()..], &ours[PREFIX.len()..]), ours))
                .min_by_key(|(apart, _)| *apart);
            // Of a very short name two letters are nearly all of it: TRACE_ID is no TRACE_BIND.
            let limit = if name.len() - PREFIX.len() >= 4 { 2 } else { 1 };
            if let Some((apart, ours)) = near
                && apart <= limit
            {
                self.faults.push(format!("{name}: there is no such variable; did you mean {ours}?"));
            }
        }
    }
}

const PREFIX: &str = "TRACE_";

fn known_names() -> Vec<String> {
    let files = VARIABLES.iter().filter(|v| v.secret).map(|v| format!("{}_FILE", v.name));
    VARIABLES.iter().map(|v| v.name.to_owned()).chain(files).collect()
}

/// Reads `90s`, `1h30m`, `500ms`: whole numbers, each with its unit.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
    }
    (!text.is_empty()).then_some(total)
}

/// A duration as the user would write it.
pub fn shown_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, unit_ms, least_ms) in
        [("d", 86_400_000, 3 * 86_400_000), ("h", 3_600_000, 0), ("m", 60_000, 0), ("s", 1000, 0)]
    {
        if ms >= least_ms.max(unit_ms) && ms % unit_ms == 0 {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") }
}

fn shown_secret(secret: Option<&Secret>) -> String {
    secret.map_or("none", |_| MASK).to_owned()
}

fn word_of<T: PartialEq>(words: Words<T>, value: T) -> String {
    words.iter().find(|(_, v)| *v == value).map_or("", |(word, _)| word).to_owned()
}

/// What is wrong with an endpoint: what would have been right.
fn check_endpoint(url: &str) -> Result<(), &'static str> {
    let wanted = "an http:// or https:// URL";
    if !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wanted);
    }
    let (scheme, rest) = url.split_once("://").ok_or(wanted)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return Err("a URL without a user name or password (TRACE_PUSH_TOKEN is the place for a secret)");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port.parse::<u16>().ok().filter(|p| *p != 0)),
        _ => (authority, Some(1)),
    };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let address = bracketed.unwrap_or(host).parse::<IpAddr>().ok();
    let host_ok = if bracketed.is_some() { address.is_some() } else { address.is_some() || is_host_name(host) };
    if !host_ok || port.is_none() {
        return Err("a URL with a host and, if any, a port from 1 to 65535");
    }
    let loopback = address.map_or(host == "localhost", |a| a.is_loopback());
    match scheme {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        "http" => Err(
            "an https:// URL: plain http shows the rows and the token to the network, so it goes to this machine only",
        ),
        _ => Err(wanted),
    }
}

fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(label)
}

/// A URL whose query, where people put tokens, is not shown.
pub fn masked_url(url: &str) -> String {
    let shown = match url.split_once('?') {
        Some((before, _)) => format!("{before}?(not shown)"),
        None => url.to_owned(),
    };
    match (shown.find("://"), shown.find('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}(not shown){}", &shown[..scheme + 3], &shown[at..]),
        _ => shown,
    }
}

/// Edits between two names: a letter put in, left out or changed, or two neighbours swapped.
fn letters_apart(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Config, Faults> {
        let no_file = |path: &Path| match path.to_str() {
            Some("/run/token") => Ok("  s3cret\n".to_owned()),
            Some("/run/empty") => Ok("\n".to_owned()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        };
        let is_dir = |path: &Path| path == Path::new("/data") || path == Path::new("/tmp");
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::from_vars(&Surroundings { vars, read_file: &no_file, is_dir: &is_dir })
    }

    fn faults(vars: &[(&str, &str)]) -> Vec<String> {
        read(vars).unwrap_err().0
    }

    #[test]
    fn nothing_set_gives_the_defaults_that_the_table_names() {
        let config = read(&[]).unwrap();
        for (variable, (name, value)) in VARIABLES.iter().zip(config.effective()) {
            assert_eq!(variable.name, name);
            let without_push = name.starts_with("TRACE_PUSH_");
            let shown = match variable.default {
                _ if without_push => "none".to_owned(),
                path if name == "TRACE_DB_PATH" => path.split(' ').next().unwrap().to_owned(),
                default => default.to_owned(),
            };
            assert_eq!(value, shown, "{name}");
        }
        let push = read(&[("TRACE_PUSH_ENDPOINT", "https://example.test/in")]).unwrap().push.unwrap();
        assert_eq!((push.interval, push.max_bytes), (Duration::from_secs(300), 5_000_000));
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let faults = faults(&[
            ("TRACE_PORT", "90900"),
            ("TRACE_ACK", "soon"),
            ("TRACE_RETENTION", "7"),
            ("TRACE_PUSH_ENDPOINT", "ftp://x?token=hush"),
            ("TRACE_PROT", "1"),
            ("TRACE_DB_MAX_MB", "-3"),
        ]);
        assert_eq!(faults.len(), 6, "{faults:#?}");
        assert!(
            faults
                .iter()
                .any(|f| f == "TRACE_PORT: expected a port from 1 to 65535, or 0 for any free one, got \"90900\"")
        );
        assert!(faults.iter().any(|f| f.contains("did you mean TRACE_PORT")));
        assert!(!faults.iter().any(|f| f.contains("hush")), "{faults:#?}");
    }

    #[test]
    fn other_peoples_variables_are_left_alone() {
        assert!(read(&[("TRACE_ID", "x"), ("TRACE_ENDPOINT_URL", "y"), ("TRACEPARENT", "z"), ("TRACE_", "")]).is_ok());
        for near in ["TRACE_PROT", "TRACE_LOGS", "TRACE_TOKNE", "TRACE_PUSH_ENDPONT", "TRACE_PUSH_TOKEN_FIL"] {
            assert_eq!(faults(&[(near, "x")]).len(), 1, "{near}");
        }
    }

    #[test]
    fn an_open_bind_needs_a_token() {
        assert!(read(&[("TRACE_BIND", "127.0.0.1, ::1, localhost")]).is_ok());
        assert!(faults(&[("TRACE_BIND", "127.0.0.1,0.0.0.0")])[0].contains("set TRACE_TOKEN"));
        assert!(faults(&[("TRACE_BIND", "fly-local-6pn")])[0].contains("set TRACE_TOKEN"));
        assert!(read(&[("TRACE_BIND", "fly-local-6pn,0.0.0.0"), ("TRACE_TOKEN", "t")]).is_ok());
        assert!(faults(&[("TRACE_BIND", "127.0.0.1:9090")])[0].contains("without a port"));
    }

    #[test]
    fn secrets_come_from_files_too_and_are_never_shown() {
        let config = read(&[("TRACE_TOKEN_FILE", "/run/token"), ("TRACE_PUSH_TOKEN", "hush")]).unwrap();
        assert_eq!(config.token.as_ref().unwrap().reveal(), "s3cret");
        let shown = format!("{config:?} {:?}", config.effective());
        assert!(!shown.contains("s3cret") && !shown.contains("hush"), "{shown}");
        assert!(faults(&[("TRACE_TOKEN_FILE", "/run/token"), ("TRACE_TOKEN", "x")])[0].contains("only one of"));
        assert!(faults(&[("TRACE_TOKEN_FILE", "/run/empty")])[0].contains("empty"));
        assert!(faults(&[("TRACE_TOKEN_FILE", "/run/none")])[0].contains("cannot read"));
        assert!(faults(&[("TRACE_TOKEN", "two words")])[0].contains("without spaces"));
    }

    #[test]
    fn a_duration_needs_its_unit() {
        for (text, ms) in [("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250), ("0s", 0), ("7d", 604_800_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "m", "5 m", "-5s", "1.5h", "5y", "5s3", "99999999999999999999s", "9999999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_a_url_that_keeps_secrets() {
        for good in [
            "https://a.test/x?y=1",
            "http://127.0.0.1:8080/",
            "http://[::1]:1/in",
            "http://localhost/x",
            "https://[fdaa::3]/",
        ] {
            assert_eq!(check_endpoint(good), Ok(()), "{good}");
        }
        for bad in [
            "a.test",
            "http://a.test/",
            "https://",
            "https://u:p@a.test/",
            "https://a.test:0/",
            "https://a.test:99999/",
            "https://a b/",
            "ftp://a.test/",
            "https://[zz]/",
        ] {
            assert!(check_endpoint(bad).is_err(), "{bad}");
        }
        assert_eq!(masked_url("https://u:p@a.test/x?token=1"), "https://(not shown)@a.test/x?(not shown)");
    }

    #[test]
    fn the_file_goes_to_data_or_to_the_users_state() {
        let at = |vars: &[(&str, &str)], data: bool| {
            let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let is_dir = move |path: &Path| data && path == Path::new("/data");
            let read_file = |_: &Path| Ok(String::new());
            Config::from_vars(&Surroundings { vars, read_file: &read_file, is_dir: &is_dir }).map(|c| c.db_path)
        };
        assert_eq!(at(&[], true), Ok("/data/openclaw-trace.db".into()));
        assert_eq!(at(&[("XDG_STATE_HOME", "/s")], false), Ok("/s/openclaw-trace/openclaw-trace.db".into()));
        assert_eq!(at(&[("HOME", "/h")], false), Ok("/h/.local/state/openclaw-trace/openclaw-trace.db".into()));
        assert!(at(&[], false).is_err());
        assert!(faults(&[("TRACE_DB_PATH", "/tmp")])[0].contains("directory"));
    }
}
