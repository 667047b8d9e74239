//! What requests tell besides their events, kept in the transaction that stores these.

mod context;
mod counters;
mod exporters;
mod side;

use std::collections::HashSet;

use rusqlite::Connection;

pub use context::{Learnt, let_go};
pub use exporters::Decision;
pub use side::Rooms;

use super::migrate;
use super::rollup::Rollup;
use crate::event::Note;

/// How long a call and the spans around it wait for each other.
const SPAN_MS: i64 = 3_600_000;

/// The notes within one transaction.
pub struct Notes<'c> {
    conn: &'c Connection,
    now_ms: i64,
    /// When the file was made.
    made_ms: i64,
    /// As they will be after the commit.
    pub rooms: Rooms,
    /// Services with counters before this request, once somebody has asked.
    services: Option<HashSet<Box<str>>>,
}

impl<'c> Notes<'c> {
    /// Nothing is noted yet. `made_ms`: when the file was made.
    pub fn new(conn: &'c Connection, rooms: Rooms, made_ms: i64, now_ms: i64) -> Notes<'c> {
        Notes { conn, now_ms, made_ms, rooms, services: None }
    }

    /// Takes the notes of one request, before its events: they decide how these count.
    pub fn take(&mut self, notes: &[Note], rollup: &mut Rollup<'_>) -> rusqlite::Result<()> {
        self.services = None;
        // Of two that one request says of an exporter, the one that stays comes first.
        for decided in [true, false] {
            for note in notes {
                match note {
                    Note::Exporter { exporter, tokens_on_calls } if *tokens_on_calls == decided => {
                        self.decide(exporter, decided, rollup)?;
                    }
                    _ => {}
                }
            }
        }
        for note in notes {
            match note {
                Note::Exporter { .. } => {}
                Note::Run { otel_trace_id, otel_span_id, channel, trigger } => {
                    let said = (channel.as_deref(), trigger.as_deref());
                    self.run((otel_trace_id, otel_span_id), said, rollup)?;
                }
                Note::Agent { otel_trace_id, agent_name } => self.agent(otel_trace_id, agent_name, rollup)?,
                Note::Counter(point) => self.counter(point, rollup)?,
                Note::Position { key, value } => migrate::put_meta(self.conn, key, value)?,
            }
        }
        Ok(())
    }

    /// The request is not stored: what was written for it is gone.
    pub fn forget(&mut self) {
        self.rooms.recount();
    }
}

/// Every statement that must find its rows by a key.
#[cfg(test)]
pub fn statements() -> impl Iterator<Item = &'static str> {
    exporters::STATEMENTS.into_iter().chain(context::STATEMENTS).chain(counters::STATEMENTS)
}

#[cfg(test)]
mod tests;
