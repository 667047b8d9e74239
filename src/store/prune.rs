//! Removing rows, and accounting for every one: `stored = present + pruned`, in the transaction
//! that changes either side.

use rusqlite::{Connection, TransactionBehavior};

use super::limits::{STEP_PAGES, STEP_ROWS, Which};
use crate::event::Table;
use crate::stats::{Pruned, TableRows};

/// What is known of the rows of each table, in the order of [`Table::ALL`].
pub type Rows = [TableRows; Table::ALL.len()];

/// The SQL of one table; the name of a table cannot be a parameter.
struct Sql {
    count: &'static str,
    count_between: &'static str,
    oldest: &'static str,
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
                "SELECT received_at FROM ",
                $table,
                " WHERE id <= ?1 AND received_at <= ?2 ORDER BY id LIMIT 1"
            ),
            newest: concat!("SELECT received_at FROM ", $table, " ORDER BY id DESC LIMIT 1"),
            remove: concat!(
                "DELETE FROM ",
                $table,
                // Of the first so many rows, no matter how far those lie that are old enough.
                " WHERE id IN (SELECT id FROM (SELECT id, received_at FROM ",
                $table,
                " WHERE id <= ?1 ORDER BY id LIMIT ?4) WHERE received_at < ?2 LIMIT ?3)"
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
/// was deleted by somebody else, and is booked so.
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
        if missing != 0 {
            account.pruned[Pruned::Foreign as usize] += missing;
            book(&tx, table, Pruned::Foreign, missing)?;
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

/// Arrival of the oldest row among those that may go and arrived until `until_ms`, Unix ms, and its
/// table. A row from the future (the clock was wrong) is passed over: it must not hide what is old.
pub fn oldest(conn: &Connection, rows: &Rows, which: Which, until_ms: i64) -> rusqlite::Result<Option<(i64, Table)>> {
    let (tables, any) = match which {
        Which::SyncedMetrics => (&METRIC_TABLES[..], false),
        Which::SyncedEvents => (&EVENT_TABLES[..], false),
        Which::AnyMetrics => (&METRIC_TABLES[..], true),
        Which::AnyEvents => (&EVENT_TABLES[..], true),
    };
    let mut found: Option<(i64, Table)> = None;
    for &table in tables {
        let until = if any { i64::MAX } else { rows[table.index()].synced_id };
        let mut statement = conn.prepare_cached(sql(table).oldest)?;
        let mut answer = statement.query([until, until_ms])?;
        if let Some(row) = answer.next()? {
            let received: i64 = row.get(0)?;
            if found.is_none_or(|(oldest, _)| received < oldest) {
                found = Some((received, table));
            }
        }
    }
    Ok(found)
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

/// Removes the oldest rows, at most [`STEP_ROWS`], of the table that has the oldest. Returns how many.
pub fn remove(
    conn: &mut Connection,
    rows: &mut Rows,
    which: Which,
    before_ms: Option<i64>,
    cause: Pruned,
) -> rusqlite::Result<usize> {
    let before_ms = before_ms.unwrap_or(i64::MAX);
    let Some((_, table)) = oldest(conn, rows, which, before_ms)? else { return Ok(0) };
    let any = matches!(which, Which::AnyMetrics | Which::AnyEvents);
    let until = if any { i64::MAX } else { rows[table.index()].synced_id };
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let params = (until, before_ms, STEP_ROWS as i64, LOOKED_AT_ROWS as i64);
    let removed = tx.prepare_cached(sql(table).remove)?.execute(params)? as i64;
    book(&tx, table, cause, removed)?;
    tx.commit()?;
    let account = &mut rows[table.index()];
    account.present -= removed;
    account.pruned[cause as usize] += removed;
    if any {
        // Without a synced row left, which is when these are chosen.
        account.unsynced = (account.unsynced - removed).max(0);
    }
    Ok(removed as usize)
}

/// Rows that one step looks at for those that are old enough.
const LOOKED_AT_ROWS: usize = 8 * STEP_ROWS;

/// Gives empty pages back, at most [`STEP_PAGES`]. The file gets shorter at the next checkpoint.
pub fn give_back(conn: &Connection) -> rusqlite::Result<()> {
    // One row comes back for each page: the statement must be run to its end.
    const { assert!(STEP_PAGES == 256, "the pragma takes its number as a literal") };
    let mut statement = conn.prepare_cached("PRAGMA incremental_vacuum(256)")?;
    let mut pages = statement.query([])?;
    while pages.next()?.is_some() {}
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
            for text in [sql.oldest, sql.remove, sql.count_between] {
                let plan = plan_of(&conn, text);
                assert!(plan.contains("USING INTEGER PRIMARY KEY (rowid"), "{text}: {plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{text}: {plan}");
            }
        }
    }
}
