//! Rows that a remote refuses, puts off, or cannot take so many of at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use openclaw_trace::config::PushFormat;
use openclaw_trace::event::Table;
use openclaw_trace::push::{LastPush, Pusher};
use openclaw_trace::stats::{Circuit, Stats};
use openclaw_trace::store::{Command, Revived};
use serde_json::json;

use super::store::Store;
use super::{Side, setup_of};
use crate::support::PATIENCE;
use crate::support::receiver::{Act, Policy, Receiver, Request};
use crate::support::sidecar::is_so_within;

fn stored() -> (Arc<Stats>, Store) {
    let stats = Arc::new(Stats::default());
    let store = Store::start(&stats);
    (stats, store)
}

/// Refuses every batch with one of these rows.
fn refusing(status: u16, bad: Vec<String>) -> impl FnMut(&Request) -> Act + Send {
    move |request| if bad.iter().any(|bad| request.has(bad)) { Act::status(status) } else { Act::Take }
}

fn wide(setup: &mut openclaw_trace::push::Setup) {
    setup.config.max_bytes = 5_000_000;
}

#[test]
fn one_bad_row_of_5000_is_a_dead_letter_after_few_requests_wherever_it_is() {
    for (place, status) in [(0, 400), (2499, 422), (2500, 400), (4999, 418)] {
        let (stats, store) = stored();
        store.add(Table::LlmTraces, 5000, 20);
        let bad = store.ids_of(Table::LlmTraces)[place].clone();
        let receiver = Receiver::start(refusing(status, vec![bad.clone()]));
        let side = Side::of(store, stats, &receiver.url(), wide);
        side.run_until_settled();
        assert_eq!(side.store.dead(), BTreeSet::from([bad.clone()]));
        let wanted: BTreeSet<String> = side.store.ids().into_iter().filter(|id| *id != bad).collect();
        assert_eq!(receiver.ids(), wanted.into_iter().collect::<Vec<_>>());
        let requests = receiver.requests().len();
        assert!(requests <= 24, "{requests} requests for a bad row at {place}");
        let alone = receiver.requests().into_iter().filter(|request| request.rows.len() == 1 && request.has(&bad));
        assert_eq!(alone.count(), 3, "it was refused three times");
    }
}

#[test]
fn bad_rows_of_every_table_hold_up_nothing() {
    let (stats, store) = stored();
    for table in Table::ALL {
        store.add(table, 150, 30);
    }
    let bad: Vec<String> =
        Table::ALL.into_iter().flat_map(|table| [0, 70, 149].map(|place| store.ids_of(table)[place].clone())).collect();
    let receiver = Receiver::start(refusing(400, bad.clone()));
    let side = Side::of(store, stats, &receiver.url(), |_| {});
    side.run_until_settled();
    assert_eq!(side.store.dead(), bad.into_iter().collect());
    assert_eq!(receiver.ids().len(), 588);
    assert_eq!(side.stats.push().rows_rejected, 12);
}

#[test]
fn a_remote_that_refuses_every_row_kills_none_and_the_circuit_opens() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 100, 20);
    let receiver = Receiver::start(|_: &Request| Act::status(400));
    let side = Side::of(store, stats, &receiver.url(), |_| {});
    for _ in 0..6 {
        let last = side.push_once(PATIENCE);
        assert!(last.unfinished.unwrap().contains("it has never taken one"));
        assert_eq!(side.stats.push().circuit, Circuit::Open);
    }
    assert_eq!(side.store.dead(), BTreeSet::new());
    assert_eq!(side.stats.store().rows[Table::LlmTraces.index()].unsynced, 100);
    // It was the configuration, and somebody has mended it.
    receiver.turn(|_: &Request| Act::Take);
    side.run_until_settled();
    assert_eq!(receiver.ids().len(), 100);
    assert_eq!((side.stats.push().circuit, side.store.dead().len()), (Circuit::Closed, 0));
}

#[test]
fn a_remote_that_begins_to_refuse_every_row_kills_few() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 1, 20);
    let receiver = Receiver::start(|_: &Request| Act::Take);
    let side = Side::of(store, stats, &receiver.url(), |setup| {
        // Rows that are set aside are not sent again within the test.
        setup.backoff.least = PATIENCE;
        setup.backoff.most = PATIENCE;
    });
    assert_eq!(side.push_once(PATIENCE).unfinished, None);
    side.store.add(Table::LlmTraces, 100, 20);
    receiver.turn(|_: &Request| Act::status(422));
    assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("more than 20 rows"));
    let account = side.stats.store().rows[Table::LlmTraces.index()];
    assert_eq!((account.unsynced, account.waiting, account.dead), (100, 20, 0));
    receiver.turn(|request: &Request| {
        let rows = request.rows.iter();
        Act::Name(200, rows.map(|(_, id)| json!({"trace_id": id, "code": "no", "retryable": false})).collect())
    });
    assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("refuses most rows"));
    let dead = side.store.dead().len();
    assert!(dead <= 20, "{dead} rows were given up");
}

#[test]
fn rows_that_are_put_off_are_sent_again_and_the_others_are_not() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 30, 20);
    store.add(Table::SystemMetrics, 10, 20);
    let later = [store.ids_of(Table::LlmTraces)[7].clone(), store.ids_of(Table::SystemMetrics)[3].clone()];
    let mut left = 3;
    let wanted = later.clone();
    let receiver = Receiver::start(move |request: &Request| {
        let named: Vec<_> = wanted.iter().filter(|id| request.has(id)).collect();
        if named.is_empty() || left == 0 {
            return Act::Take;
        }
        left -= 1;
        Act::Name(207, named.iter().map(|id| json!({"trace_id": id, "code": "busy", "retryable": true})).collect())
    });
    let side = Side::of(store, stats, &receiver.url(), wide);
    side.run_until_settled();
    assert_eq!(receiver.ids(), side.store.ids().into_iter().collect::<Vec<_>>());
    assert_eq!(side.store.dead(), BTreeSet::new());
    let push = side.stats.push().clone();
    assert_eq!((push.rows, push.rows_put_off), (40, 6));
    let again: Vec<usize> = receiver.requests().iter().skip(1).map(|request| request.rows.len()).collect();
    assert_eq!(again, [2, 2, 2], "only what was put off is sent again");
}

#[test]
fn a_remote_that_says_only_how_many_rows_it_refuses_is_asked_until_it_is_known_which() {
    let (stats, store) = stored();
    store.add(Table::CustomEvents, 50, 20);
    let bad = store.ids_of(Table::CustomEvents)[31].clone();
    let wanted = bad.clone();
    let receiver = Receiver::start(move |request: &Request| {
        if request.has(&wanted) { Act::Answer(200, String::new(), r#"{"rejected":1}"#.to_owned()) } else { Act::Take }
    });
    let side = Side::of(store, stats, &receiver.url(), wide);
    side.run_until_settled();
    assert_eq!(side.store.dead(), BTreeSet::from([bad]));
    assert_eq!(receiver.ids().len(), 49);
}

#[test]
fn what_is_too_large_is_halved_and_a_row_that_is_too_large_alone_is_a_dead_letter() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 40, 200);
    store.add(Table::LlmTraces, 1, 9000);
    store.add(Table::LlmTraces, 40, 200);
    let bad = store.ids_of(Table::LlmTraces)[40].clone();
    let receiver =
        Receiver::start(|request: &Request| if request.body.len() > 5000 { Act::status(413) } else { Act::Take });
    let side = Side::of(store, stats, &receiver.url(), wide);
    side.run_until_settled();
    assert_eq!(side.store.dead(), BTreeSet::from([bad]));
    assert_eq!(receiver.ids().len(), 80);
    let requests = receiver.requests().len();
    assert!(requests < 40, "rows go together where they may: {requests}");
}

#[test]
fn a_token_that_is_wrong_touches_no_row_and_one_that_was_mended_delivers_all() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 300, 20);
    let receiver = Receiver::start(|request: &Request| match request.header("authorization") {
        Some("Bearer t0ken") => Act::status(401),
        other => panic!("{other:?}"),
    });
    let side = Side::of(store, stats, &receiver.url(), |_| {});
    let (stopping, running) = side.run();
    receiver.wait_requests(10);
    let push = side.stats.push().clone();
    assert_eq!(push.last_error.as_deref(), Some("the remote answered 401: is TRACE_PUSH_TOKEN right?"));
    assert!(push.circuit != Circuit::Closed, "{push:?}");
    assert_eq!((side.store.cursors(), side.store.dead().len()), ([0; 4], 0));
    let same: BTreeSet<String> =
        receiver.requests().iter().map(|request| request.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(same.len(), 1, "one batch, tried again and again");
    receiver.turn(|_: &Request| Act::Take);
    assert!(side.store.wait_all_settled(PATIENCE));
    drop(stopping);
    running.join().unwrap();
    assert_eq!(receiver.ids(), side.store.ids().into_iter().collect::<Vec<_>>());
}

#[test]
fn after_an_outage_a_small_batch_goes_first() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 100, 20);
    let receiver = Receiver::start(|_: &Request| Act::Answer(200, String::new(), "<html>".to_owned()));
    let side = Side::of(store, stats, &receiver.url(), wide);
    assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("no receipt"));
    // What was on its way is that still; what comes after it is new.
    side.store.add(Table::LlmTraces, 400, 20);
    let mut turn = 0;
    receiver.turn(move |_: &Request| {
        turn += 1;
        if turn == 2 { Act::status(403) } else { Act::Take }
    });
    assert!(side.push_once(PATIENCE).unfinished.is_some());
    assert_eq!(side.push_once(PATIENCE), LastPush { batches: 1, rows: 400, unfinished: None });
    let sizes: Vec<usize> = receiver.requests().iter().map(|request| request.rows.len()).collect();
    assert_eq!(sizes, [100, 100, 400, 400]);
}

#[test]
fn a_receipt_that_does_not_add_up_confirms_nothing() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 5, 20);
    let mut turn = 0;
    let receiver = Receiver::start(move |_: &Request| {
        turn += 1;
        let answer = |text: &str| Act::Answer(200, String::new(), text.to_owned());
        match turn {
            1 => answer(r#"{"accepted":3,"duplicates":1,"rejected":[]}"#),
            2 => answer(r#"{"batch_id":"another","accepted":5,"duplicates":0,"rejected":[]}"#),
            _ => Act::Take,
        }
    });
    let side = Side::of(store, stats, &receiver.url(), wide);
    assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("speaks of 4 rows, 5 were sent"));
    assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("another batch"));
    assert_eq!(side.push_once(PATIENCE), LastPush { batches: 1, rows: 5, unfinished: None });
}

#[test]
fn a_remote_that_takes_no_gzip_is_sent_plain_bodies_from_then_on() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 30, 20);
    let mut refuses = false;
    let receiver = Receiver::start(move |request: &Request| match request.header("content-encoding") {
        Some(_) if refuses => Act::status(415),
        Some(encoding) => {
            assert_eq!((encoding, request.header("transfer-encoding")), ("gzip", Some("chunked")));
            refuses = true;
            Act::Take
        }
        None => Act::Take,
    });
    let side = Side::of(store, stats, &receiver.url(), |setup| {
        wide(setup);
        setup.config.gzip = true;
    });
    for rows in [30, 20, 10] {
        assert_eq!(side.push_once(PATIENCE).rows, rows);
        side.store.add(Table::LlmTraces, i64::try_from(rows).unwrap() - 10, 20);
    }
    let encodings: Vec<bool> =
        receiver.requests().iter().map(|request| request.header("content-encoding").is_some()).collect();
    assert_eq!(encodings, [true, true, false, false]);
    let again = receiver.requests();
    assert_eq!(again[1].body, again[2].body);
    assert_eq!(again[1].header("idempotency-key"), again[2].header("idempotency-key"));
}

#[test]
fn a_remote_that_puts_off_everything_takes_nothing() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 1, 20);
    let receiver = Receiver::start(|_: &Request| Act::Take);
    let side = Side::of(store, stats, &receiver.url(), |setup| {
        wide(setup);
        setup.backoff.least = PATIENCE;
        setup.backoff.most = PATIENCE;
    });
    assert_eq!(side.push_once(PATIENCE).unfinished, None);
    side.store.add(Table::LlmTraces, 5100, 20);
    receiver.turn(|request: &Request| {
        let rows = request.rows.iter();
        Act::Name(207, rows.map(|(_, id)| json!({"trace_id": id, "code": "busy", "retryable": true})).collect())
    });
    assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("puts off more than 5000 rows"));
    let account = side.stats.store().rows[Table::LlmTraces.index()];
    assert_eq!((account.unsynced, account.waiting, account.dead), (5100, 5000, 0));
}

#[test]
fn what_one_refusal_made_small_grows_again() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 500, 200);
    let mut turn = 0;
    let receiver = Receiver::start(move |_: &Request| {
        turn += 1;
        if turn == 2 { Act::status(413) } else { Act::Take }
    });
    let side = Side::of(store, stats, &receiver.url(), |_| {});
    side.run_until_settled();
    let sizes: Vec<usize> = receiver.requests().iter().map(|request| request.body.len()).collect();
    assert!(sizes[2] <= sizes[1] / 2, "{sizes:?}");
    assert!(sizes[3..sizes.len() - 1].iter().any(|size| *size > sizes[1] * 3 / 4), "{sizes:?}");
}

#[test]
fn another_version_of_the_program_sends_the_same_rows_under_another_key() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 5, 20);
    let receiver = Receiver::start(|_: &Request| Act::status(503));
    let mut side = Side::of(store, stats, &receiver.url(), wide);
    let begin_anew = |side: &mut Side, version: &'static str| {
        let setup = setup_of(&side.store, &side.stats, &receiver.url(), |setup| {
            wide(setup);
            setup.version = version;
        });
        side.pusher = Arc::new(Pusher::new(setup));
        assert!(side.push_once(PATIENCE).unfinished.is_some());
    };
    for version in ["1.2.3", "1.2.3", "1.2.4"] {
        begin_anew(&mut side, version);
    }
    let keys: Vec<String> =
        receiver.requests().iter().map(|request| request.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys[0], keys[1], "the same program, the same bytes, the same key");
    assert_ne!(keys[1], keys[2]);
}

#[test]
fn a_lane_that_fails_holds_up_no_other() {
    let (stats, store) = stored();
    for table in Table::ALL {
        store.add(table, 5, 20);
    }
    // A backend for traces alone.
    let receiver = Receiver::start(|request: &Request| {
        let status = if request.head.starts_with("POST /in/v1/traces ") { 200 } else { 404 };
        Act::Answer(status, String::new(), String::new())
    });
    let side = Side::of(store, stats, &receiver.url(), |setup| {
        setup.config.format = PushFormat::Otlp;
        setup.config.gzip = true;
    });
    for _ in 0..3 {
        assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("TRACE_PUSH_TABLES"));
    }
    let unsynced = side.stats.store().rows.map(|account| account.unsynced);
    assert_eq!(unsynced, [0, 5, 5, 5]);
    side.store.add(Table::LlmTraces, 5, 20);
    side.push_once(PATIENCE);
    assert_eq!(side.stats.store().rows[Table::LlmTraces.index()].unsynced, 0);
}

/// Closes the connection as soon as it knows that a body is too long for it.
struct Abrupt;

impl Policy for Abrupt {
    fn before(&mut self, head: &str) -> Act {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if length.parse::<u64>().unwrap() > 200_000 { Act::CloseBefore } else { Act::Take }
    }

    fn after(&mut self, _request: &Request) -> Act {
        Act::Take
    }
}

#[test]
fn a_receiver_that_hangs_up_on_long_bodies_is_sent_shorter_ones() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 1000, 900);
    let receiver = Receiver::start(Abrupt);
    let side = Side::of(store, stats, &receiver.url(), wide);
    side.run_until_settled();
    assert_eq!(receiver.ids().len(), 1000);
    assert_eq!(side.store.dead(), BTreeSet::new());
}

#[test]
fn dead_letters_that_are_refused_again_keep_no_new_row_waiting() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 60, 20);
    let bad = store.ids_of(Table::LlmTraces);
    let never = bad.clone();
    let receiver = Receiver::start(move |request: &Request| {
        let named = request.rows.iter().filter(|(_, id)| never.contains(id));
        Act::Name(200, named.map(|(_, id)| json!({"trace_id": id, "code": "no", "retryable": false})).collect())
    });
    let side = Side::of(store, stats, &receiver.url(), wide);
    side.store.add(Table::LlmTraces, 100, 20);
    side.run_until_settled();
    assert_eq!(side.store.dead().len(), 60);
    receiver.turn(refusing(400, bad.clone()));
    let (reply, answer) = smol::channel::bounded(1);
    assert!(side.store.queue.command(Command::Revive { which: Revived::All, reply }));
    assert_eq!(answer.recv_blocking().unwrap().unwrap().revived, 60);
    side.store.add(Table::CustomEvents, 5, 20);
    side.push_once(PATIENCE);
    assert_eq!(side.stats.store().rows[Table::CustomEvents.index()].unsynced, 0, "new rows go first");
    let before = receiver.requests().len();
    side.push_once(PATIENCE);
    assert!(receiver.requests().len() - before <= 20, "and no storm of those that are refused");
}

#[test]
fn a_row_that_makes_the_receiver_fail_holds_up_no_other() {
    let (stats, store) = stored();
    store.add(Table::LlmTraces, 200, 20);
    let bad = store.ids_of(Table::LlmTraces)[77].clone();
    let receiver = Receiver::start(refusing(500, vec![bad.clone()]));
    let side = Side::of(store, stats, &receiver.url(), |setup| {
        wide(setup);
        setup.misconfigured.least = 20 * PATIENCE;
        setup.misconfigured.most = 20 * PATIENCE;
    });
    let (stopping, running) = side.run();
    let rows = || side.stats.store().rows[Table::LlmTraces.index()];
    assert!(is_so_within(PATIENCE, || (rows().unsynced, rows().waiting) == (1, 1)), "{:?}", rows());
    drop(stopping);
    running.join().unwrap();
    assert_eq!(receiver.ids().len(), 199);
    assert_eq!(side.store.dead(), BTreeSet::new(), "a receiver that fails says nothing of the row");
}

#[test]
fn a_table_of_which_every_row_is_refused_by_name_holds_up_no_other() {
    let (stats, store) = stored();
    let receiver = Receiver::start(|request: &Request| {
        let named = request.rows.iter().filter(|(table, _)| *table == Table::SystemMetrics);
        Act::Name(200, named.map(|(_, id)| json!({"trace_id": id, "code": "no", "retryable": false})).collect())
    });
    let side = Side::of(store, stats, &receiver.url(), wide);
    for _ in 0..4 {
        side.store.add(Table::SystemMetrics, 20, 20);
        side.push_once(PATIENCE);
    }
    side.store.add(Table::LlmTraces, 5, 20);
    side.push_once(PATIENCE);
    side.push_once(PATIENCE);
    assert_eq!(side.stats.store().rows[Table::LlmTraces.index()].unsynced, 0);
    assert_eq!(receiver.ids().len(), 5);
}
