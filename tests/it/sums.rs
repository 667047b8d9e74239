//! The sums by the hour through the doors of the writer: what is told of them, and that they never stand in its way.

use std::sync::Arc;
use std::time::Duration;

use openclaw_trace::event::{
    Counted, CounterPoint, Event, EventId, Kind, LlmTrace, Note, PicoUsd, Source, Table, Unit, Value,
};
use openclaw_trace::queue::Outcome;
use openclaw_trace::space::Space;
use openclaw_trace::stats::StoreState;
use openclaw_trace::store::Reader;
use rusqlite::Connection;

use crate::store::{NOW, Store, fill, options};
use crate::support::dir::TempDir;
use crate::support::sidecar::until;

const HOUR: Duration = Duration::from_secs(3600);

fn call(number: u32) -> LlmTrace {
    LlmTrace {
        timestamp_ms: NOW - 1000,
        request_model: "m".into(),
        input_tokens: Some(100),
        output_tokens: Some(10),
        cost: Some(PicoUsd(1_000_000)),
        otel_trace_id: Some(format!("{number:032x}").into()),
        otel_span_id: Some(format!("{number:016x}").into()),
        otel_parent_span_id: Some("00000000000000aa".into()),
        service_name: Some("openclaw".into()),
        source: Source::OtlpPb,
        ..LlmTrace::default()
    }
}

fn event(trace: LlmTrace) -> Event {
    event_at(NOW, trace)
}

fn event_at(received_at_ms: i64, trace: LlmTrace) -> Event {
    Event { id: EventId::new(received_at_ms), received_at_ms, kind: Kind::LlmTrace(Box::new(trace)) }
}

fn sum_of_turn(number: u32) -> Event {
    event(LlmTrace { unit: Unit::TurnSum, exporter: Some("openclaw/7".into()), ..call(number) })
}

fn exporter(tokens_on_calls: bool) -> Note {
    Note::Exporter { exporter: "openclaw/7".into(), tokens_on_calls }
}

fn run_of(number: u32) -> Note {
    Note::Run {
        otel_trace_id: format!("{number:032x}").into(),
        otel_span_id: "00000000000000aa".into(),
        channel: Some("webchat".into()),
        trigger: Some("user".into()),
    }
}

fn counter(timestamp_ms: i64, value: i64) -> Note {
    Note::Counter(Box::new(CounterPoint {
        service_name: "openclaw".into(),
        series: [1; 16],
        start_ms: NOW,
        timestamp_ms,
        is_cumulative: true,
        counted: Counted::Tokens,
        value,
    }))
}

fn number(store: &Store, sql: &str) -> i64 {
    let conn = Connection::open(store.path()).unwrap();
    conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap().unwrap_or(0)
}

const STORED: Outcome = Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 };
const IGNORED: Outcome = Outcome::Stored { stored: 0, duplicates: 0, ignored: 1 };

#[test]
fn a_sum_of_a_turn_counts_once_it_is_known_that_its_calls_say_nothing_and_is_no_row_if_they_do() {
    let dir = TempDir::new("sum");
    let mut store = Store::open(options(&dir.join("t.db")));
    assert_eq!(store.store(vec![sum_of_turn(1)]), STORED);
    assert_eq!(number(&store, "SELECT count(*) FROM usage_hourly"), 0, "nobody knows yet");
    let tokenless = LlmTrace { input_tokens: None, output_tokens: None, cost: None, ..call(2) };
    assert_eq!(store.store_with(vec![event(tokenless)], vec![exporter(false)]), STORED);
    assert_eq!(store.store(vec![sum_of_turn(3)]), STORED);
    let usage = "SELECT calls * 1000000 + turn_sums * 10000 + input_tokens FROM usage_hourly";
    assert_eq!(number(&store, usage), 1_000_000 + 20_000 + 200);
    assert_eq!(number(&store, "SELECT count(*) FROM undecided_sums"), 0);
    store.close();

    // It was updated, and puts tokens on its calls now: known before the events of the same request.
    let store = Store::open(options(&dir.join("t.db")));
    assert_eq!(store.store_with(vec![sum_of_turn(4)], vec![exporter(true)]), IGNORED);
    assert_eq!(store.store_with(vec![sum_of_turn(4)], vec![exporter(false)]), IGNORED, "once true stays true");
    assert_eq!(number(&store, usage), 1_000_000 + 20_000 + 200);
    assert_eq!(number(&store, "SELECT count(*) FROM llm_traces"), 3);
    let ledger = store.stats.ledger();
    assert_eq!((ledger.ignored, store.stats.ignored_names()["openclaw.model.usage"]), (2, 2));
    store.check_laws();
}

#[test]
fn a_sum_that_nobody_knows_of_never_counts_when_its_calls_turn_out_to_have_tokens() {
    let dir = TempDir::new("never");
    let store = Store::open(options(&dir.join("t.db")));
    let by_hand = LlmTrace { unit: Unit::TurnSum, ..call(1) };
    assert_eq!(store.store(vec![sum_of_turn(1), sum_of_turn(2), event(by_hand)]), {
        Outcome::Stored { stored: 3, duplicates: 0, ignored: 0 }
    });
    assert_eq!(store.store_with(vec![event(call(3))], vec![exporter(true)]), STORED);
    assert_eq!(number(&store, "SELECT sum(turn_sums) FROM usage_hourly"), 0);
    assert_eq!(number(&store, "SELECT sum(row_tokens) FROM coverage_hourly"), 110);
    store.check_laws();
}

#[test]
fn a_call_learns_its_channel_and_agent_from_spans_that_come_later_and_is_pushed_with_them() {
    let dir = TempDir::new("late");
    let store = Store::open(options(&dir.join("t.db")));
    store.store(vec![event(call(1)), event(LlmTrace { channel: Some("cron".into()), ..call(2) })]);
    store.store_with(Vec::new(), vec![run_of(1), run_of(2)]);
    let agent = |number: u32| Note::Agent { otel_trace_id: format!("{number:032x}").into(), agent_name: "main".into() };
    store.store_with(Vec::new(), vec![agent(1)]);
    // In the same request, or before: it is in the row itself.
    store.store_with(vec![event(call(3))], vec![run_of(3), agent(3)]);
    // An hour later it is too late.
    store.store(vec![event(call(4))]);
    store.clock.advance(HOUR + Duration::from_millis(1));
    store.store_with(Vec::new(), vec![run_of(4)]);

    let mut seen = Vec::new();
    let text = |values: &[(&str, Value<'_>)], wanted: &str| {
        let (_, value) = values.iter().find(|(name, _)| *name == wanted).unwrap();
        if let Value::Text(text) = value { (*text).to_owned() } else { String::new() }
    };
    let reader = Reader::open(store.path()).unwrap();
    let mut each = |_: i64, values: &[(&'static str, Value<'_>)]| {
        seen.push(["agent_name", "channel", "trigger"].map(|name| text(values, name)).join(" "));
    };
    reader.rows(Table::LlmTraces, 0, 10, &mut each).unwrap();
    assert_eq!(seen, ["main webchat user", " cron user", "main webchat user", "  "]);
    for (agent, channel, calls) in [("main", "webchat", 2), ("", "cron", 1), ("", "", 1)] {
        let sql = format!("SELECT calls FROM usage_hourly WHERE agent = '{agent}' AND channel = '{channel}'");
        assert_eq!(number(&store, &sql), calls, "{agent} {channel}");
    }
    assert_eq!(number(&store, "SELECT count(*) FROM usage_hourly"), 3);
    assert_eq!(number(&store, "SELECT count(*) FROM llm_traces WHERE channel = 'webchat'"), 1);
}

#[test]
fn the_day_and_the_coverage_of_every_service_are_told_after_a_commit_and_when_the_day_ends() {
    let dir = TempDir::new("told");
    let mut store = Store::open(options(&dir.join("t.db")));
    let unpriced = LlmTrace { cost: None, ..call(2) };
    let late = LlmTrace { timestamp_ms: NOW - 24 * HOUR.as_millis() as i64, ..call(3) };
    store.store_with(vec![event(call(1)), event(unpriced), event(late)], vec![counter(NOW, 200)]);
    let told = |store: &Store| {
        let usage = store.stats.store().usage.clone();
        let coverage = usage.coverage.first().map(|c| (c.service_name.to_string(), c.row_tokens, c.reported_tokens));
        (usage.day_cost.0, usage.day_unpriced, coverage)
    };
    let openclaw = |rows, reported| Some(("openclaw".to_owned(), rows, reported));
    // 24 hours ago is another day, and this hour has no more tokens than were counted.
    store.clock.advance(Duration::from_secs(2));
    until("it is told", || told(&store) == (1_000_000, 1, openclaw(200, 200)));
    store.clock.advance(2 * HOUR);
    store.store_with(vec![event_at(NOW + 7_200_000, LlmTrace { timestamp_ms: NOW + 7_200_000, ..call(5) })], vec![]);
    until("the hour is over", || told(&store) == (2_000_000, 1, openclaw(220, 200)));
    store.close();
    let store = Store::open(options(&dir.join("t.db")));
    assert_eq!(told(&store).0, 2_000_000, "told when it is opened");
    store.clock.advance(24 * HOUR);
    store.nudge();
    until("the day is another", || told(&store).0 == 0);
}

#[test]
fn the_smallest_file_holds_sums_and_notes_of_strangers_and_takes_events_for_ever() {
    let dir = TempDir::new("smallest");
    let mut options = options(&dir.join("t.db"));
    options.retention.db_max_bytes = 2 << 20;
    let store = Store::open(options);
    let mut random = fastrand::Rng::with_seed(5);
    let long = |random: &mut fastrand::Rng| Box::<str>::from(format!("{:032x}", random.u128(..)).repeat(8));
    for round in 0..150 {
        let now_ms = store.clock.now_ms();
        let events = (0..40).map(|n| {
            let names = LlmTrace {
                timestamp_ms: now_ms - random.i64(0..300) * 24 * 3_600_000,
                provider: Some(long(&mut random)),
                request_model: long(&mut random),
                agent_id: Some(long(&mut random)),
                service_name: Some(long(&mut random)),
                latency_ms: Some(random.i64(0..90_000_000)),
                ..call(round * 100 + n)
            };
            event_at(now_ms, names)
        });
        let mut events: Vec<Event> = events.collect();
        events.push(event_at(
            now_ms,
            LlmTrace { unit: Unit::TurnSum, exporter: Some(Arc::from(&*long(&mut random))), ..call(round * 100 + 50) },
        ));
        let notes = (0..40).flat_map(|n| {
            let id: Box<str> = format!("{:032x}", random.u128(..)).into();
            let series = random.u128(..).to_be_bytes();
            [
                Note::Exporter { exporter: Arc::from(&*long(&mut random)), tokens_on_calls: n % 2 == 0 },
                Note::Run {
                    otel_trace_id: id.clone(),
                    otel_span_id: "00000000000000aa".into(),
                    channel: Some(long(&mut random)),
                    trigger: Some(long(&mut random)),
                },
                Note::Agent { otel_trace_id: id, agent_name: long(&mut random) },
                Note::Counter(Box::new(CounterPoint {
                    service_name: long(&mut random),
                    series,
                    start_ms: now_ms,
                    timestamp_ms: now_ms - random.i64(0..300) * 24 * 3_600_000,
                    is_cumulative: true,
                    counted: Counted::Calls,
                    value: 1,
                })),
            ]
        });
        let notes = notes.collect();
        let outcome = store.store_with(events, notes);
        assert!(matches!(outcome, Outcome::Stored { .. }), "round {round}: {outcome:?}");
        store.clock.advance(Duration::from_secs(61));
    }
    until("it is at rest within its limit", || {
        store.nudge();
        store.stats.store().file_bytes <= 2 << 20
    });
    assert_eq!(store.stats.store().state, StoreState::Ok);
    let left = number(&store, "SELECT count(*) FROM llm_traces");
    assert!(left >= 100, "sums and notes leave room for {left} rows only");
    store.check_laws();
}

#[test]
fn a_limit_that_is_lowered_costs_the_oldest_sums_and_not_the_store() {
    let dir = TempDir::new("lowered");
    let path = dir.join("t.db");
    let mut store = Store::open(options(&path));
    for round in 0..60 {
        let events = (0..100).map(|n| {
            let timestamp_ms = NOW - i64::from(round * 100 + n) * 60_000;
            event(LlmTrace { timestamp_ms, request_model: format!("{round}-{n}").repeat(30).into(), ..call(n) })
        });
        store.store(events.collect());
    }
    let before = number(&store, "SELECT sum(calls) FROM usage_hourly");
    assert_eq!(before, 6000);
    store.close();
    let mut options = options(&path);
    options.retention.db_max_bytes = 2 << 20;
    let store = Store::open(options);
    until("the file is small", || {
        store.nudge();
        store.stats.store().file_bytes <= 2 << 20
    });
    assert!(matches!(store.store(vec![event(call(1))]), Outcome::Stored { stored: 1, .. }));
    let after = number(&store, "SELECT sum(calls) FROM usage_hourly");
    assert!((1000..before).contains(&after), "{after} calls are left in the sums");
    let newest = number(&store, "SELECT max(hour) FROM usage_hourly");
    assert_eq!(newest, NOW - NOW % 3_600_000 - if NOW % 3_600_000 < 1000 { 3_600_000 } else { 0 });
    store.check_laws();
}

#[test]
fn on_a_full_disk_rows_without_sums_are_added_before_they_make_room() {
    let Some(dir) = TempDir::on_tmpfs("unrolled", "8m") else { return };
    let path = dir.join("t.db");
    let mut store = Store::open(options(&path));
    while Space::of(dir.path()).unwrap().free_bytes > 512 << 10 {
        let events = (0..50).map(|n| event(LlmTrace { input_text: Some("x".repeat(1000).into()), ..call(n) }));
        store.store(events.collect());
    }
    store.close();
    // As a program with schema 1 leaves them.
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("DELETE FROM usage_hourly; DELETE FROM coverage_hourly; UPDATE row_counts SET rolled_id = 0")
        .unwrap();
    drop(conn);
    fill(&dir.join("stranger"));
    let store = Store::open(options(&path));
    until("there is room", || store.queue.refusing().is_none());
    for _ in 0..40 {
        let events = (0..50).map(|n| event(LlmTrace { input_text: Some("x".repeat(1000).into()), ..call(n) }));
        assert!(matches!(store.store(events.collect()), Outcome::Stored { stored: 50, .. }));
    }
    let stored = store.stats.store().rows[Table::LlmTraces.index()].stored;
    assert_eq!(number(&store, "SELECT sum(calls) FROM usage_hourly"), stored);
    store.check_laws();
}
