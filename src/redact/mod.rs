//! Secrets in text: found by a table of rules, and replaced by a mark that names their kind.
//!
//! Owns what counts as a secret (docs/wire.md has the kinds). Promises: the work is in proportion to the text that is kept,
//! whatever the text; text without a secret comes back as it is, without a copy; JSON stays JSON, since nothing that
//! is replaced reaches over a quote or cuts an escape in two; and to redact twice is to redact once. No I/O.

mod assigned;
mod look;
mod rules;
mod shapes;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;

use rules::Rules;
use text::Bytes;

pub use rules::kinds;

/// `text` with every secret in it replaced.
pub fn redact(text: &str) -> Cow<'_, str> {
    redact_to(text, usize::MAX).0
}

/// The first `bytes_max` bytes of [`redact`]ed `text`, or fewer, so that no character is cut in two; and whether
/// anything is missing. Of what lies behind the cut only the secrets are looked at that begin before it.
pub fn redact_to(text: &str, bytes_max: usize) -> (Cow<'_, str>, bool) {
    let mut pass = Pass { bytes: Bytes(text.as_bytes()), at: 0, done: 0 };
    let mut out = String::new();
    loop {
        // Where the text ends that there is room for.
        let end = pass.done.saturating_add(bytes_max - out.len()).min(text.len());
        let Some(secret) = pass.next(end) else {
            let end = text.floor_char_boundary(end);
            let rest = &text[pass.done..end];
            let is_cut = end < text.len();
            if pass.done == 0 {
                return (Cow::Borrowed(rest), is_cut);
            }
            out.push_str(rest);
            return (Cow::Owned(out), is_cut);
        };
        out.push_str(&text[pass.done..secret.start]);
        push_mark(&mut out, secret.kind);
        pass.done = secret.end;
        pass.at = secret.end;
        if out.len() > bytes_max {
            out.truncate(out.floor_char_boundary(bytes_max));
            return (Cow::Owned(out), true);
        }
    }
}

/// The same for the value of a field: where its name tells a secret, the value is one as a whole.
pub fn redact_value<'a>(name: &str, text: &'a str, bytes_max: usize) -> (Cow<'a, str>, bool) {
    match assigned::kind_of(name, text) {
        Some(kind) => {
            let mut out = String::new();
            push_mark(&mut out, kind);
            let is_cut = out.len() > bytes_max;
            out.truncate(bytes_max);
            (Cow::Owned(out), is_cut)
        }
        None => redact_to(text, bytes_max),
    }
}

/// How every mark begins.
const MARK: &str = "[redacted:";

fn push_mark(out: &mut String, kind: &str) {
    out.push_str(MARK);
    out.push_str(kind);
    out.push(']');
}

/// What is to be replaced: from `start` to `end`, both between two characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Secret {
    start: usize,
    end: usize,
    kind: &'static str,
}

/// One way through a text, from byte to byte that may be part of how a secret begins.
struct Pass<'a> {
    bytes: Bytes<'a>,
    /// What was not looked at yet begins here.
    at: usize,
    /// The last secret ended here: nothing before it is looked at again.
    done: usize,
}

impl Pass<'_> {
    /// The next secret that begins before `end`.
    fn next(&mut self, end: usize) -> Option<Secret> {
        let stop = end.saturating_add(LOOK_BACK_MAX).min(self.bytes.0.len());
        loop {
            let ahead = self.bytes.0.get(self.at..stop)?;
            let skipped = ahead.iter().position(|byte| TELLS[usize::from(*byte)])?;
            text::count(skipped + 1);
            let tell = self.at + skipped;
            self.at = tell + 1;
            if self.may_begin(tell)
                && let Some(secret) = self.secret_at(tell).map(|secret| self.bytes.without_half_an_escape(secret))
                && secret.start < end
            {
                return Some(secret);
            }
        }
    }

    /// Whether the neighbour of a letter fits as well. Words are full of them.
    #[inline]
    fn may_begin(&self, tell: usize) -> bool {
        match self.bytes.0[tell] {
            b'p' => self.bytes.at(tell + 1) == b'i',
            b'b' | b'B' => matches!(self.bytes.at(tell + 1), b'e' | b'E' | b'a' | b'A'),
            b'I' => matches!(self.bytes.at(tell + 1), b'A' | b'z'),
            b'J' => self.bytes.before(tell) == b'y',
            _ => true,
        }
    }

    /// The secret that the byte at `tell` is part of, or stands before.
    fn secret_at(&self, tell: usize) -> Option<Secret> {
        let (bytes, done) = (self.bytes, self.done);
        let by_prefix = |rules: &'static Rules| bytes.by_prefix(rules, tell, done);
        match bytes.0[tell] {
            b'-' => {
                let dashed = || bytes.private_key(tell).or_else(|| bytes.option(tell));
                by_prefix(&rules::WITH_DASH).or_else(dashed)
            }
            b'_' => by_prefix(&rules::WITH_UNDERSCORE),
            b'.' => by_prefix(&rules::WITH_DOT).or_else(|| bytes.webhook(tell)).or_else(|| bytes.discord(tell, done)),
            b'I' | b'K' | b'p' => by_prefix(&rules::WITH_LETTER),
            b'J' => bytes.json_web_token(tell, done),
            b'b' | b'B' => bytes.bearer(tell).or_else(|| bytes.basic(tell)),
            b'@' => bytes.url_password(tell, done),
            b':' => bytes.telegram(tell, done).or_else(|| bytes.assigned(tell, done)),
            b'=' => bytes.assigned(tell, done),
            _ => None,
        }
    }
}

/// No secret begins farther before the byte that tells of it.
const LOOK_BACK_MAX: usize = 256;

/// Bytes that may tell of a secret. Ordinary text has one in about thirty.
static TELLS: [bool; 256] = {
    let mut tells = [false; 256];
    let mut at = 0;
    while at < TELLING.len() {
        tells[TELLING[at] as usize] = true;
        at += 1;
    }
    tells
};
const TELLING: &[u8] = b"-_.:=@IKJpbB";
