//! Removing rows, and accounting for every one: `stored = present + pruned`, in the transaction
//! that changes either side.

use rusqlite::{Connection, TransactionBehavior};

use super::delivery;
use super::file::Remote;
use super::limits::{STEP_ROWS, Which};
use crate::event::Table;
use crate::stats::{Pruned, TableRows};

/// What is known of the rows of each table, in the order of [`Table::ALL`].
pub type Rows = [TableRows; Table::ALL.len()];

/// The SQL of one table; the name of a table cannot be a parameter.
struct Sql {
    count: &'static str,
    count_between: &'static str,
    first_after: &'static str,
    oldest: &'static str,
    first: &'static str,
    newest: &'static str,
    remove: &'static str,
    oldest_letter: &'static str,
    remove_letters: &'static str,
}

/// A row stays that waits to be sent again to this destination, or that it will never take. With NULL none stays.
macro_rules! not_kept {
    ($table:literal, $destination:literal) => {
        concat!(
            " AND NOT EXISTS (SELECT 1 FROM push_retry k WHERE k.table_name = '",
            $table,
            "' AND k.row_id = ",
            $table,
            ".id AND k.destination = ",
            $destination,
            ") AND NOT EXISTS (SELECT 1 FROM dead_letters k WHERE k.table_name = '",
            $table,
            "' AND k.row_id = ",
            $table,
            ".id AND k.destination = ",
            $destination,
            ")"
        )
    };
}

macro_rules! sql_of {
    ($table:literal) => {
        Sql {
            count: concat!("SELECT count(*) FROM ", $table),
            // These are served by the rowid, from either end.
            count_between: concat!("SELECT count(*) FROM ", $table, " WHERE id > ?1 AND id <= ?2"),
            first_after: concat!("SELECT id FROM ", $table, " WHERE id > ?1 ORDER BY id LIMIT 1"),
            oldest: concat!(
                "SELECT id, received_at FROM ",
                $table,
                " WHERE id <= ?1 AND received_at <= ?2",
                not_kept!($table, "?3"),
                " ORDER BY id LIMIT 1"
            ),
            first: concat!(
                "SELECT id, received_at FROM ",
                $table,
                " WHERE id <= ?1",
                not_kept!($table, "?2"),
                " ORDER BY id LIMIT 1"
            ),
            newest: concat!("SELECT received_at FROM ", $table, " ORDER BY id DESC LIMIT 1"),
            remove: concat!(
                "DELETE FROM ",
                $table,
                // Of so many rows from one on, no matter how far those lie that are old enough.
                " WHERE id IN (SELECT id FROM (SELECT id, received_at FROM ",
                $table,
                " WHERE id >= ?1 AND id <= ?2",
                not_kept!($table, "?6"),
                " ORDER BY id LIMIT ?5) WHERE received_at < ?3 LIMIT ?4)"
            ),
            // Served by the primary key of dead_letters, of which there are few.
            oldest_letter: concat!(
                "SELECT row_id, died_at FROM dead_letters WHERE table_name = '",
                $table,
                "' AND destination = ?1 ORDER BY row_id LIMIT 1"
            ),
            remove_letters: concat!(
                "DELETE FROM ",
                $table,
                " WHERE id IN (SELECT row_id FROM dead_letters WHERE table_name = '",
                $table,
                "' AND destination = ?1 ORDER BY row_id LIMIT ?2)"
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
pub fn audit(conn: &mut Connection, remote: Option<&Remote>) -> rusqlite::Result<Rows> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut rows = Rows::default();
    for table in Table::ALL {
        let account = &mut rows[table.index()];
        read_account(&tx, table, account)?;
        account.present = tx.query_row(sql(table).count, [], |row| row.get(0))?;
        account.synced_id = match remote {
            Some(remote) if remote.tables.contains(&table) => delivery::cursor(&tx, &remote.destination, table)?,
            _ => i64::MAX,
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
    if let Some(remote) = remote {
        delivery::count(&tx, &remote.destination, &mut rows)?;
        rows.iter_mut().for_each(|account| account.unsynced += account.waiting);
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
/// wrong) is passed over: it must not hide what is old. Rows that are kept for `destination` are not among those that
/// the remote has.
pub fn oldest(
    conn: &Connection,
    rows: &Rows,
    destination: Option<&str>,
    which: Which,
    until_ms: i64,
) -> rusqlite::Result<Option<Found>> {
    let mut oldest: Option<Found> = None;
    for &table in tables(which) {
        let params = (until_id(rows, which, table), until_ms, kept_for(rows, destination, which, table));
        let found = find(conn, table, sql(table).oldest, params)?;
        if found.is_some_and(|found| oldest.is_none_or(|oldest| found.received_ms < oldest.received_ms)) {
            oldest = found;
        }
    }
    Ok(oldest)
}

/// The row among those that may go which goes first where there must be room. Without a search: each table gives up its
/// first row first. One from the future, by the clock of now, is older than its time says.
pub fn first(
    conn: &Connection,
    rows: &Rows,
    destination: Option<&str>,
    which: Which,
    now_ms: i64,
) -> rusqlite::Result<Option<Found>> {
    let age = |found: Found| (found.received_ms <= now_ms, found.received_ms);
    let mut first: Option<Found> = None;
    for &table in tables(which) {
        let found = match which {
            Which::DeadLetters => find(conn, table, sql(table).oldest_letter, [destination])?,
            _ => {
                let params = (until_id(rows, which, table), kept_for(rows, destination, which, table));
                find(conn, table, sql(table).first, params)?
            }
        };
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
        Which::DeadLetters => &Table::ALL,
    }
}

/// For whom rows stay although the push has passed them. Where it does not matter what the remote has, and in a table that
/// is not pushed any more, for nobody.
fn kept_for<'d>(rows: &Rows, destination: Option<&'d str>, which: Which, table: Table) -> Option<&'d str> {
    destination.filter(|_| which.is_synced() && rows[table.index()].is_pushed())
}

/// The last id of a table that may go.
fn until_id(rows: &Rows, which: Which, table: Table) -> i64 {
    match which {
        Which::SyncedMetrics | Which::SyncedEvents => rows[table.index()].synced_id,
        Which::DeadLetters | Which::AnyMetrics | Which::AnyEvents => i64::MAX,
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

/// What a step removes.
#[derive(Debug, Clone, Copy)]
pub struct Removal {
    /// Of which rows.
    pub which: Which,
    /// Only those that arrived before, Unix ms; `None` = whenever.
    pub before_ms: Option<i64>,
    /// How it is counted.
    pub cause: Pruned,
    /// No more once so many pages have become free.
    pub pages: u64,
}

/// Removes the oldest rows of the table that has the oldest: at most [`STEP_ROWS`]. Returns how many.
pub fn remove(
    conn: &mut Connection,
    rows: &mut Rows,
    destination: Option<&str>,
    step: Removal,
    now_ms: i64,
) -> rusqlite::Result<usize> {
    let Removal { which, before_ms, cause, pages } = step;
    let found = match before_ms {
        Some(before_ms) => oldest(conn, rows, destination, which, before_ms.saturating_sub(1))?,
        None => first(conn, rows, destination, which, now_ms)?,
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
        let gone = if which == Which::DeadLetters {
            tx.prepare_cached(sql(table).remove_letters)?.execute((destination, wanted as i64))?
        } else {
            let kept_for = kept_for(rows, destination, which, table);
            let params = (id, until, before_ms, wanted as i64, LOOKED_AT_ROWS as i64, kept_for);
            tx.prepare_cached(sql(table).remove)?.execute(params)?
        };
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
    let mut counted = *rows;
    if let Some(destination) = destination.filter(|_| !which.is_synced()) {
        // Some of them may have waited.
        delivery::count(&tx, destination, &mut counted)?;
    }
    tx.commit()?;
    let account = &mut rows[table.index()];
    account.waiting = counted[table.index()].waiting;
    account.present -= removed as i64;
    account.pruned[cause as usize] += removed as i64;
    match which {
        Which::SyncedMetrics | Which::SyncedEvents => {}
        Which::DeadLetters => account.dead = (account.dead - removed as i64).max(0),
        // Without a synced row left, which is when these are chosen.
        Which::AnyMetrics | Which::AnyEvents => account.unsynced = (account.unsynced - removed as i64).max(0),
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

/// The id of the first row after one.
pub fn first_after(conn: &Connection, table: Table, after: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = conn.prepare_cached(sql(table).first_after)?;
    let mut rows = statement.query([after])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

/// Rows after one id, up to another.
pub fn count_between(conn: &Connection, table: Table, after: i64, until: i64) -> rusqlite::Result<i64> {
    conn.prepare_cached(sql(table).count_between)?.query_row([after, until], |row| row.get(0))
}

fn read_account(conn: &Connection, table: Table, account: &mut TableRows) -> rusqlite::Result<()> {
    let sql = "SELECT stored, pruned_age, pruned_size, pruned_disk, pruned_unsynced, pruned_foreign, dead_let_go \
               FROM row_counts WHERE table_name = ?1";
    conn.query_row(sql, [table.name()], |row| {
        account.stored = row.get(0)?;
        for (place, pruned) in account.pruned.iter_mut().enumerate() {
            *pruned = row.get(1 + place)?;
        }
        account.dead_let_go = row.get(1 + Pruned::ALL.len())?;
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
            for text in [sql.oldest, sql.first, sql.first_after, sql.remove, sql.remove_letters, sql.count_between] {
                let plan = plan_of(&conn, text);
                assert!(plan.contains("USING INTEGER PRIMARY KEY (rowid"), "{text}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{text}: {plan}");
            }
        }
    }
}
