//! What real clients sent (tests/data/captures), and the rows that it must become.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::*;
use crate::config::Capture;
use crate::event::{Kind, LlmTrace, Status, Unit};

pub(super) const CONTEXT: Context = Context {
    now_ms: 1_795_460_000_000,
    text: TextConfig { capture: Capture::Native, max_bytes: 4096 },
    spans_max: 512,
};

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures")
}

/// Every body under `folder` whose name has `word` in it, inflated, in order of the names.
fn bodies(folder: &str, word: &str) -> Vec<(PathBuf, Encoding, Bytes)> {
    let entries = fs::read_dir(captures().join(folder)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.contains(word) && !name.ends_with(".headers.json")
    });
    paths.sort();
    assert!(!paths.is_empty(), "{folder} has no {word}");
    paths.into_iter().map(body).collect()
}

fn body(path: PathBuf) -> (PathBuf, Encoding, Bytes) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let encoding = if name.contains(".json") { Encoding::Json } else { Encoding::Protobuf };
    let sent = fs::read(&path).unwrap();
    let mut body = Vec::new();
    match name.ends_with(".gz") {
        true => flate2::read::MultiGzDecoder::new(&sent[..]).read_to_end(&mut body).map(|_| ()).unwrap(),
        false => body = sent,
    }
    (path, encoding, body.into())
}

/// Every traces body that there is.
pub(super) fn every_body() -> Vec<(PathBuf, Encoding, Bytes)> {
    let openclaw = ["01-local-completions", "02-local-tool", "03-local-err429", "06-anthropic-cache", "10-gateway"];
    let openclaw = openclaw.map(|case| format!("openclaw-2026.9.6/{case}"));
    let others = ["openclaw-2026.4.29-extension", "otel-openai-v2", "otel-js-manual", "vercel-ai-sdk/proto"];
    openclaw.iter().map(String::as_str).chain(others).flat_map(|folder| bodies(folder, "traces")).collect()
}

/// The rows of all traces bodies of a folder whose names have `word` in them; no span of them is rejected.
fn rows(folder: &str, word: &str) -> Vec<LlmTrace> {
    rows_in(folder, word, &CONTEXT)
}

fn rows_in(folder: &str, word: &str, context: &Context) -> Vec<LlmTrace> {
    let mut rows = Vec::new();
    for (path, encoding, body) in bodies(folder, word) {
        let before = rows.len();
        let report = traces(encoding, body, context, &mut |event| match event.kind {
            Kind::LlmTrace(trace) => rows.push(*trace),
            other => panic!("{other:?}"),
        });
        let report = report.unwrap_or_else(|fault| panic!("{path:?}: {fault}"));
        let ignored: u64 = report.ignored.iter().map(|(_, count)| count).sum();
        assert_eq!(report.rejected, 0, "{path:?}: {report:?}");
        assert_eq!(report.spans, ignored + (rows.len() - before) as u64, "{path:?}: {report:?}");
    }
    rows
}

/// Input, output, cache read, cache write, reasoning.
fn tokens(row: &LlmTrace) -> [Option<i64>; 5] {
    [row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens, row.reasoning_tokens]
}

#[test]
fn a_local_turn_of_openclaw_is_one_row_in_every_column() {
    let rows = rows("openclaw-2026.9.6/01-local-completions", "traces");
    let [row] = &rows[..] else { panic!("{rows:#?}") };
    assert_eq!(tokens(row), [Some(1200), Some(45), Some(1000), Some(0), Some(12)]);
    assert_eq!(row.provider.as_deref(), Some("mockai"));
    assert_eq!(&*row.request_model, "mock-model");
    assert_eq!(row.response_model, None);
    assert_eq!(&*row.operation, "text_completion");
    assert_eq!((row.latency_ms, row.ttfb_ms, row.ttft_ms), (Some(517), Some(100), None));
    assert_eq!((row.status, row.unit), (Status::Ok, Unit::Request));
    assert_eq!((&row.error_type, &row.error_message), (&None, &None));
    assert_eq!((row.cost, row.cost_source), (None, crate::event::CostSource::None));
    assert!(row.otel_trace_id.as_deref().unwrap().starts_with("be9bc915"));
    assert!(row.otel_span_id.as_deref().unwrap().starts_with("01c1d8"));
    assert!(row.otel_parent_span_id.is_some());
    assert_eq!(row.service_name.as_deref(), Some("openclaw-gateway"));
    assert_eq!(row.source, Source::OtlpPb);
    let attributes: serde_json::Value = serde_json::from_str(row.attributes.as_deref().unwrap()).unwrap();
    assert_eq!(attributes["openclaw.api"], "openai-completions");
    assert_eq!(attributes["openclaw.model_call.request_bytes"], 55974);
    assert_eq!(attributes["openclaw.model_call.usage.input_tokens"], 200);
    assert!(!row.text_truncated);
}

#[test]
fn every_request_of_openclaw_is_one_row_and_the_turn_s_total_is_none() {
    let usual = [Some(1200), Some(45), Some(1000), Some(0), Some(12)];
    let anthropic = [Some(1250), Some(45), Some(1000), Some(50), None];
    for (folder, word, expected) in [
        ("openclaw-2026.9.6/02-local-tool", "traces", &[usual, usual][..]),
        ("openclaw-2026.9.6/06-anthropic-cache", "traces", &[anthropic]),
        ("openclaw-2026.9.6/10-gateway", "016_POST_v1-traces", &[usual]),
        ("openclaw-2026.9.6/10-gateway", "019_POST_v1-traces", &[usual]),
        ("openclaw-2026.9.6/10-gateway", "021_POST_v1-traces", &[usual]),
        ("openclaw-2026.9.6/10-gateway", "035_POST_v1-traces", &[usual, usual, anthropic, usual, usual]),
    ] {
        let rows = rows(folder, word);
        let found: Vec<_> = rows.iter().map(tokens).collect();
        assert_eq!(found, expected, "{folder} {word}");
        assert!(rows.iter().all(|row| row.unit == Unit::Request && row.status == Status::Ok), "{rows:#?}");
        assert!(rows.iter().all(|row| row.latency_ms > Some(100) && row.ttfb_ms.is_some()), "{rows:#?}");
    }
}

#[test]
fn every_attempt_that_the_model_refused_is_an_error_row_with_its_tokens_and_no_cost() {
    let rows = rows("openclaw-2026.9.6/03-local-err429", "traces");
    assert_eq!(rows.len(), 10);
    for row in rows {
        assert_eq!(row.status, Status::Error);
        assert_eq!((row.error_type.as_deref(), row.error_message.as_deref()), (Some("Error"), Some("Error")));
        assert_eq!(tokens(&row), [Some(0), Some(0), Some(0), Some(0), None]);
        assert_eq!(row.cost, None);
    }
}

#[test]
fn a_call_that_only_its_usage_tells_of_is_a_row() {
    let mut rows = rows("openclaw-2026.9.6/17-gateway-btw-compact", "traces");
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert!(rows.iter().all(|row| row.input_tokens == Some(1200) && row.output_tokens == Some(45)), "{rows:#?}");
    rows.retain(|row| row.unit == Unit::UsageOnly);
    let [row] = &rows[..] else { panic!("{rows:#?}") };
    assert_eq!(tokens(row), [Some(1200), Some(45), Some(1000), Some(0), None]);
    assert_eq!((row.latency_ms, row.ttfb_ms), (None, None));
    assert!(row.channel.is_some(), "{row:#?}");
}

#[test]
fn an_old_openclaw_s_calls_are_rows_without_tokens() {
    let rows = rows("openclaw-2026.4.29-extension", "traces");
    let [ok, error] = &rows[..] else { panic!("{rows:#?}") };
    assert_eq!(tokens(ok), [None; 5]);
    assert_eq!((ok.latency_ms, ok.ttfb_ms, ok.status), (Some(122), Some(80), Status::Ok));
    assert_eq!(&*ok.request_model, "claude-opus-4-6");
    assert_eq!((error.status, error.latency_ms), (Status::Error, Some(33)));
    assert_eq!(error.error_type.as_deref(), Some("rate_limit"));
}

#[test]
fn the_openai_instrumentation_s_spans_are_rows() {
    let rows = rows("otel-openai-v2", "traces");
    let models: Vec<(&str, &str)> = rows.iter().map(|row| (&*row.operation, &*row.request_model)).collect();
    assert_eq!(
        models,
        [
            ("chat", "gpt-4o-mini"),
            ("chat", "gpt-4o-mini"),
            ("chat", "err429-model"),
            ("embeddings", "text-embedding-3-small")
        ]
    );
    assert_eq!(tokens(&rows[0]), [Some(1200), Some(45), None, None, None]);
    assert_eq!(rows[0].response_model.as_deref(), Some("gpt-4o-mini-2026-01-01"));
    assert_eq!(rows[0].finish_reason.as_deref(), Some("stop"));
    assert_eq!(rows[0].response_id.as_deref(), Some("chatcmpl-mock17"));
    assert_eq!(rows[0].provider.as_deref(), Some("openai"));
    assert_eq!((rows[0].otel_parent_span_id.as_deref(), rows[0].latency_ms), (None, Some(327)));
    assert_eq!((rows[2].status, rows[2].error_type.as_deref()), (Status::Error, Some("RateLimitError")));
    assert!(rows[2].error_message.as_deref().unwrap().starts_with("Error code: 429"));
    assert_eq!(tokens(&rows[3]), [Some(7), None, None, None, None]);
}

#[test]
fn the_ai_sdk_s_inner_spans_are_rows_and_its_outer_spans_are_not() {
    let rows = rows("vercel-ai-sdk/proto", "traces");
    let [generate, stream, error] = &rows[..] else { panic!("{rows:#?}") };
    for row in [generate, stream] {
        assert_eq!(tokens(row), [Some(1200), Some(45), Some(1000), None, Some(12)]);
        assert_eq!((row.provider.as_deref(), &*row.request_model), (Some("mockai"), "gpt-4o-mini"));
        assert_eq!(row.response_model.as_deref(), Some("gpt-4o-mini-2026-01-01"));
        assert_eq!(row.conversation_id.as_deref(), Some("sess-aisdk-1"));
        assert_eq!(row.user_id.as_deref(), Some("u1"));
        assert_eq!((&row.input_text, &row.output_text), (&None, &None));
        let attributes = row.attributes.as_deref().unwrap();
        assert!(!attributes.contains("Hello") && !attributes.contains("hi "), "{attributes}");
    }
    assert_eq!((generate.streaming, generate.ttft_ms), (Some(false), None));
    assert_eq!((stream.streaming, stream.ttft_ms), (Some(true), Some(313)));
    assert_eq!(error.status, Status::Error);
    assert_eq!(error.error_type.as_deref(), Some("AI_APICallError"));
    assert_eq!(error.error_message.as_deref(), Some("Rate limit reached for mock"));
}

#[test]
fn content_is_kept_where_all_is_asked_for_and_cut_there() {
    let text = TextConfig { capture: Capture::All, max_bytes: 12 };
    let rows = rows_in("vercel-ai-sdk/proto", "traces", &Context { text, ..CONTEXT });
    assert_eq!(rows[0].output_text.as_deref(), Some("Hello from t"));
    assert_eq!(rows[0].input_text.as_deref(), Some(r#"[{"role":"us"#));
    assert!(rows[0].text_truncated);
    let text = TextConfig { capture: Capture::Off, max_bytes: 12 };
    let rows = rows_in("vercel-ai-sdk/proto", "traces", &Context { text, ..CONTEXT });
    assert_eq!((&rows[0].output_text, rows[0].text_truncated), (&None, false));
}

#[test]
fn json_of_a_javascript_exporter_becomes_rows() {
    let rows = rows("otel-js-manual", "traces");
    let [ok, error] = &rows[..] else { panic!("{rows:#?}") };
    assert_eq!(tokens(ok), [Some(1250), Some(45), Some(1000), Some(50), None]);
    assert_eq!((ok.provider.as_deref(), &*ok.request_model), (Some("anthropic"), "claude-sonnet-4"));
    assert_eq!(ok.otel_trace_id.as_deref(), Some("7d2b1e9d0b765a355a8c321959f9a1d2"));
    assert_eq!(ok.otel_span_id.as_deref(), Some("9c4ddd02487cd043"));
    assert_eq!((ok.timestamp_ms, ok.latency_ms), (1_795_451_285_468, Some(51)));
    assert_eq!(ok.finish_reason.as_deref(), Some("end_turn"));
    assert_eq!(ok.service_name.as_deref(), Some("manual-js"));
    assert_eq!(ok.source, Source::OtlpJson);
    assert_eq!((error.status, error.error_type.as_deref()), (Status::Error, Some("429")));
    assert_eq!(error.error_message.as_deref(), Some("rate limited"));
}

#[test]
fn the_same_span_has_the_same_id_each_time_and_no_other_span_has_it() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        for (_, encoding, body) in bodies("openclaw-2026.9.6/10-gateway", "traces") {
            traces(encoding, body, &CONTEXT, &mut |event| ids.push(event.id)).unwrap();
        }
    }
    let (first, second) = ids.split_at(ids.len() / 2);
    assert_eq!(first, second);
    let distinct: std::collections::HashSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), 8);
}

/// Folder, log records in it, metrics in it; counted with Python's opentelemetry-proto.
const LOGS_AND_METRICS: &[(&str, u64, u64)] = &[
    ("openclaw-2026.4.29-extension", 1, 18),
    ("openclaw-2026.9.6/01-local-completions", 6, 13),
    ("otel-openai-v2", 6, 2),
    ("claude-code/otlp_json", 3, 4),
];

#[test]
fn logs_and_metrics_are_counted() {
    for (folder, logs, metrics) in LOGS_AND_METRICS {
        let sum = |word: &str, count: fn(Encoding, &[u8]) -> Result<u64, Fault>| -> u64 {
            bodies(folder, word).iter().map(|(_, encoding, body)| count(*encoding, body).unwrap()).sum()
        };
        assert_eq!((sum("logs", count_logs), sum("metrics", count_metrics)), (*logs, *metrics), "{folder}");
    }
}

#[test]
fn logs_and_metrics_sent_to_the_traces_path_never_become_rows() {
    for (folder, ..) in LOGS_AND_METRICS {
        for (path, encoding, body) in bodies(folder, "logs").into_iter().chain(bodies(folder, "metrics")) {
            let report = traces(encoding, body, &CONTEXT, &mut |event| panic!("{path:?}: {event:?}"));
            if let Ok(report) = report {
                assert_eq!(report.rejected, report.spans, "{path:?}: {report:?}");
            }
        }
    }
}
