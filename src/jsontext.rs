//! The strings of JSON, from the text that serde_json has found to be one.
//!
//! JavaScript cuts text between the halves of a surrogate pair, and serde_json takes no such string. Here
//! every string of valid JSON can be read, and what is read can be stored.

use std::borrow::Cow;

/// What stands between the quotes of a string. `None` = the value is no string.
pub fn unquoted(raw: &str) -> Option<&str> {
    raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
}

/// Resolves the escapes of a string. Half a surrogate pair (JavaScript cuts strings between the two) and
/// NUL (SQLite's text functions stop at it) become U+FFFD.
pub fn unescape(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (c, used) = match rest.as_bytes().get(1) {
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'u') => code_point(rest),
            Some(&plain) => (plain as char, 2),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        text.push(c);
        rest = rest.get(used..).unwrap_or("");
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character of a `\uXXXX` at the start of `rest`, or of two that are a pair; and their length.
fn code_point(rest: &str) -> (char, usize) {
    const ONE: usize = "\\uXXXX".len();
    let unit = |from: usize| {
        let escape = rest.get(from..from + ONE)?.strip_prefix("\\u")?;
        u32::from_str_radix(escape, 16).ok()
    };
    let c = match (unit(0), unit(ONE)) {
        (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 2 * ONE);
        }
        (Some(0), _) => None,
        (Some(code), _) => char::from_u32(code),
        (None, _) => None,
    };
    (c.unwrap_or(char::REPLACEMENT_CHARACTER), ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_and_nul_become_the_replacement_character() {
        for (inner, plain) in [
            (r"a\n\t\r\b\f\/\\\u0022b", "a\n\t\r\u{8}\u{c}/\\\"b"),
            (r"\ud83d\ude00", "\u{1f600}"),
            (r"x\ud83d", "x\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"a\u0000b", "a\u{fffd}b"),
            (r"\u00e9é", "éé"),
        ] {
            assert_eq!(unescape(inner), plain, "{inner}");
        }
        assert!(matches!(unescape("é plain"), Cow::Borrowed("é plain")));
    }
}
