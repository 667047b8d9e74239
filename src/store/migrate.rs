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
    use crate::event::Table;
    use crate::store::delivery::{self, DeadLetter, Delivery, FrozenBatch, Waiting};
    use crate::store::file::Remote;
    use crate::store::prune;

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

    /// What a program with schema 3 notes of a push that was confirmed.
    const CURSOR_OF_SCHEMA_3: &str = "INSERT INTO push_cursor (destination, table_name, last_id, updated_at) \
         VALUES ('d', 'error_events', ?1, 1) ON CONFLICT (destination, table_name) DO UPDATE \
         SET last_id = max(last_id, excluded.last_id), updated_at = excluded.updated_at";

    fn store_five(conn: &Connection, from: i64) {
        for n in from..from + 5 {
            let sql = "INSERT INTO error_events (trace_id, timestamp, received_at, message, severity, text_truncated, source) \
                       VALUES (?1, 1, 1, 'm', 'error', 0, 'native')";
            conn.execute(sql, [n.to_string()]).unwrap();
        }
        prune::book_stored(conn, Table::ErrorEvents, 5).unwrap();
    }

    #[test]
    fn a_file_with_cursors_goes_to_schema_4_and_back_to_a_program_with_schema_3_and_forward_again() {
        let three = || -> Vec<Migration> { MIGRATIONS[..3].iter().map(|step| Migration { ..*step }).collect() };
        let remote = Remote { destination: "d".to_owned(), tables: Table::ALL.to_vec() };
        let place = Table::ErrorEvents.index();
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, true, &three(), 1).unwrap();
        store_five(&conn, 1);
        conn.execute(CURSOR_OF_SCHEMA_3, [2]).unwrap();

        // Forward: it is known that the remote takes rows, and what it has.
        migrate(&mut conn, false, MIGRATIONS, 2).unwrap();
        let mut rows = prune::audit(&mut conn, Some(&remote)).unwrap();
        assert_eq!((delivery::confirmed(&conn, "d").unwrap(), delivery::confirmed(&conn, "e").unwrap()), (1, 0));
        assert_eq!((rows[place].synced_id, rows[place].unsynced), (2, 3));
        let (table, attempts) = (Table::ErrorEvents, 1);
        let dead = DeadLetter { table, id: 3, status: 400, code: None, message: None, attempts };
        let later = Waiting { table, id: 4, due_ms: 1, attempts, alone: true };
        let ranges = r#"[["error_events",5,5]]"#.to_owned();
        let (id, envelope) = ("b".to_owned(), "{}".to_owned());
        let batch = FrozenBatch { id, made_ms: 3, envelope, ranges, again: false, rows: 1, bytes: 9 };
        let noted = Delivery {
            lane: "rows",
            cursors: vec![(table, 4)],
            dead: vec![dead],
            later: vec![later],
            open: Some(batch.clone()),
            ..Delivery::default()
        };
        delivery::note(&mut conn, &mut rows, "d", &noted, 3).unwrap();
        assert_eq!((rows[place].unsynced, rows[place].waiting, rows[place].dead), (2, 1, 1));

        // Back: rows come, are pushed, and those up to the cursor go, the dead one among them.
        migrate(&mut conn, false, &three(), 4).unwrap();
        store_five(&conn, 6);
        conn.execute(CURSOR_OF_SCHEMA_3, [7]).unwrap();
        assert_eq!(conn.execute("DELETE FROM error_events WHERE id <= 3", []).unwrap(), 3);
        let sql = "UPDATE row_counts SET pruned_age = pruned_age + 3 WHERE table_name = 'error_events'";
        conn.execute(sql, []).unwrap();

        // Forward again: what waited waits, nothing speaks of rows that are gone, and every row is accounted for.
        migrate(&mut conn, false, MIGRATIONS, 5).unwrap();
        let rows = prune::audit(&mut conn, Some(&remote)).unwrap()[place];
        assert_eq!((rows.stored, rows.present, rows.pruned.iter().sum::<i64>()), (10, 7, 3));
        assert_eq!((rows.synced_id, rows.unsynced, rows.waiting, rows.dead), (7, 4, 1, 0));
        assert_eq!(delivery::waiting(&conn, "d").unwrap(), [later]);
        assert_eq!(delivery::open_batch(&conn, "d", "rows").unwrap(), Some(batch));
        assert_eq!(meta(&conn, "schema_version").unwrap().as_deref(), Some("4"));
    }
}
