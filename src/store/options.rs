//! What we ask of SQLite: pragmas, each read back, and the options it was compiled with.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::config::Sync;

/// How long a statement waits for a lock that another process holds.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Page cache of the writer in KiB; 2 MB were not faster by anything one could measure.
const WRITER_CACHE_KIB: i64 = 512;
/// Prepared statements that the writer keeps: all that a commit may use.
const STATEMENTS_KEPT: usize = 48;
/// Page cache of a reader in KiB.
const READER_CACHE_KIB: i64 = 256;
/// The log file is cut back to this when it starts over.
const WAL_KEPT_BYTES: i64 = 1 << 20;
/// Marks a file as ours: "octr".
const APPLICATION_ID: i64 = 0x6f63_7472;
/// Marks the file of a receiver: "ocrv".
const RECEIVED_ID: i64 = 0x6f63_7276;
/// As [`BUSY_TIMEOUT`]: who pushes is told that it is busy long before it gives up.
const RECEIVED_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of a receiver in KiB: ids come in no order, and their index is larger than any cache.
const RECEIVED_CACHE_KIB: i64 = 8 << 10;

/// A pragma that did not take.
#[derive(Debug, thiserror::Error)]
pub enum PragmaError {
    /// SQLite answered with another value than the one that was set.
    #[error("PRAGMA {name}: expected {wanted}, got {found}")]
    Refused {
        /// Which.
        name: &'static str,
        /// What was set.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// SQLite could not answer.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Sets up the writer's connection. On an empty file this also decides its layout.
pub fn prepare_writer(conn: &Connection, sync: Sync) -> Result<(), PragmaError> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // The layout of the file: these two only count before the first page is written.
    set(conn, "auto_vacuum", Value::Integer(2))?;
    set(conn, "journal_mode", Value::Text("wal".to_owned()))?;
    set_sync(conn, sync)?;
    set(conn, "busy_timeout", Value::Integer(BUSY_TIMEOUT.as_millis() as i64))?;
    set(conn, "cache_size", Value::Integer(-WRITER_CACHE_KIB))?;
    set(conn, "journal_size_limit", Value::Integer(WAL_KEPT_BYTES))?;
    // The writer makes every checkpoint itself, after it has answered (store/wal.rs).
    set(conn, "wal_autocheckpoint", Value::Integer(0))?;
    set(conn, "temp_store", Value::Integer(2))?;
    set(conn, "trusted_schema", Value::Integer(0))?;
    Ok(())
}

/// Sets what the commits of a writer survive from now on. Not within a transaction.
pub fn set_sync(conn: &Connection, sync: Sync) -> Result<(), PragmaError> {
    let synchronous = match sync {
        Sync::Full => 2,
        Sync::Normal => 1,
    };
    set(conn, "synchronous", Value::Integer(synchronous))
}

/// Sets up a reader's connection.
pub fn prepare_reader(conn: &Connection) -> Result<(), PragmaError> {
    set(conn, "query_only", Value::Integer(1))?;
    set(conn, "cache_size", Value::Integer(-READER_CACHE_KIB))?;
    set(conn, "temp_store", Value::Integer(2))?;
    set(conn, "trusted_schema", Value::Integer(0))?;
    Ok(())
}

/// Sets up the connection that fills a new file with the pages of another. Nobody else knows the file,
/// and it is thrown away unless it becomes whole: it needs neither a journal nor syncs nor shared memory.
pub fn prepare_copy(conn: &Connection) -> Result<(), PragmaError> {
    set(conn, "locking_mode", Value::Text("exclusive".to_owned()))?;
    set(conn, "journal_mode", Value::Text("off".to_owned()))?;
    set(conn, "synchronous", Value::Integer(0))?;
    set(conn, "cache_size", Value::Integer(-READER_CACHE_KIB))?;
    set(conn, "temp_store", Value::Integer(2))?;
    set(conn, "trusted_schema", Value::Integer(0))?;
    Ok(())
}

/// Makes the copy a file that can be read without a log beside it, also where nothing can be written.
/// Whoever opens it as the writer makes it a WAL database again.
pub fn finish_copy(conn: &Connection) -> Result<(), PragmaError> {
    set(conn, "journal_mode", Value::Text("delete".to_owned()))
}

/// Whether a file is empty, ours, or a database of somebody else.
#[derive(Debug, PartialEq, Eq)]
pub enum Whose {
    /// Nothing is in it.
    Nobodys,
    /// We made it.
    Ours,
    /// Another program made it.
    SomebodyElses,
}

/// Looks whose database this is, without writing to it.
pub fn whose(conn: &Connection) -> rusqlite::Result<Whose> {
    whose_by(conn, APPLICATION_ID)
}

/// The same for the file of a receiver.
pub fn whose_received(conn: &Connection) -> rusqlite::Result<Whose> {
    whose_by(conn, RECEIVED_ID)
}

fn whose_by(conn: &Connection, ours: i64) -> rusqlite::Result<Whose> {
    let id: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let things: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (id, things) {
        (id, _) if id == ours => Whose::Ours,
        (_, 0) => Whose::Nobodys,
        _ => Whose::SomebodyElses,
    })
}

/// Marks the file as ours, inside the transaction that makes the schema.
pub fn mark_ours(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "application_id", APPLICATION_ID)
}

/// Marks the file as a receiver's, inside the transaction that makes the schema.
pub fn mark_received(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "application_id", RECEIVED_ID)
}

/// Sets up the connection of a receiver. Its checkpoints are SQLite's own: nobody prunes the file, and who pushes can wait.
pub fn prepare_received(conn: &Connection) -> Result<(), PragmaError> {
    conn.busy_timeout(RECEIVED_BUSY_TIMEOUT)?;
    set(conn, "journal_mode", Value::Text("wal".to_owned()))?;
    set(conn, "synchronous", Value::Integer(2))?;
    set(conn, "cache_size", Value::Integer(-RECEIVED_CACHE_KIB))?;
    set(conn, "journal_size_limit", Value::Integer(WAL_KEPT_BYTES))?;
    set(conn, "temp_store", Value::Integer(2))?;
    set(conn, "trusted_schema", Value::Integer(0))?;
    Ok(())
}

/// Sets a pragma and reads it back: SQLite ignores what it does not like.
fn set(conn: &Connection, name: &'static str, wanted: Value) -> Result<(), PragmaError> {
    conn.pragma_update(None, name, &wanted)?;
    let found: Value = conn.pragma_query_value(None, name, |row| row.get(0))?;
    if found == wanted {
        return Ok(());
    }
    Err(PragmaError::Refused { name, wanted: shown(&wanted), found: shown(&found) })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The options of `.cargo/config.toml`, as SQLite itself reports them.
    const WANTED: &[&str] = &[
        "DEFAULT_FOREIGN_KEYS",
        "DEFAULT_MEMSTATUS=0",
        "DQS=0",
        "LIKE_DOESNT_MATCH_BLOBS",
        "MAX_EXPR_DEPTH=0",
        "OMIT_DEPRECATED",
        "OMIT_LOAD_EXTENSION",
        "OMIT_SHARED_CACHE",
        "THREADSAFE=2",
    ];
    const UNWANTED: &[&str] = &[
        "ENABLE_API_ARMOR",
        "ENABLE_COLUMN_METADATA",
        "ENABLE_DBSTAT_VTAB",
        "ENABLE_FTS3",
        "ENABLE_FTS5",
        "ENABLE_RTREE",
        "ENABLE_STAT4",
        "SOUNDEX",
        "USE_URI",
    ];

    #[test]
    fn sqlite_was_compiled_with_our_options() {
        let conn = Connection::open_in_memory().unwrap();
        let mut options = Vec::new();
        conn.pragma_query(None, "compile_options", |row| {
            options.push(row.get::<_, String>(0)?);
            Ok(())
        })
        .unwrap();
        for option in WANTED {
            assert!(options.iter().any(|o| o == option), "{option} is missing in {options:#?}");
        }
        for option in UNWANTED {
            assert!(!options.iter().any(|o| o == option), "{option} should not be in {options:#?}");
        }
    }

    #[test]
    fn a_pragma_that_does_not_take_is_an_error() {
        let conn = Connection::open_in_memory().unwrap();
        let refused = set(&conn, "journal_mode", Value::Text("wal".to_owned())).unwrap_err();
        assert_eq!(refused.to_string(), "PRAGMA journal_mode: expected wal, got memory");
    }
}
