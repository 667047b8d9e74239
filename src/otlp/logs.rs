//! Log records: what tells of a call, of a tool or of an error becomes a row, all others are counted by name.

use super::call::{self, NANOS_PER_MILLI, STATUS_ERROR, is_span_id, is_trace_id};
use super::dialects::{
    CLAUDE_CODE_PREFIX, CLAUDE_CODE_PROVIDER, Column, ERROR_LOGS, EXECUTE_TOOL, INFERENCE_DETAILS, OPENCLAW_EVENT,
    RUN_END_LOG,
};
use super::genai::{Columns, Dialect};
use super::own::Own;
use super::proto::{Any, LogRecord, Span, SpanStatus};
use super::{Intake, events};
use crate::event::{EventId, Kind, LlmTrace, Severity, Table, Unit};

impl Intake<'_> {
    /// The log record that was counted last, decoded.
    pub(super) fn log(&mut self, record: &LogRecord) {
        if let Some(own) = Own::of(&record.attributes)
            && let Some(table) = own.table()
        {
            return self.own_event(&own, table, record);
        }
        let name = name_of(record);
        if let Some(event) = name.strip_prefix(CLAUDE_CODE_PREFIX) {
            return self.claude_code(record, event);
        }
        if name == INFERENCE_DETAILS {
            return self.inference_details(record);
        }
        let severity = severity_of(record);
        let is_cause = text_of(record, OPENCLAW_EVENT) == Some(RUN_END_LOG.as_bytes())
            && record.attributes.iter().any(|a| a.key == "openclaw.isError" && a.any() == Some(&Any::Flag(true)));
        let is_error =
            is_cause || severity >= Some(Severity::Error) || ERROR_LOGS.iter().any(|error| error.as_bytes() == name);
        if !is_error {
            return self.ignore(if name.is_empty() { UNNAMED } else { name });
        }
        let mut columns = Columns::new(Dialect::spans());
        columns.offer_all(&record.attributes);
        let severity = severity.unwrap_or(Severity::Error);
        let error = events::of_log(record, severity, &columns, self.context);
        let id = self.id_of_log(Table::ErrorEvents, record);
        self.event(id, Kind::ErrorEvent(Box::new(error)));
        self.taken();
    }

    /// What Claude Code tells: it has no spans.
    fn claude_code(&mut self, record: &LogRecord, event: &[u8]) {
        let mut columns = Columns::new(Dialect::claude_code());
        columns.offer_all(&record.attributes);
        let span = as_span(record, &columns, event == b"api_error");
        match event {
            b"api_request" | b"api_error" => {
                let mut row = call::row(&span, Unit::Request, &columns, self.context);
                row.provider.get_or_insert(CLAUDE_CODE_PROVIDER.into());
                self.call_of_log(record, row);
                if event == b"api_error" {
                    let error = events::of_failure(&span, &columns, self.context);
                    let id = self.id_of_log(Table::ErrorEvents, record);
                    self.event(id, Kind::ErrorEvent(Box::new(error)));
                }
            }
            b"tool_result" => {
                let row = events::of_span(&span, EXECUTE_TOOL.as_bytes(), &columns, self.context);
                let id = self.id_of_log(Table::CustomEvents, record);
                self.event(id, Kind::CustomEvent(Box::new(row)));
            }
            _ => return self.ignore(&[CLAUDE_CODE_PREFIX, event].concat()),
        }
        self.taken();
    }

    /// A call that its span tells of as well, unless that span is not sent.
    fn inference_details(&mut self, record: &LogRecord) {
        let has_span = is_trace_id(&record.trace_id) && is_span_id(&record.span_id);
        if has_span && record.flags & SAMPLED != 0 {
            return self.ignore(INFERENCE_DETAILS);
        }
        let mut columns = Columns::new(Dialect::spans());
        columns.offer_all(&record.attributes);
        let span = as_span(record, &columns, columns.has(Column::ErrorType));
        let row = call::row(&span, Unit::UsageOnly, &columns, self.context);
        self.call_of_log(record, row);
        self.taken();
    }

    fn call_of_log(&mut self, record: &LogRecord, row: LlmTrace) {
        let id = self.id_of_log(Table::LlmTraces, record);
        self.event(id, Kind::LlmTrace(Box::new(row)));
    }

    /// The id of a row that is made of a log record: of all that it says, and of how many said the same before it in this
    /// request. An exporter that sends a request again sends the same one.
    fn id_of_log(&mut self, table: Table, record: &LogRecord) -> EventId {
        let time_ms = events::log_ms(record).unwrap_or(0);
        let mut identity = [table.name().as_bytes(), b"\0"].concat();
        identity.extend(self.origin.service_name().unwrap_or_default().as_bytes());
        identity.push(0);
        identity.extend(prost::Message::encode_to_vec(record));
        let seen = self.contents.entry(EventId::of_record(time_ms, &identity)).or_default();
        identity.extend(seen.to_be_bytes());
        *seen += 1;
        EventId::of_record(time_ms, &identity)
    }
}

/// A log record as the span that it would have been: it was written when that ended.
fn as_span(record: &LogRecord, columns: &Columns<'_>, failed: bool) -> Span {
    let end_ns = if record.time_ns > 0 { record.time_ns } else { record.observed_ns };
    let length_ms = columns.whole(Column::Latency).unwrap_or(0) as u64;
    Span {
        trace_id: record.trace_id.clone(),
        span_id: record.span_id.clone(),
        name: record.event_name.clone(),
        start_ns: end_ns.saturating_sub(length_ms.saturating_mul(NANOS_PER_MILLI)),
        end_ns,
        attributes: record.attributes.clone(),
        status: failed.then(|| SpanStatus { code: STATUS_ERROR, ..SpanStatus::default() }),
        ..Span::default()
    }
}

/// The name of the event that a log record is. Claude Code writes it into the body.
fn name_of(record: &LogRecord) -> &[u8] {
    let body = record.body_text().filter(|text| text.starts_with(CLAUDE_CODE_PREFIX));
    let own = Some(&record.event_name[..]).filter(|name| !name.is_empty());
    let said = || text_of(record, b"event.name").or_else(|| text_of(record, OPENCLAW_EVENT));
    own.or(body).or_else(said).unwrap_or_default()
}

fn text_of<'a>(record: &'a LogRecord, key: &[u8]) -> Option<&'a [u8]> {
    let attribute = record.attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.any()? {
        Any::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// By its number or its word, whichever is worse: OpenClaw 2026.4.29 has the number of info for the word `error`. `None` = it
/// has neither.
pub(super) fn severity_of(record: &LogRecord) -> Option<Severity> {
    let by_number = match record.severity_number {
        1..=8 => Some(Severity::Debug),
        9..=12 => Some(Severity::Info),
        13..=16 => Some(Severity::Warn),
        17..=20 => Some(Severity::Error),
        21..=24 => Some(Severity::Fatal),
        _ => None,
    };
    let by_word = match record.severity_text.to_ascii_lowercase().as_slice() {
        b"trace" | b"debug" => Some(Severity::Debug),
        b"info" => Some(Severity::Info),
        b"warn" | b"warning" => Some(Severity::Warn),
        b"error" => Some(Severity::Error),
        b"fatal" | b"critical" => Some(Severity::Fatal),
        _ => None,
    };
    by_number.max(by_word)
}

/// What a log record without the name of an event is counted as.
const UNNAMED: &[u8] = b"otlp.log";
/// The flag of a record whose span is sampled.
const SAMPLED: u32 = 1;
