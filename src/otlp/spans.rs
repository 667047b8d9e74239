//! Spans: each becomes a call, another event, errors, or nothing; and some tell what calls were part of.

use super::call::{self, NANOS_PER_MILLI, is_error, is_span_id, is_trace_id, trace_id};
use super::dialects::{Column, LIVENESS_WARNING, MODEL_CALL};
use super::genai::{Class, Columns, Dialect, class_of};
use super::own::Own;
use super::proto::Span;
use super::{Intake, events};
use crate::event::{ErrorEvent, EventId, Kind, Note, Table, Unit};

impl Intake<'_> {
    /// The span that was counted last, decoded.
    pub(super) fn span(&mut self, span: &Span) {
        // A log record or a metric that was sent to the path of traces ends here.
        if !is_trace_id(&span.trace_id) {
            return self.reject("a span's trace id must be 16 bytes, not all of them zero");
        }
        if !is_span_id(&span.span_id) {
            return self.reject("a span's span id must be 8 bytes, not all of them zero");
        }
        if let Some(own) = Own::of(&span.attributes)
            && let Some(unit) = own.unit()
        {
            return self.own_call(&own, unit, span);
        }
        let columns = columns_of(span);
        let instant = span.start_ns == span.end_ns;
        let class = class_of(&span.name, instant, &columns);
        match class {
            Class::Call(unit) => self.call(span, unit, &columns),
            Class::Event(name) => self.custom_event(span, name, &columns),
            Class::Nothing => {}
        }
        if !matches!(class, Class::Call(_)) && !instant {
            self.run(span, &columns);
        }
        let errors = self.errors(span, &columns);
        match class {
            Class::Nothing if !errors => self.ignore(&span.name),
            _ => self.taken(),
        }
    }

    fn call(&mut self, span: &Span, unit: Unit, columns: &Columns<'_>) {
        let mut row = call::row(span, unit, columns, self.context);
        if span.name == MODEL_CALL || columns.has(Column::ObservationUnit) {
            let has_tokens = row.input_tokens.is_some() || row.output_tokens.is_some();
            // A call that failed may have none because it failed.
            if has_tokens || !is_error(span) {
                self.exporter(has_tokens);
            }
        }
        if unit == Unit::TurnSum {
            row.exporter = Some(self.origin.exporter());
            if let (Some(otel_trace_id), Some(agent_name)) = (&row.otel_trace_id, &row.agent_name) {
                self.note(Note::Agent { otel_trace_id: otel_trace_id.clone(), agent_name: agent_name.clone() });
            }
        }
        let id = id_of(Table::LlmTraces, span, 0);
        self.event(id, Kind::LlmTrace(Box::new(row)));
    }

    fn custom_event(&mut self, span: &Span, name: &[u8], columns: &Columns<'_>) {
        let event = events::of_span(span, name, columns, self.context);
        let id = id_of(Table::CustomEvents, span, 0);
        self.event(id, Kind::CustomEvent(Box::new(event)));
    }

    /// Tells on which channel the calls below a span were made, and why.
    fn run(&mut self, span: &Span, columns: &Columns<'_>) {
        let mut texts = call::Texts { was_cut: false };
        let channel = texts.label(columns.text(Column::Channel));
        let trigger = texts.label(columns.text(Column::Trigger));
        if let (Some(otel_trace_id), Some(otel_span_id)) = (trace_id(&span.trace_id), call::span_id(&span.span_id))
            && (channel.is_some() || trigger.is_some())
        {
            self.note(Note::Run { otel_trace_id, otel_span_id, channel, trigger });
        }
    }

    /// The errors of a span: its exceptions, or where it has none, that it ended in one. Whether there are any.
    fn errors(&mut self, span: &Span, columns: &Columns<'_>) -> bool {
        let exceptions = span.events.iter().filter(|event| event.name == events::EXCEPTION);
        let mut count = 0;
        for exception in exceptions {
            count += 1;
            let error = events::of_exception(span, exception, columns, self.context);
            self.error_event(span, error, count);
        }
        if count == 0 && is_error(span) && span.name != LIVENESS_WARNING {
            let error = events::of_failure(span, columns, self.context);
            self.error_event(span, error, 0);
            return true;
        }
        count > 0
    }

    fn error_event(&mut self, span: &Span, error: ErrorEvent, ordinal: u64) {
        let id = id_of(Table::ErrorEvents, span, ordinal);
        self.event(id, Kind::ErrorEvent(Box::new(error)));
    }
}

fn id_of(table: Table, span: &Span, ordinal: u64) -> EventId {
    id_of_span(table, (span.start_ns / NANOS_PER_MILLI) as i64, &span.trace_id, &span.span_id, ordinal)
}

/// The id of a row that is made of a span: of the span itself (0), or of what happened in it (from 1). Its time is the start of
/// the span, whatever that is: the same each time it comes.
pub(super) fn id_of_span(table: Table, start_ms: i64, trace_id: &[u8], span_id: &[u8], ordinal: u64) -> EventId {
    let mut identity = [table.name().as_bytes(), b"\0", trace_id, span_id].concat();
    if ordinal > 0 {
        identity.extend(ordinal.to_be_bytes());
    }
    EventId::of_record(start_ms, &identity)
}

/// The attributes of a span and of the exceptions in it.
pub(super) fn columns_of(span: &Span) -> Columns<'_> {
    let mut columns = Columns::new(Dialect::spans());
    columns.offer_all(&span.attributes);
    let exceptions = span.events.iter().filter(|event| event.name == events::EXCEPTION);
    for attribute in exceptions.flat_map(|event| &event.attributes) {
        if let Some(value) = attribute.value.as_ref().filter(|_| attribute.key.starts_with(events::EXCEPTION)) {
            columns.offer(&attribute.key, value);
        }
    }
    columns
}
