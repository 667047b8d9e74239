//! By how much the counters of an agent rose. One that begins anew has risen by all it says.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::Notes;
use super::side::Side;
use crate::event::CounterPoint;
use crate::store::rollup::{Rollup, cut};

/// An agent is started together with us, or a little before.
const STARTED_BEFORE_MS: i64 = 10 * 60_000;

// Each is served by the primary key, but for SERVICES, which looks at all of at most some thousand rows.
const LAST: &str = "SELECT start_ms, timestamp, value FROM counter_series WHERE series = ?1";
const KEEP: &str = "INSERT INTO counter_series (series, service_name, start_ms, timestamp, value, updated_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (series) DO UPDATE SET start_ms = excluded.start_ms, \
     timestamp = excluded.timestamp, value = excluded.value, updated_at = excluded.updated_at";
const SERVICES: &str = "SELECT DISTINCT service_name FROM counter_series";

/// What was last heard of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    start_ms: i64,
    timestamp_ms: i64,
    value: i64,
}

impl Notes<'_> {
    /// Counts by how much a counter rose.
    pub(super) fn counter(&mut self, point: &CounterPoint, rollup: &mut Rollup<'_>) -> rusqlite::Result<()> {
        let service = cut(&point.service_name);
        let last = last(self.conn, &point.series)?;
        let rise = match &last {
            Some(last) => rise(last, point),
            None if self.is_counted_whole(&service, point)? => Some(point.value),
            None => Some(0),
        };
        let Some(rise) = rise else { return Ok(()) };
        let values = (&point.series, &service, point.start_ms, point.timestamp_ms, point.value, self.now_ms);
        self.conn.prepare_cached(KEEP)?.execute(values)?;
        if last.is_none() {
            self.rooms.added(self.conn, Side::CounterSeries, self.now_ms)?;
        }
        if rise > 0 {
            rollup.report(service, point, rise, self.now_ms);
        }
        Ok(())
    }

    /// Whether all that a counter says when it is heard for the first time can be in our rows: it began after the file; or
    /// it was read before there was the file, and so were the calls that come with it; or we heard its service before. A
    /// point that counts since the one before it always can.
    fn is_counted_whole(&mut self, service: &str, point: &CounterPoint) -> rusqlite::Result<bool> {
        if self.services.is_none() {
            // Before the first counter of this request is kept.
            self.services = Some(services(self.conn)?);
        }
        let is_known = self.services.as_ref().is_some_and(|services| services.contains(service));
        let since_ms = self.made_ms.saturating_sub(STARTED_BEFORE_MS);
        let is_of_our_time = point.start_ms >= since_ms || point.timestamp_ms < since_ms || is_known;
        Ok(!point.is_cumulative || (point.start_ms != 0 && is_of_our_time))
    }
}

/// By how much a counter rose; `None` = this point says nothing that was not heard before.
fn rise(last: &Last, point: &CounterPoint) -> Option<i64> {
    let is_later = point.timestamp_ms > last.timestamp_ms;
    match point.start_ms.cmp(&last.start_ms) {
        _ if !point.is_cumulative => is_later.then_some(point.value),
        std::cmp::Ordering::Greater => Some(point.value),
        std::cmp::Ordering::Equal if is_later => {
            // One that fell has begun anew without saying so.
            Some(if point.value < last.value { point.value } else { point.value - last.value })
        }
        _ => None,
    }
}

fn last(conn: &Connection, series: &[u8; 16]) -> rusqlite::Result<Option<Last>> {
    let mut statement = conn.prepare_cached(LAST)?;
    let read = statement
        .query_row([series], |row| Ok(Last { start_ms: row.get(0)?, timestamp_ms: row.get(1)?, value: row.get(2)? }));
    read.optional()
}

fn services(conn: &Connection) -> rusqlite::Result<HashSet<Box<str>>> {
    conn.prepare_cached(SERVICES)?.query_map([], |row| row.get(0))?.collect()
}

#[cfg(test)]
pub const STATEMENTS: [&str; 2] = [LAST, KEEP];
