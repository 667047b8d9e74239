//! Money, exactly.

use std::fmt;

/// Money: 1e-12 US dollars, so that a price per million tokens with six decimals is exact per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PicoUsd(pub i64);

impl PicoUsd {
    /// Reads a decimal number of dollars as JSON writes it (`0.001575`, `1.5e-6`), exactly; what is
    /// finer than a pico-dollar is rounded half up. `None` if it is below 0, no such number, or
    /// above 9.2 million dollars.
    pub fn parse_usd(text: &str) -> Option<PicoUsd> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() || (mantissa.contains('.') && fraction.is_empty()) {
            return None;
        }
        let mut pico: i128 = 0;
        let mut round_up = false;
        // The power of ten of each digit, in pico-dollars, falls by one from digit to digit.
        let mut power = (whole.len() as i64 - 1) + i64::from(exponent) + 12;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if !digit.is_ascii_digit() || (negative && digit != b'0') {
                return None;
            }
            let digit = i128::from(digit - b'0');
            match power {
                0..=19 => pico += digit * 10i128.pow(power as u32),
                -1 => round_up = digit >= 5,
                20.. if digit != 0 => return None,
                _ => {}
            }
            power -= 1;
        }
        i64::try_from(pico + i128::from(round_up)).ok().map(PicoUsd)
    }
}

impl PicoUsd {
    /// The same in dollars, as near as a float comes to it.
    pub fn usd(self) -> f64 {
        self.0 as f64 / PICO_PER_USD as f64
    }
}

/// Dollars, exactly, as JSON writes a number: `12.5`.
impl fmt::Display for PicoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dollars, rest) = (self.0 / PICO_PER_USD, (self.0 % PICO_PER_USD).abs());
        let sign = if self.0 < 0 && dollars == 0 { "-" } else { "" };
        if rest == 0 {
            return write!(f, "{dollars}");
        }
        let fraction = format!("{rest:012}");
        write!(f, "{sign}{dollars}.{}", fraction.trim_end_matches('0'))
    }
}

const PICO_PER_USD: i64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_pico_dollars_exactly() {
        for (text, pico) in [
            ("0", 0),
            ("0.001575", 1_575_000_000),
            ("1.5e-6", 1_500_000),
            ("1E-12", 1),
            ("0.0000000000005", 1),
            ("0.0000000000004", 0),
            ("12", 12_000_000_000_000),
            ("1e0", 1_000_000_000_000),
            ("9223372.036854775807", i64::MAX),
            ("0e400", 0),
            ("1e-400", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("-0e0", 0),
        ] {
            assert_eq!(PicoUsd::parse_usd(text), Some(PicoUsd(pico)), "{text}");
        }
        for text in [
            "", "-", "--0", "-1", "-0.5", "-1e-13", ".5", "1.", "x", "1e", "NaN", "inf", "9223373", "1e7", "1e400",
            "1.2.3",
        ] {
            assert_eq!(PicoUsd::parse_usd(text), None, "{text}");
        }
    }

    #[test]
    fn money_is_written_exactly_and_read_again() {
        for (pico, text) in [
            (0, "0"),
            (1, "0.000000000001"),
            (12_500_000_000_000, "12.5"),
            (-1_500_000_000_000, "-1.5"),
            (-500_000_000_000, "-0.5"),
            (i64::MAX, "9223372.036854775807"),
        ] {
            assert_eq!(PicoUsd(pico).to_string(), text);
            assert!(pico < 0 || PicoUsd::parse_usd(text) == Some(PicoUsd(pico)), "{text}");
        }
        assert_eq!(PicoUsd(12_500_000_000_000).usd(), 12.5);
    }
}
