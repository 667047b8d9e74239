//! Random histories of a file: after each, the sums by the hour are what a simple model adds up over everything ever
//! stored.

mod model;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use rusqlite::Connection;

use self::model::Model;
use super::batch;
use crate::config::{RetentionConfig, Sync};
use crate::event::{
    Counted, CounterPoint, Event, EventId, Histogram, Kind, LlmTrace, Note, PicoUsd, Source, Status, Table, Unit,
};
use crate::queue::{Batch, Inbox, Limits, Offer, Queue, Window, queue};
use crate::stats::{CallCounts, Gains, Pruned, Stats};
use crate::store::file::{Database, Options};
use crate::store::insert::Inserts;
use crate::store::limits::{STEP_PAGES, Which};
use crate::store::prune::{self, Removal};
use crate::store::{notes, rollup};

const START_MS: i64 = 1_795_000_000_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

#[test]
fn sums_are_what_all_rows_ever_stored_add_up_to_after_any_history() {
    let first = std::env::var("HISTORIES_SEED").map_or(1, |seed| seed.parse().unwrap());
    let count: u64 = std::env::var("HISTORIES").map_or(12, |count| count.parse().unwrap());
    let mut happened = Happened::default();
    for seed in first..first + count {
        let told = Told(seed);
        let mut history = History::new(seed);
        for _ in 0..120 {
            history.step();
        }
        history.check();
        happened.add(&history.happened);
        drop(told);
    }
    eprintln!("{count} histories: {happened:?}");
    assert!(happened.least() >= count, "something hardly ever happened: {happened:?}");
}

/// Prints the seed if the test fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was HISTORIES_SEED={}", self.0);
        }
    }
}

/// What a history must have in it to prove anything.
#[derive(Debug, Default)]
struct Happened {
    rows: u64,
    duplicates: u64,
    ignored: u64,
    refused: u64,
    failed_transactions: u64,
    failed_commits: u64,
    removed: u64,
    restarts: u64,
    rows_of_schema_1: u64,
    moved: u64,
    decided_late: u64,
    rises: u64,
    gained: u64,
}

impl Happened {
    fn add(&mut self, more: &Happened) {
        self.rows += more.rows;
        self.duplicates += more.duplicates;
        self.ignored += more.ignored;
        self.refused += more.refused;
        self.failed_transactions += more.failed_transactions;
        self.failed_commits += more.failed_commits;
        self.removed += more.removed;
        self.restarts += more.restarts;
        self.rows_of_schema_1 += more.rows_of_schema_1;
        self.moved += more.moved;
        self.decided_late += more.decided_late;
        self.rises += more.rises;
        self.gained += more.gained;
    }

    fn least(&self) -> u64 {
        let all = [self.rows, self.duplicates, self.ignored, self.refused, self.failed_transactions, self.removed];
        let others = [
            self.restarts,
            self.rows_of_schema_1,
            self.moved,
            self.decided_late,
            self.rises,
            self.gained,
            self.failed_commits,
        ];
        all.into_iter().chain(others).min().unwrap_or(0)
    }
}

struct Request {
    events: Vec<Event>,
    notes: Vec<Note>,
    /// Whether one of its events breaks a rule of the schema.
    is_bad: bool,
}

struct History {
    random: Rng,
    now_ms: i64,
    directory: PathBuf,
    options: Options,
    database: Option<Database>,
    stats: Arc<Stats>,
    queue: Queue<()>,
    inbox: Inbox<()>,
    model: Model,
    /// Everything that was sent, to send it again.
    sent: Vec<Event>,
    /// Counters of the agents: service, start, and what they say.
    counters: Vec<CounterPoint>,
    happened: Happened,
}

impl Drop for History {
    fn drop(&mut self) {
        self.database = None;
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

impl History {
    fn new(seed: u64) -> History {
        let directory = std::env::temp_dir().join(format!("openclaw-trace-history-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let retention = RetentionConfig {
            events: days(7),
            metrics: days(2),
            db_max_bytes: 50 << 20,
            disk_max_percent: 100,
            drop_oldest: false,
        };
        let path = directory.join("t.db");
        let options = Options { path, sync: Sync::Normal, retention, remote: None, acknowledged_early: false };
        let stats = Arc::new(Stats::default());
        let (queue, inbox) = queue(Limits::default(), Window::AtOnce, Arc::clone(&stats));
        let mut history = History {
            random: Rng::with_seed(seed),
            now_ms: START_MS,
            directory,
            options,
            database: None,
            stats,
            queue,
            inbox,
            model: Model::new(START_MS),
            sent: Vec::new(),
            counters: Vec::new(),
            happened: Happened::default(),
        };
        history.open();
        history
    }

    fn open(&mut self) {
        let database = Database::open(&self.options, self.now_ms).unwrap();
        // What breaks a rule of the schema, by its name.
        let rule = "CREATE TEMP TRIGGER rule BEFORE INSERT ON llm_traces WHEN NEW.operation = 'bad' \
                    BEGIN SELECT RAISE(ABORT, 'a rule'); END";
        database.conn.execute_batch(rule).unwrap();
        self.database = Some(database);
    }

    fn step(&mut self) {
        self.now_ms += self.random.i64(0..10 * MINUTE_MS);
        match self.random.u8(0..20) {
            0 => self.restart(),
            1 | 2 => self.remove_old(),
            3 => self.keep_up(),
            4 => self.check(),
            _ => self.store(),
        }
    }

    fn store(&mut self) {
        let requests: Vec<Request> = (0..self.random.usize(1..4)).map(|_| self.request()).collect();
        for request in &requests {
            let mut batch = self.queue.batch();
            fill(&mut batch, request);
            assert!(matches!(self.queue.give(batch), Offer::Queued(())));
        }
        let entries = self.inbox.next(Some(Duration::ZERO)).entries;
        assert_eq!(entries.len(), requests.len());
        let fails = match self.random.u8(0..12) {
            0 => Fails::Statement,
            1 => Fails::Commit,
            _ => Fails::Nothing,
        };
        let database = self.database.as_mut().unwrap();
        let (before, told) = (hourly(&database.conn), told(&self.stats.gains()));
        let stored = match store_in(database, &entries, self.now_ms, fails, &self.stats) {
            Ok(stored) => stored,
            Err(_) => {
                match fails {
                    Fails::Nothing => panic!("nothing was to fail"),
                    Fails::Statement => self.happened.failed_transactions += 1,
                    Fails::Commit => self.happened.failed_commits += 1,
                }
                store_in(database, &entries, self.now_ms, Fails::Nothing, &self.stats).unwrap()
            }
        };
        self.stats.gained(&stored.gains);
        let gained = difference(&self::told(&self.stats.gains()), &told);
        assert_eq!(gained, difference(&hourly(&database.conn), &before), "what /metrics counts, and usage_hourly");
        self.happened.gained += gained.iter().filter(|gain| **gain > 0).count() as u64;
        let outcomes = stored.outcomes;
        for (request, outcome) in requests.iter().zip(&outcomes) {
            let told = self.model.store(request, self.now_ms, &mut self.happened);
            assert_eq!(*outcome, told);
        }
        self.inbox.settle(entries.into_iter().zip(outcomes));
        let ledger = self.stats.ledger();
        let settled = ledger.stored + ledger.duplicate + ledger.refused_total() + ledger.ignored;
        assert_eq!((ledger.offered, ledger.in_flight), (settled, 0));
    }

    fn request(&mut self) -> Request {
        let mut events: Vec<Event> = (0..self.random.usize(0..6)).map(|_| self.event()).collect();
        let notes = (0..self.random.usize(0..4)).map(|_| self.note()).collect::<Vec<_>>();
        self.sent.extend(events.iter().cloned());
        let is_bad = self.random.u8(0..10) == 0;
        if is_bad {
            let place = self.random.usize(0..=events.len());
            let mut bad = self.event();
            let Kind::LlmTrace(trace) = &mut bad.kind else { panic!("{bad:?}") };
            (trace.operation, trace.unit) = ("bad".into(), Unit::Request);
            bad.id = EventId::new(self.now_ms);
            events.insert(place, bad);
        }
        if events.is_empty() && notes.is_empty() {
            events.push(self.event());
        }
        Request { events, notes, is_bad }
    }

    fn event(&mut self) -> Event {
        if !self.sent.is_empty() && self.random.u8(0..6) == 0 {
            let place = self.random.usize(0..self.sent.len());
            return self.sent[place].clone();
        }
        let trace = self.trace();
        Event { id: EventId::new(self.now_ms), received_at_ms: self.now_ms, kind: Kind::LlmTrace(Box::new(trace)) }
    }

    fn trace(&mut self) -> LlmTrace {
        let now_ms = self.now_ms;
        let r = &mut self.random;
        let unit = *r.choice(Unit::ALL).unwrap();
        let long = "\u{20ac}".repeat(100);
        let timestamp_ms = match r.u8(0..10) {
            0 => now_ms - r.i64(390..410) * DAY_MS,
            1 => now_ms + r.i64(0..2 * DAY_MS),
            2 => *r.choice(&[0, -5, i64::MAX, i64::MIN]).unwrap(),
            3..=5 => now_ms - r.i64(0..3 * DAY_MS),
            _ => now_ms - r.i64(0..HOUR_MS),
        };
        let mut number = |most: i64| (r.u8(0..4) > 0).then(|| r.i64(0..most));
        let (input_tokens, output_tokens, cost, latency_ms, ttft_ms) =
            (number(3000), number(500), number(1_000_000_000), number(100_000), number(9000));
        LlmTrace {
            timestamp_ms,
            provider: word(r, &["openai", "anthropic"]),
            request_model: word(r, &["m1", "m2", &long]).unwrap_or_default(),
            operation: "chat".into(),
            input_tokens,
            output_tokens,
            cache_read_tokens: input_tokens.map(|tokens| tokens / 2),
            cache_write_tokens: input_tokens.map(|tokens| tokens / 3),
            reasoning_tokens: output_tokens.map(|tokens| tokens / 2),
            cost: cost.map(PicoUsd),
            latency_ms,
            ttft_ms,
            status: *r.choice(Status::ALL).unwrap(),
            agent_id: word(r, &["id-1"]),
            agent_name: word(r, &["main", ""]).filter(|_| r.bool()),
            channel: word(r, &["webchat", "cron"]).filter(|_| r.bool()),
            unit,
            otel_trace_id: word(r, &TRACES),
            otel_parent_span_id: word(r, &SPANS),
            input_text: Some("x".repeat(r.usize(0..3000)).into()),
            service_name: word(r, &SERVICES),
            source: *r.choice(&[Source::Native, Source::OtlpPb, Source::OtlpJson]).unwrap(),
            exporter: word(r, &EXPORTERS).filter(|_| unit == Unit::TurnSum).map(|name| Arc::from(&*name)),
            ..LlmTrace::default()
        }
    }

    fn note(&mut self) -> Note {
        let r = &mut self.random;
        let some = |words: &[&str], r: &mut Rng| Box::<str>::from(*r.choice(words).unwrap());
        match r.u8(0..4) {
            0 => Note::Exporter { exporter: Arc::from(&*some(&EXPORTERS, r)), tokens_on_calls: r.u8(0..3) == 0 },
            1 => Note::Run {
                otel_trace_id: some(&TRACES, r),
                otel_span_id: some(&SPANS, r),
                channel: word(r, &["webchat", "telegram"]),
                trigger: word(r, &["user", "cron"]),
            },
            2 => Note::Agent { otel_trace_id: some(&TRACES, r), agent_name: some(&["main", "helper-1"], r) },
            _ => Note::Counter(Box::new(self.counter())),
        }
    }

    /// What an agent counts: it rises, begins anew, is lost and sent twice.
    fn counter(&mut self) -> CounterPoint {
        let now_ms = self.now_ms;
        let r = &mut self.random;
        if self.counters.is_empty() || r.u8(0..6) == 0 {
            let began = *r.choice(&[0, START_MS - DAY_MS, START_MS - MINUTE_MS, now_ms]).unwrap();
            let counted = [Counted::Tokens, Counted::PicoUsd, Counted::Calls];
            self.counters.push(CounterPoint {
                service_name: word(r, &SERVICES).unwrap_or_default(),
                series: r.u128(..).to_be_bytes(),
                start_ms: began,
                timestamp_ms: now_ms - MINUTE_MS,
                is_cumulative: r.u8(0..4) > 0,
                counted: *r.choice(&counted).unwrap(),
                value: r.i64(0..1000),
            });
        }
        let place = r.usize(0..self.counters.len());
        let counter = &mut self.counters[place];
        let before = counter.clone();
        match r.u8(0..8) {
            // Sent again.
            0 => return before,
            // Sent again, from before it began anew.
            1 => return CounterPoint { start_ms: before.start_ms - 1, ..before },
            // Began anew, and says so or not.
            2 => (counter.start_ms, counter.value) = (now_ms, r.i64(0..100)),
            3 => counter.value = r.i64(0..100),
            _ => counter.value += r.i64(0..500),
        }
        counter.timestamp_ms = counter.timestamp_ms.max(now_ms - r.i64(0..MINUTE_MS));
        counter.clone()
    }

    /// Closes the file or not, and opens it again; sometimes a program with schema 1 was there in between.
    fn restart(&mut self) {
        let database = self.database.take().unwrap();
        if self.random.bool() {
            database.empty_log().unwrap();
            database.close().unwrap();
        }
        self.happened.restarts += 1;
        self.open();
        if self.random.bool() {
            let events: Vec<Event> = (0..self.random.usize(1..30)).map(|_| self.event()).collect();
            let database = self.database.take().unwrap();
            store_by_schema_1(&database, &events);
            drop(database);
            self.happened.rows_of_schema_1 += self.model.store_by_schema_1(&events);
            self.open();
        }
    }

    fn remove_old(&mut self) {
        let database = self.database.as_mut().unwrap();
        let before_ms = self.now_ms - self.random.i64(0..4 * HOUR_MS);
        let (conn, rows) = (&mut database.conn, &mut database.rows);
        let removal =
            Removal { which: Which::AnyEvents, before_ms: Some(before_ms), cause: Pruned::Age, pages: STEP_PAGES };
        let removed = prune::remove(conn, rows, None, removal, self.now_ms).unwrap();
        self.happened.removed += removed as u64;
        let mut statement = conn.prepare("SELECT trace_id FROM llm_traces").unwrap();
        let present = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        self.model.rows_left(&present);
    }

    fn keep_up(&mut self) {
        let database = self.database.as_mut().unwrap();
        notes::let_go(&database.conn, self.now_ms).unwrap();
        while rollup::let_go(&mut database.conn, &mut database.sizes, self.now_ms).unwrap() {}
        self.model.let_go(self.now_ms);
    }

    fn check(&mut self) {
        let database = self.database.as_ref().unwrap();
        self.model.check(&database.conn);
        assert_eq!(rollup::sizes(&database.conn, 50 << 20).unwrap(), database.sizes, "the sizes that are kept");
        let account = database.rows[Table::LlmTraces.index()];
        assert_eq!(account.stored, account.present + account.pruned.iter().sum::<i64>());
    }
}

const TRACES: [&str; 5] = ["t1", "t2", "t3", "t4", "t5"];
const SPANS: [&str; 3] = ["s1", "s2", "s3"];
const SERVICES: [&str; 3] = ["openclaw", "claude", ""];
const EXPORTERS: [&str; 4] = ["openclaw/1", "openclaw/2", "openclaw/3", "openclaw/4"];

/// One of these words, or none.
fn word(random: &mut Rng, words: &[&str]) -> Option<Box<str>> {
    words.get(random.usize(0..=words.len())).map(|word| Box::from(*word))
}

fn fill(batch: &mut Batch, request: &Request) {
    request.notes.iter().for_each(|note| batch.note(note.clone()));
    request.events.iter().for_each(|event| batch.push(event.clone()));
}

/// What of a transaction fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fails {
    Nothing,
    /// There is no room for one page more, if one is needed.
    Statement,
    /// All of it is done, and cannot be committed.
    Commit,
}

/// Stores a batch.
fn store_in(
    database: &mut Database,
    entries: &[crate::queue::Entry],
    now_ms: i64,
    fails: Fails,
    stats: &Stats,
) -> rusqlite::Result<batch::Stored> {
    let pages_max = if fails == Fails::Statement { 1 } else { 1_000_000 };
    database.conn.query_row(&format!("PRAGMA max_page_count = {pages_max}"), [], |_| Ok(()))?;
    database.conn.commit_hook(Some(move || fails == Fails::Commit))?;
    let stored = batch::store(database, entries, now_ms, stats);
    database.conn.commit_hook(None::<fn() -> bool>)?;
    stored
}

/// What `/metrics` tells apart whatever the names are: calls by status, tokens by kind, costs, unpriced, and how many have a
/// length and a time to the first token.
type Totals = [i64; 13];

/// All that `usage_hourly` counts.
fn hourly(conn: &Connection) -> Totals {
    let sql = "SELECT status, calls, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, \
               cost_picousd, unpriced, latency_buckets, ttft_buckets FROM usage_hourly";
    let mut totals = Totals::default();
    let mut statement = conn.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let status = Status::parse(&row.get::<_, String>(0).unwrap()).unwrap();
        totals[status as usize] += row.get::<_, i64>(1).unwrap();
        for place in 2..9 {
            totals[2 + place] += row.get::<_, i64>(place).unwrap();
        }
        for place in [9, 10] {
            let buckets: Vec<u8> = row.get(place).unwrap();
            totals[2 + place] += Histogram::decode(&buckets).unwrap().count() as i64;
        }
    }
    totals
}

/// All that `/metrics` counts.
fn told(gains: &Gains) -> Totals {
    let mut totals = Totals::default();
    for (_, counts) in gains.calls.rows() {
        let CallCounts { calls, tokens, cost, unpriced, latency, ttft } = *counts;
        let last = [cost.0 as u64, unpriced, latency.count, ttft.count];
        let all = calls.into_iter().chain(tokens).chain(last);
        totals.iter_mut().zip(all).for_each(|(total, count)| *total += count as i64);
    }
    totals
}

fn difference(after: &Totals, before: &Totals) -> Totals {
    std::array::from_fn(|place| after[place] - before[place])
}

/// What a program does that knows nothing of sums.
fn store_by_schema_1(database: &Database, events: &[Event]) {
    let nothing = notes::Learnt::default();
    let mut inserts = Inserts::new(&database.conn);
    let stored = events.iter().filter(|event| inserts.insert(event, &nothing).unwrap()).count();
    prune::book_stored(&database.conn, Table::LlmTraces, stored as i64).unwrap();
}
