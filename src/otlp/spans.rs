//! One span to one row of `llm_traces`, or to nothing.

use std::ops::Range;

use super::Context;
use super::attributes::{Leftovers, json_head};
use super::dialects::{self, Column};
use super::genai::{self, Columns};
use super::proto::{Any, KeyValue, Span};
use super::reading::Cell;
use super::text::cut;
use crate::config::{Capture, TextConfig};
use crate::event::{CostSource, Event, EventId, Kind, LlmTrace, PicoUsd, Source, Status, Unit};

/// The event that a span is. `None` = it is no call of a model.
///
/// # Errors
/// The reason why it is no span: its ids. A log record or metric read as a span ends here.
pub(super) fn event(
    span: &Span,
    service_name: Option<&str>,
    source: Source,
    context: &Context,
) -> Result<Option<Event>, &'static str> {
    if !is_id(&span.trace_id, TRACE_ID_BYTES) {
        return Err("a span's trace id must be 16 bytes, not all of them zero");
    }
    if !is_id(&span.span_id, SPAN_ID_BYTES) {
        return Err("a span's span id must be 8 bytes, not all of them zero");
    }
    let columns = columns_of(span);
    let Some(unit) = genai::unit_of(&span.name, span.start_ns == span.end_ns, &columns) else {
        return Ok(None);
    };
    let start_ms = (span.start_ns / NANOS_PER_MILLI) as i64;
    let identity = [b"llm_traces\0", &span.trace_id[..], &span.span_id[..]].concat();
    let mut trace = row(span, unit, &columns, context.text);
    trace.timestamp_ms = if START_NS.contains(&span.start_ns) { start_ms } else { context.now_ms };
    trace.service_name = service_name.map(Box::from);
    trace.source = source;
    Ok(Some(Event {
        id: EventId::of_record(start_ms, &identity),
        received_at_ms: context.now_ms,
        kind: Kind::LlmTrace(Box::new(trace)),
    }))
}

/// The attributes of a span and of the exceptions in it.
fn columns_of(span: &Span) -> Columns<'_> {
    let mut columns = Columns::new();
    let exceptions = span.events.iter().filter(|event| event.name == EXCEPTION);
    let of_exceptions = exceptions.flat_map(|event| &event.attributes).filter(|a| a.key.starts_with(EXCEPTION));
    for attribute in span.attributes.iter().chain(of_exceptions) {
        if let Some(value) = &attribute.value {
            columns.offer(&attribute.key, value);
        }
    }
    columns
}

fn row(span: &Span, unit: Unit, columns: &Columns<'_>, config: TextConfig) -> LlmTrace {
    let is_error = span.status.as_ref().is_some_and(|status| status.code == STATUS_ERROR);
    let (input_tokens, was_exclusive) = columns.input_tokens();
    let (output_tokens, was_visible) = columns.output_tokens();
    let has_tokens = input_tokens.max(output_tokens).is_some_and(|tokens| tokens > 0);
    // Zero for tokens that were used is a producer without prices, not a gift; for a failure it says nothing.
    let is_evidence = |cost: &PicoUsd| *cost > PicoUsd(0) || !(is_error || has_tokens);
    let cost = cost(columns).filter(is_evidence);
    let mut leftovers = Leftovers::of(&span.attributes);
    if was_exclusive || was_visible {
        leftovers.mark(USAGE_NORMALIZED);
    }
    let (attributes, attributes_cut) = leftovers.into_json();
    let mut texts = Texts { was_cut: attributes_cut };
    let input_text = texts.content(span, columns, Column::InputText, dialects::INDEXED_INPUT, config);
    let output_text = texts.content(span, columns, Column::OutputText, dialects::INDEXED_OUTPUT, config);
    let error_message = texts.error_message(span, columns);
    let mut label = |column| texts.label(columns.text(column));
    let response_model = label(Column::ResponseModel);
    let request_model = label(Column::RequestModel).or_else(|| response_model.clone());
    LlmTrace {
        provider: label(Column::Provider),
        request_model: request_model.unwrap_or_else(|| UNKNOWN_MODEL.into()),
        response_model,
        operation: label(Column::Operation).unwrap_or_else(|| dialects::CHAT.into()),
        input_tokens,
        output_tokens,
        cache_read_tokens: columns.whole(Column::CacheReadTokens),
        cache_write_tokens: columns.whole(Column::CacheWriteTokens),
        reasoning_tokens: columns.whole(Column::ReasoningTokens),
        cost,
        cost_source: if cost.is_some() { CostSource::Client } else { CostSource::None },
        latency_ms: if unit == Unit::UsageOnly { None } else { latency_ms(span, columns) },
        ttft_ms: columns.whole(Column::Ttft),
        ttfb_ms: columns.whole(Column::Ttfb),
        status: if is_error { Status::Error } else { Status::Ok },
        error_type: label(Column::ErrorType),
        error_message,
        finish_reason: label(Column::FinishReason),
        response_id: label(Column::ResponseId),
        conversation_id: label(Column::ConversationId),
        agent_id: label(Column::AgentId),
        agent_name: label(Column::AgentName),
        user_id: label(Column::UserId),
        streaming: columns.flag(Column::Streaming),
        unit,
        otel_trace_id: Some(hex(&span.trace_id)),
        otel_span_id: Some(hex(&span.span_id)),
        otel_parent_span_id: is_id(&span.parent_span_id, SPAN_ID_BYTES).then(|| hex(&span.parent_span_id)),
        input_text,
        output_text,
        channel: label(Column::Channel),
        trigger: label(Column::Trigger),
        text_truncated: texts.was_cut,
        attributes,
        ..LlmTrace::default()
    }
}

/// From start to end. A usage report without a length is not asked: nobody measured the call.
fn latency_ms(span: &Span, columns: &Columns<'_>) -> Option<i64> {
    let is_known = span.start_ns > 0 && span.end_ns >= span.start_ns;
    let length_ns = is_known.then(|| span.end_ns - span.start_ns);
    let rounded = |ns: u64| (ns / NANOS_PER_MILLI + u64::from(ns % NANOS_PER_MILLI >= NANOS_PER_MILLI / 2)) as i64;
    length_ns.map(rounded).or_else(|| columns.whole(Column::Latency))
}

/// What the producer says that the call cost.
fn cost(columns: &Columns<'_>) -> Option<PicoUsd> {
    if let Some(Cell::Cost(cost)) = columns.cell(Column::Cost) { Some(cost) } else { None }
}

/// Makes the texts of one row, and remembers whether one was cut.
struct Texts {
    was_cut: bool,
}

impl Texts {
    fn label(&mut self, bytes: Option<&[u8]>) -> Option<Box<str>> {
        bytes.map(|bytes| self.cut(bytes, LABEL_BYTES_MAX))
    }

    fn error_message(&mut self, span: &Span, columns: &Columns<'_>) -> Option<Box<str>> {
        let of_status = span.status.as_ref().map(|status| &status.message[..]).filter(|message| !message.is_empty());
        let message = of_status.or_else(|| columns.text(Column::ErrorMessage))?;
        Some(self.cut(message, ERROR_MESSAGE_BYTES_MAX))
    }

    /// A prompt or a completion, if such are kept. `indexed` are the starts of the names that hold it in parts.
    fn content(
        &mut self,
        span: &Span,
        columns: &Columns<'_>,
        column: Column,
        indexed: &[&str],
        config: TextConfig,
    ) -> Option<Box<str>> {
        if config.capture != Capture::All {
            return None;
        }
        match columns.cell(column) {
            Some(Cell::Content(Any::Text(text))) => Some(self.cut(text, config.max_bytes)),
            Some(Cell::Content(value)) => {
                let (head, is_all) = json_head(value, config.max_bytes);
                self.was_cut |= !is_all;
                Some(self.cut(&head, config.max_bytes))
            }
            _ => {
                let parts = parts(span, indexed, config.max_bytes);
                (!parts.is_empty()).then(|| self.cut(&parts, config.max_bytes))
            }
        }
    }

    fn cut(&mut self, bytes: &[u8], max: usize) -> Box<str> {
        let (text, was_cut) = cut(bytes, max);
        self.was_cut |= was_cut;
        text.into_boxed_str()
    }
}

/// The contents of indexed messages in their order, one a line, until they are longer than `max` bytes.
fn parts(span: &Span, indexed: &[&str], max: usize) -> Vec<u8> {
    let mut joined = Vec::new();
    for KeyValue { key, value } in &span.attributes {
        let is_part = key.ends_with(b".content") && indexed.iter().any(|start| key.starts_with(start.as_bytes()));
        let Some(Any::Text(text)) = value.as_ref().and_then(|value| value.value.as_ref()).filter(|_| is_part) else {
            continue;
        };
        if !joined.is_empty() {
            joined.push(b'\n');
        }
        joined.extend_from_slice(text);
        if joined.len() > max {
            break;
        }
    }
    joined
}

fn is_id(bytes: &[u8], length: usize) -> bool {
    bytes.len() == length && bytes.iter().any(|byte| *byte != 0)
}

fn hex(bytes: &[u8]) -> Box<str> {
    let digit = |nibble: u8| char::from(HEX_DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect::<String>().into_boxed_str()
}

const TRACE_ID_BYTES: usize = 16;
const SPAN_ID_BYTES: usize = 8;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
const NANOS_PER_MILLI: u64 = 1_000_000;
/// A start is known, and before the year 2200. Later ones are other numbers that were read as a time.
const START_NS: Range<u64> = 1..7_258_118_400_000_000_000;
/// `STATUS_CODE_ERROR`
const STATUS_ERROR: i32 = 2;
/// Name of the event that tells of an exception, and start of the names of its attributes.
const EXCEPTION: &[u8] = b"exception";
/// Models, ids and reasons are short; what is longer is not one.
const LABEL_BYTES_MAX: usize = 512;
/// What a provider answers to a bad request can be a page.
const ERROR_MESSAGE_BYTES_MAX: usize = 4096;
/// The model of a call whose span does not name one.
const UNKNOWN_MODEL: &str = "unknown";
/// Marks a row whose producer counted a part (cached tokens, reasoning) beside the whole, under an inclusive name.
const USAGE_NORMALIZED: &str = "usage_normalized";
