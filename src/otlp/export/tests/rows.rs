//! Rows as the store hands them on, and random ones.

use super::written;
use crate::event::{
    CostSource, CustomEvent, ErrorEvent, Event, EventId, Kind, LlmTrace, PicoUsd, Severity, Source, Status, Unit, Value,
};
use crate::otlp::Signal;

/// The columns of a row.
pub(super) type Columns<'a> = Vec<(&'static str, Value<'a>)>;

/// The columns of an event as the store hands them on, in one field of an export.
pub(super) fn field_of(event: &Event) -> (Signal, Vec<u8>) {
    let id = event.id.to_string();
    let mut columns: Columns<'_> = vec![("trace_id", Value::Text(&id))];
    columns.push(("received_at", Value::Integer(event.received_at_ms)));
    match &event.kind {
        Kind::LlmTrace(call) => columns.extend(call_columns(call)),
        Kind::CustomEvent(event) => columns.extend(custom_columns(event)),
        Kind::ErrorEvent(error) => columns.extend(error_columns(error)),
        Kind::SystemMetric(sample) => panic!("{sample:?}"),
    }
    (Signal::of(event.table()), written(event.table(), &columns))
}

fn text(value: &Option<Box<str>>) -> Value<'_> {
    value.as_deref().map_or(Value::Null, Value::Text)
}

fn json(value: &Option<Box<str>>) -> Value<'_> {
    value.as_deref().map_or(Value::Null, Value::Json)
}

fn whole(value: Option<i64>) -> Value<'static> {
    value.map_or(Value::Null, Value::Integer)
}

fn flag(value: Option<bool>) -> Value<'static> {
    whole(value.map(i64::from))
}

pub(super) fn call_columns(call: &LlmTrace) -> Columns<'_> {
    vec![
        ("timestamp", Value::Integer(call.timestamp_ms)),
        ("provider", text(&call.provider)),
        ("request_model", Value::Text(&call.request_model)),
        ("response_model", text(&call.response_model)),
        ("operation", Value::Text(&call.operation)),
        ("input_tokens", whole(call.input_tokens)),
        ("output_tokens", whole(call.output_tokens)),
        ("cache_read_tokens", whole(call.cache_read_tokens)),
        ("cache_write_tokens", whole(call.cache_write_tokens)),
        ("cache_write_1h_tokens", whole(call.cache_write_1h_tokens)),
        ("reasoning_tokens", whole(call.reasoning_tokens)),
        ("cost_picousd", whole(call.cost.map(|cost| cost.0))),
        ("cost_usd", call.cost.map_or(Value::Null, |cost| Value::Real(cost.0 as f64 / 1e12))),
        ("cost_source", Value::Text(call.cost_source.as_str())),
        ("price_version", call.price_version.as_deref().map_or(Value::Null, Value::Text)),
        ("latency_ms", whole(call.latency_ms)),
        ("ttft_ms", whole(call.ttft_ms)),
        ("ttfb_ms", whole(call.ttfb_ms)),
        ("status", Value::Text(call.status.as_str())),
        ("error_type", text(&call.error_type)),
        ("error_message", text(&call.error_message)),
        ("finish_reason", text(&call.finish_reason)),
        ("response_id", text(&call.response_id)),
        ("conversation_id", text(&call.conversation_id)),
        ("agent_id", text(&call.agent_id)),
        ("agent_name", text(&call.agent_name)),
        ("user_id", text(&call.user_id)),
        ("streaming", flag(call.streaming)),
        ("unit", Value::Text(call.unit.as_str())),
        ("otel_trace_id", text(&call.otel_trace_id)),
        ("otel_span_id", text(&call.otel_span_id)),
        ("otel_parent_span_id", text(&call.otel_parent_span_id)),
        ("input_text", text(&call.input_text)),
        ("output_text", text(&call.output_text)),
        ("text_truncated", Value::Integer(call.text_truncated.into())),
        ("service_name", text(&call.service_name)),
        ("source", Value::Text(call.source.as_str())),
        ("attributes", json(&call.attributes)),
        ("channel", text(&call.channel)),
        ("trigger", text(&call.trigger)),
    ]
}

pub(super) fn custom_columns(event: &CustomEvent) -> Columns<'_> {
    vec![
        ("timestamp", Value::Integer(event.timestamp_ms)),
        ("name", Value::Text(&event.name)),
        ("severity", event.severity.map_or(Value::Null, |severity| Value::Text(severity.as_str()))),
        ("conversation_id", text(&event.conversation_id)),
        ("agent_id", text(&event.agent_id)),
        ("otel_trace_id", text(&event.otel_trace_id)),
        ("otel_span_id", text(&event.otel_span_id)),
        ("body", text(&event.body)),
        ("text_truncated", Value::Integer(event.text_truncated.into())),
        ("service_name", text(&event.service_name)),
        ("source", Value::Text(event.source.as_str())),
        ("attributes", json(&event.attributes)),
    ]
}

pub(super) fn error_columns(error: &ErrorEvent) -> Columns<'_> {
    vec![
        ("timestamp", Value::Integer(error.timestamp_ms)),
        ("error_type", text(&error.error_type)),
        ("message", Value::Text(&error.message)),
        ("stacktrace", text(&error.stacktrace)),
        ("severity", Value::Text(error.severity.as_str())),
        ("handled", flag(error.handled)),
        ("component", text(&error.component)),
        ("conversation_id", text(&error.conversation_id)),
        ("agent_id", text(&error.agent_id)),
        ("otel_trace_id", text(&error.otel_trace_id)),
        ("otel_span_id", text(&error.otel_span_id)),
        ("fingerprint", text(&error.fingerprint)),
        ("text_truncated", Value::Integer(error.text_truncated.into())),
        ("service_name", text(&error.service_name)),
        ("source", Value::Text(error.source.as_str())),
        ("attributes", json(&error.attributes)),
    ]
}

/// Random rows, all of which a sidecar could have stored.
pub(super) struct Random(pub(super) fastrand::Rng);

impl Random {
    pub(super) fn maybe<T>(&mut self, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
        self.0.bool().then(|| value(self))
    }

    pub(super) fn text(&mut self) -> Box<str> {
        const PARTS: &[&str] = &["a", "é", "\u{1}", "\n", "\"", "\\", "😀", "z z", "=", "{", "\u{7f}", "\u{fffd}"];
        let parts = 0..self.0.usize(0..40);
        let inner: String = parts.map(|_| *self.0.choice(PARTS).unwrap()).collect();
        // No white space at the ends, where a name has none, and never only that.
        format!("x{inner}y").into()
    }

    fn long(&mut self) -> Box<str> {
        self.text().repeat(self.0.usize(1..40)).chars().take(1000).collect::<String>().into()
    }

    fn count(&mut self) -> i64 {
        let bits = self.0.u32(0..53);
        self.0.i64(0..1 << bits)
    }

    pub(super) fn hex(&mut self, digits: usize) -> Box<str> {
        let digits = (0..digits - 1).map(|_| char::from_digit(self.0.u32(0..16), 16).unwrap());
        digits.chain(['1']).collect::<String>().into()
    }

    fn word<T: Copy>(&mut self, words: &[T]) -> T {
        *self.0.choice(words).unwrap()
    }

    fn time(&mut self) -> i64 {
        self.0.i64(1..4_000_000_000_000)
    }

    fn json(&mut self) -> Box<str> {
        const KEYS: &[&str] = &[
            "k",
            "é\"",
            "service_tier",
            "gen_ai.tool.name",
            "gen_ai.request.model",
            "session.id",
            "gen_ai.usage.output_tokens",
            "openclaw_trace.unit",
            "error.message",
            "exception.type",
            "http.status",
        ];
        const VALUES: &[&str] = &[
            "\"v\"",
            "\"\"",
            "true",
            "-7",
            "9223372036854775807",
            "0.1",
            "[]",
            "{}",
            r#"{"a":[1,{"b":null},"\n"],"c":-0.5}"#,
            r#"[[["x"]],false]"#,
        ];
        let keys: Vec<&str> = KEYS.iter().copied().filter(|_| self.0.bool()).chain(["last"]).collect();
        let members = keys.into_iter().map(|key| {
            let value = self.word(VALUES);
            format!("{}:{value}", serde_json::to_string(key).unwrap())
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(",")).into()
    }

    pub(super) fn call(&mut self) -> LlmTrace {
        let cost = self.maybe(Self::count).map(PicoUsd);
        let cost_source = cost.map_or(CostSource::None, |_| self.word(&[CostSource::Client, CostSource::Table]));
        let is_table = cost_source == CostSource::Table;
        LlmTrace {
            timestamp_ms: self.time(),
            provider: self.maybe(Self::text),
            request_model: self.text(),
            response_model: self.maybe(Self::text),
            operation: self.word(&["chat", "embeddings", "invoke_agent", "what"]).into(),
            input_tokens: self.maybe(Self::count),
            output_tokens: self.maybe(Self::count),
            cache_read_tokens: self.maybe(Self::count),
            cache_write_tokens: self.maybe(Self::count),
            cache_write_1h_tokens: self.maybe(Self::count),
            reasoning_tokens: self.maybe(Self::count),
            cost,
            cost_source,
            price_version: is_table.then(|| self.text().into()),
            latency_ms: self.maybe(|random| random.0.i64(0..400_000_000)),
            ttft_ms: self.maybe(|random| random.0.i64(0..400_000_000)),
            ttfb_ms: self.maybe(Self::count),
            status: self.word(Status::ALL),
            error_type: self.maybe(Self::text),
            error_message: self.maybe(Self::long),
            finish_reason: self.maybe(Self::text),
            response_id: self.maybe(Self::text),
            conversation_id: self.maybe(Self::text),
            agent_id: self.maybe(Self::text),
            agent_name: self.maybe(Self::text),
            user_id: self.maybe(Self::text),
            streaming: self.maybe(|random| random.0.bool()),
            unit: self.word(&[Unit::Request, Unit::Turn, Unit::UsageOnly]),
            otel_trace_id: self.maybe(|random| random.hex(32)),
            otel_span_id: self.maybe(|random| random.hex(16)),
            otel_parent_span_id: self.maybe(|random| random.hex(16)),
            input_text: self.maybe(Self::long),
            output_text: self.maybe(Self::long),
            text_truncated: self.0.bool(),
            service_name: self.maybe(Self::text),
            source: self.word(Source::ALL),
            attributes: self.maybe(Self::json),
            channel: self.maybe(Self::text),
            trigger: self.maybe(Self::text),
            ..LlmTrace::default()
        }
    }

    fn custom(&mut self) -> CustomEvent {
        CustomEvent {
            timestamp_ms: self.time(),
            name: self.text(),
            severity: self.maybe(|random| random.word(Severity::ALL)),
            conversation_id: self.maybe(Self::text),
            agent_id: self.maybe(Self::text),
            otel_trace_id: self.maybe(|random| random.hex(32)),
            otel_span_id: self.maybe(|random| random.hex(16)),
            body: self.maybe(Self::long),
            text_truncated: self.0.bool(),
            service_name: self.maybe(Self::text),
            source: self.word(Source::ALL),
            attributes: self.maybe(Self::json),
        }
    }

    fn error(&mut self) -> ErrorEvent {
        ErrorEvent {
            timestamp_ms: self.time(),
            error_type: self.maybe(Self::text),
            message: self.long(),
            stacktrace: self.maybe(Self::long),
            severity: self.word(Severity::ALL),
            handled: self.maybe(|random| random.0.bool()),
            component: self.maybe(Self::text),
            conversation_id: self.maybe(Self::text),
            agent_id: self.maybe(Self::text),
            otel_trace_id: self.maybe(|random| random.hex(32)),
            otel_span_id: self.maybe(|random| random.hex(16)),
            fingerprint: self.maybe(Self::text),
            text_truncated: self.0.bool(),
            service_name: self.maybe(Self::text),
            source: self.word(Source::ALL),
            attributes: self.maybe(Self::json),
        }
    }

    pub(super) fn event(&mut self) -> Event {
        let kind = match self.0.u8(0..4) {
            0 => Kind::CustomEvent(Box::new(self.custom())),
            1 => Kind::ErrorEvent(Box::new(self.error())),
            _ => Kind::LlmTrace(Box::new(self.call())),
        };
        let id = EventId::parse(&format!("{:032x}", self.0.u128(1..)).chars().fold(String::new(), |mut id, digit| {
            if matches!(id.len(), 8 | 13 | 18 | 23) {
                id.push('-');
            }
            id.push(digit);
            id
        }));
        Event { id: id.unwrap(), received_at_ms: super::RECEIVER.now_ms, kind }
    }
}
