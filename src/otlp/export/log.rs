//! A row of `error_events` or `custom_events` as a log record.

use super::super::own;
use super::super::writing::{self, message};
use super::attributes::Attributes;
use super::{RECORDS, Row};
use crate::event::{Severity, Table, Value};

/// What column goes into which attributes, of both tables.
pub(super) const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("trace_id", &[own::TRACE_ID]),
    ("received_at", &[own::RECEIVED_AT]),
    ("error_type", &["exception.type"]),
    ("message", &["exception.message"]),
    ("stacktrace", &["exception.stacktrace"]),
    ("component", &[own::COMPONENT]),
    ("conversation_id", &["gen_ai.conversation.id", "session.id"]),
    ("agent_id", &["gen_ai.agent.id"]),
    ("fingerprint", &[own::FINGERPRINT]),
    ("service_name", &[own::SERVICE_NAME]),
    ("source", &[own::SOURCE]),
];
/// Flags, and whether one that is not set is worth writing.
pub(super) const FLAGS: &[(&str, &str, bool)] =
    &[("handled", own::HANDLED, true), ("text_truncated", own::TEXT_TRUNCATED, false)];

/// Appends an error.
pub(super) fn error(row: &Row<'_>, out: &mut Vec<u8>) {
    write(row, Table::ErrorEvents, EXCEPTION, "message", out);
}

/// Appends an event.
pub(super) fn custom(row: &Row<'_>, out: &mut Vec<u8>) {
    write(row, Table::CustomEvents, row.text("name").unwrap_or_default(), "body", out);
}

fn write(row: &Row<'_>, table: Table, event_name: &str, body: &str, out: &mut Vec<u8>) {
    message(out, RECORDS, |out| {
        writing::fixed64(out, TIME, row.nanos("timestamp"));
        writing::fixed64(out, OBSERVED_TIME, row.nanos("received_at"));
        if let Some(severity) = row.text("severity").and_then(Severity::parse) {
            writing::number(out, SEVERITY_NUMBER, number(severity));
            writing::bytes(out, SEVERITY_TEXT, severity.as_str().as_bytes());
        }
        if let Some(body) = row.text(body) {
            message(out, BODY, |out| writing::bytes(out, STRING, body.as_bytes()));
        }
        attributes(row, table, out);
        if let Some(trace_id) = row.text("otel_trace_id").and_then(own::unhex::<16>) {
            writing::bytes(out, TRACE_ID, &trace_id);
        }
        if let Some(span_id) = row.text("otel_span_id").and_then(own::unhex::<8>) {
            writing::bytes(out, SPAN_ID, &span_id);
        }
        writing::bytes(out, EVENT_NAME, event_name.as_bytes());
    });
}

fn attributes(row: &Row<'_>, table: Table, out: &mut Vec<u8>) {
    let mut attributes = Attributes::new(LOG_ATTRIBUTES, out);
    attributes.text(own::TABLE, table.name());
    for (column, value) in row.0 {
        let names = ATTRIBUTES.iter().find(|(name, _)| name == column).map(|(_, names)| *names);
        for name in names.unwrap_or_default() {
            match value {
                Value::Text(text) => attributes.text(name, text),
                Value::Integer(number) => attributes.whole(name, *number),
                _ => {}
            }
        }
        let flag = FLAGS.iter().find(|(name, ..)| name == column);
        if let (Some((_, name, always)), Value::Integer(flag)) = (flag, value)
            && (*flag != 0 || *always)
        {
            attributes.flag(name, *flag != 0);
        }
        if let ("attributes", Value::Json(json)) = (*column, value) {
            attributes.object(json, table);
        }
    }
}

/// The first of the four numbers that OTLP has for each.
fn number(severity: Severity) -> u64 {
    match severity {
        Severity::Debug => 5,
        Severity::Info => 9,
        Severity::Warn => 13,
        Severity::Error => 17,
        Severity::Fatal => 21,
    }
}

/// The name of the event that tells of an exception.
const EXCEPTION: &str = "exception";
/// `LogRecord`
const TIME: u8 = 1;
const SEVERITY_NUMBER: u8 = 2;
const SEVERITY_TEXT: u8 = 3;
const BODY: u8 = 5;
const LOG_ATTRIBUTES: u8 = 6;
const TRACE_ID: u8 = 9;
const SPAN_ID: u8 = 10;
const OBSERVED_TIME: u8 = 11;
const EVENT_NAME: u8 = 12;
/// `AnyValue.string_value`
const STRING: u8 = 1;
