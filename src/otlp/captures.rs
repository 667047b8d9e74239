//! What real clients sent (tests/data/captures), and the rows that it must become.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::*;
use crate::config::Capture;
use crate::event::{CostSource, PicoUsd};
use crate::event::{Counted, CustomEvent, ErrorEvent, LlmTrace, Status, Unit};

pub(super) const CONTEXT: Context = Context {
    now_ms: 1_795_460_000_000,
    text: TextConfig { capture: Capture::Native, max_bytes: 4096 },
    records_max: 512,
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

/// Every body that there is.
pub(super) fn every_body() -> Vec<(PathBuf, Encoding, Bytes)> {
    let openclaw = ["01-local-completions", "02-local-tool", "03-local-err429", "06-anthropic-cache", "10-gateway"];
    let openclaw = openclaw.map(|case| format!("openclaw-2026.9.6/{case}"));
    let others = [
        "openclaw-2026.4.29-extension",
        "otel-openai-v2",
        "otel-js-manual",
        "vercel-ai-sdk/proto",
        "claude-code/otlp_json",
    ];
    openclaw.iter().map(String::as_str).chain(others).flat_map(|folder| bodies(folder, "POST")).collect()
}

/// What bodies became.
#[derive(Debug, Default)]
pub(super) struct Rows {
    calls: Vec<LlmTrace>,
    events: Vec<CustomEvent>,
    errors: Vec<ErrorEvent>,
    notes: Vec<Note>,
    ids: Vec<EventId>,
}

impl Rows {
    fn take(&mut self, told: Told) {
        match told {
            Told::Note(note) => self.notes.push(note),
            Told::Event(Event { id, kind, .. }) => {
                self.ids.push(id);
                match kind {
                    Kind::LlmTrace(call) => self.calls.push(*call),
                    Kind::CustomEvent(event) => self.events.push(*event),
                    Kind::ErrorEvent(error) => self.errors.push(*error),
                    Kind::SystemMetric(sample) => panic!("{sample:?}"),
                }
            }
        }
    }
}

/// All bodies of a folder whose names have `word` in them, and nothing of them is rejected.
fn read_all(folder: &str, word: &str, context: &Context) -> Rows {
    let mut rows = Rows::default();
    for (path, encoding, body) in bodies(folder, word) {
        let report = read(signal_of(&path), encoding, body, context, &mut |told| rows.take(told));
        let report = report.unwrap_or_else(|fault| panic!("{path:?}: {fault}"));
        let ignored: u64 = report.ignored.iter().map(|(_, count)| count).sum();
        assert_eq!((report.rejected, report.records), (0, ignored + report.taken), "{path:?}: {report:?}");
    }
    let mut ids = rows.ids.clone();
    ids.sort_by_key(|id| id.to_bytes());
    ids.dedup();
    assert_eq!(ids.len(), rows.ids.len(), "each row has an id of its own");
    rows
}

pub(super) fn signal_of(path: &Path) -> Signal {
    let name = path.file_name().unwrap().to_str().unwrap();
    let signals = [("traces", Signal::Traces), ("logs", Signal::Logs), ("metrics", Signal::Metrics)];
    signals.into_iter().find(|(word, _)| name.contains(word)).unwrap().1
}

/// The calls in all traces bodies of a folder whose names have `word` in them.
fn rows(folder: &str, word: &str) -> Vec<LlmTrace> {
    rows_in(folder, word, &CONTEXT)
}

fn rows_in(folder: &str, word: &str, context: &Context) -> Vec<LlmTrace> {
    let mut calls = read_all(folder, word, context).calls;
    calls.retain(|call| call.unit != Unit::TurnSum);
    calls
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
fn the_same_record_has_the_same_id_each_time_and_no_other_has_it() {
    for (folder, word, count) in [
        ("openclaw-2026.9.6/10-gateway", "traces", 8),
        ("openclaw-2026.9.6/03-local-err429", "logs", 3),
        ("claude-code/otlp_json", "logs", 1),
    ] {
        let first = read_all(folder, word, &CONTEXT).ids;
        assert!(first.len() >= count, "{folder}: {first:?}");
        assert_eq!(read_all(folder, word, &CONTEXT).ids, first, "{folder}");
    }
}

#[test]
fn the_sum_of_a_turn_is_marked_as_one_and_says_whose_it_is() {
    let rows = read_all("openclaw-2026.4.29-extension", "traces", &CONTEXT);
    let sums: Vec<&LlmTrace> = rows.calls.iter().filter(|call| call.unit == Unit::TurnSum).collect();
    let [sum] = sums[..] else { panic!("{:#?}", rows.calls) };
    assert_eq!(tokens(sum), [Some(1250), Some(45), Some(1000), Some(50), None]);
    assert_eq!((sum.channel.as_deref(), sum.agent_name.as_deref()), (Some("telegram"), Some("main")));
    let exporter = sum.exporter.clone().unwrap();
    assert!(rows.notes.contains(&Note::Exporter { exporter, tokens_on_calls: false }), "{:#?}", rows.notes);
    let newer = read_all("openclaw-2026.9.6/10-gateway", "021_POST_v1-traces", &CONTEXT);
    let exporter = newer.calls.iter().find_map(|call| call.exporter.clone()).unwrap();
    assert!(newer.notes.contains(&Note::Exporter { exporter, tokens_on_calls: true }), "{:#?}", newer.notes);
}

#[test]
fn the_run_around_a_call_tells_its_channel_and_the_sum_its_agent() {
    let rows = read_all("openclaw-2026.9.6/10-gateway", "021_POST_v1-traces", &CONTEXT);
    let call = rows.calls.iter().find(|call| call.unit == Unit::Request).unwrap();
    let (trace, parent) = (call.otel_trace_id.clone().unwrap(), call.otel_parent_span_id.clone().unwrap());
    let run = Note::Run {
        otel_trace_id: trace.clone(),
        otel_span_id: parent,
        channel: Some("webchat".into()),
        trigger: Some("user".into()),
    };
    assert!(rows.notes.contains(&run), "{:#?}", rows.notes);
    let agent = Note::Agent { otel_trace_id: trace, agent_name: "main".into() };
    assert!(rows.notes.contains(&agent), "{:#?}", rows.notes);
}

/// Names of events, and what is in their attributes.
fn named(events: &[CustomEvent]) -> Vec<(&str, serde_json::Value)> {
    let parsed =
        |json: &Option<Box<str>>| json.as_deref().map_or_else(Default::default, |j| serde_json::from_str(j).unwrap());
    events.iter().map(|event| (&*event.name, parsed(&event.attributes))).collect()
}

#[test]
fn tools_and_turns_are_events_under_the_names_of_the_convention() {
    let rows = read_all("openclaw-2026.9.6/02-local-tool", "traces", &CONTEXT);
    let events = named(&rows.events);
    let [tool, turn] = &events[..] else { panic!("{events:#?}") };
    assert_eq!(
        (tool.0, &tool.1["gen_ai.tool.name"], &tool.1["span_name"]),
        ("execute_tool", &"exec".into(), &"openclaw.tool.execution".into())
    );
    assert!(tool.1["gen_ai.tool.call.id"].is_string() && tool.1["duration_ms"].is_u64(), "{tool:?}");
    assert_eq!(
        (turn.0, &turn.1["span_name"], &turn.1["openclaw.outcome"]),
        ("invoke_agent", &"openclaw.run".into(), &"completed".into())
    );
    assert_eq!(turn.1["openclaw.model"], "mock-tool");
    let old = read_all("openclaw-2026.4.29-extension", "traces", &CONTEXT);
    assert_eq!(named(&old.events).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["execute_tool", "invoke_agent"]);
    let sdk = read_all("vercel-ai-sdk/proto", "traces", &CONTEXT);
    for (name, attributes) in named(&sdk.events) {
        assert_eq!(name, "invoke_agent");
        assert!(!attributes.to_string().contains("Token") && !attributes.to_string().contains("Hello"), "{attributes}");
    }
}

/// Type, message, severity, component.
fn told(error: &ErrorEvent) -> (Option<&str>, &str, &str, Option<&str>) {
    (error.error_type.as_deref(), &error.message, error.severity.as_str(), error.component.as_deref())
}

#[test]
fn a_span_that_failed_is_an_error_once_and_its_exceptions_stand_for_it() {
    let rows = read_all("openclaw-2026.9.6/03-local-err429", "007_POST_v1-traces", &CONTEXT);
    let found: Vec<_> = rows.errors.iter().map(told).collect();
    assert_eq!(found, [(Some("Error"), "Error", "error", Some("openclaw.model.call")); 3]);
    let attributes = rows.errors[0].attributes.as_deref().unwrap();
    assert!(attributes.contains(r#""openclaw.model":"mock-err429""#), "{attributes}");
    let rows = read_all("vercel-ai-sdk/proto", "traces", &CONTEXT);
    let found: Vec<_> = rows.errors.iter().map(told).collect();
    let inner = (Some("AI_APICallError"), "Rate limit reached for mock", "error", Some("ai.generateText.doGenerate"));
    assert!(found.contains(&inner), "{found:#?}");
    assert!(rows.errors.iter().all(|error| error.stacktrace.as_deref().is_some_and(|stack| stack.contains("    at "))));
    assert!(rows.errors.iter().all(|error| error.otel_span_id.is_some() && error.timestamp_ms > 1_795_000_000_000));
}

#[test]
fn openclaw_s_logs_say_why_a_run_failed() {
    let rows = read_all("openclaw-2026.9.6/03-local-err429", "logs", &CONTEXT);
    let found: Vec<_> = rows.errors.iter().map(told).collect();
    let cause = (Some("rate_limit"), "429 Rate limit reached for mock", "warn", Some("agent/embedded"));
    let failed = (Some("FailoverError"), "FailoverError", "error", Some("diagnostic"));
    assert_eq!(found.iter().filter(|error| **error == cause).count(), 10, "one for each attempt: {found:#?}");
    assert_eq!(found.iter().filter(|error| **error == failed).count(), 2, "{found:#?}");
    assert_eq!(found.len(), 12, "{found:#?}");
    let old = read_all("openclaw-2026.4.29-extension", "logs", &CONTEXT);
    assert_eq!(
        old.errors.iter().map(told).collect::<Vec<_>>(),
        [(None, "agent failed: 429 rate limit", "error", Some("agents"))]
    );
    assert!(rows.calls.is_empty() && old.calls.is_empty());
}

#[test]
fn claude_code_s_logs_are_its_calls() {
    let rows = read_all("claude-code/otlp_json", "logs", &CONTEXT);
    let [call] = &rows.calls[..] else { panic!("{rows:#?}") };
    assert_eq!(tokens(call), [Some(1250), Some(45), Some(1000), Some(50), None]);
    assert_eq!((call.provider.as_deref(), &*call.request_model), (Some("anthropic"), "claude-sonnet-4-5"));
    assert_eq!((call.cost, call.cost_source), (Some(PicoUsd(1_762_500_000)), CostSource::Client));
    assert_eq!((call.timestamp_ms, call.latency_ms), (1_795_452_032_307 - 440, Some(440)));
    assert_eq!(call.conversation_id.as_deref(), Some("a671b872-fa3d-4c78-b745-9f0c4498d89e"));
    assert_eq!((call.agent_name.as_deref(), call.status, call.unit), (Some("sdk"), Status::Ok, Unit::Request));
    assert_eq!((call.service_name.as_deref(), call.source), (Some("claude-code"), Source::OtlpJson));
    assert_eq!((&call.otel_trace_id, &call.otel_span_id), (&None, &None));
    assert!(rows.events.is_empty() && rows.errors.is_empty(), "{rows:#?}");
}

#[test]
fn the_openai_instrumentation_s_logs_are_no_rows() {
    let rows = read_all("otel-openai-v2", "logs", &CONTEXT);
    assert!(rows.ids.is_empty() && rows.notes.is_empty(), "{rows:#?}");
}

/// Sums of what the counters of all metrics bodies said, each series' last value.
fn counted(folder: &str, word: &str) -> [i64; 3] {
    let mut series = HashMap::new();
    for note in read_all(folder, word, &CONTEXT).notes {
        let Note::Counter(point) = note else { panic!("{note:?}") };
        assert!(point.start_ms > 1_795_000_000_000 && point.timestamp_ms >= point.start_ms, "{point:?}");
        series.insert(point.series, *point);
    }
    [Counted::Tokens, Counted::PicoUsd, Counted::Calls]
        .map(|counted| series.values().filter(|point| point.counted == counted).map(|point| point.value).sum())
}

#[test]
fn what_an_agent_counts_itself_is_noted_and_no_row() {
    // A local run has no counter of tokens, but one of calls.
    assert_eq!(counted("openclaw-2026.9.6/09-samplerate-0.2", "metrics"), [0, 0, 1]);
    let gateway = counted("openclaw-2026.9.6/10-gateway", "102_POST_v1-metrics");
    assert!(gateway[0] > 5000 && gateway[1] > 6_000_000_000 && gateway[2] > 8, "{gateway:?}");
    assert_eq!(counted("claude-code/otlp_json", "metrics"), [1295, 1_762_500_000, 0]);
    assert_eq!(counted("otel-openai-v2", "metrics"), [0, 0, 0]);
    let cumulative = |folder, is_cumulative| {
        let rows = read_all(folder, "metrics", &CONTEXT);
        rows.notes.iter().all(|note| matches!(note, Note::Counter(point) if point.is_cumulative == is_cumulative))
    };
    assert!(cumulative("openclaw-2026.9.6/10-gateway", true) && cumulative("claude-code/otlp_json", false));
}

#[test]
fn logs_and_metrics_sent_to_the_traces_path_never_become_rows() {
    for folder in [
        "openclaw-2026.4.29-extension",
        "openclaw-2026.9.6/01-local-completions",
        "otel-openai-v2",
        "claude-code/otlp_json",
    ] {
        for (path, encoding, body) in bodies(folder, "logs").into_iter().chain(bodies(folder, "metrics")) {
            let report = read(Signal::Traces, encoding, body, &CONTEXT, &mut |told| panic!("{path:?}: {told:?}"));
            if let Ok(report) = report {
                assert_eq!(report.rejected, report.records, "{path:?}: {report:?}");
            }
        }
    }
}

#[test]
fn no_signal_is_taken_for_another_on_its_path() {
    for (path, encoding, body) in every_body() {
        for signal in [Signal::Traces, Signal::Logs, Signal::Metrics].into_iter().filter(|s| *s != signal_of(&path)) {
            let report = read(signal, encoding, body.clone(), &CONTEXT, &mut |told| panic!("{path:?}: {told:?}"));
            if let Ok(report) = report {
                assert_eq!(report.rejected, report.records, "{path:?}: {report:?}");
            }
        }
    }
}
