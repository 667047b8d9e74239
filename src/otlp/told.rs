//! What log records, exceptions and metrics tell, case by case.

use bytes::Bytes;
use prost::Message;

use super::captures::CONTEXT;
use super::proto::{
    Any, AnyValue, Histogram, HistogramPoint, KeyValue, LogRecord, Metric, NumberPoint, Span, SpanEvent, Sum,
};
use super::*;
use crate::event::{Counted, CounterPoint, ErrorEvent, LlmTrace, Severity, Unit};

fn text(text: &str) -> Any {
    Any::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(AnyValue { value: Some(value) }) }
}

/// A field with a length, for field numbers below 16.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(content.len(), &mut field).unwrap();
    field.extend_from_slice(content);
    field
}

/// A request with these records under a resource with these attributes.
fn request(resource: &[KeyValue], records: &[Vec<u8>]) -> Bytes {
    let resource: Vec<u8> = resource.iter().flat_map(|attribute| field(1, &attribute.encode_to_vec())).collect();
    let records: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    field(1, &[field(1, &resource), field(2, &records)].concat()).into()
}

fn told(signal: Signal, body: Bytes) -> (Report, Vec<Event>, Vec<Note>) {
    let (mut events, mut notes) = (Vec::new(), Vec::new());
    let report = read(signal, Encoding::Protobuf, body, &CONTEXT, &mut |told| match told {
        Told::Event(event) => events.push(event),
        Told::Note(note) => notes.push(note),
    });
    (report.unwrap(), events, notes)
}

fn logs(records: &[LogRecord]) -> (Report, Vec<Event>) {
    let records: Vec<Vec<u8>> = records.iter().map(Message::encode_to_vec).collect();
    let (report, events, _) = told(Signal::Logs, request(&[], &records));
    (report, events)
}

fn error_of(event: &Event) -> &ErrorEvent {
    let Kind::ErrorEvent(error) = &event.kind else { panic!("{event:?}") };
    error
}

fn failed(message: &str) -> LogRecord {
    LogRecord {
        time_ns: 1_795_000_000_000_000_000,
        severity_number: 17,
        body: Some(AnyValue { value: Some(text(message)) }),
        ..LogRecord::default()
    }
}

#[test]
fn exceptions_of_one_span_are_rows_of_their_own_and_the_same_each_time() {
    let exception = |message: &str, time_ns: u64| SpanEvent {
        time_ns,
        name: Bytes::from_static(b"exception"),
        attributes: vec![
            attribute("exception.message", text(message)),
            attribute("exception.stacktrace", text("at x")),
        ],
    };
    let span = Span {
        trace_id: Bytes::from_static(&[1; 16]),
        span_id: Bytes::from_static(&[2; 8]),
        name: Bytes::from_static(b"work"),
        start_ns: 1_795_000_000_000_000_000,
        events: vec![exception("a", 0), exception("a", 0), exception("b", 1_795_000_000_250_000_000)],
        attributes: vec![attribute("session.id", text("s-1"))],
        ..Span::default()
    };
    let body = request(&[], &[span.encode_to_vec()]);
    let (report, events, _) = told(Signal::Traces, body.clone());
    assert_eq!((report.records, report.taken, events.len()), (1, 1, 3));
    let ids: std::collections::HashSet<EventId> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 3, "{events:?}");
    let errors: Vec<&ErrorEvent> = events.iter().map(error_of).collect();
    assert_eq!([&*errors[0].message, &*errors[1].message, &*errors[2].message], ["a", "a", "b"]);
    assert_eq!((errors[1].timestamp_ms, errors[2].timestamp_ms), (1_795_000_000_000, 1_795_000_000_250));
    assert_eq!((errors[0].stacktrace.as_deref(), errors[0].component.as_deref()), (Some("at x"), Some("work")));
    assert_eq!(errors[0].conversation_id.as_deref(), Some("s-1"));
    assert_eq!(
        told(Signal::Traces, body).1.iter().map(|event| event.id).collect::<Vec<_>>(),
        events.iter().map(|event| event.id).collect::<Vec<_>>()
    );
}

#[test]
fn log_records_that_say_the_same_are_rows_of_their_own_and_the_same_each_time() {
    let records = [failed("x"), failed("x"), failed("y")];
    let ids = || -> Vec<EventId> { logs(&records).1.iter().map(|event| event.id).collect() };
    let first = ids();
    assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    assert_eq!(ids(), first);
}

#[test]
fn what_a_log_record_matters_is_its_number_or_its_word_whichever_is_worse() {
    let with = |number: i32, word: &str| {
        let record = LogRecord { severity_number: number, severity_text: word.to_owned().into(), ..failed("m") };
        logs(&[record]).1.first().map(|event| error_of(event).severity)
    };
    for (number, word, severity) in [
        (17, "", Some(Severity::Error)),
        (24, "INFO", Some(Severity::Fatal)),
        (9, "error", Some(Severity::Error)),
        (0, "FATAL", Some(Severity::Fatal)),
        (16, "warn", None),
        (0, "", None),
        (99, "notice", None),
    ] {
        assert_eq!(with(number, word), severity, "{number} {word}");
    }
}

#[test]
fn an_error_of_a_log_has_a_message_whatever_the_record_lacks() {
    let message = |body: Option<Any>, attributes: Vec<KeyValue>| {
        let body = Some(AnyValue { value: body });
        error_of(&logs(&[LogRecord { body, attributes, ..failed("") }]).1[0]).message.to_string()
    };
    assert_eq!(message(Some(text("it broke")), vec![]), "it broke");
    assert_eq!(
        message(Some(text("log")), vec![attribute("openclaw.errorName", text("FailoverError"))]),
        "FailoverError"
    );
    assert_eq!(message(Some(text("it broke")), vec![attribute("exception.message", text("why"))]), "why");
    assert_eq!(message(None, vec![]), "an error without a message");
    assert_eq!(
        message(Some(Any::Whole(7)), vec![attribute("exception.message", Any::Whole(7))]),
        "an error without a message"
    );
}

#[test]
fn details_of_a_call_are_a_row_only_where_no_span_tells_of_it() {
    let details = |trace_id: &'static [u8], span_id: &'static [u8], flags: u32| {
        let attributes = vec![
            attribute("gen_ai.operation.name", text("chat")),
            attribute("gen_ai.request.model", text("m")),
            attribute("gen_ai.usage.input_tokens", Any::Whole(12)),
        ];
        let name = Bytes::from_static(b"gen_ai.client.inference.operation.details");
        let ids = (Bytes::from_static(trace_id), Bytes::from_static(span_id));
        LogRecord {
            event_name: name,
            attributes,
            flags,
            trace_id: ids.0,
            span_id: ids.1,
            severity_number: 9,
            ..failed("")
        }
    };
    let (report, events) = logs(&[details(&[1; 16], &[2; 8], 1)]);
    assert_eq!((events.len(), report.ignored.len(), report.taken), (0, 1, 0));
    for lone in [details(b"", b"", 0), details(&[1; 16], &[2; 8], 0), details(&[0; 16], &[0; 8], 1)] {
        let (report, events) = logs(&[lone]);
        let [Event { kind: Kind::LlmTrace(call), .. }] = &events[..] else { panic!("{events:?}") };
        let LlmTrace { unit, input_tokens, latency_ms, .. } = &**call;
        assert_eq!((report.taken, *unit, *input_tokens, *latency_ms), (1, Unit::UsageOnly, Some(12), None));
    }
}

#[test]
fn a_log_record_of_claude_code_that_failed_is_a_call_and_an_error() {
    let record = LogRecord {
        body: Some(AnyValue { value: Some(text("claude_code.api_error")) }),
        severity_number: 0,
        attributes: vec![
            attribute("event.name", text("api_error")),
            attribute("model", text("claude-sonnet-4-5")),
            attribute("error", text("429 rate limited")),
            attribute("status_code", text("429")),
            attribute("duration_ms", Any::Whole(250)),
            attribute("attempt", Any::Whole(3)),
        ],
        ..failed("")
    };
    let (_, events) = logs(std::slice::from_ref(&record));
    let [Event { kind: Kind::LlmTrace(call), .. }, error] = &events[..] else { panic!("{events:?}") };
    assert_eq!((call.status.as_str(), call.cost, call.latency_ms), ("error", None, Some(250)));
    assert_eq!((call.error_type.as_deref(), call.error_message.as_deref()), (Some("429"), Some("429 rate limited")));
    assert_eq!(call.attributes.as_deref(), Some(r#"{"event.name":"api_error","attempt":3}"#));
    assert_eq!((error_of(error).error_type.as_deref(), &*error_of(error).message), (Some("429"), "429 rate limited"));
    let body = Some(AnyValue { value: Some(text("claude_code.tool_result")) });
    let tool = LogRecord { body, attributes: vec![attribute("tool_name", text("Bash"))], ..record };
    let (_, events) = logs(&[tool]);
    let [Event { kind: Kind::CustomEvent(event), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*event.name, event.attributes.as_deref().unwrap().contains("Bash")), ("execute_tool", true));
}

#[test]
fn a_record_that_is_nested_too_deep_or_has_too_much_in_it_is_rejected_before_it_is_decoded() {
    let deep = (0..=NESTING_MAX).fold(Any::Whole(1), |inner, _| {
        Any::List(super::proto::ValueList { values: vec![AnyValue { value: Some(inner) }] })
    });
    let body = LogRecord { body: Some(AnyValue { value: Some(deep) }), ..failed("") };
    let many = LogRecord { attributes: vec![KeyValue::default(); NODES_MAX + 1], ..failed("") };
    let (report, events) = logs(&[body, failed("fine"), many]);
    assert_eq!((report.rejected, events.len()), (2, 1), "{report:?}");
    let sum = Sum { data_points: vec![NumberPoint::default(); NODES_MAX + 1], ..Sum::default() };
    let metric = Metric { name: Bytes::from_static(b"openclaw.tokens"), sum: Some(sum), ..Metric::default() };
    let (report, _, notes) = told(Signal::Metrics, request(&[], &[metric.encode_to_vec()]));
    assert_eq!((report.rejected, notes.len()), (1, 0), "{report:?}");
}

/// What a counter of this value and these labels is noted as.
fn counted(name: &'static str, point: NumberPoint, temporality: i32, is_monotonic: bool) -> Option<CounterPoint> {
    let sum = Sum { data_points: vec![point], aggregation_temporality: temporality, is_monotonic };
    let metric = Metric { name: Bytes::from_static(name.as_bytes()), sum: Some(sum), ..Metric::default() };
    let service = [attribute("service.name", text("agent")), attribute("process.pid", Any::Whole(7))];
    let (report, events, notes) = told(Signal::Metrics, request(&service, &[metric.encode_to_vec()]));
    assert_eq!((report.records, report.ignored.len(), events.len()), (1, 1, 0), "{report:?}");
    notes.into_iter().next().map(|note| match note {
        Note::Counter(point) => *point,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_counter_is_noted_in_whole_units_and_what_is_none_is_not() {
    let input = vec![attribute("openclaw.token", text("input"))];
    let point = |as_int, as_double| NumberPoint {
        start_ns: 1_795_000_000_000_000_000,
        time_ns: 1_795_000_060_000_000_000,
        as_int,
        as_double,
        attributes: input.clone(),
    };
    let found = counted("openclaw.tokens", point(Some(1200), None), 2, true).unwrap();
    assert_eq!((found.value, found.counted, found.is_cumulative), (1200, Counted::Tokens, true));
    assert_eq!(
        (found.start_ms, found.timestamp_ms, &*found.service_name),
        (1_795_000_000_000, 1_795_000_060_000, "agent")
    );
    assert!(!counted("openclaw.tokens", point(None, Some(7.0)), 1, true).unwrap().is_cumulative);
    let cost = counted("openclaw.cost.usd", point(None, Some(0.001575)), 2, true).unwrap();
    assert_eq!((cost.value, cost.counted), (1_575_000_000, Counted::PicoUsd));
    assert_ne!(cost.series, found.series);
    for (number, temporality, is_monotonic) in
        [(-1.0, 2, true), (f64::NAN, 2, true), (1e300, 2, true), (7.0, 0, true), (7.0, 2, false)]
    {
        assert_eq!(counted("openclaw.tokens", point(None, Some(number)), temporality, is_monotonic), None, "{number}");
    }
    for sum_of_others in ["prompt", "total", ""] {
        let attributes = vec![attribute("openclaw.token", text(sum_of_others))];
        assert_eq!(counted("openclaw.tokens", NumberPoint { attributes, ..point(Some(7), None) }, 2, true), None);
    }
    assert_eq!(counted("gen_ai.client.token.usage", point(Some(7), None), 2, true), None, "not compared");
}

#[test]
fn the_order_of_its_labels_makes_no_other_series_and_another_process_does() {
    let labels = |order: &[&str]| order.iter().map(|name| attribute(name, text("input"))).collect();
    let with = |order: &[&str]| NumberPoint { as_int: Some(1), attributes: labels(order), ..NumberPoint::default() };
    let series = |order: &[&str]| counted("openclaw.tokens", with(order), 2, true).unwrap().series;
    assert_eq!(series(&["openclaw.token", "x", "y"]), series(&["y", "openclaw.token", "x"]));
    assert_ne!(series(&["openclaw.token", "x"]), series(&["openclaw.token", "y"]));
    let of_process = |pid: i64| {
        let histogram = Histogram {
            data_points: vec![HistogramPoint { count: 3, ..HistogramPoint::default() }],
            aggregation_temporality: 2,
        };
        let name = Bytes::from_static(b"openclaw.model_call.duration_ms");
        let metric = Metric { name, histogram: Some(histogram), ..Metric::default() };
        let body = request(&[attribute("process.pid", Any::Whole(pid))], &[metric.encode_to_vec()]);
        let (_, _, notes) = told(Signal::Metrics, body);
        let [Note::Counter(point)] = &notes[..] else { panic!("{notes:?}") };
        assert_eq!((point.value, point.counted), (3, Counted::Calls));
        point.series
    };
    assert_ne!(of_process(7), of_process(8));
}

#[test]
fn nothing_of_a_resource_is_stored_but_the_name_of_its_service() {
    let said = "what a user said";
    let resource = [
        attribute("service.name", text("agent")),
        attribute("process.command_args", text(said)),
        attribute("process.command", text(said)),
        attribute("anything", text(said)),
    ];
    let span = Span {
        trace_id: Bytes::from_static(&[1; 16]),
        span_id: Bytes::from_static(&[2; 8]),
        name: Bytes::from_static(b"openclaw.model.usage"),
        end_ns: 1,
        ..Span::default()
    };
    let (_, spans, notes) = told(Signal::Traces, request(&resource, &[span.encode_to_vec()]));
    let (_, logs, _) = told(Signal::Logs, request(&resource, &[failed("m").encode_to_vec()]));
    assert_eq!((spans.len(), logs.len()), (1, 1));
    let all = format!("{spans:?} {logs:?} {notes:?}");
    assert!(all.contains(r#"Some("agent")"#) && !all.contains(said), "{all}");
}
