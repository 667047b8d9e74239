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
    /// Adds calls, tokens and pico-dollars: of rows, and of counters. Sums stop at the largest integer.
    pub fn add(&mut self, rows: [i64; 3], reported: [i64; 3]) {
        let sums = [
            &mut self.row_calls,
            &mut self.row_tokens,
            &mut self.row_cost.0,
            &mut self.reported_calls,
            &mut self.reported_tokens,
            &mut self.reported_cost.0,
        ];
        sums.into_iter().zip(rows.into_iter().chain(reported)).for_each(|(sum, more)| *sum = sum.saturating_add(more));
    }

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
        let percent = |ratio: Option<f64>| ratio.map_or(0.0, |ratio| (ratio * 100.0).round());
        let (tokens, calls) = (self.ratio(), self.ratio_of_calls());
        // Of the two, the one that is further off in the direction of the verdict.
        let by_calls = |is_further: fn(f64, f64) -> bool| match (tokens, calls) {
            (Some(tokens), Some(calls)) => is_further(calls, tokens),
            (tokens, _) => tokens.is_none(),
        };
        let share = |by_calls: bool| match by_calls {
            true => format!("rows have {} % of the calls that the agent itself counted", percent(calls)),
            false => format!("rows have {} % of the tokens that the agent itself counted", percent(tokens)),
        };
        match self.verdict() {
            Verdict::Unknown | Verdict::Complete => None,
            Verdict::Incomplete if self.row_calls == 0 && self.row_tokens == 0 => Some(
                "spend incomplete: metrics arrived and no traces; the agent exports no traces (diagnostics.otel.traces), \
                 or samples them away (its quick start sets sampleRate 0.2)"
                    .to_owned(),
            ),
            Verdict::Incomplete => Some(format!(
                "spend incomplete: {}; the agent may be sampling (its quick start sets sampleRate 0.2), or metrics \
                 arrived without traces",
                share(by_calls(|calls, tokens| calls < tokens))
            )),
            Verdict::Doubled => Some(format!(
                "spend may be counted twice: {}; /compact and local runs are in no metric of tokens, and calls of the last \
                 minute are not in it yet",
                share(by_calls(|_, _| false))
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
        let coverage = |tokens: (i64, i64), calls: (i64, i64)| Coverage {
            row_tokens: tokens.0,
            reported_tokens: tokens.1,
            row_calls: calls.0,
            reported_calls: calls.1,
            ..Coverage::default()
        };
        for (tokens, calls, wanted) in [
            ((20, 100), (1, 0), "spend incomplete: rows have 20 % of the tokens"),
            ((20, 100), (1, 10), "spend incomplete: rows have 10 % of the calls"),
            ((100, 0), (1, 5), "spend incomplete: rows have 20 % of the calls"),
            ((0, 100), (0, 0), "spend incomplete: metrics arrived and no traces"),
            ((0, 0), (0, 1), "spend incomplete: metrics arrived and no traces"),
            ((130, 100), (1, 0), "spend may be counted twice: rows have 130 % of the tokens"),
            ((100, 0), (2, 1), "spend may be counted twice: rows have 200 % of the calls"),
        ] {
            let reason = coverage(tokens, calls).reason().unwrap();
            assert!(reason.starts_with(wanted), "{reason}");
        }
        let silent = [((100, 100), (1, 1)), ((100, 0), (1, 0))];
        assert!(silent.into_iter().all(|(tokens, calls)| coverage(tokens, calls).reason().is_none()));
    }
}
