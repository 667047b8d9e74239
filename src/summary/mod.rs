//! What the calls of some time came to: what is asked ([`Question`]) and what is answered ([`Summary`]).
//!
//! The answer is its own JSON, the same over HTTP and from a file (docs/wire.md): whoever shows it reads that.

mod question;

use serde::{Deserialize, Serialize};

use crate::clock::day_utc;
use crate::event::{Coverage, Histogram, PicoUsd};

pub use question::{Dimension, Fault, Question};

/// The most groups that are answered one by one; what is left is one line with the name [`OTHER`]. Two dimensions of a
/// week have some hundred, and so many lines are about half a megabyte of JSON.
pub const GROUPS_MAX: usize = 1000;

/// The name of what is left.
pub const OTHER: &str = "(other)";

/// Names of models without a price that are told: enough to see what is wrong with the table.
pub const UNPRICED_MODELS_MAX: usize = 10;

/// What the calls of some time came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Start of the first hour that is in it.
    pub since: String,
    /// End of the last.
    pub until: String,
    /// By what it is grouped.
    pub by: Vec<String>,
    /// The first hour of which anything is known at all; `None` when nothing was ever recorded.
    pub recorded_since: Option<String>,
    /// All of it.
    pub total: Line,
    /// The groups: the later ones of a time after the earlier, then the dearest first.
    pub rows: Vec<Line>,
    /// Models of which calls have tokens and no cost, those with the most such calls first.
    pub unpriced_models: Vec<String>,
    /// What the services counted themselves.
    pub coverage: Vec<ServiceCoverage>,
    /// What the day may cost, if anybody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<DayBudget>,
}

/// Sums of one group, or of all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What the group is; `None` what it is not grouped by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Start of the hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<String>,
    /// Who served the model; empty = not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The agent; empty = not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Its channel; empty = not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// How the calls ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Groups that this line stands for, where it is what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<u64>,
    /// Calls.
    pub calls: i64,
    /// Sums of turns that count although they are no calls.
    pub turn_sums: i64,
    /// Calls that did not end well.
    pub errors: i64,
    /// Tokens of the prompts, cached ones included.
    pub input_tokens: i64,
    /// Tokens of the answers, reasoning included.
    pub output_tokens: i64,
    /// Part of the input.
    pub cache_read_tokens: i64,
    /// Part of the input.
    pub cache_write_tokens: i64,
    /// Part of the output.
    pub reasoning_tokens: i64,
    /// What is known of the costs, dollars.
    pub cost_usd: f64,
    /// The same, exactly.
    pub cost_picousd: i64,
    /// Rows with tokens and without a cost.
    pub unpriced: i64,
    /// From start to end.
    pub latency_ms: Option<Percentiles>,
    /// From start to the first token.
    pub ttft_ms: Option<Percentiles>,
}

/// Three percentiles, milliseconds, within 5 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half took no longer.
    pub p50: i64,
    /// Nineteen of twenty.
    pub p95: i64,
    /// Ninety-nine of a hundred.
    pub p99: i64,
}

/// What rows say of a service beside what it counted itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceCoverage {
    /// `service.name`; empty = not said.
    pub service_name: String,
    /// `unknown`, `complete`, `incomplete`, `doubled`.
    pub verdict: String,
    /// Tokens in rows ÷ tokens in its counters; `None` = it counted none.
    pub ratio: Option<f64>,
    /// Only where they do not agree: why that may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Calls that are rows.
    pub row_calls: i64,
    /// Calls in its counters.
    pub reported_calls: i64,
    /// Tokens in rows.
    pub row_tokens: i64,
    /// Tokens in its counters.
    pub reported_tokens: i64,
    /// What is known of the costs of the rows, dollars.
    pub row_cost_usd: f64,
    /// Costs in its counters, dollars.
    pub reported_cost_usd: f64,
}

/// What the day (UTC) has cost of what it may. Nothing is refused because of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayBudget {
    /// Which day.
    pub day: String,
    /// `TRACE_BUDGET_DAY_USD`.
    pub limit_usd: f64,
    /// What is known of the costs of its calls.
    pub spent_usd: f64,
    /// The same, exactly.
    pub spent_picousd: i64,
    /// Of the limit.
    pub percent: f64,
    /// Whether it has reached the limit.
    pub crossed: bool,
}

impl Summary {
    /// The answer as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        match serde_json::to_vec(self) {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("text keys and derived Serialize: {error}"),
        }
    }
}

impl Percentiles {
    /// `None` when nothing was counted.
    pub fn of(times: &Histogram) -> Option<Percentiles> {
        Some(Percentiles { p50: times.quantile(0.5)?, p95: times.quantile(0.95)?, p99: times.quantile(0.99)? })
    }
}

impl ServiceCoverage {
    /// The same in words.
    pub fn of(coverage: &Coverage) -> ServiceCoverage {
        ServiceCoverage {
            service_name: coverage.service_name.to_string(),
            verdict: coverage.verdict().as_str().to_owned(),
            ratio: coverage.ratio().map(|ratio| rounded(ratio, 10_000.0)),
            reason: coverage.reason(),
            row_calls: coverage.row_calls,
            reported_calls: coverage.reported_calls,
            row_tokens: coverage.row_tokens,
            reported_tokens: coverage.reported_tokens,
            row_cost_usd: coverage.row_cost.usd(),
            reported_cost_usd: coverage.reported_cost.usd(),
        }
    }
}

impl DayBudget {
    /// Of a day that began at `day_ms`, Unix milliseconds.
    pub fn of(limit: PicoUsd, day_ms: i64, spent: PicoUsd) -> DayBudget {
        DayBudget {
            day: day_utc(day_ms),
            limit_usd: limit.usd(),
            spent_usd: spent.usd(),
            spent_picousd: spent.0,
            percent: rounded(spent.0 as f64 * 100.0 / limit.0 as f64, 10.0),
            crossed: spent >= limit,
        }
    }
}

/// To a fraction of one: a ratio with sixteen digits says no more.
fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_crossed_when_it_is_spent() {
        let dollar = 1_000_000_000_000;
        for (spent, percent, crossed) in [
            (0, 0.0, false),
            (dollar / 3, 33.3, false),
            (dollar - 1, 100.0, false),
            (dollar, 100.0, true),
            (7 * dollar, 700.0, true),
        ] {
            let budget = DayBudget::of(PicoUsd(dollar), 1_795_392_000_000, PicoUsd(spent));
            assert_eq!((budget.day.as_str(), budget.percent, budget.crossed), ("2026-11-23", percent, crossed));
        }
    }
}
