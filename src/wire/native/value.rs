//! Single JSON values, given as the text that serde_json has found to be one.
//!
//! Read from the text itself: no number passes through a float, and no value is decoded that nobody asks for.

use std::borrow::Cow;

use crate::jsontext::{unescape, unquoted};

/// The largest number that every JSON reader holds exactly: 2^53 - 1.
pub(super) const INTEGER_MAX: i64 = (1 << 53) - 1;

/// A whole number from 0 to [`INTEGER_MAX`]: a JSON number of integral value (`3`, `3.0`, `3e2`), or
/// a string of decimal digits.
pub(super) fn integer(raw: &str) -> Option<i64> {
    match unquoted(raw) {
        Some(text) if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) => None,
        Some(digits) => integral(digits),
        None if is_number(raw) => integral(raw),
        None => None,
    }
}

/// The whole number nearest to a JSON number from 0 to [`INTEGER_MAX`], halves up; or what [`integer`] takes.
pub(super) fn rounded(raw: &str) -> Option<i64> {
    if !is_number(raw) {
        return integer(raw);
    }
    let Decimal { negative, whole, tenths, fraction } = Decimal::parse(raw);
    let number = whole + i64::from(tenths >= 5);
    let zero = whole == 0 && !fraction;
    (number <= INTEGER_MAX && (zero || !negative)).then_some(number)
}

/// The number that a JSON number's text stands for, if it is in range and has no fraction.
fn integral(number: &str) -> Option<i64> {
    let Decimal { negative, whole, fraction, .. } = Decimal::parse(number);
    (!fraction && whole <= INTEGER_MAX && (whole == 0 || !negative)).then_some(whole)
}

/// What the text of a JSON number says.
struct Decimal {
    negative: bool,
    /// The digits before the point; above [`INTEGER_MAX`] only that it is.
    whole: i64,
    /// The first digit behind the point.
    tenths: u8,
    /// Whether any digit behind the point is not 0.
    fraction: bool,
}

impl Decimal {
    /// Reads a text that serde_json has found to be a number, or decimal digits.
    fn parse(number: &str) -> Decimal {
        let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        // An exponent of more digits than that is past every body's length: only its sign matters.
        let past = if exponent.starts_with('-') { i32::MIN } else { i32::MAX };
        let exponent = exponent.parse::<i32>().unwrap_or(past);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut decimal = Decimal { negative, whole: 0, tenths: 0, fraction: false };
        // How many digits still come before the decimal point.
        let mut before_point = whole.len() as i64 + i64::from(exponent);
        for digit in whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0') {
            match before_point {
                1.. => decimal.whole = (decimal.whole * 10 + i64::from(digit)).min(INTEGER_MAX + 1),
                0 => decimal.tenths = digit,
                _ => {}
            }
            decimal.fraction |= before_point <= 0 && digit != 0;
            before_point -= 1;
        }
        while before_point > 0 && (1..=INTEGER_MAX).contains(&decimal.whole) {
            decimal.whole = (decimal.whole * 10).min(INTEGER_MAX + 1);
            before_point -= 1;
        }
        decimal
    }
}

/// A boolean: `true`, `false`, 1 or 0.
pub(super) fn flag(raw: &str) -> Option<bool> {
    match raw {
        "true" | "1" | "\"true\"" | "\"1\"" => Some(true),
        "false" | "0" | "\"false\"" | "\"0\"" => Some(false),
        _ => None,
    }
}

/// A string; or a number, as the text that stands for it (ids are often numbers).
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match unquoted(raw) {
        Some(inner) => Some(unescape(inner)),
        None => is_number(raw).then_some(Cow::Borrowed(raw)),
    }
}

/// A string, or any other value as compact JSON.
pub(super) fn content(raw: &str) -> Cow<'_, str> {
    match unquoted(raw) {
        Some(inner) => unescape(inner),
        None => {
            let mut compacted = String::with_capacity(raw.len());
            compact(raw, &mut compacted);
            Cow::Owned(compacted)
        }
    }
}

/// Appends the value without white space between its tokens, with every string made storable as [`unescape`] does, and
/// with numbers beyond a double as strings: most readers refuse a whole document for one of those. Returns how deep it
/// is nested (a number: 0).
pub(super) fn compact(raw: &str, out: &mut String) -> usize {
    let bytes = raw.as_bytes();
    let (mut depth, mut deepest) = (0usize, 0);
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at = match byte {
            b'"' => string_end(bytes, at),
            b'-' | b'0'..=b'9' => number_end(bytes, at),
            _ => at + 1,
        };
        match byte {
            b'"' if !raw[start..at].contains('\\') => out.push_str(&raw[start..at]),
            b'"' => push_string(&unescape(&raw[start + 1..at - 1]), out),
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b'-' | b'0'..=b'9' => {
                let is_double = raw[start..at].parse().is_ok_and(f64::is_finite);
                if is_double { out.push_str(&raw[start..at]) } else { push_string(&raw[start..at], out) }
            }
            _ => {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                out.push(byte as char);
            }
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Appends `text` as a JSON string.
pub(super) fn push_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push(char::REPLACEMENT_CHARACTER),
            '\x01'..'\x20' => out.push_str(&format!("\\u{:04x}", c as u32)),
            _ => out.push(c),
        }
    }
    out.push('"');
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// Where the number ends that starts at `start`.
fn number_end(bytes: &[u8], start: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    start + bytes[start..].iter().take_while(|byte| is_part(byte)).count()
}

/// Where the string ends that starts at `start`, its closing quote included.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_integral_numbers_or_strings_of_digits_up_to_two_to_the_53() {
        for (raw, number) in [
            ("0", 0),
            ("1.0", 1),
            ("1e3", 1000),
            ("1.5E+1", 15),
            ("1500e-2", 15),
            ("-0", 0),
            ("-0.0", 0),
            ("0e99", 0),
            ("0e99999999999", 0),
            ("0.0E-99999999999", 0),
            ("\"42\"", 42),
            ("\"007\"", 7),
            ("9007199254740991", INTEGER_MAX),
            ("\"9007199254740991\"", INTEGER_MAX),
            ("9007199254740991.000", INTEGER_MAX),
            ("0.9007199254740991e16", INTEGER_MAX),
        ] {
            assert_eq!(integer(raw), Some(number), "{raw}");
        }
        for raw in [
            "-1",
            "1.5",
            "1e-1",
            "9007199254740992",
            "1e16",
            "1e400",
            "1e99999999999",
            "1e-99999999999",
            "99999999999999999999999",
            "\"\"",
            "\"1.0\"",
            "\"-1\"",
            "\"+1\"",
            "\" 1\"",
            "\"9007199254740992\"",
            "true",
            "null",
            "[1]",
            "{}",
        ] {
            assert_eq!(integer(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_rounded_number_is_the_nearest_whole_one_and_halves_go_up() {
        for (raw, number) in [
            ("517", 517),
            ("517.3", 517),
            ("517.29999999999995", 517),
            ("517.49999999999999999999", 517),
            ("517.5", 518),
            ("517.50000000000001", 518),
            ("0.5", 1),
            ("0.05", 0),
            ("5173e-1", 517),
            ("5e-1", 1),
            ("5e-2", 0),
            ("0.5173E3", 517),
            ("1e-99999999999", 0),
            ("-0.0", 0),
            ("\"517\"", 517),
            ("9007199254740991.4", INTEGER_MAX),
        ] {
            assert_eq!(rounded(raw), Some(number), "{raw}");
        }
        for raw in ["-0.1", "-1", "9007199254740991.5", "9e99", "\"517.3\"", "\"\"", "true", "null", "[1]"] {
            assert_eq!(rounded(raw), None, "{raw}");
        }
    }

    #[test]
    fn compact_json_keeps_the_value_and_tells_its_depth() {
        for (raw, compacted, depth) in [
            ("1e9", "1e9", 0),
            ("\"a b\"", "\"a b\"", 0),
            ("[ 1,\r\n\t[ ] ]", "[1,[]]", 2),
            (r#"{ "a b" : "c\" ]d", "e" : {"f":[null]} }"#, r#"{"a b":"c\" ]d","e":{"f":[null]}}"#, 3),
            (r#"["\u0000\ud83d","\\"]"#, "[\"\u{fffd}\u{fffd}\",\"\\\\\"]", 1),
            (r#""\u0001\u001f""#, r#""\u0001\u001f""#, 0),
            ("[-0.5e-3,1e308,-1.8E308,1e929]", r#"[-0.5e-3,1e308,"-1.8E308","1e929"]"#, 1),
        ] {
            let mut out = String::new();
            assert_eq!(compact(raw, &mut out), depth, "{raw}");
            assert_eq!(out, compacted);
        }
    }
}
