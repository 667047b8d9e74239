//! What sidecars tell each other: the attributes `openclaw_trace.*` that a push as OTLP has, and that make the row that it was
//! made of again.
//!
//! A span or a log record that carries the id of a row is that row: it has its id here too, and so is stored once however
//! many sidecars it goes through. Whoever sends it chooses the id, as a client of native JSON may.

use super::attributes::Leftovers;
use super::call::{self, ERROR_MESSAGE_BYTES_MAX, STACKTRACE_BYTES_MAX, Texts, is_span_id, is_trace_id};
use super::dialects::Column;
use super::events::log_ms;
use super::genai::{Columns, Dialect};
use super::logs::severity_of;
use super::proto::{Any, KeyValue, LogRecord, Span};
use super::reading::{Cell, Reading};
use super::spans::{columns_of, id_of_span};
use super::{Context, Intake};
use crate::event::{
    CostSource, CustomEvent, ErrorEvent, Event, EventId, Kind, LlmTrace, PicoUsd, Source, Status, Table, Unit,
};

/// Start of the names of all of them.
pub(super) const PREFIX: &str = "openclaw_trace.";
/// Id of the row.
pub(super) const TRACE_ID: &str = "openclaw_trace.trace_id";
/// Table of a row that is a log record.
pub(super) const TABLE: &str = "openclaw_trace.table";
/// Start of what is among the `attributes` of a row under a name that means something else.
pub(super) const ATTRIBUTES: &str = "openclaw_trace.attributes.";
/// What has the same name as the column.
pub(super) const UNIT: &str = "openclaw_trace.unit";
pub(super) const SOURCE: &str = "openclaw_trace.source";
pub(super) const SERVICE_NAME: &str = "openclaw_trace.service_name";
pub(super) const RECEIVED_AT: &str = "openclaw_trace.received_at";
pub(super) const TEXT_TRUNCATED: &str = "openclaw_trace.text_truncated";
pub(super) const COST_PICOUSD: &str = "openclaw_trace.cost_picousd";
pub(super) const COST_SOURCE: &str = "openclaw_trace.cost_source";
pub(super) const PRICE_VERSION: &str = "openclaw_trace.price_version";
pub(super) const CACHE_WRITE_1H_TOKENS: &str = "openclaw_trace.cache_write_1h_tokens";
pub(super) const LATENCY_MS: &str = "openclaw_trace.latency_ms";
/// Only where the status of the span does not say it.
pub(super) const STATUS: &str = "openclaw_trace.status";
/// Only where they are not those of the span.
pub(super) const OTEL_SPAN_ID: &str = "openclaw_trace.otel_span_id";
pub(super) const OTEL_PARENT_SPAN_ID: &str = "openclaw_trace.otel_parent_span_id";
pub(super) const HANDLED: &str = "openclaw_trace.handled";
pub(super) const COMPONENT: &str = "openclaw_trace.component";
pub(super) const FINGERPRINT: &str = "openclaw_trace.fingerprint";

/// The span id of a row that is no span of OTel: its two halves, one over the other, so that ids that count in either half
/// give different ones; where that is zero, which is no id, the second.
pub(super) fn span_id_of(row: EventId) -> [u8; 8] {
    let (first, second) = halves(row);
    let mixed = first ^ second;
    (if mixed == 0 { second } else { mixed }).to_be_bytes()
}

fn halves(row: EventId) -> (u64, u64) {
    let whole = u128::from_be_bytes(row.to_bytes());
    ((whole >> u64::BITS) as u64, whole as u64)
}

/// Whether a row of `llm_traces` is the span of these ids itself, and not only made in it: the only one that may have its span
/// id. Calls that a log record told of share theirs.
pub(super) fn is_the_span(row: EventId, timestamp_ms: i64, trace_id: &[u8], span_id: &[u8]) -> bool {
    row == id_of_span(Table::LlmTraces, timestamp_ms, trace_id, span_id, 0)
}

/// The row that a span or a log record says it is.
pub(super) struct Own<'a> {
    /// Its id.
    pub(super) id: EventId,
    attributes: &'a [KeyValue],
}

impl<'a> Own<'a> {
    /// `None` for a record of anybody else.
    pub(super) fn of(attributes: &'a [KeyValue]) -> Option<Own<'a>> {
        let id = any_of(attributes, TRACE_ID).and_then(text_of).and_then(EventId::parse)?;
        Some(Own { id, attributes })
    }

    /// What a span counts as, if it is a row of `llm_traces`.
    pub(super) fn unit(&self) -> Option<Unit> {
        self.word(UNIT).and_then(Unit::parse)
    }

    /// Which table a log record is of.
    pub(super) fn table(&self) -> Option<Table> {
        self.word(TABLE)
            .and_then(Table::named)
            .filter(|table| matches!(table, Table::CustomEvents | Table::ErrorEvents))
    }

    fn word(&self, name: &str) -> Option<&'a str> {
        any_of(self.attributes, name).and_then(text_of)
    }

    fn whole(&self, name: &str) -> Option<i64> {
        match Reading::Tokens.read(any_of(self.attributes, name)?)? {
            Cell::Whole(number) => Some(number),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match any_of(self.attributes, name)? {
            Any::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    fn label(&self, name: &str, texts: &mut Texts) -> Option<Box<str>> {
        texts.label(self.word(name).map(str::as_bytes).filter(|text| !text.is_empty()))
    }

    /// What it cost, and who said so. Neither without the other.
    fn cost(&self) -> (Option<PicoUsd>, CostSource) {
        let cost = match any_of(self.attributes, COST_PICOUSD) {
            Some(Any::Whole(cost)) if *cost >= 0 => Some(PicoUsd(*cost)),
            _ => None,
        };
        let source = self.word(COST_SOURCE).and_then(CostSource::parse).filter(|source| *source != CostSource::None);
        (cost, if cost.is_some() { source.unwrap_or(CostSource::Client) } else { CostSource::None })
    }

    fn source(&self, otherwise: Source) -> Source {
        self.word(SOURCE).and_then(Source::parse).unwrap_or(otherwise)
    }
}

impl Intake<'_> {
    /// A span that is a row of another sidecar. Its errors are rows of their own, which come by themselves.
    pub(super) fn own_call(&mut self, own: &Own<'_>, unit: Unit, span: &Span) {
        let columns = columns_of(span);
        let mut row = call_of(own, unit, span, &columns, self.context);
        row.source = own.source(self.source);
        if unit == Unit::TurnSum {
            // One sidecar sends the sums of several services, and not what it knows of these.
            let service = row.service_name.as_deref().unwrap_or_default();
            row.exporter = Some(format!("{}/{service}", self.origin.exporter()).into());
        }
        self.own_row(own.id, Kind::LlmTrace(Box::new(row)));
    }

    /// A log record that is a row of another sidecar.
    pub(super) fn own_event(&mut self, own: &Own<'_>, table: Table, record: &LogRecord) {
        let kind = match table {
            Table::ErrorEvents => {
                let row = error_of(own, record, self.context);
                Kind::ErrorEvent(Box::new(ErrorEvent { source: own.source(self.source), ..row }))
            }
            _ => {
                let row = custom_of(own, record, self.context);
                Kind::CustomEvent(Box::new(CustomEvent { source: own.source(self.source), ..row }))
            }
        };
        self.own_row(own.id, kind);
    }

    fn own_row(&mut self, id: EventId, kind: Kind) {
        (self.emit)(super::Told::Event(Event { id, received_at_ms: self.context.now_ms, kind }));
        self.taken();
    }
}

fn call_of(own: &Own<'_>, unit: Unit, span: &Span, columns: &Columns<'_>, context: &Context) -> LlmTrace {
    let leftovers = Leftovers::of_own(own.attributes, Table::LlmTraces);
    let row = call::row_with(span, unit, columns, context, leftovers);
    let mut texts = Texts { was_cut: row.text_truncated || own.flag(TEXT_TRUNCATED).unwrap_or(false) };
    let request_model = columns.text(Column::RequestModel);
    let request_model = texts.label(request_model).unwrap_or_else(|| call::UNKNOWN_MODEL.into());
    let (cost, cost_source) = own.cost();
    let price_version = own.label(PRICE_VERSION, &mut texts).filter(|_| cost_source == CostSource::Table);
    // As a name it would lose the white space at its ends.
    let said = if call::is_error(span) { None } else { own.word(ERROR_MESSAGE) };
    let error_message = said.map(|message| texts.cut(message.as_bytes(), ERROR_MESSAGE_BYTES_MAX));
    let otel = OtelIds::of(own, span);
    LlmTrace {
        request_model,
        input_tokens: columns.whole(Column::InputTokens),
        output_tokens: columns.whole(Column::OutputTokens),
        cache_write_1h_tokens: own.whole(CACHE_WRITE_1H_TOKENS),
        cost,
        cost_source,
        price_version: price_version.map(Into::into),
        latency_ms: own.whole(LATENCY_MS),
        status: own.word(STATUS).and_then(Status::parse).unwrap_or(row.status),
        error_message: error_message.or(row.error_message),
        service_name: own.label(SERVICE_NAME, &mut texts),
        otel_trace_id: otel.trace_id,
        otel_span_id: otel.span_id,
        otel_parent_span_id: otel.parent_span_id,
        text_truncated: texts.was_cut,
        ..row
    }
}

/// The ids of OTel that the row of a span has.
struct OtelIds {
    trace_id: Option<Box<str>>,
    span_id: Option<Box<str>>,
    parent_span_id: Option<Box<str>>,
}

impl OtelIds {
    fn of(own: &Own<'_>, span: &Span) -> OtelIds {
        let trace_id = call::trace_id(&span.trace_id).filter(|_| span.trace_id[..] != own.id.to_bytes());
        if span.span_id[..] != span_id_of(own.id) {
            let (span_id, parent_span_id) = (call::span_id(&span.span_id), call::span_id(&span.parent_span_id));
            return OtelIds { trace_id, span_id, parent_span_id };
        }
        let said = |name| {
            let id = unhex::<8>(own.word(name)?)?;
            call::span_id(&id)
        };
        OtelIds { trace_id, span_id: said(OTEL_SPAN_ID), parent_span_id: said(OTEL_PARENT_SPAN_ID) }
    }
}

fn custom_of(own: &Own<'_>, record: &LogRecord, context: &Context) -> CustomEvent {
    let columns = columns_of_log(record);
    let (attributes, attributes_cut) = Leftovers::of_own(&record.attributes, Table::CustomEvents).into_json();
    let mut texts = Texts { was_cut: attributes_cut || own.flag(TEXT_TRUNCATED).unwrap_or(false) };
    CustomEvent {
        timestamp_ms: log_ms(record).unwrap_or(context.now_ms),
        name: texts.label(Some(&record.event_name)).unwrap_or_default(),
        severity: severity_of(record),
        conversation_id: texts.label(columns.text(Column::ConversationId)),
        agent_id: texts.label(columns.text(Column::AgentId)),
        otel_trace_id: call::trace_id(&record.trace_id),
        otel_span_id: call::span_id(&record.span_id),
        body: record.body_text().map(|body| texts.cut(body, ERROR_MESSAGE_BYTES_MAX)),
        service_name: own.label(SERVICE_NAME, &mut texts),
        source: Source::default(),
        attributes,
        text_truncated: texts.was_cut,
    }
}

fn error_of(own: &Own<'_>, record: &LogRecord, context: &Context) -> ErrorEvent {
    let columns = columns_of_log(record);
    let (attributes, attributes_cut) = Leftovers::of_own(&record.attributes, Table::ErrorEvents).into_json();
    let mut texts = Texts { was_cut: attributes_cut || own.flag(TEXT_TRUNCATED).unwrap_or(false) };
    ErrorEvent {
        timestamp_ms: log_ms(record).unwrap_or(context.now_ms),
        error_type: texts.label(columns.text(Column::ErrorType)),
        message: texts.cut(record.body_text().unwrap_or_default(), ERROR_MESSAGE_BYTES_MAX),
        stacktrace: own.word(STACKTRACE).map(|stack| texts.cut(stack.as_bytes(), STACKTRACE_BYTES_MAX)),
        severity: severity_of(record).unwrap_or_default(),
        handled: own.flag(HANDLED),
        component: own.label(COMPONENT, &mut texts),
        conversation_id: texts.label(columns.text(Column::ConversationId)),
        agent_id: texts.label(columns.text(Column::AgentId)),
        otel_trace_id: call::trace_id(&record.trace_id),
        otel_span_id: call::span_id(&record.span_id),
        fingerprint: own.label(FINGERPRINT, &mut texts),
        service_name: own.label(SERVICE_NAME, &mut texts),
        source: Source::default(),
        attributes,
        text_truncated: texts.was_cut,
    }
}

fn columns_of_log(record: &LogRecord) -> Columns<'_> {
    let mut columns = Columns::new(Dialect::spans());
    columns.offer_all(&record.attributes);
    columns
}

fn any_of<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a Any> {
    attributes.iter().find(|attribute| attribute.key == name)?.any()
}

fn text_of(value: &Any) -> Option<&str> {
    if let Any::Text(text) = value { str::from_utf8(text).ok() } else { None }
}

/// The bytes of an id in hex. `None` if it is none of that length, or all zeros.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16).map(|digit| digit as u8);
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (is_trace_id(&bytes) || is_span_id(&bytes)).then_some(bytes)
}

/// What a call says that did not fail.
pub(super) const ERROR_MESSAGE: &str = "error.message";
/// The attribute that a stack trace is in.
const STACKTRACE: &str = "exception.stacktrace";
