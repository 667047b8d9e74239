//! Who may ask, where, and that the real program answers what its `/health` says.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::dir::TempDir;
use crate::support::receiver::{Act, Receiver, Request};
use crate::support::server::{Server, Setup};
use crate::support::sidecar::{NO_SAMPLES, Sidecar, run, until};

use super::shown::{Family, read};

fn get(path: &str, host: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
}

fn sum(families: &[Family], name: &str, label: Option<(&str, &str)>) -> f64 {
    let family = families.iter().find(|family| family.name == name).unwrap();
    let is_wanted = |labels: &std::collections::BTreeMap<String, String>| {
        label.is_none_or(|(name, value)| labels.get(name).is_some_and(|text| text == value))
    };
    let values = family.samples.iter().filter(|sample| is_wanted(&sample.labels));
    values.map(|sample| sample.value.parse::<f64>().unwrap()).sum()
}

#[test]
fn both_pages_need_the_token_at_the_first_port_and_answer_head() {
    let server = Server::start(Setup { vars: &[("TRACE_TOKEN", "secret")], ..Setup::default() });
    const TOKEN: &str = "Authorization: Bearer secret\r\n";
    for (path, media) in
        [("/metrics", "text/plain; version=0.0.4; charset=utf-8"), ("/debug/stats", "application/json")]
    {
        assert_eq!(server.ask(get(path, "localhost", "")).status, 401);
        assert_eq!(server.ask(get(path, "evil.example", TOKEN)).status, 403);
        let answer = server.ask(get(path, "localhost", TOKEN));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(media)));
        let mut client = server.client();
        client.send(get(path, "localhost", TOKEN).replace("GET", "HEAD"));
        let head = client.head();
        assert!(head.status == 200 && head.header("content-length").unwrap().parse::<usize>().unwrap() > 1000);
        client.send(get(path, "localhost", TOKEN));
        assert_eq!(client.answer().status, 200, "HEAD had no body");
        let post = server.ask(get(path, "localhost", TOKEN).replace("GET", "POST"));
        assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
        assert_eq!(server.ask_otlp(get(path, "localhost", TOKEN)).status, 404);
    }
}

#[test]
fn the_port_for_scrapers_has_two_pages_for_whoever_asks_and_nothing_else() {
    let server = Server::start(Setup { vars: &[("TRACE_TOKEN", "secret")], ..Setup::default() });
    let ask = |request: String| server.ask_metrics(request);
    for page in ["/metrics", "/health"] {
        for host in ["localhost", "127.0.0.1:9091", "[fdaa::1]:9091"] {
            assert_eq!(ask(get(page, host, "")).status, 200, "{host}");
            assert_eq!(ask(get(page, host, "Origin: http://localhost\r\n")).status, 403, "a page in a browser, {host}");
        }
        // The test asks 127.0.0.1, as a page would whose name was made to point there.
        assert_eq!(ask(get(page, "rebound.example", "")).status, 403);
    }
    for path in ["/", "/debug/stats", "/openapi.json", "/v1/summary", "/v1/traces", "/v1/metrics", "/metrics/"] {
        assert_eq!(ask(get(path, "localhost", "Authorization: Bearer secret\r\n")).status, 404, "{path}");
    }
    let post = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}";
    assert_eq!(ask(post.to_owned()).status, 404);
    for path in ["/metrics", "/health"] {
        let post = ask(get(path, "localhost", "").replace("GET", "POST"));
        assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    }
    assert_eq!(server.stored(), 0);
}

#[test]
fn scrapers_that_hold_all_their_connections_keep_no_event_out() {
    let server = Server::with_limits(|limits| limits.connections_max = 20);
    let mut held: Vec<_> = (0..16).map(|_| server.metrics_client()).collect();
    for client in &mut held {
        client.send(get("/metrics", "localhost", ""));
        assert_eq!(client.answer().status, 200);
    }
    for _ in 0..10 {
        let answer = server.ask_metrics(get("/metrics", "localhost", ""));
        assert_eq!((answer.status, answer.header("retry-after"), answer.closes()), (503, Some("1"), true));
    }
    let event = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}";
    for _ in 0..4 {
        let mut client = server.client();
        client.send(event);
        assert_eq!(client.answer().status, 202);
    }
    assert_eq!(server.stats.http.connections_refused.total(), 10);
    held.pop();
    until("there is room for a scraper", || server.ask_metrics(get("/metrics", "localhost", "")).status == 200);
}

#[test]
fn what_scrapers_read_takes_none_of_the_memory_for_bodies() {
    let server = Server::with_limits(|limits| limits.bodies_bytes_max = 5000);
    assert_eq!(server.ask_metrics(get("/metrics", "localhost", "")).status, 200);
    let server = Server::with_limits(|limits| limits.scraped_bytes_max = 5000);
    assert_eq!(server.ask_metrics(get("/metrics", "localhost", "")).status, 503);
    assert_eq!(server.ask(get("/metrics", "localhost", "")).status, 200);
}

#[test]
fn a_page_that_nobody_reads_takes_of_the_memory_for_bodies() {
    let server = Server::with_limits(|limits| limits.bodies_bytes_max = 5000);
    for path in ["/metrics", "/debug/stats"] {
        let answer = server.ask(get(path, "localhost", ""));
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{path}");
    }
}

#[test]
fn metrics_say_what_health_says_and_what_was_posted() {
    let dir = TempDir::new("metrics");
    let db = dir.join("trace.db");
    let env = [("TRACE_METRICS_INTERVAL", "1s"), ("TRACE_METRICS_BIND", "127.0.0.1:0")];
    let sidecar = Sidecar::start(&db, &env);
    let line = sidecar.wait_line("listening for scrapers alone");
    let mut scraper = Client::connect(line.split_once("addr=").unwrap().1.parse().unwrap()).unwrap();
    let call = r#"{"trace_id": "018f3b1e-7c00-7000-8000-000000000001", "provider": "p", "model": "m", "input_tokens": 5,
                  "cost_usd": 0.5, "latency_ms": 700, "ttft_ms": 20}"#;
    let odd = r#"{"model": "a\"b\\c\nd", "output_tokens": 7, "status": "error"}"#;
    let mut client = sidecar.client();
    let mut post = |path: &str, body: &str| client.post(path, "application/json", body.as_bytes()).unwrap().status;
    assert_eq!(post("/v1/traces", &format!("[{call}, {odd}, {call}]")), 202);
    assert_eq!(post("/v1/traces", call), 202);
    assert_eq!(post("/v1/traces", r#"{"model": "bad", "input_tokens": -1}"#), 400);
    assert_eq!(post("/v1/errors", r#"{"message": "it broke", "severity": "fatal", "component": "db"}"#), 202);
    sidecar.wait_health("two samples", |_, health| {
        health["database"]["rows"]["system_metrics"]["stored"].as_i64().unwrap() > 1
    });
    // A sample may come between the two questions.
    let mut fetch = |path: &str| scraper.fetch(path).unwrap();
    let (families, health) = crate::support::sidecar::wait_until("the same at both", || {
        let before = fetch("/health").json();
        let text = String::from_utf8(fetch("/metrics").body).unwrap();
        let health = fetch("/health").json();
        (before["events"] == health["events"]).then(|| (read(&text), health))
    });
    for (name, value) in [
        ("offered", &health["events"]["offered"]),
        ("stored", &health["events"]["stored"]),
        ("duplicate", &health["events"]["duplicate"]),
        ("invalid", &health["events"]["invalid"]),
        ("ignored", &health["events"]["ignored"]),
    ] {
        let name = format!("openclaw_trace_events_{name}_total");
        assert_eq!(sum(&families, &name, None), value.as_f64().unwrap(), "{name}");
    }
    assert_eq!(sum(&families, "openclaw_trace_events_duplicate_total", None), 2.0);
    let calls = |label| sum(&families, "openclaw_trace_llm_calls_total", Some(label));
    assert_eq!((calls(("model", "m")), calls(("model", "a\"b\\c\nd")), calls(("model", "bad"))), (1.0, 1.0, 0.0));
    assert_eq!((calls(("provider", "(none)")), calls(("status", "error"))), (1.0, 1.0));
    assert_eq!(sum(&families, "openclaw_trace_llm_cost_usd_total", None), 0.5);
    assert_eq!(sum(&families, "openclaw_trace_llm_unpriced_calls_total", None), 1.0);
    assert_eq!(sum(&families, "openclaw_trace_error_events_total", Some(("severity", "fatal"))), 1.0);
    assert_eq!(sum(&families, "openclaw_trace_spend_today_usd", None), health["spend"]["cost_usd"].as_f64().unwrap());
    for family in families.iter().filter(|family| family.name.starts_with("process_")) {
        assert!(sum(&families, &family.name, None) >= 0.0 && family.samples.len() == 1, "{family:?}");
    }
    assert!(sum(&families, "openclaw_trace_container_sample_interval_seconds", None) >= 0.9);
    assert!(sum(&families, "openclaw_trace_queue_events_limit", None) > 1.0);
    assert!(sum(&families, "openclaw_trace_http_connections_limit", None) > 1.0);
    assert_eq!(sum(&families, "openclaw_trace_push_enabled", None), 0.0);
    let sum_of_codes = sum(&families, "openclaw_trace_http_requests_total", None);
    assert!(sum_of_codes >= 6.0 && sum_of_codes < health["http"]["requests"].as_f64().unwrap(), "{sum_of_codes}");
    sidecar.stop();
}

#[test]
fn the_backlog_has_the_age_of_its_oldest_row_until_the_remote_has_it() {
    let dir = TempDir::new("metrics-backlog");
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", refusing.local_addr().unwrap());
    drop(refusing);
    let env = [NO_SAMPLES, ("TRACE_PUSH_ENDPOINT", url.as_str()), ("TRACE_PUSH_INTERVAL", "1s")];
    let sidecar = Sidecar::start(&dir.join("trace.db"), &env);
    let age = || {
        let text = String::from_utf8(sidecar.client().fetch("/metrics").unwrap().body).unwrap();
        let families = read(&text);
        let unsynced = sum(&families, "openclaw_trace_db_rows_unsynced", None);
        (sum(&families, "openclaw_trace_push_backlog_age_seconds", None), unsynced)
    };
    assert_eq!(age(), (0.0, 0.0));
    sidecar.client().post("/v1/events", "application/json", br#"{"name": "a"}"#).unwrap();
    until("a backlog of some age", || matches!(age(), (age, 1.0) if age > 0.05));
    let first = age().0;
    until("it is older", || age().0 > first);
    drop(sidecar);
}

#[test]
fn what_the_remote_does_not_take_is_told_while_events_are_taken_and_after_a_restart() {
    let dir = TempDir::new("metrics-push");
    let db = dir.join("trace.db");
    let receiver = Receiver::start(|_: &Request| Act::status(401));
    let url = receiver.url();
    let env = |interval| [NO_SAMPLES, ("TRACE_PUSH_ENDPOINT", url.as_str()), ("TRACE_PUSH_INTERVAL", interval)];
    let metrics = |sidecar: &Sidecar| {
        let families = read(&String::from_utf8(sidecar.client().fetch("/metrics").unwrap().body).unwrap());
        move |name: &str, label| sum(&families, &format!("openclaw_trace_{name}"), label)
    };
    let sidecar = Sidecar::start(&db, &env("1s"));
    let events = br#"[{"name": "a"}, {"name": "b"}, {"name": "c"}]"#;
    assert_eq!(sidecar.client().post("/v1/events", "application/json", events).unwrap().status, 202);
    let health = sidecar.wait_health("an open circuit", |_, health| health["push"]["circuit"] == "open");
    assert_eq!((&health["status"], &health["push"]["dead_letters"]), (&json!("ok"), &json!(0)));
    assert!(health["push"]["last_error"].as_str().unwrap().contains("TRACE_PUSH_TOKEN"), "{health}");
    assert!(health["push"]["next_attempt"].as_str() > health["push"]["last_failure"].as_str(), "{health}");
    let value = metrics(&sidecar);
    let circuit = |state| value("push_circuit", Some(("state", state)));
    assert_eq!((circuit("closed"), circuit("open"), circuit("half_open")), (0.0, 1.0, 0.0));
    assert!(value("push_next_attempt_timestamp_seconds", None) > value("push_last_failure_timestamp_seconds", None));

    // The last push waits for no circuit.
    receiver.turn(|request: &Request| {
        let named = request.rows.iter().take(2).zip([false, true]);
        Act::Name(200, named.map(|((_, id), again)| json!({"trace_id": id, "retryable": again})).collect())
    });
    sidecar.stop();
    let sidecar = Sidecar::start(&db, &env("24h"));
    let (_, health) = sidecar.health();
    let rows = &health["database"]["rows"]["custom_events"];
    let counts = ["unsynced", "waiting", "dead", "dead_let_go"].map(|name| rows[name].as_i64().unwrap());
    assert_eq!(counts, [1, 1, 1, 0]);
    let push = &health["push"];
    let told = (&push["waiting"], &push["dead_letters"], &push["circuit"], &push["next_attempt"]);
    assert_eq!(told, (&json!(1), &json!(1), &json!("closed"), &Value::Null));
    let value = metrics(&sidecar);
    let events = Some(("table", "custom_events"));
    assert_eq!((value("push_waiting_rows", events), value("dead_letters", events)), (1.0, 1.0));
    assert_eq!((value("push_waiting_rows", None), value("dead_letters", None)), (1.0, 1.0));
    assert_eq!(value("dead_letters_let_go_total", None), 0.0);
    drop(sidecar);
}

#[test]
fn a_place_for_scrapers_that_is_taken_is_a_fault_that_names_it() {
    let dir = TempDir::new("metrics-faults");
    let db = dir.join("trace.db");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let env = [("TRACE_DB_PATH", db.to_str().unwrap()), ("TRACE_PORT", "0"), ("TRACE_METRICS_BIND", &place)];
    let refused = run(&["serve"], &env);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("set TRACE_METRICS_BIND to a free port"), "{refused:?}");
}
