//! Every counter and gauge, in one place: what `/health` and `/metrics` read.
//!
//! The [`Ledger`] keeps the law that nothing vanishes uncounted. It is one lock, so that a snapshot
//! satisfies the law at every moment:
//! `offered = stored + duplicate + refused + invalid + ignored + in_flight`.

mod calls;
mod push;
mod sample;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use calls::{CallCounts, Durations, ErrorCounts, Gains, LATENCY_MS, Named, TOKENS, TTFT_MS};
pub use push::{Circuit, PushReport};
pub use sample::{GAUGES, Measure, SOCKETS, SUMS, Sampled};
pub use work::{Busy, STUCK_AFTER, Work, WriterStats};

use crate::clock::day_start;
use crate::event::{Coverage, PicoUsd, SystemMetric, Table};

/// All counters of one process. Shared by everybody, owned by `serve`.
#[derive(Debug, Default)]
pub struct Stats {
    ledger: Mutex<Ledger>,
    ignored_names: Mutex<BTreeMap<String, u64>>,
    unpriced: Mutex<BTreeMap<String, u64>>,
    store: Mutex<StoreReport>,
    push: Mutex<PushReport>,
    gains: Mutex<Gains>,
    sampled: Mutex<Sampled>,
    /// When the process started, Unix milliseconds; 0 = nobody has said.
    pub started_ms: Gauge,
    /// What the writer is at.
    pub writer: WriterStats,
    /// By which door events came, and when last.
    pub signals: Signals,
    /// The listener.
    pub http: HttpStats,
    /// The queue between the doors and the writer.
    pub queue: QueueStats,
    /// What a day may cost.
    pub budget: BudgetStats,
    /// The gateway's log that is followed.
    pub openclaw_log: LogStats,
}

/// What became of every event that was offered since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Events that anybody offered.
    pub offered: u64,
    /// Stored as new rows.
    pub stored: u64,
    /// Already stored under the same id.
    pub duplicate: u64,
    /// Not taken now; the producer was told to come again.
    pub refused: [u64; Refusal::ALL.len()],
    /// Not acceptable as they are; the producer was told why.
    pub invalid: u64,
    /// OTLP records that map to no row.
    pub ignored: u64,
    /// In the queue, or in a transaction that has not ended.
    pub in_flight: u64,
}

/// Why an event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The queue had no room for the whole request.
    QueueFull,
    /// The disk, or the file's own limit, is full.
    StoreFull,
    /// The database answers with errors.
    StoreFailing,
    /// The sidecar is stopping.
    Stopping,
}

/// Why a POST would be refused although the queue would take its events: no room for its body.
pub const BODIES_FULL: &str = "bodies_full";
/// Likewise: the writer is stuck for so long that whoever waits for it is told so before it is done.
pub const WRITER_STUCK: &str = "writer_stuck";

impl Refusal {
    /// All, in the order of [`Ledger::refused`].
    pub const ALL: [Refusal; 4] = [Refusal::QueueFull, Refusal::StoreFull, Refusal::StoreFailing, Refusal::Stopping];

    /// The word in `/health`.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::QueueFull => "queue_full",
            Refusal::StoreFull => "store_full",
            Refusal::StoreFailing => "store_failing",
            Refusal::Stopping => "stopping",
        }
    }

    /// What the producer is told.
    pub fn message(self) -> &'static str {
        match self {
            Refusal::QueueFull => "the queue is full, send the same again later",
            Refusal::StoreFull => "the store is full, send the same again later",
            Refusal::StoreFailing => "the store cannot write now, send the same again later",
            Refusal::Stopping => "the sidecar is stopping, send the same again later",
        }
    }
}

impl Ledger {
    /// Events that were refused, for whatever reason.
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }
}

impl Stats {
    /// What became of the events so far.
    pub fn ledger(&self) -> Ledger {
        *locked(&self.ledger)
    }

    /// `count` events were put into the queue.
    pub fn count_queued(&self, count: u64) {
        let mut ledger = locked(&self.ledger);
        ledger.offered += count;
        ledger.in_flight += count;
    }

    /// Of the events in flight, these are settled now.
    pub fn count_settled(&self, stored: u64, duplicate: u64) {
        let mut ledger = locked(&self.ledger);
        ledger.stored += stored;
        ledger.duplicate += duplicate;
        ledger.in_flight -= stored + duplicate;
    }

    /// Of the events in flight, these turned out to map to no row.
    pub fn count_settled_ignored(&self, name: &str, count: u64) {
        if count == 0 {
            return;
        }
        {
            let mut ledger = locked(&self.ledger);
            ledger.ignored += count;
            ledger.in_flight -= count;
        }
        self.name_ignored(name, count);
    }

    /// Of the events in flight, these could not be stored after all.
    pub fn count_given_back(&self, why: Refusal, count: u64) {
        let mut ledger = locked(&self.ledger);
        ledger.refused[why as usize] += count;
        ledger.in_flight -= count;
    }

    /// `count` events were offered and refused before they were queued.
    pub fn count_refused(&self, why: Refusal, count: u64) {
        let mut ledger = locked(&self.ledger);
        ledger.offered += count;
        ledger.refused[why as usize] += count;
    }

    /// `count` events were offered that are not valid.
    pub fn count_invalid(&self, count: u64) {
        let mut ledger = locked(&self.ledger);
        ledger.offered += count;
        ledger.invalid += count;
    }

    /// `count` records of this name were offered that map to no row.
    pub fn count_ignored(&self, name: &str, count: u64) {
        {
            let mut ledger = locked(&self.ledger);
            ledger.offered += count;
            ledger.ignored += count;
        }
        self.name_ignored(name, count);
    }

    fn name_ignored(&self, name: &str, count: u64) {
        count_name(&mut locked(&self.ignored_names), name, count);
    }

    /// A call of this model came that has tokens and no price. The first time, what it is called here, if it is kept apart.
    pub fn count_unpriced<'a>(&self, model: &'a str) -> Option<&'a str> {
        let is_new = count_name(&mut locked(&self.unpriced), model, 1);
        is_new.then(|| cut(model, NAME_BYTES_MAX))
    }

    /// Models without a price, and how many calls of them came: also those that were stored before, or refused.
    pub fn unpriced(&self) -> BTreeMap<String, u64> {
        locked(&self.unpriced).clone()
    }

    /// Names of records that mapped to no row, and how many there were.
    pub fn ignored_names(&self) -> BTreeMap<String, u64> {
        locked(&self.ignored_names).clone()
    }

    /// How the store is.
    pub fn store(&self) -> MutexGuard<'_, StoreReport> {
        locked(&self.store)
    }

    /// What is known of the costs of the day that `now_ms` is in.
    pub fn spent_today(&self, now_ms: i64) -> PicoUsd {
        self.store().usage.of_day(day_start(now_ms)).0
    }

    /// A transaction with these has committed.
    pub fn gained(&self, gains: &Gains) {
        locked(&self.gains).add(gains);
    }

    /// What was newly stored since the start.
    pub fn gains(&self) -> Gains {
        locked(&self.gains).clone()
    }

    /// The container was sampled.
    pub fn sampled(&self, sample: &SystemMetric) {
        locked(&self.sampled).take(sample);
    }

    /// What the samples say.
    pub fn samples(&self) -> Sampled {
        locked(&self.sampled).clone()
    }

    /// How the push is.
    pub fn push(&self) -> MutexGuard<'_, PushReport> {
        locked(&self.push)
    }
}

/// Names kept apart, of ignored records and of models; a stranger may invent any number of them.
const NAMES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 96;
/// What all others are called.
const OTHER_NAMES: &str = "(other)";
/// What is called so that has no name.
const NO_NAME: &str = "(none)";

/// Whether the name is new and kept apart.
fn count_name(names: &mut BTreeMap<String, u64>, name: &str, count: u64) -> bool {
    let name = cut(name, NAME_BYTES_MAX);
    if let Some(known) = names.get_mut(name) {
        *known += count;
        return false;
    }
    let room = names.len() < NAMES_MAX;
    *names.entry(if room { name } else { OTHER_NAMES }.to_owned()).or_default() += count;
    room
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A counter that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Raises it to `value` if that is higher.
    pub fn raise(&self, value: i64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// The value.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One stream of records: how many came, in how many requests, and when the last.
#[derive(Debug, Default)]
pub struct Signal {
    /// Requests (or samples) that could be read.
    pub requests: Counter,
    /// Records in them.
    pub records: Counter,
    last_ms: Gauge,
}

impl Signal {
    /// A request with `records` records came at `now_ms`, Unix milliseconds.
    pub fn received(&self, records: u64, now_ms: i64) {
        self.requests.add(1);
        self.records.add(records);
        self.last_ms.set(now_ms);
    }

    /// When the last came, Unix milliseconds; `None` before the first.
    pub fn last_ms(&self) -> Option<i64> {
        Some(self.last_ms.value()).filter(|ms| *ms != 0)
    }
}

/// The streams that `/health` tells apart.
#[derive(Debug, Default)]
pub struct Signals {
    /// POST /v1/traces, native JSON.
    pub native_traces: Signal,
    /// POST /v1/events.
    pub native_events: Signal,
    /// POST /v1/errors.
    pub native_errors: Signal,
    /// OTLP spans.
    pub otlp_traces: Signal,
    /// OTLP log records.
    pub otlp_logs: Signal,
    /// OTLP metrics.
    pub otlp_metrics: Signal,
    /// Our own samples of the container.
    pub system_metrics: Signal,
}

impl Signals {
    /// Every stream by its name in `/health`.
    pub fn all(&self) -> [(&'static str, &Signal); 7] {
        [
            ("native_traces", &self.native_traces),
            ("native_events", &self.native_events),
            ("native_errors", &self.native_errors),
            ("otlp_traces", &self.otlp_traces),
            ("otlp_logs", &self.otlp_logs),
            ("otlp_metrics", &self.otlp_metrics),
            ("system_metrics", &self.system_metrics),
        ]
    }
}

/// The listener.
#[derive(Debug, Default)]
pub struct HttpStats {
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections accepted so far.
    pub connections_total: Counter,
    /// The most that may be open.
    pub connections_max: Gauge,
    /// Connections answered 503 because too many were open.
    pub connections_refused: Counter,
    /// Requests answered so far.
    pub requests: Counter,
    /// Bodies that ended before they were complete: the client went away.
    pub bodies_truncated: Counter,
    /// Bytes of all bodies in flight.
    pub body_bytes: Gauge,
    /// The most that these may be.
    pub body_bytes_max: Gauge,
    answers: Mutex<BTreeMap<u16, u64>>,
}

impl HttpStats {
    /// An answer with this status was sent.
    pub fn count_answer(&self, status: u16) {
        self.requests.add(1);
        *locked(&self.answers).entry(status).or_default() += 1;
    }

    /// All answers, by status.
    pub fn answers(&self) -> BTreeMap<u16, u64> {
        locked(&self.answers).clone()
    }

    /// Answers of 400 and above, by status.
    pub fn refused_by_status(&self) -> BTreeMap<u16, u64> {
        locked(&self.answers).range(400..).map(|(status, count)| (*status, *count)).collect()
    }
}

/// The queue between the doors and the writer.
#[derive(Debug, Default)]
pub struct QueueStats {
    /// Events in it, those in an open transaction included.
    pub events: Gauge,
    /// Their bytes.
    pub bytes: Gauge,
    /// The most events it ever held.
    pub events_high_water: Gauge,
    /// The most events that it may hold.
    pub events_max: Gauge,
    /// The most bytes.
    pub bytes_max: Gauge,
}

/// What a day may cost.
#[derive(Debug, Default)]
pub struct BudgetStats {
    /// How much; 0 = nobody said.
    pub limit_picousd: Gauge,
    /// Days since the start that cost as much.
    pub crossings: Counter,
}

/// The gateway's log that is followed. Every line is one of these:
/// `lines = rows + skipped + unreadable + too_long`. A line counts once it need not be read again.
#[derive(Debug, Default)]
pub struct LogStats {
    /// Files that are known now.
    pub files: Gauge,
    /// Lines read.
    pub lines: Counter,
    /// Lines that became a row, stored before or not.
    pub rows: Counter,
    /// Lines that are no JSON object.
    pub unreadable: Counter,
    /// Lines longer than a line may be.
    pub too_long: Counter,
    /// Times that a file was found shorter, or another, than it had been.
    pub files_truncated: Counter,
    /// Files that were gone, or to be left out, before their end was read.
    pub files_lost: Counter,
    skipped: Mutex<BTreeMap<String, u64>>,
    problem: Mutex<Option<String>>,
}

impl LogStats {
    /// `count` lines of this subsystem became no row.
    pub fn count_skipped(&self, subsystem: &str, count: u64) {
        count_name(&mut locked(&self.skipped), subsystem, count);
    }

    /// Lines that became no row, by subsystem.
    pub fn skipped(&self) -> BTreeMap<String, u64> {
        locked(&self.skipped).clone()
    }

    /// Why the log cannot be read now; `None` when it can.
    pub fn set_problem(&self, problem: Option<String>) {
        *locked(&self.problem) = problem;
    }

    /// The same, as it was told last.
    pub fn problem(&self) -> Option<String> {
        locked(&self.problem).clone()
    }
}

/// Bounds of how long commits take, in microseconds.
pub const COMMIT_US: [u64; 14] = [
    500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// What the writer says of the database.
#[derive(Debug, Clone, Default)]
pub struct StoreReport {
    /// Where the file is.
    pub path: String,
    /// Whether events can be stored now, and if not, why not.
    pub state: StoreState,
    /// Rows by table: stored ever, present now, pruned by cause. In the order of [`Table::ALL`].
    pub rows: [TableRows; Table::ALL.len()],
    /// Size of the database file.
    pub file_bytes: u64,
    /// Pages of the file that hold nothing, in bytes.
    pub free_bytes: u64,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
    /// Whether the reserve for a full disk is there.
    pub ballast: bool,
    /// Commits so far, and how long they took, in microseconds.
    pub commits: Durations<{ COMMIT_US.len() }>,
    /// The longest commit, microseconds.
    pub commit_us_max: u64,
    /// When the oldest row arrived that the remote does not have, Unix milliseconds; `None` = it has all.
    pub backlog_from_ms: Option<i64>,
    /// Errors of the database so far.
    pub errors: u64,
    /// What happened to the file that its user should know (moved aside, replaced).
    pub incidents: Vec<String>,
    /// What the calls of today came to, and whether that is all of them.
    pub usage: UsageReport,
}

/// What the writer says of the sums by the hour (`usage_hourly`, `coverage_hourly`).
#[derive(Debug, Clone, Default)]
pub struct UsageReport {
    /// Start of the day that is meant (UTC), Unix milliseconds.
    pub day_ms: i64,
    /// What is known of the costs of its calls.
    pub day_cost: PicoUsd,
    /// Rows of the day that have tokens and no cost.
    pub day_unpriced: i64,
    /// Rows beside counters of the last 24 hours, by service. What the counters may not have come to yet is left out.
    pub coverage: Vec<Coverage>,
}

impl UsageReport {
    /// Costs and unpriced rows of the day that began at `day_ms`; what is known of another is none of it.
    pub fn of_day(&self, day_ms: i64) -> (PicoUsd, i64) {
        if self.day_ms == day_ms { (self.day_cost, self.day_unpriced) } else { (PicoUsd(0), 0) }
    }
}

/// Whether events can be stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreState {
    /// They can.
    #[default]
    Ok,
    /// Not now: these are refused with 503 until it passes.
    Refusing {
        /// What the producers are told.
        refusal: Refusal,
        /// What is wrong, and what would help.
        reason: String,
        /// Since when, Unix milliseconds.
        since_ms: i64,
    },
}

/// Rows of one table over the life of the file: `stored = present + pruned`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableRows {
    /// Rows ever stored.
    pub stored: i64,
    /// Rows that are there.
    pub present: i64,
    /// Rows removed, by [`Pruned`].
    pub pruned: [i64; Pruned::ALL.len()],
    /// Rows present that the remote has not confirmed and may still take; 0 without a remote.
    pub unsynced: i64,
    /// Those of them that were sent and are to be sent again.
    pub waiting: i64,
    /// Rows present that the remote will never take.
    pub dead: i64,
    /// Rows that it would never take and that count as synced since, because of their age or number.
    pub dead_let_go: i64,
    /// Last id that the push has passed; the largest there is without a remote.
    pub synced_id: i64,
}

impl TableRows {
    /// Whether there is a remote for them.
    pub fn is_pushed(&self) -> bool {
        self.synced_id != i64::MAX
    }
}

/// Why a row was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// Older than its retention.
    Age,
    /// The file had reached its limit.
    Size,
    /// The volume was too full.
    Disk,
    /// Not confirmed by the remote, removed because nothing else could be.
    Unsynced,
    /// Gone without us: somebody deleted it by hand.
    Foreign,
}

impl Pruned {
    /// All, in the order of [`TableRows::pruned`].
    pub const ALL: [Pruned; 5] = [Pruned::Age, Pruned::Size, Pruned::Disk, Pruned::Unsynced, Pruned::Foreign];

    /// The word in `/health` and in the file.
    pub fn name(self) -> &'static str {
        match self {
            Pruned::Age => "age",
            Pruned::Size => "size",
            Pruned::Disk => "disk",
            Pruned::Unsynced => "unsynced",
            Pruned::Foreign => "foreign",
        }
    }
}

/// A lock whose holder cannot have left it half-way: every critical section here is plain
/// arithmetic, so a poisoned lock holds a value as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_holds_after_every_step() {
        let stats = Stats::default();
        let check = || {
            let l = stats.ledger();
            let settled = l.stored + l.duplicate + l.refused_total() + l.invalid + l.ignored;
            assert_eq!(l.offered, settled + l.in_flight, "{l:?}");
        };
        stats.count_queued(10);
        check();
        stats.count_settled(4, 2);
        check();
        stats.count_settled_ignored("openclaw.model.usage", 1);
        check();
        stats.count_given_back(Refusal::StoreFull, 3);
        check();
        stats.count_refused(Refusal::QueueFull, 5);
        stats.count_invalid(2);
        stats.count_ignored("openclaw.run", 7);
        check();
        assert_eq!(stats.ledger().in_flight, 0);
        assert_eq!(stats.ledger().refused_total(), 8);
    }

    #[test]
    fn a_stranger_cannot_grow_the_list_of_ignored_names() {
        let stats = Stats::default();
        for n in 0..10_000 {
            stats.count_ignored(&format!("{n}-{}", "\u{e9}".repeat(1000)), 1);
        }
        let names = stats.ignored_names();
        assert!(names.len() <= NAMES_MAX + 1);
        assert!(names.keys().all(|name| name.len() <= NAME_BYTES_MAX));
        assert_eq!(names.values().sum::<u64>(), 10_000);
    }

    #[test]
    fn a_model_without_a_price_is_new_once_and_the_list_of_them_ends() {
        let stats = Stats::default();
        assert_eq!((stats.count_unpriced("mockai/m"), stats.count_unpriced("mockai/m")), (Some("mockai/m"), None));
        let long = "\u{e9}".repeat(1000);
        assert_eq!((stats.count_unpriced(&long), stats.count_unpriced(&long)), (Some(&long[..NAME_BYTES_MAX]), None));
        let new = (0..1000).filter(|n| stats.count_unpriced(&format!("mockai/{n}")).is_some()).count();
        assert_eq!(new, NAMES_MAX - 2);
        let unpriced = stats.unpriced();
        assert_eq!((unpriced["mockai/m"], unpriced[OTHER_NAMES]), (2, 1000 - new as u64));
    }
}
