//! The sums by the hour, kept by the transaction that stores the rows: they outlive them.
//!
//! What is promised: at every commit `usage_hourly` is what one would get by adding up every row that was ever stored
//! and counts. What a request adds is kept in memory until the request is stored whole, so a request that fails leaves
//! nothing behind, and each row of sums is written once in a transaction.

mod coverage;
mod hourly;
mod keep;
mod report;
mod share;
mod usage;

use rusqlite::Connection;

#[cfg(test)]
pub use keep::OLDEST;
pub use keep::{catch_up, let_go, sizes};
#[cfg(test)]
pub use report::NEWEST;
pub use report::report;
pub use share::{Call, Share, call, cut};

use crate::clock::{DAY_MS, hour_start};
use crate::event::{Counted, CounterPoint, Status};
use crate::stats::{Gains, LATENCY_MS, Stats, TTFT_MS};
use crate::summary::OTHER;
use hourly::{Hourly, Size};
use share::{CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, CALLS, COST_PICOUSD, Figures, INPUT_TOKENS, OUTPUT_TOKENS};
use share::{REASONING_TOKENS, UNPRICED};

/// Texts are cut at this.
const TEXT_BYTES_MAX: usize = 256;
/// How long the sums are kept.
const KEPT_MS: i64 = 400 * DAY_MS;

/// How large the tables of sums are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    usage: Size,
    coverage: Size,
}

/// The sums within one transaction.
pub struct Rollup<'c> {
    conn: &'c Connection,
    usage: Hourly<'c, usage::UsageSums>,
    coverage: Hourly<'c, coverage::CoverageSums>,
    /// What the request adds that is being stored.
    pending: Vec<Change>,
    /// What was so before a large request, whose savepoint holds what it adds.
    before_large: Option<Before>,
    last_id: i64,
    /// What is counted besides, if it is.
    gains: Option<(&'c Stats, Gains)>,
}

/// What is so in memory at some time.
struct Before {
    sizes: Sizes,
    last_id: i64,
    gains: Option<Gains>,
}

/// Changes of one request that are kept in memory until it is stored. A row takes some 300 bytes.
const PENDING_MAX: usize = if cfg!(test) { 4 } else { 128 };

enum Change {
    /// A row that is stored, or that is known to count.
    Count(Box<Share>),
    /// A row of which more is known.
    Move(Box<Move>),
    /// A counter rose.
    Report { key: coverage::Key, counted: Counted, rise: i64, start_ms: i64 },
    /// A row is in the file.
    Stored(i64),
}

struct Move {
    from: usage::Key,
    to: usage::Key,
    figures: Figures,
}

impl<'c> Rollup<'c> {
    /// Nothing is added yet.
    pub fn new(conn: &'c Connection, sizes: &Sizes) -> Rollup<'c> {
        let (usage, coverage) = (Hourly::new(conn, sizes.usage), Hourly::new(conn, sizes.coverage));
        Rollup { conn, usage, coverage, pending: Vec::new(), before_large: None, last_id: 0, gains: None }
    }

    /// The same, and calls are also counted for those of the process: whoever commits hands on what it has gained.
    pub fn counting_for(self, stats: &'c Stats) -> Rollup<'c> {
        Rollup { gains: Some((stats, Gains::default())), ..self }
    }

    /// What the requests that were kept have gained, once.
    pub fn take_gains(&mut self) -> Gains {
        self.gains.take().map(|(_, gains)| gains).unwrap_or_default()
    }

    /// A request with so many events begins, and its savepoint has not begun yet. What a large one adds is written in
    /// parts: so what others have added is written before.
    pub fn begin(&mut self, events: usize) -> rusqlite::Result<()> {
        if events > PENDING_MAX {
            self.usage.write()?;
            self.coverage.write()?;
            let gains = self.gains.as_ref().map(|(_, gains)| gains.clone());
            self.before_large = Some(Before { sizes: self.sizes(), last_id: self.last_id, gains });
        }
        Ok(())
    }

    /// The next event comes: a large request adds what has gathered.
    pub fn relieve(&mut self) -> rusqlite::Result<()> {
        if self.before_large.is_some() && self.pending.len() >= PENDING_MAX {
            self.apply_pending()?;
        }
        Ok(())
    }

    /// Counts a row.
    pub fn count(&mut self, share: Share) {
        self.pending.push(Change::Count(Box::new(share)));
    }

    /// Counts a row elsewhere than until now.
    pub fn shift(&mut self, before: &Call<'_>, after: &Call<'_>) {
        let (from, to) = (before.key(), after.key());
        if from != to {
            self.pending.push(Change::Move(Box::new(Move { from, to, figures: before.figures() })));
        }
    }

    /// Counts by how much a counter of a service rose until this point.
    pub fn report(&mut self, service: Box<str>, point: &CounterPoint, rise: i64, now_ms: i64) {
        let key = coverage::Key { hour: hour_of(point.timestamp_ms, now_ms), service };
        self.pending.push(Change::Report { key, counted: point.counted, rise, start_ms: point.start_ms });
    }

    /// The row with this id is in the file, and counts if it counts at all.
    pub fn stored(&mut self, id: i64) {
        self.pending.push(Change::Stored(id));
    }

    /// The request is stored: what it adds counts.
    pub fn keep(&mut self) -> rusqlite::Result<()> {
        self.before_large = None;
        self.apply_pending()
    }

    fn apply_pending(&mut self) -> rusqlite::Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.drain(..).try_for_each(|change| self.apply(change))?;
        self.pending = pending;
        Ok(())
    }

    /// The request is not stored: what it adds is forgotten.
    pub fn forget(&mut self) {
        self.pending.clear();
        if let Some(Before { sizes, last_id, gains: before }) = self.before_large.take() {
            self.usage = Hourly::new(self.conn, sizes.usage);
            self.coverage = Hourly::new(self.conn, sizes.coverage);
            self.last_id = last_id;
            if let (Some((_, gains)), Some(before)) = (&mut self.gains, before) {
                *gains = before;
            }
        }
    }

    /// Writes what has changed. The sizes are those of the tables after the commit.
    pub fn write(mut self) -> rusqlite::Result<Sizes> {
        self.usage.write()?;
        self.coverage.write()?;
        if self.last_id > 0 {
            self.conn.prepare_cached(keep::SET_ROLLED_ID)?.execute([self.last_id])?;
        }
        Ok(self.sizes())
    }

    fn sizes(&self) -> Sizes {
        Sizes { usage: self.usage.size, coverage: self.coverage.size }
    }

    fn apply(&mut self, change: Change) -> rusqlite::Result<()> {
        match change {
            Change::Count(share) => {
                let Share { key, figures, service } = *share;
                if let Some(service) = service {
                    self.coverage.sums_for(coverage::Key { hour: key.hour, service })?.add_row(&figures);
                }
                if let Some((stats, gains)) = &mut self.gains {
                    gain(gains, stats, &key, &figures);
                }
                self.usage.sums_for(key)?.add(&figures);
            }
            Change::Move(moved) => {
                let Move { from, to, figures } = *moved;
                if self.usage.take(&from, |sums| sums.take(&figures))? {
                    self.usage.sums_for(to)?.add(&figures);
                }
            }
            Change::Report { key, counted, rise, start_ms } => {
                self.coverage.sums_for(key)?.add_reported(counted, rise, start_ms);
            }
            Change::Stored(id) => self.last_id = self.last_id.max(id),
        }
        Ok(())
    }
}

/// Counts what `usage_hourly` counts.
fn gain(gains: &mut Gains, stats: &Stats, key: &usage::Key, figures: &Figures) {
    let counts = gains.of_model(&key.provider, &key.model, stats);
    let sum = |place: usize| figures.sums[place].max(0) as u64;
    counts.calls[Status::parse(key.status).unwrap_or_default() as usize] += sum(CALLS);
    let kinds = [INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, REASONING_TOKENS];
    counts.tokens.iter_mut().zip(kinds).for_each(|(tokens, kind)| *tokens = tokens.saturating_add(sum(kind)));
    counts.cost.0 = counts.cost.0.saturating_add(figures.sums[COST_PICOUSD]);
    counts.unpriced += sum(UNPRICED);
    let ms = |time: i64| time.max(0) as u64;
    figures.latency_ms.into_iter().for_each(|time| counts.latency.record(&LATENCY_MS, ms(time)));
    figures.ttft_ms.into_iter().for_each(|time| counts.ttft.record(&TTFT_MS, ms(time)));
}

/// The hour that a time lies in. One that nobody can believe is taken for the arrival.
fn hour_of(timestamp_ms: i64, received_at_ms: i64) -> i64 {
    let believed = received_at_ms.saturating_sub(KEPT_MS)..=received_at_ms.saturating_add(DAY_MS);
    let at_ms = if believed.contains(&timestamp_ms) { timestamp_ms } else { received_at_ms };
    hour_start(at_ms)
}

/// Every statement that must find its rows by a key.
#[cfg(test)]
pub fn statements() -> impl Iterator<Item = &'static str> {
    let calls = share::STATEMENTS.into_iter().chain(report::STATEMENTS).chain(keep::STATEMENTS);
    calls.chain(usage::STATEMENTS).chain(coverage::STATEMENTS)
}

#[cfg(test)]
mod tests;
