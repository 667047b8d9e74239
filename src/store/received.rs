//! The file of a receiver: every row that was pushed, once. A schema of its own, and no other program's.
//!
//! A push is stored in one transaction, whole or not at all, and durable once [`ReceivedFile::take`] has returned. The first row
//! of an id stays: a row that comes again is counted and changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::file::{OpenError, make_directory, make_private};
use super::migrate::MigrateError;
use super::options::{self, PragmaError};
use super::volume::{Identity, InstanceLock, beside};
use super::wal;
use crate::event::Table;
use crate::wire::pushed::{Pushed, Rejected};

const SCHEMA: &str = include_str!("received.sql");
/// `user_version` of a file of this schema.
const VERSION: i64 = 1;
/// Tables in the file, whoever invents them: each is told in `/health`.
const TABLES_MAX: usize = 64;

/// By the primary key; `body` is what the first one brought.
const INSERT: &str = "INSERT INTO received (instance_id, table_name, trace_id, timestamp, received_at, body) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
/// By the primary key.
const SEEN: &str = "INSERT INTO instances (instance_id, agent, first_seen, last_seen) VALUES (?1, ?2, ?3, ?3) \
     ON CONFLICT DO UPDATE SET agent = excluded.agent, last_seen = excluded.last_seen";
/// By the primary key.
const ADD_UP: &str = "INSERT INTO totals (table_name, accepted, duplicates, rejected) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT DO UPDATE SET accepted = accepted + excluded.accepted, \
     duplicates = duplicates + excluded.duplicates, rejected = rejected + excluded.rejected";
/// All of a table of at most [`TABLES_MAX`] rows.
const TOTALS: &str = "SELECT table_name, accepted, duplicates, rejected FROM totals";
/// By the primary key.
const IS_NEW: &str = "SELECT NOT EXISTS (SELECT 1 FROM instances WHERE instance_id = ?1)";
/// Once, at the start.
const INSTANCES: &str = "SELECT count(*) FROM instances";

/// What became of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Stored as new rows.
    pub accepted: u64,
    /// Known before.
    pub duplicates: u64,
    /// Refused.
    pub rejected: u64,
}

/// What is in the file, and what became of all that was sent to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Who has pushed.
    pub instances: u64,
    /// By table.
    pub tables: BTreeMap<String, Total>,
}

/// Why a push is not stored. Nothing of it is; it may come again.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The path names another file than the one that is open, or none.
    #[error("{path} was moved, replaced or deleted: put it back, or start the receiver again")]
    Gone {
        /// The path.
        path: String,
    },
    /// SQLite cannot store it now.
    #[error("{path} cannot be written: {cause}")]
    Sqlite {
        /// The path.
        path: String,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
}

/// The open file, and the lock that keeps a second receiver out.
#[derive(Debug)]
pub struct ReceivedFile {
    conn: Connection,
    path: PathBuf,
    identity: Option<Identity>,
    totals: Totals,
    _lock: InstanceLock,
}

impl ReceivedFile {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// It is in use, another program's, or cannot be made or written.
    pub fn open(path: &Path) -> Result<ReceivedFile, OpenError> {
        make_directory(path)?;
        let lock = InstanceLock::take(path)?;
        let shown = || path.display().to_string();
        let sqlite = |cause| OpenError::Sqlite { path: shown(), cause };
        let io = |cause| OpenError::Io { path: shown(), cause };
        refuse_strange_log(path)?;
        make_private(path).map_err(io)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        let is_new = match options::whose_received(&conn).map_err(sqlite)? {
            options::Whose::SomebodyElses => return Err(OpenError::SomebodyElses { path: shown() }),
            options::Whose::Nobodys => true,
            options::Whose::Ours => false,
        };
        options::prepare_received(&conn).map_err(|cause| match cause {
            PragmaError::Sqlite(cause) => sqlite(cause),
            cause => OpenError::Pragma { path: shown(), cause },
        })?;
        if is_new {
            make_schema(&mut conn).map_err(sqlite)?;
        }
        let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
        if found > VERSION {
            let (found, minimum_reader) = (found as usize, found as usize);
            let cause = MigrateError::TooNew { found, minimum_reader, ours: VERSION as usize };
            return Err(OpenError::Migrate { path: shown(), cause });
        }
        let totals = totals(&conn).map_err(sqlite)?;
        let identity = Identity::of(path).map_err(io)?;
        Ok(ReceivedFile { conn, path: path.to_owned(), identity, totals, _lock: lock })
    }

    /// What is in the file.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Stores a push, and says what became of its rows. Those of a table for which the file has no room join
    /// [`Pushed::rejected`].
    ///
    /// # Errors
    /// Nothing of it is stored.
    pub fn take(&mut self, pushed: &mut Pushed<'_>, now_ms: i64) -> Result<Total, NotTaken> {
        self.check_place()?;
        let over = refuse_tables_too_many(pushed, &self.totals.tables);
        let stored = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            let is_new = tx.prepare_cached(IS_NEW)?.query_row([&pushed.instance_id], |row| row.get::<_, bool>(0))?;
            let total = store(&tx, pushed, &over, now_ms)?;
            let totals = Totals { instances: self.totals.instances + u64::from(is_new), tables: tables(&tx)? };
            tx.commit()?;
            Ok((total, totals))
        });
        let (total, totals) = stored.map_err(|cause| failed(&self.path, cause))?;
        self.totals = totals;
        Ok(total)
    }

    /// Whether a push could be stored now: one is made of nothing, and committed.
    ///
    /// # Errors
    /// It could not.
    pub fn probe(&mut self) -> Result<(), NotTaken> {
        self.check_place()?;
        let probed = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
            tx.pragma_update(None, "user_version", VERSION)?;
            tx.commit()
        });
        probed.map_err(|cause| failed(&self.path, cause))
    }

    /// Moves the log into the file and closes it.
    ///
    /// # Errors
    /// What could not be moved stays in the log, and is not lost.
    /// Moves the log into the file, and closes it.
    ///
    /// # Errors
    /// Rows are in the log still: the file must not be moved without it.
    pub fn close(self) -> Result<(), NotTaken> {
        let emptied = wal::truncate(&self.conn).map_err(|cause| failed(&self.path, cause));
        self.conn.close().map_err(|(_, cause)| failed(&self.path, cause))?;
        emptied.map(|_| ())
    }

    /// What is stored in a file that nobody finds is lost.
    fn check_place(&self) -> Result<(), NotTaken> {
        // When the system cannot say, it is taken to be in place.
        match Identity::of(&self.path) {
            Ok(now) if now != self.identity => Err(NotTaken::Gone { path: self.path.display().to_string() }),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// A log without its file is of one that was moved away, and rows are in it: SQLite would begin it anew.
fn refuse_strange_log(path: &Path) -> Result<(), OpenError> {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    if bytes(path) == 0 && bytes(&beside(path, "-wal")) > 0 {
        let cause =
            std::io::Error::other("the -wal beside it belongs to a file that is not there: put both together again");
        return Err(OpenError::Io { path: path.display().to_string(), cause });
    }
    Ok(())
}

fn failed(path: &Path, cause: rusqlite::Error) -> NotTaken {
    NotTaken::Sqlite { path: path.display().to_string(), cause }
}

fn make_schema(conn: &mut Connection) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    options::mark_received(&tx)?;
    tx.commit()
}

fn totals(conn: &Connection) -> rusqlite::Result<Totals> {
    let instances: i64 = conn.query_row(INSTANCES, [], |row| row.get(0))?;
    Ok(Totals { instances: instances as u64, tables: tables(conn)? })
}

fn tables(conn: &Connection) -> rusqlite::Result<BTreeMap<String, Total>> {
    let mut statement = conn.prepare_cached(TOTALS)?;
    let tables = statement.query_map([], |row| {
        let count = |column| row.get::<_, i64>(column).map(|count| count as u64);
        Ok((row.get(0)?, Total { accepted: count(1)?, duplicates: count(2)?, rejected: count(3)? }))
    })?;
    tables.collect()
}

/// Moves the rows of tables past [`TABLES_MAX`] to the refused ones, and says which tables these are. Those that a sidecar
/// has always find room, and a table of which no row is stored takes none.
fn refuse_tables_too_many(pushed: &mut Pushed<'_>, known: &BTreeMap<String, Total>) -> Vec<String> {
    let (mut new, mut over): (Vec<String>, Vec<String>) = Default::default();
    let strangers = known.keys().filter(|table| Table::named(table).is_none()).count();
    for list in &mut pushed.tables {
        let is_known = known.contains_key(&*list.table) || new.iter().any(|table| *table == *list.table);
        if is_known || Table::named(&list.table).is_some() {
            continue;
        }
        if list.rows.is_empty() {
            over.push(list.table.to_string());
        } else if strangers + new.len() < TABLES_MAX {
            new.push(list.table.to_string());
        } else {
            over.push(list.table.to_string());
            pushed.rejected.extend(list.rows.drain(..).map(|row| Rejected {
                table: list.table.clone(),
                trace_id: Some(row.trace_id),
                index: row.index,
                code: "too_many_tables",
                message: "this receiver has as many tables as it takes",
                // It is not the row's fault.
                retryable: true,
            }));
        }
    }
    over
}

fn store(tx: &Transaction<'_>, pushed: &Pushed<'_>, over: &[String], now_ms: i64) -> rusqlite::Result<Total> {
    tx.prepare_cached(SEEN)?.execute(params![pushed.instance_id, pushed.agent, now_ms])?;
    let mut insert = tx.prepare_cached(INSERT)?;
    let mut by_table: BTreeMap<&str, Total> = BTreeMap::new();
    for list in &pushed.tables {
        let total = by_table.entry(&list.table).or_default();
        for row in &list.rows {
            let row = params![pushed.instance_id, list.table, row.trace_id, row.timestamp, now_ms, row.body];
            match insert.execute(row)? {
                0 => total.duplicates += 1,
                _ => total.accepted += 1,
            }
        }
    }
    for no in &pushed.rejected {
        let table = if over.iter().any(|table| *table == *no.table) { NO_TABLE } else { &no.table };
        by_table.entry(table).or_default().rejected += 1;
    }
    let (mut add_up, mut all) = (tx.prepare_cached(ADD_UP)?, Total::default());
    for (table, Total { accepted, duplicates, rejected }) in by_table {
        if accepted + duplicates + rejected > 0 {
            add_up.execute(params![table, accepted as i64, duplicates as i64, rejected as i64])?;
        }
        all.accepted += accepted;
        all.duplicates += duplicates;
        all.rejected += rejected;
    }
    Ok(all)
}

/// Under what rows of tables past [`TABLES_MAX`] are counted. No table can be called so.
const NO_TABLE: &str = "";
