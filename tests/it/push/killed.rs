//! The real program, killed with signal 9 while it pushes to a receiver that misbehaves: what it acknowledged arrives once.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use openclaw_trace::event::Table;

use super::chaos::Chaos;
use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::receiver::Receiver;
use crate::support::sidecar::{NO_SAMPLES, Sidecar, check_laws};

const HISTORIES: u64 = 8;
const KILLS: usize = 3;

#[test]
fn what_a_program_that_is_killed_again_and_again_acknowledged_arrives_once() {
    let histories: Vec<_> = (0..HISTORIES).map(|seed| thread::spawn(move || history(seed))).collect();
    let resumed: usize = histories.into_iter().map(|history| history.join().unwrap()).sum();
    assert!(resumed > 0, "no batch was resumed after a kill: this proves nothing");
}

/// How many batches went out again under their key after a kill.
fn history(seed: u64) -> usize {
    let mut random = Rng::with_seed(seed);
    let dir = TempDir::new("killed");
    let db = dir.join("trace.db");
    let receiver = Receiver::start(Chaos::few(random.fork()));
    let env = [("TRACE_PUSH_ENDPOINT", &*receiver.url()), ("TRACE_PUSH_INTERVAL", "1s"), NO_SAMPLES]
        .map(|(name, value)| (name, value.to_owned()));
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut posted = 0;
    for kill in 0..=KILLS {
        let seen = receiver.requests().len();
        let sidecar = Sidecar::start(&db, &env);
        for _ in 0..random.usize(1..20) {
            let cost = f64::from(random.u32(1..1_000_000)) / 1e6;
            let body = format!(r#"{{"model":"m","input_tokens":1,"cost_usd":{cost}}}"#);
            let answer = sidecar.client().post("/v1/traces", "application/json", body.as_bytes()).unwrap();
            assert_eq!(answer.status, 202, "seed {seed}");
            posted += 1;
        }
        if kill < KILLS {
            receiver.wait_requests(seen + 1);
            // Anywhere in what comes then: the answer, the note of it, the next batch, the wait.
            thread::sleep(Duration::from_micros(random.u64(0..40_000)));
            sidecar.kill();
            continue;
        }
        receiver.calm();
        let health = sidecar
            .wait_health("everything is pushed", |_, health| health["database"]["rows"]["llm_traces"]["unsynced"] == 0);
        check_laws(&health);
        sidecar.stop();
    }
    let conn = read_only(&db);
    let mut statement = conn.prepare(&format!("SELECT trace_id FROM {}", Table::LlmTraces.name())).unwrap();
    let stored: BTreeSet<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let spent: i64 = conn.query_row("SELECT sum(cost_picousd) FROM llm_traces", [], |row| row.get(0)).unwrap();
    assert_eq!(stored.len(), posted, "seed {seed}: what was acknowledged is in the file");
    assert_eq!(receiver.ids(), stored.into_iter().collect::<Vec<_>>(), "seed {seed}: and at the receiver, once");
    assert_eq!(receiver.spent(), spent, "seed {seed}");
    receiver.resumed()
}
