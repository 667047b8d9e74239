//! The table that is compiled in, files, and what becomes of calls.

use std::sync::LazyLock;

use super::*;
use crate::event::{PicoUsd, Unit};

mod files;
mod fill;
mod lookup;

const NOW_MS: i64 = 1_795_458_732_000;

/// The table that is compiled in, read once.
fn embedded() -> &'static Prices {
    static PRICES: LazyLock<Prices> = LazyLock::new(Prices::embedded);
    &PRICES
}

/// A call of 1000 tokens in and 100 out.
fn call(provider: &str, model: &str) -> LlmTrace {
    LlmTrace {
        timestamp_ms: NOW_MS,
        provider: (!provider.is_empty()).then(|| provider.into()),
        request_model: model.into(),
        input_tokens: Some(1000),
        output_tokens: Some(100),
        ..LlmTrace::default()
    }
}

/// What it costs, in pico-dollars.
fn cost(prices: &Prices, mut trace: LlmTrace) -> Option<i64> {
    let filled = prices.fill(&mut trace);
    assert_eq!(filled == Filled::Priced, trace.cost.is_some());
    assert_eq!(filled == Filled::Priced, trace.cost_source == CostSource::Table);
    assert_eq!(filled == Filled::Priced, trace.price_version.is_some());
    trace.cost.map(|PicoUsd(pico)| pico)
}

/// The start of a day, as `2026-11-24`.
fn day_ms(day: &str) -> i64 {
    let starts = (0..40_000).map(|days| days * 86_400_000);
    starts.into_iter().find(|ms| crate::clock::rfc3339_utc(*ms).starts_with(day)).unwrap()
}
