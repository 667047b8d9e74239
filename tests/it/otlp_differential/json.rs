//! OTLP/JSON of a request, by the rules of the specification: ids in hex of either case, 64-bit numbers as text or
//! number, enums as numbers, bytes in base64, what is empty left out, there or null, and members that nobody knows.

use fastrand::Rng;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde_json::{Map, Value, json};

/// The request as JSON.
pub fn request(request: &ExportTraceServiceRequest, rng: &mut Rng) -> Value {
    let resources = list(&request.resource_spans, rng, |resource_spans, rng| {
        let scopes = list(&resource_spans.scope_spans, rng, |scope_spans, rng| {
            let scope = scope_spans.scope.as_ref().map(|scope| {
                json!({"name": scope.name, "version": scope.version, "attributes": attributes(&scope.attributes, rng)})
            });
            let spans = list(&scope_spans.spans, rng, span);
            object([("scope", json!(scope)), ("spans", spans), ("schemaUrl", json!(scope_spans.schema_url))], rng)
        });
        let resource = resource_spans.resource.as_ref().map(|resource| {
            object(
                [
                    ("attributes", attributes(&resource.attributes, rng)),
                    ("droppedAttributesCount", json!(resource.dropped_attributes_count)),
                ],
                rng,
            )
        });
        object([("resource", json!(resource)), ("scopeSpans", scopes)], rng)
    });
    object([("resourceSpans", resources)], rng)
}

fn span(span: &Span, rng: &mut Rng) -> Value {
    let status = span
        .status
        .as_ref()
        .map(|status| object([("code", json!(status.code)), ("message", json!(status.message))], rng));
    let members = [
        ("traceId", id(&span.trace_id, rng)),
        ("spanId", id(&span.span_id, rng)),
        ("parentSpanId", id(&span.parent_span_id, rng)),
        ("traceState", json!(span.trace_state)),
        ("flags", json!(span.flags)),
        ("name", json!(span.name)),
        ("kind", json!(span.kind)),
        ("startTimeUnixNano", whole(span.start_time_unix_nano, rng)),
        ("endTimeUnixNano", whole(span.end_time_unix_nano, rng)),
        ("attributes", attributes(&span.attributes, rng)),
        ("droppedAttributesCount", json!(span.dropped_attributes_count)),
        ("events", list(&span.events, rng, event)),
        ("links", list(&span.links, rng, link)),
        ("status", json!(status)),
    ];
    object(members, rng)
}

fn event(event: &Event, rng: &mut Rng) -> Value {
    let members = [
        ("timeUnixNano", whole(event.time_unix_nano, rng)),
        ("name", json!(event.name)),
        ("attributes", attributes(&event.attributes, rng)),
    ];
    object(members, rng)
}

fn link(link: &Link, rng: &mut Rng) -> Value {
    let members = [
        ("traceId", id(&link.trace_id, rng)),
        ("spanId", id(&link.span_id, rng)),
        ("attributes", attributes(&link.attributes, rng)),
    ];
    object(members, rng)
}

/// The log records of a request as JSON.
pub fn logs(request: &ExportLogsServiceRequest, rng: &mut Rng) -> Value {
    let resources = list(&request.resource_logs, rng, |resource_logs, rng| {
        let scopes = list(&resource_logs.scope_logs, rng, |scope_logs, rng| {
            let records = list(&scope_logs.log_records, rng, log_record);
            object([("logRecords", records)], rng)
        });
        object([("resource", resource(resource_logs.resource.as_ref(), rng)), ("scopeLogs", scopes)], rng)
    });
    object([("resourceLogs", resources)], rng)
}

fn log_record(record: &LogRecord, rng: &mut Rng) -> Value {
    let members = [
        ("timeUnixNano", whole(record.time_unix_nano, rng)),
        ("observedTimeUnixNano", whole(record.observed_time_unix_nano, rng)),
        ("severityNumber", json!(record.severity_number)),
        ("severityText", json!(record.severity_text)),
        ("body", json!(record.body.as_ref().map(|body| any_value(body, rng)))),
        ("attributes", attributes(&record.attributes, rng)),
        ("flags", json!(record.flags)),
        ("traceId", id(&record.trace_id, rng)),
        ("spanId", id(&record.span_id, rng)),
        ("eventName", json!(record.event_name)),
    ];
    object(members, rng)
}

/// The sums and histograms of a request as JSON; of another metric its name.
pub fn metrics(request: &ExportMetricsServiceRequest, rng: &mut Rng) -> Value {
    let resources = list(&request.resource_metrics, rng, |resource_metrics, rng| {
        let scopes = list(&resource_metrics.scope_metrics, rng, |scope_metrics, rng| {
            let metrics = list(&scope_metrics.metrics, rng, metric);
            object([("metrics", metrics)], rng)
        });
        object([("resource", resource(resource_metrics.resource.as_ref(), rng)), ("scopeMetrics", scopes)], rng)
    });
    object([("resourceMetrics", resources)], rng)
}

fn metric(metric: &Metric, rng: &mut Rng) -> Value {
    let (mut sum, mut histogram) = (Value::Null, Value::Null);
    match &metric.data {
        Some(Data::Sum(data)) => {
            let points = list(&data.data_points, rng, number_point);
            let temporality = ("aggregationTemporality", json!(data.aggregation_temporality));
            sum = object([("dataPoints", points), temporality, ("isMonotonic", json!(data.is_monotonic))], rng);
        }
        Some(Data::Histogram(data)) => {
            let points = list(&data.data_points, rng, histogram_point);
            let temporality = ("aggregationTemporality", json!(data.aggregation_temporality));
            histogram = object([("dataPoints", points), temporality], rng);
        }
        _ => {}
    }
    object([("name", json!(metric.name)), ("unit", json!(metric.unit)), ("sum", sum), ("histogram", histogram)], rng)
}

fn number_point(point: &NumberDataPoint, rng: &mut Rng) -> Value {
    let (mut as_int, mut as_double) = (Value::Null, Value::Null);
    match point.value {
        Some(Number::AsInt(number)) => as_int = whole(number, rng),
        Some(Number::AsDouble(number)) => as_double = real(number, rng),
        None => {}
    }
    let members = [
        ("attributes", attributes(&point.attributes, rng)),
        ("startTimeUnixNano", whole(point.start_time_unix_nano, rng)),
        ("timeUnixNano", whole(point.time_unix_nano, rng)),
    ];
    let Value::Object(mut members) = object(members, rng) else { unreachable!("it is made as one") };
    // A value of 0 is one, and cannot be left out.
    for (name, value) in [("asInt", as_int), ("asDouble", as_double)] {
        if !value.is_null() {
            members.insert(name.to_owned(), value);
        }
    }
    Value::Object(members)
}

fn histogram_point(point: &HistogramDataPoint, rng: &mut Rng) -> Value {
    let members = [
        ("attributes", attributes(&point.attributes, rng)),
        ("startTimeUnixNano", whole(point.start_time_unix_nano, rng)),
        ("timeUnixNano", whole(point.time_unix_nano, rng)),
        ("count", whole(point.count, rng)),
        ("sum", json!(point.sum)),
        ("bucketCounts", json!(point.bucket_counts)),
        ("explicitBounds", json!(point.explicit_bounds)),
    ];
    object(members, rng)
}

fn resource(resource: Option<&Resource>, rng: &mut Rng) -> Value {
    json!(resource.map(|resource| object([("attributes", attributes(&resource.attributes, rng))], rng)))
}

fn attributes(attributes: &[KeyValue], rng: &mut Rng) -> Value {
    list(attributes, rng, |KeyValue { key, value, .. }, rng| {
        let value = value.as_ref().map(|value| any_value(value, rng));
        object([("key", json!(key)), ("value", json!(value))], rng)
    })
}

fn any_value(value: &AnyValue, rng: &mut Rng) -> Value {
    match &value.value {
        None | Some(Any::StringValueStrindex(_)) => json!({}),
        Some(Any::StringValue(text)) => json!({"stringValue": text}),
        Some(Any::BoolValue(flag)) => json!({"boolValue": flag}),
        Some(Any::IntValue(number)) => json!({"intValue": whole(*number, rng)}),
        Some(Any::DoubleValue(number)) => json!({"doubleValue": real(*number, rng)}),
        Some(Any::BytesValue(bytes)) => json!({"bytesValue": base64(bytes)}),
        Some(Any::ArrayValue(inner)) => {
            let values = list(&inner.values, rng, any_value);
            json!({"arrayValue": object([("values", values)], rng)})
        }
        Some(Any::KvlistValue(inner)) => {
            let values = attributes(&inner.values, rng);
            json!({"kvlistValue": object([("values", values)], rng)})
        }
    }
}

/// Those members, in any order; of what is empty, some left out and some null; and sometimes one more.
fn object<const N: usize>(mut members: [(&str, Value); N], rng: &mut Rng) -> Value {
    rng.shuffle(&mut members);
    let mut object = Map::new();
    for (name, value) in members {
        let is_empty =
            value.is_null() || ["", "0"].iter().any(|empty| value == *empty) || value == 0 || value == json!([]);
        match rng.u8(..3) {
            0 if is_empty => {}
            1 if is_empty => drop(object.insert(name.to_owned(), Value::Null)),
            _ => drop(object.insert(name.to_owned(), value)),
        }
    }
    if rng.u8(..5) == 0 {
        object.insert("notOfOtlpYet".to_owned(), json!([{"name": "x", "traceId": 7}, null, "€ \" }"]));
    }
    Value::Object(object)
}

fn list<T>(items: &[T], rng: &mut Rng, mut write: impl FnMut(&T, &mut Rng) -> Value) -> Value {
    items.iter().map(|item| write(item, rng)).collect()
}

fn id(bytes: &[u8], rng: &mut Rng) -> Value {
    let hex = super::hex(bytes);
    if rng.bool() { hex.to_uppercase().into() } else { hex.into() }
}

fn whole(number: impl Into<serde_json::Number> + ToString, rng: &mut Rng) -> Value {
    if rng.bool() { number.to_string().into() } else { Value::Number(number.into()) }
}

fn real(number: f64, rng: &mut Rng) -> Value {
    let words = [(f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")];
    match serde_json::Number::from_f64(number) {
        Some(number) if rng.bool() => number.to_string().into(),
        Some(number) => Value::Number(number),
        None => words.iter().find(|(named, _)| *named == number).map_or("NaN", |(_, word)| word).into(),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().chain([&0; 2]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * place) & 63];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}
