//! Who is let in, and what is answered.

use openclaw_trace::clock::{Clock, day_start};
use openclaw_trace::event::{Coverage, PicoUsd};
use serde_json::json;

use super::{assert_serves, event, gzip, otlp, post, post_event};
use crate::support::otlp::spans;
use crate::support::server::{Server, Setup, until};

const ID: &str = "0192f3a0-0000-7000-8000-000000000001";

#[test]
fn d21_only_this_machine_may_ask_and_only_known_methods() {
    let server = Server::start(Setup { vars: &[("TRACE_ALLOWED_HOSTS", "trace.internal")], ..Setup::default() });
    let health =
        |host: &str, more: &str| server.ask(format!("GET /health HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")).status;
    for host in ["localhost", "127.0.0.1:9090", "[::1]", "trace.internal"] {
        assert_eq!(health(host, ""), 200, "{host}");
    }
    assert_eq!(health("evil.example", ""), 403);
    assert_eq!(health("localhost", "Origin: http://evil.example\r\n"), 403);
    assert_eq!(health("localhost", "Origin: null\r\n"), 403);
    assert_eq!(health("localhost", "Origin: http://localhost:3000\r\n"), 200);
    let absolute = |host: &str| server.ask(format!("GET http://{host}/health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!((absolute("127.0.0.1").status, absolute("evil.example").status), (200, 403));
    let answer = server.ask("get /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn d22_head_is_answered_without_a_body() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.head();
    assert_eq!(head.status, 200);
    assert_ne!(head.header("content-length"), Some("0"));
    client.send(post_event());
    assert_eq!(client.answer().status, 202);
}

#[test]
fn a_native_client_is_told_of_every_item() {
    let server = Server::start(Setup::default());
    let body = format!(r#"[{{"name":"a","trace_id":"{ID}"}},{{"no":1}},{{"name":"b"}}]"#);
    for duplicates in [0, 1] {
        let answer = server.ask(post("/v1/events", "", &body));
        assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")));
        let receipt = answer.json();
        assert_eq!(
            (receipt["accepted"].as_u64(), receipt["duplicates"].as_u64()),
            (Some(2 - duplicates), Some(duplicates))
        );
        assert_eq!(receipt["trace_ids"][0], ID);
        assert_eq!(receipt["trace_ids"].as_array().unwrap().len(), 2);
        assert_eq!(
            (receipt["rejected"][0]["index"].as_u64(), &receipt["rejected"][0]["field"]),
            (Some(1), &"name".into())
        );
    }
    let answer = server.ask(post("/v1/events", "", r#"[{"no":1}]"#));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &"invalid".into()));
    assert_eq!(server.ask(post("/v1/events", "", "{")).status, 400);
    let ledger = server.stats.ledger();
    assert_eq!((ledger.offered, ledger.stored, ledger.duplicate, ledger.invalid), (8, 3, 1, 4));
}

#[test]
fn the_same_idempotency_key_stores_once() {
    let server = Server::start(Setup::default());
    for _ in 0..2 {
        let answer = server.ask(post("/v1/events", "Idempotency-Key: k\r\n", r#"[{"name":"a"},{"name":"b"}]"#));
        assert_eq!(answer.status, 202);
    }
    assert_eq!(server.stored(), 2);
}

#[test]
fn an_empty_idempotency_key_is_none() {
    let server = Server::start(Setup::default());
    for _ in 0..2 {
        let answer = server.ask(post("/v1/events", "Idempotency-Key: \r\n", &event()));
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &1.into()));
    }
    assert_eq!(server.stored(), 2);
}

#[test]
fn an_otlp_client_is_answered_in_its_own_encoding() {
    let server = Server::start(Setup::default());
    let protobuf = "application/x-protobuf";
    for path in ["/v1/traces", "/otlp/v1/traces"] {
        let ask = |letters: &str| server.ask(otlp(path, protobuf, "", &spans(letters)));
        let whole = ask("ss");
        assert_eq!((whole.status, whole.header("content-type"), whole.body.len()), (200, Some(protobuf), 0));
        let partial = ask("srr");
        // partial_success { rejected_spans: 2, error_message }
        assert_eq!((partial.status, &partial.body[2..4]), (200, &[8, 2][..]));
        assert!(String::from_utf8_lossy(&partial.body).contains("16 bytes"));
        let none = ask("rr");
        assert_eq!((none.status, none.header("content-type")), (400, Some(protobuf)));
        assert_eq!(server.ask(otlp(path, protobuf, "", b"!")).status, 400);
        assert_eq!(server.ask(otlp(path, protobuf, "", b"")).status, 200);
        assert_eq!(ask("iii").status, 200);
    }
    assert_eq!(server.stats.ignored_names().get("ignored.span"), Some(&6));
    let logs = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]}]}]}"#;
    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a.b"},{"name":"c"}]}]}]}"#;
    for (path, signal, body) in [
        ("/v1/logs", &server.stats.signals.otlp_logs, logs),
        ("/otlp/v1/metrics", &server.stats.signals.otlp_metrics, metrics),
    ] {
        let answer = server.ask(otlp(path, "application/json; charset=utf-8", "", body.as_bytes()));
        assert_eq!(
            (answer.status, answer.text(), answer.header("content-type")),
            (200, "{}", Some("application/json"))
        );
        assert_eq!((signal.requests.total(), signal.records.total()), (1, 2));
    }
}

#[test]
fn an_otlp_client_whose_encoding_is_not_known_is_told_as_the_collector_tells_it() {
    let server = Server::start(Setup::default());
    let answer = server.ask(otlp("/v1/logs", "text/xml", "", b"<a/>"));
    assert_eq!(answer.status, 415);
    assert_eq!(answer.text(), "415 unsupported media type, supported: [application/json, application/x-protobuf]");
    let answer = server.ask(otlp("/v1/logs", "", "", b"<a/>"));
    assert_eq!((answer.status, answer.text().starts_with("415 ")), (415, true));
    let answer = server.ask("GET /v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(answer.text(), "405 method not allowed, supported: [POST]");
}

#[test]
fn a_bad_span_of_json_is_a_partial_success_and_nothing_but_bad_spans_is_a_400() {
    let server = Server::start(Setup::default());
    let ids = r#""traceId":"01010101010101010101010101010101","spanId":"0202020202020202""#;
    let bad = format!(r#"{{{ids},"status":{{"code":"STATUS_CODE_ERROR"}}}}"#);
    let ask = |spans: &str| {
        let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
        server.ask(otlp("/v1/traces", "application/json", "", body.as_bytes()))
    };
    let partial = ask(&format!(r#"{bad},{{{ids},"name":"openclaw.model.call"}}"#));
    assert_eq!(partial.status, 200);
    assert!(partial.text().contains(r#""rejectedSpans":"1""#), "{}", partial.text());
    assert!(partial.text().contains("enums are numbers"), "{}", partial.text());
    assert_eq!(ask(&bad).status, 400);
}

#[test]
fn the_shared_path_tells_native_from_otlp_json() {
    let server = Server::start(Setup::default());
    let native = server.ask(post("/v1/traces", "", r#"{"model":"m"}"#));
    assert_eq!(native.status, 202);
    let otlp = server.ask(post("/v1/traces", "", r#"{"resourceSpans":[]}"#));
    assert_eq!((otlp.status, otlp.text()), (200, "{}"));
    let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(1 << 20));
    assert_eq!(server.ask(post("/v1/traces", "", &large)).status, 413);
    assert_eq!(server.ask(post("/v1/traces", "", &format!(r#"{{"resourceSpans":[],{}"#, &large[1..]))).status, 200);
}

#[test]
fn a_body_without_a_type_must_look_like_json() {
    let server = Server::start(Setup::default());
    let untyped = |body: &str| {
        let length = body.len();
        server
            .ask(format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"))
            .status
    };
    assert_eq!(untyped(" \n{\"name\":\"a\"}"), 202);
    assert_eq!(untyped("name=a"), 415);
    assert_eq!(server.ask(otlp("/v1/events", "text/plain", "", b"{}")).status, 415);
    assert_eq!(server.ask(post("/v1/events", "Content-Encoding: br\r\n", "{}")).status, 415);
    for (media, found) in [
        ("application/x-www-form-urlencoded; charset=utf-8", "application/x-www-form-urlencoded"),
        (&"x".repeat(1000), &*"x".repeat(64)),
    ] {
        let message = format!("expected Content-Type: application/json, got \"{found}\"");
        let answer = server.ask(otlp("/v1/traces", media, "", b"a=b"));
        assert_eq!((answer.status, &answer.json()["error"]["message"]), (415, &message.into()));
    }
    let answer = server.ask("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=b");
    let message = "expected Content-Type: application/json, got none, and a body that is not JSON";
    assert_eq!((answer.status, &answer.json()["error"]["message"]), (415, &message.into()));
}

#[test]
fn gzip_is_taken_everywhere_and_bounded() {
    let server = Server::start(Setup::default());
    let header = "Content-Encoding: gzip\r\n";
    let json = "application/json";
    let members = [gzip(b"[{\"name\":"), gzip(b"\"a\"}]")].concat();
    assert_eq!(server.ask(otlp("/v1/events", json, header, &members)).status, 202);
    assert_eq!(server.ask(otlp("/v1/traces", "application/x-protobuf", header, &gzip(&spans("s")))).status, 200);
    let bomb = gzip(&vec![b' '; (8 << 20) + 1]);
    assert_eq!(server.ask(otlp("/v1/events", json, header, &bomb)).status, 413);
    assert_eq!(server.ask(otlp("/v1/events", json, header, b"{}")).status, 400);
    // On the wire as on the wire of any native body, inflated up to 8 MiB, on every path.
    let event = |key: &str, text: &str| gzip(format!(r#"{{"{key}":"{text}"}}"#).as_bytes());
    let mut random = fastrand::Rng::with_seed(5);
    let noise: String = (0..2 << 20).map(|_| random.alphanumeric()).collect();
    for (path, key) in [("/v1/events", "name"), ("/v1/traces", "model")] {
        assert_eq!(server.ask(otlp(path, json, header, &event(key, &"a".repeat(7 << 20)))).status, 202);
        assert_eq!(server.ask(otlp(path, json, header, &event(key, &noise))).status, 413);
    }
    until("all bodies are gone", || server.stats.http.body_bytes.value() == 0);
}

#[test]
fn the_token_opens_every_route_but_health_needs_none() {
    let server = Server::start(Setup { vars: &[("TRACE_TOKEN", "secret")], ..Setup::default() });
    let with = |authorization: &str| server.ask(post("/v1/events", authorization, &event()));
    assert_eq!(with("Authorization: Bearer secret\r\n").status, 202);
    assert_eq!(with("Authorization: bearer secret\r\n").status, 202);
    for wrong in ["", "Authorization: secret\r\n", "Authorization: Bearer secre\r\n", "Authorization: Bearer \r\n"] {
        let answer = with(wrong);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{wrong}");
    }
    assert_eq!(server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
}

#[test]
fn queued_acknowledges_before_the_commit() {
    let server = Server::start(Setup { vars: &[("TRACE_ACK", "queued")], ..Setup::default() });
    server.let_writer_run(false);
    assert_serves(&server);
    assert_eq!(server.stored(), 0);
}

#[test]
fn health_tells_what_today_costs_and_whether_that_is_all() {
    let server = Server::start(Setup { vars: &[("TRACE_BUDGET_DAY_USD", "2")], ..Setup::default() });
    let health = || server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").json();
    {
        let mut store = server.stats.store();
        store.usage.day_ms = day_start(Clock::real().now_ms());
        (store.usage.day_cost, store.usage.day_unpriced) = (PicoUsd(2_500_000_000_000), 3);
        let metrics_alone = Coverage { service_name: "gateway".into(), reported_tokens: 900, ..Coverage::default() };
        store.usage.coverage = vec![metrics_alone];
    }
    let (spend, budget) = (&health()["spend"], &health()["budget"]);
    assert_eq!((&spend["cost_usd"], &spend["unpriced"]), (&json!(2.5), &json!(3)), "{spend}");
    let coverage = &spend["coverage"][0];
    assert_eq!((&coverage["ratio"], &coverage["verdict"]), (&json!(0.0), &json!("incomplete")), "{coverage}");
    assert!(coverage["reason"].as_str().unwrap().contains("metrics arrived and no traces"), "{coverage}");
    assert_eq!((&budget["percent"], &budget["crossed"]), (&json!(125.0), &json!(true)), "{budget}");

    // What was known of yesterday is nothing of today.
    server.stats.store().usage.day_ms -= 1;
    let (spend, budget) = (&health()["spend"], &health()["budget"]);
    assert_eq!((&spend["cost_usd"], &spend["unpriced"], &budget["spent_usd"]), (&json!(0.0), &json!(0), &json!(0.0)));
}
