//! Dead letters as an operator sees them: listed and exported from the file, and sent again by the sidecar.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::http::post;
use crate::support::dir::TempDir;
use crate::support::schema::Schemas;
use crate::support::server::{Server, Setup};
use crate::support::sidecar::{NO_SAMPLES, Sidecar, run, wait_until};
use crate::support::sink::{Say, Sink};

const GOOD: &str = "0192f0c1-7d4e-7abc-8def-000000000001";
const BAD: &str = "0192f0c1-7d4e-7abc-8def-000000000002";
const WORSE: &str = "0192f0c1-7d4e-7abc-8def-000000000003";

/// A configuration whose own file is not there.
const ELSEWHERE: [(&str, &str); 1] = [("TRACE_DB_PATH", "/nowhere/trace.db")];

/// Refuses two rows for good, one of them with something that no terminal should see.
fn refusing() -> Sink {
    let rejected = json!({"rejected": [
        {"table": "llm_traces", "trace_id": BAD, "code": "invalid_field", "message": "no \u{1b}[31m", "retryable": false},
        {"table": "llm_traces", "trace_id": WORSE, "retryable": false}]});
    Sink::start(vec![Say::Status(200, "", rejected.to_string())])
}

fn sidecar(db: &Path, sink: &Sink) -> Sidecar {
    let url = sink.url();
    let push = [("TRACE_PUSH_ENDPOINT", url.as_str()), ("TRACE_PUSH_INTERVAL", "1s"), ("TRACE_TOKEN", "hush")];
    let sidecar = Sidecar::start(db, &[push[0], push[1], push[2], NO_SAMPLES]);
    let calls = [GOOD, BAD, WORSE].map(|id| json!({"id": id, "model": "m", "cost_usd": 1, "attributes": {"k": [1]}}));
    assert_eq!(ask(&sidecar, "/v1/traces", "hush", &json!(calls).to_string()).0, 202);
    wait_until("two dead letters", || Some(letters(db)).filter(|letters| letters.len() == 2));
    sidecar
}

/// Status and body of a POST with a token.
fn ask(sidecar: &Sidecar, path: &str, token: &str, body: &str) -> (u16, Value) {
    let mut client = sidecar.client();
    client.send(post(path, &format!("Authorization: Bearer {token}\r\n"), body).as_bytes()).unwrap();
    let answer = client.answer().unwrap();
    (answer.status, answer.json())
}

fn dead_letters(args: &[&str], env: &[(&str, &str)]) -> Output {
    run(&[&["dead-letters"], args].concat(), env)
}

fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

fn letters(db: &Path) -> Vec<Value> {
    let listed = dead_letters(&["--json"], &[("TRACE_DB_PATH", db.to_str().unwrap())]);
    serde_json::from_str(stdout(&listed)).unwrap()
}

#[test]
fn dead_letters_are_listed_with_their_cause_and_exported_whole() {
    let (dir, sink) = (TempDir::new("letters"), refusing());
    let db = dir.path().join("trace.db");
    let sidecar = sidecar(&db, &sink);
    let found = letters(&db);
    let destination = format!("http://{}/in", sink.address);
    let mut bad = json!({"table": "llm_traces", "trace_id": BAD, "died_at": found[0]["died_at"], "status": 200,
        "code": "invalid_field", "message": "no  [31m", "attempts": 1, "destination": destination});
    assert_eq!(found[0], bad);
    assert_eq!((&found[1]["trace_id"], &found[1]["code"]), (&json!(WORSE), &Value::Null));

    let path = db.to_str().unwrap();
    let listed = dead_letters(&["list", path], &ELSEWHERE);
    let text = stdout(&listed);
    assert!(text.starts_with(&format!("{destination}\n2")) && text.contains("200 invalid_field: no  [31m\n"), "{text}");
    assert!(text.contains(WORSE) && text.contains("2 dead letters.") && !text.contains(GOOD), "{text}");

    let exported = dead_letters(&["export", path], &ELSEWHERE);
    let lines: Vec<Value> = stdout(&exported).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let pushed = &sink.seen()[0].json()["llm_traces"][1];
    assert_eq!((&pushed["trace_id"], &pushed["attributes"]), (&json!(BAD), &json!({"k": [1]})));
    bad["row"] = pushed.clone();
    assert_eq!(lines[0], bad);

    // From a copy that nobody writes to.
    sidecar.stop();
    assert_eq!(stdout(&dead_letters(&["export", path], &ELSEWHERE)), stdout(&exported));
}

#[test]
fn dead_letters_go_out_again_when_the_sidecar_is_asked() {
    let (dir, sink) = (TempDir::new("letters"), refusing());
    let db = dir.path().join("trace.db");
    let sidecar = sidecar(&db, &sink);
    let url = format!("http://{}", sidecar.address());
    let ours = [("TRACE_TOKEN", "hush"), ("TRACE_DB_PATH", db.to_str().unwrap())];
    let retry = |args: &[&str]| dead_letters(&[&["retry", &url], args].concat(), &ours);

    let unknown = retry(&[GOOD, "x"]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(said.contains(&format!("no dead letter has the trace_id {GOOD}, x")), "{said}");
    assert_eq!(letters(&db).len(), 2);

    assert_eq!(stdout(&retry(&[&BAD.to_uppercase()])), "1 row goes out again with the next push\n");
    let sent =
        |id: &str| sink.wait(|seen| seen.iter().filter(|seen| seen.rows().iter().any(|row| row.1 == id)).count() == 2);
    sent(BAD);
    wait_until("one dead letter", || Some(letters(&db)).filter(|letters| letters.len() == 1));
    assert_eq!(stdout(&retry(&["--all"])), "1 row goes out again with the next push\n");
    sent(WORSE);
    assert_eq!(letters(&db), [Value::Null; 0]);
    let none = dead_letters(&[], &ours);
    assert!(stdout(&none).starts_with("There are no dead letters"), "{none:?}");
    sidecar.wait_health("all is confirmed", |_, health| health["database"]["rows"]["llm_traces"]["unsynced"] == 0);
}

#[test]
fn a_retry_that_nobody_does_says_what_to_change() {
    let (dir, sink) = (TempDir::new("letters"), refusing());
    let db = dir.path().join("trace.db");
    let sidecar = sidecar(&db, &sink);
    let url = format!("http://{}", sidecar.address());
    let port = sidecar.address().port().to_string();
    let told = |args: &[&str], env: &[(&str, &str)], code: i32, wanted: &str| {
        let output = dead_letters(args, &[env, &[("TRACE_DB_PATH", db.to_str().unwrap())]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.contains(wanted)), (Some(code), true), "{args:?}: {said}");
        assert!(!said.contains("hush") && !said.contains("wrong-token"), "{said}");
    };
    told(&["retry", "--all", &url], &[], 1, "answered 401: ");
    told(&["retry", "--all", &url], &[("TRACE_TOKEN", "wrong-token")], 1, "TRACE_TOKEN is another one here");
    told(&["retry", "--all"], &[("TRACE_PORT", "0")], 1, "give its URL");
    told(&["retry"], &[], 64, "expected --all, or the trace_id of each row");
    told(&["retry", "--all", BAD], &[], 64, "expected --all, or the trace_id of each row");
    told(&["bury"], &[], 64, "bury");
    assert_eq!(letters(&db).len(), 2);
    sidecar.stop();
    let ours = [("TRACE_TOKEN", "hush"), ("TRACE_PORT", port.as_str())];
    told(&["retry", "--all"], &ours, 1, "Dead letters are sent again by a sidecar that runs: start it, then ask it");
    told(&["list", dir.path().join("none.db").to_str().unwrap()], &[], 1, "none.db");
}

#[test]
fn every_answer_to_a_wish_is_as_the_openapi_file_says() {
    let (dir, sink) = (TempDir::new("letters"), refusing());
    let sidecar = sidecar(&dir.path().join("trace.db"), &sink);
    let file: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let responses = &file["paths"]["/v1/dead-letters/retry"]["post"]["responses"];
    let schemas = Schemas { file: &file };
    for (token, body, status) in [
        ("hush", r#"{"trace_ids":["x"]}"#, 202),
        ("hush", r#"{"all":true}"#, 202),
        ("hush", r#"{"all":false}"#, 400),
        ("hush", "[]", 400),
        ("", r#"{"all":true}"#, 401),
    ] {
        let (found, answer) = ask(&sidecar, "/v1/dead-letters/retry", token, body);
        assert_eq!(found, status, "{body}: {answer}");
        let schema = &schemas.follow(&responses[status.to_string()])["content"]["application/json"]["schema"];
        assert_eq!(schemas.faults(schema, &answer), [""; 0], "{body}: {answer}");
    }
}

#[test]
fn without_a_remote_nothing_can_be_sent_again() {
    let server = Server::start(Setup::default());
    let answer = server.ask(post("/v1/dead-letters/retry", "", r#"{"all":true}"#));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("TRACE_PUSH_ENDPOINT is not set"), "{answer:?}");
    let get = server.ask("GET /v1/dead-letters/retry HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert_eq!(server.ask_otlp(post("/v1/dead-letters/retry", "", "{}")).status, 404);
}
