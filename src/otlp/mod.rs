//! OTLP: spans and log records become [`Event`]s, and what they and metrics say besides [`Note`]s. The other way
//! [`export`]: rows become requests.
//!
//! Owns the wire formats (protobuf and JSON), the mapping of the conventions for generative AI to
//! columns ([`dialects`]), and the answers that an OTLP client expects. Promises that memory stays in proportion to one record,
//! whatever the body, and that every record of a request is at least one event, ignored under its name, or rejected
//! with a reason. No I/O.

mod answer;
mod attributes;
mod call;
#[cfg(test)]
mod captures;
mod dialects;
mod events;
pub mod export;
mod genai;
#[cfg(test)]
mod hostile;
mod json;
mod logs;
mod metrics;
mod origin;
mod own;
mod proto;
mod protobuf;
mod reading;
mod spans;
mod text;
#[cfg(test)]
mod told;
mod values;
mod wire;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

pub use answer::{status, success};

use crate::config::TextConfig;
use crate::event::{Event, EventId, Kind, Note, Source};

use origin::Origin;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metrics.
    Metrics,
}

impl Signal {
    /// The path that requests of it are sent to, below the base of an endpoint.
    pub fn path(self) -> &'static str {
        match self {
            Signal::Traces => "/v1/traces",
            Signal::Logs => "/v1/logs",
            Signal::Metrics => "/v1/metrics",
        }
    }

    /// One of what it holds, as a message has it.
    fn record(self) -> &'static str {
        match self {
            Signal::Traces => "a span",
            Signal::Logs => "a log record",
            Signal::Metrics => "a metric",
        }
    }
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

/// What the reading of a request depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// When the request came, Unix milliseconds UTC.
    pub now_ms: i64,
    /// What becomes of prompts and completions. Clients attach them unasked, so only `Capture::All` keeps them.
    pub text: TextConfig,
    /// The most records in one request.
    pub records_max: usize,
}

/// What a request tells, piece by piece.
#[derive(Debug)]
pub enum Told {
    /// A row to be.
    Event(Event),
    /// What is no row, and decides how rows count.
    Note(Note),
}

/// What became of the records of a request: each became one event or more, or is counted as `rejected` or in `ignored`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Records in it.
    pub records: u64,
    /// Those that became events.
    pub taken: u64,
    /// Those that are invalid for ever.
    pub rejected: u64,
    /// Why the first of them is. Empty when there is none.
    pub rejected_message: String,
    /// Names and counts of records that map to no row. Few names: what is too much goes under `other`.
    pub ignored: Vec<(String, u64)>,
}

/// Why a request as a whole is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not what the path takes, and never will be: 400.
    #[error("{message}")]
    Malformed {
        /// What was wanted and what was found.
        message: String,
    },
    /// It is more than we take at once: 413.
    #[error("{message}")]
    TooLarge {
        /// The limit.
        message: String,
    },
}

/// Reads an export request of this signal, not compressed, and hands what it tells to `emit`. On a fault what was handed
/// over is void.
///
/// # Errors
/// The body is no such request, or has more than `context.records_max` records.
pub fn read(
    signal: Signal,
    encoding: Encoding,
    body: Bytes,
    context: &Context,
    emit: &mut dyn FnMut(Told),
) -> Result<Report, Fault> {
    let source = match encoding {
        Encoding::Protobuf => Source::OtlpPb,
        Encoding::Json => Source::OtlpJson,
    };
    let mut intake = Intake {
        context,
        source,
        origin: Origin::default(),
        exporters: Vec::new(),
        contents: HashMap::new(),
        report: Report::default(),
        emit,
    };
    match encoding {
        Encoding::Protobuf => protobuf::records(&body, signal, &mut intake)?,
        Encoding::Json => json::records(&body, signal, &mut intake)?,
    }
    Ok(intake.end())
}

/// Whether a JSON body on a path that OTLP shares with native JSON is OTLP: an object with
/// `resourceSpans`, `resourceLogs` or `resourceMetrics` (or the snake_case of one, to be refused with a
/// reason), wherever it stands in the object, or an object of nothing else. Null is absence.
pub fn looks_like_otlp_json(body: &[u8]) -> bool {
    json::looks_like_otlp(body)
}

/// Takes the records of one request, one by one, from either encoding.
struct Intake<'a> {
    context: &'a Context,
    source: Source,
    /// Of the records that follow.
    origin: Origin,
    /// Processes of OpenClaw whose calls are in the request, and whether any of these has tokens.
    exporters: Vec<(Arc<str>, bool)>,
    /// How many log records of each content there were so far.
    contents: HashMap<EventId, u64>,
    report: Report,
    emit: &'a mut dyn FnMut(Told),
}

impl Intake<'_> {
    /// The records that follow come from there.
    fn resource(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// One more record, before it is decoded.
    fn count(&mut self) -> Result<(), Fault> {
        let records_max = self.context.records_max;
        if self.report.records >= records_max as u64 {
            return Err(Fault::TooLarge { message: format!("expected at most {records_max} records in one request") });
        }
        self.report.records += 1;
        Ok(())
    }

    /// Hands a row to be on, with who sent it and how; its kind says the rest.
    fn event(&mut self, id: EventId, mut kind: Kind) {
        let service_name = self.origin.service_name().map(Box::from);
        match &mut kind {
            Kind::LlmTrace(row) => (row.service_name, row.source) = (service_name, self.source),
            Kind::CustomEvent(row) => (row.service_name, row.source) = (service_name, self.source),
            Kind::ErrorEvent(row) => (row.service_name, row.source) = (service_name, self.source),
            Kind::SystemMetric(_) => {}
        }
        (self.emit)(Told::Event(Event { id, received_at_ms: self.context.now_ms, kind }));
    }

    fn note(&mut self, note: Note) {
        (self.emit)(Told::Note(note));
    }

    /// A call of OpenClaw had tokens, or answered without any.
    fn exporter(&mut self, tokens_on_calls: bool) {
        let exporter = self.origin.exporter();
        if let Some((_, found)) = self.exporters.iter_mut().find(|(known, _)| *known == exporter) {
            *found |= tokens_on_calls;
        } else if self.exporters.len() < EXPORTERS_MAX {
            self.exporters.push((exporter, tokens_on_calls));
        }
    }

    /// Nothing follows.
    fn end(mut self) -> Report {
        for (exporter, tokens_on_calls) in std::mem::take(&mut self.exporters) {
            self.note(Note::Exporter { exporter, tokens_on_calls });
        }
        self.report
    }

    /// The record that was counted last is at least one event.
    fn taken(&mut self) {
        self.report.taken += 1;
    }

    /// The record that was counted last will never be taken.
    fn reject(&mut self, reason: &str) {
        self.report.rejected += 1;
        if self.report.rejected_message.is_empty() {
            self.report.rejected_message = text::cut(reason.as_bytes(), REASON_BYTES_MAX).0;
        }
    }

    /// The record that was counted last becomes no row.
    fn ignore(&mut self, name: &[u8]) {
        let (mut name, _) = text::cut(name, IGNORED_NAME_BYTES_MAX);
        let ignored = &mut self.report.ignored;
        if ignored.len() >= IGNORED_NAMES_MAX && !ignored.iter().any(|(known, _)| *known == name) {
            name = OTHER_NAMES.to_owned();
        }
        match ignored.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => ignored.push((name, 1)),
        }
    }
}

/// What an OTel SDK lets a span have by default (128 attributes, and 128 events of 128 attributes), and
/// some more. A node takes 72 bytes, and a growing list twice that: 3 MB.
const NODES_MAX: usize = 20_000;
/// The reason for it.
const TOO_MANY_NODES: &str = "a record has more than 20000 attributes, events and values";
/// Lists in lists. Nobody sends more than three.
const NESTING_MAX: usize = 16;
/// The reason for it.
const TOO_DEEP: &str = "a value of a record is nested more than 16 deep";
/// A reason may quote what it is about.
const REASON_BYTES_MAX: usize = 256;
/// A collector may gather several agents into one request.
const EXPORTERS_MAX: usize = 64;
/// OpenClaw has about 25 kinds of span.
const IGNORED_NAMES_MAX: usize = 64;
/// A span's name should be short; some put URLs in it.
const IGNORED_NAME_BYTES_MAX: usize = 128;
/// What the names beyond [`IGNORED_NAMES_MAX`] are counted under.
const OTHER_NAMES: &str = "other";
