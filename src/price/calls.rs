//! The part of a call that its price depends on.

use crate::event::{Besides, LlmTrace, Unit};

/// Counts of one call, at least 0, and when and how it was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// Tokens of the prompt that came from no cache and went into none.
    pub(super) plain: u64,
    /// Tokens read from a cache.
    pub(super) cache_read: u64,
    /// Tokens written to a cache for minutes.
    pub(super) cache_write: u64,
    /// Tokens written to a cache for an hour.
    pub(super) cache_write_1h: u64,
    /// Tokens of the answer.
    pub(super) output: u64,
    /// All tokens of the prompt: what a tier begins with.
    pub(super) input: u64,
    /// Whether they are known. A price of the answer alone would be too low.
    pub(super) is_input_known: bool,
    /// Whether the counts are of one request, so that they say which tier it is.
    pub(super) is_one: bool,
    /// When it started, Unix milliseconds.
    pub(super) timestamp_ms: i64,
    /// What the provider calls the tier of service; `None` = the usual one.
    pub(super) service_tier: Option<&'a str>,
    /// What else it used.
    pub(super) besides: Besides,
}

impl Call<'_> {
    /// `None` when no tokens are known, or none were used.
    pub(super) fn of(trace: &LlmTrace) -> Option<Call<'_>> {
        let count = |count: Option<i64>| count.map_or(0, |count| count.max(0) as u64);
        let cache_read = count(trace.cache_read_tokens);
        let within_1h = count(trace.cache_write_1h_tokens);
        let written = count(trace.cache_write_tokens).max(within_1h);
        // Where the parts are more than the whole, they are what is certain.
        let cached = cache_read.saturating_add(written);
        let input = count(trace.input_tokens).max(cached);
        let call = Call {
            plain: input - cached,
            cache_read,
            cache_write: written - within_1h,
            cache_write_1h: within_1h,
            output: count(trace.output_tokens),
            input,
            is_input_known: trace.input_tokens.is_some() || cached > 0,
            is_one: trace.unit == Unit::Request,
            timestamp_ms: trace.timestamp_ms,
            service_tier: trace.service_tier.as_deref().filter(|tier| !is_usual_tier(tier)),
            besides: trace.besides,
        };
        (call.input > 0 || call.output > 0).then_some(call)
    }
}

/// Whether the usual price is for this tier of service, or the provider chose it and did not say which it was.
pub fn is_usual_tier(tier: &str) -> bool {
    USUAL_TIERS.contains(&tier)
}

const USUAL_TIERS: &[&str] = &["", "standard", "default", "auto", "on_demand", "standard_only"];
