//! GET /health: how the sidecar is, made of counters alone, so that it answers when nothing else does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::App;
use super::fault;
use crate::event::Table;
use crate::exchange::Response;
use crate::stats::{Ledger, Pruned, PushReport, Refusal, Stats, StoreReport, StoreState, TableRows};

/// 200, or 503 with the same body when a POST would be refused now.
pub(super) fn answer<C>(app: &App<C>) -> Response {
    let refusing = app.queue.refusing();
    let stats = &app.stats;
    let database = Database::of(&stats.store());
    let push = Push::of(&stats.push());
    let report = Report {
        status: if refusing.is_some() { "refusing" } else { "ok" },
        refusing: refusing.map(Refusal::name),
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
        signals: signals(stats),
        http: Http::of(stats),
        push,
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
    signals: BTreeMap<&'static str, SignalReport>,
    http: Http,
    push: Push,
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
}

impl Database {
    fn of(store: &StoreReport) -> Database {
        let (state, reason, since) = match &store.state {
            StoreState::Ok => ("ok", None, None),
            StoreState::Refusing { refusal, reason, since_ms } => {
                (refusal.name(), Some(reason.clone()), Some(rfc3339(*since_ms)))
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
            commits: store.commits,
            commit_us_max: store.commit_us_max,
            errors: store.errors,
            incidents: store.incidents.clone(),
            rows: Table::ALL.into_iter().map(|t| (t.name(), Rows::of(&store.rows[t.index()]))).collect(),
        }
    }
}

#[derive(Serialize)]
struct Rows {
    stored: i64,
    present: i64,
    pruned: BTreeMap<&'static str, i64>,
    /// Ids after the last that the remote confirmed.
    unsynced: i64,
}

impl Rows {
    fn of(rows: &TableRows) -> Rows {
        Rows {
            stored: rows.stored,
            present: rows.present,
            pruned: Pruned::ALL.into_iter().map(|why| (why.name(), rows.pruned[why as usize])).collect(),
            unsynced: rows.unsynced,
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
struct SignalReport {
    requests: u64,
    records: u64,
    last_received: Option<String>,
}

fn signals(stats: &Stats) -> BTreeMap<&'static str, SignalReport> {
    let report = |signal: &crate::stats::Signal| SignalReport {
        requests: signal.requests.total(),
        records: signal.records.total(),
        last_received: signal.last_ms().map(rfc3339),
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
    failures: u64,
    failures_in_row: u32,
    last_success: Option<String>,
    last_failure: Option<String>,
    last_error: Option<String>,
}

impl Push {
    fn of(push: &PushReport) -> Push {
        Push {
            enabled: push.enabled,
            batches: push.batches,
            rows: push.rows,
            rows_rejected: push.rows_rejected,
            failures: push.failures,
            failures_in_row: push.failures_in_row,
            last_success: push.last_success_ms.map(rfc3339),
            last_failure: push.last_failure_ms.map(rfc3339),
            last_error: push.last_error.clone(),
        }
    }
}

/// Unix milliseconds as RFC 3339 in UTC. Times before 1970 are shown as its first moment.
fn rfc3339(ms: i64) -> String {
    let since = Duration::from_millis(ms.max(0) as u64);
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Year, month and day of a day after 1970-01-01, in the proleptic Gregorian calendar: Howard
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    /// Days in 400 years.
    const ERA: u64 = 146_097;
    /// From 0000-03-01, where the algorithm's years start, to 1970-01-01.
    const EPOCH: u64 = 719_468;
    let days = days + EPOCH;
    let of_era = days % ERA;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + days / ERA * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_everybody_reads_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_461_909_087), "2026-11-23T19:25:09.087Z");
        assert_eq!(rfc3339(4_102_444_799_999), "2099-12-31T23:59:59.999Z");
    }
}
