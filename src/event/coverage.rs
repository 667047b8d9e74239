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
        ratio(self.row_tokens, self.reported_tokens)
    }

    /// Calls in rows ÷ calls in the service's own counters. `None` = it has counted none.
    pub fn ratio_of_calls(&self) -> Option<f64> {
        ratio(self.row_calls, self.reported_calls)
    }

    /// What they say together: within a twentieth they agree. Fewer calls or fewer tokens are too few; too many
    /// tokens are too many only if the calls do not agree, since some calls (OpenClaw's local runs and its /compact) are in
    /// no counter of tokens.
    pub fn verdict(&self) -> Verdict {
        let (tokens, calls) = (self.ratio(), self.ratio_of_calls());
        let is_less = |ratio: f64| ratio < 1.0 - TOLERANCE;
        let is_more = |ratio: f64| ratio > 1.0 + TOLERANCE;
        match (tokens, calls) {
            (None, None) => Verdict::Unknown,
            _ if tokens.is_some_and(is_less) || calls.is_some_and(is_less) => Verdict::Incomplete,
            _ if tokens.or(calls).is_some_and(is_more) && calls.is_none_or(is_more) => Verdict::Doubled,
            _ => Verdict::Complete,
        }
    }

    /// What it means that they do not agree, and why it may be; `None` when nothing says that they do not.
    pub fn reason(&self) -> Option<String> {
        let percent = (self.ratio()? * 100.0).round();
        match self.verdict() {
            Verdict::Unknown | Verdict::Complete => None,
            Verdict::Incomplete if self.row_calls == 0 && self.row_tokens == 0 => Some(
                "spend incomplete: metrics arrived and no traces; the agent exports no traces (diagnostics.otel.traces), \
                 or its sampling left none"
                    .to_owned(),
            ),
            Verdict::Incomplete => Some(format!(
                "spend incomplete: rows have {percent} % of the tokens that the agent itself counted; the agent may be \
                 sampling (its quick start sets sampleRate 0.2), or metrics arrived without traces"
            )),
            Verdict::Doubled => Some(format!(
                "rows have {percent} % of the tokens that the agent itself counted: /compact and local runs are in no \
                 metric, calls of the last minute are not in it yet, or calls are counted twice"
            )),
        }
    }
}

fn ratio(rows: i64, reported: i64) -> Option<f64> {
    (reported > 0).then(|| rows as f64 / reported as f64)
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
        // Tokens in rows and in counters, calls likewise.
        for (tokens, calls, verdict) in [
            ((0, 0), (0, 0), Verdict::Unknown),
            ((100, 0), (1, 0), Verdict::Unknown),
            ((0, 100), (0, 0), Verdict::Incomplete),
            ((0, 0), (0, 1), Verdict::Incomplete),
            ((94, 100), (0, 0), Verdict::Incomplete),
            ((95, 100), (0, 0), Verdict::Complete),
            ((105, 100), (0, 0), Verdict::Complete),
            ((106, 100), (0, 0), Verdict::Doubled),
            ((100, 100), (1, 5), Verdict::Incomplete),
            ((200, 100), (5, 5), Verdict::Complete),
            ((200, 100), (10, 5), Verdict::Doubled),
            ((100, 100), (10, 5), Verdict::Complete),
            ((100, 0), (10, 5), Verdict::Doubled),
        ] {
            let coverage = Coverage {
                row_tokens: tokens.0,
                reported_tokens: tokens.1,
                row_calls: calls.0,
                reported_calls: calls.1,
                ..Coverage::default()
            };
            assert_eq!(coverage.verdict(), verdict, "{coverage:?}");
        }
    }

    #[test]
    fn a_disagreement_says_how_large_it_is_and_why_it_may_be() {
        let coverage = |calls, rows, reported| Coverage {
            row_calls: calls,
            row_tokens: rows,
            reported_tokens: reported,
            ..Coverage::default()
        };
        for (calls, rows, reported, wanted) in [
            (1, 20, 100, "spend incomplete: rows have 20 % of the tokens"),
            (0, 0, 100, "spend incomplete: metrics arrived and no traces"),
            (1, 130, 100, "rows have 130 % of the tokens"),
        ] {
            let reason = coverage(calls, rows, reported).reason().unwrap();
            assert!(reason.starts_with(wanted), "{reason}");
        }
        assert_eq!((coverage(1, 100, 100).reason(), coverage(1, 100, 0).reason()), (None, None));
    }
}
