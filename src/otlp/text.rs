//! Bytes that should be UTF-8, made into text of bounded length without secrets.

use std::borrow::Cow;

use crate::redact::{self, LOOKED_AHEAD};

/// `bytes` as text. What is not UTF-8, and NUL (SQLite's text functions stop at it), is replaced by U+FFFD.
pub(super) fn storable(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') { Cow::Owned(text.replace('\0', REPLACEMENT)) } else { text }
}

/// `bytes` as [`storable`] text of at most `max` bytes without its secrets, cut between two characters, and whether it was cut.
pub(super) fn cut(bytes: &[u8], max: usize) -> (String, bool) {
    let looked_at = boundary(bytes, bytes.len().min(max.saturating_add(LOOKED_AHEAD)));
    let text = storable(&bytes[..looked_at]);
    let (head, was_cut) = redact::head(&text, max);
    (head.into_owned(), was_cut || looked_at < bytes.len())
}

/// The last start of a character at or before `at`, or the end of `bytes`.
fn boundary(bytes: &[u8], at: usize) -> usize {
    if at >= bytes.len() {
        return bytes.len();
    }
    let is_start = |place: &usize| bytes[*place] & CONTINUATION_MASK != CONTINUATION;
    (at.saturating_sub(CHAR_BYTES_MAX - 1)..=at).rev().find(is_start).unwrap_or(at)
}

/// U+FFFD
const REPLACEMENT: &str = "\u{fffd}";
/// Longest UTF-8 sequence.
const CHAR_BYTES_MAX: usize = 4;
/// Continuation bytes are `10xxxxxx`.
const CONTINUATION_MASK: u8 = 0b1100_0000;
const CONTINUATION: u8 = 0b1000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_only() {
        let text = "aé€😀z";
        for max in 0..=text.len() + 1 {
            let (short, was_cut) = cut(text.as_bytes(), max);
            assert!(short.len() <= max && text.starts_with(&short), "{max}: {short:?}");
            assert!(max - short.len() < CHAR_BYTES_MAX || !was_cut, "{max}: {short:?}");
            assert_eq!(was_cut, max < text.len(), "{max}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_replaced_and_stays_in_bounds() {
        assert_eq!(cut(b"a\xffb", 10), ("a\u{fffd}b".to_owned(), false));
        assert_eq!(cut(b"\xff\xff\xff", 4), ("\u{fffd}".to_owned(), true));
        assert_eq!(cut(b"a\0\0", 5), ("a\u{fffd}".to_owned(), true));
        assert_eq!(cut(&[0x80; 64], 9), ("\u{fffd}".repeat(3), true));
    }
}
