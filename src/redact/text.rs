//! The bytes of a text, and the small questions that every rule asks of them. None looks farther than it must.

use super::{MARK, Secret};

/// A text, as bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

/// Sets of bytes, to be joined with `|`.
pub(super) type Set = u8;
pub(super) const LOWER: Set = 1;
pub(super) const UPPER: Set = 2;
pub(super) const DIGIT: Set = 4;
/// `a` to `f` and digits.
pub(super) const HEX: Set = 8;
pub(super) const DASH: Set = 16;
pub(super) const UNDERSCORE: Set = 32;
pub(super) const DOT: Set = 64;
/// What base64 has besides: `+`, `/` and `=`.
pub(super) const BASE64: Set = 128;
pub(super) const ALNUM: Set = LOWER | UPPER | DIGIT;
/// What may be in a name, and in base64 for URLs.
pub(super) const WORD: Set = ALNUM | DASH | UNDERSCORE;

static SETS: [Set; 256] = {
    let mut sets = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        sets[byte] = match byte as u8 {
            b'a'..=b'f' => LOWER | HEX,
            b'g'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => DIGIT | HEX,
            b'-' => DASH,
            b'_' => UNDERSCORE,
            b'.' => DOT,
            b'+' | b'/' | b'=' => BASE64,
            _ => 0,
        };
        byte += 1;
    }
    sets
};

pub(super) fn is_in(byte: u8, set: Set) -> bool {
    SETS[usize::from(byte)] & set != 0
}

impl<'a> Bytes<'a> {
    /// The byte there; 0 where there is none, which no text that is stored has.
    pub(super) fn at(self, place: usize) -> u8 {
        self.0.get(place).copied().unwrap_or(0)
    }

    /// The byte before; 0 at the start.
    pub(super) fn before(self, place: usize) -> u8 {
        place.checked_sub(1).map_or(0, |place| self.at(place))
    }

    pub(super) fn slice(self, start: usize, end: usize) -> &'a [u8] {
        self.0.get(start..end).unwrap_or_default()
    }

    pub(super) fn has(self, place: usize, text: &[u8]) -> bool {
        self.0.get(place..).is_some_and(|rest| rest.starts_with(text))
    }

    /// The same, in any case; `text` is in lower case.
    pub(super) fn has_word(self, place: usize, text: &[u8]) -> bool {
        self.0.get(place..place + text.len()).is_some_and(|word| word.eq_ignore_ascii_case(text))
    }

    /// The end of the bytes from `start` on for which `goes_on` holds, at most `max` of them.
    pub(super) fn end_of(self, start: usize, max: usize, goes_on: impl Fn(u8) -> bool) -> usize {
        let rest = self.0.get(start..).unwrap_or_default();
        let rest = &rest[..rest.len().min(max)];
        let length = rest.iter().position(|byte| !goes_on(*byte)).unwrap_or(rest.len());
        count(length + 1);
        start + length
    }

    /// The same for the bytes of a set, all of them.
    pub(super) fn run(self, start: usize, set: Set) -> usize {
        self.end_of(start, usize::MAX, |byte| is_in(byte, set))
    }

    /// Whether at least `min` bytes of a set stand there.
    pub(super) fn has_run(self, start: usize, min: usize, set: Set) -> bool {
        self.end_of(start, min, |byte| is_in(byte, set)) == start + min
    }

    /// Where the bytes begin that end before `end` and for which `goes_on` holds: at most `max`, and none before `floor`.
    pub(super) fn start_of(self, end: usize, floor: usize, max: usize, goes_on: impl Fn(u8) -> bool) -> usize {
        let floor = floor.max(end.saturating_sub(max));
        let before = self.slice(floor, end);
        let length = before.iter().rev().position(|byte| !goes_on(*byte)).unwrap_or(before.len());
        count(length + 1);
        end - length
    }

    /// Whether a word may begin here: no letter or digit stands before it, unless it ends an escape (`\n`, `\u0022`,
    /// `%3D`, or the colour of a terminal).
    pub(super) fn begins_word(self, start: usize) -> bool {
        let before = self.before(start);
        if !is_in(before, ALNUM) {
            return true;
        }
        let place = start - 1;
        let hex = |digits: usize| {
            let first = start.saturating_sub(digits);
            self.slice(first, start).iter().all(u8::is_ascii_hexdigit)
        };
        let escape = |letters: &[u8]| letters.contains(&before) && self.before(place) == b'\\';
        escape(b"nrtbf")
            || (hex(2) && self.before(start.saturating_sub(2)) == b'%')
            || (hex(4) && start >= 6 && self.has(start - 6, b"\\u"))
            || (before == b'm' && {
                let numbers = self.start_of(place, 0, 8, |byte| byte == b';' || byte.is_ascii_digit());
                self.before(numbers) == b'['
            })
    }

    /// Whether a mark stands here: what looks like a secret up to it is the rest of something that was none as a whole.
    pub(super) fn is_marked(self, place: usize) -> bool {
        self.has(place, MARK.as_bytes())
    }

    /// The same secret, unless its first byte is the second of an escape of JSON: that stays.
    pub(super) fn without_half_an_escape(self, secret: Secret) -> Secret {
        if self.before(secret.start) != b'\\' || !b"nrtbf".contains(&self.at(secret.start)) {
            return secret;
        }
        let start = self.start_of(secret.start, 0, usize::MAX, |byte| byte == b'\\');
        let is_half = (secret.start - start) % 2 == 1;
        Secret { start: secret.start + usize::from(is_half), ..secret }
    }
}

#[cfg(test)]
thread_local! {
    /// How many bytes were looked at.
    pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Notes, for tests, that bytes were looked at.
#[inline]
pub(super) fn count(_bytes: usize) {
    #[cfg(test)]
    STEPS.with(|steps| {
        steps.set(steps.get() + _bytes);
        // A test of what is quadratic should not wait for its end.
        assert!(steps.get() < 1 << 31, "too much work");
    });
}
