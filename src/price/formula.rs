//! The formula: tokens of each kind times their price.

use super::calls::Call;
use super::cells::{Rate, Time, When, rate};
use super::table::{Entry, Line};
use crate::clock::{DAY_MS, day_utc};
use crate::event::PicoUsd;

impl<'t> Entry<'t> {
    /// What a call of the model costs. `None` where the table cannot know it: a tier of service that it does not have, what
    /// is priced apart, sums of several calls that may be in different tiers, a prompt of unknown length, or more money
    /// than there is.
    pub(super) fn cost(self, call: &Call<'_>) -> Option<PicoUsd> {
        let line = self.line(call)?;
        if !call.is_input_known || call.besides.is_any_of(line.apart()) {
            return None;
        }
        let price = |cell: &str| rate(cell, call.input).ok().filter(|rate| call.is_one || !rate.is_of_tier);
        let or = |cell: &str, other: Rate| if cell.is_empty() { Some(other) } else { price(cell) };
        let input = price(line.input())?;
        let cache_read = or(line.cache_read(), input)?;
        let cache_write = or(line.cache_write(), input)?;
        let cache_write_1h = or(line.cache_write_1h(), cache_write)?;
        // Where an answer has no price, as with embeddings, there is to be none.
        let output = match line.output() {
            "" if call.output == 0 => input,
            cell => price(cell)?,
        };
        let sum: u128 = [
            (call.plain, input),
            (call.cache_read, cache_read),
            (call.cache_write, cache_write),
            (call.cache_write_1h, cache_write_1h),
            (call.output, output),
        ]
        .into_iter()
        .map(|(tokens, rate)| u128::from(tokens) * u128::from(rate.pico_usd))
        .sum();
        i64::try_from(sum).ok().map(PicoUsd)
    }

    /// The line for the tier of service: of those that hold at the time of the call the last. Where none does, that is the
    /// first, if the tier is the usual one.
    fn line(self, call: &Call<'_>) -> Option<Line<'t>> {
        let of_tier = || self.lines().filter_map(|line| Some((line, When::parse(line.when()).ok()?)));
        let of_tier = || of_tier().filter(|(_, when)| when.tier == call.service_tier);
        let last = of_tier().filter(|(_, when)| holds(when.time, call.timestamp_ms)).last();
        let first = || of_tier().next().filter(|_| call.service_tier.is_none());
        last.or_else(first).map(|(line, _)| line)
    }
}

fn holds(time: Time<'_>, timestamp_ms: i64) -> bool {
    match time {
        Time::Any => true,
        Time::From(day) => day_utc(timestamp_ms).as_str() >= day,
        Time::Daily(from, to) => {
            let minute = timestamp_ms.rem_euclid(DAY_MS) / 60_000;
            (i64::from(from)..i64::from(to)).contains(&minute)
        }
    }
}
