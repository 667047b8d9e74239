//! From variables to a [`Config`]: what each may be, and every fault that can be found.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::shown::{
    ACKS, CAPTURES, FORMATS, INSECURES, LEVELS, LOG_FORMATS, ON_FULLS, SWITCHES, SYNCS, Words, masked_url,
    shown_duration,
};
use super::{
    Ack, AgentProcess, Capture, Config, DATE, Faults, Identity, LogFormat, PricesConfig, PushConfig, PushFormat,
    RetentionConfig, Secret, Surroundings, Sync, TextConfig, VARIABLES,
};
use crate::event::{PicoUsd, Table};
use crate::exchange::percent_decoded;
use crate::price::Prices;

/// Reads and checks all variables.
pub fn read(surroundings: &Surroundings<'_>, defaults: Defaults) -> Result<Config, Faults> {
    let mut read = Reading { from: surroundings, defaults, faults: Vec::new() };
    let config = read.config();
    read.refuse_likely_misspellings();
    match config {
        Some(config) if read.faults.is_empty() => Ok(config),
        _ => Err(Faults(read.faults)),
    }
}

/// A body of less cannot hold the largest row that we store.
const PUSH_BYTES_MIN: u64 = 64 << 10;
const PUSH_BYTES_MAX: u64 = 64 << 20;
/// Less than this and SQLite cannot turn round in the file.
const DB_MB_MIN: u64 = 2;
const DB_MB_MAX: u64 = 1 << 20;
/// A text larger than a native body cannot come.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// PID_MAX_LIMIT of the kernel.
const PID_MAX: u32 = 4_194_304;
/// The kernel keeps 15 bytes of a name; a program's file may have a longer one.
const PROCESS_NAME_BYTES_MAX: usize = 64;
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// What differs between the two that listen, so that both can run on one machine without a word.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    port: u64,
    db_name: &'static str,
}

pub const SIDECAR: Defaults = Defaults { port: 9090, db_name: "openclaw-trace.db" };
pub const RECEIVER: Defaults = Defaults { port: 9095, db_name: "openclaw-receive.db" };

struct Reading<'a> {
    from: &'a Surroundings<'a>,
    defaults: Defaults,
    faults: Vec<String>,
}

impl Reading<'_> {
    /// `None` only when a fault was noted.
    fn config(&mut self) -> Option<Config> {
        let port =
            self.number("TRACE_PORT", self.defaults.port, 0, 65_535, "a port from 1 to 65535, or 0 for any free one");
        let otlp_port = self.otlp_port(port);
        let metrics_bind = self.metrics_bind(port, otlp_port);
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
        let prices = self.prices();
        let budget_day = self.budget_day();
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
        let agent_grace = match self.value("TRACE_AGENT_GRACE") {
            None => None,
            Some(none) if none == "none" => None,
            Some(_) => Some(self.duration("TRACE_AGENT_GRACE", hour, Duration::from_millis(100), hour)),
        };
        let agent_process = self.agent_process();
        let allowed_hosts = self.list("TRACE_ALLOWED_HOSTS").iter().map(|h| h.to_ascii_lowercase()).collect();
        let openclaw_log = self.openclaw_log();
        let log_format = self.word("TRACE_LOG_FORMAT", LogFormat::Logfmt, LOG_FORMATS);
        let identity = Identity {
            hostname: self.hostname(),
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
            prices,
            budget_day,
            drain_timeout,
            drain_linger,
            agent_grace,
            agent_process,
            otlp_port,
            metrics_bind,
            allowed_hosts,
            openclaw_log,
            log_format,
            identity,
        })
    }

    fn prices(&mut self) -> PricesConfig {
        const NAME: &str = "TRACE_PRICES_FILE";
        let from = self.value(NAME).unwrap_or_else(|| "embedded".to_owned());
        let table = match &*from {
            "embedded" => Prices::embedded(),
            "off" => Prices::off(),
            path => match (self.from.read_file)(Path::new(path)) {
                Ok(text) => Prices::extended(&text).unwrap_or_else(|faults| {
                    self.faults.extend(faults.iter().map(|fault| format!("{NAME}: {path}, {fault}")));
                    Prices::off()
                }),
                Err(error) => {
                    let wanted = "expected embedded, off or a file of prices";
                    self.faults.push(format!("{NAME}: {wanted}; cannot read {path}: {error}"));
                    Prices::off()
                }
            },
        };
        PricesConfig { from, table: Arc::new(table) }
    }

    fn budget_day(&mut self) -> Option<PicoUsd> {
        const NAME: &str = "TRACE_BUDGET_DAY_USD";
        let text = self.value(NAME).filter(|value| value != "none")?;
        let budget = PicoUsd::parse_usd(&text).filter(|budget| *budget > PicoUsd(0));
        if budget.is_none() {
            self.faults.push(format!("{NAME}: expected dollars, more than 0 (12.5), or none, got {text:?}"));
        }
        budget
    }

    fn otlp_port(&mut self, port: u64) -> Option<u16> {
        const NAME: &str = "TRACE_OTLP_PORT";
        if self.value(NAME).is_none_or(|value| value == "off") {
            return None;
        }
        let otlp_port = self.number(NAME, 0, 0, 65_535, "off, a port from 1 to 65535, or 0 for any free one");
        if otlp_port == port && port != 0 {
            self.faults.push(format!("{NAME}: expected another port than TRACE_PORT, got {otlp_port} twice"));
        }
        Some(otlp_port as u16)
    }

    fn agent_process(&mut self) -> Option<AgentProcess> {
        const NAME: &str = "TRACE_AGENT_PROCESS";
        let text = self.value(NAME).filter(|text| text != "none")?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let pid = text.parse().ok().filter(|pid| (1..=PID_MAX).contains(pid));
            if pid.is_none() {
                self.faults.push(format!("{NAME}: expected a process id from 1 to {PID_MAX}, got {text:?}"));
            }
            return pid.map(AgentProcess::Pid);
        }
        let is_name = text.len() <= PROCESS_NAME_BYTES_MAX && !text.contains(|c: char| c == '/' || c.is_control());
        if !is_name {
            self.faults.push(format!(
                "{NAME}: expected a process id, or a name of at most {PROCESS_NAME_BYTES_MAX} bytes without a slash (openclaw), got {text:?}"
            ));
        }
        is_name.then_some(AgentProcess::Name(text))
    }

    fn metrics_bind(&mut self, port: u64, otlp_port: Option<u16>) -> Vec<(String, u16)> {
        const NAME: &str = "TRACE_METRICS_BIND";
        let list = self.list(NAME);
        if list == ["off"] {
            return Vec::new();
        }
        let mut places = Vec::new();
        for text in list {
            let Some((host, of_metrics)) = host_and_port(&text) else {
                let wanted = "expected off, or IP addresses and host names with a port ([::]:9091, 127.0.0.1:9091)";
                self.faults.push(format!("{NAME}: {wanted}, got {text:?}"));
                continue;
            };
            let others = [("TRACE_PORT", port), ("TRACE_OTLP_PORT", otlp_port.map_or(0, u64::from))];
            for (other, _) in others.into_iter().filter(|(_, port)| *port != 0 && *port == u64::from(of_metrics)) {
                self.faults.push(format!("{NAME}: expected another port than {other}, got {of_metrics} twice"));
            }
            places.push((host.to_owned(), of_metrics));
        }
        places
    }

    fn openclaw_log(&mut self) -> Option<PathBuf> {
        const NAME: &str = "TRACE_OPENCLAW_LOG";
        let text = self.value(NAME).filter(|text| text != "off")?;
        let path = PathBuf::from(&text);
        let name = path.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        let wanted = if !path.is_absolute() || name.is_empty() {
            Some("off, or the absolute path of a directory or a file".to_owned())
        } else if text.contains(['*', '?', '%']) {
            Some(format!("a path in which {DATE} stands for the date, and nothing else for anything"))
        } else if text.matches(DATE).count() > usize::from(name.contains(DATE) && !text.ends_with('/')) {
            Some(format!("{DATE} once at most, and in the name of the file"))
        } else {
            None
        };
        if let Some(wanted) = wanted {
            self.faults.push(format!("{NAME}: expected {wanted}, got {text:?}"));
        }
        Some(path)
    }

    fn hostname(&self) -> Option<String> {
        let kernel = || (self.from.read_file)(Path::new("/proc/sys/kernel/hostname")).ok();
        let name = self.value("HOSTNAME").or_else(kernel)?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }

    fn bind(&mut self, has_token: bool) -> Vec<String> {
        let bind = match self.list("TRACE_BIND") {
            list if list.is_empty() => vec!["127.0.0.1".to_owned()],
            list => list,
        };
        for address in &bind {
            let known = address.parse::<IpAddr>();
            let loopback = known.as_ref().map_or(is_localhost(address), IpAddr::is_loopback);
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
            return Some(Path::new("/data").join(self.defaults.db_name));
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
        Some(state?.join("openclaw-trace").join(self.defaults.db_name))
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
        let format = self.word("TRACE_PUSH_FORMAT", PushFormat::Json, FORMATS);
        let gzip = self.word("TRACE_PUSH_GZIP", format == PushFormat::Otlp, SWITCHES);
        let insecure = self.word("TRACE_PUSH_INSECURE", false, INSECURES);
        let tables = self.push_tables();
        let headers = self.push_headers();
        let endpoint = self.value("TRACE_PUSH_ENDPOINT")?;
        if let Err(wanted) = check_endpoint(&endpoint, insecure) {
            self.faults.push(format!("TRACE_PUSH_ENDPOINT: expected {wanted}, got {:?}", masked_url(&endpoint)));
        }
        let path = endpoint.split(['?', '#']).next().unwrap_or("").trim_end_matches('/');
        if format == PushFormat::Otlp && ["/v1/traces", "/v1/logs", "/v1/metrics"].iter().any(|end| path.ends_with(end))
        {
            self.faults.push(format!(
                "TRACE_PUSH_ENDPOINT: expected the URL that /v1/traces, /v1/logs and /v1/metrics come after, got {:?}",
                masked_url(&endpoint)
            ));
        }
        let max_bytes = max_bytes as usize;
        Some(PushConfig { endpoint, token, interval, ca_file, max_bytes, format, gzip, tables, headers, insecure })
    }

    fn push_tables(&mut self) -> Vec<Table> {
        const NAME: &str = "TRACE_PUSH_TABLES";
        if self.value(NAME).is_none() {
            return Table::ALL.to_vec();
        }
        let names = self.list(NAME);
        let unknown: Vec<&String> = names.iter().filter(|name| Table::named(name).is_none()).collect();
        if names.is_empty() || !unknown.is_empty() {
            let known: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
            let got = unknown.first().map_or("nothing".to_owned(), |name| format!("{name:?}"));
            self.faults.push(format!("{NAME}: expected some of {}, separated by commas, got {got}", known.join(", ")));
        }
        Table::ALL.into_iter().filter(|table| names.iter().any(|name| name == table.name())).collect()
    }

    /// As OTEL_EXPORTER_OTLP_HEADERS has them.
    fn push_headers(&mut self) -> Vec<(String, Secret)> {
        const NAME: &str = "TRACE_PUSH_HEADERS";
        let Some(text) = self.secret(NAME) else { return Vec::new() };
        let mut headers = Vec::new();
        for (number, pair) in text.reveal().split(',').map(str::trim).filter(|pair| !pair.is_empty()).enumerate() {
            let header = pair.split_once('=').and_then(|(name, value)| {
                let (name, value) = (name.trim(), percent_decoded(value.trim())?.into_owned());
                (is_header_name(name) && is_header_value(&value)).then(|| (name.to_owned(), Secret::new(value)))
            });
            match header {
                // These are the program's own.
                Some((name, _)) if OUR_HEADERS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) => {
                    self.faults.push(format!("{NAME}: expected no {name}, which the push itself sets"));
                }
                Some((name, _)) if name.eq_ignore_ascii_case("authorization") && self.is_set("TRACE_PUSH_TOKEN") => {
                    self.faults.push(format!("{NAME}: expected no {name} beside TRACE_PUSH_TOKEN, which makes one"));
                }
                Some(header) => headers.push(header),
                // What it holds is a secret.
                None => self.faults.push(format!(
                    "{NAME}: expected name=value, separated by commas, each value percent-encoded; the pair number {} is not so",
                    number + 1
                )),
            }
        }
        headers
    }

    fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some() || self.value(&format!("{name}_FILE")).is_some()
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
pub fn parse_duration(text: &str) -> Option<Duration> {
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

/// What is wrong with an endpoint: what would have been right.
pub fn check_endpoint(url: &str, insecure: bool) -> Result<(), &'static str> {
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
    let loopback = address.map_or(is_localhost(host), |a| a.is_loopback());
    match scheme {
        "https" => Ok(()),
        // What a name stands for is seen when it is looked up.
        "http" if loopback || (insecure && address.is_none_or(is_private)) => Ok(()),
        "http" if insecure => Err("an https:// URL: TRACE_PUSH_INSECURE=1 takes plain http to a private address only"),
        "http" => Err(
            "an https:// URL: plain http shows the rows and the token to the network, so it goes to this machine only",
        ),
        _ => Err(wanted),
    }
}

/// Whether an address is of a network that is somebody's own (RFC 1918, 4193, 6598, and what has no router at all).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Headers of a push that are not the user's to set.
const OUR_HEADERS: [&str; 9] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "idempotency-key",
    "x-trace-attempt",
    "user-agent",
];

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_header_value(value: &str) -> bool {
    value.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// Whether this is the one name that always means this machine (RFC 6761, section 6.3). Nobody may be asked for it: where
/// there is no `/etc/hosts`, as in an image with nothing but the program, a DNS server would answer what it likes.
pub fn is_localhost(host: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost")
}

/// `127.0.0.1:9091`, `[::]:9091`, `localhost:9091`: an address of version 6 without its brackets.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| host.parse::<Ipv6Addr>().is_ok())?,
        None => Some(host).filter(|host| host.parse::<Ipv4Addr>().is_ok() || is_host_name(host))?,
    };
    Some((host, port.parse().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit()))?))
}

fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(label)
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
