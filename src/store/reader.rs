//! Looking on: a read-only connection for whoever is not the writer.
//!
//! Every call is one short read transaction, so that no reader keeps the log from starting over.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::delivery::{FrozenBatch, Waiting};
use super::options::{self, PragmaError};
use super::{delivery, migrate};
use crate::event::{Table, Value};

/// How long a reader waits for a lock. In WAL mode it waits for next to nothing.
const READ_BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// A read-only connection.
#[derive(Debug)]
pub struct Reader {
    pub(super) conn: Connection,
}

/// What is done with a row: its id, and every column but the id with its name.
pub type EachRow<'a> = dyn FnMut(i64, &[(&'static str, Value<'_>)]) + 'a;

/// The file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// SQLite could not do it.
    #[error("cannot read the database: {0}")]
    Sqlite(rusqlite::Error),
    /// The question was given up, so that the log can start over.
    #[error("the database was not read in time")]
    TooLong,
    /// A sum, or a count of times, is none that this program writes.
    #[error("cannot read the database: its sums by the hour are not what this program writes")]
    NotSums,
    /// A pragma did not take.
    #[error("cannot read the database: {0}")]
    Pragma(#[from] PragmaError),
    /// The file is not ours, or not whole.
    #[error("cannot read the database: its table meta has no {key}")]
    NoMeta {
        /// The missing key.
        key: &'static str,
    },
}

impl ReadError {
    /// Whether it is the file that is broken, and not the moment.
    pub fn is_corrupt(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }

    /// Whether it is that something would have to be written, and may not be.
    pub fn is_denied(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied))
    }

    /// What SQLite calls it, where it is SQLite's.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ReadError::Sqlite(error) | ReadError::Pragma(PragmaError::Sqlite(error)) => error.sqlite_error_code(),
            ReadError::TooLong | ReadError::NotSums | ReadError::Pragma(_) | ReadError::NoMeta { .. } => None,
        }
    }
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> ReadError {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => ReadError::TooLong,
            _ => ReadError::Sqlite(error),
        }
    }
}

impl Reader {
    /// Opens the file, which must be there.
    pub fn open(path: &Path) -> Result<Reader, ReadError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(READ_BUSY_TIMEOUT)?;
        options::prepare_reader(&conn)?;
        Ok(Reader { conn })
    }

    /// Opens a file that nobody writes to, whether anything can be written beside it or not. Takes no lock, reads no log
    /// and leaves nothing behind.
    pub fn open_still(path: &Path) -> Result<Reader, ReadError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let conn = Connection::open_with_flags(still(path), flags)?;
        options::prepare_reader(&conn)?;
        Ok(Reader { conn })
    }

    /// The identity of this file, made with it.
    pub fn instance_id(&self) -> Result<String, ReadError> {
        migrate::meta(&self.conn, "instance_id")?.ok_or(ReadError::NoMeta { key: "instance_id" })
    }

    /// What a [`crate::event::Note::Position`] with this key said last; `None` if none was ever stored.
    pub fn position(&self, key: &str) -> Result<Option<String>, ReadError> {
        Ok(migrate::meta(&self.conn, key)?)
    }

    /// The last id of each table that a destination confirmed, by [`Table::index`].
    pub fn cursors(&self, destination: &str) -> Result<[i64; Table::ALL.len()], ReadError> {
        let mut cursors = [0; Table::ALL.len()];
        for table in Table::ALL {
            cursors[table.index()] = delivery::cursor(&self.conn, destination, table)?;
        }
        Ok(cursors)
    }

    /// Whether a destination ever confirmed a row.
    pub fn has_confirmed(&self, destination: &str) -> Result<bool, ReadError> {
        Ok(delivery::confirmed(&self.conn, destination)? > 0)
    }

    /// The batch of a lane of the destination that was on its way last.
    pub fn open_batch(&self, destination: &str, lane: &str) -> Result<Option<FrozenBatch>, ReadError> {
        Ok(delivery::open_batch(&self.conn, destination, lane)?)
    }

    /// Rows that are to be sent again to a destination, by table and id.
    pub fn waiting(&self, destination: &str) -> Result<Vec<Waiting>, ReadError> {
        Ok(delivery::waiting(&self.conn, destination)?)
    }

    /// The id of a row by its identity.
    pub fn row_id(&self, table: Table, trace_id: &str) -> Result<Option<i64>, ReadError> {
        Ok(delivery::row_id(&self.conn, table, trace_id)?)
    }

    /// Hands the rows after `after_id` to `each`, at most `limit`, in the order of storing: the id,
    /// and every column but the id with its name. Returns how many there were.
    pub fn rows(&self, table: Table, after_id: i64, limit: usize, each: &mut EachRow<'_>) -> Result<usize, ReadError> {
        let columns = columns(table);
        let mut statement = self.conn.prepare_cached(select(table))?;
        let mut rows = statement.query((after_id, limit as i64))?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let mut values = Vec::with_capacity(columns.len());
            for (place, name) in columns.iter().enumerate() {
                values.push((*name, value(name, row.get_ref(place + 1)?)?));
            }
            each(row.get(0)?, &values);
            count += 1;
        }
        Ok(count)
    }
}

/// The URI of a file that does not change, given by its absolute path.
fn still(path: &Path) -> OsString {
    let mut uri = b"file:".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => uri.push(*byte),
        }
    }
    uri.extend_from_slice(b"?immutable=1");
    OsString::from_vec(uri)
}

fn value<'r>(name: &str, value: ValueRef<'r>) -> Result<Value<'r>, ReadError> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|error| rusqlite::Error::Utf8Error(0, error))?;
            if JSON_COLUMNS.contains(&name) { Value::Json(text) } else { Value::Text(text) }
        }
    })
}

/// Columns whose text is JSON.
const JSON_COLUMNS: [&str; 2] = ["attributes", "processes_top"];

/// Declares what a reader reads of a table: the columns, and the SQL that names the same ones.
macro_rules! readable {
    ($columns:ident, $select:ident, $table:literal, $($column:literal)+) => {
        const $columns: &[&str] = &[$($column),+];
        // Served by the rowid.
        pub(super) const $select: &str = concat!("SELECT id", $(", ", $column,)+ " FROM ", $table, " WHERE id > ?1 ORDER BY id LIMIT ?2");
    };
}

readable!(LLM_TRACES, SELECT_LLM_TRACES, "llm_calls",
    "trace_id" "timestamp" "received_at" "provider" "request_model" "response_model" "operation" "input_tokens"
    "output_tokens" "cache_read_tokens" "cache_write_tokens" "cache_write_1h_tokens" "reasoning_tokens"
    "cost_picousd" "cost_usd" "cost_source" "price_version" "latency_ms" "ttft_ms" "ttfb_ms" "status" "error_type"
    "error_message" "finish_reason" "response_id" "conversation_id" "agent_id" "agent_name" "user_id" "streaming"
    "unit" "otel_trace_id" "otel_span_id" "otel_parent_span_id" "input_text" "output_text" "text_truncated"
    "service_name" "source" "attributes" "channel" "trigger");

readable!(ERROR_EVENTS, SELECT_ERROR_EVENTS, "error_events",
    "trace_id" "timestamp" "received_at" "error_type" "message" "stacktrace" "severity" "handled" "component"
    "conversation_id" "agent_id" "otel_trace_id" "otel_span_id" "fingerprint" "text_truncated" "service_name"
    "source" "attributes");

readable!(CUSTOM_EVENTS, SELECT_CUSTOM_EVENTS, "custom_events",
    "trace_id" "timestamp" "received_at" "name" "severity" "conversation_id" "agent_id" "otel_trace_id"
    "otel_span_id" "body" "text_truncated" "service_name" "source" "attributes");

readable!(SYSTEM_METRICS, SELECT_SYSTEM_METRICS, "system_metrics",
    "trace_id" "timestamp" "received_at" "interval_ms" "cpu_percent" "cpu_cores_used" "cpu_limit_cores"
    "cpu_throttled_ms" "memory_used_bytes" "memory_limit_bytes" "memory_percent" "memory_rss_bytes"
    "swap_used_bytes" "disk_path" "disk_total_bytes" "disk_used_bytes" "disk_free_bytes" "disk_percent"
    "net_rx_bytes" "net_tx_bytes" "process_count" "thread_count" "zombie_count" "load_1m" "scope"
    "memory_working_set_bytes" "oom_kills" "cpu_pressure_ms" "memory_pressure_ms" "memory_pressure_full_ms"
    "io_pressure_ms" "io_pressure_full_ms" "cpu_steal_ms" "io_read_bytes" "io_write_bytes"
    "io_read_bytes_per_second" "io_write_bytes_per_second" "disk_inodes_total" "disk_inodes_free" "net_rx_errors"
    "net_tx_errors" "tcp_established" "tcp_listen" "tcp_time_wait" "tcp_close_wait" "tcp_other" "processes_top"
    "agent_alive" "agent_rss_bytes" "agent_cpu_cores_used" "agent_fds" "agent_restarts");

fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::LlmTraces => LLM_TRACES,
        Table::ErrorEvents => ERROR_EVENTS,
        Table::CustomEvents => CUSTOM_EVENTS,
        Table::SystemMetrics => SYSTEM_METRICS,
    }
}

fn select(table: Table) -> &'static str {
    match table {
        Table::LlmTraces => SELECT_LLM_TRACES,
        Table::ErrorEvents => SELECT_ERROR_EVENTS,
        Table::CustomEvents => SELECT_CUSTOM_EVENTS,
        Table::SystemMetrics => SELECT_SYSTEM_METRICS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plans::empty;

    #[test]
    fn a_reader_reads_every_column_of_the_schema() {
        let conn = empty();
        for table in Table::ALL {
            let sql = format!("SELECT name FROM pragma_table_xinfo('{}') WHERE name <> 'id'", table.name());
            let mut statement = conn.prepare(&sql).unwrap();
            let names: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
            assert_eq!(names, columns(table), "{}", table.name());
        }
    }
}
