//! Native JSON: the bodies of `POST /v1/traces`, `/v1/events` and `/v1/errors` become events.
//!
//! Owns the names, types and units of these bodies (docs/wire.md). Promises: a body that is not JSON
//! yields nothing; of any other body each item is accepted whole or rejected with the field that was
//! wrong; what has no column is kept in `attributes`, and what did not fit there is named there. No tree of
//! the body is built: fields are borrowed from it, item by item.

mod apart;
mod attributes;
mod fields;
mod names;
mod row;
mod rows;
mod usage;
mod value;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::config::TextConfig;
use crate::event::{Event, EventId, Table};
use crate::redact::redact_to;

use fields::{Fields, each_field, each_item};
use names::Names;

/// What a body does not say itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// When the request came, Unix milliseconds: the time of items that have none of their own.
    pub now_ms: i64,
    /// What becomes of prompts and completions.
    pub text: TextConfig,
    /// The request's `Idempotency-Key`: makes the ids of items that have none of their own.
    pub idempotency_key: Option<&'a str>,
    /// The most items that a body may have.
    pub items_max: usize,
}

/// What became of the items of one body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Ids of the accepted items, in their order.
    pub ids: Vec<EventId>,
    /// The others.
    pub rejected: Vec<Rejected>,
}

/// One item that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its position in the body, from 0.
    pub index: usize,
    /// The field that was wrong, as it was sent; empty when it was the item itself.
    pub field: Cow<'static, str>,
    /// What was wanted and what was found.
    pub message: String,
}

/// Why nothing of a body is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not JSON in UTF-8.
    #[error("{message}")]
    Syntax {
        /// What is wrong, and where.
        message: String,
    },
    /// It has more items than it may.
    #[error("expected at most {items_max} items in one request")]
    TooMany {
        /// How many it may have.
        items_max: usize,
    },
    /// It is JSON, but none of ours.
    #[error("{message}")]
    NotNative {
        /// What it is instead.
        message: String,
    },
}

/// Reads a body: an object, an array of objects, an object that holds such an array under `traces` (`events`,
/// `errors`), or objects one a line. Each accepted item is handed to `emit` when it has been read.
///
/// # Errors
/// A [`Fault`] of the body as a whole: then nothing counts that was emitted before.
pub fn parse(table: Table, body: &[u8], context: &Context<'_>, emit: &mut dyn FnMut(Event)) -> Result<Report, Fault> {
    let (names, batch_key) = match table {
        Table::LlmTraces => (Names::traces(), "traces"),
        Table::CustomEvents => (Names::events(), "events"),
        Table::ErrorEvents => (Names::errors(), "errors"),
        Table::SystemMetrics => {
            return Err(Fault::NotNative { message: "system_metrics are measured, not posted".into() });
        }
    };
    let text = std::str::from_utf8(body)
        .map_err(|e| Fault::Syntax { message: format!("expected UTF-8, got another byte at {}", e.valid_up_to()) })?;
    // Windows PowerShell and .NET write a byte order mark, which JSON readers may ignore (RFC 8259 section 8.1).
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err(Fault::Syntax { message: "expected JSON, got an empty body".into() });
    }
    let mut reading = Reading { table, names, batch_key, context, emit, report: Report::default(), items: 0 };
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        reading.top(value.map_err(|e| Fault::Syntax { message: e.to_string() })?.get())?;
    }
    Ok(reading.report)
}

/// Keys of an OTLP export request, with what to say about each.
const OTLP_KEYS: [(&str, &str); 6] = [
    ("resourceSpans", "this is an OTLP export of traces"),
    ("resourceLogs", "this is an OTLP export of logs"),
    ("resourceMetrics", "this is an OTLP export of metrics"),
    ("resource_spans", "OTLP JSON wants lowerCamelCase: resourceSpans"),
    ("resource_logs", "OTLP JSON wants lowerCamelCase: resourceLogs"),
    ("resource_metrics", "OTLP JSON wants lowerCamelCase: resourceMetrics"),
];

/// The more an error is shown, the less it is read: 64 bytes show a number, an id or a word.
const SHOWN_BYTES_MAX: usize = 64;

struct Reading<'c, 'e> {
    table: Table,
    names: &'static Names,
    batch_key: &'static str,
    context: &'c Context<'c>,
    emit: &'e mut dyn FnMut(Event),
    report: Report,
    items: usize,
}

/// One field that is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Invalid {
    field: Cow<'static, str>,
    message: String,
}

impl Invalid {
    fn new(field: impl Into<Cow<'static, str>>, wanted: &str, found: &str) -> Invalid {
        let (found, cut) = redact_to(found, SHOWN_BYTES_MAX);
        let more = if cut { "..." } else { "" };
        Invalid { field: field.into(), message: format!("expected {wanted}, got {found}{more}") }
    }
}

impl Reading<'_, '_> {
    /// One value of the body's top level.
    fn top(&mut self, raw: &str) -> Result<(), Fault> {
        match raw.as_bytes().first() {
            Some(b'{') => self.object(raw),
            Some(b'[') => self.array(raw),
            _ => {
                let Invalid { message, .. } = Invalid::new("", "an object or an array of objects", raw);
                Err(Fault::NotNative { message })
            }
        }
    }

    /// An object at the top level: an item, or a batch. What stands beside the array of a batch says
    /// nothing about any item, and is not kept.
    fn object(&mut self, raw: &str) -> Result<(), Fault> {
        let mut fields = Fields::new(self.names);
        let mut batch = None;
        let mut otlp = None;
        each_field(raw, &mut |key, value| {
            if key == self.batch_key && value.starts_with('[') {
                batch = Some(value);
            } else if let Some((_, message)) = OTLP_KEYS.iter().find(|(name, _)| key == *name && value != "null") {
                otlp = Some(*message);
            } else {
                fields.place(key, value);
            }
        })
        .map_err(|e| Fault::Syntax { message: e.to_string() })?;
        match (otlp, batch) {
            (Some(message), _) => Err(Fault::NotNative { message: message.to_owned() }),
            (None, Some(batch)) => self.array(batch),
            (None, None) => self.item(Ok(fields)),
        }
    }

    fn array(&mut self, raw: &str) -> Result<(), Fault> {
        let mut result = Ok(());
        each_item(raw, &mut |item| {
            if result.is_ok() {
                result = self.element(item);
            }
        })
        .map_err(|e| Fault::Syntax { message: e.to_string() })?;
        result
    }

    fn element(&mut self, raw: &str) -> Result<(), Fault> {
        if !raw.starts_with('{') {
            return self.item(Err(Invalid::new("", "an object", raw)));
        }
        let mut fields = Fields::new(self.names);
        each_field(raw, &mut |key, value| fields.place(key, value))
            .map_err(|e| Fault::Syntax { message: e.to_string() })?;
        self.item(Ok(fields))
    }

    fn item(&mut self, fields: Result<Fields<'_>, Invalid>) -> Result<(), Fault> {
        let index = self.items;
        if index == self.context.items_max {
            return Err(Fault::TooMany { items_max: index });
        }
        self.items += 1;
        match fields.and_then(|fields| rows::event(self.table, fields, index, self.context)) {
            Ok(event) => {
                self.report.ids.push(event.id);
                (self.emit)(event);
            }
            Err(Invalid { field, message }) => self.report.rejected.push(Rejected { index, field, message }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
