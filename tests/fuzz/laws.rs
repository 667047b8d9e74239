//! What must be true of every event, whatever the body that it came from.

use bytes::Bytes;
use openclaw_trace::config::{Capture, TextConfig};
use openclaw_trace::event::{Event, Kind};
use openclaw_trace::otlp::{self, Context, Encoding, Fault, Report, Signal, Told};

/// When every request comes.
pub const NOW_MS: i64 = 1_795_460_000_000;
/// Prompts and completions are kept, so that they are looked at too.
pub const TEXT: TextConfig = TextConfig { capture: Capture::All, max_bytes: 2048 };
/// The most spans, records or items of one request.
pub const ITEMS_MAX: usize = 64;

/// What every signal of OTLP must keep: the same body tells the same events twice, and every record is accounted for.
pub fn check_otlp(signal: Signal, encoding: Encoding, body: &[u8]) -> Result<Report, Fault> {
    let context = Context { now_ms: NOW_MS, text: TEXT, records_max: ITEMS_MAX };
    let read = || {
        let (mut events, mut notes) = (Vec::new(), 0);
        let report = otlp::read(signal, encoding, Bytes::copy_from_slice(body), &context, &mut |told| match told {
            Told::Event(event) => events.push(event),
            Told::Note(_) => notes += 1,
        });
        (events, notes, report)
    };
    let (events, notes, report) = read();
    assert_eq!((&events, notes, &report), (&read().0, read().1, &read().2), "the same twice");
    let report = report?;
    let ignored: u64 = report.ignored.iter().map(|(_, count)| count).sum();
    assert_eq!(report.records, report.taken + report.rejected + ignored, "{report:?}");
    assert_eq!(report.rejected == 0, report.rejected_message.is_empty(), "{report:?}");
    assert!(events.len() as u64 >= if signal == Signal::Metrics { 0 } else { report.taken }, "{report:?}");
    check(&events, body);
    Ok(report)
}

/// Checks all events of a body: each by itself, and what they hold together.
pub fn check(events: &[Event], body: &[u8]) {
    for event in events {
        for (name, text, max) in texts(event) {
            assert!(text.len() <= max, "{name} has {} bytes, more than {max}", text.len());
            assert!(!text.contains('\0'), "{name} holds a NUL");
            if name == "attributes" {
                let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).expect(name);
                assert!(!object.is_empty(), "{name} says nothing");
            }
        }
        for (name, number) in numbers(event) {
            assert!(number >= 0, "{name} is {number}");
        }
    }
    let held: usize = events.iter().map(Event::heap_bytes).sum();
    let allowed = events.len() * EVENT_BYTES + body.len() * BYTES_OF_ONE;
    assert!(held <= allowed, "{} events hold {held} bytes, of a body of {}", events.len(), body.len());
}

/// Every text of an event, with its name and the most bytes that it may have.
fn texts(event: &Event) -> Vec<(&'static str, &str, usize)> {
    let optional = |name, text, max| -> Option<(&'static str, &str, usize)> {
        let text: &Option<Box<str>> = text;
        text.as_deref().map(|text| (name, text, max))
    };
    match &event.kind {
        Kind::LlmTrace(row) => [
            Some(("request_model", &*row.request_model, LABEL_BYTES_MAX)),
            Some(("operation", &*row.operation, LABEL_BYTES_MAX)),
            optional("provider", &row.provider, LABEL_BYTES_MAX),
            optional("response_model", &row.response_model, LABEL_BYTES_MAX),
            optional("error_type", &row.error_type, LABEL_BYTES_MAX),
            optional("error_message", &row.error_message, MESSAGE_BYTES_MAX),
            optional("finish_reason", &row.finish_reason, LABEL_BYTES_MAX),
            optional("response_id", &row.response_id, LABEL_BYTES_MAX),
            optional("conversation_id", &row.conversation_id, LABEL_BYTES_MAX),
            optional("agent_id", &row.agent_id, LABEL_BYTES_MAX),
            optional("agent_name", &row.agent_name, LABEL_BYTES_MAX),
            optional("user_id", &row.user_id, LABEL_BYTES_MAX),
            optional("otel_trace_id", &row.otel_trace_id, 32),
            optional("otel_span_id", &row.otel_span_id, 16),
            optional("otel_parent_span_id", &row.otel_parent_span_id, 16),
            optional("input_text", &row.input_text, TEXT.max_bytes),
            optional("output_text", &row.output_text, TEXT.max_bytes),
            optional("service_name", &row.service_name, LABEL_BYTES_MAX),
            optional("attributes", &row.attributes, ATTRIBUTES_BYTES_MAX),
            optional("channel", &row.channel, LABEL_BYTES_MAX),
            optional("trigger", &row.trigger, LABEL_BYTES_MAX),
            optional("service_tier", &row.service_tier, LABEL_BYTES_MAX),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Kind::CustomEvent(row) => [
            Some(("name", &*row.name, LABEL_BYTES_MAX)),
            optional("conversation_id", &row.conversation_id, LABEL_BYTES_MAX),
            optional("agent_id", &row.agent_id, LABEL_BYTES_MAX),
            optional("otel_trace_id", &row.otel_trace_id, 32),
            optional("otel_span_id", &row.otel_span_id, 16),
            optional("body", &row.body, MESSAGE_BYTES_MAX),
            optional("service_name", &row.service_name, LABEL_BYTES_MAX),
            optional("attributes", &row.attributes, ATTRIBUTES_BYTES_MAX),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Kind::ErrorEvent(row) => [
            Some(("message", &*row.message, MESSAGE_BYTES_MAX)),
            optional("error_type", &row.error_type, LABEL_BYTES_MAX),
            optional("stacktrace", &row.stacktrace, STACKTRACE_BYTES_MAX),
            optional("component", &row.component, LABEL_BYTES_MAX),
            optional("conversation_id", &row.conversation_id, LABEL_BYTES_MAX),
            optional("agent_id", &row.agent_id, LABEL_BYTES_MAX),
            optional("otel_trace_id", &row.otel_trace_id, 32),
            optional("otel_span_id", &row.otel_span_id, 16),
            optional("fingerprint", &row.fingerprint, LABEL_BYTES_MAX),
            optional("service_name", &row.service_name, LABEL_BYTES_MAX),
            optional("attributes", &row.attributes, ATTRIBUTES_BYTES_MAX),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Kind::SystemMetric(_) => panic!("nobody can post a sample"),
    }
}

/// Every number of an event that counts something.
fn numbers(event: &Event) -> Vec<(&'static str, i64)> {
    let Kind::LlmTrace(row) = &event.kind else { return Vec::new() };
    let numbers = [
        ("input_tokens", row.input_tokens),
        ("output_tokens", row.output_tokens),
        ("cache_read_tokens", row.cache_read_tokens),
        ("cache_write_tokens", row.cache_write_tokens),
        ("cache_write_1h_tokens", row.cache_write_1h_tokens),
        ("reasoning_tokens", row.reasoning_tokens),
        ("cost", row.cost.map(|cost| cost.0)),
        ("latency_ms", row.latency_ms),
        ("ttft_ms", row.ttft_ms),
        ("ttfb_ms", row.ttfb_ms),
    ];
    numbers.into_iter().filter_map(|(name, number)| Some((name, number?))).collect()
}

/// Names, models and ids: what `wire` allows, and `otlp` no more.
const LABEL_BYTES_MAX: usize = 1024;
/// What a provider, or a log record, says.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Of an exception.
const STACKTRACE_BYTES_MAX: usize = 16 * 1024;
/// What had no column.
const ATTRIBUTES_BYTES_MAX: usize = 16 * 1024;
/// What an event may hold that no byte of its body says: its own size, its ids in hex, the service's name.
const EVENT_BYTES: usize = 4096;
/// What one byte of a body may become: a control character is six in JSON, and a text can be in two columns.
const BYTES_OF_ONE: usize = 12;
