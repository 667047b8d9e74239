//! Secrets in the texts that producers send: each is replaced by a mark that names its kind, `[redacted:github-token]`.
//!
//! A secret is known by how it begins ([`rules::RULES`]), by its form (private key blocks, JWTs, passwords in URLs, bearer
//! tokens, some bot tokens), or by the name before it (`api_key=…`, `"password": "…"`). A text is looked at once from its
//! start to its end, whatever is in it. What is replaced holds no quote, so JSON stays JSON. Pure.

mod rules;

use std::borrow::Cow;
use std::ops::Range;

use rules::{Class, PASSWORD_WORDS, PLACEHOLDERS, RULES, SECRET_NAMES, SECRET_WORDS};

/// Replaces every secret in a text.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut scan = Scan::of(text.as_bytes());
    let mut redacted = String::new();
    let mut copied = 0;
    while let Some(Secret { kind, place }) = scan.next() {
        redacted.push_str(&text[copied..place.start]);
        redacted.push_str("[redacted:");
        redacted.push_str(kind);
        redacted.push(']');
        copied = place.end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    redacted.push_str(&text[copied..]);
    Cow::Owned(redacted)
}

/// The start of a text without its secrets, at most `bytes_max` of it, cut between two characters; and whether anything is
/// missing but them. Of a secret at the cut nothing is left.
pub fn head(text: &str, bytes_max: usize) -> (Cow<'_, str>, bool) {
    let looked_at = text.floor_char_boundary(bytes_max.saturating_add(LOOKED_AHEAD));
    let mut redacted = redact(&text[..looked_at]);
    let end = redacted.floor_char_boundary(bytes_max);
    let was_cut = end < redacted.len() || looked_at < text.len();
    match &mut redacted {
        Cow::Borrowed(text) => *text = &text[..end],
        Cow::Owned(text) => text.truncate(end),
    }
    (redacted, was_cut)
}

/// How far behind a cut a secret is still looked at: enough of each to be known.
pub const LOOKED_AHEAD: usize = 512;

/// How much of a run is looked at to see whether it is random: more than of the longest password.
const LOOKED_AT_MAX: usize = 256;

/// A secret in a text.
struct Secret {
    kind: &'static str,
    /// What of the text is replaced.
    place: Range<usize>,
}

/// A text on the way from its start to its end.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    /// For each class the last run of its characters that was measured: no run is measured twice.
    runs: [Range<usize>; Class::COUNT],
}

impl<'a> Scan<'a> {
    fn of(bytes: &'a [u8]) -> Scan<'a> {
        Scan { bytes, at: 0, runs: [const { 0..0 }; Class::COUNT] }
    }

    /// The next secret.
    fn next(&mut self) -> Option<Secret> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if let Some(secret) = self.secret_at(byte) {
                self.at = secret.place.end;
                return Some(secret);
            }
            self.at += 1;
        }
        None
    }

    fn secret_at(&mut self, byte: u8) -> Option<Secret> {
        match STARTS[usize::from(byte)] {
            Start::Nothing => None,
            Start::Separator => self.password_of_url().or_else(|| self.assigned()),
            Start::Word if self.is_inside_word() => None,
            Start::Word => self.prefixed().or_else(|| self.structured(byte)),
            Start::Dash => self.private_key().or_else(|| self.argument()),
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn is_inside_word(&self) -> bool {
        self.at > 0 && Class::Word.has(self.bytes[self.at - 1])
    }

    /// Where the run of characters of a class ends that starts here, which may be at once.
    fn run_end(&mut self, class: Class, from: usize) -> usize {
        let run = &mut self.runs[class as usize];
        if !run.contains(&from) {
            let length = self.bytes[from..].iter().take_while(|byte| class.has(**byte)).count();
            *run = from..from + length;
        }
        run.end.max(from)
    }

    /// A secret with a prefix of its own.
    fn prefixed(&mut self) -> Option<Secret> {
        let rest = self.rest();
        let start = self.at;
        let mut next = CHAINS.first[usize::from(rest[0])];
        while let Some(rule) = RULES.get(usize::from(next)) {
            next = CHAINS.next[usize::from(next)];
            if !rest.starts_with(rule.prefix.as_bytes()) {
                continue;
            }
            let from = start + rule.prefix.len();
            let end = self.run_end(rule.class, from);
            let is_whole = self.bytes.get(end).is_none_or(|next| !next.is_ascii_alphanumeric() && *next != b'_');
            let body = &self.bytes[from..end];
            // Words that are joined by dashes are lower case.
            let looked_at = &body[..body.len().min(LOOKED_AT_MAX)];
            let is_random = rule.class.is_one_word()
                || looked_at.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
            if (rule.min..=rule.max).contains(&body.len()) && is_whole && is_random {
                return Some(Secret { kind: rule.kind, place: start..end });
            }
        }
        None
    }

    /// A secret that is known by its form.
    fn structured(&mut self, first: u8) -> Option<Secret> {
        match first {
            b'e' => self.jwt(),
            b'B' | b'b' => self.authorization(),
            b'M' | b'N' | b'O' => self.discord_token(),
            b'0'..=b'9' => self.telegram_token(),
            _ => None,
        }
    }

    /// Two or three parts in base64, of which the first two are JSON objects.
    fn jwt(&mut self) -> Option<Secret> {
        const OBJECT: &[u8] = b"eyJ";
        let start = self.at;
        if !self.rest().starts_with(OBJECT) {
            return None;
        }
        let header = self.run_end(Class::Word, start);
        let payload = header + 1;
        let is_jwt = header - start >= 10
            && self.bytes.get(header) == Some(&b'.')
            && self.bytes.get(payload..).is_some_and(|rest| rest.starts_with(OBJECT));
        if !is_jwt {
            return None;
        }
        let mut end = self.run_end(Class::Word, payload);
        if self.bytes.get(end) == Some(&b'.') {
            end = self.run_end(Class::Word, end + 1);
        }
        Some(Secret { kind: "jwt", place: start..end })
    }

    /// What stands behind `Bearer` or `Basic`.
    fn authorization(&mut self) -> Option<Secret> {
        let rest = self.rest();
        let is = |scheme: &[u8]| rest.get(..scheme.len()).is_some_and(|word| word.eq_ignore_ascii_case(scheme));
        let (scheme, kind) = match () {
            () if is(b"bearer ") => ("bearer ", "bearer-token"),
            () if is(b"basic ") => ("basic ", "basic-credentials"),
            () => return None,
        };
        let from = self.at + scheme.len();
        let end = self.run_end(Class::Base64, from);
        let value = &self.bytes[from..end.min(from + LOOKED_AT_MAX)];
        let is_secret = if kind == "bearer-token" {
            value.len() >= 16 && has_digit(value) && has_letter(value)
        } else {
            value.len() >= 12 && value.iter().any(u8::is_ascii_uppercase) && (has_digit(value) || value.ends_with(b"="))
        };
        is_secret.then_some(Secret { kind, place: from..end })
    }

    /// Three parts: an id in base64, six characters of time, and the rest.
    fn discord_token(&mut self) -> Option<Secret> {
        let start = self.at;
        let id = self.run_end(Class::Word, start);
        if !(23..=30).contains(&(id - start)) || self.bytes.get(id) != Some(&b'.') {
            return None;
        }
        let time = self.run_end(Class::Word, id + 1);
        if time - (id + 1) != 6 || self.bytes.get(time) != Some(&b'.') {
            return None;
        }
        let end = self.run_end(Class::Word, time + 1);
        (end - (time + 1) >= 27).then_some(Secret { kind: "discord-token", place: start..end })
    }

    /// The number of a bot, and 35 characters.
    fn telegram_token(&mut self) -> Option<Secret> {
        let start = self.at;
        let number = self.rest().iter().take(11).take_while(|byte| byte.is_ascii_digit()).count();
        let colon = start + number;
        if !(8..=10).contains(&number) || self.bytes.get(colon) != Some(&b':') {
            return None;
        }
        let end = self.run_end(Class::Word, colon + 1);
        (end - (colon + 1) == 35).then_some(Secret { kind: "telegram-token", place: start..end })
    }

    /// A block in PEM, to its end: if that is missing, to the next quote, or the end of the text.
    fn private_key(&mut self) -> Option<Secret> {
        const HEADER_MAX: usize = 64;
        const END: &[u8] = b"-----END ";
        let rest = self.rest();
        let header = &rest[..rest.len().min(HEADER_MAX)];
        let is_key = header.starts_with(b"-----BEGIN ") && find(&header[11..], b"PRIVATE KEY").is_some();
        if !is_key {
            return None;
        }
        let quote = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
        // The backslashes before a quote are the quote's.
        let block = &rest[..quote - backslashes(&rest[..quote])];
        let end_of = |at: usize| {
            let end = at + END.len();
            find(&block[end..block.len().min(end + HEADER_MAX)], b"-----").map(|dashes| end + dashes + 5)
        };
        let length = find(block, END).and_then(end_of).unwrap_or(block.len());
        Some(Secret { kind: "private-key", place: self.at..self.at + length })
    }

    /// `scheme://user:password@`
    fn password_of_url(&mut self) -> Option<Secret> {
        const USER_MAX: usize = 256;
        let rest = self.rest();
        let authority = rest.strip_prefix(b"://")?;
        let authority = &authority[..authority.len().min(USER_MAX)];
        let at = authority.iter().position(|byte| b"/?#@\"'`<>\\ \t\r\n".contains(byte))?;
        if authority[at] != b'@' {
            return None;
        }
        let colon = authority[..at].iter().position(|byte| *byte == b':')?;
        let from = self.at + 3 + colon + 1;
        let end = self.at + 3 + at;
        (end > from && !is_placeholder(&self.bytes[from..end]))
            .then_some(Secret { kind: "url-password", place: from..end })
    }

    /// `name=value`, `name: value`, `"name": "value"`, here at what stands between the two.
    fn assigned(&mut self) -> Option<Secret> {
        let (name, is_name_quoted) = name_before(&self.bytes[..self.at]);
        let importance = Importance::of(name)?;
        let mut from = self.at + 1;
        // `:=`, `=>` and `==`
        from += usize::from(matches!(self.bytes.get(from), Some(b'=' | b'>')));
        from += self.bytes[from..].iter().take(2).take_while(|byte| **byte == b' ').count();
        // In JSON in JSON a quote has backslashes before it.
        let quote = from + self.bytes[from..].iter().take(BACKSLASHES_MAX).take_while(|byte| **byte == b'\\').count();
        let is_quoted = matches!(self.bytes.get(quote), Some(b'"' | b'\'' | b'`'));
        if is_quoted {
            from = quote + 1;
        } else if is_name_quoted {
            // A number of JSON: a mark in its place would be none.
            return None;
        }
        self.value(from, importance, is_quoted)
    }

    /// `--name value`
    fn argument(&mut self) -> Option<Secret> {
        if self.is_inside_word() || !self.rest().starts_with(b"--") {
            return None;
        }
        let name = self.at + 2;
        let end = self.run_end(Class::Word, name);
        if end - name > NAME_BYTES_MAX || self.bytes.get(end) != Some(&b' ') {
            return None;
        }
        let importance = Importance::of(&self.bytes[name..end])?;
        self.value(end + 1, importance, false)
    }

    fn value(&mut self, from: usize, importance: Importance, is_quoted: bool) -> Option<Secret> {
        let end = self.run_end(if is_quoted { Class::Quoted } else { Class::Value }, from);
        let value = &self.bytes[from..end.min(from + LOOKED_AT_MAX)];
        let (kind, is_secret) = match importance {
            Importance::Password => ("password", is_password(value, is_quoted)),
            Importance::Secret => ("secret", is_random(value)),
        };
        (is_secret && !is_placeholder(value)).then_some(Secret { kind, place: from..end })
    }
}

/// Whether a value behind the name of a password may be one: in quotes nearly anything, else what is no word and no path.
fn is_password(value: &[u8], is_quoted: bool) -> bool {
    let is_path = matches!(value.first(), Some(b'/' | b'~' | b'.'));
    let is_word = value.iter().all(u8::is_ascii_alphabetic);
    !is_path && if is_quoted { (4..=PASSWORD_BYTES_MAX).contains(&value.len()) } else { value.len() >= 6 && !is_word }
}

/// Whether a value is as random as a secret: long, without white space, and of letters with digits or of both cases.
fn is_random(value: &[u8]) -> bool {
    let has = |class: fn(&u8) -> bool| value.iter().any(class);
    let is_mixed =
        has(u8::is_ascii_digit) || (value.len() >= 16 && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase));
    value.len() >= 12 && has(u8::is_ascii_alphabetic) && is_mixed && !value.contains(&b' ')
}

/// What is longer is a text about one.
const PASSWORD_BYTES_MAX: usize = 128;

/// What a name says of the value behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Importance {
    /// It is a password, whatever it looks like.
    Password,
    /// It is a secret if it looks like one.
    Secret,
}

impl Importance {
    fn of(name: &[u8]) -> Option<Importance> {
        // Cheap, and true of hardly any word: the last letter of a name that matters.
        if !matches!(name.last()?.to_ascii_lowercase(), b'y' | b't' | b'n' | b'd' | b'e' | b'g' | b's' | b'l') {
            return None;
        }
        let word = name.rsplit(|byte| matches!(byte, b'_' | b'-' | b'.')).next().unwrap_or(name);
        let is_word = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
        if is_word(PASSWORD_WORDS) {
            return Some(Importance::Password);
        }
        let is_secret = is_word(SECRET_WORDS) || SECRET_NAMES.iter().any(|known| ends_with(name, known.as_bytes()));
        is_secret.then_some(Importance::Secret)
    }
}

/// Whether a name ends in `end`, whatever its case, with or without `_`, `-` and `.` in between.
fn ends_with(name: &[u8], end: &[u8]) -> bool {
    let mut letters = name.iter().rev().filter(|byte| !matches!(byte, b'_' | b'-' | b'.'));
    end.iter().rev().all(|wanted| letters.next().is_some_and(|byte| byte.to_ascii_lowercase() == *wanted))
}

/// The name that ends before a separator, and whether it is in quotes; white space may stand between.
fn name_before(before: &[u8]) -> (&[u8], bool) {
    let mut end = before.len();
    end -= before[..end].iter().rev().take(2).take_while(|byte| **byte == b' ').count();
    let is_quoted = matches!(before[..end].last(), Some(b'"' | b'\''));
    if is_quoted {
        end -= 1;
        end -= backslashes(&before[..end]);
    }
    let length = before[..end].iter().rev().take(NAME_BYTES_MAX).take_while(|byte| Class::Dotted.has(**byte)).count();
    (&before[end - length..end], is_quoted)
}

/// How many backslashes a text ends in.
fn backslashes(bytes: &[u8]) -> usize {
    bytes.iter().rev().take(BACKSLASHES_MAX).take_while(|byte| **byte == b'\\').count()
}

/// JSON in JSON in JSON in JSON has 15 before a quote.
const BACKSLASHES_MAX: usize = 15;
/// A longer name is none.
const NAME_BYTES_MAX: usize = 64;

fn is_placeholder(value: &[u8]) -> bool {
    let starts = |start: &str| value.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()));
    // `$NAME`, of a shell.
    let is_variable = matches!(value, [b'$', b'A'..=b'Z' | b'_', ..]);
    is_variable || PLACEHOLDERS.iter().any(|start| starts(start)) || value.iter().all(|byte| *byte == value[0])
}

fn has_digit(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_digit)
}

fn has_letter(bytes: &[u8]) -> bool {
    bytes.iter().any(u8::is_ascii_alphabetic)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The rules by the first byte of their prefixes, in order: for each byte the first rule, for each rule the next.
struct Chains {
    first: [u8; 256],
    next: [u8; RULES.len()],
}

static CHAINS: Chains = chains();

const fn chains() -> Chains {
    const NONE: u8 = u8::MAX;
    assert!(RULES.len() < NONE as usize, "a rule's place is a byte");
    let mut chains = Chains { first: [NONE; 256], next: [NONE; RULES.len()] };
    let mut place = RULES.len();
    while place > 0 {
        place -= 1;
        let byte = RULES[place].prefix.as_bytes()[0] as usize;
        chains.next[place] = chains.first[byte];
        chains.first[byte] = place as u8;
    }
    chains
}

/// What may begin at a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Nothing,
    /// A secret, where no word goes on.
    Word,
    /// A private key, or a command's argument.
    Dash,
    /// Something stands between a name and a value.
    Separator,
}

/// By the byte: most say at once that nothing begins there.
static STARTS: [Start; 256] = starts();

const fn starts() -> [Start; 256] {
    let mut starts = [Start::Nothing; 256];
    let mut place = 0;
    while place < RULES.len() {
        starts[RULES[place].prefix.as_bytes()[0] as usize] = Start::Word;
        place += 1;
    }
    let structured = b"eBbMNO0123456789";
    place = 0;
    while place < structured.len() {
        starts[structured[place] as usize] = Start::Word;
        place += 1;
    }
    starts[b'-' as usize] = Start::Dash;
    starts[b':' as usize] = Start::Separator;
    starts[b'=' as usize] = Start::Separator;
    starts
}

#[cfg(test)]
mod tests;
