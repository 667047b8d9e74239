//! Removing rows, and accounting for every one: `stored = present + pruned`, in the transaction
//! that changes either side.

use rusqlite::{Connection, TransactionBehavior};

use super::limits::{STEP_ROWS, Which};
use crate::event::Table;
use crate::stats::{Pruned, TableRows};

/// What is known of the rows of each table, in the order of [`Table::ALL`].
pub type Rows = [TableRows; Table::ALL.len()];

/// The SQL of one table; the name of a table cannot be a parameter.
struct Sql {
    count: &'static str,
    count_between: &'static str,
    oldest: &'static str,
    first: &'static str,
    newest: &'static str,
    remove: &'static str,
}

macro_rules! sql_of {
    ($table:literal) => {
        Sql {
            count: concat!("SELECT count(*) FROM ", $table),
            // These are served by the rowid, from either end.
            count_between: concat!("SELECT count(*) FROM ", $table, " WHERE id > ?1 AND id <= ?2"),
            oldest: concat!(
                "SELECT id, received_at FROM ",
                $table,
                " WHERE id <= ?1 AND received_at <= ?2 ORDER BY id LIMIT 1"
            ),
            first: concat!("SELECT id, received_at FROM ", $table, " WHERE id <= ?1 ORDER BY id LIMIT 1"),
            newest: concat!("SELECT received_at FROM ", $table, " ORDER BY id DESC LIMIT 1"),
            remove: concat!(
                "DELETE FROM ",
                $table,
                // Of so many rows from one on, no matter how far those lie that are old enough.
                " WHERE id IN (SELECT id FROM (SELECT id, received_at FROM ",
                $table,
                " WHERE id >= ?1 AND id <= ?2 ORDER BY id LIMIT ?5) WHERE received_at < ?3 LIMIT ?4)"
            ),
        }
    };
}

fn sql(table: Table) -> Sql {
    match table {
        Table::LlmTraces => sql_of!("llm_traces"),
        Table::ErrorEvents => sql_of!("error_events"),
        Table::CustomEvents => sql_of!("custom_events"),
        Table::SystemMetrics => sql_of!("system_metrics"),
    }
}

const EVENT_TABLES: [Table; 3] = [Table::LlmTraces, Table::ErrorEvents, Table::CustomEvents];
const METRIC_TABLES: [Table; 1] = [Table::SystemMetrics];

/// Reads the accounts of the file and holds them against the rows that are there: what is missing
/// was deleted by somebody else, and what is too much was put there by somebody else: both are booked so, and no count
/// ever falls.
pub fn audit(conn: &mut Connection, destination: Option<&str>) -> rusqlite::Result<Rows> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut rows = Rows::default();
    for table in Table::ALL {
        let account = &mut rows[table.index()];
        read_account(&tx, table, account)?;
        account.present = tx.query_row(sql(table).count, [], |row| row.get(0))?;
        account.synced_id = match destination {
            Some(destination) => cursor(&tx, destination, table)?,
            None => i64::MAX,
        };
        account.unsynced = count_between(&tx, table, account.synced_id, i64::MAX)?;
        let missing = account.stored - account.present - account.pruned.iter().sum::<i64>();
        if missing > 0 {
            account.pruned[Pruned::Foreign as usize] += missing;
            book(&tx, table, Pruned::Foreign, missing)?;
        } else if missing < 0 {
            account.stored -= missing;
            book_stored(&tx, table, -missing)?;
        }
    }
    tx.commit()?;
    Ok(rows)
}

/// Adds rows that were just stored to the accounts, in the transaction that stores them.
pub fn book_stored(conn: &Connection, table: Table, count: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE row_counts SET stored = stored + ?2 WHERE table_name = ?1";
    conn.prepare_cached(sql)?.execute((table.name(), count))?;
    Ok(())
}

/// A row that may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its table.
    pub table: Table,
    /// Its id.
    pub id: i64,
    /// When it arrived, Unix ms.
    pub received_ms: i64,
}

/// The oldest row among those that may go and arrived until `until_ms`, Unix ms. A row from the future (the clock was
/// wrong) is passed over: it must not hide what is old.
pub fn oldest(conn: &Connection, rows: &Rows, which: Which, until_ms: i64) -> rusqlite::Result<Option<Found>> {
    let mut oldest: Option<Found> = None;
    for &table in tables(which) {
        let found = find(conn, table, sql(table).oldest, (until_id(rows, which, table), until_ms))?;
        if found.is_some_and(|found| oldest.is_none_or(|oldest| found.received_ms < oldest.received_ms)) {
            oldest = found;
        }
    }
    Ok(oldest)
}

/// The row among those that may go which goes first where there must be room. Without a search: each table gives up its
/// first row first. One from the future, by the clock of now, is older than its time says.
pub fn first(conn: &Connection, rows: &Rows, which: Which, now_ms: i64) -> rusqlite::Result<Option<Found>> {
    let age = |found: Found| (found.received_ms <= now_ms, found.received_ms);
    let mut first: Option<Found> = None;
    for &table in tables(which) {
        let found = find(conn, table, sql(table).first, [until_id(rows, which, table)])?;
        if found.is_some_and(|found| first.is_none_or(|first| age(found) < age(first))) {
            first = found;
        }
    }
    Ok(first)
}

fn find(conn: &Connection, table: Table, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<Option<Found>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut answer = statement.query(params)?;
    answer.next()?.map(|row| Ok(Found { table, id: row.get(0)?, received_ms: row.get(1)? })).transpose()
}

fn tables(which: Which) -> &'static [Table] {
    match which {
        Which::SyncedMetrics | Which::AnyMetrics => &METRIC_TABLES,
        Which::SyncedEvents | Which::AnyEvents => &EVENT_TABLES,
    }
}

/// The last id of a table that may go.
fn until_id(rows: &Rows, which: Which, table: Table) -> i64 {
    match which {
        Which::SyncedMetrics | Which::SyncedEvents => rows[table.index()].synced_id,
        Which::AnyMetrics | Which::AnyEvents => i64::MAX,
    }
}

/// Arrival of the newest row of all, Unix ms.
pub fn newest(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut newest = None;
    for table in Table::ALL {
        let mut statement = conn.prepare_cached(sql(table).newest)?;
        let mut answer = statement.query([])?;
        if let Some(row) = answer.next()? {
            newest = newest.max(Some(row.get(0)?));
        }
    }
    Ok(newest)
}

/// Removes the oldest rows of the table that has the oldest: at most [`STEP_ROWS`], and no more once `pages` have become
/// free. With `before_ms` only rows that arrived before. Returns how many.
pub fn remove(
    conn: &mut Connection,
    rows: &mut Rows,
    which: Which,
    before_ms: Option<i64>,
    cause: Pruned,
    pages: u64,
    now_ms: i64,
) -> rusqlite::Result<usize> {
    let found = match before_ms {
        Some(before_ms) => oldest(conn, rows, which, before_ms.saturating_sub(1))?,
        None => first(conn, rows, which, now_ms)?,
    };
    let Some(Found { table, id, .. }) = found else { return Ok(0) };
    let until = until_id(rows, which, table);
    let before_ms = before_ms.unwrap_or(i64::MAX);
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let free_before = free_pages(&tx)?;
    let (mut removed, mut freed, mut at_once) = (0, 0, 1);
    // One row may take as much as thousands of others.
    while removed < STEP_ROWS && freed < pages {
        let wanted = at_once.min(STEP_ROWS - removed);
        let params = (id, until, before_ms, wanted as i64, LOOKED_AT_ROWS as i64);
        let gone = tx.prepare_cached(sql(table).remove)?.execute(params)?;
        removed += gone;
        if gone < wanted {
            break;
        }
        freed = free_pages(&tx)?.saturating_sub(free_before);
        let left = pages.saturating_sub(freed) as usize;
        let enough = (left * removed).checked_div(freed as usize).unwrap_or(usize::MAX);
        at_once = (2 * at_once).min(enough.max(1));
    }
    book(&tx, table, cause, removed as i64)?;
    tx.commit()?;
    let account = &mut rows[table.index()];
    account.present -= removed as i64;
    account.pruned[cause as usize] += removed as i64;
    if !which.is_synced() {
        // Without a synced row left, which is when these are chosen.
        account.unsynced = (account.unsynced - removed as i64).max(0);
    }
    Ok(removed)
}

/// Pages that hold nothing.
pub fn free_pages(conn: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = conn.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?;
    Ok(pages as u64)
}

/// Rows that one step looks at for those that are old enough.
const LOOKED_AT_ROWS: usize = 8 * STEP_ROWS;

/// Gives so many empty pages back, if there are as many. The file gets shorter at the next checkpoint.
pub fn give_back(conn: &Connection, pages: u64) -> rusqlite::Result<()> {
    // A pragma takes no parameters. One row comes back for each page: the statement must be run to its end.
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut given = statement.query([])?;
    while given.next()?.is_some() {}
    Ok(())
}

/// Moves the cursors of a destination, never back.
pub fn confirm(
    conn: &mut Connection,
    rows: &mut Rows,
    destination: &str,
    cursors: &[(Table, i64)],
    now_ms: i64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO push_cursor (destination, table_name, last_id, updated_at) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (destination, table_name) DO UPDATE \
               SET last_id = max(last_id, excluded.last_id), updated_at = excluded.updated_at";
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut synced = *rows;
    for (table, id) in cursors {
        tx.prepare_cached(sql)?.execute((destination, table.name(), id, now_ms))?;
        let account = &mut synced[table.index()];
        if *id > account.synced_id {
            account.unsynced -= count_between(&tx, *table, account.synced_id, *id)?;
            account.synced_id = *id;
        }
    }
    tx.commit()?;
    *rows = synced;
    Ok(())
}

/// The last id that a destination confirmed; 0 before the first. Served by the primary key.
pub fn cursor(conn: &Connection, destination: &str, table: Table) -> rusqlite::Result<i64> {
    let sql = "SELECT last_id FROM push_cursor WHERE destination = ?1 AND table_name = ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([destination, table.name()])?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?.unwrap_or(0))
}

fn count_between(conn: &Connection, table: Table, after: i64, until: i64) -> rusqlite::Result<i64> {
    conn.prepare_cached(sql(table).count_between)?.query_row([after, until], |row| row.get(0))
}

fn read_account(conn: &Connection, table: Table, account: &mut TableRows) -> rusqlite::Result<()> {
    let sql = "SELECT stored, pruned_age, pruned_size, pruned_disk, pruned_unsynced, pruned_foreign \
               FROM row_counts WHERE table_name = ?1";
    conn.query_row(sql, [table.name()], |row| {
        account.stored = row.get(0)?;
        for (place, pruned) in account.pruned.iter_mut().enumerate() {
            *pruned = row.get(1 + place)?;
        }
        Ok(())
    })
}

fn book(conn: &Connection, table: Table, cause: Pruned, count: i64) -> rusqlite::Result<()> {
    let sql = match cause {
        Pruned::Age => "UPDATE row_counts SET pruned_age = pruned_age + ?2 WHERE table_name = ?1",
        Pruned::Size => "UPDATE row_counts SET pruned_size = pruned_size + ?2 WHERE table_name = ?1",
        Pruned::Disk => "UPDATE row_counts SET pruned_disk = pruned_disk + ?2 WHERE table_name = ?1",
        Pruned::Unsynced => "UPDATE row_counts SET pruned_unsynced = pruned_unsynced + ?2 WHERE table_name = ?1",
        Pruned::Foreign => "UPDATE row_counts SET pruned_foreign = pruned_foreign + ?2 WHERE table_name = ?1",
    };
    conn.prepare_cached(sql)?.execute((table.name(), count))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plans::{empty, plan_of};

    #[test]
    fn rows_are_found_by_rowid_and_never_by_a_scan_or_a_sort() {
        let conn = empty();
        for table in Table::ALL {
            let sql = sql(table);
            for text in [sql.oldest, sql.first, sql.remove, sql.count_between] {
                let plan = plan_of(&conn, text);
                assert!(plan.contains("USING INTEGER PRIMARY KEY (rowid"), "{text}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{text}: {plan}");
            }
        }
    }
}
