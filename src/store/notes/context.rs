//! What spans around a call say of it: before it is stored it goes into its row, afterwards beside it.

use rusqlite::{Connection, OptionalExtension};

use super::side::Side;
use super::{Notes, SPAN_MS};
use crate::event::{LlmTrace, Unit};
use crate::store::rollup::{Call, Rollup, call, cut};

/// What was learnt of a call from the spans around it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Learnt {
    /// Channel of the agent.
    pub channel: Option<Box<str>>,
    /// What started the run.
    pub trigger: Option<Box<str>>,
    /// Which agent.
    pub agent_name: Option<Box<str>>,
}

// Each is served by the primary key.
const CONTEXT: &str = "SELECT channel, trigger, agent_name FROM span_context \
     WHERE otel_trace_id = ?1 AND otel_span_id = ?2 AND updated_at >= ?3";
const KEEP: &str = "INSERT INTO span_context (otel_trace_id, otel_span_id, channel, trigger, agent_name, updated_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (otel_trace_id, otel_span_id) DO UPDATE SET channel = excluded.channel, \
     trigger = excluded.trigger, agent_name = excluded.agent_name, updated_at = excluded.updated_at";
const WAIT: &str = "INSERT INTO waiting_calls (otel_trace_id, otel_parent_span_id, llm_id, updated_at) \
     VALUES (?1, ?2, ?3, ?4) ON CONFLICT (otel_trace_id, otel_parent_span_id, llm_id) DO NOTHING";
const WAITING_IN_SPAN: &str = "SELECT otel_parent_span_id, llm_id FROM waiting_calls \
     WHERE otel_trace_id = ?1 AND otel_parent_span_id = ?2 AND updated_at >= ?3";
const WAITING_IN_TRACE: &str = "SELECT otel_parent_span_id, llm_id FROM waiting_calls \
     WHERE otel_trace_id = ?1 AND updated_at >= ?2";
const WAIT_NO_MORE: &str =
    "DELETE FROM waiting_calls WHERE otel_trace_id = ?1 AND otel_parent_span_id = ?2 AND llm_id = ?3";
const LEARN: &str = "INSERT INTO call_context (llm_id, channel, trigger, agent_name) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (llm_id) DO UPDATE SET channel = coalesce(channel, excluded.channel), \
     trigger = coalesce(trigger, excluded.trigger), agent_name = coalesce(agent_name, excluded.agent_name)";

impl Learnt {
    /// The call with what was learnt in place of what it does not say.
    pub fn add_to<'a>(&'a self, call: &Call<'a>) -> Call<'a> {
        let mut known = *call;
        known.channel = call.channel.or(self.channel.as_deref());
        known.agent_name = call.agent_name.or(self.agent_name.as_deref());
        known
    }
}

impl Notes<'_> {
    /// What is known of a call that is about to be stored.
    pub fn known_of(&self, trace: &LlmTrace) -> rusqlite::Result<Learnt> {
        let mut known = Learnt::default();
        let Some(trace_id) = &trace.otel_trace_id else { return Ok(known) };
        if let Some(span_id) = &trace.otel_parent_span_id
            && (trace.channel.is_none() || trace.trigger.is_none())
            && let Some(around) = self.context(trace_id, span_id)?
        {
            (known.channel, known.trigger) = (around.channel, around.trigger);
        }
        if trace.agent_name.is_none()
            && let Some(around) = self.context(trace_id, WHOLE_TRACE)?
        {
            known.agent_name = around.agent_name;
        }
        Ok(known)
    }

    /// A call was stored: if a span that is still to come may say more of it, it waits for that.
    pub fn may_wait(&mut self, id: i64, trace: &LlmTrace, known: &Learnt) -> rusqlite::Result<()> {
        let Some(trace_id) = &trace.otel_trace_id else { return Ok(()) };
        let lacks_channel = trace.channel.is_none() && known.channel.is_none() && trace.otel_parent_span_id.is_some();
        let lacks_agent = trace.agent_name.is_none() && known.agent_name.is_none();
        if trace.unit == Unit::TurnSum || !(lacks_channel || lacks_agent) {
            return Ok(());
        }
        let parent = trace.otel_parent_span_id.as_deref().unwrap_or(NO_PARENT);
        self.conn.prepare_cached(WAIT)?.execute((trace_id, parent, id, self.now_ms))?;
        self.rooms.added(self.conn, Side::WaitingCalls, self.now_ms)
    }

    /// A span around calls said something of them.
    pub(super) fn run(
        &mut self,
        (trace_id, span_id): (&str, &str),
        (channel, trigger): (Option<&str>, Option<&str>),
        rollup: &mut Rollup<'_>,
    ) -> rusqlite::Result<()> {
        let said = Learnt { channel: channel.map(cut), trigger: trigger.map(cut), agent_name: None };
        let Some(learnt) = self.keep_context((trace_id, span_id), said)? else { return Ok(()) };
        let waiting = {
            let mut statement = self.conn.prepare_cached(WAITING_IN_SPAN)?;
            let rows =
                statement.query_map((trace_id, span_id, self.since_ms()), |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        self.tell(trace_id, waiting, &learnt, rollup)
    }

    /// The agent of a whole trace was named.
    pub(super) fn agent(&mut self, trace_id: &str, agent_name: &str, rollup: &mut Rollup<'_>) -> rusqlite::Result<()> {
        let said = Learnt { agent_name: Some(cut(agent_name)), ..Learnt::default() };
        let Some(learnt) = self.keep_context((trace_id, WHOLE_TRACE), said)? else { return Ok(()) };
        let waiting = {
            let mut statement = self.conn.prepare_cached(WAITING_IN_TRACE)?;
            let rows = statement.query_map((trace_id, self.since_ms()), |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        self.tell(trace_id, waiting, &learnt, rollup)
    }

    /// Tells calls that wait what was learnt of them: parent and id of each.
    fn tell(
        &self,
        trace_id: &str,
        waiting: Vec<(String, i64)>,
        learnt: &Learnt,
        rollup: &mut Rollup<'_>,
    ) -> rusqlite::Result<()> {
        for (parent, id) in waiting {
            let complete = call(self.conn, id, |before| {
                let after = learnt.add_to(before);
                rollup.shift(before, &after);
                (after.channel.is_some() || parent == NO_PARENT) && after.agent_name.is_some()
            })?;
            if complete.is_some() {
                let values = (id, &learnt.channel, &learnt.trigger, &learnt.agent_name);
                self.conn.prepare_cached(LEARN)?.execute(values)?;
            }
            // A row that is gone waits for nothing.
            if complete.unwrap_or(true) {
                self.conn.prepare_cached(WAIT_NO_MORE)?.execute((trace_id, parent, id))?;
            }
        }
        Ok(())
    }

    /// Keeps what was said, and returns all that is known of the calls there; `None` when nothing of it is new. What was
    /// said first stays: so however often it is said, calls that wait are told a few times only.
    fn keep_context(&mut self, (trace_id, span_id): (&str, &str), said: Learnt) -> rusqlite::Result<Option<Learnt>> {
        let before = self.context(trace_id, span_id)?.unwrap_or_default();
        let Learnt { channel, trigger, agent_name } = before.clone();
        let learnt = Learnt {
            channel: channel.or(said.channel),
            trigger: trigger.or(said.trigger),
            agent_name: agent_name.or(said.agent_name),
        };
        if learnt == before {
            return Ok(None);
        }
        let values = (trace_id, span_id, &learnt.channel, &learnt.trigger, &learnt.agent_name, self.now_ms);
        self.conn.prepare_cached(KEEP)?.execute(values)?;
        self.rooms.added(self.conn, Side::SpanContext, self.now_ms)?;
        Ok(Some(learnt))
    }

    fn context(&self, trace_id: &str, span_id: &str) -> rusqlite::Result<Option<Learnt>> {
        let mut statement = self.conn.prepare_cached(CONTEXT)?;
        let read = statement.query_row((trace_id, span_id, self.since_ms()), |row| {
            Ok(Learnt { channel: row.get(0)?, trigger: row.get(1)?, agent_name: row.get(2)? })
        });
        read.optional()
    }

    fn since_ms(&self) -> i64 {
        self.now_ms.saturating_sub(SPAN_MS)
    }
}

/// Where it is kept what holds for a whole trace.
const WHOLE_TRACE: &str = "";
/// The parent of a call that has none.
const NO_PARENT: &str = "";

// They look at every row of two tables of at most some thousand.
const LET_GO: [&str; 2] = [
    "DELETE FROM span_context WHERE updated_at NOT BETWEEN ?1 AND ?2",
    "DELETE FROM waiting_calls WHERE updated_at NOT BETWEEN ?1 AND ?2",
];

/// Forgets what nobody came for in its time, and what is from a time that is still to come.
pub fn let_go(conn: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    for sql in LET_GO {
        conn.prepare_cached(sql)?.execute([now_ms.saturating_sub(SPAN_MS), now_ms.saturating_add(SPAN_MS)])?;
    }
    Ok(())
}

#[cfg(test)]
pub const STATEMENTS: [&str; 7] = [CONTEXT, KEEP, WAIT, WAITING_IN_SPAN, WAITING_IN_TRACE, WAIT_NO_MORE, LEARN];
