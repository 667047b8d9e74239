//! Points in time as producers and people write them: RFC 3339, to Unix milliseconds, exactly.

use std::ops::RangeInclusive;

/// The times that are taken, Unix milliseconds: 1973-03-03 to 5138-11-16. Today's time in seconds lies below
/// (until the year 5138), and in microseconds above (since 1973): neither is ever stored as a wrong date.
pub const TAKEN_MS: RangeInclusive<i64> = 100_000_000_000..=100_000_000_000_000;

/// Unix milliseconds of an RFC 3339 date and time; finer fractions are cut off. `None` if it is no
/// such text, or a day that no calendar has. Times before 1970 are negative.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |at: usize, digits: usize| {
        let digits = bytes.get(at..at + digits)?;
        digits.iter().try_fold(0i64, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|b| wanted.contains(b));
    let separated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    if !separated {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    // RFC 3339 allows a leap second, which Unix time counts as the second after it.
    let in_range = (1..=days_in_month(year, month)).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !in_range {
        return None;
    }
    let (milliseconds, offset) = fraction(text.get(19..)?)?;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some((seconds - offset_seconds(offset)?) * 1000 + milliseconds)
}

/// Splits `.123456Z` into its milliseconds and what follows them.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(digits) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, offset) = digits.split_at(length);
    let milliseconds = digits.bytes().chain(*b"00").take(3).fold(0, |n, d| n * 10 + i64::from(d - b'0'));
    (length > 0).then_some((milliseconds, offset))
}

/// Seconds east of Greenwich of `Z`, `+02:00` or `-05:30`.
fn offset_seconds(text: &str) -> Option<i64> {
    let (sign, hours, minutes) = match text.as_bytes() {
        b"Z" | b"z" => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, [h1, h2], [m1, m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [h1, h2], [m1, m2]),
        _ => return None,
    };
    let number = |[tens, ones]: [&u8; 2]| {
        (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // A year that starts in March has its leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    // 719 468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_becomes_unix_milliseconds() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("1969-12-31T23:59:59.999Z", -1),
            ("2026-11-23T18:32:12Z", 1_795_458_732_000),
            ("2026-11-23t18:32:12.5z", 1_795_458_732_500),
            ("2026-11-23 18:32:12.123456789Z", 1_795_458_732_123),
            ("2026-11-23T20:32:12+02:00", 1_795_458_732_000),
            ("2026-11-23T13:02:12-05:30", 1_795_458_732_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(parse_rfc3339(text), Some(ms), "{text}");
        }
    }

    #[test]
    fn seconds_and_microseconds_of_a_taken_time_are_no_milliseconds_that_are_taken() {
        let ms = parse_rfc3339("2026-11-23T18:32:12Z").unwrap();
        assert!(TAKEN_MS.contains(&ms) && !TAKEN_MS.contains(&(ms / 1000)) && !TAKEN_MS.contains(&(ms * 1000)));
        for (text, bound) in [("1973-03-03T09:46:40Z", TAKEN_MS.start()), ("5138-11-16T09:46:40Z", TAKEN_MS.end())] {
            assert_eq!(parse_rfc3339(text).as_ref(), Some(bound), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_and_time_is_refused() {
        for text in [
            "",
            "2026",
            "2026-11-23",
            "2026-11-23T18:32Z",
            "2026-11-23T18:32:12",
            "2026-11-23T18:32:12.Z",
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T18:60:00Z",
            "2026-11-23T18:32:61Z",
            "2026-11-23T18:32:12+0200",
            "2026-11-23T18:32:12+24:00",
            "2026-11-23T18:32:12Zx",
            "2026-11-23T18:32:12é",
            "+026-11-23T18:32:12Z",
            "2026-11-23T18:32:12+é0:0",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_day_before() {
        let mut expected = days_since_1970(1970, 1, 1);
        assert_eq!(expected, 0);
        for year in 1970..2370 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_1970(year, month, day), expected);
                    expected += 1;
                }
            }
        }
    }
}
