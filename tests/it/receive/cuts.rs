//! What was acknowledged is there, whatever becomes of the receiver.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;

use super::{Client, counts, ids, launch, new_dir, push_of, request, send, start, taken};
use crate::support::sidecar::until;

const ROUNDS: usize = 12;
const PUSHERS: usize = 6;
/// A cut with fewer acknowledgements before it proves nothing.
const ACKNOWLEDGED_MIN: usize = 20;

/// Pushes until the connection is cut, and says which rows were acknowledged.
fn pusher(address: SocketAddr, mut random: Rng, count: Arc<AtomicUsize>) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        let mut acknowledged = Vec::new();
        let Ok(mut client) = Client::connect(address) else { return acknowledged };
        loop {
            let rows: Vec<String> = (0..random.usize(1..20)).map(|_| format!("{:016x}", random.u64(..))).collect();
            let ids: Vec<&str> = rows.iter().map(String::as_str).collect();
            match send(&mut client, &push_of("i", &ids)) {
                Ok(answer) => {
                    assert_eq!(answer.status, 200);
                    acknowledged.extend(rows);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => return acknowledged,
            }
        }
    })
}

#[test]
fn every_acknowledged_row_is_in_the_file_after_each_kill() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let mut random = Rng::with_seed(5);
    let mut all = BTreeSet::new();
    for round in 0..ROUNDS {
        let receiver = start(&db, &[]);
        let count = Arc::new(AtomicUsize::new(0));
        let pushers: Vec<_> =
            (0..PUSHERS).map(|_| pusher(receiver.address(), random.fork(), Arc::clone(&count))).collect();
        until("acknowledgements", || count.load(Ordering::Relaxed) >= ACKNOWLEDGED_MIN);
        thread::sleep(Duration::from_millis(random.u64(..30)));
        receiver.kill();
        all.extend(pushers.into_iter().flat_map(|pusher| pusher.join().unwrap()));
        let stored: BTreeSet<String> = ids(&db).into_iter().collect();
        let lost: Vec<_> = all.difference(&stored).collect();
        assert!(lost.is_empty(), "round {round}: {} of {} acknowledged rows are lost", lost.len(), all.len());
    }
    let receiver = start(&db, &[]);
    let health = receiver.health().1;
    assert_eq!(health["rows"]["llm_traces"], ids(&db).len(), "what is counted is what is there: {health}");
    let again: Vec<&str> = all.iter().take(5000).map(String::as_str).collect();
    assert_eq!(counts(&taken(receiver.address(), &push_of("i", &again))), (0, again.len() as u64, 0));
    receiver.stop();
}

#[test]
fn a_signal_ends_it_once_the_pushes_in_flight_are_answered() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let mut receiver = start(&db, &[]);
    let whole = request("", push_of("i", &["1"]).to_string().as_bytes());
    let mut slow = receiver.client();
    slow.send(&whole[..whole.len() - 1]).unwrap();
    let mut idle = receiver.client();
    assert_eq!(idle.fetch("/health").unwrap().status, 200);
    receiver.signal(Signal::SIGTERM);
    receiver.wait_line("msg=stopping by=SIGTERM");
    assert!(idle.read_some().is_err(), "a connection without a request is closed");
    until("nobody to listen", || TcpStream::connect(receiver.address()).is_err());
    slow.send(&whole[whole.len() - 1..]).unwrap();
    let answer = slow.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(receiver.exit_code(), 0, "{}", receiver.log());
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with("-wal")), "{left:?}");
    assert_eq!(ids(&db), ["1"]);
}

#[test]
fn a_client_that_never_finishes_does_not_keep_it_for_longer_than_it_may_take() {
    let dir = new_dir();
    let mut receiver = launch(&dir.join("r.db"), &[("TRACE_DRAIN_TIMEOUT", "300ms")]);
    let mut slow = receiver.client();
    let whole = request("", push_of("i", &["1"]).to_string().as_bytes());
    slow.send(&whole[..whole.len() - 1]).unwrap();
    assert_eq!(receiver.client().fetch("/health").unwrap().status, 200);
    receiver.signal(Signal::SIGINT);
    assert_eq!(receiver.exit_code(), 1, "somebody was left without an answer");
    assert!(receiver.log().contains("out of time"));
}
