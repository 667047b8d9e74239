//! The `attributes` of a row: what had no column, as one bounded JSON object.

use std::borrow::Cow;

use super::fields::Extra;
use super::value::{compact, push_string};
use crate::jsontext::{unescape, unquoted};
use crate::redact::{redact, redact_to, redact_value};

/// Keys kept: twice what a rich OTel span carries.
const KEYS_MAX: usize = 64;
/// Bytes of one value, as it is stored: as much as the default lets a prompt have.
const VALUE_BYTES_MAX: usize = 4 << 10;
/// Bytes of the whole object: with two texts of the default length still half of the smallest push.
const OBJECT_BYTES_MAX: usize = 16 << 10;
/// Of these, what the list of dropped keys may take.
const DROPPED_BYTES_MAX: usize = 1 << 10;
/// Bytes of a dropped key in that list.
const DROPPED_KEY_BYTES_MAX: usize = 64;
/// Nesting of one value: no producer of attributes goes deeper, and every reader of JSON goes this deep.
const DEPTH_MAX: usize = 32;

/// Where the dropped keys are named. Nobody else's key.
const DROPPED_KEY: &str = "_dropped";

/// The object, and whether a text in it was cut. `None` when there is nothing to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// JSON.
    pub(super) json: Option<Box<str>>,
    /// Whether a string was cut.
    pub(super) cut: bool,
}

impl Attributes {
    /// Writes `notes` (ours, each a key with a JSON value) and `extras`, as far as they fit. What does
    /// not is named in `_dropped`, behind the keys that are named there already.
    pub(super) fn write(notes: &[(&str, &str)], extras: &[Extra<'_>], dropped: Vec<Cow<'_, str>>) -> Attributes {
        let mut writing = Writing { out: String::new(), keys: 0, cut: false, dropped };
        for (key, json) in notes {
            writing.member(key, json);
        }
        for Extra { key, raw, .. } in extras {
            let ours = key == DROPPED_KEY || notes.iter().any(|(note, _)| key == note);
            if ours || !writing.extra(key, raw) {
                writing.dropped.push(Cow::Borrowed(key));
            }
        }
        writing.finish()
    }
}

struct Writing<'a> {
    out: String,
    keys: usize,
    cut: bool,
    dropped: Vec<Cow<'a, str>>,
}

impl Writing<'_> {
    /// Whether the field was written.
    fn extra(&mut self, key: &str, raw: &str) -> bool {
        if self.keys == KEYS_MAX {
            return false;
        }
        let mut value = String::new();
        if let Some(inner) = unquoted(raw) {
            let text = unescape(inner);
            let (text, cut) = redact_value(key, &text, VALUE_BYTES_MAX);
            push_string(&text, &mut value);
            self.cut |= cut;
        } else if compact(raw, &mut value) > DEPTH_MAX || value.len() > VALUE_BYTES_MAX {
            return false;
        } else if let Cow::Owned(redacted) = redact(&value) {
            value = redacted;
        }
        let start = self.out.len();
        self.member(key, &value);
        let fits = self.out.len() <= OBJECT_BYTES_MAX - DROPPED_BYTES_MAX;
        if !fits {
            self.out.truncate(start);
            self.keys -= 1;
        }
        fits
    }

    fn member(&mut self, key: &str, json: &str) {
        self.out.push(if self.out.is_empty() { '{' } else { ',' });
        push_string(&redact(key), &mut self.out);
        self.out.push(':');
        self.out.push_str(json);
        self.keys += 1;
    }

    fn finish(mut self) -> Attributes {
        if !self.dropped.is_empty() {
            let list = self.list_of_dropped();
            self.member(DROPPED_KEY, &list);
        }
        let mut out = self.out;
        if out.is_empty() {
            return Attributes { json: None, cut: self.cut };
        }
        out.push('}');
        Attributes { json: Some(out.into_boxed_str()), cut: self.cut }
    }

    /// The names of what was dropped; when they do not fit either, the number of the others.
    fn list_of_dropped(&self) -> String {
        /// `,"and 4294967295 more"]`, the key and the braces.
        const RESERVE: usize = 64;
        let mut list = String::from("[");
        for (at, key) in self.dropped.iter().enumerate() {
            let before = list.len();
            if at > 0 {
                list.push(',');
            }
            push_string(&redact_to(key, DROPPED_KEY_BYTES_MAX).0, &mut list);
            if list.len() > DROPPED_BYTES_MAX - RESERVE {
                list.truncate(before);
                let comma = if at > 0 { "," } else { "" };
                list.push_str(&format!("{comma}\"and {} more\"", self.dropped.len() - at));
                break;
            }
        }
        list.push(']');
        list
    }
}
