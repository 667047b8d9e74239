//! Which exporters put tokens on their calls: it decides how their sums of turns count.

use rusqlite::{Connection, OptionalExtension};

use super::Notes;
use super::side::Side;
use crate::store::rollup::{Rollup, call, cut};

/// How the row of a sum of a turn counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The calls of it have the tokens: it is no row at all.
    Attribution,
    /// They have none: its tokens and costs count.
    Counts,
    /// Nobody knows yet.
    Open,
}

/// A decision is said again in every request. It is written again only after this.
const SAID_AGAIN_MS: i64 = 60_000;

// Each is served by the primary key.
const DECISION: &str = "SELECT tokens_on_calls, updated_at FROM exporters WHERE exporter = ?1";
const DECIDE: &str = "INSERT INTO exporters (exporter, tokens_on_calls, updated_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (exporter) DO UPDATE SET tokens_on_calls = max(tokens_on_calls, excluded.tokens_on_calls), \
     updated_at = excluded.updated_at";
const ADD_OPEN: &str = "INSERT INTO undecided_sums (exporter, llm_id, updated_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (exporter, llm_id) DO NOTHING";
const OPEN_OF: &str = "SELECT llm_id FROM undecided_sums WHERE exporter = ?1";
const CLOSE: &str = "DELETE FROM undecided_sums WHERE exporter = ?1";

impl Notes<'_> {
    /// How a sum of this exporter counts.
    pub fn decision(&self, exporter: &str) -> rusqlite::Result<Decision> {
        Ok(match known(self.conn, &cut(exporter))? {
            Some((true, _)) => Decision::Attribution,
            Some((false, _)) => Decision::Counts,
            None => Decision::Open,
        })
    }

    /// The row of a sum of this exporter waits for the decision.
    pub fn leave_open(&mut self, exporter: &str, id: i64) -> rusqlite::Result<()> {
        self.conn.prepare_cached(ADD_OPEN)?.execute((cut(exporter), id, self.now_ms))?;
        self.rooms.added(self.conn, Side::UndecidedSums, self.now_ms)
    }

    /// Whether an exporter puts tokens on its calls. Once it has, it does.
    pub(super) fn decide(&mut self, exporter: &str, tokens: bool, rollup: &mut Rollup<'_>) -> rusqlite::Result<()> {
        let exporter = cut(exporter);
        let known = known(self.conn, &exporter)?;
        let is_new = known.is_none();
        let says_nothing = known.is_some_and(|(before, at_ms)| {
            (before || !tokens) && (0..SAID_AGAIN_MS).contains(&self.now_ms.saturating_sub(at_ms))
        });
        if says_nothing {
            return Ok(());
        }
        self.conn.prepare_cached(DECIDE)?.execute((&exporter, tokens, self.now_ms))?;
        if is_new {
            if !tokens {
                self.count_open(&exporter, rollup)?;
            }
            self.conn.prepare_cached(CLOSE)?.execute([&exporter])?;
            self.rooms.added(self.conn, Side::Exporters, self.now_ms)?;
        }
        Ok(())
    }

    fn count_open(&self, exporter: &str, rollup: &mut Rollup<'_>) -> rusqlite::Result<()> {
        let mut statement = self.conn.prepare_cached(OPEN_OF)?;
        let mut rows = statement.query([exporter])?;
        while let Some(row) = rows.next()? {
            // A row that is gone was never counted, and nobody can say any more what it was.
            call(self.conn, row.get(0)?, |call| rollup.count(call.share()))?;
        }
        Ok(())
    }
}

/// What is known of an exporter, and since when.
fn known(conn: &Connection, exporter: &str) -> rusqlite::Result<Option<(bool, i64)>> {
    conn.prepare_cached(DECISION)?.query_row([exporter], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

#[cfg(test)]
pub const STATEMENTS: [&str; 5] = [DECISION, DECIDE, ADD_OPEN, OPEN_OF, CLOSE];
