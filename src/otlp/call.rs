//! A span that is a call of a model, as a row of `llm_traces`.

use std::ops::Range;

use super::Context;
use super::attributes::{Leftovers, json_head};
use super::dialects::{self, Column};
use super::genai::Columns;
use super::proto::{Any, KeyValue, Span};
use super::reading::{Cell, Reading};
use super::text::{WINDOW_BYTES, cut};
use crate::config::{Capture, TextConfig};
use crate::event::{Besides, CostSource, LlmTrace, PicoUsd, Status, Table, Unit};

/// The row of a call; who sent it is not said yet.
pub(super) fn row(span: &Span, unit: Unit, columns: &Columns<'_>, context: &Context) -> LlmTrace {
    let mut leftovers = Leftovers::of(&span.attributes, Table::LlmTraces, columns.dialect());
    let ((_, was_exclusive), (_, was_visible)) = (columns.input_tokens(), columns.output_tokens());
    if was_exclusive || was_visible {
        leftovers.mark(USAGE_NORMALIZED, &Any::Flag(true));
    }
    row_with(span, unit, columns, context, leftovers)
}

/// The same with these for its `attributes`.
pub(super) fn row_with(
    span: &Span,
    unit: Unit,
    columns: &Columns<'_>,
    context: &Context,
    leftovers: Leftovers,
) -> LlmTrace {
    LlmTrace { timestamp_ms: start_ms(span, context), ..measured(span, unit, columns, context.text, leftovers) }
}

/// When a span started, Unix milliseconds; when it came, where that is not known.
pub(super) fn start_ms(span: &Span, context: &Context) -> i64 {
    millis(span.start_ns).unwrap_or(context.now_ms)
}

/// Unix nanoseconds as milliseconds. `None` = not known, or no time.
pub(super) fn millis(ns: u64) -> Option<i64> {
    KNOWN_NS.contains(&ns).then_some((ns / NANOS_PER_MILLI) as i64)
}

/// Whether the status of a span says that it failed.
pub(super) fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == STATUS_ERROR)
}

fn measured(span: &Span, unit: Unit, columns: &Columns<'_>, config: TextConfig, leftovers: Leftovers) -> LlmTrace {
    let is_error = is_error(span);
    let ((input_tokens, _), (output_tokens, _)) = (columns.input_tokens(), columns.output_tokens());
    let has_tokens = input_tokens.max(output_tokens).is_some_and(|tokens| tokens > 0);
    // Zero for tokens that were used is a producer without prices, not a gift; for a failure it says nothing.
    let is_evidence = |cost: &PicoUsd| *cost > PicoUsd(0) || !(is_error || has_tokens);
    let cost = cost(columns).filter(is_evidence);
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
        latency_ms: latency_ms(span, unit, columns),
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
        otel_trace_id: trace_id(&span.trace_id),
        otel_span_id: span_id(&span.span_id),
        otel_parent_span_id: span_id(&span.parent_span_id),
        input_text,
        output_text,
        channel: label(Column::Channel),
        trigger: label(Column::Trigger),
        service_tier: label(Column::ServiceTier).map(|tier| tier.to_ascii_lowercase().into_boxed_str()),
        besides: besides(&span.attributes),
        text_truncated: texts.was_cut,
        attributes,
        ..LlmTrace::default()
    }
}

/// A usage report without a length is not asked: nobody measured the call.
fn latency_ms(span: &Span, unit: Unit, columns: &Columns<'_>) -> Option<i64> {
    if unit == Unit::UsageOnly { None } else { length_ms(span).or_else(|| columns.whole(Column::Latency)) }
}

/// From start to end, rounded to milliseconds. `None` = not known.
pub(super) fn length_ms(span: &Span) -> Option<i64> {
    let is_known = span.start_ns > 0 && span.end_ns >= span.start_ns;
    let length_ns = is_known.then(|| span.end_ns - span.start_ns);
    let rounded = |ns: u64| (ns / NANOS_PER_MILLI + u64::from(ns % NANOS_PER_MILLI >= NANOS_PER_MILLI / 2)) as i64;
    length_ns.map(rounded)
}

/// What the call used besides tokens of text.
fn besides(attributes: &[KeyValue]) -> Besides {
    let mut besides = Besides::default();
    for attribute in attributes {
        let named = dialects::BESIDES.iter().find(|(name, _)| name.as_bytes() == attribute.key);
        let Some((_, set)) = named else { continue };
        if let Some(Cell::Whole(1..)) = attribute.any().and_then(|value| Reading::Tokens.read(value)) {
            set(&mut besides);
        }
    }
    besides
}

/// What the producer says that the call cost.
fn cost(columns: &Columns<'_>) -> Option<PicoUsd> {
    if let Some(Cell::Cost(cost)) = columns.cell(Column::Cost) { Some(cost) } else { None }
}

/// Makes the texts of one row, and remembers whether one was cut.
pub(super) struct Texts {
    pub(super) was_cut: bool,
}

impl Texts {
    /// A name or an id.
    pub(super) fn label(&mut self, bytes: Option<&[u8]>) -> Option<Box<str>> {
        bytes.map(|bytes| self.cut(bytes, LABEL_BYTES_MAX))
    }

    pub(super) fn error_message(&mut self, span: &Span, columns: &Columns<'_>) -> Option<Box<str>> {
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
                Some(head.into_boxed_str())
            }
            _ => {
                let parts = parts(span, indexed, config.max_bytes.saturating_add(WINDOW_BYTES));
                (!parts.is_empty()).then(|| self.cut(&parts, config.max_bytes))
            }
        }
    }

    /// At most so many bytes.
    pub(super) fn cut(&mut self, bytes: &[u8], max: usize) -> Box<str> {
        let (text, was_cut) = cut(bytes, max);
        self.was_cut |= was_cut;
        text.into_boxed_str()
    }
}

/// The contents of indexed messages in their order, one a line, until they are longer than `max` bytes.
fn parts(span: &Span, indexed: &[&str], max: usize) -> Vec<u8> {
    let mut joined = Vec::new();
    for attribute in &span.attributes {
        let key = &attribute.key;
        let is_part = key.ends_with(b".content") && indexed.iter().any(|start| key.starts_with(start.as_bytes()));
        let Some(Any::Text(text)) = attribute.any().filter(|_| is_part) else { continue };
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

/// An OTel trace id in hex, if it is one.
pub(super) fn trace_id(bytes: &[u8]) -> Option<Box<str>> {
    is_trace_id(bytes).then(|| hex(bytes))
}

/// An OTel span id in hex, if it is one.
pub(super) fn span_id(bytes: &[u8]) -> Option<Box<str>> {
    is_span_id(bytes).then(|| hex(bytes))
}

/// Whether these bytes are an OTel trace id.
pub(super) fn is_trace_id(bytes: &[u8]) -> bool {
    is_id(bytes, TRACE_ID_BYTES)
}

/// Whether these bytes are an OTel span id.
pub(super) fn is_span_id(bytes: &[u8]) -> bool {
    is_id(bytes, SPAN_ID_BYTES)
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
pub(super) const NANOS_PER_MILLI: u64 = 1_000_000;
/// A time is known, and before the year 2200. Later ones are other numbers that were read as a time.
const KNOWN_NS: Range<u64> = 1..7_258_118_400_000_000_000;
/// `STATUS_CODE_ERROR`
pub(super) const STATUS_ERROR: i32 = 2;
/// Models, ids and reasons are short; what is longer is not one.
const LABEL_BYTES_MAX: usize = 512;
/// What a provider answers to a bad request can be a page.
pub(super) const ERROR_MESSAGE_BYTES_MAX: usize = 4096;
/// About two hundred frames, as for native errors.
pub(super) const STACKTRACE_BYTES_MAX: usize = 16 << 10;
/// The model of a call whose span does not name one.
pub(super) const UNKNOWN_MODEL: &str = "unknown";
/// Marks a row whose producer counted a part (cached tokens, reasoning) beside the whole, under an inclusive name.
const USAGE_NORMALIZED: &str = "usage_normalized";
