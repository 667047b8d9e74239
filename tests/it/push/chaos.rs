//! Random histories: a receiver that does everything a network can do, a writer that fails to note, and a push that is
//! killed and begun anew in between. When it is quiet again, the receiver has every row that was stored but for the dead
//! letters, each once, and the same sum of money.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use openclaw_trace::event::Table;
use openclaw_trace::push::Pusher;
use openclaw_trace::stats::Stats;
use serde_json::json;

use super::store::Store;
use super::{Side, setup_of};
use crate::support::receiver::{Act, Policy, Receiver, Request};

/// Does what it likes for so many requests, and takes everything then, but for the rows that it never takes.
pub struct Chaos {
    random: Rng,
    left: usize,
    hangs: usize,
    never: BTreeSet<String>,
}

impl Chaos {
    /// Few failures, and no row that is never taken.
    pub fn few(mut random: Rng) -> Chaos {
        let left = random.usize(6..12);
        Chaos { random, left, hangs: 0, never: BTreeSet::new() }
    }

    fn never(&self, request: &Request) -> Vec<String> {
        request.rows.iter().map(|(_, id)| id.clone()).filter(|id| self.never.contains(id)).collect()
    }

    /// How it takes a batch with rows that it never takes: by name, or by refusing all of it.
    fn refuse(&mut self, never: &[String]) -> Act {
        match self.random.u8(0..3) {
            0 => Act::status(400),
            1 => Act::status(422),
            _ => Act::Name(
                [200, 207][self.random.usize(0..2)],
                never.iter().map(|id| json!({"trace_id": id, "code": "never", "retryable": false})).collect(),
            ),
        }
    }
}

impl Policy for Chaos {
    fn before(&mut self, _head: &str) -> Act {
        if self.left == 0 {
            return Act::Take;
        }
        match self.random.u8(0..20) {
            0 => Act::CloseBefore,
            1 => Act::CloseWithin,
            _ => Act::Take,
        }
    }

    fn after(&mut self, request: &Request) -> Act {
        self.left = self.left.saturating_sub(1);
        let never = self.never(request);
        if self.left == 0 {
            return if never.is_empty() { Act::Take } else { self.refuse(&never) };
        }
        let retry_after = |seconds| format!("retry-after: {seconds}\r\n");
        match self.random.u8(0..24) {
            0 => Act::status(408),
            // A whole batch may be refused for no good reason, by what stands in between. One row alone never is.
            1 if request.rows.len() > 1 => Act::status(400),
            2 if request.rows.len() > 1 => Act::status(413),
            3 => Act::Answer(429, retry_after(0), String::new()),
            4 => Act::status(500),
            5 => Act::Answer(503, retry_after(0), "<html>".to_owned()),
            6 => Act::CloseAfter,
            7 if self.hangs > 0 => {
                self.hangs -= 1;
                Act::Hang
            }
            8 => Act::status(401),
            9 => Act::Answer(200, "content-type: text/html\r\n".to_owned(), "<html>".to_owned()),
            10 => Act::Answer(307, "location: /elsewhere\r\n".to_owned(), String::new()),
            11 => Act::status([204, 202, 409, 425, 502][self.random.usize(0..5)]),
            // What it stored with rows that it never takes it could not have stored.
            12..=13 if never.is_empty() => Act::TakeAndDrop,
            14 if never.is_empty() => Act::TakeAndTruncate,
            15..=16 => {
                // Some are put off, and those that it never takes are named so.
                let mut named: Vec<_> =
                    never.iter().map(|id| json!({"trace_id": id, "code": "never", "retryable": false})).collect();
                for (table, id) in request.rows.iter().filter(|(_, id)| !never.contains(id)) {
                    if self.random.u8(0..3) == 0 {
                        named.push(json!({"table": table.name(), "trace_id": id, "code": "busy", "retryable": true}));
                    }
                }
                Act::Name(207, named)
            }
            _ if never.is_empty() => Act::Take,
            _ => self.refuse(&never),
        }
    }
}

/// What must have happened, or the histories prove nothing.
#[derive(Default)]
struct Happened {
    /// Rows that came to the receiver again.
    repeated: u64,
    /// Batches that a push began with which the one before had begun.
    resumed: u64,
    dead: usize,
}

fn history(seed: u64, happened: &mut Happened) {
    let mut random = Rng::with_seed(seed);
    let stats = Arc::new(Stats::default());
    let store = Store::start(&stats);
    let some = |random: &mut Rng, store: &Store| {
        for table in Table::ALL {
            store.add(table, random.i64(0..30), random.usize(0..300));
        }
    };
    some(&mut random, &store);
    store.add(Table::LlmTraces, 3, 30);
    let all: Vec<String> = store.ids().into_iter().collect();
    let never: BTreeSet<String> = (0..random.usize(0..4)).map(|_| all[random.usize(0..all.len())].clone()).collect();
    let chaos = Chaos { random: random.fork(), left: random.usize(5..60), hangs: 1, never: never.clone() };
    let receiver = Receiver::start(chaos);
    let mut side = Side::of(store, stats, &receiver.url(), hasty);
    // Killed and begun anew: what a push knows besides the file is gone.
    for _ in 0..random.usize(0..6) {
        let (stopping, running) = side.run();
        let seen = receiver.requests().len() + random.usize(0..6);
        let deadline = Instant::now() + Duration::from_millis(300);
        while receiver.requests().len() < seen && Instant::now() < deadline && !side.store.all_settled() {
            std::thread::yield_now();
        }
        drop(stopping);
        running.join().unwrap();
        side.push_once(Duration::ZERO);
        side.pusher = Arc::new(Pusher::new(setup_of(&side.store, &side.stats, &receiver.url(), hasty)));
        side.store.fail_to_note(random.usize(0..3));
        if random.bool() {
            some(&mut random, &side.store);
        }
    }
    side.run_until_settled();

    let dead = side.store.dead();
    assert_eq!(dead, never, "seed {seed}: only rows that are never taken are given up");
    let wanted: Vec<String> = side.store.ids().difference(&dead).cloned().collect();
    assert_eq!(receiver.ids(), wanted, "seed {seed}: every other row is there, once");
    assert_eq!(receiver.spent(), side.store.spent(&wanted), "seed {seed}");
    let rows = side.stats.store().rows;
    for table in Table::ALL {
        let account = rows[table.index()];
        let confirmed: i64 = side.store.confirmed(table);
        assert_eq!(account.stored, confirmed + account.dead, "seed {seed}: {table:?} {account:?}");
    }
    happened.repeated += receiver.repeats();
    happened.dead += dead.len();
    happened.resumed += receiver.resumed() as u64;
}

fn hasty(setup: &mut openclaw_trace::push::Setup) {
    setup.request_timeout = Duration::from_millis(400);
}

fn histories(seeds: std::ops::Range<u64>) {
    let mut happened = Happened::default();
    for seed in seeds {
        history(seed, &mut happened);
    }
    let Happened { repeated, resumed, dead } = happened;
    assert!(repeated > 200 && resumed > 10 && dead > 50, "{repeated} {resumed} {dead}");
}

#[test]
fn whatever_the_network_does_every_row_arrives_once_first() {
    histories(0..80);
}

#[test]
fn whatever_the_network_does_every_row_arrives_once_second() {
    histories(1000..1080);
}

#[test]
fn whatever_the_network_does_every_row_arrives_once_third() {
    histories(2000..2080);
}

#[test]
fn whatever_the_network_does_every_row_arrives_once_fourth() {
    histories(3000..3080);
}
