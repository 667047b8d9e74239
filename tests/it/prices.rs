//! That calls cost what they cost: bodies of every dialect, against the package that the prices are from.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use openclaw_trace::config::{Capture, TextConfig};
use openclaw_trace::event::{CostSource, Kind, LlmTrace, Table};
use openclaw_trace::price::Prices;
use openclaw_trace::wire::native;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::dir::TempDir;
use crate::support::sidecar::{NO_SAMPLES, Sidecar, run};

/// A media type for native JSON.
const JSON: &str = "application/json";

/// The calls of a body, priced.
fn priced(prices: &Prices, body: &str) -> Vec<LlmTrace> {
    let text = TextConfig { capture: Capture::Native, max_bytes: 4096 };
    let context = native::Context { now_ms: 1_795_458_732_000, text, idempotency_key: None, items_max: 100 };
    let mut traces = Vec::new();
    let report = native::parse(Table::LlmTraces, body.as_bytes(), &context, &mut |event| {
        let Kind::LlmTrace(mut trace) = event.kind else { panic!("{body}") };
        let _filled = prices.fill(&mut trace);
        traces.push(*trace);
    });
    assert_eq!(report.unwrap().rejected, [], "{body}");
    traces
}

fn one(prices: &Prices, body: &str) -> LlmTrace {
    priced(prices, body).pop().unwrap()
}

#[test]
fn every_body_of_every_dialect_costs_exactly_what_the_package_says() {
    let prices = Prices::embedded();
    let (mut cases, mut providers, mut wrong) = (0, BTreeSet::new(), Vec::new());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/prices");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|e| e == "json")) {
        let file: Vec<Value> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for case in file {
            let body = case["body"].to_string();
            let trace = one(&prices, &body);
            let cost = trace.cost.map(|cost| cost.0);
            if cost != case["pico_usd"].as_i64() {
                wrong.push(format!("{}: {cost:?}, not {}: {body}", path.display(), case["pico_usd"]));
            }
            cases += 1;
            providers.extend(trace.provider);
        }
    }
    assert!(wrong.is_empty(), "{} of {cases} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= 250 && providers.len() >= 20, "{cases} cases of {providers:?}");
}

#[test]
fn prices_of_a_file_make_the_mock_model_cost_what_it_should() {
    let file = "openclaw-trace prices 1 extends\nmockai\tmock-model\t\t3\t15\t0.3\t3.75\n";
    let prices = Prices::extended(file).unwrap();
    let body = r#"{"provider":"mockai","model":"mock-model",
        "usage":{"input":200,"output":45,"cacheRead":1000,"cacheWrite":0,"cost":{"total":0}}}"#;
    let trace = one(&prices, body);
    assert_eq!((trace.input_tokens, trace.output_tokens, trace.cache_read_tokens), (Some(1200), Some(45), Some(1000)));
    assert_eq!(trace.cost.unwrap().0, 1_575_000_000);
    assert!(trace.price_version.unwrap().starts_with("file "));
    assert_eq!(one(&Prices::embedded(), body).cost, None);
}

/// A check of AgentMeasure: the prompt that is counted beside the cache is neither paid for twice nor forgotten.
#[test]
fn exclusive_input_is_priced_as_the_inclusive_input_that_it_is() {
    let prices = Prices::embedded();
    let model = r#""provider":"anthropic","model":"claude-sonnet-4-5""#;
    let apart = format!(
        r#"{{{model},"usage":{{"input_tokens":500,"cache_read_input_tokens":300,"cache_creation_input_tokens":200,"output_tokens":50}}}}"#
    );
    let within = format!(
        r#"{{{model},"input_tokens":1000,"cache_read_tokens":300,"cache_write_tokens":200,"output_tokens":50}}"#
    );
    // 500 at 3, 300 at 0.3, 200 at 3.75 and 50 at 15 dollars per million.
    let wanted = 500 * 3_000_000 + 300 * 300_000 + 200 * 3_750_000 + 50 * 15_000_000;
    for body in [apart, within] {
        assert_eq!(one(&prices, &body).cost.map(|cost| cost.0), Some(wanted), "{body}");
    }
}

/// Another: what nobody knows the price of is no part of a sum, and is counted beside it.
#[test]
fn unpriced_is_not_zero_and_zero_is_what_somebody_said() {
    let prices = Prices::embedded();
    let body = |model: &str, more: &str| format!(r#"{{"model":"{model}","input_tokens":10,"output_tokens":10{more}}}"#);
    for (model, more, cost, source) in [
        ("mock-model", "", None, CostSource::None),
        ("mock-model", r#","cost_usd":0"#, Some(0), CostSource::Client),
        ("mock-model", r#","usage":{"cost":{"total":0}}"#, None, CostSource::None),
        ("gpt-4o", r#","cost_usd":0"#, Some(0), CostSource::Client),
        ("gpt-4o", r#","usage":{"cost":{"total":0}}"#, Some(125_000_000), CostSource::Table),
        ("gpt-4o", "", Some(125_000_000), CostSource::Table),
        ("gpt-4o", r#","service_tier":"scale""#, None, CostSource::None),
        ("gpt-4o", r#","error":"overloaded""#, None, CostSource::None),
    ] {
        let trace = one(&prices, &body(model, more));
        assert_eq!((trace.cost.map(|cost| cost.0), trace.cost_source), (cost, source), "{model} {more}");
        assert_eq!(trace.price_version.is_some(), source == CostSource::Table, "{model} {more}");
    }
}

/// And another: a call that is told of twice is paid for once.
#[test]
fn a_call_with_a_stable_id_costs_once_however_often_it_comes() {
    let dir = TempDir::new("prices-once");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let mut client = sidecar.client();
    let call = r#"{"trace_id":"0192f0c1-7d4e-7abc-8def-0123456789ab","provider":"anthropic","model":"claude-sonnet-4-5",
        "input_tokens":1000,"cache_read_tokens":300,"cache_write_tokens":200,"output_tokens":50}"#;
    for (body, accepted, duplicates) in
        [(call.to_owned(), 1, 0), (call.to_owned(), 0, 1), (format!("[{call},{call}]"), 0, 2)]
    {
        let answer = client.post("/v1/traces", JSON, body.as_bytes()).unwrap();
        assert_eq!((&answer.json()["accepted"], &answer.json()["duplicates"]), (&json!(accepted), &json!(duplicates)));
    }
    let row = "SELECT count(*), sum(cost_picousd), min(cost_source), min(price_version) FROM llm_traces";
    let file = Connection::open(&db).unwrap();
    let (rows, pico, source, version) = file
        .query_row(row, [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
        })
        .unwrap();
    assert_eq!((rows, pico, &*source), (1, 3_090_000_000, "table"));
    assert_eq!(json!(version), sidecar.health().1["prices"]["table"]);
    sidecar.stop();
}

#[test]
fn a_model_without_a_price_is_told_of_once_in_the_log_and_in_health() {
    let dir = TempDir::new("prices-none");
    let sidecar = Sidecar::start(&dir.join("trace.db"), &[NO_SAMPLES]);
    assert_eq!(sidecar.health().1["prices"]["unpriced_models"], json!({}));
    assert!(sidecar.health().1["prices"].get("message").is_none());
    let mut client = sidecar.client();
    for model in ["a", "b", "a", "gpt-4o"] {
        let body = json!({"provider": "mockai", "model": model, "input_tokens": 10, "output_tokens": 1}).to_string();
        assert_eq!(client.post("/v1/traces", JSON, body.as_bytes()).unwrap().status, 202);
    }
    let none = json!({"model": "without-tokens"}).to_string();
    assert_eq!(client.post("/v1/traces", JSON, none.as_bytes()).unwrap().status, 202);
    let prices = &sidecar.health().1["prices"];
    assert_eq!(prices["unpriced_models"], json!({"mockai/a": 2, "mockai/b": 1}));
    assert_eq!(prices["message"], "2 models without a price: mockai/a, mockai/b");
    sidecar.wait_line("mockai/b");
    let log = sidecar.log();
    assert_eq!(log.matches("a model without a price").count(), 2, "{log}");
    sidecar.stop();
}

#[test]
fn a_file_with_faults_is_told_of_whole_and_nothing_starts() {
    let dir = TempDir::new("prices-faults");
    let file = dir.join("prices.tsv");
    fs::write(&file, "openclaw-trace prices 1 extends\nmockai\tM\t\t3\t15\nmockai\tm\t\tthree\t15\n").unwrap();
    let (db, file) = (dir.join("trace.db"), file.to_str().unwrap().to_owned());
    let vars = [("TRACE_DB_PATH", db.to_str().unwrap()), ("TRACE_PRICES_FILE", &*file)];
    for command in ["serve", "check"] {
        let output = run(&[command], &vars);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(told.contains("prices.tsv, line 2, column 8: expected a name in lower case"), "{told}");
        assert!(told.contains("prices.tsv, line 3, column 11: expected a price in US dollars"), "{told}");
    }
    assert!(!db.exists());
    fs::write(&file, "openclaw-trace prices 1 replaces\n*\tgpt-4o\t\t1\t2\n").unwrap();
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES, ("TRACE_PRICES_FILE", &file)]);
    let body = br#"{"model":"gpt-4o","input_tokens":10,"output_tokens":1}"#;
    assert_eq!(sidecar.client().post("/v1/traces", JSON, body).unwrap().status, 202);
    let pico: i64 =
        Connection::open(&db).unwrap().query_row("SELECT cost_picousd FROM llm_traces", [], |row| row.get(0)).unwrap();
    assert_eq!(pico, 12_000_000);
    sidecar.stop();
}
