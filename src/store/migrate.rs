//! The schema over time: migrations go forward and only add.
//!
//! `meta.schema_version` is the schema of the file, `meta.minimum_reader` the oldest schema whose
//! program can still work with it. So a program that is one version behind opens the file of its
//! successor, and a rollback needs no repair.

use rusqlite::{Connection, TransactionBehavior};

use super::options;
use crate::event::EventId;

/// One step from a schema to the next.
pub struct Migration {
    /// What it does.
    pub sql: &'static str,
    /// The oldest schema whose program can work with a file that has this step.
    pub minimum_reader: usize,
}

/// All steps; the schema after the n-th is n (counted from 1).
pub const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("schema.sql"), minimum_reader: 1 },
    Migration { sql: include_str!("schema2.sql"), minimum_reader: 1 },
    Migration { sql: include_str!("schema3.sql"), minimum_reader: 1 },
    Migration { sql: include_str!("schema4.sql"), minimum_reader: 1 },
];

/// A file that this program cannot bring to its own schema.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer program wrote it, and says that ours is too old for it.
    #[error(
        "the file has schema {found}, for which a program with schema {minimum_reader} or newer is needed; this one has {ours}"
    )]
    TooNew {
        /// Schema of the file.
        found: usize,
        /// What the file asks for.
        minimum_reader: usize,
        /// Schema of this program.
        ours: usize,
    },
    /// The file lacks what every file of ours has.
    #[error("the file is marked as ours, but its table meta has no usable {key}")]
    NoMeta {
        /// The missing key.
        key: &'static str,
    },
    /// SQLite could not do it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Brings the file to the newest schema, in one transaction. `empty` = nothing is in it yet.
pub fn migrate(conn: &mut Connection, empty: bool, steps: &[Migration], now_ms: i64) -> Result<(), MigrateError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (found, minimum_reader) =
        if empty { (0, 0) } else { (meta_number(&tx, "schema_version")?, meta_number(&tx, "minimum_reader")?) };
    if minimum_reader > steps.len() {
        return Err(MigrateError::TooNew { found, minimum_reader, ours: steps.len() });
    }
    if empty {
        options::mark_ours(&tx)?;
    }
    for (done, step) in steps.iter().enumerate().skip(found) {
        tx.execute_batch(step.sql)?;
        put_meta(&tx, "schema_version", &(done + 1).to_string())?;
        put_meta(&tx, "minimum_reader", &step.minimum_reader.to_string())?;
    }
    if empty {
        put_meta(&tx, "instance_id", &EventId::new(now_ms).to_string())?;
    }
    tx.commit()?;
    Ok(())
}

/// Reads one value of `meta`. Served by its primary key.
pub fn meta(conn: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}

fn meta_number(conn: &Connection, key: &'static str) -> Result<usize, MigrateError> {
    let value = match meta(conn, key) {
        // Marked as ours, and not even the table: somebody else's hands were here.
        Err(rusqlite::Error::SqliteFailure(e, _)) if e.code == rusqlite::ErrorCode::Unknown => None,
        other => other?,
    };
    value.and_then(|value| value.parse().ok()).ok_or(MigrateError::NoMeta { key })
}

/// Writes one value of `meta`. Served by its primary key.
pub fn put_meta(conn: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    conn.prepare_cached(sql)?.execute([key, value])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: Migration = Migration { sql: "CREATE TABLE later (x INTEGER) STRICT;", minimum_reader: 1 };
    const BREAKING: Migration = Migration { sql: "CREATE TABLE latest (x INTEGER) STRICT;", minimum_reader: 3 };

    fn schema_one() -> Migration {
        Migration { ..MIGRATIONS[0] }
    }

    #[test]
    fn a_file_goes_one_version_forward_and_back_and_forward_again() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, true, &[schema_one()], 1).unwrap();
        let id = meta(&conn, "instance_id").unwrap();
        for steps in [&[schema_one(), NEXT][..], &[schema_one()], &[schema_one(), NEXT]] {
            migrate(&mut conn, false, steps, 2).unwrap();
            conn.execute("INSERT INTO later VALUES (1)", []).unwrap();
            conn.execute("UPDATE row_counts SET stored = stored + 1", []).unwrap();
            assert_eq!(meta(&conn, "schema_version").unwrap().as_deref(), Some("2"));
        }
        assert_eq!(meta(&conn, "instance_id").unwrap(), id);
    }

    #[test]
    fn a_file_that_needs_a_newer_program_is_refused_and_left_as_it_is() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, true, &[schema_one(), NEXT, BREAKING], 1).unwrap();
        let refused = migrate(&mut conn, false, &[schema_one(), NEXT], 2).unwrap_err();
        assert!(matches!(refused, MigrateError::TooNew { found: 3, minimum_reader: 3, ours: 2 }), "{refused}");
        assert_eq!(meta(&conn, "schema_version").unwrap().as_deref(), Some("3"));
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, true, &[schema_one()], 1).unwrap();
        let broken =
            Migration { sql: "CREATE TABLE half (x INTEGER) STRICT; CREATE TABLE nonsense (", minimum_reader: 1 };
        assert!(migrate(&mut conn, false, &[schema_one(), broken], 2).is_err());
        assert_eq!(meta(&conn, "schema_version").unwrap().as_deref(), Some("1"));
        assert!(conn.prepare("SELECT * FROM half").is_err());
    }
}
