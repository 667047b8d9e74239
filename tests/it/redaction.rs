//! No secret is in the file, whichever door it came by, and what only looks like one is there as it was sent.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::dir::TempDir;
use crate::support::sidecar::{NO_SAMPLES, Sidecar};
use crate::support::{PATIENCE, read_only};

/// Lines of a file of tests/data/redaction, as src/redact/tests.rs reads them.
fn corpus(name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/redaction").join(name);
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.replace('~', "").replace("\\n", "\n")).collect()
}

/// What a producer says, and the secret in it.
fn secrets() -> Vec<(String, String)> {
    let parts = |line: &String| {
        let (_, text) = line.split_once('\t').unwrap();
        let (before, rest) = text.split_once('⟦').unwrap();
        let (secret, behind) = rest.split_once('⟧').unwrap();
        (format!("{before}{secret}{behind}"), secret.to_owned())
    };
    corpus("secrets.txt").iter().map(parts).collect()
}

/// An attribute of OTLP/JSON.
fn attribute(key: &str, text: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": text } })
}

/// The number of a span makes its id.
fn span(number: usize, text: &str) -> Value {
    json!({
        "traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "name": text,
        "startTimeUnixNano": "1795452032307000000", "endTimeUnixNano": "1795452032317000000",
        "status": { "code": 2, "message": text },
        "attributes": [
            attribute("gen_ai.request.model", "m"), attribute("gen_ai.operation.name", "chat"), attribute("note", text),
            attribute("gen_ai.conversation.id", text), attribute("gen_ai.input.messages", text),
            { "key": "list", "value": { "arrayValue": { "values": [{ "stringValue": text }] } } },
            { "key": "gen_ai.output.messages", "value": { "arrayValue": { "values": [{ "stringValue": text }] } } },
        ],
        "events": [{ "name": "exception", "attributes": [
            attribute("exception.type", text), attribute("exception.message", text),
            attribute("exception.stacktrace", text), attribute("more", text),
        ] }],
    })
}

/// The same text through every door, in every place.
fn post_everywhere(sidecar: &Sidecar, texts: &[&str]) {
    let mut client = sidecar.client();
    let mut post = |path: &str, body: Value, status: u16| {
        let answer = client.post(path, "application/json", body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    };
    let traces: Vec<Value> = texts
        .iter()
        .map(|text| {
            json!({ "model": text, "provider": text, "input_text": text, "output": [{ "content": text }], "error_message": text,
                    "conversation_id": text, "error_type": text, "attributes": { "a": text, "b": { "c": [text] } }, "user_id": text })
        })
        .collect();
    post("/v1/traces", json!(traces), 202);
    let events: Vec<Value> = texts
        .iter()
        .map(|text| json!({ "name": text, "body": text, "data": { "k": text }, "body2": { "x": text } }))
        .collect();
    post("/v1/events", json!(events), 202);
    let errors: Vec<Value> = texts
        .iter()
        .map(|text| json!({ "message": text, "stack": text, "error_type": text, "component": text, "fingerprint": text, "x": text }))
        .collect();
    post("/v1/errors", json!(errors), 202);
    let spans: Vec<Value> = texts.iter().enumerate().map(|(number, text)| span(number + 1, text)).collect();
    post("/v1/traces", json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }), 200);
    let records: Vec<Value> = texts
        .iter()
        .map(|text| json!({ "severityNumber": 17, "body": { "stringValue": text }, "attributes": [attribute("note", text)] }))
        .collect();
    post("/v1/logs", json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": records }] }] }), 200);
}

#[test]
fn no_secret_is_in_the_file_whichever_door_it_came_by() {
    let dir = TempDir::new("redaction");
    let db = dir.join("trace.db");
    let mut sidecar = Sidecar::start(&db, &[NO_SAMPLES, ("TRACE_CAPTURE_TEXT", "all")]);
    let secrets = secrets();
    assert!(secrets.len() >= 60, "{}", secrets.len());
    let texts: Vec<&str> = secrets.iter().map(|(text, _)| text.as_str()).collect();
    post_everywhere(&sidecar, &texts);
    let count = |conn: &rusqlite::Connection, table: &str| -> i64 {
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    {
        let conn = read_only(&db);
        let rows = ["llm_traces", "custom_events", "error_events"].map(|table| count(&conn, table));
        let sent = texts.len() as i64;
        assert_eq!(rows, [2 * sent, sent, 3 * sent]);
        let marked =
            "SELECT count(*) FROM llm_traces WHERE input_text LIKE '%[redacted:%' AND output_text LIKE '%[redacted:%'";
        assert_eq!(conn.query_row(marked, [], |row| row.get::<_, i64>(0)).unwrap(), 2 * sent);
    }
    let mut bytes = fs::read(db.with_extension("db-wal")).unwrap_or_default();
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_within(PATIENCE), Some(0), "{}", sidecar.log());
    bytes.extend(fs::read(&db).unwrap());
    for (text, secret) in &secrets {
        for part in secret.split('\n').filter(|part| part.len() >= 8 && !part.starts_with("-----")) {
            let found = bytes.windows(part.len()).any(|window| window == part.as_bytes());
            assert!(!found, "{part} of {text:?} is in the file");
        }
    }
    assert!(!secrets.iter().any(|(_, secret)| sidecar.log().contains(secret)), "{}", sidecar.log());
}

#[test]
fn what_looks_like_a_secret_is_stored_as_it_was_sent() {
    let dir = TempDir::new("look-alikes");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES, ("TRACE_CAPTURE_TEXT", "all")]);
    let texts = corpus("look-alikes.txt");
    post_everywhere(&sidecar, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let conn = read_only(&db);
    for (column, table) in [
        ("input_text", "llm_traces"),
        ("error_message", "llm_traces"),
        ("body", "custom_events"),
        ("message", "error_events"),
    ] {
        for text in &texts {
            let sql = format!("SELECT count(*) FROM {table} WHERE {column} = ?1");
            let rows: i64 = conn.query_row(&sql, [text], |row| row.get(0)).unwrap();
            assert!(rows > 0, "{table}.{column} has no {text:?}");
        }
        let marked = format!(
            "SELECT count(*) FROM {table} WHERE {column} LIKE '%[redacted:%' OR attributes LIKE '%[redacted:%'"
        );
        assert_eq!(conn.query_row(&marked, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "{table}");
    }
}
