//! What the file remembers of the push, by destination: how far it has come, the batch that is on its way, the rows that
//! are to be sent again, and those that the remote will never take (dead letters).
//!
//! A [`Delivery`] is noted whole or not at all. So every row that was ever stored is after a cursor, or waits, or is a
//! dead letter, or is confirmed: one of them, whenever the machine dies.

use rusqlite::{Connection, TransactionBehavior};

use super::prune::{Rows, count_between, first_after};
use crate::event::Table;

/// What a push changes, noted in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Which of the destination's lanes it is about: each has an open batch of its own.
    pub lane: &'static str,
    /// The last row of each table that the push has passed. A cursor never goes back.
    pub cursors: Vec<(Table, i64)>,
    /// What a cursor passes, where that is known: the first row of a table, and how many there are up to the cursor. Then
    /// they need not be counted.
    pub passed: Vec<(Table, i64, i64)>,
    /// Rows of each table that were confirmed by it, in the order of [`Table::ALL`].
    pub confirmed: [i64; Table::ALL.len()],
    /// Rows that waited and wait no more.
    pub settled: Vec<(Table, i64)>,
    /// Rows that are to be sent again.
    pub later: Vec<Waiting>,
    /// Rows that the remote will never take.
    pub dead: Vec<DeadLetter>,
    /// The batch that is on its way from now on, in the place of the one before.
    pub open: Option<FrozenBatch>,
}

/// A batch as it is noted before its first byte is sent: with it the same bytes can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenBatch {
    /// Its id.
    pub id: String,
    /// When it was made, Unix ms.
    pub made_ms: i64,
    /// Who sent it, as the push wrote it down.
    pub envelope: String,
    /// Which rows are in it, as the push wrote it down.
    pub ranges: String,
    /// Whether its rows are such that waited.
    pub again: bool,
    /// How many rows.
    pub rows: u64,
    /// Length of the body.
    pub bytes: u64,
}

/// A row that is to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its table.
    pub table: Table,
    /// Its id.
    pub id: i64,
    /// Not before this, Unix ms.
    pub due_ms: i64,
    /// How often the remote has put it off or refused it.
    pub attempts: u32,
    /// Whether it was refused: it goes alone, so that no other suffers by it.
    pub alone: bool,
}

/// A row that the remote will never take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its table.
    pub table: Table,
    /// Its id.
    pub id: i64,
    /// Status of the answer that said so.
    pub status: u16,
    /// Why, in one word of the remote's.
    pub code: Option<String>,
    /// Why, in the remote's words, cut.
    pub message: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
}

/// Rows that may wait: a remote that puts off more than these is not taking rows at all.
pub const WAITING_MAX: usize = 5000;
/// Dead letters that are kept. At more the oldest are let go, and counted.
pub const DEAD_LETTERS_MAX: usize = 5000;

/// Notes a delivery, and what it does to the accounts.
pub fn note(
    conn: &mut Connection,
    rows: &mut Rows,
    destination: &str,
    delivery: &Delivery,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut after = *rows;
    let waiting_before = after.map(|account| account.waiting);
    for (table, id) in &delivery.cursors {
        let account = &mut after[table.index()];
        if *id > account.synced_id {
            account.unsynced -= passed(&tx, delivery, *table, account.synced_id, *id)?;
            account.synced_id = *id;
        }
    }
    for table in Table::ALL {
        let confirmed = delivery.confirmed[table.index()];
        let last = delivery.cursors.iter().find(|(moved, _)| *moved == table).map(|(_, id)| *id);
        if confirmed > 0 || last.is_some() {
            tx.prepare_cached(MOVE)?.execute((destination, table.name(), last.unwrap_or(0), now_ms, confirmed))?;
        }
    }
    for (table, id) in &delivery.settled {
        tx.prepare_cached(SETTLE)?.execute((table.name(), id, destination))?;
    }
    for row in &delivery.later {
        let params = (destination, row.table.name(), row.id, row.due_ms, row.attempts, row.alone);
        tx.prepare_cached(put_off(row.table))?.execute(params)?;
    }
    for row in &delivery.dead {
        tx.prepare_cached(SETTLE)?.execute((row.table.name(), row.id, destination))?;
        let (code, message) = (row.code.as_deref(), row.message.as_deref());
        let params = (destination, row.id, now_ms, row.status, code, message, row.attempts);
        tx.prepare_cached(bury(row.table))?.execute(params)?;
    }
    tx.prepare_cached(CLOSE_BATCH)?.execute((destination, delivery.lane))?;
    if let Some(open) = &delivery.open {
        let FrozenBatch { id, made_ms, envelope, ranges, again, rows, bytes } = open;
        let params = (destination, delivery.lane, id, made_ms, envelope, ranges, again, *rows as i64, *bytes as i64);
        tx.prepare_cached(OPEN_BATCH)?.execute(params)?;
    }
    if !delivery.dead.is_empty() {
        keep_few(&tx, destination, DEAD_LETTERS_MAX, &mut after)?;
    }
    count(&tx, destination, &mut after)?;
    for (account, before) in after.iter_mut().zip(waiting_before) {
        account.unsynced += account.waiting - before;
    }
    tx.commit()?;
    *rows = after;
    Ok(())
}

// Each of these is served by the primary key of its table.
const MOVE: &str = "INSERT INTO push_cursor (destination, table_name, last_id, updated_at, confirmed) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (destination, table_name) DO UPDATE \
     SET last_id = max(last_id, excluded.last_id), updated_at = excluded.updated_at, \
         confirmed = confirmed + excluded.confirmed";
const SETTLE: &str = "DELETE FROM push_retry WHERE table_name = ?1 AND row_id = ?2 AND destination = ?3";
const CLOSE_BATCH: &str = "DELETE FROM push_batch WHERE destination = ?1 AND lane = ?2";
const OPEN_BATCH: &str = "INSERT INTO push_batch (destination, lane, batch_id, made_at, envelope, ranges, again, \
     row_count, byte_count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const FORGET_OLD: &str = "DELETE FROM dead_letters WHERE table_name = ?1 AND destination = ?2 AND died_at < ?3";
const FORGET: &str = "DELETE FROM dead_letters WHERE table_name = ?1 AND row_id = ?2 AND destination = ?3";
const BOOK_LET_GO: &str = "UPDATE row_counts SET dead_let_go = dead_let_go + ?2 WHERE table_name = ?1";
const COUNT_WAITING: &str = "SELECT count(*) FROM push_retry WHERE table_name = ?1 AND destination = ?2";
const COUNT_DEAD: &str = "SELECT count(*) FROM dead_letters WHERE table_name = ?1 AND destination = ?2";
const CURSOR: &str = "SELECT last_id FROM push_cursor WHERE destination = ?1 AND table_name = ?2";
const CONFIRMED: &str = "SELECT coalesce(sum(confirmed), 0) FROM push_cursor WHERE destination = ?1";
const BATCH: &str = "SELECT batch_id, made_at, envelope, ranges, again, row_count, byte_count FROM push_batch \
     WHERE destination = ?1 AND lane = ?2";
const WAITING: &str = "SELECT row_id, due_at, attempts, alone FROM push_retry WHERE table_name = ?1 AND destination = ?2 \
     ORDER BY row_id LIMIT ?3";
#[cfg(test)]
const STATEMENTS: [&str; 15] = [
    MOVE,
    SETTLE,
    CLOSE_BATCH,
    OPEN_BATCH,
    FORGET_OLD,
    FORGET,
    BOOK_LET_GO,
    COUNT_WAITING,
    COUNT_DEAD,
    CURSOR,
    CONFIRMED,
    BATCH,
    WAITING,
    REVIVE_ONE,
    FORGET_ONE,
];

// These look at every dead letter of a destination: there are few.
const TOO_MANY: &str = "SELECT table_name, row_id FROM dead_letters WHERE destination = ?1 \
     ORDER BY died_at DESC, row_id DESC LIMIT -1 OFFSET ?2";
const REVIVE_ALL: &str = "INSERT INTO push_retry (destination, table_name, row_id, due_at, attempts, alone) \
     SELECT destination, table_name, row_id, ?2, 0, 1 FROM dead_letters WHERE destination = ?1 \
     ON CONFLICT (table_name, row_id, destination) DO NOTHING";
const FORGET_ALL: &str = "DELETE FROM dead_letters WHERE destination = ?1";
const REVIVE_ONE: &str = "INSERT INTO push_retry (destination, table_name, row_id, due_at, attempts, alone) \
     SELECT destination, table_name, row_id, ?3, 0, 1 FROM dead_letters WHERE destination = ?1 AND trace_id = ?2 \
     ON CONFLICT (table_name, row_id, destination) DO NOTHING";
const FORGET_ONE: &str = "DELETE FROM dead_letters WHERE destination = ?1 AND trace_id = ?2";

/// A row that is gone waits for nothing.
fn put_off(table: Table) -> &'static str {
    macro_rules! put_off {
        ($table:literal) => {
            concat!(
                "INSERT INTO push_retry (destination, table_name, row_id, due_at, attempts, alone) \
                 SELECT ?1, ?2, id, ?4, ?5, ?6 FROM ",
                $table,
                " WHERE id = ?3 ON CONFLICT (table_name, row_id, destination) DO UPDATE \
                 SET due_at = excluded.due_at, attempts = excluded.attempts, alone = excluded.alone"
            )
        };
    }
    match table {
        Table::LlmTraces => put_off!("llm_traces"),
        Table::ErrorEvents => put_off!("error_events"),
        Table::CustomEvents => put_off!("custom_events"),
        Table::SystemMetrics => put_off!("system_metrics"),
    }
}

/// A row that is gone leaves no letter.
fn bury(table: Table) -> &'static str {
    macro_rules! bury {
        ($table:literal) => {
            concat!(
                "INSERT INTO dead_letters (destination, table_name, row_id, trace_id, died_at, status, code, message, \
                 attempts) SELECT ?1, '",
                $table,
                "', id, trace_id, ?3, ?4, ?5, ?6, ?7 FROM ",
                $table,
                " WHERE id = ?2 ON CONFLICT (table_name, row_id, destination) DO UPDATE SET died_at = excluded.died_at, \
                 status = excluded.status, code = excluded.code, message = excluded.message, \
                 attempts = excluded.attempts"
            )
        };
    }
    match table {
        Table::LlmTraces => bury!("llm_traces"),
        Table::ErrorEvents => bury!("error_events"),
        Table::CustomEvents => bury!("custom_events"),
        Table::SystemMetrics => bury!("system_metrics"),
    }
}

/// Rows between two cursors. Rows only go from the oldest on: where the first is still there, so are the others.
fn passed(conn: &Connection, delivery: &Delivery, table: Table, after: i64, until: i64) -> rusqlite::Result<i64> {
    if let Some((_, first, rows)) = delivery.passed.iter().find(|(passed, ..)| *passed == table)
        && first_after(conn, table, after)? == Some(*first)
    {
        return Ok(*rows);
    }
    count_between(conn, table, after, until)
}

/// Lets dead letters go that died before `before_ms`: their rows count from then on as those that the remote has.
pub fn let_go(conn: &mut Connection, rows: &mut Rows, destination: &str, before_ms: i64) -> rusqlite::Result<()> {
    if rows.iter().all(|account| account.dead == 0) {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut after = *rows;
    for table in Table::ALL {
        let gone = tx.prepare_cached(FORGET_OLD)?.execute((table.name(), destination, before_ms))?;
        book_let_go(&tx, table, gone as i64, &mut after)?;
    }
    count(&tx, destination, &mut after)?;
    tx.commit()?;
    *rows = after;
    Ok(())
}

/// Lets the oldest dead letters go until there are no more than `max`.
fn keep_few(conn: &Connection, destination: &str, max: usize, rows: &mut Rows) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(TOO_MANY)?;
    let too_many = statement.query_map((destination, max as i64), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let too_many: Vec<(String, i64)> = too_many.collect::<rusqlite::Result<_>>()?;
    for (name, id) in too_many {
        conn.prepare_cached(FORGET)?.execute((&*name, id, destination))?;
        if let Some(table) = Table::named(&name) {
            book_let_go(conn, table, 1, rows)?;
        }
    }
    Ok(())
}

fn book_let_go(conn: &Connection, table: Table, letters: i64, rows: &mut Rows) -> rusqlite::Result<()> {
    if letters > 0 {
        conn.prepare_cached(BOOK_LET_GO)?.execute((table.name(), letters))?;
        rows[table.index()].dead_let_go += letters;
    }
    Ok(())
}

/// Which dead letters are to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revived {
    /// All of them.
    All,
    /// Those of these rows.
    TraceIds(Vec<String>),
}

/// What became of a wish to send dead letters again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revival {
    /// Letters that are rows to be sent again now.
    pub revived: usize,
    /// Ids that no dead letter has.
    pub unknown: Vec<String>,
}

/// Makes dead letters rows that are to be sent again, each alone.
pub fn revive(
    conn: &mut Connection,
    rows: &mut Rows,
    destination: &str,
    which: &Revived,
    now_ms: i64,
) -> rusqlite::Result<Revival> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut revival = Revival::default();
    match which {
        Revived::All => {
            tx.prepare_cached(REVIVE_ALL)?.execute((destination, now_ms))?;
            revival.revived = tx.prepare_cached(FORGET_ALL)?.execute([destination])?;
        }
        Revived::TraceIds(ids) => {
            for id in ids {
                tx.prepare_cached(REVIVE_ONE)?.execute((destination, id, now_ms))?;
                let found = tx.prepare_cached(FORGET_ONE)?.execute((destination, id))?;
                revival.revived += found;
                if found == 0 {
                    revival.unknown.push(id.clone());
                }
            }
        }
    }
    let mut after = *rows;
    count(&tx, destination, &mut after)?;
    for (account, before) in after.iter_mut().zip(&*rows) {
        account.unsynced += account.waiting - before.waiting;
    }
    tx.commit()?;
    *rows = after;
    Ok(revival)
}

/// Counts what waits and what is dead, of each table that is pushed. There are few of either.
pub fn count(conn: &Connection, destination: &str, rows: &mut Rows) -> rusqlite::Result<()> {
    for table in Table::ALL {
        if !rows[table.index()].is_pushed() {
            continue;
        }
        let waiting = conn.prepare_cached(COUNT_WAITING)?.query_row((table.name(), destination), |row| row.get(0))?;
        let dead = conn.prepare_cached(COUNT_DEAD)?.query_row((table.name(), destination), |row| row.get(0))?;
        let account = &mut rows[table.index()];
        (account.waiting, account.dead) = (waiting, dead);
    }
    Ok(())
}

/// The last id that the push to a destination has passed; 0 before the first.
pub fn cursor(conn: &Connection, destination: &str, table: Table) -> rusqlite::Result<i64> {
    let mut statement = conn.prepare_cached(CURSOR)?;
    let mut rows = statement.query([destination, table.name()])?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?.unwrap_or(0))
}

/// Rows that a destination has confirmed, ever.
pub fn confirmed(conn: &Connection, destination: &str) -> rusqlite::Result<i64> {
    conn.prepare_cached(CONFIRMED)?.query_row([destination], |row| row.get(0))
}

/// The batch of a lane that was on its way last.
pub fn open_batch(conn: &Connection, destination: &str, lane: &str) -> rusqlite::Result<Option<FrozenBatch>> {
    let mut statement = conn.prepare_cached(BATCH)?;
    let mut rows = statement.query([destination, lane])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(FrozenBatch {
        id: row.get(0)?,
        made_ms: row.get(1)?,
        envelope: row.get(2)?,
        ranges: row.get(3)?,
        again: row.get(4)?,
        rows: row.get::<_, i64>(5)?.unsigned_abs(),
        bytes: row.get::<_, i64>(6)?.unsigned_abs(),
    }))
}

/// All rows of a destination that are to be sent again, by table and id: [`WAITING_MAX`] and those revived, at most.
pub fn waiting(conn: &Connection, destination: &str) -> rusqlite::Result<Vec<Waiting>> {
    let mut waiting = Vec::new();
    for table in Table::ALL {
        let mut statement = conn.prepare_cached(WAITING)?;
        let params = (table.name(), destination, (WAITING_MAX + DEAD_LETTERS_MAX) as i64);
        let found = statement.query_map(params, |row| {
            let (id, due_ms, attempts, alone) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Waiting { table, id, due_ms, attempts, alone })
        })?;
        for row in found {
            waiting.push(row?);
        }
    }
    Ok(waiting)
}

/// The id of a row by its identity. Served by the unique index on trace_id.
pub fn row_id(conn: &Connection, table: Table, trace_id: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = conn.prepare_cached(id_of(table))?;
    let mut rows = statement.query([trace_id])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

fn id_of(table: Table) -> &'static str {
    match table {
        Table::LlmTraces => "SELECT id FROM llm_traces WHERE trace_id = ?1",
        Table::ErrorEvents => "SELECT id FROM error_events WHERE trace_id = ?1",
        Table::CustomEvents => "SELECT id FROM custom_events WHERE trace_id = ?1",
        Table::SystemMetrics => "SELECT id FROM system_metrics WHERE trace_id = ?1",
    }
}

/// Every statement that must find what it is about by a key.
#[cfg(test)]
pub fn statements() -> impl Iterator<Item = &'static str> {
    let of_tables = Table::ALL.into_iter().flat_map(|table| [bury(table), put_off(table), id_of(table)]);
    STATEMENTS.into_iter().chain(of_tables)
}

/// Those that look at every dead letter of a destination, of which there are at most [`DEAD_LETTERS_MAX`].
#[cfg(test)]
pub const OF_ALL_LETTERS: [&str; 3] = [TOO_MANY, REVIVE_ALL, FORGET_ALL];
