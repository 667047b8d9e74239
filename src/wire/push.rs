//! Rows -> the body of a push, and the receiver's receipt (docs/wire.md).
//!
//! A body is [`head`], then for each table its name and its rows, then [`TAIL`]. Pure: the pieces
//! are appended to a buffer, so that a body can be made, and measured, one page at a time.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{Identity, Sender};
use crate::event::{Table, Value};

/// Appends everything that comes before the first table. A name that is not known is `null`.
pub fn head(batch_id: &str, sender: &Sender<'_>, out: &mut Vec<u8>) {
    let Sender { instance_id, identity, version } = *sender;
    let agent = Agent { instance_id, identity, version };
    out.extend_from_slice(b"{\"schema_version\":");
    json(&SCHEMA_VERSION, out);
    out.extend_from_slice(b",\"batch_id\":");
    json(&batch_id, out);
    out.extend_from_slice(b",\"agent\":");
    json(&agent, out);
}

/// Appends the beginning of a table; its rows follow, with commas between them, and [`TABLE_END`].
pub fn table_start(table: Table, out: &mut Vec<u8>) {
    out.push(b',');
    json(&table.name(), out);
    out.extend_from_slice(b":[");
}

/// Follows the rows of a table.
pub const TABLE_END: &[u8] = b"]";
/// Follows the last table.
pub const TAIL: &[u8] = b"}";

/// Appends one row: an object of its columns. A column that is NULL is left out, JSON is put in as
/// the value it is, and a number that JSON cannot write (infinite, not a number) is `null`.
pub fn row(columns: &[(&'static str, Value<'_>)], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (name, value) in columns {
        if matches!(value, Value::Null) {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        json(name, out);
        out.push(b':');
        match value {
            Value::Null => unreachable!("left out above"),
            Value::Integer(number) => json(number, out),
            Value::Real(number) => json(number, out),
            Value::Text(text) => json(text, out),
            Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
    out.push(b'}');
}

/// What a receiver says of a batch. Rows that it does not name are durable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Receipt {
    /// The batch that it speaks of, if it says so.
    pub batch_id: Option<String>,
    /// Rows that it took, if it says so.
    pub accepted: Option<u64>,
    /// Rows that it had before, if it says so.
    pub duplicates: Option<u64>,
    /// Rows that it does not take.
    pub rejected: Rejected,
}

impl Receipt {
    /// How many rows it speaks of, if it speaks of all.
    pub fn rows(&self) -> Option<u64> {
        let rejected = self.rejected.unnamed + self.rejected.rows.len() as u64;
        Some(self.accepted?.saturating_add(self.duplicates?).saturating_add(rejected))
    }
}

/// Rows that a receiver does not take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Those that it names.
    pub rows: Vec<RejectedRow>,
    /// How many there are besides.
    pub unnamed: u64,
}

/// A row that the receiver does not take, as far as it said so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RejectedRow {
    /// Its table.
    #[serde(deserialize_with = "cut_text")]
    pub table: Option<String>,
    /// Its id.
    #[serde(deserialize_with = "cut_text")]
    pub trace_id: Option<String>,
    /// Why, in one word.
    #[serde(deserialize_with = "cut_text")]
    pub code: Option<String>,
    /// Why, in a sentence.
    #[serde(deserialize_with = "cut_text")]
    pub message: Option<String>,
    /// Whether it may be sent again later.
    pub retryable: Option<bool>,
}

/// Reads the body of a 200 or 207. `None` if it is no receipt: it must be empty or a JSON object, and
/// `rejected`, if there, a list of rows or a number.
pub fn receipt(body: &[u8]) -> Option<Receipt> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Some(Receipt::default());
    }
    // serde takes a list for a struct too; a receipt is an object.
    if body[0] != b'{' {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// The most rows of a batch, and so of what is kept of a receipt.
pub const ROWS_MAX: usize = 5000;
/// The most that is kept of what a receiver says of a row: there may be thousands.
const TEXT_BYTES_MAX: usize = 200;

/// Anything but a text is as good as nothing.
fn cut_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    from.deserialize_any(CutText)
}

struct CutText;

impl<'de> Visitor<'de> for CutText {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<String>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Rises when a receiver of the older form would misread the newer one.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Agent<'a> {
    instance_id: &'a str,
    #[serde(flatten)]
    identity: &'a Identity,
    version: &'a str,
}

impl<'de> Deserialize<'de> for Rejected {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rejected, D::Error> {
        from.deserialize_any(RejectedVisitor)
    }
}

struct RejectedVisitor;

impl<'de> Visitor<'de> for RejectedVisitor {
    type Value = Rejected;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows, or their number")
    }

    fn visit_unit<E>(self) -> Result<Rejected, E> {
        Ok(Rejected::default())
    }

    fn visit_u64<E>(self, unnamed: u64) -> Result<Rejected, E> {
        Ok(Rejected { rows: Vec::new(), unnamed })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rejected, A::Error> {
        let mut rejected = Rejected::default();
        while let Some(row) = list.next_element::<RejectedRow>()? {
            // Without an id nobody can tell which row it is, and more than were ever sent at once are none of ours.
            if row.trace_id.is_none() || rejected.rows.len() == ROWS_MAX {
                rejected.unnamed += 1;
            } else {
                rejected.rows.push(row);
            }
        }
        Ok(rejected)
    }
}

/// Appends a value as JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    if let Err(error) = serde_json::to_writer(out, value) {
        unreachable!("a Vec takes every byte, and texts and numbers are always JSON: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_is_an_object_of_the_columns_that_have_a_value() {
        let columns = [
            ("trace_id", Value::Text("a\"b\n\u{1}\u{e9}")),
            ("provider", Value::Null),
            ("latency_ms", Value::Integer(i64::MIN)),
            ("cost_usd", Value::Real(0.1)),
            ("cpu_percent", Value::Real(f64::NAN)),
            ("load_1m", Value::Real(f64::INFINITY)),
            ("attributes", Value::Json("{\"k\": [1, null]}")),
        ];
        let expected = r#"{"trace_id":"a\"b\n\u0001é","latency_ms":-9223372036854775808,"cost_usd":0.1,"#.to_owned()
            + r#""cpu_percent":null,"load_1m":null,"attributes":{"k": [1, null]}}"#;
        assert_eq!(text(|out| row(&columns, out)), expected);
        assert_eq!(text(|out| row(&[("a", Value::Null), ("b", Value::Integer(1))], out)), r#"{"b":1}"#);
        assert_eq!(text(|out| row(&[], out)), "{}");
    }

    #[test]
    fn a_body_of_no_rows_is_the_envelope_of_the_contract() {
        let identity = Identity { hostname: Some("h\"1".to_owned()), ..Identity::default() };
        let sender = Sender { instance_id: "i", identity: &identity, version: "0.1.0" };
        let body = text(|out| {
            head("b-1", &sender, out);
            for table in Table::ALL {
                table_start(table, out);
                out.extend_from_slice(TABLE_END);
            }
            out.extend_from_slice(TAIL);
        });
        let expected = serde_json::json!({
            "schema_version": 1, "batch_id": "b-1",
            "agent": {"instance_id": "i", "hostname": "h\"1", "fly_app_name": null, "fly_machine_id": null,
                      "fly_region": null, "fly_image_ref": null, "fly_process_group": null, "version": "0.1.0"},
            "llm_traces": [], "system_metrics": [], "custom_events": [], "error_events": []});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
    }

    #[test]
    fn only_nothing_or_an_object_is_a_receipt() {
        for body in ["", " \r\n", "{}", r#"{"rejected":null}"#, r#"{"rejected":[]}"#, r#"{"rejected":0,"x":[1]}"#] {
            assert_eq!(receipt(body.as_bytes()), Some(Receipt::default()), "{body}");
        }
        for body in [
            "<html>",
            "ok",
            "[]",
            "[null]",
            "null",
            "\"x\"",
            "{",
            "{}{}",
            r#"{"rejected":"all"}"#,
            r#"{"rejected":-1}"#,
            r#"{"rejected":[1]}"#,
            r#"{"accepted":"5"}"#,
            "\u{feff}{}",
        ] {
            assert_eq!(receipt(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_receipt_names_the_rows_that_are_not_taken_and_why_in_few_words() {
        let long = "\u{20ac}".repeat(999);
        let body = format!(
            r#"{{"schema_version":1,"batch_id":"b","accepted":3,"duplicates":1,"rejected":[
               {{"table":"llm_traces","trace_id":"t","code":null,"message":"{long}","retryable":false}},
               {{"trace_id":"u","code":7,"retryable":true,"index":4}},{{"table":"x"}}]}}"#
        );
        let receipt = receipt(body.as_bytes()).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let first = RejectedRow {
            table: text("llm_traces"),
            trace_id: text("t"),
            code: None,
            message: Some("\u{20ac}".repeat(66)),
            retryable: Some(false),
        };
        let second = RejectedRow { trace_id: text("u"), retryable: Some(true), ..RejectedRow::default() };
        assert_eq!(receipt.rejected, Rejected { rows: vec![first, second], unnamed: 1 });
        assert_eq!((receipt.batch_id.as_deref(), receipt.rows()), (Some("b"), Some(7)));
    }

    #[test]
    fn a_receipt_that_counts_only_some_speaks_of_no_whole() {
        assert_eq!(receipt(br#"{"rejected":3}"#).unwrap().rejected.unnamed, 3);
        for body in [r#"{"accepted":3}"#, r#"{"duplicates":3,"rejected":[]}"#] {
            assert_eq!(receipt(body.as_bytes()).unwrap().rows(), None);
        }
        assert_eq!(receipt(br#"{"accepted":18446744073709551615,"duplicates":2}"#).unwrap().rows(), Some(u64::MAX));
    }
}
