//! That no secret gets into the database, whichever way it comes: the corpus of tests/data/redaction, posted to the real
//! program in every field that takes text.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::sidecar::{NO_SAMPLES, Sidecar};

/// What must not be stored is looked for in pieces of so many bytes.
const PIECE_BYTES: usize = 8;

#[test]
fn no_secret_of_the_corpus_is_in_the_database_and_no_lookalike_is_missing() {
    let dir = TempDir::new("redaction");
    let db = dir.join("trace.db");
    let env = [NO_SAMPLES, ("TRACE_CAPTURE_TEXT", "all"), ("TRACE_LOG", "debug")];
    let (secrets, lookalikes) = (secrets(), lookalikes());
    let sidecar = Sidecar::start(&db, &env);
    let mut client = sidecar.client();
    let texts: Vec<&str> =
        secrets.iter().map(|(text, _)| text.as_str()).chain(lookalikes.iter().map(String::as_str)).collect();
    // Ids are hex, as some secrets are: those of another run could hold a piece of one by chance.
    let mut random = Rng::with_seed(1);
    for text in &texts {
        post_everywhere(&mut client, &mut random, text);
    }
    let refused = client.fetch(&format!("/{}", secrets[0].0)).unwrap();
    assert_eq!(refused.status, 404);
    let health = client.fetch("/health").unwrap();
    let rows = [("llm_traces", 3), ("custom_events", 1), ("error_events", 5)];
    for (table, each) in rows {
        assert_eq!(health.json()["database"]["rows"][table]["stored"], (texts.len() * each) as u64, "{table}");
    }

    // Once with the write-ahead log beside the file, once when all is in the file.
    let mut stored = files_of(&db);
    stored.extend(health.body);
    stored.extend(sidecar.log().into_bytes());
    sidecar.stop();
    stored.extend(files_of(&db));
    let places = places_of_pieces(&stored);
    for (text, parts) in &secrets {
        for part in parts {
            for piece in part.as_bytes().windows(PIECE_BYTES) {
                assert!(!places.contains_key(piece), "{:?} of {text:?} is stored", String::from_utf8_lossy(piece));
            }
        }
    }
    let columns = columns_of(&db);
    for text in &lookalikes {
        let missing: Vec<&str> =
            columns.iter().filter(|(_, texts)| !texts.contains(text)).map(|(name, _)| *name).collect();
        assert!(missing.is_empty(), "{text:?} is not in {missing:?}");
    }
}

/// Posts the text in every field of every door that takes text: three calls, an event, an error, a span
/// that is no call, and two records of logs.
fn post_everywhere(client: &mut Client, random: &mut Rng, text: &str) {
    let nested = json!({ "list": [text, { "of": text }], text: 1, "a": { "b": text } });
    let call = json!({
        "trace_id": uuid(random),
        "model": text, "provider": text, "response_model": text, "operation": text, "agent_name": text, "agent_id": text,
        "user_id": text, "conversation_id": text, "response_id": text, "finish_reason": text, "channel": text, "trigger": text,
        "service_name": text, "input_text": text, "output_text": [{ "role": "assistant", "content": text }],
        "error_type": text, "error_message": text, "attributes": { "text": text, "nested": nested },
    });
    let event = json!({ "trace_id": uuid(random), "name": text, "body": text, "data": { "text": text, "nested": nested }, text: text });
    let error = json!({ "trace_id": uuid(random), "message": text, "type": text, "stack": format!("Error\n at {text}"), "component": text, "fingerprint": text,
        "attributes": { "text": text } });
    for (path, body, status) in [("/v1/traces", call, 202), ("/v1/events", event, 202), ("/v1/errors", error, 202)] {
        let answer = client.post(path, "application/json", body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{text}: {:?}", String::from_utf8_lossy(&answer.body));
    }
    let string = |key: &str| json!({ "key": key, "value": { "stringValue": text } });
    let list = json!({ "arrayValue": { "values": [{ "stringValue": text }, { "kvlistValue": { "values": [string("inner")] } }] } });
    let names = [
        "gen_ai.request.model",
        "gen_ai.response.model",
        "gen_ai.provider.name",
        "gen_ai.response.id",
        "gen_ai.conversation.id",
        "gen_ai.agent.name",
        "user.id",
        "gen_ai.input.messages",
        "error.type",
        "openclaw.channel",
        "text",
        text,
    ];
    let mut attributes: Vec<Value> = names.iter().map(|name| string(name)).collect();
    attributes.push(json!({ "key": "gen_ai.output.messages", "value": list }));
    attributes.push(json!({ "key": "list", "value": list }));
    attributes.push(json!({ "key": "gen_ai.operation.name", "value": { "stringValue": "chat" } }));
    let exception =
        json!({ "name": "exception", "attributes": [string("exception.message"), string("exception.stacktrace")] });
    let ignored = json!({ "traceId": hex(random, 16), "spanId": hex(random, 8), "name": text });
    let mut span = |status: Value| {
        json!({
            "traceId": hex(random, 16), "spanId": hex(random, 8), "name": text, "startTimeUnixNano": "1795000000000000000",
            "endTimeUnixNano": "1795000000500000000", "attributes": attributes, "events": [exception], "status": status,
        })
    };
    let spans = json!([span(json!({ "code": 2, "message": text })), span(json!({ "code": 2 })), ignored]);
    let body = json!({ "resourceSpans": [{
        "resource": { "attributes": [string("service.name"), string("host.name")] }, "scopeSpans": [{ "spans": spans }]
    }] });
    let answer = client.post("/v1/traces", "application/json", body.to_string().as_bytes()).unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]), "{text}");
    let record = |body: Value| json!({ "timeUnixNano": "1795000000000000000", "severityNumber": 17, "body": body, "attributes": [string("text"), string(text)] });
    let records = json!([record(json!({ "stringValue": text })), record(list)]);
    let body = json!({ "resourceLogs": [{
        "resource": { "attributes": [string("service.name")] }, "scopeLogs": [{ "scope": { "name": text }, "logRecords": records }]
    }] });
    let answer = client.post("/v1/logs", "application/json", body.to_string().as_bytes()).unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]), "{text}");
}

/// The texts with a secret, and what of each must not be stored.
fn secrets() -> Vec<(String, Vec<String>)> {
    let lines = include_str!("../data/redaction/secrets").lines();
    let secrets = lines.map(|line| {
        let text = line.split_once('\t').unwrap().1.replace("{}", "").replace('⏎', "\n");
        let parts = text.split("<<").skip(1).map(|rest| rest.split_once(">>").unwrap().0.to_owned()).collect();
        (text.replace("<<", "").replace(">>", ""), parts)
    });
    secrets.collect()
}

fn lookalikes() -> Vec<String> {
    include_str!("../data/redaction/lookalikes").lines().map(|line| line.replace('⏎', "\n")).collect()
}

/// The database and its write-ahead log, as bytes.
fn files_of(db: &Path) -> Vec<u8> {
    let log = db.with_extension("db-wal");
    [fs::read(db).unwrap(), fs::read(log).unwrap_or_default()].concat()
}

fn places_of_pieces(bytes: &[u8]) -> HashMap<&[u8], usize> {
    bytes.windows(PIECE_BYTES).enumerate().map(|(at, piece)| (piece, at)).collect()
}

/// Of columns that take a text as it is: what is stored in them.
fn columns_of(db: &Path) -> Vec<(&'static str, Vec<String>)> {
    let db = read_only(db);
    let queries = [
        ("input_text", "SELECT input_text FROM llm_traces WHERE source = 'native'"),
        ("otlp input_text", "SELECT input_text FROM llm_traces WHERE source <> 'native'"),
        ("error_message", "SELECT error_message FROM llm_traces"),
        ("model", "SELECT request_model FROM llm_traces"),
        ("attributes", "SELECT attributes ->> 'text' FROM llm_traces WHERE source = 'native'"),
        ("nested", "SELECT attributes ->> '$.nested.list[1].of' FROM llm_traces WHERE source = 'native'"),
        ("otlp attributes", "SELECT attributes ->> 'text' FROM llm_traces WHERE source <> 'native'"),
        ("otlp list", "SELECT attributes ->> '$.list[0]' FROM llm_traces WHERE source <> 'native'"),
        ("body", "SELECT body FROM custom_events"),
        ("message", "SELECT message FROM error_events"),
    ];
    let texts = |query| -> Vec<String> {
        let mut statement = db.prepare(query).unwrap();
        statement
            .query_map([], |row| row.get::<_, Option<String>>(0))
            .unwrap()
            .filter_map(|text| text.unwrap())
            .collect()
    };
    queries.map(|(name, query)| (name, texts(query))).into()
}

fn uuid(random: &mut Rng) -> String {
    uuid::Uuid::from_u128(random.u128(1..)).to_string()
}

fn hex(random: &mut Rng, bytes: usize) -> String {
    (0..bytes).map(|_| format!("{:02x}", random.u8(1..))).collect()
}
