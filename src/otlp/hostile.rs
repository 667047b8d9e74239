//! Bodies that nobody should send, and bodies that are almost right.

use bytes::Bytes;
use prost::Message;

use super::captures::{CONTEXT, every_body, signal_of};
use super::proto::{Any, AnyValue, KeyValue, Span, SpanStatus, ValueList};
use super::*;
use crate::config::Capture;
use crate::event::{Kind, LlmTrace, PicoUsd};

/// A field with a length, for field numbers below 16.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(content.len(), &mut field).unwrap();
    field.extend_from_slice(content);
    field
}

/// A request with these spans, under a resource without a name.
fn request(spans: &[Vec<u8>]) -> Bytes {
    let spans: Vec<u8> = spans.iter().flat_map(|span| field(2, span)).collect();
    field(1, &field(2, &spans)).into()
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(AnyValue { value: Some(value) }) }
}

/// A request in JSON of a call with span id 1 and of this span.
fn json_request(span: &str) -> Bytes {
    let good = json_call(1, "", r#"{"key":"gen_ai.request.model","value":{"stringValue":"m"}}"#);
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{good},{span}]}}]}}]}}"#).into()
}

/// A span in JSON, with more `members` (each with its comma) and these attributes.
fn json_call(id: u32, members: &str, attributes: &str) -> String {
    format!(r#"{{"traceId":"{:032x}","spanId":"{id:016x}",{members}"attributes":[{attributes}]}}"#, 1)
}

/// A span that is a call.
fn call() -> Span {
    Span {
        trace_id: Bytes::from_static(&[1; 16]),
        span_id: Bytes::from_static(&[2; 8]),
        start_ns: 1_795_000_000_000_000_000,
        end_ns: 1_795_000_000_250_500_000,
        attributes: vec![attribute("gen_ai.request.model", Any::Text(Bytes::from_static(b"m")))],
        ..Span::default()
    }
}

fn read(encoding: Encoding, body: Bytes) -> Result<(Report, Vec<Event>), Fault> {
    let mut events = Vec::new();
    let report = super::read(Signal::Traces, encoding, body, &CONTEXT, &mut |told| match told {
        Told::Event(event) => events.push(event),
        Told::Note(_) => {}
    })?;
    Ok((report, events))
}

fn row(span: &Span) -> LlmTrace {
    let (_, events) = read(Encoding::Protobuf, request(&[span.encode_to_vec()])).unwrap();
    match events.into_iter().next().unwrap().kind {
        Kind::LlmTrace(trace) => *trace,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_span_without_proper_ids_is_rejected_and_its_neighbours_are_taken() {
    let with = |trace_id: &'static [u8], span_id: &'static [u8]| {
        Span { trace_id: trace_id.into(), span_id: span_id.into(), ..call() }.encode_to_vec()
    };
    for (bad, word) in [
        (with(&[1; 15], &[2; 8]), "trace id"),
        (with(&[1; 17], &[2; 8]), "trace id"),
        (with(&[0; 16], &[2; 8]), "trace id"),
        (with(b"", &[2; 8]), "trace id"),
        (with(b"openclaw.tokens.", b""), "span id"),
        (with(&[1; 16], &[0; 8]), "span id"),
        (with(&[1; 16], &[2; 7]), "span id"),
    ] {
        let (report, events) = read(Encoding::Protobuf, request(&[bad, call().encode_to_vec()])).unwrap();
        assert_eq!((report.records, report.rejected, events.len()), (2, 1, 1));
        assert!(report.rejected_message.contains(word), "{}", report.rejected_message);
    }
}

#[test]
fn a_span_with_too_many_nodes_is_rejected_before_it_is_decoded() {
    let ids = Span { attributes: Vec::new(), ..call() }.encode_to_vec();
    let empty_attribute: &[u8] = b"\x4a\x00";
    let empty_event: &[u8] = b"\x5a\x00";
    let span_of = |part: &[u8], count: usize| [ids.clone(), part.repeat(count)].concat();
    let list = field(9, &field(2, &field(5, &b"\x0a\x00".repeat(NODES_MAX))));
    for (span, rejected) in [
        (span_of(empty_attribute, NODES_MAX), 0),
        (span_of(empty_attribute, NODES_MAX + 1), 1),
        (span_of(empty_event, NODES_MAX + 1), 1),
        (span_of(&field(11, &b"\x1a\x00".repeat(200)), 100), 1),
        (span_of(&list, 1), 1),
    ] {
        let (report, _) = read(Encoding::Protobuf, request(&[span])).unwrap();
        assert_eq!((report.records, report.rejected), (1, rejected));
    }
    let json = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"attributes":[{}{{}}]}}]}}]}}]}}"#,
        "{},".repeat(4 * NODES_MAX)
    );
    let (report, _) = read(Encoding::Json, json.into()).unwrap();
    assert_eq!((report.records, report.rejected, &*report.rejected_message), (1, 1, TOO_MANY_NODES));
}

#[test]
fn a_value_that_is_nested_too_deep_is_rejected_in_both_encodings() {
    let nested = |depth: usize| {
        (0..depth)
            .fold(Any::Whole(1), |inner, _| Any::List(ValueList { values: vec![AnyValue { value: Some(inner) }] }))
    };
    for (depth, rejected) in [(NESTING_MAX, 0), (NESTING_MAX + 1, 1), (90, 1)] {
        let span = Span { attributes: vec![attribute("deep", nested(depth))], ..call() };
        let (report, _) = read(Encoding::Protobuf, request(&[span.encode_to_vec()])).unwrap();
        assert_eq!(report.rejected, rejected, "{depth}");
    }
    let in_json = |depth: usize| {
        let value = format!(r#"{}{{}}{}"#, r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth));
        let span = format!(r#"{{"traceId":"{:032x}","spanId":"{:016x}","attributes":[{{"value":{value}}}]}}"#, 1, 2);
        read(Encoding::Json, format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#).into())
    };
    assert_eq!(in_json(NESTING_MAX).unwrap().0.rejected, 0);
    assert_eq!(in_json(30).unwrap().0.rejected, 1);
    assert!(matches!(in_json(1000), Err(Fault::Malformed { .. })));
    assert!(matches!(read(Encoding::Json, "[".repeat(1 << 20).into()), Err(Fault::Malformed { .. })));
}

#[test]
fn a_request_of_too_many_spans_is_too_large_and_empty_messages_are_nothing() {
    let one = call().encode_to_vec();
    let most = vec![one; CONTEXT.records_max];
    assert_eq!(read(Encoding::Protobuf, request(&most)).unwrap().1.len(), CONTEXT.records_max);
    let over = read(Encoding::Protobuf, request(&vec![Vec::new(); CONTEXT.records_max + 1]));
    assert!(matches!(over, Err(Fault::TooLarge { .. })), "{over:?}");
    let json =
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}{{}}]}}]}}]}}"#, "{},".repeat(CONTEXT.records_max));
    assert!(matches!(read(Encoding::Json, json.into()), Err(Fault::TooLarge { .. })));
    for empty in [b"\x0a\x00".repeat(4096), b"\x0a\x02\x12\x00".repeat(4096), Vec::new()] {
        assert_eq!(read(Encoding::Protobuf, empty.into()).unwrap().0, Report::default());
    }
    assert_eq!(read(Encoding::Json, "{}".into()).unwrap().0, Report::default());
}

#[test]
fn the_names_of_ignored_spans_are_few_and_short() {
    let spans: Vec<Vec<u8>> = (0..200)
        .map(|n| {
            Span { name: format!("{n} {}", "x".repeat(300)).into(), attributes: Vec::new(), ..call() }.encode_to_vec()
        })
        .collect();
    let (report, events) = read(Encoding::Protobuf, request(&spans)).unwrap();
    assert!(events.is_empty());
    assert_eq!(report.ignored.len(), IGNORED_NAMES_MAX + 1);
    assert_eq!(report.ignored.last(), Some(&(OTHER_NAMES.to_owned(), 200 - IGNORED_NAMES_MAX as u64)));
    assert!(report.ignored.iter().all(|(name, _)| name.len() <= IGNORED_NAME_BYTES_MAX));
}

#[test]
fn times_that_say_nothing_give_no_latency() {
    let row_at = |start_ns: u64, end_ns: u64| row(&Span { start_ns, end_ns, ..call() });
    assert_eq!(row(&call()).latency_ms, Some(251));
    assert_eq!(row(&call()).timestamp_ms, 1_795_000_000_000);
    assert_eq!(row_at(2_000_000, 1_000_000).latency_ms, None);
    assert_eq!(row_at(2_000_000, 0).latency_ms, None);
    assert_eq!(row_at(0, 2_000_000).latency_ms, None);
    assert_eq!(row_at(0, 2_000_000).timestamp_ms, CONTEXT.now_ms);
    assert_eq!(row_at(u64::MAX, u64::MAX).latency_ms, Some(0));
}

#[test]
fn a_start_that_no_clock_can_show_is_the_time_of_arrival_and_the_id_stays_the_same() {
    let year_2199 = 7_258_118_399_999_000_000;
    let row_at = |start_ns: u64| row(&Span { start_ns, end_ns: start_ns, ..call() });
    assert_eq!(row_at(year_2199).timestamp_ms, 7_258_118_399_999);
    for absurd in [0, 7_258_118_400_000_000_000, u64::MAX] {
        assert_eq!(row_at(absurd).timestamp_ms, CONTEXT.now_ms, "{absurd}");
    }
    let id_at = |now_ms: i64| {
        let body = request(&[Span { start_ns: u64::MAX, ..call() }.encode_to_vec()]);
        let mut ids = Vec::new();
        let context = Context { now_ms, ..CONTEXT };
        super::read(Signal::Traces, Encoding::Protobuf, body, &context, &mut |told| {
            if let Told::Event(event) = told {
                ids.push(event.id);
            }
        })
        .unwrap();
        ids
    };
    assert_eq!(id_at(CONTEXT.now_ms), id_at(CONTEXT.now_ms + 60_000));
}

#[test]
fn a_cost_is_the_client_s_unless_it_is_zero_for_tokens_or_a_failure() {
    let with = |cost: f64, tokens: i64, code: i32| {
        let mut span = call();
        span.attributes.push(attribute("gen_ai.usage.cost", Any::Real(cost)));
        span.attributes.push(attribute("gen_ai.usage.input_tokens", Any::Whole(tokens)));
        span.status = Some(SpanStatus { message: Bytes::new(), code });
        let row = row(&span);
        (row.cost, row.cost_source.as_str())
    };
    assert_eq!(with(0.5, 10, 1), (Some(PicoUsd(500_000_000_000)), "client"));
    assert_eq!(with(0.0, 0, 0), (Some(PicoUsd(0)), "client"));
    assert_eq!(with(0.0, 10, 0), (None, "none"));
    assert_eq!(with(0.0, 0, 2), (None, "none"));
    assert_eq!(with(0.5, 10, 2), (Some(PicoUsd(500_000_000_000)), "client"));
}

#[test]
fn a_call_without_a_request_model_has_the_one_that_answered_or_says_that_none_is_known() {
    let with = |key: &str| {
        let attributes = vec![attribute(key, Any::Text(Bytes::from_static(b"m-2026")))];
        row(&Span { name: Bytes::from_static(b"openclaw.model.call"), attributes, ..call() }).request_model
    };
    assert_eq!(&*with("gen_ai.response.model"), "m-2026");
    assert_eq!(&*with("something.else"), "unknown");
}

#[test]
fn indexed_messages_are_joined_where_content_is_kept_and_never_an_attribute() {
    let mut span = call();
    for (key, text) in [
        ("gen_ai.prompt.0.role", "user"),
        ("gen_ai.prompt.0.content", "first secret"),
        ("gen_ai.prompt.1.content", "second secret"),
        ("gen_ai.completion.0.content", "answer secret"),
    ] {
        span.attributes.push(attribute(key, Any::Text(Bytes::copy_from_slice(text.as_bytes()))));
    }
    let body = request(&[span.encode_to_vec()]);
    for (capture, expected) in
        [(Capture::All, Some(("first secret\nsecond secret", "answer secret"))), (Capture::Native, None)]
    {
        let context = Context { text: TextConfig { capture, max_bytes: 100 }, ..CONTEXT };
        super::read(Signal::Traces, Encoding::Protobuf, body.clone(), &context, &mut |told| {
            let Told::Event(Event { kind: Kind::LlmTrace(row), .. }) = told else { panic!("{told:?}") };
            assert_eq!(row.input_text.as_deref().zip(row.output_text.as_deref()), expected);
            assert_eq!(row.attributes, None);
        })
        .unwrap();
    }
}

#[test]
fn both_encodings_of_one_span_give_one_row() {
    let list = ValueList { values: vec![AnyValue { value: Some(Any::Text(Bytes::from_static(b"stop"))) }] };
    let mut span = Span { name: Bytes::from_static(b"chat m"), parent_span_id: Bytes::from_static(&[3; 8]), ..call() };
    span.attributes.push(attribute("gen_ai.usage.input_tokens", Any::Whole(7)));
    span.attributes.push(attribute("gen_ai.usage.cost", Any::Real(0.25)));
    span.attributes.push(attribute("gen_ai.request.stream", Any::Flag(true)));
    span.attributes.push(attribute("gen_ai.response.finish_reasons", Any::List(list)));
    span.attributes.push(attribute("server.port", Any::Whole(443)));
    let protobuf = row(&span);
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[
        {"key":"gen_ai.request.model","value":{"stringValue":"m"}},
        {"value":{"intValue":"7"},"key":"gen_ai.usage.input_tokens"},
        {"key":"gen_ai.usage.cost","value":{"doubleValue":0.25}},
        {"key":"gen_ai.request.stream","value":{"boolValue":true}},
        {"key":"gen_ai.response.finish_reasons","value":{"arrayValue":{"values":[{"stringValue":"stop"}]}}},
        {"key":"server.port","value":{"intValue":443}}],
        "traceId":"01010101010101010101010101010101","spanId":"0202020202020202","parentSpanId":"0303030303030303",
        "name":"chat m","kind":3,"startTimeUnixNano":"1795000000000000000","endTimeUnixNano":1795000000250500000}]}],
        "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"late"}}]}}]}"#;
    let (_, events) = read(Encoding::Json, json.into()).unwrap();
    let [Event { kind: Kind::LlmTrace(trace), .. }] = &events[..] else { panic!("{events:?}") };
    let expected = LlmTrace { source: Source::OtlpJson, service_name: Some("late".into()), ..protobuf };
    assert_eq!(**trace, expected);
    assert_eq!(expected.cost, Some(PicoUsd(250_000_000_000)));
    assert_eq!(expected.attributes.as_deref(), Some(r#"{"server.port":443}"#));
}

#[test]
fn what_is_not_utf8_is_replaced_in_protobuf_and_refused_in_json() {
    let mut span = call();
    span.attributes = vec![attribute("gen_ai.request.model", Any::Text(Bytes::from_static(b"m\xff")))];
    assert_eq!(&*row(&span).request_model, "m\u{fffd}");
    assert!(read(Encoding::Json, Bytes::from_static(b"{\"resourceSpans\":[{\"a\":\"\xff\"}]}")).is_err());
}

#[test]
fn nul_is_replaced_in_columns_and_attributes() {
    let mut span = call();
    let list = ValueList { values: vec![AnyValue { value: Some(Any::Text(Bytes::from_static(b"x\0"))) }] };
    span.attributes = vec![
        attribute("gen_ai.request.model", Any::Text(Bytes::from_static(b"m\0n"))),
        attribute("text\0", Any::Text(Bytes::from_static(b"\0"))),
        attribute("list", Any::List(list)),
    ];
    let row = row(&span);
    assert_eq!(&*row.request_model, "m\u{fffd}n");
    assert_eq!(row.attributes.as_deref(), Some("{\"text\u{fffd}\":\"\u{fffd}\",\"list\":[\"x\u{fffd}\"]}"));
}

#[test]
fn half_a_surrogate_pair_in_json_is_replaced_wherever_a_string_may_stand() {
    let body = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"\udc00"},
        {"key":"service.name","value":{"stringValue":"s\ud83d"}}]},"scopeSpans":[{"spans":[{"name":"chat \ud83d",
        "traceId":"01010101010101010101010101010101","spanId":"0202020202020202",
        "status":{"code":2,"message":"bad \ud83dx"},"attributes":[
        {"key":"gen_ai.request.model","value":{"stringValue":"\u006d \ud83d\ude00"}},
        {"key":"note\ud83d","value":{"stringValue":"hi \ud83d"}}]}]}]}]}"#;
    let (report, events) = read(Encoding::Json, body.into()).unwrap();
    assert_eq!(report.rejected, 0, "{report:?}");
    let [Event { kind: Kind::LlmTrace(row), .. }, Event { kind: Kind::ErrorEvent(error), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((&*error.message, error.component.as_deref()), ("bad \u{fffd}x", Some("chat \u{fffd}")));
    assert_eq!(row.service_name.as_deref(), Some("s\u{fffd}"));
    assert_eq!(row.error_message.as_deref(), Some("bad \u{fffd}x"));
    assert_eq!(&*row.request_model, "m \u{1f600}");
    assert_eq!(row.attributes.as_deref(), Some("{\"note\u{fffd}\":\"hi \u{fffd}\"}"));
}

#[test]
fn a_span_of_json_that_cannot_be_read_is_rejected_and_its_neighbours_are_taken() {
    let value = |value: &str| json_call(2, "", &format!(r#"{{"key":"k","value":{value}}}"#));
    for (bad, word) in [
        (json_call(2, r#""status":{"code":"STATUS_CODE_ERROR"},"#, ""), "enums are numbers"),
        (json_call(2, r#""name":"a","name":"b","#, ""), "duplicate field"),
        (json_call(2, r#""name":7,"#, ""), "a string"),
        (json_call(2, "", "null"), "null"),
        (value(r#"{"doubleValue":1e400}"#), "out of range"),
        (value(r#"{"intValue":"12.0"}"#), "number"),
        (value(r#"{"boolValue":"true"}"#), "boolean"),
        (value(r#""plain""#), "plain"),
        (value(&format!(r#""{}""#, "x".repeat(9000))), "xxx"),
        ("7".to_owned(), "7"),
    ] {
        let (report, events) = read(Encoding::Json, json_request(&bad)).unwrap();
        assert_eq!((report.records, report.rejected, events.len()), (2, 1, 1), "{bad}");
        assert!(report.rejected_message.contains(word), "{}", report.rejected_message);
        assert!(report.rejected_message.len() <= REASON_BYTES_MAX, "{}", report.rejected_message.len());
    }
    for broken in ["{", r#"{"name":"\x"}"#, "{}}", "01"] {
        assert!(read(Encoding::Json, json_request(broken)).is_err(), "{broken}");
    }
}

#[test]
fn a_value_that_its_column_cannot_take_stays_an_attribute_unless_it_is_content() {
    let mut span = call();
    let text = |text: &'static str| Any::Text(Bytes::from_static(text.as_bytes()));
    span.attributes.extend([
        attribute("gen_ai.usage.input_tokens", text("about 12")),
        attribute("gen_ai.usage.output_tokens", text("45")),
        attribute("gen_ai.request.stream", text("true")),
        attribute("gen_ai.response.time_to_first_chunk", text("0.25")),
        attribute("gen_ai.conversation.id", Any::Whole(7)),
        attribute("gen_ai.provider.name", text("unknown")),
        attribute("gen_ai.response.id", text(" ")),
        attribute("llm.invocation_parameters", text("{\"tools\":[]}")),
    ]);
    let row = row(&span);
    assert_eq!((row.input_tokens, row.output_tokens, row.streaming), (None, Some(45), Some(true)));
    assert_eq!(row.ttft_ms, Some(250));
    let kept = r#"{"gen_ai.usage.input_tokens":"about 12","gen_ai.conversation.id":7}"#;
    assert_eq!(row.attributes.as_deref(), Some(kept));
}

#[test]
fn reasoning_that_was_counted_beside_the_output_is_added_to_it() {
    let with = |output: i64, reasoning: i64| {
        let mut span = call();
        span.attributes.push(attribute("gen_ai.usage.output_tokens", Any::Whole(output)));
        span.attributes.push(attribute("gen_ai.usage.reasoning.output_tokens", Any::Whole(reasoning)));
        let row = row(&span);
        (row.output_tokens, row.reasoning_tokens, row.attributes.as_deref().map(str::to_owned))
    };
    assert_eq!(with(45, 45), (Some(45), Some(45), None));
    assert_eq!(with(45, 46), (Some(91), Some(46), Some(r#"{"usage_normalized":true}"#.to_owned())));
}

#[test]
fn mutated_bodies_never_panic_and_every_record_is_accounted_for() {
    const SEED: u64 = 0x6f74_6c70;
    const ROUNDS: usize = 6000;
    let bodies = every_body();
    let mut random = fastrand::Rng::with_seed(SEED);
    let all = TextConfig { capture: Capture::All, max_bytes: 64 };
    for round in 0..ROUNDS {
        let (path, encoding, body) = &bodies[random.usize(..bodies.len())];
        let mut body = body.to_vec();
        for _ in 0..random.usize(1..8) {
            mutate(&mut body, &mut random);
        }
        let context = Context { text: all, ..CONTEXT };
        let own = signal_of(path);
        for signal in [own, Signal::Traces, Signal::Logs, Signal::Metrics] {
            let read = super::read(signal, *encoding, body.clone().into(), &context, &mut |told| {
                if let Told::Event(event) = told {
                    assert!(event.heap_bytes() < ROW_BYTES_MAX, "seed {SEED} round {round}: {event:?}");
                }
            });
            if let Ok(report) = read {
                let ignored: u64 = report.ignored.iter().map(|(_, count)| count).sum();
                let settled = report.taken + report.rejected + ignored;
                assert_eq!(report.records, settled, "seed {SEED} round {round} {path:?}: {report:?}");
            }
        }
        if looks_like_otlp_json(&body) {
            assert_eq!(*encoding, Encoding::Json, "seed {SEED} round {round}");
        }
    }
}

/// Attributes of 16 KiB, a stack trace of 16 KiB, an error message of 4 KiB, 17 labels of 512 B, and the row itself.
const ROW_BYTES_MAX: usize = 48 * 1024;

fn mutate(body: &mut Vec<u8>, random: &mut fastrand::Rng) {
    if body.is_empty() {
        return;
    }
    let at = random.usize(..body.len());
    match random.u8(..6) {
        0 => body[at] ^= 1 << random.u8(..8),
        1 => body[at] = random.u8(..),
        2 => body.truncate(at),
        3 => body.insert(at, random.u8(..)),
        4 => drop(body.remove(at)),
        _ => {
            let end = (at + random.usize(..64)).min(body.len());
            let piece = body[at..end].to_vec();
            let to = random.usize(..body.len());
            body.splice(to..to, piece);
        }
    }
}

#[test]
fn the_tier_of_service_and_what_is_no_text_decide_the_price_and_stay_attributes() {
    let with = |key: &str, value: Any| {
        let mut span = call();
        span.attributes.push(attribute(key, value));
        row(&span)
    };
    let tier = with("openai.response.service_tier", Any::Text(Bytes::from_static(b"Flex")));
    assert_eq!(tier.service_tier.as_deref(), Some("flex"));
    assert_eq!(tier.attributes.as_deref(), Some(r#"{"openai.response.service_tier":"Flex"}"#));
    let audio = with("gen_ai.usage.audio.input_tokens", Any::Whole(7));
    assert!(audio.besides.audio && audio.attributes.is_some());
    assert!(!with("gen_ai.usage.audio.input_tokens", Any::Whole(0)).besides.audio);
}
