//! A writer that is stuck: another connection holds the lock of the file.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use openclaw_trace::clock::Clock;
use openclaw_trace::event::{CustomEvent, Event, EventId, Kind};
use openclaw_trace::queue::{Limits, Offer, Outcome, Window, queue};
use openclaw_trace::stats::{Refusal, Stats, Work};
use openclaw_trace::store::{Command, Options, Writer};
use rusqlite::Connection;

use crate::store::options;
use crate::support::dir::TempDir;
use crate::support::server::{Server, Setup, until};

const START_MS: i64 = 1_795_458_732_000;

#[test]
fn a_writer_that_waits_for_a_lock_says_at_what_it_is_and_goes_on() {
    let dir = TempDir::new("stuck");
    let (clock, stats) = (Clock::by_hand(START_MS), Arc::new(Stats::default()));
    let options: Options = options(&dir.join("trace.db"));
    let writer = Writer::open(options, Arc::clone(&stats), clock.clone()).unwrap();
    assert_eq!(stats.writer.busy(clock.uptime()).at, Work::Idle);
    let (queue, inbox) = queue::<Command>(Limits::default(), Window::AtOnce, Arc::clone(&stats));
    let other = Connection::open(dir.join("trace.db")).unwrap();
    let writing = thread::spawn(move || writer.run(inbox));
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    clock.advance(Duration::from_secs(5));
    let mut batch = queue.batch();
    let kind = Kind::CustomEvent(Box::new(CustomEvent { name: "a".into(), ..CustomEvent::default() }));
    batch.push(Event { id: EventId::new(START_MS), received_at_ms: START_MS, kind });
    let Offer::Queued(ticket) = queue.offer(batch) else { panic!("the queue is empty") };
    until("it is at it", || stats.writer.busy(clock.uptime()).at == Work::Storing);
    clock.advance(Duration::from_secs(17));
    let busy = stats.writer.busy(clock.uptime());
    assert_eq!((busy.at, busy.time, busy.is_stuck()), (Work::Storing, Duration::from_secs(17), true));
    // SQLite waits for the lock for ten seconds of its own, which began a moment ago.
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(smol::block_on(ticket.settled()), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    until("it is idle", || stats.writer.busy(clock.uptime()).at == Work::Idle);
    queue.close();
    assert!(queue.command(Command::Close));
    writing.join().unwrap();
    assert_eq!(stats.writer.busy(clock.uptime()).time, Duration::ZERO);
}

fn event() -> &'static str {
    "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}"
}

fn health(server: &Server) -> (u16, serde_json::Value) {
    let answer = server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    (answer.status, answer.json())
}

#[test]
fn health_says_that_the_writer_is_stuck_and_refuses_once_nobody_would_be_answered_in_time() {
    let clock = Clock::by_hand(START_MS);
    let server = Server::start(Setup { clock: Some(clock.clone()), ..Setup::default() });
    clock.advance(Duration::from_secs(60));
    server.stats.writer.begin(Work::Checkpoint, clock.uptime());
    for (seconds, stuck, status) in [(14, false, 200), (1, true, 200), (14, true, 200), (1, true, 503)] {
        clock.advance(Duration::from_secs(seconds));
        let (found, health) = health(&server);
        let writer = &health["database"]["writer"];
        assert_eq!((found, &writer["stuck"], &writer["at"]), (status, &stuck.into(), &"checkpoint".into()), "{health}");
        let refusing = if status == 503 { "writer_stuck".into() } else { serde_json::Value::Null };
        assert_eq!(health["refusing"], refusing);
        let posted = server.ask(event());
        let wanted = if status == 503 { (503, Some("1")) } else { (202, None) };
        assert_eq!((posted.status, posted.header("retry-after")), wanted, "a request is refused when health says so");
    }
    assert_eq!(server.stats.ledger().refused[Refusal::StoreFailing as usize], 1);
    let (_, told) = health(&server);
    assert_eq!(told["database"]["writer"]["busy_ms"], 30_000);
    let metrics = server.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for line in [
        "openclaw_trace_writer_busy_seconds 30",
        "openclaw_trace_writer_stuck 1",
        "openclaw_trace_refusing{reason=\"writer_stuck\"} 1",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line}");
    }
    server.stats.writer.begin(Work::Idle, clock.uptime());
    assert_eq!((health(&server).0, server.ask(event()).status), (200, 202));
}

#[test]
fn a_stuck_writer_refuses_nothing_that_is_acknowledged_before_it_is_stored() {
    let clock = Clock::by_hand(START_MS);
    let vars = &[("TRACE_ACK", "queued")];
    let server = Server::start(Setup { clock: Some(clock.clone()), vars, ..Setup::default() });
    server.stats.writer.begin(Work::Storing, clock.uptime());
    clock.advance(Duration::from_secs(3600));
    let (status, health) = health(&server);
    assert_eq!((status, &health["database"]["writer"]["stuck"]), (200, &true.into()), "{health}");
    assert_eq!(server.ask(event()).status, 202);
}
