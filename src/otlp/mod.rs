//! OTLP: traces become [`Event`]s, logs and metrics are counted.
//!
//! Owns the wire formats (protobuf and JSON), the mapping of the conventions for generative AI to
//! columns, and the answers that an OTLP client expects. Promises that memory stays in proportion to one span,
//! whatever the body, and that every span of a request is an event, ignored under its name, or rejected
//! with a reason. No I/O.

mod answer;
mod attributes;
#[cfg(test)]
mod captures;
mod dialects;
mod genai;
#[cfg(test)]
mod hostile;
mod json;
mod proto;
mod reading;
mod spans;
mod text;
mod values;
mod wire;

use bytes::Bytes;

pub use answer::{status, success};

use crate::config::TextConfig;
use crate::event::{Event, Source};

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
    /// The most spans in one request.
    pub spans_max: usize,
}

/// What became of the spans of a request: `spans` = events + `rejected` + the counts of `ignored`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Spans in it.
    pub spans: u64,
    /// Those that are invalid for ever.
    pub rejected: u64,
    /// Why the first of them is. Empty when there is none.
    pub rejected_message: String,
    /// Names and counts of spans that map to no row. Few names: what is too much goes under `other`.
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

/// Reads an `ExportTraceServiceRequest`, not compressed, and hands every event to `emit`. On a fault the
/// events that were handed over are void.
///
/// # Errors
/// The body is no such request, or has more than `context.spans_max` spans.
pub fn traces(
    encoding: Encoding,
    body: Bytes,
    context: &Context,
    emit: &mut dyn FnMut(Event),
) -> Result<Report, Fault> {
    let source = match encoding {
        Encoding::Protobuf => Source::OtlpPb,
        Encoding::Json => Source::OtlpJson,
    };
    let mut intake = Intake { context, source, service_name: None, report: Report::default(), emit };
    match encoding {
        Encoding::Protobuf => proto::spans(&body, &mut intake)?,
        Encoding::Json => json::spans(&body, &mut intake)?,
    }
    Ok(intake.report)
}

/// How many log records an `ExportLogsServiceRequest` holds.
///
/// # Errors
/// The body is no such request.
pub fn count_logs(encoding: Encoding, body: &[u8]) -> Result<u64, Fault> {
    match encoding {
        Encoding::Protobuf => proto::count(body),
        Encoding::Json => json::count(body, json::Signal::Logs),
    }
}

/// How many metrics (not data points) an `ExportMetricsServiceRequest` holds.
///
/// # Errors
/// The body is no such request.
pub fn count_metrics(encoding: Encoding, body: &[u8]) -> Result<u64, Fault> {
    match encoding {
        Encoding::Protobuf => proto::count(body),
        Encoding::Json => json::count(body, json::Signal::Metrics),
    }
}

/// Whether a JSON body on a path that OTLP shares with native JSON is OTLP: an object with
/// `resourceSpans`, `resourceLogs` or `resourceMetrics` (or the snake_case of one, to be refused with a
/// reason), wherever it stands in the object, or an object of nothing else. Null is absence.
pub fn looks_like_otlp_json(body: &[u8]) -> bool {
    json::looks_like_otlp(body)
}

/// Takes the spans of one request, one by one, from either encoding.
struct Intake<'a> {
    context: &'a Context,
    source: Source,
    service_name: Option<Box<str>>,
    report: Report,
    emit: &'a mut dyn FnMut(Event),
}

impl Intake<'_> {
    /// The spans that follow are of this service.
    fn resource(&mut self, service_name: Option<&[u8]>) {
        let name = service_name.filter(|name| !name.is_empty());
        self.service_name = name.map(|name| text::cut(name, SERVICE_NAME_BYTES_MAX).0.into_boxed_str());
    }

    /// One more span, before it is decoded.
    fn count(&mut self) -> Result<(), Fault> {
        let spans_max = self.context.spans_max;
        if self.report.spans >= spans_max as u64 {
            return Err(Fault::TooLarge { message: format!("expected at most {spans_max} spans in one request") });
        }
        self.report.spans += 1;
        Ok(())
    }

    /// The span that was counted last, decoded.
    fn span(&mut self, span: &proto::Span) {
        match spans::event(span, self.service_name.as_deref(), self.source, self.context) {
            Ok(Some(event)) => (self.emit)(event),
            Ok(None) => self.ignore(&span.name),
            Err(reason) => self.reject(reason),
        }
    }

    /// The span that was counted last will never be taken.
    fn reject(&mut self, reason: &str) {
        self.report.rejected += 1;
        if self.report.rejected_message.is_empty() {
            self.report.rejected_message = text::cut(reason.as_bytes(), REASON_BYTES_MAX).0;
        }
    }

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
const TOO_MANY_NODES: &str = "a span has more than 20000 attributes, events and values";
/// Lists in lists. Nobody sends more than three.
const NESTING_MAX: usize = 16;
/// The reason for it.
const TOO_DEEP: &str = "a value of a span is nested more than 16 deep";
/// A reason may quote what it is about.
const REASON_BYTES_MAX: usize = 256;
/// A service name is a label.
const SERVICE_NAME_BYTES_MAX: usize = 256;
/// OpenClaw has about 25 kinds of span.
const IGNORED_NAMES_MAX: usize = 64;
/// A span's name should be short; some put URLs in it.
const IGNORED_NAME_BYTES_MAX: usize = 128;
/// What the names beyond [`IGNORED_NAMES_MAX`] are counted under.
const OTHER_NAMES: &str = "other";
