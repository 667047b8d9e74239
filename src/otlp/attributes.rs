//! What a span says that has no column: a JSON object of bounded size.

use std::io::Write;

use bytes::Bytes;

use super::genai::{Dialect, is_content};
use super::own;
use super::proto::{Any, KeyValue};
use super::text::{WINDOW_BYTES, cut_head, cut_value, storable};
use crate::event::Table;
use crate::redact::redact;

/// Attributes of one row, growing towards its JSON.
pub(super) struct Leftovers {
    json: String,
    keys: usize,
    dropped: u64,
    was_cut: bool,
    max: Max,
}

/// What an object may hold.
struct Max {
    keys: usize,
    value_bytes: usize,
    row_bytes: usize,
}

impl Leftovers {
    fn new(max: Max) -> Leftovers {
        Leftovers { json: String::from("{"), keys: 0, dropped: 0, was_cut: false, max }
    }

    /// Those of `attributes` that no column of the row took and that are no content, in their order.
    pub(super) fn of(attributes: &[KeyValue], table: Table, dialect: &Dialect) -> Leftovers {
        let mut leftovers = Leftovers::new(OF_OTHERS);
        for attribute in attributes {
            if let Some(value) = attribute.any()
                && dialect.is_leftover(&attribute.key, value, table)
            {
                leftovers.keep(&attribute.key, value);
            }
        }
        leftovers
    }

    /// The `attributes` of a row that another sidecar sent, which has bounded them already.
    pub(super) fn of_own(attributes: &[KeyValue], table: Table) -> Leftovers {
        let mut leftovers = Leftovers::new(OF_A_SIDECAR);
        for attribute in attributes {
            let Some(value) = attribute.any() else { continue };
            let named = attribute.key.strip_prefix(own::ATTRIBUTES.as_bytes());
            let is_its_own = named.is_none() && attribute.key.starts_with(own::PREFIX.as_bytes());
            let key = named.unwrap_or(&attribute.key);
            if !is_its_own && !is_content(key) && (named.is_some() || !Dialect::spans().claims(key, table)) {
                leftovers.keep(&attribute.key.slice_ref(key), value);
            }
        }
        leftovers
    }

    /// Adds a mark of our own.
    pub(super) fn mark(&mut self, key: &'static str, value: &Any) {
        self.keep(&Bytes::from_static(key.as_bytes()), value);
    }

    /// The object, or `None` if nothing is in it, and whether anything was cut or left out.
    pub(super) fn into_json(mut self) -> (Option<Box<str>>, bool) {
        if self.dropped > 0 {
            self.separate();
            self.json.push_str(&format!("\"{DROPPED}\":{}", self.dropped));
        }
        let was_cut = self.was_cut || self.dropped > 0;
        if self.json.len() == 1 {
            return (None, was_cut);
        }
        self.json.push('}');
        (Some(self.json.into_boxed_str()), was_cut)
    }

    fn keep(&mut self, key: &Bytes, value: &Any) {
        let member = member(key, value, self.max.value_bytes).filter(|(member, _)| {
            self.keys < self.max.keys && self.json.len() + member.len() + ROOM_FOR_DROPPED <= self.max.row_bytes
        });
        let Some((member, was_cut)) = member else {
            self.dropped += 1;
            return;
        };
        self.separate();
        self.json.push_str(&member);
        self.keys += 1;
        self.was_cut |= was_cut;
    }

    fn separate(&mut self) {
        if self.json.len() > 1 {
            self.json.push(',');
        }
    }
}

/// `"key":value`, and whether the value was cut. `None` if it cannot be kept.
fn member(key: &[u8], value: &Any, value_bytes_max: usize) -> Option<(String, bool)> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return None;
    }
    let key = storable(key);
    let mut json = serde_json::to_string(&redact(&key)).ok()?;
    json.push(':');
    if let Any::Text(text) = value {
        let (short, was_cut) = cut_value(&key, text, value_bytes_max);
        json.push_str(&serde_json::to_string(&short).ok()?);
        return Some((json, was_cut));
    }
    let (value, is_all) = json_head(value, value_bytes_max);
    json.push_str(&value);
    is_all.then_some((json, false))
}

/// The first `max` bytes of a value as JSON without secrets, and whether that is all of it.
pub(super) fn json_head(value: &Any, max: usize) -> (String, bool) {
    let mut json = Bounded { bytes: Vec::new(), max: max.saturating_add(WINDOW_BYTES) };
    let is_all = serde_json::to_writer(&mut json, &Shown(value)).is_ok();
    let (head, was_cut) = cut_head("", &String::from_utf8_lossy(&json.bytes), is_all, max);
    (head, !was_cut)
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let fits = bytes.len().min(self.max.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A value as plain JSON: what has no type that we read is null, and so is what JSON cannot say.
struct Shown<'a>(&'a Any);

impl serde::Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Any::Text(text) => serializer.serialize_str(&storable(text)),
            Any::Flag(flag) => serializer.serialize_bool(*flag),
            Any::Whole(number) => serializer.serialize_i64(*number),
            Any::Real(number) => serializer.serialize_f64(*number),
            Any::List(list) => serializer.collect_seq(list.values.iter().map(|v| OrNull(v.value.as_ref()))),
            Any::Map(map) => {
                serializer.collect_map(map.values.iter().map(|member| (storable(&member.key), OrNull(member.any()))))
            }
        }
    }
}

struct OrNull<'a>(Option<&'a Any>);

impl serde::Serialize for OrNull<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(value) => Shown(value).serialize(serializer),
            None => serializer.serialize_none(),
        }
    }
}

/// What is kept of a span of anybody.
const OF_OTHERS: Max = Max { keys: KEYS_MAX, value_bytes: VALUE_BYTES_MAX, row_bytes: ROW_BYTES_MAX };
/// What a row has at most that came by any door: 64 keys and two marks, 4 KiB a value, 16 KiB in all. Some more of the last,
/// because here a number may be written longer.
const OF_A_SIDECAR: Max = Max { keys: KEYS_MAX + 2, value_bytes: 4 * VALUE_BYTES_MAX, row_bytes: 18 * 1024 };
/// Twice what OpenClaw puts on a call; half of what an OTel SDK allows a span.
const KEYS_MAX: usize = 64;
/// Names are short; one that is not is somebody's text.
const KEY_BYTES_MAX: usize = 256;
/// Enough for an id, a URL or a reason. Longer values are content.
const VALUE_BYTES_MAX: usize = 1024;
/// The whole object.
const ROW_BYTES_MAX: usize = 16 * 1024;
/// How many attributes were left out of the object, as OTLP counts those that an SDK left out.
const DROPPED: &str = "dropped_attributes_count";
/// `,"dropped_attributes_count":` and a number of 20 digits, and the closing brace.
const ROOM_FOR_DROPPED: usize = DROPPED.len() + 26;

#[cfg(test)]
mod tests {
    use super::super::proto::{AnyValue, KeyValueList, ValueList};
    use super::*;

    fn attribute(key: &str, value: Any) -> KeyValue {
        KeyValue { key: Bytes::copy_from_slice(key.as_bytes()), value: Some(AnyValue { value: Some(value) }) }
    }

    fn text(length: usize) -> Any {
        Any::Text(Bytes::from("x".repeat(length)))
    }

    fn parsed(attributes: &[KeyValue]) -> (serde_json::Value, bool) {
        let (json, was_cut) = Leftovers::of(attributes, Table::LlmTraces, Dialect::spans()).into_json();
        (json.map_or(serde_json::Value::Null, |json| serde_json::from_str(&json).unwrap()), was_cut)
    }

    #[test]
    fn attributes_with_a_column_and_content_are_left_out() {
        let (json, was_cut) = parsed(&[
            attribute("gen_ai.request.model", text(3)),
            attribute("gen_ai.output.messages", Any::Whole(3)),
            attribute("gen_ai.prompt.0.content", text(3)),
            attribute("openclaw.content.system", text(3)),
            attribute("server.port", Any::Whole(443)),
            attribute("server.load", Any::Real(0.5)),
            attribute("odd", Any::Real(f64::NAN)),
        ]);
        assert_eq!(json, serde_json::json!({"server.port": 443, "server.load": 0.5, "odd": null}));
        assert!(!was_cut);
        assert_eq!(parsed(&[]), (serde_json::Value::Null, false));
    }

    #[test]
    fn a_secret_is_known_by_its_name_and_by_itself_wherever_it_stands() {
        let token = format!("ghp{}{}", "_", "a1B2c3D4e5F6".repeat(3));
        let words = |words: &[&str]| {
            let words = words.iter().map(|word| Any::Text(Bytes::copy_from_slice(word.as_bytes())));
            Any::List(ValueList { values: words.map(|word| AnyValue { value: Some(word) }).collect() })
        };
        let password = || Any::Text(Bytes::from_static(b"hunter2xyz"));
        let inner = Any::Map(KeyValueList { values: vec![attribute("password", password())] });
        let (json, was_cut) = parsed(&[
            attribute("db.password", password()),
            attribute("inner", inner),
            attribute("args", words(&["--token", "a1B2c3D4e5F6", "-v"])),
            attribute(&token, words(&[&token])),
        ]);
        let expected = serde_json::json!({
            "db.password": "[redacted:password]",
            "inner": { "password": "[redacted:password]" },
            "args": ["--token", "[redacted:token]", "-v"],
            "[redacted:github-token]": ["[redacted:github-token]"],
        });
        assert_eq!((json, was_cut), (expected, false));
        for max in 0..200 {
            let (head, is_all) = json_head(&words(&["first", &token, "--token", "a1B2c3D4e5F6"]), max);
            assert!(!head.contains("a1B2c3D4") && head.len() <= max, "{max}: {head}");
            assert_eq!(is_all, head.ends_with(']') && head.ends_with("\"]"), "{max}: {head}");
        }
    }

    #[test]
    fn a_long_value_is_cut_and_a_long_list_is_dropped_and_counted() {
        let item = AnyValue { value: Some(text(100)) };
        let list = ValueList { values: vec![item; 20] };
        let (json, was_cut) = parsed(&[attribute("long", text(5000)), attribute("list", Any::List(list))]);
        assert_eq!(json["long"].as_str().unwrap().len(), VALUE_BYTES_MAX);
        assert_eq!(json[DROPPED], 1);
        assert!(was_cut);
    }

    #[test]
    fn the_object_never_has_more_keys_or_bytes_than_its_bounds() {
        let small: Vec<KeyValue> = (0..100).map(|n| attribute(&format!("k{n}"), Any::Whole(n))).collect();
        let (json, _) = parsed(&small);
        assert_eq!(json.as_object().unwrap().len(), KEYS_MAX + 1);
        assert_eq!(json[DROPPED], 36);
        let control = Any::Text(Bytes::from("\u{1}".repeat(2000)));
        let large: Vec<KeyValue> = (0..64).map(|n| attribute(&format!("k{n}"), control.clone())).collect();
        let (json, _) = Leftovers::of(&large, Table::LlmTraces, Dialect::spans()).into_json();
        let json = json.unwrap();
        assert!(json.len() <= ROW_BYTES_MAX && json.len() > ROW_BYTES_MAX / 2, "{}", json.len());
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
    }
}
