//! The push as OTLP: what goes where, and what answers mean.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use openclaw_trace::config::PushFormat;
use openclaw_trace::event::Table;
use openclaw_trace::stats::Stats;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use prost::Message;

use super::Side;
use super::store::Store;
use crate::support::dir::TempDir;
use crate::support::sidecar::{NO_SAMPLES, Sidecar};
use crate::support::sink::{Say, Seen, Sink};
use crate::support::{PATIENCE, read_only};

const IN_ORDER: [&str; 3] = ["/in/v1/traces?key=hush", "/in/v1/logs?key=hush", "/in/v1/metrics?key=hush"];

fn side(sink: &Sink) -> Side {
    Side::with(&sink.url(), |setup| setup.config.format = PushFormat::Otlp)
}

fn path(seen: &Seen) -> &str {
    seen.head.split(' ').nth(1).unwrap()
}

fn row_id(attributes: &[KeyValue]) -> String {
    let id = attributes.iter().find(|attribute| attribute.key == "openclaw_trace.trace_id");
    match id.and_then(|id| id.value.clone()).and_then(|value| value.value) {
        Some(Any::StringValue(id)) => id,
        other => panic!("{other:?}"),
    }
}

/// The ids of the rows in a request, or of metrics how many samples it has.
fn rows(seen: &Seen) -> Result<Vec<String>, usize> {
    let body = &seen.body[..];
    Ok(match path(seen) {
        at if at.starts_with("/in/v1/traces") => {
            let request = ExportTraceServiceRequest::decode(body).unwrap();
            let spans = request.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
            spans.map(|span| row_id(&span.attributes)).collect()
        }
        at if at.starts_with("/in/v1/logs") => {
            let request = ExportLogsServiceRequest::decode(body).unwrap();
            let records = request.resource_logs.iter().flat_map(|r| &r.scope_logs).flat_map(|s| &s.log_records);
            records.map(|record| row_id(&record.attributes)).collect()
        }
        _ => {
            let request = ExportMetricsServiceRequest::decode(body).unwrap();
            return Err(request.resource_metrics.iter().map(|r| r.scope_metrics.len()).sum());
        }
    })
}

fn partial(rejected: i64, message: &str) -> Say {
    let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: message.to_owned() };
    let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    Say::Status(200, "content-type: application/x-protobuf\r\n", String::from_utf8(body).unwrap())
}

fn ok() -> Say {
    Say::Status(200, "", String::new())
}

#[test]
fn rows_of_each_signal_go_to_its_path_and_each_is_there_once() {
    let sink = Sink::always(ok);
    let side = side(&sink);
    for (table, count) in Table::ALL.into_iter().zip([30, 20, 10, 15]) {
        side.store.add(table, count, 300);
    }
    side.run_until_settled();
    let seen = sink.seen();
    let mut ids = Vec::new();
    let mut samples = 0;
    for request in &seen {
        assert!(IN_ORDER.contains(&path(request)), "{}", request.head);
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(request.header("authorization"), Some("Bearer t0ken"));
        match rows(request) {
            Ok(more) => ids.extend(more),
            Err(more) => samples += more,
        }
    }
    let events = [Table::LlmTraces, Table::ErrorEvents, Table::CustomEvents];
    let stored: BTreeSet<String> = events.into_iter().flat_map(|table| side.store.ids_of(table)).collect();
    assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>(), samples), (60, stored, 15));
    assert!(seen.len() > 6, "bodies have their limit: {}", seen.len());
}

#[test]
fn a_request_that_is_sent_again_is_the_same_bytes() {
    let sink = Sink::start(vec![Say::TakeAndClose, Say::status(503), ok(), ok(), ok()]);
    let side = side(&sink);
    side.store.add(Table::LlmTraces, 5, 9);
    side.run_until_settled();
    let seen = sink.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|request| request.body == seen[0].body && path(request) == IN_ORDER[0]));
}

#[test]
fn any_status_of_success_confirms_with_an_export_response_and_with_nothing_else() {
    for say in [Say::Status(202, "", String::new()), Say::status(200), partial(0, "a warning")] {
        let sink = Sink::start(vec![say]);
        let side = side(&sink);
        side.store.add(Table::ErrorEvents, 3, 9);
        assert_eq!(side.push_once(PATIENCE).unfinished, None);
        let push = side.stats.push();
        assert_eq!((sink.seen().len(), push.rows, push.rows_unnamed), (1, 3, 0));
    }
    let page = || Say::Status(200, "content-type: text/html\r\n", "<!doctype html>".to_owned());
    let sink = Sink::always(page);
    let side = side(&sink);
    side.store.add(Table::ErrorEvents, 3, 9);
    assert!(side.push_once(PATIENCE).unfinished.is_some());
    assert_eq!((side.stats.push().rows, side.store.cursors()), (0, [0; 4]));
}

#[test]
fn what_was_taken_in_part_is_never_sent_again_and_what_is_missing_is_counted() {
    let sink = Sink::start(vec![partial(2, "too old"), ok(), partial(100, "no deltas")]);
    let side = side(&sink);
    side.store.add(Table::LlmTraces, 5, 9);
    side.store.add(Table::CustomEvents, 5, 9);
    side.store.add(Table::SystemMetrics, 5, 9);
    side.run_until_settled();
    let seen = sink.seen();
    assert_eq!(seen.iter().map(path).collect::<Vec<_>>(), IN_ORDER);
    let push = side.stats.push();
    assert_eq!((push.rows_unnamed, push.failures), (3, 0));
}

#[test]
fn a_sample_whose_deltas_are_refused_is_no_dead_letter() {
    let sink = Sink::always(|| partial(17, "no deltas"));
    let side = side(&sink);
    side.store.add(Table::SystemMetrics, 1, 9);
    side.run_until_settled();
    assert_eq!(sink.seen().len(), 1);
    let push = side.stats.push();
    assert_eq!((push.rows, push.rows_unnamed, push.failures), (1, 1, 0));
}

#[test]
fn a_row_that_is_refused_for_ever_is_found_and_the_others_arrive() {
    let sink = Sink::start(vec![partial(4, "all of it"), partial(2, "both"), ok(), partial(1, "this one")]);
    let side = side(&sink);
    side.store.add(Table::LlmTraces, 4, 9);
    side.push_once(PATIENCE);
    let sizes: Vec<usize> = sink.seen().iter().map(|request| rows(request).unwrap().len()).collect();
    assert_eq!(sizes[..4], [4, 2, 1, 1]);
    side.run_until_settled();
    assert_eq!(side.stats.push().rows_unnamed, 0);
}

#[test]
fn a_receiver_without_a_path_for_a_signal_holds_up_no_other() {
    // As Langfuse, which takes only traces.
    let sink = Sink::start(vec![ok(), Say::status(404), ok()]);
    let side = side(&sink);
    for table in Table::ALL {
        side.store.add(table, 2, 9);
    }
    assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("404"));
    let seen = sink.seen();
    assert_eq!(seen.iter().map(path).collect::<Vec<_>>(), IN_ORDER);
    let cursors = side.store.cursors();
    assert_eq!(cursors.map(|cursor| cursor > 0), [true, false, false, true]);
}

#[test]
fn tables_that_are_not_wanted_are_not_asked_for() {
    let sink = Sink::always(ok);
    let stats = Arc::new(Stats::default());
    let store = Store::of_tables(&stats, &[Table::LlmTraces]);
    let side = Side::of(store, stats, &sink.url(), |setup| {
        setup.config.format = PushFormat::Otlp;
        setup.config.tables = vec![Table::LlmTraces];
    });
    for table in Table::ALL {
        side.store.add(table, 2, 9);
    }
    side.run_until_settled();
    assert_eq!(sink.seen().iter().map(path).collect::<Vec<_>>(), [IN_ORDER[0]]);
}

/// All rows of the tables that go from sidecar to sidecar, without what is each file's own.
fn rows_of(db: &Path) -> Vec<String> {
    let conn = read_only(db);
    let mut rows = Vec::new();
    for table in ["llm_traces", "error_events", "custom_events"] {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY trace_id")).unwrap();
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let shown = statement.query_map([], |row| {
            let compared = names.iter().filter(|name| !matches!(name.as_str(), "id" | "received_at"));
            let cells = compared.map(|name| row.get::<_, rusqlite::types::Value>(&**name).map(|cell| (name, cell)));
            Ok(format!("{table} {:?}", cells.collect::<Result<Vec<_>, _>>()?))
        });
        rows.extend(shown.unwrap().map(Result::unwrap));
    }
    rows
}

#[test]
fn a_row_keeps_its_id_through_a_chain_of_sidecars_and_is_stored_once() {
    let dir = TempDir::new("chain");
    let (first_db, last_db) = (dir.join("first.db"), dir.join("last.db"));
    let last = Sidecar::start(&last_db, &[NO_SAMPLES, ("TRACE_CAPTURE_TEXT", "all")]);
    let push = |below: &str| {
        let endpoint = format!("http://{}{below}", last.address());
        let env = [("TRACE_PUSH_ENDPOINT", &*endpoint), ("TRACE_PUSH_FORMAT", "otlp"), ("TRACE_PUSH_INTERVAL", "1s")];
        Sidecar::start(&first_db, &[&env[..], &[NO_SAMPLES, ("TRACE_CAPTURE_TEXT", "all")]].concat())
    };
    let first = push("/otlp");
    let span = concat!(
        r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},"#,
        r#""scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","#,
        r#""startTimeUnixNano":"1795000000123456789","endTimeUnixNano":"1795000000999999999","status":{"code":2,"#,
        r#""message":"m"},"attributes":[{"key":"gen_ai.request.model","value":{"stringValue":"m"}}]}]}]}]}"#,
    );
    let native = r#"{"model":"m","provider":"p","input_tokens":9,"cost_usd":"0.000000000001","input":"prompt\n","unit":"turn",
        "status":"cancelled","error_message":" why ","span_id":"b7ad6b7169203331","x":{"y":[1,2.5,{"z":"é"}]}}"#;
    for (path, body, status) in [
        ("/v1/traces", span, 200),
        ("/v1/traces", native, 202),
        ("/v1/errors", r#"{"message":"m","severity":"info","handled":false}"#, 202),
        ("/v1/events", r#"{"name":"n","body":"b"}"#, 202),
    ] {
        let answer = first.client().post(path, "application/json", body.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    }
    // The span that failed is an error as well: told by the first, and not again by the last.
    let all = |health: &serde_json::Value| health["events"]["stored"] == 5;
    last.wait_health("the rows of the first", |_, health| all(health));
    let rows = rows_of(&first_db);
    assert_eq!((rows.len(), rows_of(&last_db)), (5, rows.clone()));
    first.stop();
    let again = push("");
    let health = last.wait_health("the same rows again", |_, health| health["events"]["duplicate"] == 5);
    assert!(all(&health), "{health}");
    assert_eq!(rows_of(&last_db), rows);
    again.stop();
    last.stop();
}
