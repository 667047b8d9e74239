//! How wide a text is on a terminal, and what of it may be shown there.

use std::borrow::Cow;

/// The text in one line: what would move the cursor, turn the direction of writing or show nothing stands as U+FFFD.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| c.is_control() || in_ranges(HIDDEN, c);
    if text.contains(is_hidden) {
        Cow::Owned(text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Columns that a text takes, as far as that is known without the terminal.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The text in at most `max` columns; where it was longer, an ellipsis is its last.
pub(super) fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let mut taken = 0;
    let room = max.saturating_sub(1);
    let end = text.char_indices().find(|(_, c)| {
        taken += columns(*c);
        taken > room
    });
    Cow::Owned(format!("{}\u{2026}", &text[..end.map_or(text.len(), |(at, _)| at)]))
}

fn columns(c: char) -> usize {
    match c {
        ' '..='~' => 1,
        _ if in_ranges(NO_COLUMN, c) => 0,
        _ if in_ranges(TWO_COLUMNS, c) => 2,
        _ => 1,
    }
}

fn in_ranges(ranges: &[(char, char)], c: char) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Directions, joiners, and the like: general punctuation and tags of Unicode that show nothing.
const HIDDEN: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200c}'),
    ('\u{200e}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{e0000}', '\u{e007f}'),
];

/// Marks that stand on the letter before them, and the joiner of emoji.
const NO_COLUMN: &[(char, char)] = &[
    ('\u{300}', '\u{36f}'),
    ('\u{483}', '\u{489}'),
    ('\u{591}', '\u{5bd}'),
    ('\u{610}', '\u{61a}'),
    ('\u{64b}', '\u{65f}'),
    ('\u{1ab0}', '\u{1aff}'),
    ('\u{1dc0}', '\u{1dff}'),
    ('\u{200d}', '\u{200d}'),
    ('\u{20d0}', '\u{20ff}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{fe20}', '\u{fe2f}'),
    ('\u{e0100}', '\u{e01ef}'),
];

/// Letters of East Asia, and emoji (East_Asian_Width W and F of Unicode, in whole blocks).
const TWO_COLUMNS: &[(char, char)] = &[
    ('\u{1100}', '\u{115f}'),
    ('\u{2e80}', '\u{303e}'),
    ('\u{3041}', '\u{4dbf}'),
    ('\u{4e00}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97f}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff00}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{1f300}', '\u{1f64f}'),
    ('\u{1f680}', '\u{1f6ff}'),
    ('\u{1f900}', '\u{1f9ff}'),
    ('\u{20000}', '\u{3fffd}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_wide_as_a_terminal_shows_it() {
        for (text, columns) in
            [("", 0), ("gpt-5", 5), ("caf\u{e9}", 4), ("cafe\u{301}", 4), ("\u{6a21}\u{578b}", 4), ("\u{1f600}", 2)]
        {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn a_text_is_cut_to_its_columns_and_never_within_a_letter() {
        for (text, max, cut_to) in [
            ("gpt-5", 5, "gpt-5"),
            ("gpt-5", 4, "gpt\u{2026}"),
            ("\u{6a21}\u{578b}\u{6a21}", 4, "\u{6a21}\u{2026}"),
            ("\u{6a21}\u{578b}\u{6a21}", 5, "\u{6a21}\u{578b}\u{2026}"),
            ("cafe\u{301}s", 4, "caf\u{2026}"),
            ("abc", 1, "\u{2026}"),
        ] {
            assert_eq!(cut(text, max), cut_to, "{text} in {max}");
            assert!(width(&cut(text, max)) <= max, "{text} in {max}");
        }
    }

    #[test]
    fn nothing_that_a_name_holds_reaches_the_terminal_as_a_command() {
        for (text, shown) in [
            ("gpt-5", "gpt-5"),
            ("a\u{1b}[31mb\n\u{9b}", "a\u{fffd}[31mb\u{fffd}\u{fffd}"),
            ("a\u{202e}b\u{200b}", "a\u{fffd}b\u{fffd}"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}
