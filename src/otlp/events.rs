//! What is no call: tools, agents and turns as rows of `custom_events`, failures and exceptions as rows of `error_events`.

use super::Context;
use super::attributes::Leftovers;
use super::call::{
    ERROR_MESSAGE_BYTES_MAX, STACKTRACE_BYTES_MAX, Texts, is_error, length_ms, millis, span_id, start_ms, trace_id,
};
use super::dialects::{Column, HIDDEN_BODY, LIVENESS_WARNING};
use super::genai::{Columns, Dialect};
use super::proto::{Any, LogRecord, Span, SpanEvent};
use crate::event::{CustomEvent, ErrorEvent, Severity, Table};

/// Name of the event that tells of an exception, and start of the names of its attributes.
pub(super) const EXCEPTION: &[u8] = b"exception";

/// A span that is worth a row, under this name. Its own name, its length and how it ended are among the attributes.
pub(super) fn of_span(span: &Span, name: &[u8], columns: &Columns<'_>, context: &Context) -> CustomEvent {
    let mut texts = Texts { was_cut: false };
    let mut leftovers = Leftovers::of(&span.attributes, Table::CustomEvents, columns.dialect());
    if span.name != name && !span.name.is_empty() {
        leftovers.mark("span_name", &Any::Text(span.name.clone()));
    }
    if let Some(length_ms) = length_ms(span).or(columns.whole(Column::Latency)) {
        leftovers.mark("duration_ms", &Any::Whole(length_ms));
    }
    let severity = match is_error(span) {
        true if span.name == LIVENESS_WARNING => Some(Severity::Warn),
        true => Some(Severity::Error),
        false => None,
    };
    let (attributes, attributes_cut) = leftovers.into_json();
    texts.was_cut |= attributes_cut;
    CustomEvent {
        timestamp_ms: start_ms(span, context),
        name: texts.label(Some(name)).unwrap_or_default(),
        severity,
        conversation_id: texts.label(columns.text(Column::ConversationId)),
        agent_id: texts.label(columns.text(Column::AgentId)),
        otel_trace_id: trace_id(&span.trace_id),
        otel_span_id: span_id(&span.span_id),
        text_truncated: texts.was_cut,
        attributes,
        ..CustomEvent::default()
    }
}

/// A span that ended in an error.
pub(super) fn of_failure(span: &Span, columns: &Columns<'_>, context: &Context) -> ErrorEvent {
    let mut texts = Texts { was_cut: false };
    let message = texts.error_message(span, columns);
    let leftovers = Leftovers::of(&span.attributes, Table::ErrorEvents, columns.dialect());
    let error = error(texts, message, columns, leftovers, &span.name);
    ErrorEvent {
        timestamp_ms: millis(span.end_ns).unwrap_or_else(|| start_ms(span, context)),
        otel_trace_id: trace_id(&span.trace_id),
        otel_span_id: span_id(&span.span_id),
        ..error
    }
}

/// An exception that a span recorded. `of_span` is what the span says: whose session it was.
pub(super) fn of_exception(span: &Span, event: &SpanEvent, of_span: &Columns<'_>, context: &Context) -> ErrorEvent {
    let mut columns = Columns::new(Dialect::spans());
    columns.offer_all(&event.attributes);
    let mut texts = Texts { was_cut: false };
    let message = columns.text(Column::ErrorMessage).map(|message| texts.cut(message, ERROR_MESSAGE_BYTES_MAX));
    let conversation_id = texts.label(of_span.text(Column::ConversationId));
    let agent_id = texts.label(of_span.text(Column::AgentId));
    let leftovers = Leftovers::of(&event.attributes, Table::ErrorEvents, columns.dialect());
    let error = error(texts, message, &columns, leftovers, &span.name);
    ErrorEvent {
        timestamp_ms: millis(event.time_ns).unwrap_or_else(|| start_ms(span, context)),
        conversation_id,
        agent_id,
        otel_trace_id: trace_id(&span.trace_id),
        otel_span_id: span_id(&span.span_id),
        ..error
    }
}

/// A log record that tells of something that went wrong.
pub(super) fn of_log(record: &LogRecord, severity: Severity, columns: &Columns<'_>, context: &Context) -> ErrorEvent {
    let mut texts = Texts { was_cut: false };
    let body = record.body_text().filter(|text| *text != HIDDEN_BODY && !text.trim_ascii().is_empty());
    let message = columns.text(Column::ErrorMessage).or(body);
    let message = message.map(|message| texts.cut(message, ERROR_MESSAGE_BYTES_MAX));
    let leftovers = Leftovers::of(&record.attributes, Table::ErrorEvents, columns.dialect());
    ErrorEvent {
        timestamp_ms: log_ms(record).unwrap_or(context.now_ms),
        severity,
        otel_trace_id: trace_id(&record.trace_id),
        otel_span_id: span_id(&record.span_id),
        ..error(texts, message, columns, leftovers, b"")
    }
}

/// When a log record says that it happened, or was seen; Unix milliseconds.
pub(super) fn log_ms(record: &LogRecord) -> Option<i64> {
    millis(record.time_ns).or_else(|| millis(record.observed_ns))
}

fn error(
    mut texts: Texts,
    message: Option<Box<str>>,
    columns: &Columns<'_>,
    leftovers: Leftovers,
    place: &[u8],
) -> ErrorEvent {
    let error_type = texts.label(columns.text(Column::ErrorType));
    let component = columns.text(Column::Component).or(Some(place)).filter(|place| !place.is_empty());
    let component = texts.label(component);
    let stacktrace = columns.text(Column::Stacktrace).map(|stack| texts.cut(stack, STACKTRACE_BYTES_MAX));
    let conversation_id = texts.label(columns.text(Column::ConversationId));
    let agent_id = texts.label(columns.text(Column::AgentId));
    let (attributes, attributes_cut) = leftovers.into_json();
    let message = message.or_else(|| error_type.clone()).unwrap_or_else(|| NO_MESSAGE.into());
    ErrorEvent {
        error_type,
        message,
        stacktrace,
        severity: Severity::Error,
        component,
        conversation_id,
        agent_id,
        text_truncated: texts.was_cut || attributes_cut,
        attributes,
        ..ErrorEvent::default()
    }
}

/// The message of an error that nobody described.
const NO_MESSAGE: &str = "an error without a message";
