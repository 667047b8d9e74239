//! What does not come in, and what it is told.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::{Client, counts, ids, new_dir, push, push_of, request, send, start, taken};
use crate::support::PATIENCE;
use crate::support::sidecar::run;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn head(line: &str, headers: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

#[test]
fn what_is_no_push_is_refused_with_its_reason_and_nothing_of_it_is_stored() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    let good = push_of("i", &["1"]);
    let text = good.to_string();
    let with = |name: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[name] = value;
        request("", body.to_string().as_bytes())
    };
    let json = "Content-Type: application/json\r\n";
    let cases: Vec<(u16, &str, Vec<u8>)> = vec![
        (400, "expected one JSON object", request("", b"")),
        (400, "expected one JSON object", request("", b"[]")),
        (400, "expected one JSON object", request("", &text.as_bytes()[..text.len() - 1])),
        (400, "expected one JSON object", request("", format!("{text}{text}").as_bytes())),
        (
            400,
            "UTF-8",
            request(
                "",
                &text
                    .replace("\"h\"", "\"h\u{e9}\"")
                    .into_bytes()
                    .into_iter()
                    .filter(|b| *b != 0xa9)
                    .collect::<Vec<_>>(),
            ),
        ),
        (400, "this receiver takes 1", with("schema_version", json!(2))),
        (400, "this receiver takes 1", with("schema_version", json!("1"))),
        (400, "batch_id: expected", with("batch_id", json!(null))),
        (400, "batch_id: expected", with("batch_id", json!("x".repeat(201)))),
        (400, "agent: expected an object", with("agent", json!([]))),
        (400, "agent.instance_id", with("agent", json!({"instance_id": ""}))),
        (400, "agent.instance_id", with("agent", json!({"instance_id": 1}))),
        (400, "agent: expected at most", with("agent", json!({"instance_id": "i", "x": "y".repeat(20_000)}))),
        (400, "a table is named", with("Table1", json!([{"trace_id": "1", "timestamp": 1}]))),
        (400, "Idempotency-Key", request("Idempotency-Key: another\r\n", text.as_bytes())),
        (400, "gzip", request("Content-Encoding: gzip\r\n", text.as_bytes())),
        (403, "Host", head("GET /health", "").replace_host("evil.example")),
        (403, "Origin", request("Origin: https://evil.example\r\n", text.as_bytes())),
        (404, "nothing at this path", head("GET /metrics", "")),
        (404, "nothing at this path", head("POST /", "Content-Length: 0\r\n")),
        (404, "nothing at this path", head("POST /v1/traces", "Content-Length: 0\r\n")),
        (405, "supported: [POST]", head("GET /v1/push", "")),
        (405, "supported: [GET, HEAD]", head("POST /health", "Content-Length: 0\r\n")),
        (413, "8388608", head("POST /v1/push", &format!("{json}Content-Length: {}\r\n", (8 << 20) + 1))),
        (413, "too large", request("Content-Encoding: gzip\r\n", &gzip(&vec![b' '; (8 << 20) + 1]))),
        (413, "10000 rows", with("llm_traces", json!(vec![0; 10_001]))),
        (415, "Content-Encoding", request("Content-Encoding: zstd\r\n", text.as_bytes())),
        (415, "text/plain", head("POST /v1/push", "Content-Type: text/plain\r\nContent-Length: 0\r\n")),
        (415, "application/json", head("POST /v1/push", "Content-Length: 0\r\n")),
        (417, "100-continue", head("POST /v1/push", &format!("{json}Expect: more\r\nContent-Length: 0\r\n"))),
        (501, "", head("POST /v1/push", &format!("{json}Transfer-Encoding: gzip\r\n"))),
    ];
    for (status, reason, bytes) in cases {
        let mut client = receiver.client();
        client.send(&bytes).unwrap();
        let answer = client.answer().unwrap();
        let said = answer.json();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        assert_eq!(answer.status, status, "{shown}: {said}");
        assert!(said["error"]["message"].as_str().unwrap().contains(reason), "{reason}: {said}");
        let allow = answer.header("allow");
        assert_eq!(allow.is_some(), status == 405, "{shown}");
    }
    assert_eq!(receiver.health().1["rows"], json!({}));
    let chunks = [
        head("POST /v1/push", &format!("{json}Transfer-Encoding: chunked\r\n")),
        format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len()).into_bytes(),
    ];
    let mut client = receiver.client();
    client.send(&chunks.concat()).unwrap();
    assert_eq!(client.answer().unwrap().status, 200, "the length of a body may be unknown");
    receiver.stop();
    assert_eq!(ids(&db), ["1"]);
}

trait ReplaceHost {
    fn replace_host(self, host: &str) -> Self;
}

impl ReplaceHost for Vec<u8> {
    fn replace_host(self, host: &str) -> Vec<u8> {
        String::from_utf8(self).unwrap().replace("Host: localhost", &format!("Host: {host}")).into_bytes()
    }
}

#[test]
fn a_token_is_asked_for_on_everything_but_health() {
    let dir = new_dir();
    let receiver = start(&dir.join("r.db"), &[("TRACE_TOKEN", "s3cret")]);
    let body = push_of("i", &["1"]).to_string();
    for (headers, status) in [
        ("", 401),
        ("Authorization: Bearer wrong\r\n", 401),
        ("Authorization: Basic s3cret\r\n", 401),
        ("Authorization: Bearer s3cret\r\n", 200),
        ("Authorization: bearer s3cret\r\n", 200),
    ] {
        let mut client = receiver.client();
        client.send(&request(headers, body.as_bytes())).unwrap();
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, status, "{headers}");
        assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Bearer"), "{headers}");
    }
    let (status, health) = receiver.health();
    assert_eq!((status, &health["refused"]), (200, &json!({"401": 3})), "{health}");
    assert!(!receiver.log().contains("s3cret"));
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let ended = run(&["receive"], &[("TRACE_BIND", "0.0.0.0"), ("TRACE_DB_PATH", db.to_str().unwrap())]);
    assert_eq!(ended.status.code(), Some(78), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("set TRACE_TOKEN"), "{ended:?}");
    assert!(!db.exists());
}

#[test]
fn compressed_bodies_are_taken() {
    let dir = new_dir();
    let receiver = start(&dir.join("r.db"), &[]);
    let body = push_of("i", &["1", "2"]).to_string();
    let mut client = receiver.client();
    client.send(&request("Content-Encoding: gzip\r\n", &gzip(body.as_bytes()))).unwrap();
    assert_eq!(counts(&client.answer().unwrap().json()), (2, 0, 0));
    assert_eq!(receiver.health().1["bytes"], body.len(), "as they are when they are read");
}

#[test]
fn many_large_bodies_at_once_are_taken_or_told_to_come_again_within_bounded_memory() {
    /// Of 5 MB each: twice what may be in flight.
    const PUSHERS: u64 = 20;
    const ROWS: u64 = 200;
    /// The bodies in flight, the cache of SQLite, and the program.
    const MEMORY_MAX: u64 = (48 + 8 + 16) << 20;
    let dir = new_dir();
    let receiver = start(&dir.join("r.db"), &[]);
    let address = receiver.address();
    let pushers: Vec<_> = (0..PUSHERS)
        .map(|pusher| {
            thread::spawn(move || {
                let rows: Vec<_> = (0..ROWS)
                    .map(|n| json!({"trace_id": format!("{pusher}-{n}"), "timestamp": 1, "input_text": "x".repeat(25_000)}))
                    .collect();
                let body = push("i", json!({"llm_traces": rows}));
                let (mut refused, asked) = (0, Instant::now());
                loop {
                    let answer = send(&mut Client::connect(address).unwrap(), &body).unwrap();
                    if answer.status == 200 {
                        assert_eq!(counts(&answer.json()), (ROWS, 0, 0));
                        return refused;
                    }
                    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
                    refused += 1;
                    assert!(asked.elapsed() < PATIENCE, "it is never taken");
                }
            })
        })
        .collect();
    let refused: u32 = pushers.into_iter().map(|pusher| pusher.join().unwrap()).sum();
    let health = receiver.health().1;
    assert_eq!(health["rows"], json!({"llm_traces": PUSHERS * ROWS}), "{health}");
    assert_eq!(health["refused"]["503"].as_u64().unwrap_or(0), u64::from(refused));
    let memory = receiver.memory_high_water_bytes();
    assert!(memory < MEMORY_MAX, "{memory}");
}

#[test]
fn a_body_that_ends_early_or_stalls_is_not_stored() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    let whole = request("", push_of("i", &["1"]).to_string().as_bytes());
    let mut cut = std::net::TcpStream::connect(receiver.address()).unwrap();
    cut.write_all(&whole[..whole.len() - 1]).unwrap();
    cut.shutdown(Shutdown::Both).unwrap();
    let mut stalled = receiver.client();
    stalled.send(&whole[..whole.len() - 1]).unwrap();
    assert_eq!(stalled.answer().unwrap().status, 408);
    assert_eq!(counts(&taken(receiver.address(), &push_of("i", &["2"]))), (1, 0, 0));
    receiver.stop();
    assert_eq!(ids(&db), ["2"]);
}
