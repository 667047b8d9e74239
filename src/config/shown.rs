//! From a [`Config`] back to what a person reads: words, units, and no secret.

use std::time::Duration;

use super::{Ack, AgentProcess, Capture, Config, LogFormat, PushFormat, Secret, Sync, VARIABLES};
use crate::event::Table;

/// What stands where a secret would.
pub const MASK: &str = "(set, not shown)";

impl Config {
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
            "TRACE_PUSH_FORMAT" => push.map_or_else(none, |p| p.format.as_str().to_owned()),
            "TRACE_PUSH_GZIP" => push.map_or_else(none, |p| word_of(SWITCHES, p.gzip)),
            "TRACE_PUSH_TABLES" => push.map_or_else(none, |p| names_of(&p.tables)),
            "TRACE_PUSH_HEADERS" => shown_secret(push.and_then(|p| p.headers.first()).map(|(_, value)| value)),
            "TRACE_PUSH_INSECURE" => push.map_or_else(none, |p| word_of(INSECURES, p.insecure)),
            "TRACE_PRICES_FILE" => self.prices.from.clone(),
            "TRACE_BUDGET_DAY_USD" => self.budget_day.map_or_else(none, |budget| budget.to_string()),
            "TRACE_METRICS_RETENTION" => shown_duration(self.retention.metrics),
            "TRACE_ON_FULL" => word_of(ON_FULLS, self.retention.drop_oldest),
            "TRACE_DRAIN_TIMEOUT" => shown_duration(self.drain_timeout),
            "TRACE_DRAIN_LINGER" => shown_duration(self.drain_linger),
            "TRACE_AGENT_GRACE" => self.agent_grace.map_or_else(none, shown_duration),
            "TRACE_AGENT_PROCESS" => match &self.agent_process {
                None => none(),
                Some(AgentProcess::Pid(pid)) => pid.to_string(),
                Some(AgentProcess::Name(name)) => name.clone(),
            },
            "TRACE_OTLP_PORT" => self.otlp_port.map_or("off".to_owned(), |port| port.to_string()),
            "TRACE_METRICS_BIND" if self.metrics_bind.is_empty() => "off".to_owned(),
            "TRACE_METRICS_BIND" => {
                self.metrics_bind.iter().map(|(host, port)| shown_place(host, *port)).collect::<Vec<_>>().join(",")
            }
            "TRACE_ALLOWED_HOSTS" if self.allowed_hosts.is_empty() => none(),
            "TRACE_ALLOWED_HOSTS" => self.allowed_hosts.join(","),
            "TRACE_OPENCLAW_LOG" => {
                self.openclaw_log.as_ref().map_or("off".to_owned(), |path| path.display().to_string())
            }
            "TRACE_LOG_FORMAT" => word_of(LOG_FORMATS, self.log_format),
            _ => unreachable!("every variable of the table has its line here: a test walks them"),
        }
    }
}

/// The words of a variable, and what each stands for.
pub type Words<T> = &'static [(&'static str, T)];

/// The words of `TRACE_ACK`.
pub const ACKS: Words<Ack> = &[("stored", Ack::Stored), ("queued", Ack::Queued)];
/// The words of `TRACE_SYNC`.
pub const SYNCS: Words<Sync> = &[("full", Sync::Full), ("normal", Sync::Normal)];
/// The words of `TRACE_CAPTURE_TEXT`.
pub const CAPTURES: Words<Capture> = &[("native", Capture::Native), ("all", Capture::All), ("off", Capture::Off)];
/// The words of `TRACE_ON_FULL`.
pub const ON_FULLS: Words<bool> = &[("refuse", false), ("drop-oldest", true)];
/// The words of `TRACE_PUSH_FORMAT`.
pub const FORMATS: Words<PushFormat> =
    &[("json", PushFormat::Json), ("otlp", PushFormat::Otlp), ("clickhouse", PushFormat::ClickHouse)];
/// The words of `TRACE_PUSH_GZIP`.
pub const SWITCHES: Words<bool> = &[("on", true), ("off", false)];
/// The words of `TRACE_PUSH_INSECURE`.
pub const INSECURES: Words<bool> = &[("1", true), ("0", false)];
/// The words of `TRACE_LOG_FORMAT`.
pub const LOG_FORMATS: Words<LogFormat> = &[("logfmt", LogFormat::Logfmt), ("json", LogFormat::Json)];
/// The words of `TRACE_LOG`.
pub const LEVELS: Words<log::LevelFilter> = &[
    ("error", log::LevelFilter::Error),
    ("warn", log::LevelFilter::Warn),
    ("info", log::LevelFilter::Info),
    ("debug", log::LevelFilter::Debug),
];

/// A duration as the user would write it.
pub fn shown_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit, unit_ms, least_ms) in
        [("d", 86_400_000, 3 * 86_400_000), ("h", 3_600_000, 0), ("m", 60_000, 0), ("s", 1000, 0)]
    {
        if ms >= least_ms.max(unit_ms) && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") }
}

/// `[::]:9091`, `localhost:9091`
fn shown_place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn names_of(tables: &[Table]) -> String {
    tables.iter().map(|table| table.name()).collect::<Vec<_>>().join(",")
}

fn shown_secret(secret: Option<&Secret>) -> String {
    secret.map_or("none", |_| MASK).to_owned()
}

fn word_of<T: PartialEq>(words: Words<T>, value: T) -> String {
    words.iter().find(|(_, v)| *v == value).map_or("", |(word, _)| word).to_owned()
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
