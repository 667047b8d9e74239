//! Bytes that should be UTF-8, made into text of bounded length and without secrets.

use std::borrow::Cow;

use crate::redact::redact_value;

/// `bytes` as text. What is not UTF-8, and NUL (SQLite's text functions stop at it), is replaced by U+FFFD.
pub(super) fn storable(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') { Cow::Owned(text.replace('\0', REPLACEMENT)) } else { text }
}

/// `bytes` as [`storable`] text of at most `max` bytes, its secrets replaced before it is cut between two characters, and
/// whether it was cut.
pub(super) fn cut(bytes: &[u8], max: usize) -> (String, bool) {
    cut_value("", bytes, max)
}

/// The same for the value of an attribute, whose name may tell that it is a secret.
pub(super) fn cut_value(name: &str, bytes: &[u8], max: usize) -> (String, bool) {
    // Of a text that must be copied to be stored no more is than can matter.
    let window = max.saturating_add(WINDOW_BYTES);
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => cut_head(name, text, true, max),
        _ if bytes.len() > window => cut_head(name, &storable(&bytes[..boundary(bytes, window)]), false, max),
        _ => cut_head(name, &storable(bytes), true, max),
    }
}

/// The same for a text, or (`is_all` = false) for the beginning of one, at least [`WINDOW_BYTES`] longer than `max`.
pub(super) fn cut_head(name: &str, text: &str, is_all: bool, max: usize) -> (String, bool) {
    let (kept, was_cut) = redact_value(name, text, max);
    let mut kept = kept.into_owned();
    if !is_all && !was_cut {
        // Marks are short: there is room for more than was looked at, and what it ends in may be half a secret.
        kept.truncate(kept.floor_char_boundary(kept.len().saturating_sub(HALF_A_SECRET_BYTES_MAX)));
    }
    (kept, was_cut || !is_all)
}

/// The last start of a character at or before `at`, which is inside `bytes`.
fn boundary(bytes: &[u8], at: usize) -> usize {
    let is_start = |place: &usize| bytes[*place] & CONTINUATION_MASK != CONTINUATION;
    (at.saturating_sub(CHAR_BYTES_MAX - 1)..=at).rev().find(is_start).unwrap_or(at)
}

/// What is looked at behind a cut: more than the longest private keys.
pub(super) const WINDOW_BYTES: usize = 16 << 10;
/// A secret is known by less of it than that.
const HALF_A_SECRET_BYTES_MAX: usize = 2 << 10;
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
    fn a_secret_leaves_nothing_at_any_cut_of_a_text_that_must_be_copied() {
        let token = format!("ghp{}{}", "_", "a1B2c3D4e5F6".repeat(3));
        for text in [format!("\0 {token} \u{1}"), format!("\0 {token} {}", "x y ".repeat(WINDOW_BYTES))] {
            for max in 0..100 {
                let (short, _) = cut(text.as_bytes(), max);
                assert!(!short.contains("a1B2c3D4") && short.len() <= max, "{max}: {short:?}");
            }
        }
        // The window ends in the token.
        let keys = format!("{} ", token).repeat(WINDOW_BYTES / token.len() + 100);
        for shift in 0..token.len() {
            let (short, was_cut) = cut(format!("\0{}{keys}", ".".repeat(shift)).as_bytes(), 4000);
            assert!(!short.contains("a1B2c3D4") && short.len() <= 4000 && was_cut, "{shift}: {short:?}");
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
