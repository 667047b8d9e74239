//! Keeping the tables of sums: what was stored without them is added, what is too old goes.

use rusqlite::{Connection, TransactionBehavior};

use super::hourly::Size;
use super::share::calls_after;
use super::{KEPT_MS, Rollup, Sizes, coverage, usage};
use crate::event::Unit;
use crate::store::wal;

/// Rows that are added in one transaction.
const STEP_ROWS: i64 = 1000;
/// Hours that go in one step.
const STEP_HOURS: usize = 8;
/// What a table of sums takes in the file for each byte in it: pages are not full. In quarters.
const PAGES_PER_BYTE_QUARTERS: i64 = 6;

/// The row that tells up to which row the sums go.
pub const SET_ROLLED_ID: &str = "UPDATE row_counts SET rolled_id = max(rolled_id, ?1) WHERE table_name = 'llm_traces'";
const ROLLED_ID: &str = "SELECT rolled_id FROM row_counts WHERE table_name = 'llm_traces'";

/// The SQL of one table of sums.
struct Sql {
    size: &'static str,
    oldest: &'static str,
    size_of_hour: &'static str,
    remove: &'static str,
}

const USAGE: Sql = Sql {
    size: "SELECT count(*), sum(octet_length(provider) + octet_length(model) + octet_length(agent) \
           + octet_length(channel) + octet_length(latency_buckets) + octet_length(ttft_buckets)) FROM usage_hourly",
    // These are served by the primary key.
    oldest: "SELECT hour FROM usage_hourly ORDER BY hour LIMIT 1",
    size_of_hour: "SELECT count(*), sum(octet_length(provider) + octet_length(model) + octet_length(agent) \
                   + octet_length(channel) + octet_length(latency_buckets) + octet_length(ttft_buckets)) \
                   FROM usage_hourly WHERE hour = ?1",
    remove: "DELETE FROM usage_hourly WHERE hour = ?1",
};

const COVERAGE: Sql = Sql {
    size: "SELECT count(*), sum(octet_length(service_name)) FROM coverage_hourly",
    oldest: "SELECT hour FROM coverage_hourly ORDER BY hour LIMIT 1",
    size_of_hour: "SELECT count(*), sum(octet_length(service_name)) FROM coverage_hourly WHERE hour = ?1",
    remove: "DELETE FROM coverage_hourly WHERE hour = ?1",
};

/// How large the tables are, and may be in a file of at most `file_bytes_max`: three eighths of it and one.
pub fn sizes(conn: &Connection, file_bytes_max: u64) -> rusqlite::Result<Sizes> {
    let eighth = i64::try_from(file_bytes_max / 8).unwrap_or(i64::MAX / 8);
    let bytes_max = |eighths: i64| eighths * (eighth / PAGES_PER_BYTE_QUARTERS * 4);
    let size = |sql: &Sql, row_bytes: i64, eighths: i64| -> rusqlite::Result<Size> {
        let (rows, bytes): (i64, Option<i64>) = conn.query_row(sql.size, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Size { rows, bytes: bytes.unwrap_or(0) + rows * row_bytes, bytes_max: bytes_max(eighths) })
    };
    Ok(Sizes { usage: size(&USAGE, usage::ROW_BYTES, 3)?, coverage: size(&COVERAGE, coverage::ROW_BYTES, 1)? })
}

/// Adds the rows that a program without sums has stored, some at a time. After it every row is in the sums.
pub fn catch_up(conn: &mut Connection, sizes: &mut Sizes) -> rusqlite::Result<()> {
    let mut rolled_id: i64 = conn.query_row(ROLLED_ID, [], |row| row.get(0))?;
    for step in 1u64.. {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut rollup = Rollup::new(&tx, sizes);
        let last_id = calls_after(&tx, rolled_id, STEP_ROWS, |call| {
            if call.unit != Unit::TurnSum {
                rollup.count(call.share());
            }
        })?;
        let Some(last_id) = last_id else { break };
        rollup.stored(last_id);
        rollup.keep()?;
        let after = rollup.write()?;
        tx.commit()?;
        *sizes = after;
        rolled_id = last_id;
        log::debug!(rolled_id; "rows of a program without sums by the hour were added to them");
        if step.is_multiple_of(STEPS_TO_CHECKPOINT) {
            wal::passive(conn)?;
        }
    }
    Ok(())
}

/// Steps of catching up after which the log is moved into the file: each writes some dozens of pages.
const STEPS_TO_CHECKPOINT: u64 = 16;

/// Removes the oldest hours if their time is over, or if a table is larger than it may be (somebody lowered the limit);
/// a few in one step. Whether there was any.
pub fn let_go(conn: &mut Connection, sizes: &mut Sizes, now_ms: i64) -> rusqlite::Result<bool> {
    let before_ms = now_ms.saturating_sub(KEPT_MS);
    let usage = let_go_of(conn, &USAGE, usage::ROW_BYTES, &mut sizes.usage, before_ms)?;
    let coverage = let_go_of(conn, &COVERAGE, coverage::ROW_BYTES, &mut sizes.coverage, before_ms)?;
    Ok(usage || coverage)
}

fn let_go_of(
    conn: &mut Connection,
    sql: &Sql,
    row_bytes: i64,
    size: &mut Size,
    before_ms: i64,
) -> rusqlite::Result<bool> {
    let mut after = *size;
    let Some(_) = oldest_to_go(conn, sql, &after, before_ms)? else { return Ok(false) };
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for _ in 0..STEP_HOURS {
        let Some(hour) = oldest_to_go(&tx, sql, &after, before_ms)? else { break };
        let (rows, bytes): (i64, i64) =
            tx.prepare_cached(sql.size_of_hour)?.query_row([hour], |row| Ok((row.get(0)?, row.get(1)?)))?;
        tx.prepare_cached(sql.remove)?.execute([hour])?;
        after.rows -= rows;
        after.bytes -= bytes + rows * row_bytes;
    }
    tx.commit()?;
    *size = after;
    Ok(true)
}

/// The oldest hour, if it must go.
fn oldest_to_go(conn: &Connection, sql: &Sql, size: &Size, before_ms: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = conn.prepare_cached(sql.oldest)?;
    let mut rows = statement.query([])?;
    let oldest: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
    // The rows of what is not told apart may make a full table a little larger.
    let too_large = size.bytes > size.bytes_max / 8 * 9;
    Ok(oldest.filter(|hour| too_large || *hour < before_ms))
}

#[cfg(test)]
pub const STATEMENTS: [&str; 6] =
    [USAGE.size_of_hour, USAGE.remove, COVERAGE.size_of_hour, COVERAGE.remove, ROLLED_ID, SET_ROLLED_ID];
#[cfg(test)]
pub const OLDEST: [&str; 2] = [USAGE.oldest, COVERAGE.oldest];
