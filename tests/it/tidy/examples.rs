//! That the examples of docs/wire.md are true: its requests are posted, its answers asked for, its push is compared with one,
//! and its SQL is run.

use openclaw_trace::wire::push::receipt;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::docs::{page, section};
use crate::support::dir::TempDir;
use crate::support::server::{Server, Setup};
use crate::support::sidecar::Sidecar;
use crate::support::sink::Sink;

/// Where the docs say that the sidecar listens.
const ADDRESS: &str = "http://127.0.0.1:9090";

#[test]
fn every_request_of_the_docs_is_taken() {
    let server = Server::start(Setup::default());
    let wire = page("docs/wire.md");
    let mut taken = 0;
    for command in blocks(&wire, "sh").into_iter().filter(|block| block.starts_with("curl ")) {
        let (_, rest) = command.split_once(ADDRESS).unwrap_or_else(|| panic!("not to {ADDRESS}: {command}"));
        let path = rest.split_whitespace().next().unwrap();
        let Some(body) = argument(command, "-d") else { continue };
        let media = argument(command, "-H").unwrap();
        let answer = server.ask(format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{media}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(1)), "{command}\n{answer:?}");
        taken += 1;
    }
    assert!(taken > 0, "docs/wire.md shows no request any more");
}

#[test]
fn the_answers_of_the_docs_are_those_that_come() {
    let wire = page("docs/wire.md");
    let answers = blocks(section(&wire, "### Answers"), "json");
    let [receipt, refusal] = answers.as_slice() else { panic!("these are not the two answers: {answers:?}") };
    let server = Server::start(Setup::default());
    let mut client = server.client();
    let mut post = |items: Value| {
        client.send(crate::http::post("/v1/traces", "", &items.to_string()));
        client.answer().json()
    };
    let known = json!({"model": "m", "id": "0192f0c1-7d4e-7abc-8def-0123456789ab"});
    post(known.clone());
    let wrong = json!({"model": "m", "input_tokens": -1});
    assert_like(receipt, &post(json!([known, {"model": "m"}, {"model": "m"}, wrong])));
    assert_like(refusal, &post(wrong));
}

#[test]
fn a_push_is_as_the_docs_show_it() {
    let wire = page("docs/wire.md");
    let shown = blocks(section(&wire, "## Push"), "");
    let (head, body) = shown[0].split_once("\n\n").unwrap();
    let sink = Sink::start(Vec::new());
    let dir = TempDir::new("examples");
    let url = sink.url();
    let env = [("TRACE_PUSH_ENDPOINT", url.as_str()), ("TRACE_PUSH_TOKEN", "t"), ("TRACE_PUSH_INTERVAL", "24h")];
    let sidecar = Sidecar::start(&dir.path().join("trace.db"), &env);
    let answer = sidecar.client().post("/v1/events", "application/json", br#"{"name":"a"}"#).unwrap();
    assert_eq!(answer.status, 202);
    sidecar.stop();
    let seen = sink.wait(|seen| !seen.is_empty());
    let mut headers: Vec<String> =
        head.lines().skip(1).map(|line| line.split(':').next().unwrap().to_lowercase()).collect();
    let sent = seen[0].head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut sent: Vec<String> = sent.map(|(name, _)| name.to_lowercase()).collect();
    // What every client of HTTP sends is not shown.
    sent.retain(|name| !["host", "accept"].contains(&name.as_str()));
    headers.sort();
    sent.sort();
    assert_eq!(sent, headers);
    let (shown, sent) = (body.replace("{…}", "{}"), seen[0].json());
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((keys(&sent), keys(&sent["agent"])), (keys(&shown), keys(&shown["agent"])));
    assert_eq!(sent["schema_version"], shown["schema_version"]);
}

#[test]
fn the_receipt_of_the_docs_is_one_that_the_push_understands() {
    let wire = page("docs/wire.md");
    let shown = blocks(section(&wire, "## Push"), "json");
    let receipt = receipt(shown[0].as_bytes()).unwrap();
    assert_eq!((receipt.rows(), receipt.rejected.unnamed), (Some(500), 0));
    let refused = &receipt.rejected.rows[0];
    assert_eq!((refused.table.as_deref(), refused.retryable), (Some("llm_traces"), Some(false)));
}

#[test]
fn the_sql_for_receivers_keeps_a_row_once() {
    let wire = page("docs/wire.md");
    let statements = blocks(section(&wire, "## Push"), "sql");
    let (create, insert) = statements[0].split_once(";\n").unwrap();
    let database = Connection::open_in_memory().unwrap();
    database.execute(create, []).unwrap();
    for _ in 0..2 {
        database.execute(insert, ["id", "instance", "{}"]).unwrap();
    }
    let rows: i64 = database.query_row("SELECT count(*) FROM llm_traces", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

/// The code blocks in that language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = text.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks.filter(|(name, _)| *name == language).map(|(_, body)| body).collect()
}

/// What stands between quotes after an option of a command.
fn argument<'a>(command: &'a str, option: &str) -> Option<&'a str> {
    command.split(&format!(" {option} '")).nth(1)?.split('\'').next()
}

/// Asserts that an answer is what was shown: a text that ends in … may go on, and `rejected` may be left out.
fn assert_like(shown: &str, answer: &Value) {
    let shown: Value = serde_json::from_str(shown).unwrap();
    assert!(is_like(&shown, answer), "shown is {shown}\ncame  {answer}");
}

fn is_like(shown: &Value, came: &Value) -> bool {
    match (shown, came) {
        (Value::String(shown), Value::String(came)) => match shown.strip_suffix('…') {
            Some(start) => came.starts_with(start),
            None => shown == came,
        },
        (Value::Array(shown), Value::Array(came)) => {
            shown.len() == came.len() && shown.iter().zip(came).all(|(shown, came)| is_like(shown, came))
        }
        (Value::Object(shown), Value::Object(came)) => {
            let is_shown = |name: &String| shown.contains_key(name) || name == "rejected";
            came.keys().all(is_shown)
                && shown.iter().all(|(name, shown)| came.get(name).is_some_and(|came| is_like(shown, came)))
        }
        (shown, came) => shown == came,
    }
}
