//! What goes wrong on demand does, and what is pushed through it all is there once.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde_json::json;

use openclaw_trace::receive::Running;

use super::{Client, counts, ids, new_dir, options, push_of, running, send};
use crate::support::PATIENCE;
use crate::support::sidecar::wait_until;

fn one(address: SocketAddr, id: &str) -> std::io::Result<crate::support::client::Answer> {
    send(&mut Client::connect(address).unwrap(), &push_of("i", &[id]))
}

#[test]
fn each_fault_does_what_it_says() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = running(&db, "429+2:1,503,close-before,close-in,close-after,drop,truncate,ok,later:1", None);
    let address = receiver.addresses()[0];
    let slow = one(address, "no-1").unwrap();
    assert_eq!((slow.status, slow.header("retry-after")), (429, Some("2")));
    assert_eq!(one(address, "no-2").unwrap().status, 503);
    for id in ["no-3", "no-4", "no-5", "dropped", "truncated"] {
        assert!(one(address, id).is_err(), "{id}");
    }
    assert_eq!(counts(&one(address, "ok").unwrap().json()), (1, 0, 0));
    let later = send(&mut Client::connect(address).unwrap(), &push_of("i", &["late", "soon"])).unwrap();
    assert_eq!((later.status, counts(&later.json())), (207, (1, 0, 1)));
    let named = &later.json()["rejected"][0];
    assert_eq!((&named["trace_id"], &named["retryable"]), (&json!("late"), &json!(true)));
    assert_eq!(counts(&one(address, "after").unwrap().json()), (1, 0, 0), "then all is well");
    assert_eq!(Client::connect(address).unwrap().fetch("/health").unwrap().status, 200);
    assert_eq!(receiver.stop(), 0);
    assert_eq!(ids(&db), ["after", "dropped", "ok", "soon", "truncated"]);
}

#[test]
fn a_push_that_is_never_answered_waits_for_its_client_to_go() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = running(&db, "timeout", Some("s3cret"));
    let address = receiver.addresses()[0];
    let mut waiting = Client::connect(address).unwrap();
    let body = push_of("i", &["1"]).to_string();
    waiting.send(&super::request("Expect: 100-continue\r\n", body.as_bytes())).unwrap();
    assert!(waiting.read_some().unwrap().starts_with(b"HTTP/1.1 100 "), "this is the one that waits");
    assert_eq!(one(address, "2").unwrap().status, 401, "the others go on, and the receiver behind is the real one");
    drop(waiting);
    assert_eq!(receiver.stop(), 0);
    assert_eq!(ids(&db), [""; 0]);
}

#[test]
fn fifty_pushers_through_every_fault_store_each_row_once() {
    const PUSHERS: usize = 50;
    const BATCHES: usize = 8;
    let dir = new_dir();
    let db = dir.join("r.db");
    let faults =
        "ok:20,drop:25,close-before:10,ok:30,truncate:25,close-in:10,ok:30,close-after:10,503:10,drop:10,429:5,later:9";
    let receiver = running(&db, faults, None);
    let address = receiver.addresses()[0];
    let pushers: Vec<_> = (0..PUSHERS)
        .map(|pusher| {
            thread::spawn(move || {
                let (mut lost, started) = (0, Instant::now());
                for batch in 0..BATCHES {
                    let rows: Vec<String> = (0..5).map(|n| format!("{pusher}-{batch}-{n}")).collect();
                    let mut left: Vec<&str> = rows.iter().map(String::as_str).collect();
                    // The same body until it is answered; what may come again comes again.
                    while !left.is_empty() {
                        assert!(started.elapsed() < 2 * PATIENCE, "{left:?} are never taken");
                        let body = push_of("i", &left);
                        let Ok(answer) = send(&mut Client::connect(address).unwrap(), &body) else {
                            lost += 1;
                            continue;
                        };
                        match answer.status {
                            200 => left.clear(),
                            207 => {
                                let said = answer.json();
                                let again = said["rejected"][0]["trace_id"].as_str().unwrap();
                                left.retain(|id| *id == again);
                            }
                            status => assert!(matches!(status, 429 | 503), "{status}"),
                        }
                    }
                }
                lost
            })
        })
        .collect();
    let lost: u32 = pushers.into_iter().map(|pusher| pusher.join().unwrap()).sum();
    assert_eq!(lost, 25 + 10 + 25 + 10 + 10 + 10, "every fault of the list was met");
    let health = Client::connect(address).unwrap().fetch("/health").unwrap().json();
    assert_eq!(health["rows"], json!({"llm_traces": PUSHERS * BATCHES * 5}), "{health}");
    assert_eq!(health["duplicates"], 60 * 5, "what was stored and not answered came again: {health}");
    assert_eq!(receiver.stop(), 0);
    let all = ids(&db);
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
}

#[test]
fn another_receiver_may_have_the_port_and_the_file_of_one_that_stopped() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let mut receiver = running(&db, "503", None);
    let address = receiver.addresses()[0];
    assert_eq!(one(address, "1").unwrap().status, 503);
    for (faults, accepted) in [("", 1), ("ok", 0)] {
        assert_eq!(receiver.stop(), 0);
        receiver = start_on(address.port(), &db, faults);
        assert_eq!(receiver.addresses(), [address]);
        assert_eq!(one(address, "1").unwrap().json()["accepted"], accepted);
    }
    assert!(Running::start(options(0, &db, "", None)).is_err(), "one file has one receiver");
    assert_eq!(receiver.stop(), 0);
}

/// A listener that ends has its port for a moment longer.
fn start_on(port: u16, db: &Path, faults: &str) -> Running {
    wait_until("the port", || Running::start(options(port, db, faults, None)).ok())
}
