//! Attributes, as they are written: names with a value each, and the JSON object of a row flattened to them.

use super::super::genai::Dialect;
use super::super::own;
use super::super::writing::{self, message};
use crate::event::Table;
use crate::jsontext::{unescape, unquoted};

/// Appends attributes to a message, which has them under this field.
pub(super) struct Attributes<'o> {
    field: u8,
    out: &'o mut Vec<u8>,
}

impl<'o> Attributes<'o> {
    pub(super) fn new(field: u8, out: &'o mut Vec<u8>) -> Attributes<'o> {
        Attributes { field, out }
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.attribute(name, |out| writing::bytes(out, STRING, value.as_bytes()));
    }

    pub(super) fn whole(&mut self, name: &str, value: i64) {
        self.attribute(name, |out| writing::number(out, INT, value as u64));
    }

    pub(super) fn real(&mut self, name: &str, value: f64) {
        self.attribute(name, |out| writing::fixed64(out, DOUBLE, value.to_bits()));
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.attribute(name, |out| writing::number(out, BOOL, value.into()));
    }

    /// A list of one text.
    pub(super) fn list_of(&mut self, name: &str, only: &str) {
        self.attribute(name, |out| {
            message(out, ARRAY, |out| message(out, VALUES, |out| writing::bytes(out, STRING, only.as_bytes())));
        });
    }

    /// The members of the `attributes` of a row, each under its own name, or under one of ours where its own says something
    /// else of such a row: no name may come twice.
    pub(super) fn object(&mut self, json: &str, table: Table) {
        let start = self.out.len();
        let name = |key: &str| {
            let is_taken = key.starts_with(own::PREFIX) || Dialect::spans().claims(key.as_bytes(), table);
            if is_taken { format!("{}{key}", own::ATTRIBUTES) } else { key.to_owned() }
        };
        let mut walk = Json { rest: json };
        let written = walk.members(self.field, name, 0, self.out);
        if written.is_none() || !walk.rest.trim_start().is_empty() {
            // Somebody wrote what is no JSON object into the file: it goes as it is.
            self.out.truncate(start);
            self.text(WHOLE, json);
        }
    }

    fn attribute(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        key_value(self.field, name, self.out, value);
    }
}

fn key_value(field: u8, name: &str, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    message(out, field, |out| {
        writing::bytes(out, KEY, name.as_bytes());
        message(out, VALUE, value);
    });
}

/// JSON that was checked when it was stored. It is walked by hand because it may hold half surrogate pairs, which
/// serde_json takes nowhere but in raw values. `None` = it is no JSON after all.
struct Json<'a> {
    rest: &'a str,
}

impl<'a> Json<'a> {
    /// The object that comes next, as fields with attributes. `name` = what a key is called.
    fn members(&mut self, field: u8, name: impl Fn(&str) -> String, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        self.expect('{')?;
        let mut more = !self.take('}');
        while more {
            let key = name(&unescape(unquoted(self.string()?)?));
            self.expect(':')?;
            let mut written = None;
            key_value(field, &key, out, |out| written = self.value(depth, out));
            written?;
            more = self.take(',');
            if !more {
                self.expect('}')?;
            }
        }
        Some(())
    }

    /// The value that comes next, as the content of an `AnyValue`.
    fn value(&mut self, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        match self.peek()? {
            '{' | '[' if depth >= DEPTH_MAX => writing::bytes(out, STRING, self.nested()?.as_bytes()),
            '{' => {
                let mut written = None;
                message(out, KVLIST, |out| written = self.members(VALUES, str::to_owned, depth + 1, out));
                written?;
            }
            '[' => {
                let mut written = None;
                message(out, ARRAY, |out| written = self.elements(depth + 1, out));
                written?;
            }
            '"' => writing::bytes(out, STRING, unescape(unquoted(self.string()?)?).as_bytes()),
            _ => scalar(self.word()?, out)?,
        }
        Some(())
    }

    fn elements(&mut self, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        self.expect('[')?;
        let mut more = !self.take(']');
        while more {
            let mut written = None;
            message(out, VALUES, |out| written = self.value(depth, out));
            written?;
            more = self.take(',');
            if !more {
                self.expect(']')?;
            }
        }
        Some(())
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        self.take(wanted).then_some(())
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        (self.peek()? == '"').then_some(())?;
        let length = string_length(self.rest)?;
        Some(self.cut(length))
    }

    /// A number or one of the three words.
    fn word(&mut self) -> Option<&'a str> {
        let is_of_it = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let length = self.rest.find(|c| !is_of_it(c)).unwrap_or(self.rest.len());
        (length > 0).then(|| self.cut(length))
    }

    /// An object or a list, whole.
    fn nested(&mut self) -> Option<&'a str> {
        let mut open = 0_usize;
        let mut at = 0;
        loop {
            match self.rest.as_bytes().get(at)? {
                b'"' => at += string_length(&self.rest[at..])? - 1,
                b'{' | b'[' => open += 1,
                b'}' | b']' => open = open.checked_sub(1)?,
                _ => {}
            }
            at += 1;
            if open == 0 {
                return Some(self.cut(at));
            }
        }
    }

    fn cut(&mut self, length: usize) -> &'a str {
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        head
    }
}

/// Bytes of the string that the text begins with, quotes included.
fn string_length(text: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.as_bytes().get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A number or a word; null is a value of no type. What no number of OTLP can say is a text.
fn scalar(word: &str, out: &mut Vec<u8>) -> Option<()> {
    match word {
        "null" => {}
        "true" | "false" => writing::number(out, BOOL, u64::from(word == "true")),
        _ => {
            let real: f64 = word.parse().ok()?;
            match word.parse::<i64>() {
                Ok(whole) => writing::number(out, INT, whole as u64),
                Err(_) if real.is_finite() => writing::fixed64(out, DOUBLE, real.to_bits()),
                Err(_) => writing::bytes(out, STRING, word.as_bytes()),
            }
        }
    }
    Some(())
}

/// Deeper values are texts of JSON: our own reader, for one, takes no record that is nested more than 16 deep.
const DEPTH_MAX: usize = 8;
/// `attributes` that are no JSON object.
const WHOLE: &str = "openclaw_trace.attributes";
/// `KeyValue`
const KEY: u8 = 1;
const VALUE: u8 = 2;
/// `AnyValue`
const STRING: u8 = 1;
const BOOL: u8 = 2;
const INT: u8 = 3;
const DOUBLE: u8 = 4;
const ARRAY: u8 = 5;
const KVLIST: u8 = 6;
/// `ArrayValue.values`, `KeyValueList.values`
const VALUES: u8 = 1;
