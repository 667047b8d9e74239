//! What the push leaves in the file: rows that wait and dead letters stay, are accounted for, and go in their turn.

use std::time::Duration;

use openclaw_trace::event::Table;
use openclaw_trace::queue::Outcome;
use openclaw_trace::stats::{Pruned, Refusal, TableRows};
use openclaw_trace::store::{Command, DeadLetter, Delivery, Options, Revival, Revived, Waiting};

use crate::store::{DAY, NOW, Store, event, event_at, metric_at, options, remote};
use crate::support::dir::TempDir;
use crate::support::sidecar::until;

fn dead(table: Table, id: i64) -> DeadLetter {
    DeadLetter { table, id, status: 400, code: None, message: None, attempts: 3 }
}

fn waiting(table: Table, id: i64) -> Waiting {
    Waiting { table, id, due_ms: NOW, attempts: 1, alone: false }
}

fn account(store: &Store, table: Table) -> TableRows {
    store.stats.store().rows[table.index()]
}

fn revive(store: &Store, which: Revived) -> Revival {
    let (reply, answer) = smol::channel::bounded(1);
    assert!(store.queue.command(Command::Revive { which, reply }));
    answer.recv_blocking().unwrap().unwrap()
}

#[test]
fn rows_that_wait_and_dead_letters_are_kept_while_those_that_the_remote_has_go() {
    let dir = TempDir::new("kept");
    let store = Store::open(Options { remote: Some(remote()), ..options(&dir.join("t.db")) });
    store.store((0..100).map(|_| event()).collect());
    assert!(store.deliver(Delivery {
        cursors: vec![(Table::CustomEvents, 90)],
        confirmed: [0, 0, 86, 0],
        later: vec![waiting(Table::CustomEvents, 1), waiting(Table::CustomEvents, 50)],
        dead: vec![dead(Table::CustomEvents, 2), dead(Table::CustomEvents, 90)],
        ..Delivery::default()
    }));
    let before = account(&store, Table::CustomEvents);
    assert_eq!((before.unsynced, before.waiting, before.dead), (12, 2, 2));
    store.clock.advance(8 * DAY);
    store.nudge();
    // The letters have had their time as well: they are let go, and their rows are old.
    until("what the remote has is gone", || account(&store, Table::CustomEvents).present == 12);
    let after = account(&store, Table::CustomEvents);
    assert_eq!((after.unsynced, after.waiting, after.dead, after.dead_let_go), (12, 2, 0, 2));
    assert_eq!(after.pruned[Pruned::Age as usize], 88);
    store.check_laws();
}

#[test]
fn a_dead_letter_is_kept_for_its_time_from_its_death_on() {
    let dir = TempDir::new("buried");
    let store = Store::open(Options { remote: Some(remote()), ..options(&dir.join("t.db")) });
    store.store((0..10).map(|_| event()).collect());
    store.clock.advance(6 * DAY);
    assert!(store.deliver(Delivery {
        cursors: vec![(Table::CustomEvents, 10)],
        dead: vec![dead(Table::CustomEvents, 3)],
        ..Delivery::default()
    }));
    store.clock.advance(2 * DAY);
    store.nudge();
    until("the others are gone", || account(&store, Table::CustomEvents).present == 1);
    assert_eq!(account(&store, Table::CustomEvents).dead, 1);
    store.clock.advance(6 * DAY);
    store.nudge();
    until("its time is over", || account(&store, Table::CustomEvents).present == 0);
    assert_eq!(account(&store, Table::CustomEvents).dead_let_go, 1);
    store.check_laws();
}

#[test]
fn a_full_file_gives_dead_letters_up_before_rows_that_the_remote_may_still_take() {
    let dir = TempDir::new("dead-size");
    let mut options = Options { remote: Some(remote()), ..options(&dir.join("t.db")) };
    options.retention.db_max_bytes = 4 << 20;
    let store = Store::open(options);
    let mut accepted = 0;
    while accepted < 300 {
        let Outcome::Stored { stored, .. } = store.store((0..10).map(|_| event_at(NOW, 4000)).collect()) else {
            panic!("refused too early")
        };
        accepted += i64::from(stored);
    }
    assert!(store.deliver(Delivery {
        cursors: vec![(Table::CustomEvents, 300)],
        dead: (1..=200).map(|id| dead(Table::CustomEvents, id)).collect(),
        later: (201..=300).map(|id| waiting(Table::CustomEvents, id)).collect(),
        ..Delivery::default()
    }));
    let mut more = 0;
    let refused = loop {
        match store.store((0..10).map(|_| event_at(NOW, 4000)).collect()) {
            Outcome::Stored { stored, .. } => more += i64::from(stored),
            Outcome::Refused(why) => break why,
        }
        assert!(more < 5000, "never refused");
    };
    assert_eq!(refused, Refusal::StoreFull);
    // Nothing is taken any more a moment before it is told why.
    until("every letter went first", || account(&store, Table::CustomEvents).dead == 0);
    let account = account(&store, Table::CustomEvents);
    assert_eq!(account.pruned[Pruned::Unsynced as usize], 200);
    assert_eq!((account.waiting, account.unsynced), (100, 100 + more), "and nothing else did");
    store.check_laws();
}

#[test]
fn dead_letters_that_are_sent_again_wait_and_no_letter_is_sent_twice() {
    let dir = TempDir::new("revived");
    let path = dir.join("t.db");
    let mut store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    let events: Vec<_> = (0..4).map(|_| event()).collect();
    let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    store.store(events);
    store.store(vec![metric_at(NOW)]);
    assert!(store.deliver(Delivery {
        cursors: vec![(Table::CustomEvents, 4), (Table::SystemMetrics, 1)],
        dead: vec![
            dead(Table::CustomEvents, 2),
            dead(Table::CustomEvents, 3),
            dead(Table::CustomEvents, 77),
            dead(Table::SystemMetrics, 1)
        ],
        ..Delivery::default()
    }));
    assert_eq!(account(&store, Table::CustomEvents).dead, 2, "of a row that is not there is no letter");
    let asked = vec![ids[1].clone(), ids[0].clone(), "nobody".to_owned()];
    let revival = revive(&store, Revived::TraceIds(asked));
    assert_eq!(revival, Revival { revived: 1, unknown: vec![ids[0].clone(), "nobody".to_owned()] });
    let now = account(&store, Table::CustomEvents);
    assert_eq!((now.unsynced, now.waiting, now.dead), (1, 1, 1));
    assert_eq!(revive(&store, Revived::All), Revival { revived: 2, unknown: vec![] });
    assert_eq!(revive(&store, Revived::All).revived, 0);
    let now = account(&store, Table::CustomEvents);
    assert_eq!((now.unsynced, now.waiting, now.dead), (2, 2, 0));
    // What waits is the same after a restart, and delivered once it is settled.
    store.close();
    let store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    assert_eq!(account(&store, Table::CustomEvents).unsynced, 2);
    let settled = vec![(Table::CustomEvents, 2), (Table::CustomEvents, 3), (Table::SystemMetrics, 1)];
    assert!(store.deliver(Delivery { settled, confirmed: [0, 0, 2, 1], ..Delivery::default() }));
    assert_eq!((account(&store, Table::CustomEvents).unsynced, account(&store, Table::SystemMetrics).unsynced), (0, 0));
    store.clock.advance(Duration::from_secs(1));
    store.check_laws();
}

#[test]
fn more_dead_letters_than_are_kept_let_the_oldest_go() {
    let dir = TempDir::new("many");
    let store = Store::open(Options { remote: Some(remote()), ..options(&dir.join("t.db")) });
    for _ in 0..11 {
        store.store((0..500).map(|_| event()).collect());
    }
    for hundred in 0..55 {
        store.clock.advance(Duration::from_secs(1));
        let first = hundred * 100 + 1;
        assert!(store.deliver(Delivery {
            cursors: vec![(Table::CustomEvents, first + 99)],
            dead: (first..first + 100).map(|id| dead(Table::CustomEvents, id)).collect(),
            ..Delivery::default()
        }));
    }
    let account = account(&store, Table::CustomEvents);
    assert_eq!((account.dead, account.dead_let_go, account.present), (5000, 500, 5500));
    let oldest: i64 = store.conn().query_row("SELECT min(row_id) FROM dead_letters", [], |row| row.get(0)).unwrap();
    assert_eq!(oldest, 501);
}

#[test]
fn a_table_that_is_not_pushed_counts_as_if_the_remote_had_its_rows() {
    let dir = TempDir::new("unpushed");
    let path = dir.join("t.db");
    let mut store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    store.store((0..5).map(|_| event()).collect());
    assert!(store.deliver(Delivery {
        cursors: vec![(Table::CustomEvents, 4)],
        later: vec![waiting(Table::CustomEvents, 2)],
        dead: vec![dead(Table::CustomEvents, 3)],
        ..Delivery::default()
    }));
    store.close();
    let mut remote = remote();
    remote.tables = vec![Table::LlmTraces];
    let store = Store::open(Options { remote: Some(remote), ..options(&path) });
    assert_eq!(account(&store, Table::CustomEvents).unsynced, 0);
    store.clock.advance(8 * DAY);
    store.nudge();
    until("they go when they are old", || account(&store, Table::CustomEvents).present == 0);
    store.check_laws();
}
