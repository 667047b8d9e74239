//! Values that nothing gives away but their name: `api_key=…`, `"password": "…"`, `--token …`.

use super::Secret;
use super::look::{is_password, is_placeholder, is_random};
use super::rules::Name;
use super::text::{Bytes, DOT, WORD, count, is_in};

/// The kind of secret that the value of a field is as a whole. `None` = its name tells none, or it does not look like one.
pub(super) fn kind_of(name: &str, text: &str) -> Option<&'static str> {
    let (name, kind) = Name::of(name.as_bytes())?;
    let head = Bytes(text.as_bytes()).end_of(0, HEAD_BYTES_MAX, |byte| !byte.is_ascii_whitespace());
    let is_one_word = head == text.len() || head == HEAD_BYTES_MAX;
    (is_one_word && is_secret(name, &text.as_bytes()[..head])).then_some(kind)
}

impl<'a> Bytes<'a> {
    /// The value behind the `:` or `=` at `tell`, if the name before it tells a secret.
    pub(super) fn assigned(self, tell: usize, done: usize) -> Option<Secret> {
        let (name, kind) = Name::of(self.name_before(tell, done))?;
        let start = self.end_of(tell + 1, 2, |byte| matches!(byte, b'=' | b'>'));
        let start = self.end_of(start, GAP_BYTES_MAX, |byte| matches!(byte, b' ' | b'\t'));
        let quote = self.end_of(start, GAP_BYTES_MAX, |byte| byte == b'\\');
        let is_quoted = matches!(self.at(quote), b'"' | b'\'' | b'`');
        let (start, end) = match is_quoted {
            true => (quote + 1, self.end_of_quoted(quote)?),
            false => (start, self.end_of_bare(start)?),
        };
        let is_secret = is_secret(name, self.slice(start, end));
        is_secret.then(|| Secret { start, end: self.end_of_value(start, end, is_quoted.then(|| self.at(quote))), kind })
    }

    /// The value behind a `--name` whose second dash is at `tell`.
    pub(super) fn option(self, tell: usize) -> Option<Secret> {
        if self.before(tell) != b'-' || !b"\0 \t\r\n\"'`,".contains(&self.before(tell - 1)) {
            return None;
        }
        let name_end = self.end_of(tell + 1, NAME_BYTES_MAX, |byte| is_in(byte, WORD));
        // In a list of arguments a quote, a comma and a quote stand between the two.
        let start = self.end_of(name_end, 2 * GAP_BYTES_MAX, |byte| b" \t\\\"',`".contains(&byte));
        // A backslash before something else begins an escape.
        if start == name_end || self.before(start) == b'\\' {
            return None;
        }
        let (name, kind) = Name::of(self.slice(tell + 1, name_end))?;
        let end = self.end_of_bare(start)?;
        let is_secret = is_secret(name, self.slice(start, end));
        is_secret.then(|| Secret { start, end: self.end_of_value(start, end, None), kind })
    }

    /// The name before a sign; also in quotes, which may be escaped, and in brackets.
    fn name_before(self, sign: usize, done: usize) -> &'a [u8] {
        let sign = if self.before(sign) == b':' { sign - 1 } else { sign };
        let end = self.start_of(sign, done, 3, |byte| byte == b' ');
        let is_quote = |byte| matches!(byte, b'"' | b'\'' | b'`' | b'\\');
        let bracket = self.start_of(end, done, 1, |byte| byte == b']');
        let quotes = self.start_of(bracket, done, GAP_BYTES_MAX, is_quote);
        // What stands in brackets without quotes is a mark of ours, or an index.
        let end = if bracket < end && quotes == bracket { end } else { quotes };
        let start = self.start_of(end, done, NAME_BYTES_MAX, |byte| is_in(byte, WORD | DOT));
        self.slice(start, end)
    }

    /// Where the head of a value ends whose opening quote is at `quote`. `None` = it is a sentence.
    fn end_of_quoted(self, quote: usize) -> Option<usize> {
        let closing = self.at(quote);
        let end = self.end_of(quote + 1, HEAD_BYTES_MAX, |byte| goes_on_in_quotes(byte, closing));
        let head = self.start_of(end, quote + 1, GAP_BYTES_MAX, |byte| byte == b'\\');
        (!self.at(end).is_ascii_whitespace()).then_some(head)
    }

    /// The same for a value without quotes. `None` = it is an expression, or what was left of something that was no secret.
    fn end_of_bare(self, start: usize) -> Option<usize> {
        let end = self.end_of(start, HEAD_BYTES_MAX, goes_on_bare);
        (!matches!(self.at(end), b'(' | b'[')).then_some(end)
    }

    /// Where the value ends whose head ends at `head`: without the stop of its sentence, or the escape of its quote.
    fn end_of_value(self, start: usize, head: usize, closing: Option<u8>) -> usize {
        match closing {
            Some(closing) => {
                let end = self.end_of(head, usize::MAX, |byte| goes_on_in_quotes(byte, closing));
                self.start_of(end, start, usize::MAX, |byte| byte == b'\\')
            }
            None => {
                let end = self.end_of(head, usize::MAX, goes_on_bare);
                self.start_of(end, start, usize::MAX, |byte| matches!(byte, b'.' | b':'))
            }
        }
    }
}

fn goes_on_in_quotes(byte: u8, closing: u8) -> bool {
    byte != closing && byte != b'"' && !byte.is_ascii_whitespace()
}

fn goes_on_bare(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !byte.is_ascii_control() && !b"\"'`\\,;&<>()[]{}|".contains(&byte)
}

/// Whether the value of this name, of which `head` is all or enough, looks like one.
fn is_secret(name: &Name, head: &[u8]) -> bool {
    let looks = match name.is_chosen {
        true => head.len() >= PASSWORD_BYTES_MIN && is_password(head),
        false => head.len() >= KEY_BYTES_MIN && is_random(head),
    };
    let is_marked = || {
        count(head.len());
        head.windows(super::MARK.len()).any(|part| part == super::MARK.as_bytes())
    };
    looks && !is_placeholder(head) && !is_marked()
}

/// Shorter ones are words, and numbers of versions.
const KEY_BYTES_MIN: usize = 12;
/// Nobody takes shorter ones any more.
const PASSWORD_BYTES_MIN: usize = 8;
/// So much of a value tells whether it is one.
const HEAD_BYTES_MAX: usize = 96;
/// `AZURE_STORAGE_ACCOUNT_SHARED_ACCESS_KEY` is a long name.
const NAME_BYTES_MAX: usize = 48;
/// White space, or the backslashes of JSON in JSON in JSON.
const GAP_BYTES_MAX: usize = 8;
