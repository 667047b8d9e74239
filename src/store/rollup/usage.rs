//! `usage_hourly`: what the calls of every hour came to.

use rusqlite::Connection;

use super::OTHER;
use super::hourly::Sums;
use super::share::{CALLS, FIGURES, Figures, TURN_SUMS};
use crate::event::Histogram;

/// Which calls a row counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Start of the hour, Unix milliseconds.
    pub hour: i64,
    /// Empty = not said, here and below.
    pub provider: Box<str>,
    /// What was asked for.
    pub model: Box<str>,
    /// Its name, else its id.
    pub agent: Box<str>,
    /// Of the agent.
    pub channel: Box<str>,
    /// How they ended.
    pub status: &'static str,
}

/// What they came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageSums {
    /// In the order of the columns, from `calls` to `unpriced`.
    pub sums: [i64; FIGURES],
    latency: Histogram,
    ttft: Histogram,
}

impl UsageSums {
    /// Counts a call.
    pub fn add(&mut self, figures: &Figures) {
        self.sums.iter_mut().zip(figures.sums).for_each(|(sum, figure)| *sum = sum.saturating_add(figure));
        figures.latency_ms.into_iter().for_each(|ms| self.latency.record(ms));
        figures.ttft_ms.into_iter().for_each(|ms| self.ttft.record(ms));
    }

    /// Takes a call out again. `false` = it cannot be among these, and nothing is changed.
    pub fn take(&mut self, figures: &Figures) -> bool {
        let holds = self.sums.iter().zip(figures.sums).all(|(sum, figure)| *sum >= figure);
        if !holds || figures.latency_ms.is_some_and(|ms| !self.latency.remove(ms)) {
            return false;
        }
        if figures.ttft_ms.is_some_and(|ms| !self.ttft.remove(ms)) {
            figures.latency_ms.into_iter().for_each(|ms| self.latency.record(ms));
            return false;
        }
        // A sum that stopped at the largest integer says no more what is in it.
        let sums = self.sums.iter_mut().zip(figures.sums).filter(|(sum, _)| **sum < i64::MAX);
        sums.for_each(|(sum, figure)| *sum -= figure);
        true
    }
}

// Each is served by the primary key.
const READ: &str = "SELECT calls, turn_sums, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, \
     reasoning_tokens, cost_picousd, unpriced, latency_buckets, ttft_buckets FROM usage_hourly \
     WHERE hour = ?1 AND provider = ?2 AND model = ?3 AND agent = ?4 AND channel = ?5 AND status = ?6";
const WRITE: &str = "REPLACE INTO usage_hourly (hour, provider, model, agent, channel, status, calls, turn_sums, \
     input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_picousd, unpriced, \
     latency_buckets, ttft_buckets) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const REMOVE: &str = "DELETE FROM usage_hourly \
     WHERE hour = ?1 AND provider = ?2 AND model = ?3 AND agent = ?4 AND channel = ?5 AND status = ?6";

/// What a row takes besides its texts and buckets.
pub const ROW_BYTES: i64 = 64;

impl Sums for UsageSums {
    type Key = Key;
    const HOUR_ROWS_MAX: i64 = 100;
    const COUNT_HOUR: &'static str = "SELECT count(*) FROM usage_hourly WHERE hour = ?1";

    fn hour(key: &Key) -> i64 {
        key.hour
    }

    fn other(key: &Key, hour: i64) -> Key {
        let other = || OTHER.into();
        Key { hour, provider: other(), model: other(), agent: other(), channel: other(), status: key.status }
    }

    fn read(conn: &Connection, key: &Key) -> rusqlite::Result<Option<UsageSums>> {
        let mut statement = conn.prepare_cached(READ)?;
        let mut rows = statement.query((key.hour, &key.provider, &key.model, &key.agent, &key.channel, key.status))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let mut read = UsageSums::default();
        for (column, sum) in read.sums.iter_mut().enumerate() {
            *sum = row.get(column)?;
        }
        // Buckets that nobody of us wrote say nothing, and the sums beside them still do.
        let buckets = |column| {
            row.get_ref(column).map(|value| value.as_blob().ok().and_then(Histogram::decode).unwrap_or_default())
        };
        read.latency = buckets(FIGURES)?;
        read.ttft = buckets(FIGURES + 1)?;
        Ok(Some(read))
    }

    fn write(&self, conn: &Connection, key: &Key) -> rusqlite::Result<i64> {
        let (latency, ttft) = (self.latency.encode(), self.ttft.encode());
        let bytes = bytes_of(key, latency.len() + ttft.len());
        let mut statement = conn.prepare_cached(WRITE)?;
        statement.raw_bind_parameter(1, key.hour)?;
        let texts = [&*key.provider, &*key.model, &*key.agent, &*key.channel, key.status];
        for (place, text) in (2..).zip(texts) {
            statement.raw_bind_parameter(place, text)?;
        }
        for (place, sum) in (7..).zip(self.sums) {
            statement.raw_bind_parameter(place, sum)?;
        }
        statement.raw_bind_parameter(7 + FIGURES, latency)?;
        statement.raw_bind_parameter(8 + FIGURES, ttft)?;
        statement.raw_execute()?;
        Ok(bytes)
    }

    fn remove(conn: &Connection, key: &Key) -> rusqlite::Result<()> {
        let mut statement = conn.prepare_cached(REMOVE)?;
        statement.execute((key.hour, &key.provider, &key.model, &key.agent, &key.channel, key.status))?;
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.sums[CALLS] == 0 && self.sums[TURN_SUMS] == 0
    }

    fn bytes(&self, key: &Key) -> i64 {
        bytes_of(key, self.latency.encode().len() + self.ttft.encode().len())
    }
}

/// What a row takes whose two histograms have so many bytes.
fn bytes_of(key: &Key, buckets: usize) -> i64 {
    let texts = [&key.provider, &key.model, &key.agent, &key.channel].map(|text| text.len()).iter().sum::<usize>();
    ROW_BYTES + (texts + buckets) as i64
}

#[cfg(test)]
pub const STATEMENTS: [&str; 4] = [READ, WRITE, REMOVE, UsageSums::COUNT_HOUR];

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(tokens: i64, latency_ms: Option<i64>, ttft_ms: Option<i64>) -> Figures {
        Figures { sums: [1, 0, tokens, 0, 0, 0, 0, tokens, 0], latency_ms, ttft_ms }
    }

    #[test]
    fn what_is_taken_out_leaves_no_trace_and_what_is_not_there_changes_nothing() {
        let mut sums = UsageSums::default();
        sums.add(&figures(5, Some(100), None));
        let before = sums.clone();
        let added = figures(7, Some(200), Some(30));
        sums.add(&added);
        let both = sums.clone();
        for absent in [figures(13, Some(100), None), figures(5, Some(900), None), figures(5, Some(100), Some(9000))] {
            assert!(!sums.take(&absent), "{absent:?}");
            assert_eq!(sums, both);
        }
        assert!(sums.take(&added));
        assert_eq!(sums, before);
    }

    #[test]
    fn sums_stop_at_the_largest_integer_and_stay_there() {
        let mut sums = UsageSums::default();
        let large = figures(i64::MAX - 1, None, None);
        (0..3).for_each(|_| sums.add(&large));
        assert_eq!((sums.sums[CALLS], sums.sums[2]), (3, i64::MAX));
        assert!(sums.take(&large));
        assert_eq!((sums.sums[CALLS], sums.sums[2]), (2, i64::MAX));
    }
}
