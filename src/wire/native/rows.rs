//! From the fields of one item to its row, one function for each kind.

use super::apart;
use super::fields::Fields;
use super::names::Column;
use super::row::Row;
use super::usage::Tokens;
use super::value;
use super::{Context, Invalid};
use crate::event::{CostSource, CustomEvent, ErrorEvent, Event, Kind, LlmTrace, Severity, Status, Table, Unit};

/// Hex digits of an OTel trace id.
const TRACE_ID_DIGITS: usize = 32;
/// Hex digits of an OTel span id.
const SPAN_ID_DIGITS: usize = 16;
/// What a call is when nobody says.
const OPERATION: &str = "chat";

/// The event of one item.
pub(super) fn event(table: Table, fields: Fields<'_>, index: usize, context: &Context<'_>) -> Result<Event, Invalid> {
    let mut row = Row { fields: fields.bounded()?, context, truncated: false };
    let id = row.id(table, index)?;
    let kind = match table {
        Table::LlmTraces => Kind::LlmTrace(Box::new(trace(&mut row)?)),
        Table::CustomEvents => Kind::CustomEvent(Box::new(custom(&mut row)?)),
        Table::ErrorEvents => Kind::ErrorEvent(Box::new(error(&mut row)?)),
        Table::SystemMetrics => unreachable!("parse refuses the table before it reads an item"),
    };
    Ok(Event { id, received_at_ms: context.now_ms, kind })
}

fn trace(row: &mut Row<'_, '_>) -> Result<LlmTrace, Invalid> {
    let failed = row.spread_error(&[Column::ErrorType, Column::Message])?;
    row.fields.prefer(Column::Status, Column::Success);
    row.fields.prefer(Column::TtftMs, Column::TtftSeconds);
    let provider = row.name(Column::Provider)?;
    let response_model = row.name(Column::ResponseModel)?;
    let request_model = row.name(Column::RequestModel)?.or_else(|| response_model.clone());
    let tokens = Tokens::read(&mut row.fields, provider.as_deref())?;
    let service_tier = apart::service_tier(&mut row.fields);
    let mut trace = LlmTrace {
        timestamp_ms: row.timestamp_ms()?,
        request_model: request_model.ok_or_else(|| missing(row, Column::RequestModel, "model"))?,
        provider,
        response_model,
        operation: row.name(Column::Operation)?.unwrap_or_else(|| OPERATION.into()),
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        cache_read_tokens: tokens.cache_read,
        cache_write_tokens: tokens.cache_write,
        cache_write_1h_tokens: tokens.cache_write_1h,
        reasoning_tokens: tokens.reasoning,
        cost: tokens.cost,
        cost_source: if tokens.cost.is_some() { CostSource::Client } else { CostSource::None },
        latency_ms: row.milliseconds(Column::LatencyMs)?,
        ttft_ms: ttft_ms(row)?,
        ttfb_ms: row.milliseconds(Column::TtfbMs)?,
        error_type: row.name(Column::ErrorType)?,
        error_message: row.message(Column::Message)?,
        finish_reason: finish_reason(row)?,
        response_id: row.name(Column::ResponseId)?,
        conversation_id: row.name(Column::ConversationId)?,
        agent_id: row.name(Column::AgentId)?,
        agent_name: row.name(Column::AgentName)?,
        user_id: row.name(Column::UserId)?,
        streaming: row.flag(Column::Streaming)?,
        unit: row.word(Column::Unit, "request, turn, turn_sum or usage_only", Unit::parse)?.unwrap_or_default(),
        otel_trace_id: row.otel_id(Column::OtelTraceId, TRACE_ID_DIGITS)?,
        otel_span_id: row.otel_id(Column::OtelSpanId, SPAN_ID_DIGITS)?,
        otel_parent_span_id: row.otel_id(Column::OtelParentSpanId, SPAN_ID_DIGITS)?,
        input_text: row.captured(Column::InputText),
        output_text: row.captured(Column::OutputText),
        service_name: row.name(Column::ServiceName)?,
        channel: row.name(Column::Channel)?,
        trigger: row.name(Column::Trigger)?,
        service_tier,
        besides: apart::besides(&row.fields.extras),
        ..LlmTrace::default()
    };
    trace.status = status(row, failed || trace.error_type.is_some() || trace.error_message.is_some())?;
    trace.attributes = row.attributes(if tokens.normalized { &[("usage_normalized", "true")] } else { &[] });
    trace.text_truncated = row.truncated;
    Ok(trace)
}

fn custom(row: &mut Row<'_, '_>) -> Result<CustomEvent, Invalid> {
    let mut event = CustomEvent {
        timestamp_ms: row.timestamp_ms()?,
        name: row.name(Column::Name)?.ok_or_else(|| missing(row, Column::Name, "name"))?,
        severity: row.severity()?,
        conversation_id: row.name(Column::ConversationId)?,
        agent_id: row.name(Column::AgentId)?,
        otel_trace_id: row.otel_id(Column::OtelTraceId, TRACE_ID_DIGITS)?,
        otel_span_id: row.otel_id(Column::OtelSpanId, SPAN_ID_DIGITS)?,
        body: row.body(),
        service_name: row.name(Column::ServiceName)?,
        ..CustomEvent::default()
    };
    event.attributes = row.attributes(&[]);
    event.text_truncated = row.truncated;
    Ok(event)
}

fn error(row: &mut Row<'_, '_>) -> Result<ErrorEvent, Invalid> {
    row.spread_error(&[Column::ErrorType, Column::Message, Column::Stacktrace])?;
    let mut event = ErrorEvent {
        timestamp_ms: row.timestamp_ms()?,
        error_type: row.name(Column::ErrorType)?,
        message: row.message(Column::Message)?.ok_or_else(|| missing(row, Column::Message, "message"))?,
        stacktrace: row.stacktrace()?,
        severity: row.severity()?.unwrap_or(Severity::Error),
        handled: row.flag(Column::Handled)?,
        component: row.name(Column::Component)?,
        conversation_id: row.name(Column::ConversationId)?,
        agent_id: row.name(Column::AgentId)?,
        otel_trace_id: row.otel_id(Column::OtelTraceId, TRACE_ID_DIGITS)?,
        otel_span_id: row.otel_id(Column::OtelSpanId, SPAN_ID_DIGITS)?,
        fingerprint: row.name(Column::Fingerprint)?,
        service_name: row.name(Column::ServiceName)?,
        ..ErrorEvent::default()
    };
    event.attributes = row.attributes(&[]);
    event.text_truncated = row.truncated;
    Ok(event)
}

/// What to say about a column that a row cannot do without: how it was called if it was empty, else `name`.
fn missing(row: &Row<'_, '_>, column: Column, name: &'static str) -> Invalid {
    match row.fields.column(column) {
        Some(found) => found.invalid("a text that is not empty"),
        None => Invalid::new(name, "a text", "nothing"),
    }
}

/// How the call ended: what is said, else what the errors tell.
fn status(row: &Row<'_, '_>, failed: bool) -> Result<Status, Invalid> {
    let said = row.word(Column::Status, "ok, error, timeout or cancelled", |word| match word {
        "success" | "succeeded" | "completed" => Some(Status::Ok),
        "failure" | "failed" => Some(Status::Error),
        "timed_out" | "timedout" => Some(Status::Timeout),
        "canceled" | "aborted" => Some(Status::Cancelled),
        word => Status::parse(word),
    })?;
    let succeeded = row.flag(Column::Success)?;
    Ok(match (said, succeeded) {
        (Some(status), _) => status,
        (None, Some(true)) => Status::Ok,
        (None, Some(false)) => Status::Error,
        (None, None) if failed => Status::Error,
        (None, None) => Status::Ok,
    })
}

/// Milliseconds to the first token; OTel counts them in seconds.
fn ttft_ms(row: &Row<'_, '_>) -> Result<Option<i64>, Invalid> {
    /// The column is whole milliseconds, and longer waits than a year are no waits.
    const SECONDS_MAX: f64 = 366.0 * 86_400.0;
    if let Some(ms) = row.milliseconds(Column::TtftMs)? {
        return Ok(Some(ms));
    }
    let Some(found) = row.fields.column(Column::TtftSeconds) else { return Ok(None) };
    let seconds = value::text(found.raw).and_then(|text| text.parse::<f64>().ok());
    match seconds.filter(|s| (0.0..=SECONDS_MAX).contains(s)) {
        Some(seconds) => Ok(Some((seconds * 1000.0).round() as i64)),
        None => Err(found.invalid("a number of seconds, at least 0")),
    }
}

/// Why the model stopped: a text, or the first of a list.
fn finish_reason(row: &mut Row<'_, '_>) -> Result<Option<Box<str>>, Invalid> {
    row.fields.first_of_list(Column::FinishReason);
    row.name(Column::FinishReason)
}
