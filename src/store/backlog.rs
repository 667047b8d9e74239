//! How long the push is behind: the arrival of the oldest row that the remote does not have.

use rusqlite::Connection;

use super::prune::Rows;
use crate::event::Table;

/// Served by the rowid.
fn first_after(table: Table) -> &'static str {
    match table {
        Table::LlmTraces => "SELECT received_at FROM llm_traces WHERE id > ?1 ORDER BY id LIMIT 1",
        Table::ErrorEvents => "SELECT received_at FROM error_events WHERE id > ?1 ORDER BY id LIMIT 1",
        Table::CustomEvents => "SELECT received_at FROM custom_events WHERE id > ?1 ORDER BY id LIMIT 1",
        Table::SystemMetrics => "SELECT received_at FROM system_metrics WHERE id > ?1 ORDER BY id LIMIT 1",
    }
}

/// Of the rows before the cursor that wait to be sent again, of which there are few.
fn first_waiting(table: Table) -> &'static str {
    macro_rules! first_waiting {
        ($table:literal) => {
            concat!(
                "SELECT min(t.received_at) FROM push_retry k CROSS JOIN ",
                $table,
                " t ON t.id = k.row_id WHERE k.table_name = '",
                $table,
                "' AND k.destination = ?1"
            )
        };
    }
    match table {
        Table::LlmTraces => first_waiting!("llm_traces"),
        Table::ErrorEvents => first_waiting!("error_events"),
        Table::CustomEvents => first_waiting!("custom_events"),
        Table::SystemMetrics => first_waiting!("system_metrics"),
    }
}

/// Unix milliseconds; `None` when the remote has every row, or there is none.
pub fn oldest(conn: &Connection, rows: &Rows, destination: Option<&str>) -> rusqlite::Result<Option<i64>> {
    let mut oldest: Option<i64> = None;
    for table in Table::ALL {
        let account = &rows[table.index()];
        if account.unsynced <= 0 {
            continue;
        }
        let mut statement = conn.prepare_cached(first_after(table))?;
        let mut found = statement.query([account.synced_id])?;
        if let Some(row) = found.next()? {
            let from_ms: i64 = row.get(0)?;
            oldest = Some(oldest.map_or(from_ms, |oldest| oldest.min(from_ms)));
        }
        if account.waiting > 0 {
            let from_ms: Option<i64> =
                conn.prepare_cached(first_waiting(table))?.query_row([destination], |row| row.get(0))?;
            oldest = from_ms.map_or(oldest, |from_ms| Some(oldest.map_or(from_ms, |oldest| oldest.min(from_ms))));
        }
    }
    Ok(oldest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventId, Kind};
    use crate::store::insert::Inserts;
    use crate::store::notes::Learnt;
    use crate::store::plans::{empty, plan_of};

    #[test]
    fn the_oldest_row_after_the_cursors_is_found_by_rowid_whatever_its_table() {
        let conn = empty();
        let mut rows = Rows::default();
        let mut inserts = Inserts::new(&conn);
        let mut insert = |kind: Kind, received_at_ms| {
            let event = Event { id: EventId::new(received_at_ms), received_at_ms, kind };
            assert!(inserts.insert(&event, &Learnt::default()).unwrap());
            rows[event.table().index()].unsynced += 1;
        };
        insert(Kind::ErrorEvent(Box::default()), 70);
        insert(Kind::ErrorEvent(Box::default()), 90);
        insert(Kind::CustomEvent(Box::default()), 80);
        assert_eq!(oldest(&conn, &rows, Some("d")).unwrap(), Some(70));
        let errors = &mut rows[Table::ErrorEvents.index()];
        (errors.synced_id, errors.unsynced) = (1, 1);
        assert_eq!(oldest(&conn, &rows, Some("d")).unwrap(), Some(80));
        rows.iter_mut().for_each(|account| account.unsynced = 0);
        assert_eq!(oldest(&conn, &rows, Some("d")).unwrap(), None);
        for table in Table::ALL {
            let plan = plan_of(&conn, first_after(table));
            assert!(plan.contains("USING INTEGER PRIMARY KEY (rowid") && !plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
