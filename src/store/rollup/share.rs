//! What one row of `llm_traces` adds to the sums, and where.

use rusqlite::{Connection, Row};

use super::usage::Key;
use super::{TEXT_BYTES_MAX, hour_of};
use crate::event::{LlmTrace, Source, Status, Unit};

/// A call as the sums see it: of an event that is being stored, or of a row that is there.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    timestamp_ms: i64,
    received_at_ms: i64,
    provider: Option<&'a str>,
    request_model: &'a str,
    agent_id: Option<&'a str>,
    /// What is known of it now, which may be more than was known when it was stored.
    pub agent_name: Option<&'a str>,
    /// Likewise.
    pub channel: Option<&'a str>,
    status: Status,
    /// What the row counts.
    pub unit: Unit,
    numbers: Numbers,
    service_name: Option<&'a str>,
    source: Source,
}

#[derive(Debug, Clone, Copy)]
struct Numbers {
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cache_read_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
    cost_picousd: Option<i64>,
    latency_ms: Option<i64>,
    ttft_ms: Option<i64>,
}

/// Figures of [`Figures::sums`].
pub const FIGURES: usize = 9;
pub const CALLS: usize = 0;
pub const TURN_SUMS: usize = 1;
pub const INPUT_TOKENS: usize = 2;
pub const OUTPUT_TOKENS: usize = 3;
pub const CACHE_READ_TOKENS: usize = 4;
pub const CACHE_WRITE_TOKENS: usize = 5;
pub const REASONING_TOKENS: usize = 6;
pub const COST_PICOUSD: usize = 7;
pub const UNPRICED: usize = 8;

/// What a call adds to the sums of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// In the order of the columns of `usage_hourly`, from `calls` to `unpriced`.
    pub sums: [i64; FIGURES],
    /// One more of this length.
    pub latency_ms: Option<i64>,
    /// One more of this length.
    pub ttft_ms: Option<i64>,
}

/// What a call adds, and to which rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Its row in `usage_hourly`.
    pub key: Key,
    /// What it adds there.
    pub figures: Figures,
    /// Its service in `coverage_hourly`. `None` = it did not come by OTLP: no counter of its service can know of it.
    pub service: Option<Box<str>>,
}

/// The columns that [`Call::of_row`] reads, in its order.
macro_rules! select_calls {
    ($which:literal) => {
        concat!(
            "SELECT id, timestamp, received_at, provider, request_model, agent_id, agent_name, channel, status, unit, \
             input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_picousd, \
             latency_ms, ttft_ms, service_name, source FROM llm_calls ",
            $which
        )
    };
}

// Both are served by the rowid.
const CALL: &str = select_calls!("WHERE id = ?1");
const CALLS_AFTER: &str = select_calls!("WHERE id > ?1 ORDER BY id LIMIT ?2");

/// Hands the row with an id to `look`. `None` when it is gone.
pub fn call<T>(conn: &Connection, id: i64, look: impl FnOnce(&Call<'_>) -> T) -> rusqlite::Result<Option<T>> {
    let mut statement = conn.prepare_cached(CALL)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(look(&Call::of_row(row)?)))
}

/// Hands the rows after an id to `each`, at most `limit`. Returns the last id; `None` when there was no row.
pub fn calls_after(
    conn: &Connection,
    id: i64,
    limit: i64,
    mut each: impl FnMut(&Call<'_>),
) -> rusqlite::Result<Option<i64>> {
    let mut statement = conn.prepare_cached(CALLS_AFTER)?;
    let mut rows = statement.query([id, limit])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        last = Some(row.get(0)?);
        each(&Call::of_row(row)?);
    }
    Ok(last)
}

impl<'a> Call<'a> {
    /// The call of an event.
    pub fn of_event(received_at_ms: i64, trace: &'a LlmTrace) -> Call<'a> {
        Call {
            timestamp_ms: trace.timestamp_ms,
            received_at_ms,
            provider: trace.provider.as_deref(),
            request_model: &trace.request_model,
            agent_id: trace.agent_id.as_deref(),
            agent_name: trace.agent_name.as_deref(),
            channel: trace.channel.as_deref(),
            status: trace.status,
            unit: trace.unit,
            numbers: Numbers {
                input_tokens: trace.input_tokens,
                output_tokens: trace.output_tokens,
                cache_read_tokens: trace.cache_read_tokens,
                cache_write_tokens: trace.cache_write_tokens,
                reasoning_tokens: trace.reasoning_tokens,
                cost_picousd: trace.cost.map(|cost| cost.0),
                latency_ms: trace.latency_ms,
                ttft_ms: trace.ttft_ms,
            },
            service_name: trace.service_name.as_deref(),
            source: trace.source,
        }
    }

    fn of_row(row: &'a Row<'_>) -> rusqlite::Result<Call<'a>> {
        let text = |column: usize| row.get_ref(column).map(|value| value.as_str_or_null().ok().flatten());
        let word = |column: usize| text(column).map(Option::unwrap_or_default);
        Ok(Call {
            timestamp_ms: row.get(1)?,
            received_at_ms: row.get(2)?,
            provider: text(3)?,
            request_model: word(4)?,
            agent_id: text(5)?,
            agent_name: text(6)?,
            channel: text(7)?,
            status: Status::parse(word(8)?).unwrap_or_default(),
            unit: Unit::parse(word(9)?).unwrap_or_default(),
            numbers: Numbers {
                input_tokens: row.get(10)?,
                output_tokens: row.get(11)?,
                cache_read_tokens: row.get(12)?,
                cache_write_tokens: row.get(13)?,
                reasoning_tokens: row.get(14)?,
                cost_picousd: row.get(15)?,
                latency_ms: row.get(16)?,
                ttft_ms: row.get(17)?,
            },
            service_name: text(18)?,
            source: Source::parse(word(19)?).unwrap_or_default(),
        })
    }

    /// Where it counts, as far as is known of it now.
    pub fn key(&self) -> Key {
        Key {
            hour: hour_of(self.timestamp_ms, self.received_at_ms),
            provider: cut(self.provider.unwrap_or_default()),
            model: cut(self.request_model),
            agent: cut(self.agent_name.or(self.agent_id).unwrap_or_default()),
            channel: cut(self.channel.unwrap_or_default()),
            status: self.status.as_str(),
        }
    }

    /// What it counts.
    pub fn figures(&self) -> Figures {
        let Numbers { latency_ms, ttft_ms, .. } = self.numbers;
        Figures { sums: self.sums(), latency_ms, ttft_ms }
    }

    /// Where and what it counts.
    pub fn share(&self) -> Share {
        let by_otlp = matches!(self.source, Source::OtlpPb | Source::OtlpJson);
        let service = by_otlp.then(|| cut(self.service_name.unwrap_or_default()));
        Share { key: self.key(), figures: self.figures(), service }
    }

    fn sums(&self) -> [i64; FIGURES] {
        let n = &self.numbers;
        let is_sum = self.unit == Unit::TurnSum;
        let number = |value: Option<i64>| value.unwrap_or(0).max(0);
        let has_tokens = number(n.input_tokens) > 0 || number(n.output_tokens) > 0;
        [
            i64::from(!is_sum),
            i64::from(is_sum),
            number(n.input_tokens),
            number(n.output_tokens),
            number(n.cache_read_tokens),
            number(n.cache_write_tokens),
            number(n.reasoning_tokens),
            number(n.cost_picousd),
            i64::from(has_tokens && n.cost_picousd.is_none()),
        ]
    }
}

/// A text as the tables of sums keep it.
pub fn cut(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into()
}

#[cfg(test)]
pub const STATEMENTS: [&str; 2] = [CALL, CALLS_AFTER];
