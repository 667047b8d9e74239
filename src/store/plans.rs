//! How SQLite finds the rows of every statement that searches: by a key, from either end, and never by a sort.

use rusqlite::Connection;

use super::{delivery, migrate, notes, reader, rollup};

/// The plan of a statement, its lines joined.
pub fn plan_of(conn: &Connection, sql: &str) -> String {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let count = statement.parameter_count();
    let params = rusqlite::params_from_iter((0..count).map(|_| 1));
    let lines = statement.query_map(params, |row| row.get::<_, String>(3)).unwrap();
    lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
}

/// A database with our schema and nothing in it.
pub fn empty() -> Connection {
    let mut conn = Connection::open_in_memory().unwrap();
    migrate::migrate(&mut conn, true, migrate::MIGRATIONS, 1).unwrap();
    conn
}

#[test]
fn sums_and_what_is_known_beside_the_rows_are_found_by_their_keys() {
    let conn = empty();
    let statements: Vec<&str> = rollup::statements().chain(notes::statements()).collect();
    assert!(statements.len() > 20, "these are not the statements: {statements:?}");
    for sql in statements {
        let plan = plan_of(&conn, sql);
        let is_found = plan.split("; ").all(|line| line.starts_with("SEARCH") && line.contains("PRIMARY KEY ("));
        // What is inserted is not searched for.
        assert!(is_found || (plan.is_empty() && sql.contains("INTO")), "{sql}: {plan}");
    }
}

#[test]
fn what_is_known_of_the_push_is_found_by_keys_and_only_dead_letters_are_looked_through() {
    let conn = empty();
    for sql in delivery::statements() {
        let plan = plan_of(&conn, sql);
        let by_key = |line: &str| {
            let keys = ["PRIMARY KEY (", "INTEGER PRIMARY KEY (rowid=?)", "(trace_id=?)"];
            line.starts_with("SEARCH") && keys.iter().any(|key| line.contains(key))
        };
        let is_found = plan.split("; ").all(by_key);
        assert!(is_found || (plan.is_empty() && sql.contains("INTO")), "{sql}: {plan}");
    }
    for sql in delivery::OF_ALL_LETTERS {
        let plan = plan_of(&conn, sql);
        assert!(plan.starts_with("SCAN dead_letters") && !plan.contains("push_retry"), "{sql}: {plan}");
    }
}

#[test]
fn the_oldest_and_the_newest_hour_are_at_an_end_and_not_found_by_a_sort() {
    let conn = empty();
    for sql in rollup::OLDEST.into_iter().chain(rollup::NEWEST) {
        let plan = plan_of(&conn, sql);
        assert!(plan.starts_with("SCAN") && !plan.contains("TEMP B-TREE") && sql.ends_with("LIMIT 1"), "{sql}: {plan}");
    }
}

#[test]
fn the_push_reads_calls_with_their_context_by_rowid() {
    let plan = plan_of(&empty(), reader::SELECT_LLM_TRACES);
    let wanted = "SEARCH t USING INTEGER PRIMARY KEY (rowid>?); SEARCH c USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN";
    assert_eq!(plan, wanted);
}
