//! Whole bodies, through [`parse`].

use super::*;
use crate::config::Capture;
use crate::event::{CostSource, CustomEvent, ErrorEvent, Kind, LlmTrace, PicoUsd, Severity, Status, Unit};

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
fn a_full_trace_fills_every_column() {
    let body = r#"{
        "trace_id": "0192F0C1-7D4E-7ABC-8DEF-0123456789AB", "timestamp": "2026-11-23T18:32:12.250Z",
        "provider": "anthropic", "model": "claude-sonnet-4-5", "response_model": "claude-sonnet-4-5-20250929",
        "operation": "chat", "input_tokens": 1000, "output_tokens": 50, "cache_read_tokens": 300,
        "cache_write_tokens": 200, "cache_write_1h_tokens": 100, "reasoning_tokens": 10, "cost_usd": 0.00309,
        "latency_ms": 1234, "ttft_ms": 300, "ttfb_ms": 250, "status": "error", "error_type": "rate_limit",
        "error_message": "slow down", "finish_reason": "stop", "response_id": "r1", "conversation_id": "c1",
        "agent_id": "a1", "agent_name": "Ada", "user_id": 42, "streaming": true, "unit": "turn",
        "otel_trace_id": "0AF7651916CD43DD8448EB211C80319C", "otel_span_id": "b7ad6b7169203331",
        "otel_parent_span_id": "0000000000000000", "input_text": "hé", "output_text": [{"a": 1}],
        "service_name": "s", "channel": "cron", "trigger": "timer", "metadata": {"k": [1, 2]}, "x": "y"
    }"#;
    let expected = LlmTrace {
        timestamp_ms: NOW_MS + 250,
        provider: Some("anthropic".into()),
        request_model: "claude-sonnet-4-5".into(),
        response_model: Some("claude-sonnet-4-5-20250929".into()),
        operation: "chat".into(),
        input_tokens: Some(1000),
        output_tokens: Some(50),
        cache_read_tokens: Some(300),
        cache_write_tokens: Some(200),
        cache_write_1h_tokens: Some(100),
        reasoning_tokens: Some(10),
        cost: Some(PicoUsd(3_090_000_000)),
        cost_source: CostSource::Client,
        latency_ms: Some(1234),
        ttft_ms: Some(300),
        ttfb_ms: Some(250),
        status: Status::Error,
        error_type: Some("rate_limit".into()),
        error_message: Some("slow down".into()),
        finish_reason: Some("stop".into()),
        response_id: Some("r1".into()),
        conversation_id: Some("c1".into()),
        agent_id: Some("a1".into()),
        agent_name: Some("Ada".into()),
        user_id: Some("42".into()),
        streaming: Some(true),
        unit: Unit::Turn,
        otel_trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        otel_span_id: Some("b7ad6b7169203331".into()),
        otel_parent_span_id: None,
        input_text: Some("hé".into()),
        output_text: Some(r#"[{"a":1}]"#.into()),
        service_name: Some("s".into()),
        channel: Some("cron".into()),
        trigger: Some("timer".into()),
        attributes: Some(r#"{"k":[1,2],"x":"y"}"#.into()),
        ..LlmTrace::default()
    };
    assert_eq!(trace(body), expected);
    let (events, _) = read(Table::LlmTraces, body);
    assert_eq!((events[0].id.to_string().as_str(), events[0].received_at_ms), (ID, NOW_MS));
}

#[test]
fn a_model_alone_is_a_trace_of_now() {
    let expected =
        LlmTrace { timestamp_ms: NOW_MS, request_model: "m".into(), operation: "chat".into(), ..LlmTrace::default() };
    assert_eq!(trace(r#"{"model":"m"}"#), expected);
    assert_eq!(&*trace(r#"{"response_model":"r"}"#).request_model, "r");
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
    let metrics = read_in(Table::SystemMetrics, b"{}", &context());
    assert!(matches!(metrics, Err(Fault::NotNative { .. })));
}

#[test]
fn a_body_of_too_many_items_is_refused_whole() {
    let context = Context { items_max: 2, ..context() };
    let item = "{\"model\":\"m\"}";
    for body in [format!("[{item},{item},{item}]"), format!("{item}\n{item}\n{item}"), "[1,2,3]".into()] {
        let fault = read_in(Table::LlmTraces, body.as_bytes(), &context).unwrap_err();
        assert_eq!(fault, Fault::TooMany { items_max: 2 });
    }
    assert!(read_in(Table::LlmTraces, format!("[{item},{item}]").as_bytes(), &context).is_ok());
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
    assert_eq!(message, format!("expected a whole number from 0 to 9007199254740991, got \"{shown}..."));
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

#[test]
fn the_first_name_wins_null_is_absent_and_the_loser_is_kept() {
    for body in [
        r#"{"model":"loser","request_model":"winner"}"#,
        r#"{"request_model":"winner","model":"loser"}"#,
        r#"{"attributes":{"gen_ai.request.model":"inside"},"model":"loser","request_model":"winner"}"#,
    ] {
        let trace = trace(body);
        assert_eq!(&*trace.request_model, "winner");
        assert!(trace.attributes.unwrap().contains(r#""model":"loser""#));
    }
    let kept = trace(r#"{"request_model":null,"model":"m","cost":null,"extra":null}"#);
    assert_eq!((&*kept.request_model, kept.attributes), ("m", None));
    assert_eq!(&*trace(r#"{"model":"a","model":"b"}"#).request_model, "b");
    assert_eq!(trace(r#"{"model":"m","x":1,"x":2}"#).attributes.as_deref(), Some(r#"{"x":2}"#));
    let two = trace(r#"{"model":"m","x":1,"metadata":{"x":2}}"#);
    assert_eq!(two.attributes.as_deref(), Some(r#"{"x":2,"_dropped":["x"]}"#));
}

#[test]
fn otel_keys_are_read_inside_attributes_and_other_keys_are_not() {
    let trace = trace(
        r#"{"attributes":{"gen_ai.request.model":"m","gen_ai.usage.input_tokens":7,"input_tokens":9,
            "gen_ai.response.finish_reasons":["stop"],"gen_ai.response.time_to_first_chunk":0.2504}}"#,
    );
    assert_eq!((&*trace.request_model, trace.input_tokens), ("m", Some(7)));
    assert_eq!((trace.finish_reason.as_deref(), trace.ttft_ms), (Some("stop"), Some(250)));
    assert_eq!(trace.attributes.as_deref(), Some(r#"{"input_tokens":9}"#));
}

/// A value that any reader of the column takes.
fn sample(column: names::Column) -> &'static str {
    use names::Column as C;
    match column {
        C::TraceId => "\"0192f0c1-7d4e-7abc-8def-0123456789ab\"",
        C::Details | C::Attributes => "{\"probe\":1}",
        C::Usage => "{\"prompt_tokens\":1}",
        C::Status => "\"timeout\"",
        C::Success => "false",
        C::Streaming | C::Handled => "true",
        C::Unit => "\"turn\"",
        C::Severity => "\"fatal\"",
        C::OtelTraceId => "\"0af7651916cd43dd8448eb211c80319c\"",
        C::OtelSpanId | C::OtelParentSpanId => "\"b7ad6b7169203331\"",
        _ => "1",
    }
}

#[test]
fn every_name_of_every_table_fills_its_column() {
    use names::Column as C;
    let keyed = Context { idempotency_key: Some("k"), ..context() };
    let one = |table, body: &str| {
        let (mut events, report) = read_in(table, body.as_bytes(), &keyed).unwrap();
        assert_eq!(report.rejected, [], "{body}");
        events.pop().unwrap()
    };
    for (table, lines) in names::tests::TABLES {
        let (required, columns) = match table {
            Table::LlmTraces => (r#""model":"required","#, [C::RequestModel, C::ResponseModel]),
            Table::CustomEvents => (r#""name":"required","#, [C::Name, C::Name]),
            _ => (r#""message":"required","#, [C::Message, C::Error]),
        };
        let without = one(table, &format!("{{{required}\"x\":null}}"));
        for (column, names) in lines {
            // A row that has none but this name for what it needs is only accepted when the name is known.
            let required = if columns.contains(column) { "" } else { required };
            let with = |name: &str| one(table, &format!("{{{required}\"{name}\":{}}}", sample(*column)));
            let canonical = with(names[0]);
            assert_ne!(canonical, without, "{} changes nothing", names[0]);
            for name in *names {
                let apart = *column == C::Details;
                assert!(apart || with(name) == canonical, "{name} is no name of {}", names[0]);
            }
        }
    }
}

#[test]
fn every_usage_dialect_counts_cache_and_reasoning_in() {
    let tokens = |provider: &str, usage: &str| {
        let body = format!(r#"{{"model":"m","provider":"{provider}","usage":{usage}}}"#);
        let t = trace(&body);
        [
            t.input_tokens,
            t.output_tokens,
            t.cache_read_tokens,
            t.cache_write_tokens,
            t.cache_write_1h_tokens,
            t.reasoning_tokens,
        ]
        .map(|n| n.unwrap_or(-1))
    };
    for (provider, usage, expected) in [
        (
            "openai",
            r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":5}}"#,
            [100, 20, 60, -1, -1, 5],
        ),
        (
            "openai",
            r#"{"input_tokens":100,"output_tokens":20,"input_tokens_details":{"cached_tokens":60},"output_tokens_details":{"reasoning_tokens":5}}"#,
            [100, 20, 60, -1, -1, 5],
        ),
        (
            "anthropic",
            r#"{"input_tokens":10,"output_tokens":20,"cache_creation_input_tokens":30,"cache_read_input_tokens":60}"#,
            [100, 20, 60, 30, -1, -1],
        ),
        (
            "anthropic",
            r#"{"input_tokens":10,"output_tokens":20,"cache_creation_input_tokens":30,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}}"#,
            [40, 20, 0, 30, 20, -1],
        ),
        (
            "anthropic",
            r#"{"input_tokens":10,"output_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}}"#,
            [40, 20, -1, 30, 20, -1],
        ),
        ("anthropic", r#"{"input_tokens":100,"output_tokens":20}"#, [100, 20, -1, -1, -1, -1]),
        (
            "openclaw",
            r#"{"input":10,"output":20,"cacheRead":60,"cacheWrite":30,"total":120}"#,
            [100, 20, 60, 30, -1, -1],
        ),
        ("openclaw", r#"{"cacheRead":60}"#, [60, -1, 60, -1, -1, -1]),
        (
            "gemini",
            r#"{"promptTokenCount":100,"candidatesTokenCount":15,"thoughtsTokenCount":5,"cachedContentTokenCount":60,"totalTokenCount":120}"#,
            [100, 20, 60, -1, -1, 5],
        ),
        ("gemini", r#"{"promptTokenCount":100,"thoughtsTokenCount":5}"#, [100, 5, -1, -1, -1, 5]),
        (
            "bedrock",
            r#"{"inputTokens":10,"outputTokens":20,"cacheReadInputTokens":60,"cacheWriteInputTokens":30}"#,
            [100, 20, 60, 30, -1, -1],
        ),
        (
            "sdk",
            r#"{"inputTokens":100,"outputTokens":20,"cachedInputTokens":60,"reasoningTokens":5,"totalTokens":120}"#,
            [100, 20, 60, -1, -1, 5],
        ),
        (
            "litellm",
            r#"{"prompt_tokens":100,"completion_tokens":20,"cache_read_input_tokens":60,"cache_creation_input_tokens":30}"#,
            [100, 20, 60, 30, -1, -1],
        ),
        (
            "deepseek",
            r#"{"prompt_tokens":100,"completion_tokens":20,"prompt_cache_hit_tokens":60}"#,
            [100, 20, 60, -1, -1, -1],
        ),
        (
            "xai",
            r#"{"prompt_tokens":100,"completion_tokens":15,"completion_tokens_details":{"reasoning_tokens":5}}"#,
            [100, 20, -1, -1, -1, 5],
        ),
    ] {
        assert_eq!(tokens(provider, usage), expected, "{usage}");
    }
}

#[test]
fn parts_larger_than_the_whole_were_counted_beside_it() {
    let apart =
        trace(r#"{"model":"m","input_tokens":10,"cache_read_tokens":60,"cache_write_tokens":30,"output_tokens":1}"#);
    assert_eq!(apart.input_tokens, Some(100));
    assert_eq!(apart.attributes.as_deref(), Some(r#"{"usage_normalized":true}"#));
    let within = trace(r#"{"model":"m","input_tokens":90,"cache_read_tokens":60,"cache_write_tokens":30}"#);
    assert_eq!((within.input_tokens, within.attributes), (Some(90), None));
    let unknown = trace(r#"{"model":"m","cache_read_tokens":60}"#);
    assert_eq!((unknown.input_tokens, unknown.attributes), (None, None));
    let forged = trace(r#"{"model":"m","input_tokens":1,"cache_read_tokens":2,"usage_normalized":false}"#);
    assert_eq!(forged.attributes.as_deref(), Some(r#"{"usage_normalized":true,"_dropped":["usage_normalized"]}"#));
    let max = (1i64 << 53) - 1;
    let (field, _) = rejection(
        Table::LlmTraces,
        &format!(r#"{{"model":"m","input_tokens":{},"cache_read_tokens":{max}}}"#, max - 1),
    );
    assert_eq!(field, "input_tokens");
}

#[test]
fn what_a_usage_object_has_besides_is_kept() {
    let trace = trace(
        r#"{"model":"m","prompt_tokens":1,"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":9,
            "service_tier":"flex","prompt_tokens_details":{"audio_tokens":4}}}"#,
    );
    assert_eq!((trace.input_tokens, trace.output_tokens), (Some(1), Some(3)));
    let attributes: serde_json::Value = serde_json::from_str(&trace.attributes.unwrap()).unwrap();
    let expected = serde_json::json!({"usage.prompt_tokens": 2, "usage.total_tokens": 9, "usage.service_tier": "flex",
        "usage.prompt_tokens_details.audio_tokens": 4});
    assert_eq!(attributes, expected);
}

#[test]
fn cost_is_exact_and_unknown_is_not_zero() {
    for (fields, cost) in [
        (r#""cost_usd":0.000000000001"#, Some(1)),
        (r#""cost":1.5e-6"#, Some(1_500_000)),
        (r#""costUsd":"0.1""#, Some(100_000_000_000)),
        (r#""cost":0"#, Some(0)),
        (r#""usage":{"cost":0.25}"#, Some(250_000_000_000)),
        (r#""usage":{"input":1,"cost":{"input":0.1,"total":0.25}}"#, Some(250_000_000_000)),
        (r#""usage":{"input":1,"cost":{"total":0}}"#, None),
        (r#""latency":1"#, None),
    ] {
        let trace = trace(&format!(r#"{{"model":"m",{fields}}}"#));
        assert_eq!(trace.cost, cost.map(PicoUsd), "{fields}");
        assert_eq!(trace.cost_source == CostSource::Client, cost.is_some());
    }
}

#[test]
fn status_is_what_is_said_or_what_the_errors_tell() {
    for (fields, status) in [
        ("", Status::Ok),
        (r#","status":"OK""#, Status::Ok),
        (r#","status":"timeout","error":"x""#, Status::Timeout),
        (r#","status":"ok","success":false"#, Status::Ok),
        (r#","outcome":"aborted""#, Status::Cancelled),
        (r#","outcome":"failure""#, Status::Error),
        (r#","success":true,"error":"x""#, Status::Ok),
        (r#","success":false"#, Status::Error),
        (r#","error":"x""#, Status::Error),
        (r#","error":{}"#, Status::Error),
        (r#","error":"""#, Status::Ok),
        (r#","error":null"#, Status::Ok),
        (r#","error.type":"x""#, Status::Error),
    ] {
        assert_eq!(trace(&format!(r#"{{"model":"m"{fields}}}"#)).status, status, "{fields}");
    }
}

#[test]
fn an_error_object_gives_its_type_and_message() {
    let failed = trace(r#"{"model":"m","error":{"type":"overloaded","message":"busy","param":1}}"#);
    assert_eq!((failed.error_type.as_deref(), failed.error_message.as_deref()), (Some("overloaded"), Some("busy")));
    assert_eq!(failed.attributes.as_deref(), Some(r#"{"error.param":1}"#));
    let own = trace(r#"{"model":"m","error_type":"mine","error":{"type":"theirs","message":"busy"}}"#);
    assert_eq!(
        (own.error_type.as_deref(), own.attributes.as_deref()),
        (Some("mine"), Some(r#"{"error.type":"theirs"}"#))
    );
    let event = error(r#"{"error":{"name":"TypeError","message":"x is not","stack":"at f"}}"#);
    assert_eq!((event.error_type.as_deref(), &*event.message), (Some("TypeError"), "x is not"));
    assert_eq!((event.stacktrace.as_deref(), event.severity), (Some("at f"), Severity::Error));
    let event = error(r#"{"error":"boom","level":"WARNING","handled":1,"module":"db","code":7}"#);
    assert_eq!((&*event.message, event.severity, event.handled), ("boom", Severity::Warn, Some(true)));
    assert_eq!((event.component.as_deref(), event.error_type.as_deref()), (Some("db"), Some("7")));
}

#[test]
fn the_objects_of_an_event_become_its_attributes() {
    let event = custom(r#"{"event":"deploy","data":{"v":1},"properties":{"w":[2]},"payload":"text","body":{"b":1}}"#);
    assert_eq!((&*event.name, event.body.as_deref()), ("deploy", Some(r#"{"b":1}"#)));
    assert_eq!(event.attributes.as_deref(), Some(r#"{"v":1,"w":[2],"payload":"text"}"#));
    assert_eq!(event.severity, None);
}

#[test]
fn texts_are_kept_as_configured_and_cut_on_a_character() {
    let body = r#"{"model":"m","prompt":"aéé","completion":"x"}"#;
    let with = |capture, max_bytes| {
        let context = Context { text: TextConfig { capture, max_bytes }, ..context() };
        let (events, _) = read_in(Table::LlmTraces, body.as_bytes(), &context).unwrap();
        let Kind::LlmTrace(trace) = events[0].kind.clone() else { panic!() };
        (trace.input_text, trace.output_text, trace.text_truncated, trace.attributes)
    };
    assert_eq!(with(Capture::Native, 5), (Some("aéé".into()), Some("x".into()), false, None));
    assert_eq!(with(Capture::All, 4), (Some("aé".into()), Some("x".into()), true, None));
    assert_eq!(with(Capture::Off, 4), (None, None, false, None));
    let long = custom(&format!(r#"{{"name":"{}"}}"#, "n".repeat(5000)));
    assert_eq!((long.name.len(), long.text_truncated), (1024, true));
}

#[test]
fn attributes_are_bounded_and_name_what_they_lost() {
    let many: String = (0..80).map(|n| format!(",\"k{n}\":{n}")).collect();
    let json =
        |event: &CustomEvent| serde_json::from_str::<serde_json::Value>(event.attributes.as_deref().unwrap()).unwrap();
    let event = custom(&format!("{{\"name\":\"n\"{many}}}"));
    let kept = json(&event);
    assert_eq!(kept.as_object().unwrap().len(), 65);
    assert_eq!((&kept["k63"], kept["_dropped"].as_array().unwrap().len()), (&63.into(), 16));

    let text = "é".repeat(3000);
    let event = custom(&format!("{{\"name\":\"n\",\"t\":\"{text}\"}}"));
    assert_eq!((json(&event)["t"].as_str().unwrap().len(), event.text_truncated), (4096, true));

    let event = custom(&format!("{{\"name\":\"n\",\"big\":[\"{text}\"],\"small\":1}}"));
    assert_eq!(event.attributes.as_deref(), Some(r#"{"small":1,"_dropped":["big"]}"#));
    assert!(!event.text_truncated);

    let nested = |depth: usize| format!("{{\"name\":\"n\",\"d\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(custom(&nested(32)).attributes.unwrap().starts_with(r#"{"d":[["#));
    assert_eq!(custom(&nested(33)).attributes.as_deref(), Some(r#"{"_dropped":["d"]}"#));
    assert_eq!(custom(&nested(100_000)).attributes.as_deref(), Some(r#"{"_dropped":["d"]}"#));

    let wide: String = (0..60).map(|n| format!(",\"{}{n}\":\"{}\"", "long".repeat(100), "v".repeat(4000))).collect();
    let event = custom(&format!("{{\"name\":\"n\"{wide}}}"));
    assert!(event.attributes.as_deref().unwrap().len() <= 16 << 10);
    let kept = json(&event);
    let dropped = kept["_dropped"].as_array().unwrap();
    let said: usize = dropped.last().unwrap().as_str().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(kept.as_object().unwrap().len() - 1 + dropped.len() - 1 + said, 60);

    let forged = custom(r#"{"name":"n","_dropped":[]}"#);
    assert_eq!(forged.attributes.as_deref(), Some(r#"{"_dropped":["_dropped"]}"#));
}

#[test]
fn an_object_of_too_many_keys_is_rejected() {
    let many = |count: usize| (0..count).map(|n| format!("\"k{n}\":0,")).collect::<String>();
    for body in
        [format!("{{{}\"name\":\"n\"}}", many(256)), format!("{{\"data\":{{{}\"z\":0}},\"name\":\"n\"}}", many(254))]
    {
        let (field, message) = rejection(Table::CustomEvents, &body);
        assert_eq!((field.as_str(), message.as_str()), ("", "expected at most 256 keys, got 257"));
    }
    assert_eq!(custom(&format!("{{{}\"name\":\"n\"}}", many(255))).name, "n".into());
}

#[test]
fn nul_and_half_characters_never_reach_a_row() {
    let event = custom(r#"{"name":"a\u0000b","x":"\ud83d","y":["\u0000"],"k\u0000":1}"#);
    assert_eq!(&*event.name, "a\u{fffd}b");
    assert_eq!(event.attributes.as_deref(), Some("{\"x\":\"\u{fffd}\",\"y\":[\"\u{fffd}\"],\"k\u{fffd}\":1}"));
}

#[test]
fn no_mutation_of_a_body_panics_or_breaks_a_promise() {
    let seeds: [(Table, &str); 3] = [
        (
            Table::LlmTraces,
            r#"{"traces":[{"model":"m","usage":{"input":1,"cacheRead":2,"cost":{"total":0.5}},"error":{"type":"t"},"ts":"2026-11-23T18:32:12.5Z"},{"model":"é\u00e9","attributes":{"gen_ai.usage.input_tokens":"12","deep":[[{"a":[1e3]}]]},"finish_reasons":["stop","x"]}]}"#,
        ),
        (
            Table::CustomEvents,
            "{\"name\":\"n\",\"data\":{\"a\":\"\\ud83d\\ude00\\u0000\"}}\r\n{\"name\":\"o\",\"level\":\"warn\"}\n",
        ),
        (
            Table::ErrorEvents,
            r#"[{"error":{"message":"m","stack":"s"},"handled":true},{"message":"\\\"","code":1.0e0}]"#,
        ),
    ];
    let alphabet = b"{}[]\",:\\u0d8e19.-+eE tfn\xc3\xa9\x00\n";
    let mut random = fastrand::Rng::with_seed(0x0dd_5eed);
    let mut accepted = 0;
    for _ in 0..30_000 {
        let (table, seed) = seeds[random.usize(..seeds.len())];
        let mut body = seed.as_bytes().to_vec();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..body.len());
            let byte = alphabet[random.usize(..alphabet.len())];
            match random.u8(..4) {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.copy_within(at..(at + 8).min(seed.len() - 5).max(at), random.usize(..seed.len() - 20)),
            }
        }
        let Ok((events, _)) = read_in(table, &body, &context()) else { continue };
        for event in events {
            accepted += 1;
            let attributes = match event.kind {
                Kind::LlmTrace(trace) => trace.attributes,
                Kind::CustomEvent(event) => event.attributes,
                Kind::ErrorEvent(event) => event.attributes,
                Kind::SystemMetric(_) => None,
            };
            if let Some(json) = attributes {
                assert!(!json.contains(['\0', '\n']), "{json}");
                assert!(serde_json::from_str::<serde_json::Map<_, _>>(&json).is_ok(), "{json}");
            }
        }
    }
    assert!(accepted > 3000, "only {accepted} items of mutated bodies were accepted: the mutations are too wild");
}
