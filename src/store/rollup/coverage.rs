//! `coverage_hourly`: rows of a service beside its own counters.

use rusqlite::Connection;

use super::OTHER;
use super::hourly::Sums;
use super::share::{CALLS, COST_PICOUSD, Figures, INPUT_TOKENS, OUTPUT_TOKENS};
use crate::event::Counted;

/// Which service and hour.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Start of the hour, Unix milliseconds.
    pub hour: i64,
    /// Empty = not said.
    pub service: Box<str>,
}

/// What both came to: calls, tokens, pico-dollars.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CoverageSums {
    rows: [i64; 3],
    reported: [i64; 3],
    counting_since: i64,
}

impl CoverageSums {
    /// Counts a row.
    pub fn add_row(&mut self, figures: &Figures) {
        let tokens = figures.sums[INPUT_TOKENS].saturating_add(figures.sums[OUTPUT_TOKENS]);
        let row = [figures.sums[CALLS], tokens, figures.sums[COST_PICOUSD]];
        self.rows.iter_mut().zip(row).for_each(|(sum, figure)| *sum = sum.saturating_add(figure));
    }

    /// Counts by how much a counter rose that began at `start_ms`; 0 = not said.
    pub fn add_reported(&mut self, counted: Counted, rise: i64, start_ms: i64) {
        let place = match counted {
            Counted::Calls => 0,
            Counted::Tokens => 1,
            Counted::PicoUsd => 2,
        };
        self.reported[place] = self.reported[place].saturating_add(rise);
        if start_ms != 0 && (self.counting_since == 0 || start_ms < self.counting_since) {
            self.counting_since = start_ms;
        }
    }
}

// Each is served by the primary key.
const READ: &str = "SELECT row_calls, row_tokens, row_cost_picousd, reported_calls, reported_tokens, \
     reported_cost_picousd, counting_since FROM coverage_hourly WHERE hour = ?1 AND service_name = ?2";
const WRITE: &str = "REPLACE INTO coverage_hourly (hour, service_name, row_calls, row_tokens, row_cost_picousd, \
     reported_calls, reported_tokens, reported_cost_picousd, counting_since) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const REMOVE: &str = "DELETE FROM coverage_hourly WHERE hour = ?1 AND service_name = ?2";

/// What a row takes besides its text.
pub const ROW_BYTES: i64 = 48;

impl Sums for CoverageSums {
    type Key = Key;
    const HOUR_ROWS_MAX: i64 = 16;
    const COUNT_HOUR: &'static str = "SELECT count(*) FROM coverage_hourly WHERE hour = ?1";

    fn hour(key: &Key) -> i64 {
        key.hour
    }

    fn other(_: &Key, hour: i64) -> Key {
        Key { hour, service: OTHER.into() }
    }

    fn read(conn: &Connection, key: &Key) -> rusqlite::Result<Option<CoverageSums>> {
        let mut statement = conn.prepare_cached(READ)?;
        let mut rows = statement.query((key.hour, &key.service))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(CoverageSums {
            rows: [row.get(0)?, row.get(1)?, row.get(2)?],
            reported: [row.get(3)?, row.get(4)?, row.get(5)?],
            counting_since: row.get(6)?,
        }))
    }

    fn write(&self, conn: &Connection, key: &Key) -> rusqlite::Result<i64> {
        let [row_calls, row_tokens, row_cost] = self.rows;
        let [calls, tokens, cost] = self.reported;
        let values =
            (key.hour, &key.service, row_calls, row_tokens, row_cost, calls, tokens, cost, self.counting_since);
        conn.prepare_cached(WRITE)?.execute(values)?;
        Ok(self.bytes(key))
    }

    fn remove(conn: &Connection, key: &Key) -> rusqlite::Result<()> {
        conn.prepare_cached(REMOVE)?.execute((key.hour, &key.service))?;
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.rows == [0; 3] && self.reported == [0; 3]
    }

    fn bytes(&self, key: &Key) -> i64 {
        ROW_BYTES + key.service.len() as i64
    }
}

#[cfg(test)]
pub const STATEMENTS: [&str; 4] = [READ, WRITE, REMOVE, CoverageSums::COUNT_HOUR];
