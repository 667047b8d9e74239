//! What OpenClaw really sent, sent again: its bodies with their own headers, over a socket.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::client::{Answer, Client};
use crate::support::dir::TempDir;
use crate::support::sidecar::{NO_SAMPLES, Sidecar, check_laws};
use crate::support::{PATIENCE, read_only};

/// Each traces body, how many spans it has, and the rows that these are. Made from the bodies with Python's
/// opentelemetry-proto and the rules of OpenClaw's exporter (docs/wire.md), by no code of ours.
///
/// A row is: provider, model, unit, input, output, cache read, cache write and reasoning tokens, latency and
/// time to first byte in ms, status, type of error. `-` is NULL.
const BODIES: &[(&str, u64, &[&str])] = &[
    ("2026.9.6/01-local-completions/006", 4, &["mockai mock-model request 1200 45 1000 0 12 517 100 ok -"]),
    (
        "2026.9.6/02-local-tool/005",
        7,
        &[
            "mockai mock-tool request 1200 45 1000 0 12 411 115 ok -",
            "mockai mock-tool request 1200 45 1000 0 12 447 34 ok -",
        ],
    ),
    (
        "2026.9.6/03-local-err429/007",
        12,
        &[
            "mockai mock-err429 request 0 0 0 0 - 130 124 error Error",
            "mockai mock-err429 request 0 0 0 0 - 29 27 error Error",
            "mockai mock-err429 request 0 0 0 0 - 34 32 error Error",
        ],
    ),
    ("2026.9.6/03-local-err429/009", 4, &["mockai mock-err429 request 0 0 0 0 - 30 28 error Error"]),
    ("2026.9.6/03-local-err429/011", 4, &["mockai mock-err429 request 0 0 0 0 - 42 39 error Error"]),
    ("2026.9.6/03-local-err429/013", 4, &["mockai mock-err429 request 0 0 0 0 - 21 19 error Error"]),
    ("2026.9.6/03-local-err429/016", 4, &["mockai mock-err429 request 0 0 0 0 - 25 23 error Error"]),
    ("2026.9.6/03-local-err429/018", 4, &["mockai mock-err429 request 0 0 0 0 - 35 30 error Error"]),
    ("2026.9.6/03-local-err429/021", 4, &["mockai mock-err429 request 0 0 0 0 - 28 27 error Error"]),
    ("2026.9.6/03-local-err429/023", 4, &["mockai mock-err429 request 0 0 0 0 - 19 17 error Error"]),
    ("2026.9.6/06-anthropic-cache/005", 4, &["mockanth claude-mock request 1250 45 1000 50 - 388 280 ok -"]),
    ("2026.9.6/10-gateway/016", 8, &["mockai mock-model request 1200 45 1000 0 12 675 276 ok -"]),
    ("2026.9.6/10-gateway/019", 5, &["mockai mock-model request 1200 45 1000 0 12 463 111 ok -"]),
    ("2026.9.6/10-gateway/021", 9, &["mockai mock-model request 1200 45 1000 0 12 432 25 ok -"]),
    (
        "2026.9.6/10-gateway/035",
        22,
        &[
            "mockai mock-tool request 1200 45 1000 0 12 291 41 ok -",
            "mockai mock-tool request 1200 45 1000 0 12 439 26 ok -",
            "mockanth claude-mock request 1250 45 1000 50 - 327 224 ok -",
            "mockai mock-silent request 1200 45 1000 0 12 300 17 ok -",
            "mockai mock-silent request 1200 45 1000 0 12 301 19 ok -",
        ],
    ),
    ("2026.9.6/17-gateway-btw-compact/002", 10, &[]),
    ("2026.9.6/17-gateway-btw-compact/004", 3, &[]),
    ("2026.9.6/17-gateway-btw-compact/006", 10, &["mockai mock-model request 1200 45 1000 0 12 553 111 ok -"]),
    ("2026.9.6/17-gateway-btw-compact/008", 2, &["mockai mock-model usage_only 1200 45 1000 0 - - - ok -"]),
    ("2026.9.6/17-gateway-btw-compact/011", 5, &["mockai mock-model request 1200 45 1000 0 12 419 14 ok -"]),
    (
        "2026.4.29-extension/002",
        8,
        &[
            "anthropic claude-opus-4-6 request - - - - - 122 80 ok -",
            "anthropic claude-opus-4-6 request - - - - - 33 - error rate_limit",
            "anthropic claude-opus-4-6 turn_sum 1250 45 1000 50 - 850 - ok -",
        ],
    ),
];

/// Spans of these that are turns or uses of a tool (`openclaw.run`, `openclaw.tool.execution`), counted likewise.
const EVENTS: u64 = 25;
/// Spans of these whose status is an error: each is a row of `error_events`, and a call too.
const ERRORS: u64 = 11;

/// All rows after one id, written as above; and the last id.
fn rows_after(db: &Path, last: i64) -> (Vec<String>, i64) {
    const COLUMNS: [&str; 12] = [
        "provider",
        "request_model",
        "unit",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "latency_ms",
        "ttfb_ms",
        "status",
        "error_type",
    ];
    let columns = COLUMNS.map(|column| format!("ifnull({column}, '-')")).join(" || ' ' || ");
    let conn = read_only(db);
    let sql = format!("SELECT id, {columns} FROM llm_traces WHERE id > ?1 ORDER BY id");
    let mut statement = conn.prepare(&sql).unwrap();
    let rows = statement.query_map([last], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).unwrap();
    let rows: Vec<_> = rows.map(Result::unwrap).collect();
    let last = rows.last().map_or(last, |(id, _)| *id);
    (rows.into_iter().map(|(_, row)| row).collect(), last)
}

/// A body as it was captured.
struct Capture {
    /// `POST /v1/traces HTTP/1.1`
    request_line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Capture {
    fn read(headers: &Path) -> Capture {
        let capture: Value = serde_json::from_slice(&fs::read(headers).unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let body = fs::read(headers.with_file_name(text(&capture["body_file"]))).unwrap();
        assert_eq!(capture["body_len"], body.len());
        let headers = capture["headers"].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1])));
        Capture { request_line: text(&capture["request_line"]), headers: headers.collect(), body }
    }

    /// Sends it as its client did, to another host, in chunks that are cut anywhere.
    fn send(&self, client: &mut Client, host: &str) -> Answer {
        let mut request = format!("{}\r\n", self.request_line).into_bytes();
        for (name, value) in &self.headers {
            let value = if name == "Host" { host } else { value };
            request.extend(format!("{name}: {value}\r\n").bytes());
        }
        request.extend(b"\r\n");
        assert!(self.headers.contains(&("Transfer-Encoding".to_owned(), "chunked".to_owned())));
        let mut rest = &self.body[..];
        for size in [1, 7, 113, 2, 1021].into_iter().cycle() {
            let (chunk, later) = rest.split_at(rest.len().min(size));
            request.extend(format!("{:x}\r\n", chunk.len()).bytes());
            request.extend([chunk, b"\r\n"].concat());
            rest = later;
            // The last chunk is the empty one.
            if chunk.is_empty() {
                break;
            }
        }
        client.send(&request).unwrap();
        client.answer().unwrap()
    }
}

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures")
}

/// Every capture of OpenClaw with this word in its name, in order, by the name that [`BODIES`] has.
fn captures_of(word: &str) -> Vec<(String, Capture)> {
    let root = captures();
    let cases = fs::read_dir(root.join("openclaw-2026.9.6")).unwrap().map(|case| case.unwrap().path());
    let folders = cases.chain([root.join("openclaw-2026.4.29-extension")]);
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|file| file.to_str().unwrap().ends_with(".headers.json")).collect();
    files.sort();
    let named = files.into_iter().filter_map(|file| {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let (name, signal) = path.trim_start_matches("openclaw-").split_once("_POST_v1-").unwrap();
        signal.starts_with(word).then(|| (name.to_owned(), Capture::read(&file)))
    });
    named.collect()
}

/// Events that were stored, that were there already, and that are no rows.
fn settled(health: &Value) -> [u64; 3] {
    ["stored", "duplicate", "ignored"].map(|name| health["events"][name].as_u64().unwrap())
}

#[test]
fn what_openclaw_sent_becomes_the_rows_of_its_model_calls_and_again_no_row() {
    let dir = TempDir::new("replay");
    let db = dir.join("trace.db");
    let rows: u64 = BODIES.iter().map(|(.., rows)| rows.len() as u64).sum();
    let spans: u64 = BODIES.iter().map(|(_, spans, _)| spans).sum();
    let captured = captures_of("traces");
    assert_eq!(captured.len(), BODIES.len());

    let mut sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let (mut client, host) = (sidecar.client(), sidecar.address().to_string());
    let mut last = 0;
    for (name, capture) in &captured {
        let (_, _, expected) = BODIES.iter().find(|(body, ..)| body == name).unwrap_or_else(|| panic!("{name}"));
        let answer = capture.send(&mut client, &host);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-protobuf")), "{name}");
        assert_eq!(answer.body, b"", "{name}: nothing is rejected");
        let (found, id) = rows_after(&db, last);
        assert_eq!(&found, expected, "{name}");
        last = id;
    }
    let health = sidecar.health().1;
    check_laws(&health);
    assert_eq!(settled(&health), [rows + EVENTS + ERRORS, 0, spans - rows - EVENTS], "{health}");
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_within(PATIENCE), Some(0), "{}", sidecar.log());

    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let (mut client, host) = (sidecar.client(), sidecar.address().to_string());
    for (name, capture) in &captured {
        assert_eq!(capture.send(&mut client, &host).status, 200, "{name}");
    }
    let health = sidecar.health().1;
    check_laws(&health);
    assert_eq!(settled(&health), [0, rows + EVENTS + ERRORS, spans - rows - EVENTS], "{health}");
    assert_eq!(rows_after(&db, last).0, [""; 0], "the same spans became rows again");
}

#[test]
fn logs_and_metrics_of_openclaw_are_acknowledged_and_counted() {
    let dir = TempDir::new("replay-others");
    let sidecar = Sidecar::start(&dir.join("trace.db"), &[NO_SAMPLES]);
    let (mut client, host) = (sidecar.client(), sidecar.address().to_string());
    for signal in ["logs", "metrics"] {
        let captured = captures_of(signal);
        assert!(!captured.is_empty());
        for (name, capture) in &captured {
            let answer = capture.send(&mut client, &host);
            assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]), "{name}");
        }
        let health = sidecar.health().1;
        check_laws(&health);
        let counted = &health["signals"][format!("otlp_{signal}")];
        assert_eq!(counted["requests"], captured.len(), "{counted}");
        assert!(counted["records"].as_u64() >= Some(captured.len() as u64), "{counted}");
    }
    assert_eq!(rows_after(&dir.join("trace.db"), 0).0, [""; 0]);
}
