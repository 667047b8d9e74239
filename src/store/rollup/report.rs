//! What `/health` says of the sums: today, and whether the rows are all there are.

use rusqlite::Connection;

use crate::clock::{DAY_MS, HOUR_MS, day_start};
use crate::event::Coverage;
use crate::stats::UsageReport;

// These are served by the primary key, but for COUNTING, which looks at all of at most some thousand rows.
const DAY: &str = "SELECT cost_picousd, unpriced FROM usage_hourly WHERE hour >= ?1 AND hour < ?2";
const COUNTING: &str =
    "SELECT service_name FROM counter_series GROUP BY service_name HAVING max(updated_at) > ?1 LIMIT 16";
const NEWEST_HOUR: &str = "SELECT hour FROM coverage_hourly WHERE service_name = ?1 ORDER BY hour DESC LIMIT 1";
const LAST_HOURS: &str = "SELECT hour, row_calls, row_tokens, row_cost_picousd, reported_calls, reported_tokens, \
     reported_cost_picousd FROM coverage_hourly WHERE hour > ?1 AND hour <= ?2 AND service_name = ?3";

/// So long after an hour its last counters have come: they are sent every minute, and with them those of calls that
/// traces told of at once.
const COUNTERS_LATE_MS: i64 = 10 * 60_000;

/// Adds up the day, and for each service its last 24 hours.
pub fn report(conn: &Connection, now_ms: i64) -> rusqlite::Result<UsageReport> {
    let day_ms = day_start(now_ms);
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

/// Rows beside counters of each service that counted something in the last 24 hours. The hours are those up to its own
/// newest one: what comes late is compared with what came with it.
fn coverage(conn: &Connection, now_ms: i64) -> rusqlite::Result<Vec<Coverage>> {
    let mut statement = conn.prepare_cached(COUNTING)?;
    let mut services = statement.query([now_ms.saturating_sub(DAY_MS)])?;
    let mut all = Vec::new();
    while let Some(service) = services.next()? {
        all.extend(coverage_of(conn, service.get(0)?, now_ms)?);
    }
    Ok(all)
}

fn coverage_of(conn: &Connection, service_name: Box<str>, now_ms: i64) -> rusqlite::Result<Option<Coverage>> {
    let mut statement = conn.prepare_cached(NEWEST_HOUR)?;
    let mut newest = statement.query([&service_name])?;
    let Some(newest) = newest.next()? else { return Ok(None) };
    let newest: i64 = newest.get(0)?;
    let mut statement = conn.prepare_cached(LAST_HOURS)?;
    let mut rows = statement.query((newest - DAY_MS, newest, &service_name))?;
    let mut all = Coverage { service_name: service_name.clone(), ..Coverage::default() };
    while let Some(row) = rows.next()? {
        let hour: i64 = row.get(0)?;
        let mut rows: [i64; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        let reported: [i64; 3] = [row.get(4)?, row.get(5)?, row.get(6)?];
        if now_ms <= hour + HOUR_MS + COUNTERS_LATE_MS {
            rows.iter_mut().zip(reported).for_each(|(row, reported)| *row = (*row).min(reported));
        }
        all.add(rows, reported);
    }
    Ok(Some(all))
}

fn add(sum: &mut i64, more: i64) {
    *sum = sum.saturating_add(more);
}

#[cfg(test)]
pub const STATEMENTS: [&str; 2] = [DAY, LAST_HOURS];
#[cfg(test)]
pub const NEWEST: [&str; 1] = [NEWEST_HOUR];
