//! GET /health: how the sidecar is, made of counters alone, so that it answers when nothing else does.

use std::collections::BTreeMap;

use serde::Serialize;

use super::App;
use super::budget::Budget;
use super::fault;
use super::limits::Limits;
use crate::clock::{day_start, day_utc, rfc3339_utc};
use crate::config::Ack;
use crate::event::{PicoUsd, Table};
use crate::exchange::Response;
use crate::stats::{
    BODIES_FULL, Busy, Ledger, LogStats, Pruned, PushReport, Refusal, Stats, StoreReport, StoreState, TableRows,
    WRITER_STUCK,
};
use crate::summary::{DayBudget, ServiceCoverage};

/// Why a POST would be refused now, if it would.
pub(super) fn refusing<C>(app: &App<C>, limits: &Limits, budget: &Budget) -> Option<&'static str> {
    let refused = app.queue.refusing().map(Refusal::name);
    refused
        .or((!budget.has_room()).then_some(BODIES_FULL))
        .or_else(|| keeps_waiting(app, limits).then_some(WRITER_STUCK))
}

/// Whether the writer has been at one thing for as long as a request may wait for it. Another one is refused at once then.
pub(super) fn keeps_waiting<C>(app: &App<C>, limits: &Limits) -> bool {
    let busy = busy(app);
    app.config.ack == Ack::Stored && busy.is_stuck() && busy.time >= limits.answer
}

fn busy<C>(app: &App<C>) -> Busy {
    app.stats.writer.busy(app.clock.uptime())
}

/// 200, or 503 with the same body when a POST would be refused now.
pub(super) fn answer<C>(app: &App<C>, limits: &Limits, budget: &Budget) -> Response {
    let refusing = refusing(app, limits, budget);
    let stats = &app.stats;
    let database = Database::of(&stats.store(), busy(app));
    let rows = stats.store().rows;
    let push = Push::of(&stats.push(), &rows);
    let day_ms = day_start(app.clock.now_ms());
    let spend = Spend::of(&stats.store(), day_ms);
    let budget = app.config.budget_day.map(|limit| DayBudget::of(limit, day_ms, PicoUsd(spend.cost_picousd)));
    let report = Report {
        status: if refusing.is_some() { "refusing" } else { "ok" },
        refusing,
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: app.clock.uptime().as_secs(),
        database,
        queue: QueueReport {
            events: stats.queue.events.value(),
            bytes: stats.queue.bytes.value(),
            events_high_water: stats.queue.events_high_water.value(),
        },
        events: Events::of(&stats.ledger()),
        ignored_names: stats.ignored_names(),
        prices: PricesReport::new(app.config.prices.table.version(), stats.unpriced()),
        signals: signals(stats),
        http: Http::of(stats),
        push,
        spend,
        budget,
        openclaw_log: app.config.openclaw_log.as_ref().map(|_| OpenclawLog::of(&stats.openclaw_log)),
    };
    fault::json(if refusing.is_some() { 503 } else { 200 }, &report)
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusing: Option<&'static str>,
    version: &'static str,
    uptime_s: u64,
    database: Database,
    queue: QueueReport,
    events: Events,
    ignored_names: BTreeMap<String, u64>,
    prices: PricesReport,
    signals: BTreeMap<&'static str, SignalReport>,
    http: Http,
    push: Push,
    spend: Spend,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<DayBudget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openclaw_log: Option<OpenclawLog>,
}

#[derive(Serialize)]
struct Database {
    path: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    file_bytes: u64,
    free_bytes: u64,
    wal_bytes: u64,
    ballast: bool,
    commits: u64,
    commit_us_max: u64,
    errors: u64,
    incidents: Vec<String>,
    rows: BTreeMap<&'static str, Rows>,
    writer: Writer,
}

#[derive(Serialize)]
struct Writer {
    at: &'static str,
    busy_ms: u64,
    stuck: bool,
}

impl Database {
    fn of(store: &StoreReport, busy: Busy) -> Database {
        let (state, reason, since) = match &store.state {
            StoreState::Ok => ("ok", None, None),
            StoreState::Refusing { refusal, reason, since_ms } => {
                (refusal.name(), Some(reason.clone()), Some(rfc3339_utc(*since_ms)))
            }
        };
        Database {
            path: store.path.clone(),
            state,
            reason,
            since,
            file_bytes: store.file_bytes,
            free_bytes: store.free_bytes,
            wal_bytes: store.wal_bytes,
            ballast: store.ballast,
            commits: store.commits.count,
            commit_us_max: store.commit_us_max,
            errors: store.errors,
            incidents: store.incidents.clone(),
            rows: Table::ALL.into_iter().map(|t| (t.name(), Rows::of(&store.rows[t.index()]))).collect(),
            writer: Writer { at: busy.at.name(), busy_ms: busy.time.as_millis() as u64, stuck: busy.is_stuck() },
        }
    }
}

#[derive(Serialize)]
struct Rows {
    stored: i64,
    present: i64,
    pruned: BTreeMap<&'static str, i64>,
    /// Rows that the remote has not confirmed and may still take.
    unsynced: i64,
    waiting: i64,
    dead: i64,
    dead_let_go: i64,
}

impl Rows {
    fn of(rows: &TableRows) -> Rows {
        Rows {
            stored: rows.stored,
            present: rows.present,
            pruned: Pruned::ALL.into_iter().map(|why| (why.name(), rows.pruned[why as usize])).collect(),
            unsynced: rows.unsynced,
            waiting: rows.waiting,
            dead: rows.dead,
            dead_let_go: rows.dead_let_go,
        }
    }
}

#[derive(Serialize)]
struct QueueReport {
    events: i64,
    bytes: i64,
    events_high_water: i64,
}

#[derive(Serialize)]
struct Events {
    offered: u64,
    stored: u64,
    duplicate: u64,
    refused: BTreeMap<&'static str, u64>,
    invalid: u64,
    ignored: u64,
    in_flight: u64,
}

impl Events {
    fn of(ledger: &Ledger) -> Events {
        Events {
            offered: ledger.offered,
            stored: ledger.stored,
            duplicate: ledger.duplicate,
            refused: Refusal::ALL.into_iter().map(|why| (why.name(), ledger.refused[why as usize])).collect(),
            invalid: ledger.invalid,
            ignored: ledger.ignored,
            in_flight: ledger.in_flight,
        }
    }
}

#[derive(Serialize)]
struct PricesReport {
    table: String,
    unpriced_models: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl PricesReport {
    fn new(table: String, unpriced_models: BTreeMap<String, u64>) -> PricesReport {
        let message = (!unpriced_models.is_empty()).then(|| unpriced_message(&unpriced_models));
        PricesReport { table, unpriced_models, message }
    }
}

/// `3 models without a price: a, b, c`
fn unpriced_message(models: &BTreeMap<String, u64>) -> String {
    /// More names than that are no sentence.
    const NAMES_MAX: usize = 8;
    let names: Vec<&str> = models.keys().map(String::as_str).take(NAMES_MAX).collect();
    let models_word = if models.len() == 1 { "model" } else { "models" };
    let more = models.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} {models_word} without a price: {}{more}", models.len(), names.join(", "))
}

#[derive(Serialize)]
struct SignalReport {
    requests: u64,
    records: u64,
    last_received: Option<String>,
}

fn signals(stats: &Stats) -> BTreeMap<&'static str, SignalReport> {
    let report = |signal: &crate::stats::Signal| SignalReport {
        requests: signal.requests.total(),
        records: signal.records.total(),
        last_received: signal.last_ms().map(rfc3339_utc),
    };
    stats.signals.all().into_iter().map(|(name, signal)| (name, report(signal))).collect()
}

#[derive(Serialize)]
struct Http {
    connections: i64,
    connections_total: u64,
    connections_refused: u64,
    requests: u64,
    bodies_truncated: u64,
    body_bytes: i64,
    refused_by_status: BTreeMap<u16, u64>,
}

impl Http {
    fn of(stats: &Stats) -> Http {
        let http = &stats.http;
        Http {
            connections: http.connections.value(),
            connections_total: http.connections_total.total(),
            connections_refused: http.connections_refused.total(),
            requests: http.requests.total(),
            bodies_truncated: http.bodies_truncated.total(),
            body_bytes: http.body_bytes.value(),
            refused_by_status: http.refused_by_status(),
        }
    }
}

#[derive(Serialize)]
struct Push {
    enabled: bool,
    batches: u64,
    rows: u64,
    rows_rejected: u64,
    rows_put_off: u64,
    rows_unnamed: u64,
    waiting: i64,
    dead_letters: i64,
    circuit: &'static str,
    failures: u64,
    failures_in_row: u32,
    next_attempt: Option<String>,
    last_success: Option<String>,
    last_failure: Option<String>,
    last_error: Option<String>,
}

impl Push {
    fn of(push: &PushReport, rows: &[TableRows]) -> Push {
        Push {
            enabled: push.enabled,
            batches: push.batches,
            rows: push.rows,
            rows_rejected: push.rows_rejected,
            rows_put_off: push.rows_put_off,
            rows_unnamed: push.rows_unnamed,
            waiting: rows.iter().map(|table| table.waiting).sum(),
            dead_letters: rows.iter().map(|table| table.dead).sum(),
            circuit: push.circuit.name(),
            failures: push.failures,
            failures_in_row: push.failures_in_row,
            next_attempt: push.next_attempt_ms.map(rfc3339_utc),
            last_success: push.last_success_ms.map(rfc3339_utc),
            last_failure: push.last_failure_ms.map(rfc3339_utc),
            last_error: push.last_error.clone(),
        }
    }
}

#[derive(Serialize)]
struct Spend {
    day: String,
    cost_usd: f64,
    cost_picousd: i64,
    unpriced: i64,
    coverage: Vec<ServiceCoverage>,
}

impl Spend {
    /// Of the day that began at `day_ms`.
    fn of(store: &StoreReport, day_ms: i64) -> Spend {
        let (cost, unpriced) = store.usage.of_day(day_ms);
        Spend {
            day: day_utc(day_ms),
            cost_usd: cost.usd(),
            cost_picousd: cost.0,
            unpriced,
            coverage: store.usage.coverage.iter().map(ServiceCoverage::of).collect(),
        }
    }
}

#[derive(Serialize)]
struct OpenclawLog {
    files: i64,
    lines: u64,
    rows: u64,
    skipped: BTreeMap<String, u64>,
    unreadable: u64,
    too_long: u64,
    files_truncated: u64,
    files_lost: u64,
    problem: Option<String>,
}

impl OpenclawLog {
    fn of(log: &LogStats) -> OpenclawLog {
        OpenclawLog {
            files: log.files.value(),
            lines: log.lines.total(),
            rows: log.rows.total(),
            skipped: log.skipped(),
            unreadable: log.unreadable.total(),
            too_long: log.too_long.total(),
            files_truncated: log.files_truncated.total(),
            files_lost: log.files_lost.total(),
            problem: log.problem(),
        }
    }
}
