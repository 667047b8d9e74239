//! What a service counted itself, beside what its rows say: whether spend is complete.

use super::PicoUsd;

/// Sums of one service over the same time: of its rows, and of its own counters. Neither is ever added to the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    /// `service.name`; empty = not said.
    pub service_name: Box<str>,
    /// Calls that are rows.
    pub row_calls: i64,
    /// Their input and output tokens.
    pub row_tokens: i64,
    /// What is known of their costs.
    pub row_cost: PicoUsd,
    /// By how much its counters of calls rose.
    pub reported_calls: i64,
    /// Those of tokens.
    pub reported_tokens: i64,
    /// Those of money.
    pub reported_cost: PicoUsd,
}

/// What the two say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is nothing to compare with: no counters, or they stand still.
    Unknown,
    /// They agree.
    Complete,
    /// The service counted more than its rows say.
    Incomplete,
    /// The rows say more than the service counted.
    Doubled,
}

impl Coverage {
    /// Tokens in rows ÷ tokens in the service's own counters. `None` = it has counted none.
    pub fn ratio(&self) -> Option<f64> {
        (self.reported_tokens > 0).then(|| self.row_tokens as f64 / self.reported_tokens as f64)
    }

    /// What they say together: within a twentieth they agree.
    pub fn verdict(&self) -> Verdict {
        match self.ratio() {
            None => Verdict::Unknown,
            Some(ratio) if ratio < 1.0 - TOLERANCE => Verdict::Incomplete,
            Some(ratio) if ratio > 1.0 + TOLERANCE => Verdict::Doubled,
            Some(_) => Verdict::Complete,
        }
    }
}

impl Verdict {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Unknown => "unknown",
            Verdict::Complete => "complete",
            Verdict::Incomplete => "incomplete",
            Verdict::Doubled => "doubled",
        }
    }
}

/// A call is in the traces some seconds before it is in the metrics, and both are sent in intervals.
const TOLERANCE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_more_or_less_is_complete() {
        for (rows, reported, verdict) in [
            (0, 0, Verdict::Unknown),
            (100, 0, Verdict::Unknown),
            (0, 100, Verdict::Incomplete),
            (94, 100, Verdict::Incomplete),
            (95, 100, Verdict::Complete),
            (105, 100, Verdict::Complete),
            (106, 100, Verdict::Doubled),
            (200, 100, Verdict::Doubled),
        ] {
            let coverage = Coverage { row_tokens: rows, reported_tokens: reported, ..Coverage::default() };
            assert_eq!(coverage.verdict(), verdict, "{rows} of {reported}");
        }
    }
}
