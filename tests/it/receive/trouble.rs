//! A file that cannot be written: what is refused comes again, and nothing is stored by half.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;
use serde_json::json;

use super::{counts, ids, launch, new_dir, push, push_of, send, start, taken};
use crate::support::dir::TempDir;
use crate::support::sidecar::Sidecar;

#[test]
fn a_full_volume_refuses_whole_pushes_says_so_and_recovers_by_itself() {
    let Some(dir) = TempDir::on_tmpfs("receive-full", "8m") else { return };
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    fill(&dir.join("stranger"));
    let mut client = receiver.client();
    let batch = |n: u32| {
        let row = |i: u32| json!({"trace_id": format!("{n}-{i}"), "timestamp": 1, "input_text": "x".repeat(4000)});
        push("i", json!({"llm_traces": (0..100).map(row).collect::<Vec<_>>()}))
    };
    let mut stored = 0;
    let refused = loop {
        let answer = send(&mut client, &batch(stored)).unwrap();
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 20, "the volume cannot hold them all");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("full"), "{}", refused.json());
    let (status, health) = receiver.health();
    assert_eq!((status, &health["refusing"]), (503, &json!("store_failing")), "{health}");
    assert!(health["reason"].as_str().unwrap().contains("full") && health["store_errors"] == 1, "{health}");
    assert_eq!(ids(&db).len() as u32, 100 * stored, "nothing is stored by half");
    fs::remove_file(dir.join("stranger")).unwrap();
    receiver.wait_health("an end of refusing", |status, _| status == 200);
    assert_eq!(counts(&taken(receiver.address(), &batch(stored))), (100, 0, 0));
    receiver.stop();
    assert_eq!(ids(&db).len() as u32, 100 * (stored + 1));
}

fn fill(path: &std::path::Path) {
    let mut file = fs::File::create(path).unwrap();
    // Two pages are left, which the first pushes do not fill: they are in the log by then.
    while file.write_all(&[1; 4096]).is_ok() {}
}

#[test]
fn a_file_that_another_process_has_locked_refuses_until_it_lets_go() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    let other = Connection::open(&db).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = send(&mut receiver.client(), &push_of("i", &["1"])).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("locked"), "{}", answer.json());
    assert_eq!(receiver.health().0, 503);
    other.execute_batch("COMMIT").unwrap();
    receiver.wait_health("an end of refusing", |status, _| status == 200);
    assert_eq!(counts(&taken(receiver.address(), &push_of("i", &["1"]))), (1, 0, 0));
    assert!(receiver.log().contains("pushes can be stored again"));
    receiver.stop();
}

#[test]
fn a_file_that_cannot_be_written_to_refuses() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    let other = Connection::open(&db).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON received WHEN new.trace_id = '2' BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    let answer = send(&mut receiver.client(), &push_of("i", &["1", "2", "3"])).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.json());
    assert_eq!(ids(&db), [""; 0], "nothing of it is stored");
    receiver.stop();
}

#[test]
fn a_file_that_is_moved_away_takes_nothing_more() {
    let dir = new_dir();
    let (db, aside) = (dir.join("r.db"), dir.join("aside.db"));
    let receiver = start(&db, &[]);
    assert_eq!(counts(&taken(receiver.address(), &push_of("i", &["1"]))), (1, 0, 0));
    fs::rename(&db, &aside).unwrap();
    let answer = send(&mut receiver.client(), &push_of("i", &["2"])).unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("was moved"), "{}", answer.json());
    fs::rename(&aside, &db).unwrap();
    receiver.wait_health("an end of refusing", |status, _| status == 200);
    assert_eq!(counts(&taken(receiver.address(), &push_of("i", &["2"]))), (1, 0, 0));
    receiver.stop();
}

#[test]
fn one_file_has_one_receiver_and_is_for_its_owner_alone() {
    let dir = new_dir();
    let db = dir.join("sub/r.db");
    let receiver = start(&db, &[]);
    let mut second = launch(&db, &[]);
    assert_eq!(second.exit_code(), 1);
    assert!(second.log().contains("uses this database"), "{}", second.log());
    let mut sidecar = Sidecar::spawn(&db, &[]);
    assert_eq!(sidecar.exit_code(), 1);
    assert_eq!(counts(&taken(receiver.address(), &push_of("i", &["1"]))), (1, 0, 0));
    for file in fs::read_dir(dir.join("sub")).unwrap().map(Result::unwrap) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    receiver.stop();
    let mut sidecar = Sidecar::spawn(&db, &[]);
    assert_eq!(sidecar.exit_code(), 1, "the file of a receiver is no sidecar's");
    assert!(sidecar.log().contains("is a database of another program"), "{}", sidecar.log());
    let of_sidecar = dir.join("trace.db");
    Sidecar::start(&of_sidecar, &[]).stop();
    let mut receiver = launch(&of_sidecar, &[]);
    assert_eq!(receiver.exit_code(), 1);
    assert!(receiver.log().contains("is a database of another program"), "{}", receiver.log());
}

#[test]
fn a_log_whose_file_was_moved_away_is_not_begun_anew() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    send(&mut receiver.client(), &push("i", json!({"llm_traces": [{"trace_id": "1", "timestamp": 1}]}))).unwrap();
    receiver.kill();
    let (log, moved) = (dir.join("r.db-wal"), dir.join("moved.db"));
    let rows = std::fs::read(&log).unwrap();
    std::fs::rename(&db, &moved).unwrap();
    let mut refused = launch(&db, &[]);
    assert_eq!(refused.exit_code(), 1);
    assert!(refused.log().contains("put both together again"), "{}", refused.log());
    assert_eq!(std::fs::read(&log).unwrap(), rows, "what it holds is there still");
    std::fs::rename(&moved, &db).unwrap();
    let receiver = start(&db, &[]);
    assert_eq!(receiver.health().1["rows"]["llm_traces"], 1);
    receiver.stop();
    assert!(!log.exists(), "a good end leaves no log");
}
