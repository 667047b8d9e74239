//! What is in the file, read on connections that change nothing.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use openclaw_trace::event::Table;

use super::load::{RowId, Sent};
use crate::support::read_only;

/// The rows of a file, as far as it was read.
#[derive(Default)]
pub struct Found {
    /// Id in the file, by what the producer knows of the row.
    rows: HashMap<RowId, i64>,
    last_ids: [i64; Table::ALL.len()],
}

impl Found {
    /// All rows of a file.
    pub fn all(db: &Path) -> Found {
        let mut found = Found::default();
        found.read_on(db);
        found
    }

    /// Reads the rows that came since the last time.
    pub fn read_on(&mut self, db: &Path) {
        let conn = read_only(db);
        for table in Table::ALL {
            let span = if table == Table::LlmTraces { "otel_span_id" } else { "NULL" };
            let sql = format!("SELECT id, trace_id, {span} FROM {} WHERE id > ?1 ORDER BY id", table.name());
            let mut statement = conn.prepare(&sql).unwrap();
            let mut rows = statement.query([self.last_ids[table.index()]]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let id = row.get(0).unwrap();
                self.last_ids[table.index()] = id;
                for known in [row.get(1).unwrap(), row.get::<_, Option<String>>(2).unwrap()].into_iter().flatten() {
                    let before = self.rows.insert((table, known), id);
                    assert_eq!(before, None, "a row is there twice");
                }
            }
        }
    }

    /// Whether the rows of a request are there: all or none, never some.
    pub fn has(&self, sent: &Sent) -> bool {
        let found = sent.rows.iter().filter(|row| self.rows.contains_key(*row)).count();
        assert!(found == 0 || found == sent.rows.len(), "{found} rows of a request are there: {sent:?}");
        found > 0
    }

    /// Every request that was acknowledged must be there.
    pub fn check_acknowledged(&self, sent: &[Sent]) {
        for request in sent {
            assert!(self.has(request) || !request.acknowledged(), "acknowledged and not there: {request:?}");
        }
    }
}

/// The sums must say what the rows say, to the call: nothing was pruned.
pub fn check_sums(db: &Path) {
    let conn = read_only(db);
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap();
    for (sums, rows) in [
        ("SELECT sum(calls) FROM usage_hourly", "SELECT nullif(count(*), 0) FROM llm_traces"),
        ("SELECT sum(input_tokens) FROM usage_hourly", "SELECT sum(coalesce(input_tokens, 0)) FROM llm_traces"),
        (
            "SELECT sum(row_calls) FROM coverage_hourly",
            "SELECT nullif(count(*), 0) FROM llm_traces WHERE source = 'otlp_pb'",
        ),
        (
            "SELECT rolled_id FROM row_counts WHERE table_name = 'llm_traces'",
            "SELECT coalesce(max(id), 0) FROM llm_traces",
        ),
    ] {
        assert_eq!(number(sums), number(rows), "{sums}");
    }
}

/// Table and `trace_id` of every row.
pub fn trace_ids(db: &Path) -> HashSet<RowId> {
    let conn = read_only(db);
    let ids_of = |table: Table| {
        let mut statement = conn.prepare(&format!("SELECT trace_id FROM {}", table.name())).unwrap();
        let ids = statement.query_map([], |row| Ok((table, row.get(0)?))).unwrap();
        ids.map(Result::unwrap).collect::<Vec<_>>()
    };
    Table::ALL.into_iter().flat_map(ids_of).collect()
}

/// What SQLite finds wrong with the file: `ok` if nothing. `check` is one of its two pragmas.
pub fn sound(db: &Path, check: &str) -> String {
    read_only(db).query_row(&format!("PRAGMA {check}"), [], |row| row.get(0)).unwrap()
}
