//! The program on its worst days: full disks, locked files, wrong settings, hostile clients.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::iter;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::thread;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::dir::TempDir;
use crate::support::otlp::large_spans;
use crate::support::sidecar::{NO_SAMPLES, Sidecar, check_laws, run, wait_until};
use crate::support::{PATIENCE, read_only};

/// A volume that some thousand rows fill.
const VOLUME: &str = "8m";
const VOLUME_BYTES: usize = 8 << 20;
/// About the size of [`batch`] in the file.
const BATCH_BYTES: usize = ROWS * TEXT_BYTES;
const ROWS: usize = 50;
const TEXT_BYTES: usize = 1000;

/// A request that takes room.
fn batch() -> Vec<u8> {
    let rows = (0..ROWS).map(|_| json!({"model": "m", "prompt": "x".repeat(TEXT_BYTES)}));
    Value::from_iter(rows).to_string().into_bytes()
}

fn post(client: &mut Client) -> Answer {
    client.post("/v1/traces", "application/json", &batch()).unwrap()
}

/// Posts until it is taken; every other answer must ask to come again.
fn post_until_taken(client: &mut Client) {
    wait_until("a POST that is taken", || taken(&post(client)).then_some(()));
}

fn taken(answer: &Answer) -> bool {
    if answer.status == 503 {
        assert_eq!(answer.header("retry-after"), Some("1"));
    } else {
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    }
    answer.status == 202
}

/// Takes what is left of a volume.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let mut block = &[0; 64 << 10][..];
    while !block.is_empty() {
        if let Err(error) = file.write_all(block) {
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            // Down to the last byte.
            block = &block[..block.len() / 2];
        }
    }
}

fn rows(db: &Path) -> usize {
    read_only(db).query_row("SELECT count(*) FROM llm_traces", [], |row| row.get::<_, i64>(0)).unwrap() as usize
}

fn pruned_for_the_disk(health: &Value) -> u64 {
    health["database"]["rows"]["llm_traces"]["pruned"]["disk"].as_u64().unwrap()
}

#[test]
fn a_volume_full_of_rows_that_may_go_takes_new_ones_for_ever() {
    let Some(dir) = TempDir::on_tmpfs("full", VOLUME) else { return };
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let mut client = sidecar.client();
    for _ in 0..4 * VOLUME_BYTES / BATCH_BYTES {
        assert!(taken(&post(&mut client)), "room is made before the answer");
    }
    let (status, health) = sidecar.health();
    assert_eq!(status, 200, "{health}");
    check_laws(&health);
    assert!(pruned_for_the_disk(&health) > 0, "the volume was never full: {health}");
    assert_eq!(health["events"]["stored"], 4 * VOLUME_BYTES / BATCH_BYTES * ROWS);
    sidecar.stop();
    assert_eq!(health["database"]["rows"]["llm_traces"]["present"], rows(&db));
}

#[test]
fn a_stranger_that_fills_the_volume_costs_old_rows_that_may_go_and_no_new_ones() {
    let Some(dir) = TempDir::on_tmpfs("squeezed", VOLUME) else { return };
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let mut client = sidecar.client();
    for _ in 0..VOLUME_BYTES / BATCH_BYTES / 3 {
        post_until_taken(&mut client);
    }
    fill(&dir.join("stranger"));
    // Far more than is left. Nobody frees anything.
    for _ in 0..2 * VOLUME_BYTES / BATCH_BYTES {
        assert!(taken(&post(&mut client)), "room is made before the answer");
    }
    let health = sidecar.wait_health("an end of refusing", |status, _| status == 200);
    check_laws(&health);
    assert!(pruned_for_the_disk(&health) > 0, "{health}");
    sidecar.stop();
    assert_eq!(health["database"]["rows"]["llm_traces"]["present"], rows(&db));
}

#[test]
fn a_full_volume_of_rows_that_must_stay_refuses_says_why_and_recovers_by_itself() {
    let Some(dir) = TempDir::on_tmpfs("stranger", VOLUME) else { return };
    let db = dir.join("trace.db");
    // An address of loopback that no other test uses, so that nobody takes the port.
    let closed = TcpListener::bind("127.0.0.79:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}/");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES, ("TRACE_PUSH_ENDPOINT", &endpoint)]);
    let mut client = sidecar.client();
    fill(&dir.join("stranger"));
    let mut acknowledged = 0;
    while taken(&post(&mut client)) {
        acknowledged += ROWS;
    }
    let (status, health) = sidecar.health();
    assert_eq!((status, &health["status"]), (503, &json!("refusing")), "{health}");
    assert_eq!(health["refusing"], "store_full");
    assert!(health["database"]["reason"].as_str().unwrap().contains("is full"), "{health}");
    check_laws(&health);
    let asked = run(&["health", &sidecar.address().to_string()], &[]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");

    fs::remove_file(dir.join("stranger")).unwrap();
    post_until_taken(&mut client);
    acknowledged += ROWS;
    let (status, health) = sidecar.health();
    assert_eq!(status, 200, "{health}");
    check_laws(&health);
    assert_eq!(health["events"]["stored"], acknowledged);
    sidecar.stop();
    assert_eq!(rows(&db), acknowledged);
}

#[test]
fn a_start_on_a_full_volume_refuses_until_there_is_room() {
    let Some(dir) = TempDir::on_tmpfs("full-start", VOLUME) else { return };
    let db = dir.join("trace.db");
    // Rows that must stay: there is an endpoint, and the first push is far away.
    let env = [NO_SAMPLES, ("TRACE_PUSH_ENDPOINT", "http://127.0.0.1:1/"), ("TRACE_PUSH_INTERVAL", "1d")];
    let sidecar = Sidecar::start(&db, &env);
    let mut client = sidecar.client();
    fill(&dir.join("stranger"));
    let acknowledged = iter::repeat_with(|| taken(&post(&mut client))).take_while(|taken| *taken).count();
    sidecar.kill();

    let sidecar = Sidecar::start(&db, &env);
    let mut client = sidecar.client();
    wait_until("a POST that is refused", || (!taken(&post(&mut client))).then_some(()));
    assert_eq!(sidecar.health().0, 503);
    fs::remove_file(dir.join("stranger")).unwrap();
    post_until_taken(&mut client);
    let stored = rows(&db);
    assert!(stored > acknowledged * ROWS, "{stored} rows, {acknowledged} requests before");
    sidecar.stop();
}

#[test]
fn a_second_instance_on_the_same_file_is_refused_and_the_first_goes_on() {
    let dir = TempDir::new("second");
    let db = dir.join("trace.db");
    let first = Sidecar::start(&db, &[]);
    let mut second = Sidecar::spawn(&db, &[]);
    assert_eq!(second.exit_within(PATIENCE), Some(1));
    assert!(second.log().contains("another openclaw-trace (pid "), "{}", second.log());
    assert!(taken(&post(&mut first.client())));
    first.stop();
    assert_eq!(rows(&db), ROWS);
}

#[test]
fn a_request_waits_while_another_process_has_locked_the_database() {
    let dir = TempDir::new("locked");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let other = Connection::open(&db).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let body = batch();
    let head = format!("POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut client = sidecar.client();
    client.send(&[head.as_bytes(), &body].concat()).unwrap();
    sidecar.wait_health("the request in flight", |_, health| health["events"]["in_flight"] == ROWS);
    assert_eq!(rows(&db), 0);
    other.execute_batch("COMMIT").unwrap();
    assert!(taken(&client.answer().unwrap()));
    assert_eq!(rows(&db), ROWS);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_wrong_configuration_is_told_all_at_once_and_nothing_is_created() {
    let dir = TempDir::new("config");
    let db = dir.join("new/trace.db");
    let env = [
        ("TRACE_DB_PATH", db.to_str().unwrap()),
        ("TRACE_PORT", "ninety"),
        ("TRACE_ACK", "maybe"),
        ("TRACE_RETENTON", "7d"),
        ("TRACE_PUSH_ENDPOINT", "http://example.com/in"),
    ];
    for command in ["serve", "check"] {
        let Output { status, stdout, stderr } = run(&[command], &env);
        assert_eq!((status.code(), text(&stdout)), (Some(78), String::new()));
        let said = text(&stderr);
        for part in ["TRACE_PORT: ", "TRACE_ACK: ", "did you mean TRACE_RETENTION?", "TRACE_PUSH_ENDPOINT: "] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(said.lines().count(), 4, "{said}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn check_shows_what_holds_and_no_secret() {
    let dir = TempDir::new("check");
    let secret_file = dir.join("token");
    fs::write(&secret_file, "hush-3\n").unwrap();
    let env = [
        ("TRACE_DB_PATH", "/nowhere/trace.db"),
        ("TRACE_TOKEN", "hush-1"),
        ("TRACE_PUSH_ENDPOINT", "https://example.com/in?key=hush-2"),
        ("TRACE_PUSH_TOKEN_FILE", secret_file.to_str().unwrap()),
    ];
    let Output { status, stdout, stderr } = run(&["check"], &env);
    let said = text(&stdout) + &text(&stderr);
    assert_eq!(status.code(), Some(0), "{said}");
    for part in ["TRACE_DB_PATH=/nowhere/trace.db\n", "TRACE_TOKEN=", "TRACE_PUSH_ENDPOINT=https://example.com/in"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn health_exits_0_only_when_a_sidecar_takes_events() {
    let dir = TempDir::new("health");
    let sidecar = Sidecar::start(&dir.join("trace.db"), &[]);
    let address = sidecar.address();
    let port = address.port().to_string();
    let well = run(&["health"], &[("TRACE_PORT", &port), ("HOME", "/")]);
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    assert!(text(&well.stdout).starts_with("{\"status\":\"ok\""), "{well:?}");
    sidecar.stop();
    let gone = run(&["health", &format!("http://{address}")], &[]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(text(&gone.stderr).contains("does not answer"), "{gone:?}");
}

/// What we promise never to exceed.
const MEMORY_MAX_BYTES: u64 = 32_000_000;
const THREADS_MAX: usize = 5;

/// The attack is over: what it has cost, and a POST.
fn check_after_attack(sidecar: &Sidecar) {
    let bytes = sidecar.memory_high_water_bytes();
    eprintln!("memory: {bytes} bytes at most, {} threads", sidecar.threads());
    assert!(bytes <= MEMORY_MAX_BYTES, "{bytes} bytes of memory");
    // While many connections end, one more may still be one too many.
    wait_until("a POST that is taken", || {
        let answer = Client::connect(sidecar.address())
            .and_then(|mut client| client.post("/v1/traces", "application/json", &batch()));
        answer.is_ok_and(|answer| taken(&answer)).then_some(())
    });
    assert!(sidecar.threads() <= THREADS_MAX);
    check_laws(&sidecar.health().1);
}

#[test]
fn sixty_four_mebibytes_of_garbage_cost_nothing_that_lasts() {
    let dir = TempDir::new("garbage");
    let sidecar = Sidecar::start(&dir.join("trace.db"), &[]);
    let block = [b'x'; 64 << 10];
    let mut sent = 0;
    let mut client = sidecar.client();
    while sent < 64 << 20 {
        match client.send(&block) {
            Ok(()) => sent += block.len(),
            // It does not listen for long: then again from the start.
            Err(_) => client = sidecar.client(),
        }
    }
    drop(client);
    check_after_attack(&sidecar);
}

#[test]
fn as_many_connections_as_there_may_be_each_half_way_through_a_large_body_stay_within_bounds() {
    // One of the 256 is left, to ask how it is.
    const CONNECTIONS: u64 = 255;
    const HALF_BYTES: usize = 512 << 10;
    let dir = TempDir::new("half");
    let sidecar = Sidecar::start(&dir.join("trace.db"), &[]);
    let head = format!("POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 2 * HALF_BYTES);
    let half = [head.as_bytes(), &[b'x'; HALF_BYTES]].concat();
    // All are let in before the first body comes.
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| sidecar.client()).collect();
    for client in &mut clients {
        // One that was refused at its head cannot send all of it.
        drop(client.send(&half));
    }
    let health = sidecar.wait_health("every body to be half there, or refused", |_, health| {
        let refused = health["http"]["refused_by_status"]["503"].as_u64().unwrap_or(0);
        health["http"]["body_bytes"].as_u64() >= Some((CONNECTIONS - refused) * HALF_BYTES as u64)
    });
    eprintln!("{}", health["http"]);
    drop(clients);
    check_after_attack(&sidecar);
    sidecar.wait_health("no body in flight", |_, health| health["http"]["body_bytes"] == 0);
}

/// Of 120 clients each. Inflating is slow in a debug build.
const ROUNDS: usize = 2;

#[test]
fn a_storm_of_large_bodies_of_every_kind_stays_within_bounds() {
    let dir = TempDir::new("storm");
    let sidecar = Sidecar::start(&dir.join("trace.db"), &[("TRACE_DB_MAX_MB", "500")]);
    let item = format!(r#"{{"model":"m","x":"{}"}}"#, "y".repeat(60));
    let kinds = [
        ("application/x-protobuf", "", large_spans(7000)),
        ("application/json", "Content-Encoding: gzip\r\n", gzip(&vec![b' '; 8 << 20])),
        (
            "application/json",
            "Content-Encoding: gzip\r\n",
            gzip(format!("[{}]", vec![item; 7500].join(",")).as_bytes()),
        ),
    ];
    for _ in 0..ROUNDS {
        thread::scope(|scope| {
            for (media, header, body) in kinds.iter().flat_map(|kind| vec![kind; 40]) {
                let address = sidecar.address();
                scope.spawn(move || {
                    let head = format!(
                        "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\n{header}Content-Length: {}\r\n\r\n",
                        body.len()
                    );
                    // Refused or cut off before all is sent: that is for the sidecar to choose.
                    let answered = Client::connect(address)
                        .and_then(|mut client| client.send(&[head.as_bytes(), body].concat()).and_then(|()| client.answer()));
                    if let Ok(answer) = answered {
                        assert!([200, 202, 400, 503].contains(&answer.status), "{}", answer.status);
                    }
                });
            }
        });
    }
    check_after_attack(&sidecar);
    sidecar.stop();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
