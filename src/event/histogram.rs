//! How long things took, as counts: what percentiles are made of when the rows are gone.
//!
//! Buckets are a tenth wider than the one before, and from 1 to 20 ms one millisecond wide. So a
//! percentile is within 5 % of the exact one, up to a day; what took longer counts as a day.

/// Counts of times in milliseconds, by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Bucket and count, by bucket; no count is 0.
    counts: Vec<(u8, u64)>,
}

/// The longest time told apart from longer ones, milliseconds: a day.
const LONGEST_MS: i64 = 86_400_000;
/// How many buckets there are.
const BUCKETS: usize = 184;
/// The least time in each bucket, milliseconds.
const STARTS: [i64; BUCKETS] = starts();

const fn starts() -> [i64; BUCKETS] {
    let mut starts = [0; BUCKETS];
    let mut place = 1;
    while place < BUCKETS {
        let before = starts[place - 1];
        let width = if before < 20 { 1 } else { before / 10 };
        starts[place] = before + width;
        place += 1;
    }
    assert!(starts[BUCKETS - 1] >= LONGEST_MS && starts[BUCKETS - 2] < LONGEST_MS, "as many buckets as a day needs");
    starts
}

impl Histogram {
    /// Counts one time. Less than 0 counts as 0.
    pub fn record(&mut self, ms: i64) {
        self.add(bucket(ms), 1);
    }

    /// Takes one time out again. `false` when none like it was counted.
    pub fn remove(&mut self, ms: i64) -> bool {
        let Ok(place) = self.counts.binary_search_by_key(&bucket(ms), |(bucket, _)| *bucket) else { return false };
        self.counts[place].1 -= 1;
        if self.counts[place].1 == 0 {
            self.counts.remove(place);
        }
        true
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Histogram) {
        other.counts.iter().for_each(|(bucket, count)| self.add(*bucket, *count));
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The time, in milliseconds, that the part `q` of all (0.95: nineteen of twenty) did not exceed;
    /// within 5 %. `None` when nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<i64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        let mut seen = 0u64;
        let reached = self.counts.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= wanted
        });
        reached.or(self.counts.last()).map(|(bucket, _)| middle(*bucket))
    }

    /// The form in the database: for each bucket that is not empty, how many were passed since the one
    /// before, and its count, both as LEB128.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * self.counts.len());
        let mut next = 0;
        for (bucket, count) in &self.counts {
            put(&mut bytes, u64::from(*bucket - next));
            put(&mut bytes, *count);
            next = bucket.saturating_add(1);
        }
        bytes
    }

    /// Reads what [`Histogram::encode`] wrote; `None` when it did not write this.
    pub fn decode(bytes: &[u8]) -> Option<Histogram> {
        let mut counts = Vec::with_capacity(bytes.len() / 2);
        each(bytes, |bucket, count| counts.push((bucket, count)))?;
        Some(Histogram { counts })
    }

    fn add(&mut self, bucket: u8, count: u64) {
        match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(place) => self.counts[place].1 = self.counts[place].1.saturating_add(count),
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }
}

/// Many histograms added up, as they are in the database: a count for every bucket.
#[derive(Debug, Clone)]
pub struct Merged(Box<[u64; BUCKETS]>);

impl Default for Merged {
    fn default() -> Merged {
        Merged(Box::new([0; BUCKETS]))
    }
}

impl Merged {
    /// Adds what [`Histogram::encode`] wrote. `None` when it did not write this; then part of it may be added.
    pub fn add(&mut self, bytes: &[u8]) -> Option<()> {
        each(bytes, |bucket, count| {
            let sum = &mut self.0[usize::from(bucket)];
            *sum = sum.saturating_add(count);
        })
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Merged) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
    }

    /// The sum.
    pub fn histogram(&self) -> Histogram {
        let counts = (0..).zip(self.0.iter().copied()).filter(|(_, count)| *count > 0);
        Histogram { counts: counts.collect() }
    }
}

/// Hands every bucket and its count to `take_one`. `None` when [`Histogram::encode`] did not write this.
fn each(mut bytes: &[u8], mut take_one: impl FnMut(u8, u64)) -> Option<()> {
    let mut next = 0u64;
    while !bytes.is_empty() {
        let bucket = next.checked_add(take(&mut bytes)?)?;
        let count = take(&mut bytes)?;
        if bucket >= BUCKETS as u64 || count == 0 {
            return None;
        }
        take_one(u8::try_from(bucket).ok()?, count);
        next = bucket + 1;
    }
    Some(())
}

fn bucket(ms: i64) -> u8 {
    const { assert!(BUCKETS <= 256, "a bucket is a byte") };
    (STARTS.partition_point(|start| *start <= ms.max(0)) - 1) as u8
}

fn middle(bucket: u8) -> i64 {
    let start = STARTS[usize::from(bucket)];
    match STARTS.get(usize::from(bucket) + 1) {
        Some(next) => (start + next - 1) / 2,
        None => LONGEST_MS,
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front; `None` if there is none, or it is larger than 64 bits.
fn take(bytes: &mut &[u8]) -> Option<u64> {
    // Most numbers are one byte.
    if let [first @ 0..0x80, rest @ ..] = *bytes {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        if part.checked_shl(shift).is_none_or(|moved| moved >> shift != part) {
            return None;
        }
        number |= part << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_within_a_twentieth_of_the_exact_one() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..200 {
            let longest = 10i64.pow(random.u32(1..8));
            let mut times: Vec<i64> = (0..random.usize(1..500)).map(|_| random.i64(0..=longest)).collect();
            let mut histogram = Histogram::default();
            times.iter().for_each(|ms| histogram.record(*ms));
            times.sort_unstable();
            for q in [0.0, 0.5, 0.95, 0.99, 1.0] {
                let exact = times[((q * times.len() as f64).ceil() as usize).max(1) - 1];
                let found = histogram.quantile(q).unwrap();
                let wrong = (found - exact).abs() as f64;
                assert!(wrong <= 0.05 * exact as f64 + 0.5, "round {round}: p{q} is {found}, not {exact}");
            }
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn what_was_written_is_read_again_and_anything_else_is_not() {
        let mut random = fastrand::Rng::with_seed(2);
        let (mut all, mut merged) = (Histogram::default(), Merged::default());
        assert_eq!(Histogram::decode(&[]), Some(Histogram::default()));
        for _ in 0..200 {
            let mut histogram = Histogram::default();
            (0..random.usize(0..300)).for_each(|_| histogram.record(random.i64(-5..i64::MAX) >> random.u32(0..62)));
            let bytes = histogram.encode();
            assert_eq!(Histogram::decode(&bytes).as_ref(), Some(&histogram));
            let count = all.count();
            all.merge(&histogram);
            merged.add(&bytes).unwrap();
            let mut both = Merged::default();
            both.merge(&merged);
            assert_eq!(both.histogram(), all);
            assert_eq!(all.count(), count + histogram.count());
        }
        let largest = Histogram { counts: vec![(0, u64::MAX), ((BUCKETS - 1) as u8, 1)] };
        assert_eq!(Histogram::decode(&largest.encode()).as_ref(), Some(&largest));
        for bad in [&[0][..], &[0, 0], &[255, 1, 1], &[0, 0x80], &[0, 1, 200, 1, 1], &[0xff; 22]] {
            assert_eq!(Histogram::decode(bad), None, "{bad:?}");
            assert_eq!(Merged::default().add(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_taken_out_was_never_there_and_counts_stop_at_the_largest() {
        let mut histogram = Histogram::default();
        [0, 7, 7, 5000, i64::MAX].iter().for_each(|ms| histogram.record(*ms));
        assert_eq!(histogram.quantile(1.0), Some(LONGEST_MS));
        assert!(histogram.remove(7) && histogram.remove(7) && !histogram.remove(7));
        assert!(histogram.remove(i64::MAX) && histogram.remove(5001) && histogram.remove(-1));
        assert_eq!(histogram, Histogram::default());
        let mut full = Histogram { counts: vec![(3, u64::MAX)] };
        full.record(3);
        full.record(4);
        assert_eq!((full.count(), full.quantile(1.0)), (u64::MAX, Some(3)));
    }
}
