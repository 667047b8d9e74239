//! A row of `llm_traces` as a span, by the conventions for generative AI.

use super::super::own;
use super::super::writing::{self, message};
use super::attributes::Attributes;
use super::{RECORDS, Row, nanos};
use crate::event::{EventId, Status, Table, Value};

/// How the value of a column is written.
#[derive(Clone, Copy)]
pub(super) enum As {
    /// As it is.
    Is,
    /// 0 or 1 as true or false.
    Flag,
    /// Only where it is 1.
    FlagIfSet,
    /// Milliseconds as seconds.
    Seconds,
    /// A text as a list of it.
    List,
    /// A JSON object as an attribute for each member.
    Object,
}

/// What column goes into which attributes. `gen_ai.system` is the older name of the provider and `session.id` what Langfuse
/// and Phoenix call a conversation; both read `input.value` and `gen_ai.usage.cost`, which OTel has no names for.
#[rustfmt::skip]
pub(super) const ATTRIBUTES: &[(&str, As, &[&str])] = &[
    ("trace_id", As::Is, &[own::TRACE_ID]),
    ("received_at", As::Is, &[own::RECEIVED_AT]),
    ("provider", As::Is, &["gen_ai.provider.name", "gen_ai.system"]),
    ("request_model", As::Is, &["gen_ai.request.model"]),
    ("response_model", As::Is, &["gen_ai.response.model"]),
    ("operation", As::Is, &["gen_ai.operation.name"]),
    ("input_tokens", As::Is, &["gen_ai.usage.input_tokens"]),
    ("output_tokens", As::Is, &["gen_ai.usage.output_tokens"]),
    ("cache_read_tokens", As::Is, &["gen_ai.usage.cache_read.input_tokens"]),
    ("cache_write_tokens", As::Is, &["gen_ai.usage.cache_creation.input_tokens"]),
    ("cache_write_1h_tokens", As::Is, &[own::CACHE_WRITE_1H_TOKENS]),
    ("reasoning_tokens", As::Is, &["gen_ai.usage.reasoning.output_tokens"]),
    ("cost_picousd", As::Is, &[own::COST_PICOUSD]),
    ("cost_usd", As::Is, &["gen_ai.usage.cost"]),
    ("cost_source", As::Is, &[own::COST_SOURCE]),
    ("price_version", As::Is, &[own::PRICE_VERSION]),
    ("latency_ms", As::Is, &[own::LATENCY_MS]),
    ("ttft_ms", As::Seconds, &["gen_ai.response.time_to_first_chunk"]),
    ("ttfb_ms", As::Is, &["openclaw.model_call.time_to_first_byte_ms"]),
    ("error_type", As::Is, &["error.type"]),
    ("finish_reason", As::List, &["gen_ai.response.finish_reasons"]),
    ("response_id", As::Is, &["gen_ai.response.id"]),
    ("conversation_id", As::Is, &["gen_ai.conversation.id", "session.id"]),
    ("agent_id", As::Is, &["gen_ai.agent.id"]),
    ("agent_name", As::Is, &["gen_ai.agent.name"]),
    ("user_id", As::Is, &["user.id"]),
    ("streaming", As::Flag, &["gen_ai.request.stream"]),
    ("unit", As::Is, &[own::UNIT]),
    ("input_text", As::Is, &["input.value"]),
    ("output_text", As::Is, &["output.value"]),
    ("text_truncated", As::FlagIfSet, &[own::TEXT_TRUNCATED]),
    ("service_name", As::Is, &[own::SERVICE_NAME]),
    ("source", As::Is, &[own::SOURCE]),
    ("channel", As::Is, &["openclaw.channel"]),
    ("trigger", As::Is, &["openclaw.trigger"]),
    ("attributes", As::Object, &[]),
];

/// Appends the span.
pub(super) fn write(row: &Row<'_>, out: &mut Vec<u8>) {
    message(out, RECORDS, |out| {
        let ids = Ids::of(row);
        writing::bytes(out, TRACE_ID, &ids.trace_id);
        writing::bytes(out, SPAN_ID, &ids.span_id);
        if let Some(parent) = ids.parent_span_id {
            writing::bytes(out, PARENT_SPAN_ID, &parent);
        }
        let operation = row.text("operation").unwrap_or_default();
        writing::bytes(out, NAME, [operation, " ", row.text("request_model").unwrap_or_default()].concat().as_bytes());
        writing::number(out, KIND, KIND_CLIENT);
        let start_ms = row.whole("timestamp").unwrap_or(0);
        writing::fixed64(out, START, nanos(start_ms));
        let latency_ms = row.whole("latency_ms").unwrap_or(0).max(0);
        writing::fixed64(out, END, nanos(start_ms.saturating_add(latency_ms)).max(nanos(start_ms)));
        let status = row.text("status").and_then(Status::parse).unwrap_or_default();
        let message = row.text("error_message");
        attributes(row, &ids, status, out);
        if status != Status::Ok {
            writing::message(out, STATUS, |out| {
                writing::bytes(out, STATUS_MESSAGE, message.unwrap_or_default().as_bytes());
                writing::number(out, STATUS_CODE, STATUS_CODE_ERROR);
            });
        }
    });
}

fn attributes(row: &Row<'_>, ids: &Ids, status: Status, out: &mut Vec<u8>) {
    let mut attributes = Attributes::new(SPAN_ATTRIBUTES, out);
    // What OpenInference, and so Phoenix, calls it.
    let kind = if row.text("operation") == Some("embeddings") { "EMBEDDING" } else { "LLM" };
    attributes.text("openinference.span.kind", kind);
    if let Some(message) = row.text("error_message").filter(|_| status == Status::Ok) {
        attributes.text(own::ERROR_MESSAGE, message);
    }
    if !matches!(status, Status::Ok | Status::Error) {
        attributes.text(own::STATUS, status.as_str());
    }
    if !ids.is_the_span {
        for (column, name) in [("otel_span_id", own::OTEL_SPAN_ID), ("otel_parent_span_id", own::OTEL_PARENT_SPAN_ID)] {
            if let Some(id) = row.text(column) {
                attributes.text(name, id);
            }
        }
    }
    for (column, value) in row.0 {
        let known = ATTRIBUTES.iter().find(|(name, ..)| name == column);
        let Some((_, written, names)) = known else { continue };
        put(&mut attributes, *written, names, *value);
    }
}

fn put(attributes: &mut Attributes<'_>, written: As, names: &[&str], value: Value<'_>) {
    for name in names {
        match (written, value) {
            (As::Flag, Value::Integer(flag)) => attributes.flag(name, flag != 0),
            (As::FlagIfSet, Value::Integer(flag)) if flag != 0 => attributes.flag(name, true),
            (As::FlagIfSet, Value::Integer(_)) => {}
            (As::Seconds, Value::Integer(ms)) => attributes.real(name, ms as f64 / MILLIS_PER_SECOND),
            (As::List, Value::Text(text)) => attributes.list_of(name, text),
            (_, Value::Integer(number)) => attributes.whole(name, number),
            (_, Value::Real(number)) => attributes.real(name, number),
            (_, Value::Text(text) | Value::Json(text)) => attributes.text(name, text),
            (_, Value::Null) => {}
        }
    }
    if let (As::Object, Value::Json(json)) = (written, value) {
        attributes.object(json, Table::LlmTraces);
    }
}

/// The ids that a span has. They are made of the row alone.
struct Ids {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    parent_span_id: Option<[u8; 8]>,
    /// Whether the row is the span of OTel whose ids it has. If not, it was made in that one, and has an id of its own: no
    /// two rows have the same, which a receiver would take for one span sent twice.
    is_the_span: bool,
}

impl Ids {
    fn of(row: &Row<'_>) -> Ids {
        // Every row has an id that is a UUID, unless somebody else wrote it: then it is a hash of what is there.
        let said = row.text("trace_id").unwrap_or_default();
        let id = EventId::parse(said).unwrap_or_else(|| EventId::of_record(0, said.as_bytes()));
        let otel_trace_id = row.text("otel_trace_id").and_then(own::unhex::<16>);
        let otel_span_id = row.text("otel_span_id").and_then(own::unhex::<8>);
        let start_ms = row.whole("timestamp").unwrap_or(0);
        match (otel_trace_id, otel_span_id) {
            (Some(trace_id), Some(span_id)) if own::is_the_span(id, start_ms, &trace_id, &span_id) => {
                let parent_span_id = row.text("otel_parent_span_id").and_then(own::unhex::<8>);
                Ids { trace_id, span_id, parent_span_id, is_the_span: true }
            }
            _ => Ids {
                trace_id: otel_trace_id.unwrap_or(id.to_bytes()),
                span_id: own::span_id_of(id),
                parent_span_id: otel_span_id.filter(|_| otel_trace_id.is_some()),
                is_the_span: false,
            },
        }
    }
}

const MILLIS_PER_SECOND: f64 = 1000.0;
/// `Span`
const TRACE_ID: u8 = 1;
const SPAN_ID: u8 = 2;
const PARENT_SPAN_ID: u8 = 4;
const NAME: u8 = 5;
const KIND: u8 = 6;
const START: u8 = 7;
const END: u8 = 8;
const SPAN_ATTRIBUTES: u8 = 9;
const STATUS: u8 = 15;
/// `SPAN_KIND_CLIENT`
const KIND_CLIENT: u64 = 3;
/// `Status`
const STATUS_MESSAGE: u8 = 2;
const STATUS_CODE: u8 = 3;
/// `STATUS_CODE_ERROR`
const STATUS_CODE_ERROR: u64 = super::super::call::STATUS_ERROR as u64;
