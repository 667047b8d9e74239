//! Our reading of OTLP compared with another's: random requests, made and written with the `opentelemetry-proto`
//! crate, must become the rows that a plain reading of that crate's own structs says, in protobuf and in JSON.
//!
//! [`random`] makes the requests, [`protobuf`] and [`json`] write them, with fields that nobody knows yet, and
//! [`Expected`] is the plain reading. The mapping of names to columns is not the point here: each call has the
//! two attributes that make it one, and what else it says is of no name that any table knows.

mod json;
mod protobuf;
mod random;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use fastrand::Rng;
use flate2::read::MultiGzDecoder;
use openclaw_trace::config::{Capture, TextConfig};
use openclaw_trace::event::{Event, Kind, LlmTrace, Source, Status};
use openclaw_trace::otlp::{self, Context, Encoding, Report, Signal, Told};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;

use crate::tidy::source::{files_below, root};

const CONTEXT: Context = Context {
    now_ms: 1_795_460_000_000,
    text: TextConfig { capture: Capture::Native, max_bytes: 4096 },
    records_max: 512,
};

/// Requests that each test makes. The number of one is its seed, and said where it fails.
const REQUESTS: u64 = 400;

#[test]
fn spans_in_protobuf_are_read_as_the_opentelemetry_crate_reads_them() {
    let mut calls = 0;
    for seed in 0..REQUESTS {
        let mut rng = Rng::with_seed(seed);
        let request = random::request(&mut rng);
        let body = protobuf::request(&request, &mut rng);
        // What was added to it changes nothing for the crate either.
        assert_eq!(format!("{:?}", ExportTraceServiceRequest::decode(&body[..]).unwrap()), format!("{request:?}"));
        calls += check(&format!("seed {seed}"), &request, Source::OtlpPb, &traces(Encoding::Protobuf, body));
    }
    assert!(calls > REQUESTS, "only {calls} calls were compared");
}

#[test]
fn spans_in_json_are_the_same_rows_as_in_protobuf() {
    let mut calls = 0;
    for seed in 0..REQUESTS {
        let mut rng = Rng::with_seed(seed);
        let request = random::request(&mut rng);
        let body = json::request(&request, &mut rng).to_string().into_bytes();
        let (mut rows, report) = traces(Encoding::Json, body);
        calls += check(&format!("seed {seed}"), &request, Source::OtlpJson, &(rows.clone(), report.clone()));

        let (others, other_report) = traces(Encoding::Protobuf, request.encode_to_vec());
        rows.iter_mut().for_each(|(_, row)| row.source = Source::OtlpPb);
        assert_eq!(rows, others, "seed {seed}");
        let counts = |report: &Report| (report.records, report.rejected, report.ignored.clone());
        assert_eq!(counts(&report), counts(&other_report), "seed {seed}");
    }
    assert!(calls > REQUESTS, "only {calls} calls were compared");
}

/// All that a body tells, whatever door it came by.
fn told(signal: Signal, encoding: Encoding, body: Vec<u8>) -> (Vec<String>, Report) {
    let mut all = Vec::new();
    let report = otlp::read(signal, encoding, body.into(), &CONTEXT, &mut |told| {
        all.push(format!("{told:?}").replace("OtlpJson", "OtlpPb"));
    });
    (all, report.unwrap())
}

#[test]
fn what_real_clients_sent_in_protobuf_tells_the_same_in_json() {
    let mut compared = [0; 3];
    for (path, body) in captures() {
        let mut rng = Rng::with_seed(compared.iter().sum());
        let (place, signal, json) = if path.contains("v1-traces") {
            let request = ExportTraceServiceRequest::decode(&body[..]).unwrap();
            (0, Signal::Traces, json::request(&request, &mut rng))
        } else if path.contains("v1-logs") {
            (1, Signal::Logs, json::logs(&ExportLogsServiceRequest::decode(&body[..]).unwrap(), &mut rng))
        } else {
            (2, Signal::Metrics, json::metrics(&ExportMetricsServiceRequest::decode(&body[..]).unwrap(), &mut rng))
        };
        let other = told(signal, Encoding::Json, json.to_string().into_bytes());
        assert_eq!(told(signal, Encoding::Protobuf, body), other, "{path}");
        compared[place] += 1;
    }
    assert!(compared.iter().all(|count| *count > 10), "{compared:?}");
}

/// Every body in protobuf of tests/data/captures, inflated.
fn captures() -> Vec<(String, Vec<u8>)> {
    let files = ["pb", "gz"].map(|extension| files_below(&root().join("tests/data/captures"), extension)).concat();
    let mut found = Vec::new();
    for path in files {
        let name = path.to_str().unwrap().to_owned();
        let sent = fs::read(&path).unwrap();
        if name.ends_with(".pb") {
            found.push((name, sent));
        } else if name.ends_with(".pb.gz") {
            let mut body = Vec::new();
            MultiGzDecoder::new(&sent[..]).read_to_end(&mut body).unwrap();
            found.push((name, body));
        }
    }
    found
}

#[test]
fn answers_are_read_by_the_opentelemetry_crate() {
    assert_eq!(
        otlp::success(Signal::Traces, Encoding::Protobuf, None),
        ExportTraceServiceResponse::default().encode_to_vec()
    );
    for (rejected, why) in [(0, "a warning"), (1, ""), (300, "why"), (u64::from(u32::MAX) + 1, "ä €")] {
        let body = otlp::success(Signal::Traces, Encoding::Protobuf, Some((rejected, why)));
        let spans = ExportTraceServiceResponse::decode(&body[..]).unwrap().partial_success.unwrap();
        assert_eq!((spans.rejected_spans as u64, &*spans.error_message), (rejected, why));
        let logs = ExportLogsServiceResponse::decode(&body[..]).unwrap().partial_success.unwrap();
        assert_eq!((logs.rejected_log_records as u64, &*logs.error_message), (rejected, why));
        let metrics = ExportMetricsServiceResponse::decode(&body[..]).unwrap().partial_success.unwrap();
        assert_eq!((metrics.rejected_data_points as u64, &*metrics.error_message), (rejected, why));
    }
    for (code, why) in [(0, ""), (3, "bad"), (14, "€ 😀")] {
        let status = RpcStatus::decode(&otlp::status(Encoding::Protobuf, code, why)[..]).unwrap();
        assert_eq!((status.code, &*status.message, status.details.len()), (code as i32, why, 0));
    }
}

/// `google.rpc.Status`, which the crate does not have.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(bytes = "vec", repeated, tag = "3")]
    details: Vec<Vec<u8>>,
}

/// The calls that a body became, with their ids, and the report.
type Read = (Vec<(String, LlmTrace)>, Report);

fn traces(encoding: Encoding, body: Vec<u8>) -> Read {
    let mut rows = Vec::new();
    let mut emit = |told: Told| {
        let Told::Event(Event { id, received_at_ms, kind }) = told else { return };
        assert_eq!(received_at_ms, CONTEXT.now_ms);
        if let Kind::LlmTrace(row) = kind {
            rows.push((format!("{id:?}"), *row));
        }
    };
    let report = otlp::read(Signal::Traces, encoding, body.into(), &CONTEXT, &mut emit).unwrap();
    (rows, report)
}

/// Compares what we read with the request, and says how many calls that were.
fn check(seed: &str, request: &ExportTraceServiceRequest, source: Source, (rows, report): &Read) -> u64 {
    let mut rows = rows.iter().map(|(_, row)| row);
    let (mut spans, mut calls, mut rejected) = (0, 0, 0);
    let mut ignored = BTreeMap::new();
    for resource_spans in &request.resource_spans {
        let service_name = service_name(resource_spans.resource.as_ref());
        for span in resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
            spans += 1;
            if !is_id(&span.trace_id, 16) || !is_id(&span.span_id, 8) {
                rejected += 1;
            } else if random::is_call(span) {
                calls += 1;
                let row = rows.next().unwrap_or_else(|| panic!("{seed}: no row for {span:#?}"));
                Expected { span, service_name: service_name.as_deref(), source }.compare(seed, row);
            } else {
                *ignored.entry(storable(&span.name)).or_default() += 1;
            }
        }
    }
    assert_eq!(rows.next(), None, "{seed}: more rows than calls");
    assert_eq!((report.records, report.rejected), (spans, rejected), "{seed}: {report:?}");
    assert_eq!(report.ignored.iter().cloned().collect::<BTreeMap<String, u64>>(), ignored, "{seed}");
    calls
}

/// What a call must be as a row.
struct Expected<'a> {
    span: &'a Span,
    service_name: Option<&'a str>,
    source: Source,
}

impl Expected<'_> {
    fn compare(&self, seed: &str, row: &LlmTrace) {
        let Span { start_time_unix_nano: start, end_time_unix_nano: end, .. } = *self.span;
        let said = || format!("{seed}: {:#?}", self.span);
        assert_eq!(row.otel_trace_id.as_deref(), Some(&*hex(&self.span.trace_id)), "{}", said());
        assert_eq!(row.otel_span_id.as_deref(), Some(&*hex(&self.span.span_id)), "{}", said());
        let parent = is_id(&self.span.parent_span_id, 8).then(|| hex(&self.span.parent_span_id));
        assert_eq!(row.otel_parent_span_id.as_deref(), parent.as_deref(), "{}", said());
        assert_eq!((row.service_name.as_deref(), row.source), (self.service_name, self.source), "{}", said());

        let is_time = (1..random::YEAR_2200_NS).contains(&start);
        assert_eq!(row.timestamp_ms, if is_time { (start / 1_000_000) as i64 } else { CONTEXT.now_ms }, "{}", said());
        let latency = (start > 0 && end >= start).then(|| ((end - start) as u128 + 500_000) / 1_000_000);
        assert_eq!(row.latency_ms.map(|ms| ms as u128), latency, "{}", said());

        let status = self.span.status.clone().unwrap_or_default();
        assert_eq!(row.status, if status.code == 2 { Status::Error } else { Status::Ok }, "{}", said());
        let of_status = Some(storable(&status.message)).filter(|message| !message.is_empty());
        let message = of_status.or_else(|| self.exception("exception.message"));
        assert_eq!(row.error_message.as_deref(), message.as_deref(), "{}", said());
        assert_eq!(row.error_type.as_deref(), self.exception("exception.type").as_deref(), "{}", said());

        assert_eq!(Some(storable(&row.request_model)), text(&self.span.attributes, random::MODEL), "{}", said());
        assert_eq!(row.input_tokens, tokens(&self.span.attributes, random::INPUT_TOKENS), "{}", said());
        assert_eq!(row.output_tokens, tokens(&self.span.attributes, random::OUTPUT_TOKENS), "{}", said());
        let attributes = row.attributes.as_deref().map(|json| serde_json::from_str::<Value>(json).unwrap());
        assert_eq!(attributes, self.attributes(), "{}", said());
    }

    /// The first thing that an exception of the span says under this name.
    fn exception(&self, key: &str) -> Option<String> {
        let exceptions = self.span.events.iter().filter(|event| event.name == "exception");
        let attributes: Vec<KeyValue> = exceptions.flat_map(|event| event.attributes.clone()).collect();
        text(&attributes, key)
    }

    /// All attributes of names that no column has; one without a name is left out and counted.
    fn attributes(&self) -> Option<Value> {
        let mut object = serde_json::Map::new();
        let mut nameless = 0;
        for KeyValue { key, value, .. } in &self.span.attributes {
            let value = value.as_ref().and_then(|value| value.value.as_ref());
            match value {
                None | Some(Any::BytesValue(_)) => {}
                Some(_) if key.is_empty() => nameless += 1,
                Some(_) if random::has_column(key) => {
                    // Tokens that are no number of tokens are told as they came.
                    let is_read = !key.starts_with("gen_ai.usage") || tokens(&self.span.attributes, key).is_some();
                    if !is_read {
                        object.insert(key.clone(), plain(value));
                    }
                }
                Some(_) => {
                    object.insert(storable(key), plain(value));
                }
            }
        }
        if nameless > 0 {
            object.insert("dropped_attributes_count".to_owned(), nameless.into());
        }
        (!object.is_empty()).then_some(Value::Object(object))
    }
}

/// `service.name` of the resource: the last one that is a text.
fn service_name(resource: Option<&Resource>) -> Option<String> {
    let named = resource?.attributes.iter().filter(|attribute| attribute.key == "service.name");
    let mut texts = named.filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(storable(text)),
        _ => None,
    });
    texts.next_back().filter(|name| !name.is_empty())
}

/// The first text of this name that says something.
fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let values = attributes.iter().filter(|attribute| attribute.key == name).map(|attribute| attribute.value.as_ref());
    let texts = values.filter_map(|value| match value?.value.as_ref()? {
        Any::StringValue(text) => Some(storable(text.trim_ascii())),
        _ => None,
    });
    texts.into_iter().find(|text| !["", "unknown"].contains(&&**text))
}

/// The first count of tokens of this name.
fn tokens(attributes: &[KeyValue], name: &str) -> Option<i64> {
    let values = attributes.iter().filter(|attribute| attribute.key == name).map(|attribute| attribute.value.as_ref());
    let counts = values.filter_map(|value| match value?.value.as_ref()? {
        Any::IntValue(count) => Some(*count),
        _ => None,
    });
    counts.into_iter().find(|count| (0..1 << 53).contains(count))
}

/// A value as JSON says it, if it can.
fn plain(value: Option<&Any>) -> Value {
    let inner = |value: &AnyValue| plain(value.value.as_ref());
    match value {
        None | Some(Any::BytesValue(_) | Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::StringValue(text)) => storable(text).into(),
        Some(Any::BoolValue(flag)) => (*flag).into(),
        Some(Any::IntValue(number)) => (*number).into(),
        Some(Any::DoubleValue(number)) => serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Some(Any::ArrayValue(list)) => list.values.iter().map(inner).collect(),
        Some(Any::KvlistValue(map)) => {
            let members = map.values.iter().map(|member| {
                let value = member.value.as_ref().map_or(Value::Null, inner);
                (storable(&member.key), value)
            });
            Value::Object(members.collect())
        }
    }
}

/// NUL cannot be stored.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn is_id(bytes: &[u8], length: usize) -> bool {
    bytes.len() == length && bytes.iter().any(|byte| *byte != 0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
