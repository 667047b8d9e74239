//! Reading the sums by the hour: [`Reader::summary`].
//!
//! One read transaction, which ends after [`TIME_MAX`] whatever it has found. Memory is bounded by the number of groups:
//! where there are more than [`GROUPS_MAX`], a first pass over the same rows finds out which to keep.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row};

use super::reader::{ReadError, Reader};
use crate::clock::{DAY_MS, day_start, day_utc, rfc3339_utc};
use crate::event::{Coverage, Merged, PicoUsd};
use crate::summary::{
    DayBudget, Dimension, GROUPS_MAX, Line, OTHER, Percentiles, Question, ServiceCoverage, Summary, UNPRICED_MODELS_MAX,
};

/// The longest that a question keeps its read transaction, and with it the log of the writer from starting over.
pub const TIME_MAX: Duration = Duration::from_secs(2);
/// How many steps of SQLite's machine pass between two looks at the clock: some tens of microseconds.
const STEPS: std::ffi::c_int = 1000;
/// Models without a price that are told apart while they are counted.
const UNPRICED_MODELS_COUNTED_MAX: usize = 256;
/// Services that are told apart; the others are one.
const SERVICES_MAX: usize = 64;

/// Served by the primary key, which begins with the hour.
const SUMS: &str = "SELECT hour, provider, model, agent, channel, status, calls, turn_sums, input_tokens, output_tokens, \
     cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_picousd, unpriced, latency_buckets, ttft_buckets \
     FROM usage_hourly WHERE hour >= ?1 AND hour < ?2";
/// Likewise: what decides which groups are kept.
const RANKS: &str = "SELECT hour, provider, model, agent, channel, status, calls, turn_sums, input_tokens, output_tokens, \
     cost_picousd FROM usage_hourly WHERE hour >= ?1 AND hour < ?2";
/// Served by the primary key.
const FIRST: &str = "SELECT min(hour) FROM usage_hourly";
/// Served by the primary key.
const COSTS: &str = "SELECT cost_picousd FROM usage_hourly WHERE hour >= ?1 AND hour < ?2";
/// Served by the primary key.
const COVERAGE: &str = "SELECT service_name, row_calls, row_tokens, row_cost_picousd, reported_calls, reported_tokens, \
     reported_cost_picousd FROM coverage_hourly WHERE hour >= ?1 AND hour < ?2";

impl Reader {
    /// Answers a question. Gives up when `give_up` is set.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] after [`TIME_MAX`], or when it was told to give up; else the file cannot be read.
    pub fn summary(&mut self, question: &Question, give_up: &Arc<AtomicBool>) -> Result<Summary, ReadError> {
        let (until, give_up) = (Instant::now() + TIME_MAX, Arc::clone(give_up));
        let over = move || give_up.load(Ordering::Relaxed) || Instant::now() >= until;
        self.conn.progress_handler(STEPS, Some(over))?;
        let summary = summary(&self.conn, question);
        self.conn.progress_handler(0, None::<fn() -> bool>)?;
        summary
    }
}

fn summary(conn: &Connection, question: &Question) -> Result<Summary, ReadError> {
    // Never written to, so nothing is rolled back when it is dropped.
    let tx = conn.unchecked_transaction()?;
    let hours = question.since_ms..question.until_ms;
    let first: Option<i64> = tx.prepare_cached(FIRST)?.query_row([], |row| row.get(0))?;
    let gathered = match Gathered::all(&tx, question, None)? {
        Some(gathered) => gathered,
        None => {
            let kept = Kept::of(&tx, question)?;
            // Without a limit to how many there are, there is an end.
            Gathered::all(&tx, question, Some(&kept))?.unwrap_or_default()
        }
    };
    let coverage = coverage(&tx, &hours)?;
    let budget = match question.budget {
        Some(limit) => Some(DayBudget::of(limit, question.today_ms, costs(&tx, question.today_ms)?)),
        None => None,
    };
    let (total, rows, unpriced_models) = gathered.lines(&question.by);
    Ok(Summary {
        since: rfc3339_utc(hours.start),
        until: rfc3339_utc(hours.end),
        by: question.by.iter().map(|dimension| dimension.name().to_owned()).collect(),
        recorded_since: first.map(rfc3339_utc),
        total,
        rows,
        unpriced_models,
        coverage: coverage.iter().map(ServiceCoverage::of).collect(),
        budget,
    })
}

/// The columns of [`SUMS`] and [`RANKS`] that come first in both.
const HOUR: usize = 0;
const MODEL: usize = 2;
const STATUS: usize = 5;
const CALLS: usize = 6;

fn column(dimension: Dimension) -> usize {
    match dimension {
        Dimension::Day | Dimension::Hour => HOUR,
        Dimension::Provider => 1,
        Dimension::Model => MODEL,
        Dimension::Agent => 3,
        Dimension::Channel => 4,
        Dimension::Status => STATUS,
    }
}

/// What tells the groups of a question apart: a time as eight bytes, so that earlier ones come first, a text with a byte
/// behind it that is in none.
#[derive(Default)]
struct Key(Vec<u8>);

const TEXT_END: u8 = 0xff;

impl Key {
    fn read(&mut self, row: &Row<'_>, by: &[Dimension]) -> Result<(), ReadError> {
        self.0.clear();
        for dimension in by {
            let value = row.get_ref(column(*dimension))?;
            match dimension {
                Dimension::Day => self.0.extend(in_order(day_start(integer(value)?)).to_be_bytes()),
                Dimension::Hour => self.0.extend(in_order(integer(value)?).to_be_bytes()),
                _ => {
                    self.0.extend_from_slice(value.as_bytes().map_err(|_| ReadError::NotSums)?);
                    self.0.push(TEXT_END);
                }
            }
        }
        Ok(())
    }

    /// The time in the key, if there is one: as [`in_order`] has it.
    fn time(key: &[u8], by: &[Dimension]) -> u64 {
        let mut rest = key;
        let times = by.iter().map(|dimension| Key::take(&mut rest, *dimension)).filter_map(|part| match part {
            Part::Time(time) => Some(time),
            Part::Text(_) => None,
        });
        times.max().unwrap_or(0)
    }

    fn take<'k>(rest: &mut &'k [u8], dimension: Dimension) -> Part<'k> {
        if dimension.is_time() {
            let (time, after) = rest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
            *rest = after;
            return Part::Time(u64::from_be_bytes(*time));
        }
        let end = rest.iter().position(|byte| *byte == TEXT_END).unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        *rest = after.get(1..).unwrap_or_default();
        Part::Text(text)
    }
}

enum Part<'k> {
    Time(u64),
    Text(&'k [u8]),
}

/// A number whose bytes, the largest first, sort as the times do.
fn in_order(ms: i64) -> u64 {
    ms as u64 ^ (1 << 63)
}

fn from_order(number: u64) -> i64 {
    (number ^ (1 << 63)) as i64
}

/// Sums of one group while they grow.
#[derive(Default)]
struct Sums {
    /// [`Line`]'s numbers, in the order of [`SUMS`]: calls up to unpriced.
    numbers: [i64; 9],
    errors: i64,
    latency: Merged,
    ttft: Merged,
}

impl Sums {
    /// Adds a row of [`SUMS`]. Gives back how many of it are without a price.
    fn add(&mut self, row: &Row<'_>) -> Result<i64, ReadError> {
        let mut last = 0;
        // Each look at a column costs as much as all that is done with it: there is one for each.
        for (place, sum) in self.numbers.iter_mut().enumerate() {
            last = integer(row.get_ref(CALLS + place)?)?;
            *sum = sum.saturating_add(last);
        }
        if row.get_ref(STATUS)?.as_bytes().map_err(|_| ReadError::NotSums)? != b"ok" {
            self.errors = self.errors.saturating_add(integer(row.get_ref(CALLS)?)?);
        }
        for (place, times) in [(CALLS + 9, &mut self.latency), (CALLS + 10, &mut self.ttft)] {
            let bytes = row.get_ref(place)?.as_blob().map_err(|_| ReadError::NotSums)?;
            times.add(bytes).ok_or(ReadError::NotSums)?;
        }
        Ok(last)
    }

    fn merge(&mut self, other: &Sums) {
        self.numbers.iter_mut().zip(other.numbers).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.errors = self.errors.saturating_add(other.errors);
        self.latency.merge(&other.latency);
        self.ttft.merge(&other.ttft);
    }

    fn line(&self) -> Line {
        let [calls, turn_sums, input, output, cache_read, cache_write, reasoning, cost, unpriced] = self.numbers;
        Line {
            calls,
            turn_sums,
            errors: self.errors,
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: cache_read,
            cache_write_tokens: cache_write,
            reasoning_tokens: reasoning,
            cost_usd: PicoUsd(cost).usd(),
            cost_picousd: cost,
            unpriced,
            latency_ms: Percentiles::of(&self.latency.histogram()),
            ttft_ms: Percentiles::of(&self.ttft.histogram()),
            ..Line::default()
        }
    }
}

/// Everything that was found.
#[derive(Default)]
struct Gathered {
    places: HashMap<Box<[u8]>, usize>,
    groups: Vec<Sums>,
    /// What is not kept, and how many groups that is.
    other: Sums,
    other_groups: u64,
    unpriced: HashMap<Box<str>, i64>,
}

impl Gathered {
    /// `None` when there are more than [`GROUPS_MAX`] groups and nobody says which are `kept`.
    fn all(conn: &Connection, question: &Question, kept: Option<&Kept>) -> Result<Option<Gathered>, ReadError> {
        let mut gathered = Gathered { other_groups: kept.map_or(0, |kept| kept.others), ..Gathered::default() };
        let mut statement = conn.prepare_cached(SUMS)?;
        let mut rows = statement.query((question.since_ms, question.until_ms))?;
        let mut key = Key::default();
        while let Some(row) = rows.next()? {
            key.read(row, &question.by)?;
            let Some(sums) = gathered.group(&key.0, kept) else { return Ok(None) };
            let unpriced = sums.add(row)?;
            if unpriced != 0 {
                gathered.note_unpriced(text(row.get_ref(MODEL)?)?, unpriced);
            }
        }
        Ok(Some(gathered))
    }

    fn group(&mut self, key: &[u8], kept: Option<&Kept>) -> Option<&mut Sums> {
        if let Some(place) = self.places.get(key) {
            return self.groups.get_mut(*place);
        }
        match kept {
            Some(kept) if !kept.has(key) => return Some(&mut self.other),
            None if self.groups.len() == GROUPS_MAX => return None,
            _ => {}
        }
        self.places.insert(key.into(), self.groups.len());
        self.groups.push(Sums::default());
        self.groups.last_mut()
    }

    fn note_unpriced(&mut self, model: &str, unpriced: i64) {
        if let Some(count) = self.unpriced.get_mut(model) {
            *count = count.saturating_add(unpriced);
        } else if self.unpriced.len() < UNPRICED_MODELS_COUNTED_MAX {
            self.unpriced.insert(model.into(), unpriced);
        }
    }

    /// The total, the groups in their order, and the models without a price.
    fn lines(self, by: &[Dimension]) -> (Line, Vec<Line>, Vec<String>) {
        let mut total = Sums::default();
        self.groups.iter().chain([&self.other]).for_each(|sums| total.merge(sums));
        let mut keys: Vec<(Box<[u8]>, usize)> = self.places.into_iter().collect();
        // By name last, so that the same question has the same answer.
        keys.sort_by_cached_key(|(key, place)| {
            let [_, _, input, output, _, _, _, cost, _] = self.groups[*place].numbers;
            let down = std::cmp::Reverse;
            (Key::time(key, by), down(cost), down(input.saturating_add(output)), key.clone())
        });
        let mut lines: Vec<Line> = keys.iter().map(|(key, place)| named(self.groups[*place].line(), key, by)).collect();
        if self.other_groups > 0 {
            let line = Line { groups: Some(self.other_groups), ..self.other.line() };
            lines.push(by.iter().fold(line, |line, dimension| with(line, *dimension, OTHER.to_owned())));
        }
        let mut unpriced: Vec<_> = self.unpriced.into_iter().collect();
        unpriced.sort_by(|(a, a_calls), (b, b_calls)| (b_calls, a).cmp(&(a_calls, b)));
        let unpriced = unpriced.into_iter().take(UNPRICED_MODELS_MAX).map(|(model, _)| model.into()).collect();
        (total.line(), lines, unpriced)
    }
}

/// Which groups are told one by one: the latest of a time, else the dearest. By hashes, so that all groups of a full
/// table take a few megabytes for as long as this takes.
struct Kept {
    hasher: RandomState,
    hashes: HashSet<u64>,
    /// How many groups are not.
    others: u64,
}

impl Kept {
    fn of(conn: &Connection, question: &Question) -> Result<Kept, ReadError> {
        let hasher = RandomState::new();
        let mut ranks: HashMap<u64, (u64, i64, i64)> = HashMap::new();
        let mut statement = conn.prepare_cached(RANKS)?;
        let mut rows = statement.query((question.since_ms, question.until_ms))?;
        let mut key = Key::default();
        while let Some(row) = rows.next()? {
            key.read(row, &question.by)?;
            let rank = ranks.entry(hasher.hash_one(key.0.as_slice())).or_default();
            rank.0 = Key::time(&key.0, &question.by);
            rank.1 = rank.1.saturating_add(integer(row.get_ref(CALLS + 4)?)?);
            for tokens in [CALLS + 2, CALLS + 3] {
                rank.2 = rank.2.saturating_add(integer(row.get_ref(tokens)?)?);
            }
        }
        let mut ranks: Vec<_> = ranks.into_iter().map(|(hash, rank)| (rank, hash)).collect();
        ranks.sort_unstable_by(|a, b| b.cmp(a));
        let others = ranks.len().saturating_sub(GROUPS_MAX) as u64;
        let hashes = ranks.into_iter().take(GROUPS_MAX).map(|(_, hash)| hash).collect();
        Ok(Kept { hasher, hashes, others })
    }

    fn has(&self, key: &[u8]) -> bool {
        self.hashes.contains(&self.hasher.hash_one(key))
    }
}

/// A line with what its group is.
fn named(line: Line, key: &[u8], by: &[Dimension]) -> Line {
    let mut rest = key;
    by.iter().fold(line, |line, dimension| {
        let name = match (Key::take(&mut rest, *dimension), dimension) {
            (Part::Time(time), Dimension::Day) => day_utc(from_order(time)),
            // To the second: `.000` of every hour says nothing.
            (Part::Time(time), _) => rfc3339_utc(from_order(time)).replace(".000Z", "Z"),
            (Part::Text(text), _) => String::from_utf8_lossy(text).into_owned(),
        };
        with(line, *dimension, name)
    })
}

fn with(line: Line, dimension: Dimension, name: String) -> Line {
    let name = Some(name);
    match dimension {
        Dimension::Model => Line { model: name, ..line },
        Dimension::Provider => Line { provider: name, ..line },
        Dimension::Agent => Line { agent: name, ..line },
        Dimension::Channel => Line { channel: name, ..line },
        Dimension::Day => Line { day: name, ..line },
        Dimension::Hour => Line { hour: name, ..line },
        Dimension::Status => Line { status: name, ..line },
    }
}

/// What is known of the costs of a day.
fn costs(conn: &Connection, day_ms: i64) -> Result<PicoUsd, ReadError> {
    let mut statement = conn.prepare_cached(COSTS)?;
    let mut rows = statement.query((day_ms, day_ms.saturating_add(DAY_MS)))?;
    let mut sum = 0i64;
    while let Some(row) = rows.next()? {
        sum = sum.saturating_add(integer(row.get_ref(0)?)?);
    }
    Ok(PicoUsd(sum))
}

/// Of every service, by name.
fn coverage(conn: &Connection, hours: &Range<i64>) -> Result<Vec<Coverage>, ReadError> {
    let mut services: BTreeMap<Box<str>, Coverage> = BTreeMap::new();
    let mut statement = conn.prepare_cached(COVERAGE)?;
    let mut rows = statement.query((hours.start, hours.end))?;
    while let Some(row) = rows.next()? {
        let name = text(row.get_ref(0)?)?;
        let room = services.len() < SERVICES_MAX || services.contains_key(name);
        let name = if room { name } else { OTHER };
        let known = services.entry(name.into());
        let sums = known.or_insert_with_key(|name| Coverage { service_name: name.clone(), ..Coverage::default() });
        let column = |place: usize| -> Result<i64, ReadError> { integer(row.get_ref(place)?) };
        sums.add([column(1)?, column(2)?, column(3)?], [column(4)?, column(5)?, column(6)?]);
    }
    Ok(services.into_values().collect())
}

fn integer(value: rusqlite::types::ValueRef<'_>) -> Result<i64, ReadError> {
    value.as_i64().map_err(|_| ReadError::NotSums)
}

fn text(value: rusqlite::types::ValueRef<'_>) -> Result<&str, ReadError> {
    value.as_str().map_err(|_| ReadError::NotSums)
}

#[cfg(test)]
mod tests;
