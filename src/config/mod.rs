//! The configuration: environment variables, read once, all faults reported at once.
//!
//! [`VARIABLES`] is the one table of them: `--help`, `check`, the README and docs/configuration.md
//! are checked against it.

mod reading;
mod shown;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{PicoUsd, Table};
use crate::price::Prices;

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
        "where rows are pushed: an https URL, or http on this machine; without it nothing leaves the machine",
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
    variable("TRACE_PUSH_MAX_BYTES", "5MB", "size of one push, before it is compressed"),
    variable(
        "TRACE_PUSH_FORMAT",
        "json",
        "what the endpoint takes: json (the contract in docs/wire.md), otlp (OTLP/HTTP) or clickhouse",
    ),
    variable("TRACE_PUSH_GZIP", "off, with otlp on", "whether pushes are compressed: on or off"),
    variable(
        "TRACE_PUSH_TABLES",
        "llm_traces,error_events,custom_events,system_metrics",
        "which tables are pushed, separated by commas; the rows of others count as if the remote had them",
    ),
    secret("TRACE_PUSH_HEADERS", "none", "further headers of a push: name=value, separated by commas, percent-encoded"),
    variable(
        "TRACE_PUSH_INSECURE",
        "0",
        "1 takes plain http to a private address too: rows and token can be read on that network",
    ),
    variable(
        "TRACE_PRICES_FILE",
        "embedded",
        "what calls cost that come without a cost: embedded (the table that is compiled in), a file of prices before it or in its place, or off",
    ),
    variable(
        "TRACE_BUDGET_DAY_USD",
        "none",
        "dollars that the calls of a day (UTC) may cost; told when they cost more, and nothing is refused",
    ),
    variable("TRACE_METRICS_RETENTION", "48h", "as TRACE_RETENTION, for samples of the container"),
    variable(
        "TRACE_ON_FULL",
        "refuse",
        "when only rows are left that the remote does not have: refuse new ones, or drop-oldest",
    ),
    variable("TRACE_DRAIN_TIMEOUT", "10s", "how long stopping may take"),
    variable("TRACE_DRAIN_LINGER", "0s", "how long requests are still taken after the signal to stop"),
    variable(
        "TRACE_AGENT_GRACE",
        "none",
        "under run: how long the agent may take to stop before it is killed; none: as long as it likes",
    ),
    variable(
        "TRACE_AGENT_PROCESS",
        "none",
        "whose process and cgroup are the agent's: a process id or a name; none: the child of run, else nobody's",
    ),
    variable(
        "TRACE_OTLP_PORT",
        "off",
        "second port, for OTLP alone: 4318 is where exporters send to that are not told where; 0 takes any free one",
    ),
    variable(
        "TRACE_METRICS_BIND",
        "off",
        "addresses with their ports, separated by commas, for /metrics and /health alone, without a token: [::]:9091 for Fly.io's scraper; or off",
    ),
    variable(
        "TRACE_ALLOWED_HOSTS",
        "none",
        "names, separated by commas, that a Host header may have besides localhost and IP addresses",
    ),
    variable(
        "TRACE_OPENCLAW_LOG",
        "off",
        "log of OpenClaw's gateway to follow: its directory, or a file with YYYY-MM-DD where the date stands; or off",
    ),
    variable("TRACE_LOG_FORMAT", "logfmt", "logfmt or json"),
];

/// What stands for the date in the name of a log file that gets a new name every day.
pub const DATE: &str = "YYYY-MM-DD";

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
    /// What calls cost.
    pub prices: PricesConfig,
    /// What the calls of a day may cost; more than 0.
    pub budget_day: Option<PicoUsd>,
    /// How long stopping may take.
    pub drain_timeout: Duration,
    /// How long requests are still taken after the signal.
    pub drain_linger: Duration,
    /// How long the agent under `run` may take to stop; `None` = as long as it likes.
    pub agent_grace: Option<Duration>,
    /// Which process is the agent; `None` = the child of `run`, if there is one.
    pub agent_process: Option<AgentProcess>,
    /// Port of the listener that is OTLP's alone, if there is one; 0 = any free one.
    pub otlp_port: Option<u16>,
    /// Hosts and ports of the listener that is for scrapers; none = there is none. Port 0 = any free one.
    pub metrics_bind: Vec<(String, u16)>,
    /// Names that a Host header may have.
    pub allowed_hosts: Vec<String>,
    /// The gateway's log that is followed, if one is: a directory, or a file, in whose name [`DATE`] may stand.
    pub openclaw_log: Option<PathBuf>,
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
    /// The most bytes in one body, before it is compressed.
    pub max_bytes: usize,
    /// What kind of remote it is.
    pub format: PushFormat,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Which tables it gets, in the order of [`Table::ALL`].
    pub tables: Vec<Table>,
    /// Headers that every request has besides ours.
    pub headers: Vec<(String, Secret)>,
    /// Whether plain http is taken to a private address.
    pub insecure: bool,
}

/// What kind of remote rows are pushed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushFormat {
    /// One that keeps the contract of docs/wire.md.
    Json,
    /// One that takes OTLP over HTTP, as protobuf.
    Otlp,
    /// ClickHouse, over its HTTP interface.
    ClickHouse,
}

impl PushFormat {
    /// All of them.
    pub const ALL: [PushFormat; 3] = [PushFormat::Json, PushFormat::Otlp, PushFormat::ClickHouse];

    /// How it is written in TRACE_PUSH_FORMAT.
    pub fn as_str(self) -> &'static str {
        match self {
            PushFormat::Json => "json",
            PushFormat::Otlp => "otlp",
            PushFormat::ClickHouse => "clickhouse",
        }
    }
}

impl PushConfig {
    /// The name under which the file remembers what this remote has: the endpoint without its query,
    /// where people put tokens, but for the database of a ClickHouse. Another endpoint begins with the oldest row.
    pub fn destination(&self) -> String {
        let (base, query) = self.endpoint.split_once('?').unwrap_or((&self.endpoint, ""));
        let base = base.split('#').next().unwrap_or("");
        let database = query.split(['&', '#']).find(|pair| pair.starts_with("database="));
        match database.filter(|_| self.format == PushFormat::ClickHouse) {
            Some(database) => format!("{base}?{database}"),
            None => base.to_owned(),
        }
    }
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

/// What calls cost that come without a cost.
#[derive(Debug, Clone, PartialEq)]
pub struct PricesConfig {
    /// The variable as it was set.
    pub from: String,
    /// The prices.
    pub table: Arc<Prices>,
}

/// Which process is the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentProcess {
    /// The one of this id.
    Pid(u32),
    /// The one of this name.
    Name(String),
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value`
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Who we are: what Fly.io and the kernel call this machine. `None` = not known. As JSON it is an object of its fields, which
/// a push says of its sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Who sends: what the receiver needs to tell sidecars apart.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// The id of the database file.
    pub instance_id: &'a str,
    /// The machine.
    pub identity: &'a Identity,
    /// Version of the program.
    pub version: &'a str,
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
        f.write_str(shown::MASK)
    }
}

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
        reading::read(surroundings, reading::SIDECAR)
    }

    /// The same for `receive`, whose port and file have other defaults.
    ///
    /// # Errors
    /// As [`Config::from_vars`].
    pub fn of_receiver(surroundings: &Surroundings<'_>) -> Result<Config, Faults> {
        reading::read(surroundings, reading::RECEIVER)
    }
}

pub use reading::{is_localhost, is_private, parse_duration};
pub use shown::{masked_url, shown_duration};

#[cfg(test)]
mod tests;
