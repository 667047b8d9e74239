//! Whether a value looks made at random, or like a word that somebody wrote.

use super::text::{ALNUM, DIGIT, HEX, LOWER, UNDERSCORE, UPPER, count, is_in};

/// So much of a value tells what it is.
const EVIDENCE_BYTES_MAX: usize = 64;

/// What a value is made of.
#[derive(Debug, Default)]
struct Look {
    lower: usize,
    upper: usize,
    digits: usize,
    /// Bytes outside of ASCII.
    others: usize,
    /// How often two neighbours are of two kinds: lower, upper, digit.
    turns: usize,
    is_hex: bool,
}

impl Look {
    fn of(value: &[u8]) -> Look {
        let head = &value[..value.len().min(EVIDENCE_BYTES_MAX)];
        count(head.len());
        let mut look = Look { is_hex: true, ..Look::default() };
        let mut kind_before = 0;
        for byte in head {
            let kind = [LOWER, UPPER, DIGIT].into_iter().find(|kind| is_in(*byte, *kind)).unwrap_or(0);
            match kind {
                LOWER => look.lower += 1,
                UPPER => look.upper += 1,
                DIGIT => look.digits += 1,
                _ => look.others += usize::from(!byte.is_ascii()),
            }
            look.turns += usize::from(kind != 0 && kind_before != 0 && kind != kind_before);
            look.is_hex &= kind == 0 || is_in(*byte, HEX);
            kind_before = kind;
        }
        look
    }

    fn letters(&self) -> usize {
        self.lower + self.upper
    }
}

/// Whether a key could look like this: letters and digits, well mixed, as in base64 or hex. Words with a number behind
/// them turn from one kind to another too rarely.
pub(super) fn is_random(value: &[u8]) -> bool {
    /// Random letters of both cases turn every second time, words in camel case less often.
    const MIXED_CASE_MIN: usize = 16;
    let look = Look::of(value);
    let length = look.letters() + look.digits;
    if look.letters() == 0 {
        return false;
    }
    match look.digits {
        0 => length >= MIXED_CASE_MIN && look.turns * 2 >= length,
        1 => look.turns * 5 >= length * 2,
        _ => look.turns * 5 >= length || (look.is_hex && length >= MIXED_CASE_MIN && look.digits * 4 >= length),
    }
}

/// Whether a password could look like this: letters and a digit. People do not mix them.
pub(super) fn is_password(value: &[u8]) -> bool {
    let look = Look::of(value);
    look.digits > 0 && look.letters() + look.others > 0
}

/// Whether a value says where the secret is, or that there is none to see, instead of being it.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let by_signs = match value {
        [b'$'] | [b'[', ..] | [b'*', b'*', ..] => true,
        // `$2b$` begins a hash, `$NAME` and `${NAME}` are variables.
        [b'$', next, ..] => !next.is_ascii_digit(),
        [b'<', .., b'>'] | [b'{', .., b'}'] | [b'%', .., b'%'] => true,
        _ => false,
    };
    is_expression(value) || by_signs || WORDS.iter().any(|word| starts_with(value, word)) || is_path(value)
}

/// Whether it is a constant or a type of a program.
fn is_expression(value: &[u8]) -> bool {
    let is_constant = value.contains(&b'_') && value.iter().all(|byte| is_in(*byte, UPPER | DIGIT | UNDERSCORE));
    is_constant || value.windows(2).any(|pair| pair == b"::")
}

/// What stands in the place of a secret, or leads to it.
const WORDS: &[&str] = &[
    "process.env",
    "os.environ",
    "os.getenv",
    "getenv",
    "env.",
    "env:",
    "env[",
    "secrets.",
    "config.",
    "settings.",
    "self.",
    "this.",
    "var.",
    "your",
    "xxx",
    "...",
    "http://",
    "https://",
    "file:",
    "arn:",
    "vault:",
    "op://",
    "sha256:",
    "sha512:",
    "changeme",
    "placeholder",
];

fn starts_with(value: &[u8], word: &str) -> bool {
    value.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether it is the path of a file. base64 may begin with a slash too, but is of one length, or has its other signs.
fn is_path(value: &[u8]) -> bool {
    /// A secret key of AWS.
    const AWS_KEY_BYTES: usize = 40;
    let is_aws_key = value.len() == AWS_KEY_BYTES && value.iter().any(|byte| is_in(*byte, UPPER));
    match value {
        [b'/', ..] => !is_aws_key && !value.iter().any(|byte| matches!(byte, b'+' | b'=')),
        [b'~', b'/', ..] | [b'.', b'/', ..] | [b'.', b'.', b'/', ..] => true,
        [drive, b':', b'\\' | b'/', ..] => is_in(*drive, ALNUM),
        _ => false,
    }
}
