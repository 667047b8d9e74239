//! The OpenAPI file: that it is served, that what it gives as an example is taken, and that what is answered is in it.

use serde_json::Value;

use super::{chunked, event, otlp, post, post_event};
use crate::support::dir::TempDir;
use crate::support::schema::Schemas;
use crate::support::server::{Answer, Server, Setup};
use crate::support::sidecar::{NO_SAMPLES, Sidecar};

const TOKEN: &str = "Authorization: Bearer secret\r\n";

fn ask_for_file(server: &Server) -> Answer {
    server.ask(format!("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n{TOKEN}\r\n"))
}

fn file(server: &Server) -> Value {
    ask_for_file(server).json()
}

/// Asserts that the file lists this answer to `method path`, with its headers and every field of its body.
fn assert_listed(file: &Value, method: &str, path: &str, answer: &Answer) {
    let schemas = Schemas { file };
    let responses = &file["paths"][path][method]["responses"];
    let response = schemas.follow(&responses[answer.status.to_string()]);
    for (header, _) in response["headers"].as_object().into_iter().flatten() {
        assert!(answer.header(&header.to_lowercase()).is_some(), "{header} is missing: {answer:?}");
    }
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let schema = &response["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {path}: {responses} lacks {}", answer.status);
    assert_eq!(schemas.faults(schema, &answer.json()), [""; 0], "{method} {path}: {answer:?}");
}

#[test]
fn the_openapi_file_is_served_as_it_is_to_whoever_has_the_token() {
    let server = Server::start(Setup { vars: &[("TRACE_TOKEN", "secret")], ..Setup::default() });
    let answer = ask_for_file(&server);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.text(), include_str!("../../../docs/openapi.json"));
    let with =
        |method: &str, headers: &str| format!("{method} /openapi.json HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    let mut client = server.client();
    client.send(with("HEAD", TOKEN));
    let head = client.head();
    assert_eq!((head.status, head.header("content-length")), (200, answer.header("content-length")));
    client.send(with("GET", TOKEN));
    assert_eq!(client.answer().body, answer.body, "HEAD had no body");
    assert_eq!(server.ask(with("GET", "")).status, 401);
    let post = server.ask(with("POST", TOKEN));
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(server.ask_otlp(with("GET", TOKEN)).status, 404);
}

#[test]
fn an_openapi_file_that_nobody_reads_takes_of_the_memory_for_bodies() {
    let server = Server::with_limits(|limits| limits.bodies_bytes_max = 30_000);
    let answer = ask_for_file(&server);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
}

#[test]
fn every_example_of_the_openapi_file_is_taken() {
    let server = Server::start(Setup::default());
    let file = file(&server);
    let mut taken = 0;
    for (path, operations) in file["paths"].as_object().unwrap() {
        let examples = &operations["post"]["requestBody"]["content"]["application/json"]["examples"];
        for (name, example) in examples.as_object().into_iter().flatten() {
            let answer = server.ask(post(path, "", &example["value"].to_string()));
            assert_eq!((answer.status, &answer.json()["rejected"]), (202, &Value::Array(Vec::new())), "{path} {name}");
            assert_listed(&file, "post", path, &answer);
            taken += 1;
        }
    }
    assert!(taken > 5, "these are not the examples: {taken}");
    let receipt = &file["components"]["schemas"]["Receipt"];
    assert_eq!(Schemas { file: &file }.faults(receipt, &receipt["example"]), [""; 0]);
}

#[test]
fn every_answer_is_as_the_openapi_file_says() {
    let server = Server::start(Setup { vars: &[("TRACE_TOKEN", "secret")], ..Setup::default() });
    let file = file(&server);
    let some_invalid = r#"[{"name":"a"},{"name":7,"level":"odd"},3]"#;
    let encoded = format!("{TOKEN}Content-Encoding: br\r\n");
    let requests: [(u16, String); 15] = [
        (202, post("/v1/events", TOKEN, &event())),
        (202, post("/v1/events", TOKEN, some_invalid)),
        (202, post("/v1/events", TOKEN, "[]")),
        (400, post("/v1/events", TOKEN, "[{}, {}]")),
        (400, post("/v1/events", TOKEN, "{")),
        (401, post_event()),
        (403, post("/v1/events", "Origin: http://evil.example\r\n", &event())),
        (405, format!("PUT /v1/events HTTP/1.1\r\nHost: localhost\r\n{TOKEN}\r\n")),
        (413, format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{TOKEN}Content-Length: 9999999\r\n\r\n")),
        (415, post("/v1/events", &encoded, &event())),
        (417, post("/v1/events", &format!("{TOKEN}Expect: more\r\n"), &event())),
        (431, format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(9000))),
        (501, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned()),
        (505, "POST /v1/events HTTP/2.0\r\nHost: localhost\r\n\r\n".to_owned()),
        (400, chunked("x").replace("\r\nContent-Type", &format!("\r\n{TOKEN}Content-Type"))),
    ];
    for (status, request) in requests {
        let answer = server.ask(&request);
        assert_eq!(answer.status, status, "{request}");
        assert_listed(&file, "post", "/v1/events", &answer);
    }
    let stats = server.ask(format!("GET /debug/stats HTTP/1.1\r\nHost: localhost\r\n{TOKEN}\r\n"));
    assert_listed(&file, "get", "/debug/stats", &stats);
    let elsewhere = server.ask_otlp("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(elsewhere.status, 404);
    let health = server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(health.status, 200);
    assert_listed(&file, "get", "/health", &health);
}

#[test]
fn every_answer_to_json_on_the_shared_path_is_as_the_openapi_file_says() {
    let server = Server::start(Setup::default());
    let file = file(&server);
    for (status, body) in [
        (202, r#"{"model":"m"}"#),
        (400, r#"{"model":7.5,"status":"odd"}"#),
        (400, "[7]"),
        (400, r#"{"resourceLogs":[]}"#),
    ] {
        let answer = server.ask(otlp("/v1/traces", "application/json", "", body.as_bytes()));
        assert_eq!(answer.status, status, "{body}");
        assert_listed(&file, "post", "/v1/traces", &answer);
    }
    let exported = server.ask(otlp("/v1/traces", "application/json", "", br#"{"resourceSpans":[]}"#));
    assert_eq!((exported.status, exported.text()), (200, "{}"));
}

#[test]
fn a_refusal_for_now_is_as_the_openapi_file_says() {
    let server = Server::with_limits(|limits| limits.bodies_bytes_max = 50_000);
    let file = file(&server);
    let answer = server.ask(otlp("/v1/errors", "application/json", "", &[b' '; 60_000]));
    assert_eq!(answer.status, 503);
    assert_listed(&file, "post", "/v1/errors", &answer);
    let health = server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(health.status, 503, "there is no room for a body of 64 KiB");
    assert_listed(&file, "get", "/health", &health);
}

#[test]
fn a_summary_is_as_the_openapi_file_says() {
    let dir = TempDir::new("openapi");
    let env = [NO_SAMPLES, ("TRACE_BUDGET_DAY_USD", "5")];
    let sidecar = Sidecar::start(&dir.path().join("trace.db"), &env);
    let mut client = sidecar.client();
    let call = br#"{"model": "m", "latency_ms": 5, "cost_usd": 1, "agent_name": "a"}"#;
    assert_eq!(client.post("/v1/traces", "application/json", call).unwrap().status, 202);
    let file = client.fetch("/openapi.json").unwrap().json();
    let get = &file["paths"]["/v1/summary"]["get"]["responses"];
    let schemas = Schemas { file: &file };
    for (query, status) in [("by=model,hour", 200), ("by=agent,day&since=24h", 200), ("by=colour", 400), ("", 200)] {
        let answer = client.fetch(&format!("/v1/summary?{query}")).unwrap();
        assert_eq!(answer.status, status, "{query}");
        let response = schemas.follow(&get[status.to_string()]);
        let schema = &response["content"]["application/json"]["schema"];
        assert_eq!(schemas.faults(schema, &answer.json()), [""; 0], "{query}");
    }
    let health = client.fetch("/health").unwrap();
    assert_eq!(schemas.faults(&file["components"]["schemas"]["Health"], &health.json()), [""; 0]);
}
