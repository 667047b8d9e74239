//! What was newly stored since the start: model calls and errors, by names of which only so many are told apart.
//!
//! A transaction gathers [`Gains`], and [`Stats::gained`](super::Stats::gained) adds them once it has committed: what is
//! counted here is what was stored, no more and no less.

use super::{NAME_BYTES_MAX, NAMES_MAX, NO_NAME, OTHER_NAMES, Stats, cut};
use crate::event::{ErrorEvent, PicoUsd, Severity, Status};

/// One thing for each name, or for each pair of names; a stranger may invent any number of them.
#[derive(Debug, Clone)]
pub struct Named<const N: usize, T> {
    rows: Vec<([Box<str>; N], T)>,
}

impl<const N: usize, T> Default for Named<N, T> {
    fn default() -> Self {
        Named { rows: Vec::new() }
    }
}

impl<const N: usize, T: Default> Named<N, T> {
    /// Every name and its thing, in the order in which they came first.
    pub fn rows(&self) -> impl Iterator<Item = (&[Box<str>; N], &T)> {
        self.rows.iter().map(|(names, thing)| (names, thing))
    }

    fn place(&self, names: [&str; N]) -> Option<usize> {
        self.rows.iter().position(|(known, _)| known.iter().zip(names).all(|(known, name)| **known == *name))
    }

    /// How many names are told apart.
    fn told_apart(&self) -> usize {
        self.rows.len() - usize::from(self.place([OTHER_NAMES; N]).is_some())
    }

    /// The thing of these names if they are known or there is `room` for them, else that of all others.
    fn of(&mut self, names: [&str; N], room: impl FnOnce(&Self) -> bool) -> &mut T {
        let names = names.map(told);
        let place = self.place(names).unwrap_or_else(|| {
            let names = if room(self) { names } else { [OTHER_NAMES; N] };
            self.place(names).unwrap_or_else(|| {
                self.rows.push((names.map(Box::from), T::default()));
                self.rows.len() - 1
            })
        });
        &mut self.rows[place].1
    }
}

/// What is counted of things with these names.
pub trait Counts: Default {
    /// Adds what was counted elsewhere.
    fn add(&mut self, more: &Self);
}

impl<const N: usize, T: Counts> Named<N, T> {
    fn add(&mut self, more: &Self) {
        for (names, counts) in &more.rows {
            self.of(names.each_ref().map(|name| &**name), |all| all.told_apart() < NAMES_MAX).add(counts);
        }
    }
}

/// How long things took, as a histogram of Prometheus: bounds in the unit that is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durations<const N: usize> {
    /// How many took as long as the bound of the same place, and longer than the one before.
    pub counts: [u64; N],
    /// How many there were.
    pub count: u64,
    /// How long they took together.
    pub sum: u64,
}

impl<const N: usize> Default for Durations<N> {
    fn default() -> Self {
        Durations { counts: [0; N], count: 0, sum: 0 }
    }
}

impl<const N: usize> Durations<N> {
    /// Counts one.
    pub fn record(&mut self, bounds: &[u64; N], took: u64) {
        if let Some(place) = bounds.iter().position(|bound| took <= *bound) {
            self.counts[place] += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
    }
}

impl<const N: usize> Counts for Durations<N> {
    fn add(&mut self, more: &Self) {
        self.counts.iter_mut().zip(more.counts).for_each(|(sum, count)| *sum += count);
        self.count += more.count;
        self.sum = self.sum.saturating_add(more.sum);
    }
}

/// Bounds of how long calls take, in milliseconds. Few: there is a series for each, and each of 65 pairs of names.
pub const LATENCY_MS: [u64; 9] = [500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000];
/// Bounds of the time to the first token, in milliseconds.
pub const TTFT_MS: [u64; 7] = [250, 500, 1000, 2500, 5000, 10_000, 30_000];

/// The kinds of tokens of [`CallCounts::tokens`].
pub const TOKENS: [&str; 5] = ["input", "output", "cache_read", "cache_write", "reasoning"];

/// What the calls of one model came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallCounts {
    /// Calls, by [`Status`].
    pub calls: [u64; Status::ALL.len()],
    /// Their tokens, in the order of [`TOKENS`].
    pub tokens: [u64; TOKENS.len()],
    /// What is known of their costs.
    pub cost: PicoUsd,
    /// Rows that have tokens and no cost.
    pub unpriced: u64,
    /// How long they took.
    pub latency: Durations<{ LATENCY_MS.len() }>,
    /// How long it was to their first token.
    pub ttft: Durations<{ TTFT_MS.len() }>,
}

impl Counts for CallCounts {
    fn add(&mut self, more: &CallCounts) {
        let sums = self.calls.iter_mut().chain(&mut self.tokens);
        sums.zip(more.calls.into_iter().chain(more.tokens)).for_each(|(sum, count)| *sum = sum.saturating_add(count));
        self.cost.0 = self.cost.0.saturating_add(more.cost.0);
        self.unpriced += more.unpriced;
        self.latency.add(&more.latency);
        self.ttft.add(&more.ttft);
    }
}

/// Errors of one component, by [`Severity`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErrorCounts(pub [u64; Severity::ALL.len()]);

impl Counts for ErrorCounts {
    fn add(&mut self, more: &ErrorCounts) {
        self.0.iter_mut().zip(more.0).for_each(|(sum, count)| *sum += count);
    }
}

/// What is newly stored.
#[derive(Debug, Clone, Default)]
pub struct Gains {
    /// By provider and model.
    pub calls: Named<2, CallCounts>,
    /// By component.
    pub errors: Named<1, ErrorCounts>,
}

impl Gains {
    /// The counts of a model within one transaction. Which names are told apart is as it will be once they are added to those
    /// of `all`.
    pub fn of_model(&mut self, provider: &str, model: &str, all: &Stats) -> &mut CallCounts {
        let names = [provider, model];
        self.calls.of(names, |gains| has_room(gains, names, &super::locked(&all.gains).calls))
    }

    /// Counts an error within one transaction.
    pub fn count_error(&mut self, error: &ErrorEvent, all: &Stats) {
        let names = [error.component.as_deref().unwrap_or_default()];
        let counts = self.errors.of(names, |gains| has_room(gains, names, &super::locked(&all.gains).errors));
        counts.0[error.severity as usize] += 1;
    }

    /// Adds what a transaction has gathered.
    pub(super) fn add(&mut self, more: &Gains) {
        self.calls.add(&more.calls);
        self.errors.add(&more.errors);
    }
}

/// Whether names that `gains` does not have will be told apart among `all`.
fn has_room<const N: usize, T: Default>(gains: &Named<N, T>, names: [&str; N], all: &Named<N, T>) -> bool {
    let names = names.map(told);
    let is_new = |row: &[Box<str>; N]| all.place(row.each_ref().map(|name| &**name)).is_none();
    let new =
        || gains.rows.iter().filter(|(row, _)| row.iter().any(|name| **name != *OTHER_NAMES) && is_new(row)).count();
    all.place(names).is_some() || all.told_apart() + new() < NAMES_MAX
}

/// What a name is called here.
fn told(name: &str) -> &str {
    if name.is_empty() { NO_NAME } else { cut(name, NAME_BYTES_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &Stats) -> Vec<(String, u64)> {
        let gains = all.gains();
        gains.calls.rows().map(|([provider, model], counts)| (format!("{provider} {model}"), counts.calls[0])).collect()
    }

    #[test]
    fn names_are_told_apart_as_if_every_call_were_added_alone() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..50 {
            let (together, alone) = (Stats::default(), Stats::default());
            for _ in 0..random.usize(1..30) {
                let mut gains = Gains::default();
                for _ in 0..random.usize(1..20) {
                    let model = random.u32(0..90).to_string();
                    gains.of_model("p", &model, &together).calls[0] += 1;
                    let mut one = Gains::default();
                    one.of_model("p", &model, &alone).calls[0] += 1;
                    alone.gained(&one);
                }
                together.gained(&gains);
            }
            assert_eq!(names(&together), names(&alone));
        }
    }

    #[test]
    fn a_stranger_cannot_grow_the_lists_and_nothing_goes_uncounted() {
        let stats = Stats::default();
        let long = "\u{e9}".repeat(1000);
        for n in 0..1000 {
            let mut gains = Gains::default();
            for m in 0..10 {
                gains.of_model(&format!("{m}-{long}"), &format!("{n}-{long}"), &stats).calls[1] += 1;
                let component = Some(format!("{n}-{m}").into());
                gains.count_error(&ErrorEvent { component, ..ErrorEvent::default() }, &stats);
            }
            stats.gained(&gains);
        }
        let (fresh, mut gains) = (Stats::default(), Gains::default());
        (0..10_000).for_each(|n| gains.of_model("p", &n.to_string(), &fresh).calls[0] += 1);
        assert_eq!(gains.calls.rows.len(), NAMES_MAX + 1, "nor those of one request");
        let gains = stats.gains();
        assert_eq!((gains.calls.rows.len(), gains.errors.rows.len()), (NAMES_MAX + 1, NAMES_MAX + 1));
        assert!(gains.calls.rows.iter().flat_map(|(names, _)| names).all(|name| name.len() <= NAME_BYTES_MAX));
        assert_eq!(gains.calls.rows().map(|(_, counts)| counts.calls[1]).sum::<u64>(), 10_000);
        assert_eq!(gains.errors.rows().map(|(_, counts)| counts.0[Severity::Error as usize]).sum::<u64>(), 10_000);
    }

    #[test]
    fn what_is_not_said_has_a_name_and_counts_beside_who_says_that_name() {
        let stats = Stats::default();
        let mut gains = Gains::default();
        for (provider, model) in [("", "m"), (NO_NAME, "m"), ("p", "")] {
            gains.of_model(provider, model, &stats).calls[0] += 1;
        }
        stats.gained(&gains);
        assert_eq!(names(&stats), [("(none) m".to_owned(), 2), ("p (none)".to_owned(), 1)]);
    }

    #[test]
    fn a_time_counts_in_the_bucket_whose_bound_it_does_not_exceed() {
        let mut took = Durations::default();
        [0, 250, 251, 30_000, 30_001, u64::MAX].iter().for_each(|ms| took.record(&TTFT_MS, *ms));
        assert_eq!((took.counts, took.count, took.sum), ([2, 1, 0, 0, 0, 0, 1], 6, u64::MAX));
    }
}
