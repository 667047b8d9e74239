//! What is written, read by others' types and by our own reader.

mod rows;

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric::Data, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::super::captures::{CONTEXT, every_body, signal_of};
use super::super::{Context, Encoding, Report, Told, read};
use super::*;
use crate::config::{Capture, Identity, TextConfig};
use crate::event::{
    CostSource, CustomEvent, ErrorEvent, Event, EventId, Kind, LlmTrace, PicoUsd, Severity, Source, Status, Unit,
};
use rows::{Columns, Random, call_columns, custom_columns, error_columns, field_of};

/// A receiver that keeps all that it is sent.
const RECEIVER: Context = Context { text: TextConfig { capture: Capture::All, max_bytes: 1 << 20 }, ..CONTEXT };

fn fly() -> Identity {
    let said = |text: &str| Some(text.to_owned());
    Identity {
        hostname: said("h\u{e9}"),
        fly_app_name: said("app"),
        fly_machine_id: said("4d89"),
        fly_region: said("fra"),
        fly_image_ref: said("registry.fly.io/app:1"),
        fly_process_group: None,
    }
}

/// The request that holds rows, as a push makes it.
fn request(signal: Signal, rows: &[Vec<u8>]) -> Vec<u8> {
    let identity = fly();
    let sender = Sender { instance_id: "i-1", identity: &identity, version: "1.2.3" };
    let mut request = head(signal, &sender, rows.iter().map(|row| row.len() as u64).sum());
    request.extend(rows.concat());
    request
}

fn written(table: Table, columns: &[(&'static str, Value<'_>)]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    row(table, columns, &mut out);
    out.split_off("before".len())
}

fn spans(rows: &[Vec<u8>]) -> (Resource, Vec<Span>) {
    let mut request = ExportTraceServiceRequest::decode(&request(Signal::Traces, rows)[..]).unwrap();
    let [resource] = &mut request.resource_spans[..] else { panic!("{request:?}") };
    let [scope] = &mut resource.scope_spans[..] else { panic!("{resource:?}") };
    let named = scope.scope.as_ref().map(|scope| (&*scope.name, &*scope.version));
    assert_eq!(named, Some(("openclaw-trace", "1.2.3")));
    (resource.resource.take().unwrap(), std::mem::take(&mut scope.spans))
}

fn logs(rows: &[Vec<u8>]) -> Vec<LogRecord> {
    let mut request = ExportLogsServiceRequest::decode(&request(Signal::Logs, rows)[..]).unwrap();
    let [resource] = &mut request.resource_logs[..] else { panic!("{request:?}") };
    let [scope] = &mut resource.scope_logs[..] else { panic!("{resource:?}") };
    std::mem::take(&mut scope.log_records)
}

fn metrics(rows: &[Vec<u8>]) -> Vec<Vec<Metric>> {
    let request = ExportMetricsServiceRequest::decode(&request(Signal::Metrics, rows)[..]).unwrap();
    let [resource] = &request.resource_metrics[..] else { panic!("{request:?}") };
    assert!(resource.resource.is_some());
    resource.scope_metrics.iter().map(|scope| scope.metrics.clone()).collect()
}

/// Attributes by name, each of which is there once.
fn attributes(list: &[KeyValue]) -> BTreeMap<&str, Option<&Any>> {
    let map: BTreeMap<_, _> =
        list.iter().map(|a| (&*a.key, a.value.as_ref().and_then(|value| value.value.as_ref()))).collect();
    assert_eq!(map.len(), list.len(), "a name comes twice: {list:?}");
    map
}

fn string(text: &str) -> Any {
    Any::StringValue(text.to_owned())
}

/// What our own reader makes of rows.
fn reread(signal: Signal, rows: &[Vec<u8>], context: &Context) -> (Report, Vec<Event>) {
    let mut events = Vec::new();
    let body = Bytes::from(request(signal, rows));
    let report = read(signal, Encoding::Protobuf, body, context, &mut |told| match told {
        Told::Event(event) => events.push(event),
        Told::Note(note) => panic!("{note:?}"),
    });
    (report.unwrap(), events)
}

/// What reading leaves in a call besides its columns.
fn columns_only(mut event: Event) -> Event {
    if let Kind::LlmTrace(call) = &mut event.kind {
        call.service_tier = None;
        call.besides = Default::default();
        call.exporter = None;
    }
    event
}

#[test]
fn rows_of_any_kind_come_back_equal_through_our_own_reader() {
    let seed = fastrand::u64(..);
    let mut random = Random(fastrand::Rng::with_seed(seed));
    let events: Vec<Event> = (0..600).map(|_| random.event()).collect();
    for signal in [Signal::Traces, Signal::Logs] {
        let sent: Vec<&Event> = events.iter().filter(|event| Signal::of(event.table()) == signal).collect();
        let context = Context { records_max: 1000, ..RECEIVER };
        let rows: Vec<Vec<u8>> = sent.iter().map(|event| field_of(event).1).collect();
        let (report, got) = reread(signal, &rows, &context);
        assert_eq!((report.rejected, report.taken), (0, sent.len() as u64), "seed {seed}: {report:?}");
        for (sent, got) in sent.into_iter().zip(got) {
            assert_eq!(columns_only(got), *sent, "seed {seed}");
        }
    }
}

#[test]
fn what_real_clients_sent_goes_on_with_its_ids_and_comes_back_equal() {
    let mut rows: BTreeMap<&str, Vec<(Event, Vec<u8>)>> = BTreeMap::new();
    for (path, encoding, body) in every_body() {
        let signal = signal_of(&path);
        let report = read(signal, encoding, body, &RECEIVER, &mut |told| {
            if let Told::Event(event) = told {
                let (signal, row) = field_of(&event);
                rows.entry(signal.path()).or_default().push((columns_only(event), row));
            }
        });
        report.unwrap();
    }
    let (calls, logs) = (&rows["/v1/traces"], &rows["/v1/logs"]);
    assert!(calls.len() > 30 && logs.len() > 20, "{} {}", calls.len(), logs.len());
    for (signal, rows) in [(Signal::Traces, calls), (Signal::Logs, logs)] {
        for (event, row) in rows {
            let (report, got) = reread(signal, std::slice::from_ref(row), &RECEIVER);
            let got: Vec<Event> = got.into_iter().map(columns_only).collect();
            assert_eq!((report.taken, &got[..]), (1, std::slice::from_ref(event)));
        }
    }
    let mut ids = HashSet::new();
    let mut kept = 0;
    for (event, row) in calls {
        let Kind::LlmTrace(call) = &event.kind else { panic!("{event:?}") };
        let (_, spans) = spans(std::slice::from_ref(row));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let span_id = hex(&spans[0].span_id);
        assert!(ids.insert((spans[0].trace_id.clone(), span_id.clone())), "two rows are one span: {event:?}");
        assert!(call.otel_trace_id.as_deref().is_none_or(|id| id == hex(&spans[0].trace_id)));
        match call.otel_span_id.as_deref() {
            Some(own) if own == span_id => {
                kept += 1;
                assert_eq!(call.otel_parent_span_id.as_deref().unwrap_or_default(), hex(&spans[0].parent_span_id));
            }
            other => assert_eq!(other.unwrap_or_default(), hex(&spans[0].parent_span_id)),
        }
    }
    assert!(kept > 30 && kept < calls.len(), "{kept} of {}: the calls of Claude Code are log records", calls.len());
}

#[test]
fn a_call_is_a_span_by_the_conventions_for_generative_ai() {
    let call = LlmTrace {
        timestamp_ms: 1_795_000_000_123,
        provider: Some("anthropic".into()),
        request_model: "claude-sonnet-4-5".into(),
        response_model: Some("claude-sonnet-4-5-20250929".into()),
        operation: "chat".into(),
        input_tokens: Some(1200),
        output_tokens: Some(45),
        cache_read_tokens: Some(1000),
        cache_write_tokens: Some(50),
        cache_write_1h_tokens: Some(40),
        reasoning_tokens: Some(0),
        cost: Some(PicoUsd(1_575_000_001)),
        cost_source: CostSource::Table,
        price_version: Some("p".into()),
        latency_ms: Some(517),
        ttft_ms: Some(230),
        ttfb_ms: Some(220),
        status: Status::Timeout,
        error_type: Some("429".into()),
        error_message: Some("why".into()),
        finish_reason: Some("stop".into()),
        response_id: Some("r".into()),
        conversation_id: Some("s-1".into()),
        agent_id: Some("a".into()),
        agent_name: Some("main".into()),
        user_id: Some("u".into()),
        streaming: Some(true),
        input_text: Some("hello".into()),
        output_text: Some("hi".into()),
        text_truncated: true,
        service_name: Some("svc".into()),
        attributes: Some(r#"{"k":{"n":[1,2.5,null]},"gen_ai.request.model":"x"}"#.into()),
        channel: Some("webchat".into()),
        trigger: Some("cron".into()),
        ..LlmTrace::default()
    };
    let id = EventId::parse("0192f0c1-7d4e-7abc-8def-0123456789ab").unwrap();
    let event = Event { id, received_at_ms: 1_795_000_001_000, kind: Kind::LlmTrace(Box::new(call)) };
    let (resource, spans) = spans(&[field_of(&event).1]);
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&*span.name, span.kind), ("chat claude-sonnet-4-5", 3));
    assert_eq!(span.trace_id, id.to_bytes());
    assert_eq!(span.span_id, (0x0192_f0c1_7d4e_7abc_u64 ^ 0x8def_0123_4567_89ab).to_be_bytes());
    assert_eq!(span.parent_span_id, b"");
    assert_eq!(span.start_time_unix_nano, 1_795_000_000_123_000_000);
    assert_eq!(span.end_time_unix_nano, 1_795_000_000_640_000_000);
    assert_eq!(span.status.as_ref().map(|status| (status.code, &*status.message)), Some((2, "why")));
    let found = attributes(&span.attributes);
    let expected = [
        ("openclaw_trace.trace_id", string("0192f0c1-7d4e-7abc-8def-0123456789ab")),
        ("openclaw_trace.received_at", Any::IntValue(1_795_000_001_000)),
        ("openclaw_trace.status", string("timeout")),
        ("openinference.span.kind", string("LLM")),
        ("gen_ai.operation.name", string("chat")),
        ("gen_ai.provider.name", string("anthropic")),
        ("gen_ai.system", string("anthropic")),
        ("gen_ai.request.model", string("claude-sonnet-4-5")),
        ("gen_ai.response.model", string("claude-sonnet-4-5-20250929")),
        ("gen_ai.usage.input_tokens", Any::IntValue(1200)),
        ("gen_ai.usage.output_tokens", Any::IntValue(45)),
        ("gen_ai.usage.cache_read.input_tokens", Any::IntValue(1000)),
        ("gen_ai.usage.cache_creation.input_tokens", Any::IntValue(50)),
        ("gen_ai.usage.reasoning.output_tokens", Any::IntValue(0)),
        ("openclaw_trace.cache_write_1h_tokens", Any::IntValue(40)),
        ("openclaw_trace.cost_picousd", Any::IntValue(1_575_000_001)),
        ("gen_ai.usage.cost", Any::DoubleValue(0.001575000001)),
        ("openclaw_trace.cost_source", string("table")),
        ("openclaw_trace.price_version", string("p")),
        ("openclaw_trace.latency_ms", Any::IntValue(517)),
        ("gen_ai.response.time_to_first_chunk", Any::DoubleValue(0.23)),
        ("openclaw.model_call.time_to_first_byte_ms", Any::IntValue(220)),
        ("error.type", string("429")),
        ("gen_ai.response.id", string("r")),
        ("gen_ai.conversation.id", string("s-1")),
        ("session.id", string("s-1")),
        ("gen_ai.agent.id", string("a")),
        ("gen_ai.agent.name", string("main")),
        ("user.id", string("u")),
        ("gen_ai.request.stream", Any::BoolValue(true)),
        ("openclaw_trace.unit", string("request")),
        ("input.value", string("hello")),
        ("output.value", string("hi")),
        ("openclaw_trace.text_truncated", Any::BoolValue(true)),
        ("openclaw_trace.service_name", string("svc")),
        ("openclaw_trace.source", string("native")),
        ("openclaw.channel", string("webchat")),
        ("openclaw.trigger", string("cron")),
        ("openclaw_trace.attributes.gen_ai.request.model", string("x")),
    ];
    for (name, value) in &expected {
        assert_eq!(found.get(name), Some(&Some(value)), "{name}");
    }
    let Some(Some(Any::ArrayValue(reasons))) = found.get("gen_ai.response.finish_reasons") else { panic!("{found:?}") };
    assert_eq!(reasons.values.len(), 1);
    assert_eq!(reasons.values[0].value, Some(string("stop")));
    let Some(Some(Any::KvlistValue(nested))) = found.get("k") else { panic!("{found:?}") };
    assert_eq!(nested.values[0].key, "n");
    assert_eq!(found.len(), expected.len() + 2, "{found:?}");
    let who = attributes(&resource.attributes);
    for (name, value) in [
        ("service.name", "openclaw-trace"),
        ("service.version", "1.2.3"),
        ("service.instance.id", "i-1"),
        ("host.name", "h\u{e9}"),
        ("host.id", "4d89"),
        ("cloud.provider", "fly_io"),
        ("cloud.region", "fra"),
        ("container.image.name", "registry.fly.io/app:1"),
        ("fly.app_name", "app"),
        ("fly.machine_id", "4d89"),
    ] {
        assert_eq!(who.get(name), Some(&Some(&string(value))), "{name}");
    }
    assert_eq!(who.len(), 10, "{who:?}");
}

#[test]
fn errors_and_events_are_log_records() {
    let id = EventId::parse("0192f0c1-7d4e-7abc-8def-0123456789ab").unwrap();
    let error = ErrorEvent {
        timestamp_ms: 1_795_000_000_123,
        error_type: Some("E".into()),
        message: "m".into(),
        stacktrace: Some("at x".into()),
        severity: Severity::Fatal,
        handled: Some(false),
        component: Some("c".into()),
        otel_trace_id: Some("0102030405060708090a0b0c0d0e0f10".into()),
        otel_span_id: Some("1112131415161718".into()),
        fingerprint: Some("f".into()),
        source: Source::Run,
        ..ErrorEvent::default()
    };
    let custom = CustomEvent { timestamp_ms: -5, name: "n".into(), body: Some("b".into()), ..CustomEvent::default() };
    let kinds = [Kind::ErrorEvent(Box::new(error)), Kind::CustomEvent(Box::new(custom))];
    let rows = kinds.map(|kind| field_of(&Event { id, received_at_ms: 7, kind }).1);
    let logs = logs(&rows);
    let [error, custom] = &logs[..] else { panic!("{logs:?}") };
    assert_eq!((error.time_unix_nano, error.observed_time_unix_nano), (1_795_000_000_123_000_000, 7_000_000));
    assert_eq!((error.severity_number, &*error.severity_text, &*error.event_name), (21, "fatal", "exception"));
    assert_eq!((error.trace_id[..2].to_vec(), error.span_id.len()), (vec![1, 2], 8));
    assert_eq!(error.body.as_ref().and_then(|body| body.value.clone()), Some(string("m")));
    let found = attributes(&error.attributes);
    for (name, value) in [
        ("exception.type", string("E")),
        ("exception.message", string("m")),
        ("exception.stacktrace", string("at x")),
        ("openclaw_trace.table", string("error_events")),
        ("openclaw_trace.trace_id", string("0192f0c1-7d4e-7abc-8def-0123456789ab")),
        ("openclaw_trace.received_at", Any::IntValue(7)),
        ("openclaw_trace.handled", Any::BoolValue(false)),
        ("openclaw_trace.component", string("c")),
        ("openclaw_trace.fingerprint", string("f")),
        ("openclaw_trace.source", string("run")),
    ] {
        assert_eq!(found.get(name), Some(&Some(&value)), "{name}");
    }
    assert_eq!(found.len(), 10, "{found:?}");
    assert_eq!((custom.time_unix_nano, custom.severity_number, &*custom.severity_text), (0, 0, ""));
    assert_eq!((&*custom.event_name, &custom.trace_id[..]), ("n", &b""[..]));
    assert_eq!(custom.body.as_ref().and_then(|body| body.value.clone()), Some(string("b")));
    assert_eq!(attributes(&custom.attributes)["openclaw_trace.table"], Some(&string("custom_events")));
}

#[test]
fn a_sample_is_a_scope_of_metrics_with_the_numbers_of_its_columns() {
    let columns = [
        ("trace_id", Value::Text("t")),
        ("timestamp", Value::Integer(60_000)),
        ("interval_ms", Value::Integer(15_000)),
        ("cpu_percent", Value::Real(50.0)),
        ("memory_used_bytes", Value::Integer(i64::MAX)),
        ("disk_path", Value::Text("/data")),
        ("disk_used_bytes", Value::Integer(3)),
        ("disk_free_bytes", Value::Integer(4)),
        ("net_rx_bytes", Value::Integer(5)),
        ("net_tx_bytes", Value::Null),
        ("agent_alive", Value::Integer(1)),
        ("scope", Value::Text("cgroup2")),
        ("processes_top", Value::Json("[]")),
    ];
    let samples = metrics(&[written(Table::SystemMetrics, &columns), written(Table::SystemMetrics, &columns)]);
    assert_eq!((samples.len(), &samples[0]), (2, &samples[1]));
    let found: BTreeMap<&str, &Metric> = samples[0].iter().map(|metric| (&*metric.name, metric)).collect();
    let names = [
        "container.memory.usage",
        "openclaw_trace.agent_alive",
        "system.cpu.utilization",
        "system.filesystem.usage",
        "system.network.io",
    ];
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), names);
    let points = |name: &str| -> (Vec<NumberDataPoint>, Option<(i32, bool)>) {
        match found[name].data.clone().unwrap() {
            Data::Gauge(gauge) => (gauge.data_points, None),
            Data::Sum(sum) => (sum.data_points, Some((sum.aggregation_temporality, sum.is_monotonic))),
            other => panic!("{other:?}"),
        }
    };
    let (cpu, kind) = points("system.cpu.utilization");
    assert_eq!((kind, cpu.len(), cpu[0].value), (None, 1, Some(number_data_point::Value::AsDouble(0.5))));
    assert_eq!((cpu[0].start_time_unix_nano, cpu[0].time_unix_nano), (0, 60_000_000_000));
    assert_eq!(attributes(&cpu[0].attributes)["openclaw_trace.scope"], Some(&string("cgroup2")));
    let (memory, _) = points("container.memory.usage");
    assert_eq!(memory[0].value, Some(number_data_point::Value::AsInt(i64::MAX)));
    assert_eq!(found["container.memory.usage"].unit, "By");
    let (disk, kind) = points("system.filesystem.usage");
    assert_eq!((kind, disk.len()), (Some((2, false)), 2));
    assert_eq!(attributes(&disk[1].attributes)["system.filesystem.state"], Some(&string("free")));
    assert_eq!(attributes(&disk[1].attributes)["openclaw_trace.disk_path"], Some(&string("/data")));
    let (network, kind) = points("system.network.io");
    assert_eq!((kind, network.len()), (Some((1, true)), 1));
    assert_eq!((network[0].start_time_unix_nano, network[0].time_unix_nano), (45_000_000_000, 60_000_000_000));
}

#[test]
fn the_docs_say_what_goes_where() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wire.md");
    let wire = std::fs::read_to_string(path).unwrap();
    let section = wire.split("\n## OTLP push\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let spans = span::ATTRIBUTES.iter().map(|(column, _, names)| (*column, names.to_vec()));
    let logs = log::ATTRIBUTES.iter().map(|(column, names)| (*column, names.to_vec()));
    let flags = log::FLAGS.iter().map(|(column, name, _)| (*column, vec![*name]));
    let metrics = metric::METRICS.iter().flat_map(|metric| metric.points.iter().map(|(c, _)| (*c, vec![metric.name])));
    let quoted = |line: &str, name: &str| line.contains(&format!("`{name}`"));
    for (column, names) in spans.chain(logs).chain(flags).chain(metrics) {
        let is_row = |line: &&str| {
            let cells: Vec<&str> = line.split('|').collect();
            cells.len() >= 4 && quoted(cells[1], column) && names.iter().all(|name| quoted(cells[2], name))
        };
        assert!(section.lines().any(|line| is_row(&line)), "docs/wire.md has no row of {column} with {names:?}");
    }
}

#[test]
fn every_number_of_a_sample_is_a_metric_but_what_is_made_of_others() {
    let event = crate::event::SystemMetric::default();
    let shown = format!("{event:?}");
    // The fields of the struct are the columns, but for the time.
    let fields = shown.split([' ', '{', ',']).filter_map(|word| word.strip_suffix(':'));
    let columns: Vec<&str> = fields.filter(|name| !matches!(*name, "timestamp_ms" | "interval_ms" | "scope")).collect();
    assert!(columns.len() > 40, "{columns:?}");
    for column in columns {
        let column: &'static str = column.to_owned().leak();
        let value = Value::Integer(1);
        let written = metrics(&[written(Table::SystemMetrics, &[(column, value)])]);
        let is_text = matches!(column, "disk_path" | "processes_top");
        assert_eq!(written[0].len(), usize::from(!is_text), "{column}");
    }
}

#[test]
fn rows_of_nulls_and_of_nonsense_are_still_a_request() {
    for table in Table::ALL {
        for value in [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Integer(i64::MAX),
            Value::Real(f64::NAN),
            Value::Real(f64::NEG_INFINITY),
            Value::Text(""),
            Value::Text("\u{1}\n\"\u{10ffff}"),
            Value::Json("{"),
            Value::Json("[1,"),
            Value::Json("{\"a\":1}}"),
            Value::Json("{\"a\":tru}"),
            Value::Json("{\"a\":{\"b\":\"\\"),
        ] {
            let (call, error, custom) = (LlmTrace::default(), ErrorEvent::default(), CustomEvent::default());
            let columns: Columns<'_> = match table {
                Table::LlmTraces => call_columns(&call),
                Table::ErrorEvents => error_columns(&error),
                Table::CustomEvents => custom_columns(&custom),
                Table::SystemMetrics => vec![("cpu_percent", Value::Null), ("memory_used_bytes", Value::Null)],
            };
            let all = ["trace_id", "received_at", "timestamp", "interval_ms"].into_iter();
            let columns: Columns<'_> = all.chain(columns.iter().map(|(name, _)| *name)).map(|n| (n, value)).collect();
            let rows = [written(table, &columns), written(table, &[]), written(table, &columns)];
            let count = match Signal::of(table) {
                Signal::Traces => {
                    let (_, spans) = spans(&rows);
                    for span in &spans {
                        attributes(&span.attributes);
                        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{value:?}");
                        assert!(span.span_id.iter().any(|byte| *byte != 0), "{value:?}");
                    }
                    spans.len()
                }
                Signal::Logs => logs(&rows).len(),
                Signal::Metrics => metrics(&rows).len(),
            };
            assert_eq!(count, 3, "{table:?} {value:?}");
            if Signal::of(table) != Signal::Metrics {
                let mut records = 0;
                let body = Bytes::from(request(Signal::of(table), &rows));
                let read = read(Signal::of(table), Encoding::Protobuf, body, &RECEIVER, &mut |_| records += 1);
                assert_eq!(read.map(|report| report.rejected), Ok(0), "{table:?} {value:?}");
            }
        }
    }
}

#[test]
fn a_text_of_any_length_has_its_length_before_it() {
    for length in [0, 1, 100, 127, 128, 16_000, 16_384, 2_100_000] {
        let prompt = "é".repeat(length / 2);
        let columns = [("trace_id", Value::Text("t")), ("input_text", Value::Text(&prompt))];
        let rows = vec![written(Table::LlmTraces, &columns); 3];
        let (_, spans) = spans(&rows);
        assert_eq!(spans.len(), 3);
        for span in spans {
            assert_eq!(attributes(&span.attributes)["input.value"], Some(&string(&prompt)));
        }
    }
    let body = request(Signal::Traces, &[]);
    assert_eq!(ExportTraceServiceRequest::decode(&body[..]).unwrap().resource_spans.len(), 1);
}

#[test]
fn json_keeps_its_types_and_its_depth() {
    let json = r#" { "a" : [ 1 , -2.5e3, 18446744073709551616, 1e999, true, null, "\ud83d x\u0000\\" ] ,
        "deep":{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":[1, "]}\"" ]}}}}}}}}, "empty": {} }"#;
    let columns = [("trace_id", Value::Text("t")), ("attributes", Value::Json(json))];
    let (_, spans) = spans(&[written(Table::LlmTraces, &columns)]);
    let found = attributes(&spans[0].attributes);
    let Some(Some(Any::ArrayValue(list))) = found.get("a") else { panic!("{found:?}") };
    let values: Vec<Option<Any>> = list.values.iter().map(|value| value.value.clone()).collect();
    let expected = [
        Some(Any::IntValue(1)),
        Some(Any::DoubleValue(-2500.0)),
        Some(Any::DoubleValue(18_446_744_073_709_551_616.0)),
        Some(string("1e999")),
        Some(Any::BoolValue(true)),
        None,
        Some(string("\u{fffd} x\u{fffd}\\")),
    ];
    assert_eq!(values, expected);
    let mut value = found["deep"].cloned();
    let mut depth = 0;
    while let Some(Any::KvlistValue(map)) = value {
        depth += 1;
        value = map.values[0].value.as_ref().and_then(|value| value.value.clone());
    }
    assert_eq!((depth, value), (8, Some(string(r#"[1, "]}\"" ]"#))));
    assert_eq!(found["empty"], Some(&Any::KvlistValue(Default::default())));
}

#[test]
fn attributes_that_are_no_json_object_go_as_they_are() {
    for text in
        ["", "{", "[1]", "7", "{\"a\":1}}", "{\"a\":1,}", "{\"a\":[1}", "{\"a\":{\"b\":nul}}", "{\"a\" 1}", "{a:1}"]
    {
        let columns = [("trace_id", Value::Text("t")), ("attributes", Value::Json(text))];
        let (_, spans) = spans(&[written(Table::LlmTraces, &columns)]);
        let found = attributes(&spans[0].attributes);
        assert_eq!(found.get("openclaw_trace.attributes"), Some(&Some(&string(text))), "{found:?}");
        assert_eq!(found.len(), 3, "{found:?}");
    }
}

#[test]
fn a_severity_has_the_number_that_otel_gives_it() {
    let numbers = Severity::ALL.iter().map(|severity| {
        let columns = [("severity", Value::Text(severity.as_str()))];
        logs(&[written(Table::CustomEvents, &columns)])[0].severity_number
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [5, 9, 13, 17, 21]);
}

#[test]
fn attributes_of_a_row_are_not_cut_again_and_those_of_anybody_are() {
    let members: Vec<String> = (0..64).map(|n| format!("\"k{n}\":\"{}\"", "v".repeat(200))).collect();
    let text = format!("{{\"t\":\"{}\",\"_dropped\":[\"x\"]}}", "x".repeat(4096));
    for json in [format!("{{{},\"_dropped\":[\"x\"]}}", members.join(",")), text] {
        let call = LlmTrace { attributes: Some(json.into()), operation: "chat".into(), ..LlmTrace::default() };
        let call = LlmTrace { request_model: "m".into(), timestamp_ms: 5, ..call };
        let event =
            Event { id: EventId::new(5), received_at_ms: RECEIVER.now_ms, kind: Kind::LlmTrace(Box::new(call)) };
        let (_, got) = reread(Signal::Traces, &[field_of(&event).1], &RECEIVER);
        assert_eq!(got, [event]);
    }
}

#[test]
fn a_row_has_the_same_bytes_and_ids_whenever_it_is_sent_and_no_two_share_a_span() {
    let mut random = Random(fastrand::Rng::with_seed(7));
    let call = LlmTrace { otel_trace_id: Some(random.hex(32)), otel_span_id: Some(random.hex(16)), ..random.call() };
    let mut ids = HashSet::new();
    for n in 0..200_u8 {
        // Two families of ids, which count in one half each.
        for id in
            [format!("00000000-0000-4000-8000-0000000000{n:02x}"), format!("000000{n:02x}-0000-4000-8000-000000000000")]
        {
            let id = EventId::parse(&id).unwrap();
            let event = Event { id, received_at_ms: 1, kind: Kind::LlmTrace(Box::new(call.clone())) };
            let (first, again) = (field_of(&event).1, field_of(&event).1);
            assert_eq!(first, again);
            ids.insert(spans(&[first]).1[0].span_id.clone());
        }
    }
    assert_eq!(ids.len(), 399, "and one id is of both families");
    let halves = EventId::parse("01234567-89ab-cdef-0123-456789abcdef").unwrap();
    assert_eq!(super::super::own::span_id_of(halves), 0x0123_4567_89ab_cdef_u64.to_be_bytes());
}

#[test]
fn a_row_of_another_sidecar_is_no_second_error_and_nobody_else_is_taken_for_one() {
    let mut random = Random(fastrand::Rng::with_seed(8));
    let call = LlmTrace { status: Status::Error, unit: Unit::TurnSum, ..random.call() };
    let id = EventId::new(5);
    let event = Event { id, received_at_ms: RECEIVER.now_ms, kind: Kind::LlmTrace(Box::new(call)) };
    let (_, row) = field_of(&event);
    let (report, got) = reread(Signal::Traces, &[row.clone(), row], &RECEIVER);
    assert_eq!((report.taken, got.len(), got[0].id, got[1].id), (2, 2, id, id));
    let Kind::LlmTrace(sum) = &got[0].kind else { panic!("{got:?}") };
    assert!(sum.exporter.is_some(), "a sum without one is no row");
    // An id that is none: the span is read like any other.
    let columns = [
        ("trace_id", Value::Text("0192f0c17d4e7abc8def0123456789ab")),
        ("timestamp", Value::Integer(1)),
        ("request_model", Value::Text("m")),
        ("operation", Value::Text("chat")),
        ("unit", Value::Text("turn")),
    ];
    let (_, got) = reread(Signal::Traces, &[written(Table::LlmTraces, &columns)], &RECEIVER);
    let Kind::LlmTrace(call) = &got[0].kind else { panic!("{got:?}") };
    assert_eq!((call.unit, &*call.request_model), (Unit::Request, "m"));
}
