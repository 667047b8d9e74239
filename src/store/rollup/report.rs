//! What `/health` says of the sums: today, and whether the rows are all there are.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{DAY_MS, HOUR_MS};
use crate::event::{Coverage, PicoUsd};
use crate::stats::UsageReport;

// Both are served by the primary key.
const DAY: &str = "SELECT cost_picousd, unpriced FROM usage_hourly WHERE hour >= ?1 AND hour < ?2";
const LAST_HOURS: &str = "SELECT hour, service_name, row_calls, row_tokens, row_cost_picousd, reported_calls, \
     reported_tokens, reported_cost_picousd FROM coverage_hourly WHERE hour > ?1 AND hour <= ?2";

/// So long after an hour its last counters have come: they are sent every minute, and with them those of calls that
/// traces told of at once.
const COUNTERS_LATE_MS: i64 = 10 * 60_000;

/// Adds up the day and the last 24 hours.
pub fn report(conn: &Connection, now_ms: i64) -> rusqlite::Result<UsageReport> {
    let day_ms = now_ms - now_ms.rem_euclid(DAY_MS);
    let mut report = UsageReport { day_ms, ..UsageReport::default() };
    let mut statement = conn.prepare_cached(DAY)?;
    let mut rows = statement.query([day_ms, day_ms + DAY_MS])?;
    while let Some(row) = rows.next()? {
        add(&mut report.day_cost.0, row.get(0)?);
        add(&mut report.day_unpriced, row.get(1)?);
    }
    report.coverage = coverage(conn, now_ms)?;
    Ok(report)
}

fn coverage(conn: &Connection, now_ms: i64) -> rusqlite::Result<Vec<Coverage>> {
    let mut services: BTreeMap<Box<str>, Coverage> = BTreeMap::new();
    let mut statement = conn.prepare_cached(LAST_HOURS)?;
    let mut rows = statement.query([now_ms - DAY_MS, now_ms])?;
    while let Some(row) = rows.next()? {
        let hour: i64 = row.get(0)?;
        let service_name: Box<str> = row.get(1)?;
        let mut rows = [row.get(2)?, row.get(3)?, row.get(4)?];
        let reported: [i64; 3] = [row.get(5)?, row.get(6)?, row.get(7)?];
        if now_ms <= hour + HOUR_MS + COUNTERS_LATE_MS {
            rows.iter_mut().zip(reported).for_each(|(row, reported): (&mut i64, i64)| *row = (*row).min(reported));
        }
        let all =
            services.entry(service_name.clone()).or_insert_with(|| Coverage { service_name, ..Coverage::default() });
        let PicoUsd(row_cost) = &mut all.row_cost;
        let PicoUsd(reported_cost) = &mut all.reported_cost;
        add(&mut all.row_calls, rows[0]);
        add(&mut all.row_tokens, rows[1]);
        add(row_cost, rows[2]);
        add(&mut all.reported_calls, reported[0]);
        add(&mut all.reported_tokens, reported[1]);
        add(reported_cost, reported[2]);
    }
    Ok(services.into_values().collect())
}

fn add(sum: &mut i64, more: i64) {
    *sum = sum.saturating_add(more);
}

#[cfg(test)]
pub const STATEMENTS: [&str; 2] = [DAY, LAST_HOURS];
