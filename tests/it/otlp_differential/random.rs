//! Random requests, of the `opentelemetry-proto` crate's structs.

use fastrand::Rng;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// The two that make a span a call.
const OPERATION: &str = "gen_ai.operation.name";
pub const MODEL: &str = "gen_ai.request.model";
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Later starts are not believed.
pub const YEAR_2200_NS: u64 = 7_258_118_400_000_000_000;

/// Some spans of some scopes of some resources.
pub fn request(rng: &mut Rng) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest { resource_spans: some(rng, 3, resource_spans) }
}

/// Whether it was made to be a call.
pub fn is_call(span: &Span) -> bool {
    span.attributes.iter().any(|attribute| attribute.key == OPERATION)
}

/// Whether a call says something in a column under this name.
pub fn has_column(key: &str) -> bool {
    [OPERATION, MODEL, INPUT_TOKENS, OUTPUT_TOKENS].contains(&key)
}

fn resource_spans(rng: &mut Rng) -> ResourceSpans {
    let resource = maybe(rng, |rng| Resource {
        attributes: some(rng, 4, |rng| {
            let key = pick(rng, &["service.name", "service.name", "host.name", "", "service"]);
            KeyValue { key, value: maybe(rng, |rng| any_value(rng, 2)), ..KeyValue::default() }
        }),
        dropped_attributes_count: rng.u32(..),
        ..Resource::default()
    });
    ResourceSpans { resource, scope_spans: some(rng, 3, scope_spans), schema_url: text(rng) }
}

fn scope_spans(rng: &mut Rng) -> ScopeSpans {
    let scope = maybe(rng, |rng| InstrumentationScope {
        name: text(rng),
        version: text(rng),
        attributes: some(rng, 2, attribute),
        dropped_attributes_count: rng.u32(..),
    });
    ScopeSpans { scope, spans: some(rng, 4, span), schema_url: text(rng) }
}

fn span(rng: &mut Rng) -> Span {
    let is_call = rng.u8(..4) > 0;
    let mut attributes = some(rng, 12, attribute);
    let (mut events, mut status) = (Vec::new(), None);
    if is_call {
        let at = rng.usize(..=attributes.len());
        attributes.insert(at, named(OPERATION, Any::StringValue("chat".to_owned())));
        attributes.insert(at, named(MODEL, Any::StringValue(pick(rng, &["m", "gpt-4o", "modèle"]))));
        for name in [INPUT_TOKENS, OUTPUT_TOKENS] {
            if rng.bool() {
                attributes.push(named(name, Any::IntValue(whole(rng))));
            }
        }
        // A failed span that is no call may be another kind of row.
        events = some(rng, 3, event);
        status = maybe(rng, |rng| Status { message: text(rng), code: rng.i32(0..5) });
    }
    Span {
        trace_id: id(rng, 16),
        span_id: id(rng, 8),
        parent_span_id: id(rng, 8),
        trace_state: text(rng),
        flags: rng.u32(..),
        name: pick(rng, &["chat m", "GET /", "", "nul\0in", "größe"]),
        kind: rng.i32(0..7),
        start_time_unix_nano: time(rng),
        end_time_unix_nano: time(rng),
        attributes,
        dropped_attributes_count: rng.u32(..),
        events,
        dropped_events_count: rng.u32(..),
        links: some(rng, 2, link),
        dropped_links_count: rng.u32(..),
        status,
    }
}

fn event(rng: &mut Rng) -> Event {
    let keys = ["exception.type", "exception.message", "exception.escaped", "other", ""];
    let attributes = |rng: &mut Rng| KeyValue {
        key: pick(rng, &keys),
        value: maybe(rng, |rng| any_value(rng, 1)),
        ..KeyValue::default()
    };
    Event {
        time_unix_nano: time(rng),
        name: pick(rng, &["exception", "exception", "gen_ai.choice", ""]),
        attributes: some(rng, 4, attributes),
        dropped_attributes_count: rng.u32(..),
    }
}

fn link(rng: &mut Rng) -> Link {
    Link {
        trace_id: id(rng, 16),
        span_id: id(rng, 8),
        trace_state: text(rng),
        attributes: some(rng, 2, attribute),
        dropped_attributes_count: rng.u32(..),
        flags: rng.u32(..),
    }
}

/// One of a name that no table knows, and sometimes of none.
fn attribute(rng: &mut Rng) -> KeyValue {
    let key = match rng.u8(..10) {
        0 => String::new(),
        1 => "x.größe".to_owned(),
        2 => "x.nul\0in".to_owned(),
        _ => format!("x.{}", rng.u8(..20)),
    };
    KeyValue { key, value: maybe(rng, |rng| any_value(rng, 3)), ..KeyValue::default() }
}

fn named(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A value of any kind, with at most `depth` levels inside it.
fn any_value(rng: &mut Rng, depth: u32) -> AnyValue {
    let value = match rng.u8(..if depth > 0 { 9 } else { 6 }) {
        0 => None,
        1 | 2 => Some(Any::StringValue(text(rng))),
        3 => Some(Any::BoolValue(rng.bool())),
        4 => Some(Any::IntValue(whole(rng))),
        5 => Some(match rng.u8(..4) {
            0 => Any::BytesValue((0..rng.usize(..9)).map(|_| rng.u8(..)).collect()),
            _ => Any::DoubleValue(real(rng)),
        }),
        6 | 7 => Some(Any::ArrayValue(ArrayValue { values: some(rng, 4, |rng| any_value(rng, depth - 1)) })),
        _ => Some(Any::KvlistValue(KeyValueList {
            values: some(rng, 4, |rng| KeyValue {
                key: pick(rng, &["a", "b", "", "größe", "nul\0in"]),
                value: maybe(rng, |rng| any_value(rng, depth - 1)),
                ..KeyValue::default()
            }),
        })),
    };
    AnyValue { value }
}

fn text(rng: &mut Rng) -> String {
    let texts =
        ["", "a", "two words", " spaced ", "größe", "€😀", "\"quoted\" \\ / \n\t\u{1}", "nul\0in", "unknown", "12"];
    pick(rng, &texts)
}

fn whole(rng: &mut Rng) -> i64 {
    let limits = [0, 1, -1, (1 << 53) - 1, 1 << 53, i64::MAX, i64::MIN];
    if rng.bool() { rng.i64(0..2000) } else { limits[rng.usize(..limits.len())] }
}

fn real(rng: &mut Rng) -> f64 {
    let limits = [0.0, -0.0, 0.1, 1e300, 5e-324, 1e15, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX];
    if rng.bool() { rng.f64() } else { limits[rng.usize(..limits.len())] }
}

/// Mostly one of our days, so that ends come before starts too.
fn time(rng: &mut Rng) -> u64 {
    let limits = [0, 1, YEAR_2200_NS - 1, YEAR_2200_NS, u64::MAX];
    if rng.u8(..5) > 0 {
        1_795_000_000_000_000_000 + rng.u64(..3_600_000_000_000)
    } else {
        limits[rng.usize(..limits.len())]
    }
}

/// Mostly of the right length.
fn id(rng: &mut Rng, length: usize) -> Vec<u8> {
    match rng.u8(..20) {
        0 => vec![0; length],
        1 => Vec::new(),
        2 => (0..rng.usize(..20)).map(|_| rng.u8(..)).collect(),
        _ => (0..length).map(|_| rng.u8(..)).collect(),
    }
}

/// From none to `max` of them.
fn some<T>(rng: &mut Rng, max: usize, mut make: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..rng.usize(..=max)).map(|_| make(rng)).collect()
}

/// Mostly one.
fn maybe<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    (rng.u8(..5) > 0).then(|| make(rng))
}

fn pick(rng: &mut Rng, texts: &[&str]) -> String {
    texts[rng.usize(..texts.len())].to_owned()
}
