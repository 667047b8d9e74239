//! A pushed body -> rows, as a receiver reads it, and the answer to it (docs/wire.md, "Receiving").
//!
//! Of a row only its id and its time are read: everything else of it stays the text that came, so that a table or a column of
//! a later version loses nothing here. Pure; what is read borrows from the body.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The one version of the body that is taken.
pub const SCHEMA_VERSION: u64 = 1;
/// Rows in one body: twice as many as a sidecar sends.
pub const ROWS_MAX: usize = 10_000;
/// Tables in one body: eight times as many as there are.
const TABLES_MAX: usize = 32;
/// Bytes of the name of a table.
const TABLE_NAME_BYTES_MAX: usize = 64;
/// Bytes of the id of a row, a batch or an instance. Ours are UUIDs of 36.
const ID_BYTES_MAX: usize = 200;
/// Bytes of the agent object: ours has some 400.
const AGENT_BYTES_MAX: usize = 16 << 10;
/// Levels of a row. Ours have a dozen, and SQLite's functions read no JSON of more than a thousand.
const DEPTH_MAX: usize = 128;

/// One push.
#[derive(Debug, PartialEq)]
pub struct Pushed<'a> {
    /// Id of the body.
    pub batch_id: Cow<'a, str>,
    /// Who sent it.
    pub instance_id: Cow<'a, str>,
    /// All that it says of itself: a JSON object.
    pub agent: &'a str,
    /// Its rows, table by table, in the order of the body.
    pub tables: Vec<Rows<'a>>,
    /// Rows that are none, likewise.
    pub rejected: Vec<Rejected<'a>>,
}

/// Rows of one table.
#[derive(Debug, PartialEq)]
pub struct Rows<'a> {
    /// The table.
    pub table: Cow<'a, str>,
    /// The rows that can be stored.
    pub rows: Vec<Row<'a>>,
}

/// One row.
#[derive(Debug, PartialEq)]
pub struct Row<'a> {
    /// Where it stands in the array of its table.
    pub index: usize,
    /// Its id.
    pub trace_id: Cow<'a, str>,
    /// When it happened, Unix milliseconds.
    pub timestamp: i64,
    /// All of it: a JSON object.
    pub body: &'a str,
}

/// A row that is not taken, as the answer names it.
#[derive(Debug, PartialEq, Serialize)]
pub struct Rejected<'a> {
    /// Its table.
    pub table: Cow<'a, str>,
    /// Its id, if it has one.
    pub trace_id: Option<Cow<'a, str>>,
    /// Where it stands in the array of its table.
    pub index: usize,
    /// Why, in one word.
    pub code: &'static str,
    /// What was wanted.
    pub message: &'static str,
    /// Whether the same row may be taken another time.
    pub retryable: bool,
}

/// Why nothing of a body is taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not what the contract says.
    Malformed(String),
    /// It has more than one body may have.
    TooMany(String),
}

/// Reads a body; `key` is the value of its Idempotency-Key header, if one came.
///
/// # Errors
/// [`Fault`]: nothing of it is taken. A row that is none is not an error: it is in [`Pushed::rejected`].
pub fn read<'a>(body: &'a [u8], key: Option<&str>) -> Result<Pushed<'a>, Fault> {
    let text = std::str::from_utf8(body).map_err(|error| malformed(format!("the body is not UTF-8: {error}")))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let envelope = json.deserialize_map(Envelope::default()).and_then(|envelope| json.end().map(|()| envelope));
    let envelope = envelope.map_err(|error| malformed(format!("expected one JSON object: {error}")))?;
    envelope.pushed(key)
}

/// The top level of a body. Its names come in any order.
#[derive(Default)]
struct Envelope<'a> {
    schema_version: Option<&'a str>,
    batch_id: Option<&'a str>,
    agent: Option<&'a str>,
    tables: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'de> Visitor<'de> for Envelope<'de> {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        while let Some(Name(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            let value = value.get();
            let place = match &*name {
                "schema_version" => &mut self.schema_version,
                "batch_id" => &mut self.batch_id,
                "agent" => &mut self.agent,
                // What is neither of these nor a list is of a later version, and tells nothing of rows.
                _ if !value.starts_with('[') => continue,
                _ => {
                    self.tables.push((name, value));
                    continue;
                }
            };
            if place.replace(value).is_some() {
                return Err(A::Error::custom(format_args!("{name} is there twice")));
            }
        }
        Ok(self)
    }
}

/// A name that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Envelope<'a> {
    fn pushed(self, key: Option<&str>) -> Result<Pushed<'a>, Fault> {
        let version = self.schema_version.ok_or_else(|| malformed("schema_version is missing"))?;
        if version.parse() != Ok(SCHEMA_VERSION) {
            return Err(malformed(format!("schema_version: this receiver takes {SCHEMA_VERSION}")));
        }
        let batch_id = self.batch_id.ok_or_else(|| malformed("batch_id is missing"))?;
        let batch_id = id(batch_id).ok_or_else(|| malformed(format!("batch_id: {ID_WANTED}")))?;
        if key.is_some_and(|key| key != batch_id) {
            return Err(malformed("the Idempotency-Key header is not the batch_id of the body"));
        }
        let agent = self.agent.ok_or_else(|| malformed("agent is missing"))?;
        let instance_id = instance_id(agent)?;
        if self.tables.len() > TABLES_MAX {
            return Err(Fault::TooMany(format!("one body may have {TABLES_MAX} tables")));
        }
        let mut pushed = Pushed { batch_id, instance_id, agent, tables: Vec::new(), rejected: Vec::new() };
        let mut left = ROWS_MAX;
        for (table, list) in self.tables {
            if !is_table(&table) {
                let shown: String = table.chars().take(TABLE_NAME_BYTES_MAX).collect();
                return Err(malformed(format!(
                    "a table is named by 1 to {TABLE_NAME_BYTES_MAX} of a-z and _, this one is {shown:?}"
                )));
            }
            let mut rows = Rows { table, rows: Vec::new() };
            let mut json = serde_json::Deserializer::from_str(list);
            let listed =
                json.deserialize_seq(List { rows: &mut rows, rejected: &mut pushed.rejected, left: &mut left });
            // All of it was read as JSON before: what is left to go wrong is the number of rows.
            listed.map_err(|_| Fault::TooMany(format!("one body may have {ROWS_MAX} rows, send fewer at a time")))?;
            pushed.tables.push(rows);
        }
        Ok(pushed)
    }
}

fn instance_id(agent: &str) -> Result<Cow<'_, str>, Fault> {
    #[derive(Deserialize)]
    struct Agent<'a> {
        #[serde(borrow)]
        instance_id: &'a RawValue,
    }
    if !agent.starts_with('{') {
        return Err(malformed("agent: expected an object"));
    }
    if agent.len() > AGENT_BYTES_MAX || depth(agent) > DEPTH_MAX {
        return Err(malformed(format!("agent: expected at most {AGENT_BYTES_MAX} bytes and {DEPTH_MAX} levels")));
    }
    let found: Result<Agent<'_>, _> = serde_json::from_str(agent);
    let found = found.ok().and_then(|agent| id(agent.instance_id.get()));
    found.ok_or_else(|| malformed(format!("agent.instance_id: {ID_WANTED}, and once")))
}

struct List<'a, 'b> {
    rows: &'b mut Rows<'a>,
    rejected: &'b mut Vec<Rejected<'a>>,
    left: &'b mut usize,
}

impl<'de> Visitor<'de> for List<'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(row) = list.next_element::<&RawValue>()? {
            *self.left = self.left.checked_sub(1).ok_or_else(|| A::Error::custom("too many rows"))?;
            match read_row(row.get(), index) {
                Ok(row) => self.rows.rows.push(row),
                Err(no) => self.rejected.push(Rejected {
                    table: self.rows.table.clone(),
                    trace_id: no.trace_id,
                    index,
                    code: no.code,
                    message: no.message,
                    retryable: false,
                }),
            }
            index += 1;
        }
        Ok(())
    }
}

/// Why a row is none.
struct NoRow<'a> {
    trace_id: Option<Cow<'a, str>>,
    code: &'static str,
    message: &'static str,
}

fn read_row(body: &str, index: usize) -> Result<Row<'_>, NoRow<'_>> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        trace_id: Option<&'a RawValue>,
        #[serde(borrow)]
        timestamp: Option<&'a RawValue>,
    }
    let no = |trace_id, code, message| Err(NoRow { trace_id, code, message });
    // serde takes a list for a struct too.
    if !body.starts_with('{') {
        return no(None, "not_an_object", "expected an object");
    }
    let Ok(Head { trace_id, timestamp }) = serde_json::from_str(body) else {
        return no(None, "invalid_field", "trace_id or timestamp is there twice");
    };
    let Some(trace_id) = trace_id.and_then(|raw| id(raw.get())) else {
        return no(None, "invalid_field", "trace_id: expected a string of 1 to 200 bytes");
    };
    if depth(body) > DEPTH_MAX {
        return no(Some(trace_id), "too_deep", "expected at most 128 levels");
    }
    match timestamp.and_then(|raw| raw.get().parse().ok()) {
        Some(timestamp) => Ok(Row { index, trace_id, timestamp, body }),
        None => no(Some(trace_id), "invalid_field", "timestamp: expected an integer, in milliseconds since 1970"),
    }
}

const ID_WANTED: &str = "expected a string of 1 to 200 bytes";

/// The text of an id, if the value is one. Half a surrogate pair is not replaced and NUL is not taken: two ids must not become
/// one.
fn id(raw: &str) -> Option<Cow<'_, str>> {
    let Name(text) = serde_json::from_str(raw).ok()?;
    ((1..=ID_BYTES_MAX).contains(&text.len()) && !text.contains('\0')).then_some(text)
}

fn is_table(name: &str) -> bool {
    (1..=TABLE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// How deep lists and objects are in each other, in what is known to be JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn malformed(message: impl Into<String>) -> Fault {
    Fault::Malformed(message.into())
}

/// The body of the answer to a push of which something is stored, or was before.
pub fn answer(pushed: &Pushed<'_>, accepted: u64, duplicates: u64) -> Vec<u8> {
    #[derive(Serialize)]
    struct Answer<'a> {
        schema_version: u64,
        batch_id: &'a str,
        accepted: u64,
        duplicates: u64,
        rejected: &'a [Rejected<'a>],
    }
    let Pushed { batch_id, rejected, .. } = pushed;
    let answer = Answer { schema_version: SCHEMA_VERSION, batch_id, accepted, duplicates, rejected };
    serde_json::to_vec(&answer)
        .unwrap_or_else(|error| unreachable!("texts and numbers under text keys are always JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(tables: &str) -> String {
        format!(r#"{{"schema_version":1,"batch_id":"b","agent":{{"instance_id":"i","x":[1]}}{tables}}}"#)
    }

    fn rejected(row: &str) -> (Option<String>, usize, &'static str) {
        let body = body(&format!(r#","llm_traces":[{{"trace_id":"a","timestamp":1}},{row}]"#));
        let pushed = read(body.as_bytes(), None).unwrap();
        assert_eq!(pushed.tables[0].rows.len(), 1, "{row}");
        let [no] = pushed.rejected.as_slice() else { panic!("{row}: {:?}", pushed.rejected) };
        assert!(!no.retryable && no.table == "llm_traces");
        (no.trace_id.as_deref().map(str::to_owned), no.index, no.code)
    }

    #[test]
    fn rows_are_kept_as_they_came_in_whatever_order_the_names_are() {
        let body = r#"{"later":[ {"b" : 1e999, "trace_id":"r\u002d1","timestamp": -5} ],"note":{"a":[1]},
            "agent":{"v":1,"instance_id":"i"},"empty":[],"batch_id":"b","schema_version":1}"#;
        let pushed = read(body.as_bytes(), Some("b")).unwrap();
        assert_eq!((&*pushed.batch_id, &*pushed.instance_id), ("b", "i"));
        assert_eq!(pushed.agent, r#"{"v":1,"instance_id":"i"}"#);
        assert_eq!(
            pushed.tables.iter().map(|t| (&*t.table, t.rows.len())).collect::<Vec<_>>(),
            [("later", 1), ("empty", 0)]
        );
        let row = &pushed.tables[0].rows[0];
        assert_eq!((&*row.trace_id, row.timestamp, row.index), ("r-1", -5, 0));
        assert_eq!(row.body, r#"{"b" : 1e999, "trace_id":"r\u002d1","timestamp": -5}"#);
        assert_eq!(pushed.rejected, []);
    }

    #[test]
    fn a_row_that_is_none_is_named_and_the_others_are_taken() {
        let named = |id: &str| Some(id.to_owned());
        for row in ["1", "null", "[\"x\",5]", "\"x\""] {
            assert_eq!(rejected(row), (None, 1, "not_an_object"), "{row}");
        }
        for row in [
            "{}",
            r#"{"timestamp":1}"#,
            r#"{"trace_id":"","timestamp":1}"#,
            r#"{"trace_id":7,"timestamp":1}"#,
            r#"{"trace_id":null,"timestamp":1}"#,
            r#"{"trace_id":"\ud800","timestamp":1}"#,
            r#"{"trace_id":"\u0000","timestamp":1}"#,
            r#"{"trace_id":"x","trace_id":"x","timestamp":1}"#,
            &format!(r#"{{"trace_id":"{}","timestamp":1}}"#, "x".repeat(201)),
        ] {
            assert_eq!(rejected(row), (None, 1, "invalid_field"), "{row}");
        }
        for time in ["1.0", "1e3", "\"1\"", "null", "9223372036854775808", "{}"] {
            let row = format!(r#"{{"trace_id":"x","timestamp":{time}}}"#);
            assert_eq!(rejected(&row), (named("x"), 1, "invalid_field"), "{row}");
        }
        let nested =
            |levels| format!(r#"{{"trace_id":"x","timestamp":1,"a":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert_eq!(rejected(&nested(DEPTH_MAX)), (named("x"), 1, "too_deep"));
        let deepest = body(&format!(r#","t":[{}]"#, nested(DEPTH_MAX - 1)));
        assert_eq!(read(deepest.as_bytes(), None).unwrap().rejected, []);
    }

    #[test]
    fn what_is_no_push_is_told_what_is_wrong_with_it() {
        let fault = |body: &str, wanted: &str| match read(body.as_bytes(), Some("b")) {
            Err(Fault::Malformed(message)) => assert!(message.contains(wanted), "{body}: {message}"),
            other => panic!("{body}: {other:?}"),
        };
        for body in ["", "[]", "1", "{", "{}x", "\u{feff}{}"] {
            fault(body, "expected one JSON object");
        }
        fault("{}", "schema_version is missing");
        for version in ["2", "0", "\"1\"", "1.0", "null"] {
            fault(&format!(r#"{{"schema_version":{version},"batch_id":"b"}}"#), "this receiver takes 1");
        }
        fault(r#"{"schema_version":1,"schema_version":1}"#, "twice");
        fault(r#"{"schema_version":1}"#, "batch_id is missing");
        fault(r#"{"schema_version":1,"batch_id":1}"#, "batch_id: expected");
        fault(r#"{"schema_version":1,"batch_id":"c"}"#, "Idempotency-Key");
        fault(r#"{"schema_version":1,"batch_id":"b"}"#, "agent is missing");
        fault(r#"{"schema_version":1,"batch_id":"b","agent":["i"]}"#, "expected an object");
        for agent in [r#"{}"#, r#"{"instance_id":""}"#, r#"{"instance_id":"i","instance_id":"i"}"#] {
            fault(&format!(r#"{{"schema_version":1,"batch_id":"b","agent":{agent}}}"#), "agent.instance_id");
        }
        fault(&body(r#","Rows":[]"#), "a table is named");
        fault(&body(&format!(r#","{}":[]"#, "t".repeat(65))), "a table is named");
        assert!(matches!(read(b"{\"schema_version\":1,\"batch_id\":\"\xff\"}", None), Err(Fault::Malformed(_))));
    }

    #[test]
    fn a_body_has_a_most_of_rows_and_tables() {
        let rows = |count| body(&format!(r#","t":[{}]"#, vec!["1"; count].join(",")));
        assert_eq!(read(rows(ROWS_MAX).as_bytes(), None).unwrap().rejected.len(), ROWS_MAX);
        assert!(matches!(read(rows(ROWS_MAX + 1).as_bytes(), None), Err(Fault::TooMany(_))));
        let tables: String = (0..=TABLES_MAX).map(|n| format!(r#","{}":[]"#, "t".repeat(n + 1))).collect();
        assert!(matches!(read(body(&tables).as_bytes(), None), Err(Fault::TooMany(_))));
    }

    #[test]
    fn brackets_in_texts_are_no_levels() {
        assert_eq!(depth(r#"{"a":"[[\"[","b":[{}]}"#), 3);
        assert_eq!(depth(r#""\\""#), 0);
    }

    #[test]
    fn the_answer_names_what_is_refused() {
        let body = body(r#","t":[5]"#);
        let answer = answer(&read(body.as_bytes(), None).unwrap(), 3, 2);
        let expected = r#"{"schema_version":1,"batch_id":"b","accepted":3,"duplicates":2,"rejected":[{"table":"t","trace_id":null,"index":0,"code":"not_an_object","message":"expected an object","retryable":false}]}"#;
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }
}
