//! What becomes of a line: an error, an event of a channel, a change of the configuration, or nothing. Pure.
//!
//! The tables are all there is to extend. They go by words of the message and parts of the subsystem, not by whole
//! messages, which change from one version of OpenClaw to the next. docs/wire.md says what they take.

use super::line::Line;
use crate::event::{CustomEvent, ErrorEvent, Event, EventId, Kind, Severity, Source};
use crate::redact::redact_to;

/// Words that stand one after the other.
type Phrase = &'static [&'static str];

/// What an event is called, and the phrases of which one is in its message.
type Rule = (&'static str, &'static [Phrase]);

/// What happens to a channel, as `openclaw.channel.<name>`. The first that fits counts.
const CHANNEL_RULES: &[Rule] = &[
    ("logged_out", &[&["logged", "out"]]),
    (
        "disconnected",
        &[
            &["disconnected"],
            &["not", "connected"],
            &["connection", "closed"],
            &["connection", "lost"],
            &["socket", "closed"],
        ],
    ),
    ("reconnect", &[&["reconnect"], &["reconnecting"], &["reconnected"]]),
    ("restart", &[&["restart"], &["restarting"], &["restarted"]]),
    ("exited", &[&["exited"]]),
    (
        "webhook",
        &[
            &["webhook", "registered"],
            &["webhook", "set"],
            &["webhook", "listening"],
            &["webhook", "started"],
            &["webhook", "stopped"],
            &["webhook", "deleted"],
            &["webhook", "removed"],
            &["webhook", "failed"],
        ],
    ),
    ("stopped", &[&["stopped"], &["stopping"], &["shutting", "down"]]),
    ("connected", &[&["connected"], &["logged", "in"], &["client", "ready"]]),
    ("started", &[&["starting"], &["started"], &["listening"]]),
];

/// Words of lines about one message of somebody's, whose words could be anything: these are no event of a channel.
const MESSAGE_WORDS: &[&str] = &[
    "message",
    "dm",
    "outbound",
    "dispatch",
    "dispatching",
    "dispatched",
    "reply",
    "replies",
    "delivered",
    "sent",
    "sending",
    "typing",
    "reaction",
    "chatid",
    "said",
    "text",
    "prompt",
];

/// Parts of a subsystem that make its lines those of a channel: what stands after `channels` is one, and so are these.
const CHANNELS: &[&str] = &[
    "channels",
    "discord",
    "feishu",
    "googlechat",
    "health-monitor",
    "imessage",
    "line",
    "matrix",
    "mattermost",
    "msteams",
    "nostr",
    "qqbot",
    "signal",
    "slack",
    "telegram",
    "twitch",
    "whatsapp",
    "zalo",
];

/// What happens to the configuration, as `openclaw.config.<name>`, where the word `config` is in the message.
const CONFIG_RULES: &[Rule] = &[
    ("reload_skipped", &[&["reload", "skipped"], &["reload", "disabled"], &["reload", "failed"]]),
    ("restart_required", &[&["requires", "gateway", "restart"], &["restart", "required"]]),
    ("reloaded", &[&["reload", "applied"], &["change", "applied"], &["reloaded"]]),
    ("changed", &[&["change", "detected"], &["config", "changed"]]),
    ("written", &[&["config", "overwrite"], &["config", "written"]]),
];

/// Names in the object of a line that are kept as attributes of the row.
const KEPT: &[&str] = &[
    "event",
    "provider",
    "model",
    "failoverReason",
    "providerRuntimeFailureKind",
    "rawErrorHash",
    "runId",
    "accountId",
    "channel",
];

/// Class of an error, the first that is there. A failed call has its cause here, and `Error` or nothing as its name.
const ERROR_TYPE: &[&str] = &["failoverReason", "providerRuntimeFailureKind", "errorName", "errorCode", "name", "code"];
/// What an error says.
const ERROR_MESSAGE: &[&str] = &["rawErrorPreview", "errorMessage", "error", "message"];
const CONVERSATION_ID: &[&str] = &["sessionId", "session_id"];
const AGENT_ID: &[&str] = &["agentId", "agent_id"];

/// The events of a message are at its beginning; what comes later may be quoted.
const WORDS_MAX: usize = 24;
/// Names and ids, as everywhere.
const LABEL_BYTES_MAX: usize = 1024;
/// A message, as everywhere.
const MESSAGE_BYTES_MAX: usize = 4096;
/// About two hundred frames, as everywhere.
const STACKTRACE_BYTES_MAX: usize = 16 << 10;
/// The message of an error that nobody described.
const NO_MESSAGE: &str = "an error without a message";
/// What a line without a subsystem is counted under.
const NO_SUBSYSTEM: &str = "(none)";

/// What became of a line.
#[derive(Debug, PartialEq)]
pub enum Became {
    /// This row.
    Row(Box<Event>),
    /// Nothing; this subsystem wrote it.
    Nothing(String),
    /// It is no line of a log.
    Unreadable,
}

/// Reads the line that stands at `offset` of its file. Read again it is the same row, wherever the file is by then.
pub fn read(bytes: &[u8], offset: u64, now_ms: i64) -> Became {
    let text = String::from_utf8_lossy(bytes);
    let Some(line) = Line::read(&text) else { return Became::Unreadable };
    let Some(kind) = row(&line, now_ms) else {
        return Became::Nothing(line.subsystem.unwrap_or_else(|| NO_SUBSYSTEM.to_owned()));
    };
    let identity = [Source::OpenclawLog.as_str().as_bytes(), b"\0", &offset.to_be_bytes(), bytes].concat();
    let id = EventId::of_record(line.at_ms.unwrap_or(0), &identity);
    Became::Row(Box::new(Event { id, received_at_ms: now_ms, kind }))
}

fn row(line: &Line<'_>, now_ms: i64) -> Option<Kind> {
    let severity = line.level.unwrap_or(Severity::Info);
    let failed = line.is_true("isError") && severity >= Severity::Warn;
    if severity >= Severity::Error || failed {
        return Some(Kind::ErrorEvent(Box::new(error(line, severity, now_ms))));
    }
    if severity < Severity::Info {
        return None;
    }
    let words = words(&line.message);
    let (what, channel) = match (config_event(&words), channel_event(line, &words)) {
        (Some(name), _) => (format!("openclaw.config.{name}"), None),
        (None, Some((name, channel))) => (format!("openclaw.channel.{name}"), channel),
        (None, None) => return None,
    };
    Some(Kind::CustomEvent(Box::new(custom(line, what, channel, severity, now_ms))))
}

fn config_event(words: &[String]) -> Option<&'static str> {
    let is_about_it = words.iter().any(|word| word == "config");
    is_about_it.then(|| first_of(CONFIG_RULES, words)).flatten()
}

/// What happened, and to which channel, if the subsystem says so.
fn channel_event(line: &Line<'_>, words: &[String]) -> Option<(&'static str, Option<String>)> {
    let subsystem = line.subsystem.as_deref()?;
    let mut parts = subsystem.split('/');
    let found = parts.by_ref().find(|part| CHANNELS.contains(part))?;
    if words.iter().any(|word| MESSAGE_WORDS.contains(&word.as_str())) {
        return None;
    }
    let channel = match found {
        "channels" => parts.next(),
        "health-monitor" => None,
        channel => Some(channel),
    };
    Some((first_of(CHANNEL_RULES, words)?, channel.map(str::to_owned)))
}

fn first_of(rules: &[Rule], words: &[String]) -> Option<&'static str> {
    let has = |phrase: &Phrase| words.windows(phrase.len()).any(|window| window == *phrase);
    rules.iter().find(|(_, phrases)| phrases.iter().any(has)).map(|(name, _)| *name)
}

/// The first words of a message, in lower case.
fn words(message: &str) -> Vec<String> {
    let words = message.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(WORDS_MAX).map(str::to_lowercase).collect()
}

fn error(line: &Line<'_>, severity: Severity, now_ms: i64) -> ErrorEvent {
    let mut texts = Texts::default();
    let error_type = line.text(ERROR_TYPE).or_else(|| line.subsystem.clone());
    let error_type = texts.label(error_type);
    // The object of a failure says more than the text beside it, which is the same for all of them.
    let own = Some(&line.message).filter(|message| !message.is_empty());
    let said = line.text(ERROR_MESSAGE);
    let message = if line.is_true("isError") { said.or(own.cloned()) } else { own.cloned().or(said) };
    let message = message.map(|message| texts.cut(&message, MESSAGE_BYTES_MAX)).or_else(|| error_type.clone());
    let stacktrace = line.stacktrace().map(|stack| texts.cut(&stack, STACKTRACE_BYTES_MAX));
    ErrorEvent {
        timestamp_ms: line.at_ms.unwrap_or(now_ms),
        error_type,
        message: message.unwrap_or_else(|| NO_MESSAGE.into()),
        stacktrace,
        severity,
        component: texts.label(line.subsystem.clone()),
        conversation_id: texts.label(line.text(CONVERSATION_ID)),
        agent_id: texts.label(line.text(AGENT_ID)),
        otel_trace_id: hex(line, "traceId", TRACE_ID_DIGITS),
        otel_span_id: hex(line, "spanId", SPAN_ID_DIGITS),
        source: Source::OpenclawLog,
        attributes: attributes(line, None, None, &mut texts),
        text_truncated: texts.was_cut,
        ..ErrorEvent::default()
    }
}

fn custom(line: &Line<'_>, name: String, channel: Option<String>, severity: Severity, now_ms: i64) -> CustomEvent {
    let mut texts = Texts::default();
    CustomEvent {
        timestamp_ms: line.at_ms.unwrap_or(now_ms),
        name: name.into(),
        severity: Some(severity),
        conversation_id: texts.label(line.text(CONVERSATION_ID)),
        agent_id: texts.label(line.text(AGENT_ID)),
        otel_trace_id: hex(line, "traceId", TRACE_ID_DIGITS),
        otel_span_id: hex(line, "spanId", SPAN_ID_DIGITS),
        body: Some(texts.cut(&line.message, MESSAGE_BYTES_MAX)),
        source: Source::OpenclawLog,
        attributes: attributes(line, line.subsystem.as_deref(), channel, &mut texts),
        text_truncated: texts.was_cut,
        ..CustomEvent::default()
    }
}

/// A JSON object of what has no column: the names of [`KEPT`], and what else is known of the line.
fn attributes(
    line: &Line<'_>,
    subsystem: Option<&str>,
    channel: Option<String>,
    texts: &mut Texts,
) -> Option<Box<str>> {
    let mut members = serde_json::Map::new();
    let mut keep = |name: &str, value: Option<String>| {
        if let Some(value) = texts.label(value) {
            members.insert(name.to_owned(), String::from(value).into());
        }
    };
    for name in KEPT {
        keep(name, line.text(&[name]));
    }
    keep("subsystem", subsystem.map(str::to_owned));
    if channel.is_some() {
        keep("channel", channel);
    }
    (!members.is_empty()).then(|| serde_json::Value::Object(members).to_string().into_boxed_str())
}

const TRACE_ID_DIGITS: usize = 32;
const SPAN_ID_DIGITS: usize = 16;

/// An id of OpenTelemetry, in lower case. All zeros are none.
fn hex(line: &Line<'_>, name: &str, digits: usize) -> Option<Box<str>> {
    let text = line.text(&[name])?;
    let is_id = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()) && text.bytes().any(|b| b != b'0');
    is_id.then(|| text.to_ascii_lowercase().into_boxed_str())
}

/// The texts of one row: every one of them goes through [`Texts::cut`].
#[derive(Default)]
struct Texts {
    was_cut: bool,
}

impl Texts {
    /// The text as it is stored: without its secrets, of at most `bytes_max` bytes, cut between two characters.
    fn cut(&mut self, text: &str, bytes_max: usize) -> Box<str> {
        let (head, was_cut) = redact_to(text, bytes_max);
        self.was_cut |= was_cut;
        head.into()
    }

    fn label(&mut self, text: Option<String>) -> Option<Box<str>> {
        text.filter(|text| !text.is_empty()).map(|text| self.cut(&text, LABEL_BYTES_MAX))
    }
}

#[cfg(test)]
mod tests;
