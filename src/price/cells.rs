//! What stands in the columns of a table: conditions and prices.

use std::str::FromStr;

/// The largest price, US dollars per million tokens. The dearest model costs 600.
const DOLLARS_MAX: u64 = 1_000_000;
/// Decimals of a price: with six of them a price per token is a whole number of pico-dollars.
const DECIMALS_MAX: usize = 6;

/// Why a cell is none: where in it, in bytes, and what would have been right.
pub(super) type Wrong = (usize, &'static str);

/// Pico-dollars per token, of the prices that stand in a cell as `1.25` or `1.25>200000:2.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// 1e-12 US dollars per token.
    pub(super) pico_usd: u64,
    /// Whether it is that of a tier: of prompts with more tokens than the tier begins with.
    pub(super) is_of_tier: bool,
}

/// The price for a call with so many tokens in its prompt: all of them at one price.
pub(super) fn rate(cell: &str, input: u64) -> Result<Rate, Wrong> {
    let base = cell.split('>').next().unwrap_or_default();
    let mut rate = Rate { pico_usd: price(base).map_err(|wanted| (0, wanted))?, is_of_tier: false };
    let mut at = base.len();
    let mut before = None;
    while let Some(rest) = cell[at..].strip_prefix('>') {
        let tier = rest.split('>').next().unwrap_or_default();
        let (start, dollars) = tier.split_once(':').ok_or((at + 1, "a number of tokens, a colon and a price"))?;
        let start = number::<u64>(start).filter(|start| before.is_none_or(|before| *start > before));
        let start = start.ok_or((at + 1, "a number of tokens, above that of the tier before"))?;
        let price = price(dollars).map_err(|wanted| (at + 1 + tier.len() - dollars.len(), wanted))?;
        if input > start {
            rate = Rate { pico_usd: price, is_of_tier: true };
        }
        before = Some(start);
        at += 1 + tier.len();
    }
    Ok(rate)
}

/// When the prices of a line hold: `batch`, `2026-10-14`, `00:30-16:30` (UTC), or a tier of service and one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When<'a> {
    /// The tier of service; `None` = the usual one.
    pub(super) tier: Option<&'a str>,
    /// At what time.
    pub(super) time: Time<'a>,
}

/// At what time the prices of a line hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Time<'a> {
    /// At any.
    Any,
    /// From a day on, as `2026-10-14`.
    From(&'a str),
    /// Every day from one minute to before another.
    Daily(u16, u16),
}

impl When<'_> {
    /// Reads a cell.
    pub(super) fn parse(cell: &str) -> Result<When<'_>, Wrong> {
        let mut when = When { tier: None, time: Time::Any };
        let mut at = 0;
        for word in cell.split(' ').filter(|_| !cell.is_empty()) {
            match time(word) {
                Some(time) if when.time == Time::Any => when.time = time,
                None if at == 0 && is_tier(word) => when.tier = Some(word),
                _ => return Err((at, WHEN)),
            }
            at += word.len() + 1;
        }
        Ok(when)
    }
}

const WHEN: &str = "nothing, a tier of service, a day (2026-10-14), hours (00:30-16:30), or a tier and one of the two";

fn is_tier(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'-')
}

fn time(word: &str) -> Option<Time<'_>> {
    match word.as_bytes() {
        [_, _, _, _, b'-', _, _, b'-', _, _] => {
            let (month, day) = (number::<u8>(&word[5..7])?, number::<u8>(&word[8..])?);
            let is_day = word[..4].bytes().all(|b| b.is_ascii_digit()) && (1..=12).contains(&month);
            (is_day && (1..=31).contains(&day)).then_some(Time::From(word))
        }
        [_, _, b':', _, _, b'-', _, _, b':', _, _] => {
            let (from, to) = (minute(&word[..5])?, minute(&word[6..])?);
            (from < to).then_some(Time::Daily(from, to))
        }
        _ => None,
    }
}

fn minute(clock: &str) -> Option<u16> {
    let (hour, minute) = (number::<u16>(&clock[..2])?, number::<u16>(&clock[3..])?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

/// A whole number, of digits alone.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// US dollars per million tokens are millionths of a dollar per token: as pico-dollars, six digits more.
fn price(text: &str) -> Result<u64, &'static str> {
    const WANTED: &str = "a price in US dollars per million tokens";
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return Err(WANTED);
    }
    if decimals.len() > DECIMALS_MAX {
        return Err("a price with at most six decimals");
    }
    let whole = whole.parse::<u64>().ok().filter(|dollars| *dollars <= DOLLARS_MAX);
    let whole = whole.ok_or("a price of at most 1000000 US dollars per million tokens")?;
    let scale = 10u64.pow((DECIMALS_MAX - decimals.len()) as u32);
    Ok(whole * 1_000_000 + decimals.parse::<u64>().map_err(|_| WANTED)? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_begins_above_its_number_of_tokens_and_is_for_the_whole_call() {
        let cell = "1.25>200000:2.5>1000000:3";
        let rate = |input| rate(cell, input).unwrap();
        for (input, pico_usd, is_of_tier) in [
            (0, 1_250_000, false),
            (200_000, 1_250_000, false),
            (200_001, 2_500_000, true),
            (1_000_000, 2_500_000, true),
            (u64::MAX, 3_000_000, true),
        ] {
            assert_eq!(rate(input), Rate { pico_usd, is_of_tier }, "{input}");
        }
    }

    #[test]
    fn a_price_has_six_decimals_at_most_and_a_wrong_one_is_pointed_at() {
        for (text, pico_usd) in [("0", 0), ("0.000001", 1), ("3.75", 3_750_000), ("1000000", 1_000_000_000_000)] {
            assert_eq!(rate(text, 0).unwrap().pico_usd, pico_usd, "{text}");
        }
        for (text, at) in [
            ("", 0),
            ("-1", 0),
            ("$3", 0),
            (".5", 0),
            ("3.", 0),
            ("1e3", 0),
            ("0.0000001", 0),
            ("1000001", 0),
            ("99999999999999999999", 0),
            ("1>", 2),
            ("1>200:", 6),
            ("1>200:2>", 8),
            ("1>200:2>200:3", 8),
            ("1>2k:3", 2),
            ("1>200:x", 6),
        ] {
            assert_eq!(rate(text, 0).unwrap_err().0, at, "{text}");
        }
    }

    #[test]
    fn a_condition_is_a_tier_a_day_hours_or_a_tier_with_one_of_these() {
        let when = |cell| When::parse(cell).map(|when| (when.tier, when.time));
        assert_eq!(when(""), Ok((None, Time::Any)));
        assert_eq!(when("batch"), Ok((Some("batch"), Time::Any)));
        assert_eq!(when("2026-10-14"), Ok((None, Time::From("2026-10-14"))));
        assert_eq!(when("flex 2026-10-14"), Ok((Some("flex"), Time::From("2026-10-14"))));
        assert_eq!(when("00:30-16:30"), Ok((None, Time::Daily(30, 990))));
        for (cell, at) in [
            (" ", 0),
            ("2026-13-01", 0),
            ("2026-1-1", 0),
            ("16:30-00:30", 0),
            ("24:00-25:00", 0),
            ("Batch", 0),
            ("batch flex", 6),
            ("2026-10-14 2026-10-15", 11),
            ("2026-10-14 batch", 11),
            ("batch ", 6),
        ] {
            assert_eq!(When::parse(cell).unwrap_err().0, at, "{cell}");
        }
    }
}
