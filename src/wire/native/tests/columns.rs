//! What of an item ends in which column.

use super::*;

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
fn milliseconds_are_rounded_and_tokens_are_not() {
    let call = trace(
        r#"{"model":"m","timestamp":1795458732000.5,"latency_ms":517.3,"ttft_ms":230.5,"ttfb_ms":0.4999,
            "input_tokens":0e99999999999}"#,
    );
    assert_eq!((call.timestamp_ms, call.latency_ms), (NOW_MS + 1, Some(517)));
    assert_eq!((call.ttft_ms, call.ttfb_ms, call.input_tokens), (Some(231), Some(0), Some(0)));
    for (field, value) in [("input_tokens", "517.3"), ("latency_ms", "-0.1"), ("latency_ms", "\"517.3\"")] {
        assert_eq!(rejection(Table::LlmTraces, &format!(r#"{{"model":"m","{field}":{value}}}"#)).0, field);
    }
}

#[test]
fn a_time_in_another_unit_than_milliseconds_is_refused_and_told_the_unit() {
    for value in [
        "1795458732",
        "1795458732.25",
        "\"1795458732\"",
        "1795458732000000",
        "1795458732000000000",
        "99999999999.4",
        "100000000000000.5",
        "\"1973-03-03T09:46:39.999Z\"",
        "\"5138-11-16T09:46:40.001Z\"",
        "\"0001-01-01T00:00:00Z\"",
    ] {
        let (field, message) = rejection(Table::LlmTraces, &format!(r#"{{"model":"m","ts":{value}}}"#));
        let expected = format!("expected Unix milliseconds or RFC 3339, of the years 1973 to 5138, got {value}");
        assert_eq!((field.as_str(), message), ("ts", expected));
    }
    for (value, ms) in [
        ("100000000000", 100_000_000_000),
        ("99999999999.5", 100_000_000_000),
        ("\"1973-03-03T09:46:40Z\"", 100_000_000_000),
        ("100000000000000", 100_000_000_000_000),
        ("\"5138-11-16T09:46:40Z\"", 100_000_000_000_000),
    ] {
        assert_eq!(custom(&format!(r#"{{"name":"n","ts":{value}}}"#)).timestamp_ms, ms, "{value}");
    }
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
    let outside = trace(r#"{"model":"m","attributes":{"gen_ai.conversation.id":"in"},"session.id":"out"}"#);
    assert_eq!(outside.conversation_id.as_deref(), Some("out"));
    assert_eq!(outside.attributes.as_deref(), Some(r#"{"gen_ai.conversation.id":"in"}"#));
    let twice =
        trace(r#"{"model":"m","status":"ok","success":false,"ttft_ms":1,"gen_ai.response.time_to_first_chunk":2}"#);
    assert_eq!((twice.status, twice.ttft_ms), (Status::Ok, Some(1)));
    let losers = r#"{"success":false,"gen_ai.response.time_to_first_chunk":2}"#;
    assert_eq!(twice.attributes.as_deref(), Some(losers));
    let kept = trace(r#"{"request_model":null,"model":"m","cost":null,"extra":null}"#);
    assert_eq!((&*kept.request_model, kept.attributes), ("m", None));
    assert_eq!(&*trace(r#"{"model":"a","model":"b"}"#).request_model, "b");
    assert_eq!(trace(r#"{"model":"m","x":1,"x":2}"#).attributes.as_deref(), Some(r#"{"x":2}"#));
    assert_eq!(trace(r#"{"model":"m","user_id":"u","user_id":null}"#).user_id, None);
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
        C::Timestamp => "1795458732001",
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
            let with = |name: &str| {
                let mut event = one(table, &format!("{{{required}\"{name}\":{}}}", sample(*column)));
                if let (Kind::LlmTrace(trace), C::ServiceTier) = (&mut event.kind, *column) {
                    // It is kept there under the name that it came by.
                    assert_eq!(trace.attributes.take().unwrap(), format!("{{\"{name}\":1}}").into());
                }
                event
            };
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
            "sdk",
            r#"{"inputTokens":10,"inputTokenDetails":{"noCacheTokens":6,"cacheReadTokens":3,"cacheWriteTokens":1},"outputTokens":5,"outputTokenDetails":{"textTokens":3,"reasoningTokens":2}}"#,
            [10, 5, 3, 1, -1, 2],
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
        (
            "xai.chat",
            r#"{"prompt_tokens":100,"completion_tokens":15,"completion_tokens_details":{"reasoning_tokens":5}}"#,
            [100, 20, -1, -1, -1, 5],
        ),
        (
            "gateway",
            r#"{"prompt_tokens":100,"completion_tokens":15,"total_tokens":120,"completion_tokens_details":{"reasoning_tokens":5}}"#,
            [100, 20, -1, -1, -1, 5],
        ),
        (
            "xai",
            r#"{"prompt_tokens":100,"completion_tokens":15,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":5}}"#,
            [100, 15, -1, -1, -1, 5],
        ),
        (
            "xai",
            r#"{"prompt_tokens":100,"completion_tokens":15,"cached_prompt_text_tokens":60,"reasoning_tokens":5}"#,
            [100, 20, 60, -1, -1, 5],
        ),
        (
            "gemini",
            r#"{"promptTokenCount":100,"candidatesTokenCount":15,"toolUsePromptTokenCount":7,"totalTokenCount":122}"#,
            [107, 15, -1, -1, -1, -1],
        ),
        (
            "bedrock",
            r#"{"inputTokens":10,"outputTokens":20,"cacheReadInputTokens":0,"cacheWriteInputTokens":30,"cacheDetails":[{"ttl":"5m","inputTokens":10},{"ttl":"1h","inputTokens":20}]}"#,
            [40, 20, 0, 30, 20, -1],
        ),
        (
            "cohere",
            r#"{"billed_units":{"input_tokens":10,"output_tokens":20},"tokens":{"input_tokens":80}}"#,
            [10, 20, -1, -1, -1, -1],
        ),
        ("cohere", r#"{"tokens":{"input_tokens":80,"output_tokens":20},"cached_tokens":16}"#, [80, 20, 16, -1, -1, -1]),
        (
            "anthropic",
            r#"{"input_tokens":10,"output_tokens":20,"output_tokens_details":{"thinking_tokens":5}}"#,
            [10, 20, -1, -1, -1, 5],
        ),
        ("openclaw", r#"{"input":10,"output":20,"cacheWrite5m":30,"cacheWrite1h":40}"#, [80, 20, -1, 70, 40, -1]),
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
fn the_tier_of_service_is_that_of_the_usage_and_stays_visible() {
    for (fields, tier, attributes) in [
        (r#""service_tier":"Flex""#, Some("flex"), r#"{"service_tier":"Flex"}"#),
        (r#""usage":{"service_tier":"batch"}"#, Some("batch"), r#"{"usage.service_tier":"batch"}"#),
        (
            r#""service_tier":"auto","usage":{"service_tier":"priority"}"#,
            Some("priority"),
            r#"{"usage.service_tier":"priority","service_tier":"auto"}"#,
        ),
        (r#""usage":{"speed":"fast"}"#, Some("fast"), r#"{"usage.speed":"fast"}"#),
        (r#""usage":{"speed":"standard"}"#, None, r#"{"usage.speed":"standard"}"#),
        (
            r#""usage":{"speed":"fast","service_tier":"standard"}"#,
            Some("fast"),
            r#"{"usage.service_tier":"standard","usage.speed":"fast"}"#,
        ),
        (
            r#""usage":{"speed":"fast","service_tier":"batch"}"#,
            Some("batch fast"),
            r#"{"usage.service_tier":"batch","usage.speed":"fast"}"#,
        ),
        (r#""service_tier":["x"]"#, None, r#"{"service_tier":["x"]}"#),
        (r#""openai.request.service_tier":"flex""#, Some("flex"), r#"{"openai.request.service_tier":"flex"}"#),
    ] {
        let trace = trace(&format!(r#"{{"model":"m",{fields}}}"#));
        assert_eq!(trace.service_tier.as_deref(), tier, "{fields}");
        assert_eq!(trace.attributes.as_deref(), Some(attributes), "{fields}");
    }
    assert_eq!(trace(r#"{"model":"m","service_tier":""}"#).service_tier, None);
}

#[test]
fn what_may_be_priced_apart_is_seen_where_it_is_not_zero() {
    let none = Besides::default();
    for (fields, besides) in [
        (r#""usage":{"prompt_tokens_details":{"audio_tokens":0,"image_tokens":"0"}}"#, none),
        (r#""usage":{"prompt_tokens_details":{"audio_tokens":3}}"#, Besides { audio: true, ..none }),
        (r#""output_tokens_details":{"image_tokens":3}"#, Besides { images: true, ..none }),
        (r#""usage":{"server_tool_use":{"web_search_requests":1}}"#, Besides { searches: true, ..none }),
        (r#""usage":{"num_sources_used":2}"#, Besides { searches: true, ..none }),
        (
            r#""usageMetadata":{"promptTokensDetails":[{"modality":"TEXT","tokenCount":1},{"modality":"AUDIO","tokenCount":0},
                {"modality":"VIDEO","tokenCount":2}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":5}]}"#,
            Besides { images: true, video: true, ..none },
        ),
        (r#""usageMetadata":{"promptTokensDetails":[1,"x",{"modality":7}]}"#, none),
        (r#""usage":{"audio_tokens":"many"}"#, none),
    ] {
        assert_eq!(trace(&format!(r#"{{"model":"m",{fields}}}"#)).besides, besides, "{fields}");
    }
}

#[test]
fn cost_is_exact_and_unknown_is_not_zero() {
    for (fields, cost) in [
        (r#""cost_usd":0.000000000001"#, Some(1)),
        (r#""cost":1.5e-6"#, Some(1_500_000)),
        (r#""costUsd":"0.1""#, Some(100_000_000_000)),
        (r#""cost":0"#, Some(0)),
        (r#""cost_usd":-0.0"#, Some(0)),
        (r#""usage":{"cost":-0}"#, Some(0)),
        (r#""usage":{"cost":0.25}"#, Some(250_000_000_000)),
        (r#""usage":{"input":1,"cost":{"input":0.1,"total":0.25}}"#, Some(250_000_000_000)),
        (r#""usage":{"input":1,"cost":{"total":0}}"#, None),
        (r#""usage":{"prompt_tokens":1,"cost":{"request_cost":0.2,"total_cost":0.25}}"#, Some(250_000_000_000)),
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
        (r#","error":false"#, Status::Ok),
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
    let stack = trace(r#"{"model":"m","error":{"message":"busy","stack":"at f"}}"#);
    assert_eq!(stack.attributes.as_deref(), Some(r#"{"error.stack":"at f"}"#), "a call has no column for it");
    let own = trace(r#"{"model":"m","error_type":"mine","error":{"type":"theirs","message":"busy"}}"#);
    assert_eq!(
        (own.error_type.as_deref(), own.attributes.as_deref()),
        (Some("mine"), Some(r#"{"error.type":"theirs"}"#))
    );
    let own = trace(r#"{"model":"m","errorMessage":"mine","error":"theirs"}"#);
    assert_eq!(
        (own.error_message.as_deref(), own.attributes.as_deref()),
        (Some("mine"), Some(r#"{"error":"theirs"}"#))
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
