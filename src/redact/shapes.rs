//! Secrets that are told by their shape and not by a prefix alone.

use super::Secret;
use super::look::is_placeholder;
use super::text::{BASE64, Bytes, DOT, Set, WORD, is_in};

/// Their kinds.
pub(super) const KINDS: &[&str] =
    &[PRIVATE_KEY, BEARER, BASIC, JSON_WEB_TOKEN, URL_PASSWORD, SLACK_WEBHOOK, DISCORD_WEBHOOK, DISCORD, TELEGRAM];
const PRIVATE_KEY: &str = "private-key";
const BEARER: &str = "bearer-token";
const BASIC: &str = "basic-auth";
const JSON_WEB_TOKEN: &str = "jwt";
const URL_PASSWORD: &str = "url-password";
const SLACK_WEBHOOK: &str = "slack-webhook";
const DISCORD_WEBHOOK: &str = "discord-webhook";
const DISCORD: &str = "discord-token";
const TELEGRAM: &str = "telegram-token";

/// What base64 for URLs is made of, with and without padding.
const ENCODED: Set = WORD | BASE64;

impl Bytes<'_> {
    /// A private key in PEM or PGP's armour: up to the line that ends it, else up to the next quote or the end of the text.
    pub(super) fn private_key(self, tell: usize) -> Option<Secret> {
        /// `ENCRYPTED PRIVATE KEY` and the like.
        const LABEL_BYTES_MAX: usize = 40;
        const BEGIN: &[u8] = b"-----BEGIN ";
        const END: &[u8] = b"-----END";
        const DASHES: &[u8] = b"-----";
        if !self.has(tell, BEGIN) {
            return None;
        }
        let label = tell + BEGIN.len();
        let is_label = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
        let label_end = self.end_of(label, LABEL_BYTES_MAX, is_label);
        let label = self.slice(label, label_end);
        if !label.ends_with(b"PRIVATE KEY") && !label.ends_with(b"PRIVATE KEY BLOCK") {
            return None;
        }
        let mut at = self.end_of(label_end, DASHES.len(), |byte| byte == b'-');
        loop {
            at = self.end_of(at, usize::MAX, |byte| !matches!(byte, b'-' | b'"'));
            if self.has(at, END) {
                let label_end = self.end_of(at + END.len(), LABEL_BYTES_MAX, is_label);
                if self.has(label_end, DASHES) {
                    return Some(Secret { start: tell, end: label_end + DASHES.len(), kind: PRIVATE_KEY });
                }
            }
            if self.at(at) != b'-' {
                // A quote that is escaped stays so.
                let end = self.start_of(at, tell, usize::MAX, |byte| byte == b'\\');
                return Some(Secret { start: tell, end, kind: PRIVATE_KEY });
            }
            at += 1;
        }
    }

    /// What follows `Bearer `, in any case.
    pub(super) fn bearer(self, tell: usize) -> Option<Secret> {
        const BYTES_MIN: usize = 16;
        let start = self.after_scheme(tell, b"bearer")?;
        let set = ENCODED | DOT;
        if !self.has_run(start, BYTES_MIN, set) || !self.is_judged_random(start, set) {
            return None;
        }
        let end = self.start_of(self.run(start, set), start + BYTES_MIN, usize::MAX, |byte| byte == b'.');
        Some(Secret { start, end, kind: BEARER })
    }

    /// What follows `Basic `, in any case, if it is a name and a password in base64.
    pub(super) fn basic(self, tell: usize) -> Option<Secret> {
        /// So much of it tells that it is: the names of users are shorter.
        const HEAD_BYTES_MAX: usize = 128;
        const BYTES_MIN: usize = 8;
        let start = self.after_scheme(tell, b"basic")?;
        let head = self.end_of(start, HEAD_BYTES_MAX, |byte| is_in(byte, ENCODED));
        let is_basic =
            head - start >= BYTES_MIN && is_name_and_password(self.slice(start, head)) && !self.is_marked(head);
        is_basic.then(|| Secret { start, end: self.run(head, ENCODED), kind: BASIC })
    }

    fn after_scheme(self, tell: usize, scheme: &[u8]) -> Option<usize> {
        const SPACES_MAX: usize = 4;
        if !self.has_word(tell, scheme) || !self.begins_word(tell) {
            return None;
        }
        let end = tell + scheme.len();
        if self.has(end, b"%20") {
            return Some(end + 3);
        }
        let start = self.end_of(end, SPACES_MAX, |byte| matches!(byte, b' ' | b'\t'));
        (start > end).then_some(start)
    }

    /// Three parts in base64, or the five of an encrypted one. `tell` is the `J` of `eyJ`, which is how JSON begins.
    pub(super) fn json_web_token(self, tell: usize, done: usize) -> Option<Secret> {
        const PART_BYTES_MIN: usize = 16;
        /// What says how it is signed is short; what says for whom it is encrypted has the size of a key.
        const HEADER_BYTES_MAX: usize = 512;
        const PART_BYTES_MAX: usize = 1024;
        const JSON: &[u8] = b"eyJ";
        let start = tell.checked_sub(2).filter(|start| *start >= done)?;
        if !self.has(start, JSON) || !self.begins_word(start) {
            return None;
        }
        let part_end = |start: usize, max: usize| self.end_of(start, max, |byte| is_in(byte, WORD));
        let first = part_end(start, HEADER_BYTES_MAX);
        if first - start < PART_BYTES_MIN || self.at(first) != b'.' {
            return None;
        }
        let mut end = first;
        let is_signed = self.has(first + 1, JSON);
        let mut parts = 1;
        while parts < 5 && self.at(end) == b'.' {
            end = part_end(end + 1, if is_signed { usize::MAX } else { PART_BYTES_MAX });
            parts += 1;
        }
        (is_signed || parts == 5).then_some(Secret { start, end, kind: JSON_WEB_TOKEN })
    }

    /// The password of `scheme://user:password@host`, of which `tell` is the `@`.
    pub(super) fn url_password(self, tell: usize, done: usize) -> Option<Secret> {
        const BYTES_MAX: usize = super::LOOK_BACK_MAX - 8;
        let is_inside = |byte: u8| !byte.is_ascii_whitespace() && !b"/?#\"'`<>\\[]@".contains(&byte);
        let user = self.start_of(tell, done, BYTES_MAX, is_inside);
        if user < 3 || !self.has(user - 3, b"://") || user - 3 < done {
            return None;
        }
        let colon = self.end_of(user, tell - user, |byte| byte != b':');
        // A password with an @ in it, which should not be there, ends at the last one.
        let host = self.end_of(tell, BYTES_MAX, |byte| is_inside(byte) || byte == b'@');
        let end = self.start_of(host, tell, usize::MAX, |byte| byte != b'@').saturating_sub(1).max(tell);
        let start = colon + 1;
        let is_password = start < end && colon < tell && !is_placeholder(self.slice(start, end));
        is_password.then_some(Secret { start, end, kind: URL_PASSWORD })
    }

    /// What makes the address of a webhook secret: the end of its path.
    pub(super) fn webhook(self, tell: usize) -> Option<Secret> {
        const SLACK: &[u8] = b".slack.com/services/";
        const DISCORD: &[u8] = b".com/api/webhooks/";
        const BYTES_MIN: usize = 20;
        let (path, kind) = if self.has(tell, SLACK) {
            (SLACK, SLACK_WEBHOOK)
        } else if self.has(tell, DISCORD) {
            (DISCORD, DISCORD_WEBHOOK)
        } else {
            return None;
        };
        let start = tell + path.len();
        let is_long = self.has_run(start, BYTES_MIN, ENCODED);
        is_long.then(|| Secret { start, end: self.run(start, ENCODED), kind })
    }

    /// A number in base64, a time and a signature. `tell` is the first dot.
    pub(super) fn discord(self, tell: usize, done: usize) -> Option<Secret> {
        const NUMBER_BYTES_MIN: usize = 23;
        const NUMBER_BYTES_MAX: usize = 28;
        const SIGNATURE_BYTES_MIN: usize = 27;
        let time_end = self.end_of(tell + 1, 8, |byte| is_in(byte, WORD));
        if !(6..=7).contains(&(time_end - tell - 1)) || self.at(time_end) != b'.' {
            return None;
        }
        let first = self.start_of(tell, done, NUMBER_BYTES_MAX, |byte| is_in(byte, WORD));
        let begins = |start: &usize| matches!(self.at(*start), b'M' | b'N' | b'O') && self.begins_word(*start);
        let start = (first..=tell.checked_sub(NUMBER_BYTES_MIN)?).find(begins)?;
        let end = self.run(time_end + 1, WORD);
        (end - time_end > SIGNATURE_BYTES_MIN).then_some(Secret { start, end, kind: DISCORD })
    }

    /// The number of a bot, and what is secret. `tell` is the colon between them.
    pub(super) fn telegram(self, tell: usize, done: usize) -> Option<Secret> {
        const NUMBER_BYTES_MIN: usize = 8;
        const NUMBER_BYTES_MAX: usize = 10;
        const BYTES_MIN: usize = 33;
        if !self.has(tell + 1, b"AA") {
            return None;
        }
        let first = self.start_of(tell, done, NUMBER_BYTES_MAX, |byte| byte.is_ascii_digit());
        // `/bot<token>/` in a URL.
        let begins = |start: &usize| self.begins_word(*start) || (*start >= 3 && self.has(*start - 3, b"bot"));
        let start = (first..=tell.checked_sub(NUMBER_BYTES_MIN)?).find(begins)?;
        let is_long = self.has_run(tell + 1, BYTES_MIN, WORD);
        is_long.then(|| Secret { start, end: self.run(tell + 1 + BYTES_MIN, WORD), kind: TELEGRAM })
    }
}

/// Whether base64 (of either alphabet) holds printable text with a colon in it, as far as it goes.
fn is_name_and_password(encoded: &[u8]) -> bool {
    let (mut bits, mut held, mut has_colon) = (0_u32, 0, false);
    for byte in encoded.iter().filter(|byte| **byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            _ => 63,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            let decoded = (bits >> held) as u8;
            if !matches!(decoded, b' '..=b'~') {
                return false;
            }
            has_colon |= decoded == b':';
        }
    }
    has_colon
}
