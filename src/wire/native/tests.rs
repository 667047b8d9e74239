//! Whole bodies, through [`parse`].

mod bounds;
mod columns;

use super::*;
use crate::config::Capture;
use crate::event::{Besides, CostSource, CustomEvent, ErrorEvent, Kind, LlmTrace, PicoUsd, Severity, Status, Unit};

const NOW_MS: i64 = 1_795_458_732_000;
const ID: &str = "0192f0c1-7d4e-7abc-8def-0123456789ab";

fn context() -> Context<'static> {
    let text = TextConfig { capture: Capture::Native, max_bytes: 4096 };
    Context { now_ms: NOW_MS, text, idempotency_key: None, items_max: 1000 }
}

fn read_in(table: Table, body: &[u8], context: &Context<'_>) -> Result<(Vec<Event>, Report), Fault> {
    let mut events = Vec::new();
    let report = parse(table, body, context, &mut |event| events.push(event))?;
    assert_eq!(report.ids, events.iter().map(|e| e.id).collect::<Vec<_>>());
    Ok((events, report))
}

fn read(table: Table, body: &str) -> (Vec<Event>, Report) {
    read_in(table, body.as_bytes(), &context()).unwrap()
}

fn trace(body: &str) -> LlmTrace {
    let (mut events, report) = read(Table::LlmTraces, body);
    assert_eq!(report.rejected, [], "{body}");
    match events.pop().unwrap().kind {
        Kind::LlmTrace(trace) => *trace,
        other => panic!("{other:?}"),
    }
}

fn custom(body: &str) -> CustomEvent {
    let (mut events, report) = read(Table::CustomEvents, body);
    assert_eq!(report.rejected, [], "{body}");
    match events.pop().unwrap().kind {
        Kind::CustomEvent(event) => *event,
        other => panic!("{other:?}"),
    }
}

fn error(body: &str) -> ErrorEvent {
    let (mut events, report) = read(Table::ErrorEvents, body);
    assert_eq!(report.rejected, [], "{body}");
    match events.pop().unwrap().kind {
        Kind::ErrorEvent(event) => *event,
        other => panic!("{other:?}"),
    }
}

fn rejection(table: Table, body: &str) -> (String, String) {
    let (events, mut report) = read(table, body);
    assert_eq!(events, [], "{body}");
    let Rejected { field, message, .. } = report.rejected.pop().unwrap();
    (field.into_owned(), message)
}

fn fault(body: &[u8]) -> Fault {
    read_in(Table::LlmTraces, body, &context()).unwrap_err()
}

#[test]
fn objects_arrays_batches_and_lines_are_the_same_items() {
    for (table, key, item) in [
        (Table::LlmTraces, "traces", r#"{"model":"m"}"#),
        (Table::CustomEvents, "events", r#"{"name":"n"}"#),
        (Table::ErrorEvents, "errors", r#"{"message":"m"}"#),
    ] {
        for (body, items) in [
            (item.to_owned(), 1),
            (format!(" \r\n{item}\n\n"), 1),
            (format!("[{item}, {item}]"), 2),
            ("[]".to_owned(), 0),
            (format!("{{\"{key}\": [{item},{item},{item}]}}"), 3),
            (format!("{item}\n{item}\n"), 2),
            (format!("{item}\r\n\r\n{item}\r\n   \r\n{item}"), 3),
        ] {
            let (events, report) = read(table, &body);
            assert_eq!((events.len(), report.rejected.len()), (items, 0), "{body}");
            assert!(events.iter().all(|event| event.table() == table));
        }
    }
}

#[test]
fn a_byte_order_mark_before_the_body_is_skipped() {
    assert_eq!(&*trace("\u{feff}{\"model\":\"m\"}").request_model, "m");
    assert_eq!(&*trace("\u{feff}\r\n[{\"model\":\"m\"}]").request_model, "m");
    for body in ["\u{feff}", "\u{feff}\u{feff}{}", "{\"model\":\"m\"}\n\u{feff}{}"] {
        assert!(matches!(fault(body.as_bytes()), Fault::Syntax { .. }), "{body:?}");
    }
}

#[test]
fn half_a_surrogate_in_a_key_spoils_nothing() {
    for (body, attributes) in [
        (r#"{"model":"m","\ud800":1}"#, "{\"\u{fffd}\":1}"),
        (r#"[{"model":"m","metadata":{"a\udc00b":1}}]"#, "{\"a\u{fffd}b\":1}"),
        (r#"{"model":"m","usage":{"\ud83d":1,"\ud83d\ude00":2}}"#, "{\"usage.\u{fffd}\":1,\"usage.\u{1f600}\":2}"),
        (r#"{"model":"m","error":{"message":"x","\ud800":1}}"#, "{\"error.\u{fffd}\":1}"),
    ] {
        assert_eq!(trace(body).attributes.as_deref(), Some(attributes), "{body}");
    }
    assert_eq!(&*trace(r#"{"\u006dodel":"m"}"#).request_model, "m");
}

#[test]
fn a_batch_key_that_is_no_array_is_an_attribute() {
    let event = custom(r#"{"name":"n","events":3}"#);
    assert_eq!(event.attributes.as_deref(), Some(r#"{"events":3}"#));
    let event = custom(r#"{"name":"n","traces":[1]}"#);
    assert_eq!(event.attributes.as_deref(), Some(r#"{"traces":[1]}"#));
}

#[test]
fn what_is_not_json_is_a_fault_of_the_whole_body() {
    for body in [
        "",
        " \n",
        "{",
        "[{\"model\":\"m\"}",
        "{\"model\":\"m\"}\n{",
        "{\"model\":\"m\"} x",
        "{'model':1}",
        "[1,]",
        "{\"model\":\"m\",}",
        "{\"model\":01}",
        "nul",
        "{\"a\":\"\u{1}\"}",
    ] {
        assert!(matches!(fault(body.as_bytes()), Fault::Syntax { .. }), "{body}");
    }
    let Fault::Syntax { message } = fault(b"{\"model\":\"caf\xe9\"}") else { panic!() };
    assert_eq!(message, "expected UTF-8, got another byte at 13");
    let Fault::Syntax { message } = fault(b"{\"model\":\"m\"}\n{\"model\" 1}") else { panic!() };
    assert_eq!(message, "expected `:` at line 2 column 10");
}

#[test]
fn other_json_is_not_native() {
    for body in ["1", "\"x\"", "null", "true", "{\"model\":\"m\"}\n7"] {
        assert!(matches!(fault(body.as_bytes()), Fault::NotNative { .. }), "{body}");
    }
    for key in ["resourceSpans", "resourceLogs", "resourceMetrics", "resource_spans"] {
        let body = format!("{{\"model\":\"m\",\"traces\":[],\"{key}\":[]}}");
        let Fault::NotNative { message } = fault(body.as_bytes()) else { panic!() };
        assert!(message.contains("OTLP"), "{message}");
    }
    let (events, _) = read(Table::LlmTraces, r#"{"model":"m","resourceSpans":null}"#);
    assert_eq!(events.len(), 1, "null is absence");
    let metrics = read_in(Table::SystemMetrics, b"{}", &context());
    assert!(matches!(metrics, Err(Fault::NotNative { .. })));
}

#[test]
fn one_bad_item_does_not_spoil_the_others() {
    let (events, report) =
        read(Table::LlmTraces, r#"[{"model":"a"},{"model":"b","prompt_tokens":-5},7,{"model":"c"},{}]"#);
    let Kind::LlmTrace(last) = &events[1].kind else { panic!() };
    assert_eq!((events.len(), &*last.request_model), (2, "c"));
    let expected = [
        (1, "prompt_tokens", "expected a whole number from 0 to 9007199254740991, got -5"),
        (2, "", "expected an object, got 7"),
        (4, "model", "expected a text, got nothing"),
    ];
    for (rejected, (index, field, message)) in report.rejected.iter().zip(expected) {
        assert_eq!((rejected.index, &*rejected.field, &*rejected.message), (index, field, message));
    }
    assert_eq!(report.rejected.len(), expected.len());
}

#[test]
fn a_wrong_field_is_named_as_it_was_sent_and_shown_short() {
    let long = format!(r#"{{"model":"m","durationMs":"{}"}}"#, "é".repeat(100));
    let (field, message) = rejection(Table::LlmTraces, &long);
    let shown = "é".repeat(31);
    assert_eq!(field, "durationMs");
    assert_eq!(message, format!("expected a number of milliseconds from 0 to 9007199254740991, got \"{shown}..."));
    for (table, item, wrong) in [
        (Table::LlmTraces, r#"{"model":""}"#, "model"),
        (Table::LlmTraces, r#"{"model":null}"#, "model"),
        (Table::LlmTraces, r#"{"model":["m"]}"#, "model"),
        (Table::LlmTraces, r#"{"model":"m","id":"0af7651916cd43dd8448eb211c80319c"}"#, "id"),
        (Table::LlmTraces, r#"{"model":"m","trace_id":""}"#, "trace_id"),
        (Table::LlmTraces, r#"{"model":"m","ts":"yesterday"}"#, "ts"),
        (Table::LlmTraces, r#"{"model":"m","timestamp":-1}"#, "timestamp"),
        (Table::LlmTraces, r#"{"model":"m","timestamp":1.5}"#, "timestamp"),
        (Table::LlmTraces, r#"{"model":"m","timestamp":"1969-12-31T23:59:59Z"}"#, "timestamp"),
        (Table::LlmTraces, r#"{"model":"m","cost":-0.1}"#, "cost"),
        (Table::LlmTraces, r#"{"model":"m","cost":"free"}"#, "cost"),
        (Table::LlmTraces, r#"{"model":"m","cost":1e999}"#, "cost"),
        (Table::LlmTraces, r#"{"model":"m","status":"odd"}"#, "status"),
        (Table::LlmTraces, r#"{"model":"m","success":"maybe"}"#, "success"),
        (Table::LlmTraces, r#"{"model":"m","stream":2}"#, "stream"),
        (Table::LlmTraces, r#"{"model":"m","unit":"call"}"#, "unit"),
        (Table::LlmTraces, r#"{"model":"m","traceId":"abc"}"#, "traceId"),
        (Table::LlmTraces, r#"{"model":"m","spanId":"0af7651916cd43dd8448eb211c80319c"}"#, "spanId"),
        (Table::LlmTraces, r#"{"model":"m","usage":7}"#, "usage"),
        (Table::LlmTraces, r#"{"model":"m","usage":{"prompt_tokens":1.5}}"#, "usage.prompt_tokens"),
        (Table::LlmTraces, r#"{"model":"m","usage":{"cost":"x"}}"#, "usage.cost"),
        (Table::LlmTraces, r#"{"model":"m","error":true}"#, "error"),
        (
            Table::LlmTraces,
            r#"{"model":"m","gen_ai.response.time_to_first_chunk":-1}"#,
            "gen_ai.response.time_to_first_chunk",
        ),
        (Table::CustomEvents, r#"{"nam":"n"}"#, "name"),
        (Table::CustomEvents, r#"{"name":"n","level":30}"#, "level"),
        (Table::ErrorEvents, r#"{"error":{}}"#, "message"),
        (Table::ErrorEvents, r#"{"message":"m","handled":"no"}"#, "handled"),
    ] {
        assert_eq!(rejection(table, item).0, wrong, "{item}");
    }
}

#[test]
fn ids_are_the_clients_own_or_of_the_key_or_new() {
    let keyed = Context { idempotency_key: Some("k"), ..context() };
    let body = format!(r#"[{{"model":"a"}},{{"model":"b","event_id":"{ID}"}},{{}},{{"model":"c"}}]"#);
    let (events, report) = read_in(Table::LlmTraces, body.as_bytes(), &keyed).unwrap();
    let expected = [
        EventId::of_key(Table::LlmTraces, "k", 0),
        EventId::parse(ID).unwrap(),
        EventId::of_key(Table::LlmTraces, "k", 3),
    ];
    assert_eq!(report.ids, expected);
    assert_eq!(events[0].id, expected[0]);
    let (first, second) = (read(Table::LlmTraces, &body).1, read(Table::LlmTraces, &body).1);
    assert_ne!(first.ids[0], second.ids[0]);
    assert_eq!(first.ids[1], second.ids[1]);
}
