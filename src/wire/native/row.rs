//! Typed access to the fields of one item: the readers that every kind of row shares.

use std::borrow::Cow;

use super::attributes::Attributes;
use super::fields::{Fields, Found};
use super::names::{Column, Names};
use super::value::{self, INTEGER_MAX};
use super::{Context, Invalid};
use crate::clock;
use crate::config::Capture;
use crate::event::{EventId, PicoUsd, Severity, Table};
use crate::redact::redact_to;

/// Bytes of a name or an id: longer ones name nothing.
const NAME_BYTES_MAX: usize = 1 << 10;
/// Bytes of a message: the first lines say what happened.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Bytes of a stack trace: about two hundred frames.
const STACKTRACE_BYTES_MAX: usize = 16 << 10;

/// One item while it becomes a row.
pub(super) struct Row<'a, 'c> {
    pub(super) fields: Fields<'a>,
    pub(super) context: &'c Context<'c>,
    /// Whether a text was cut so far.
    pub(super) truncated: bool,
}

impl<'a> Row<'a, '_> {
    /// The id that the item brought, or the one that it gets.
    pub(super) fn id(&self, table: Table, index: usize) -> Result<EventId, Invalid> {
        let Some(found) = self.fields.column(Column::TraceId) else {
            return Ok(match self.context.idempotency_key {
                Some(key) => EventId::of_key(table, key, index),
                None => EventId::new(self.context.now_ms),
            });
        };
        value::text(found.raw)
            .and_then(|text| EventId::parse(&text))
            .ok_or_else(|| found.invalid("a hyphenated UUID (an OTel trace id of 32 digits belongs in otel_trace_id)"))
    }

    /// When it happened, Unix milliseconds.
    pub(super) fn timestamp_ms(&self) -> Result<i64, Invalid> {
        let Some(found) = self.fields.column(Column::Timestamp) else { return Ok(self.context.now_ms) };
        let date = || clock::parse_rfc3339(&value::text(found.raw)?);
        value::rounded(found.raw)
            .or_else(date)
            .filter(|ms| clock::TAKEN_MS.contains(ms))
            .ok_or_else(|| found.invalid("Unix milliseconds or RFC 3339, of the years 1973 to 5138"))
    }

    /// A name or an id. An empty one is none.
    pub(super) fn name(&mut self, column: Column) -> Result<Option<Box<str>>, Invalid> {
        self.text(column, NAME_BYTES_MAX)
    }

    /// A message. An empty one is none.
    pub(super) fn message(&mut self, column: Column) -> Result<Option<Box<str>>, Invalid> {
        self.text(column, MESSAGE_BYTES_MAX)
    }

    /// A stack trace. An empty one is none.
    pub(super) fn stacktrace(&mut self) -> Result<Option<Box<str>>, Invalid> {
        self.text(Column::Stacktrace, STACKTRACE_BYTES_MAX)
    }

    /// What a producer writes as text or as any JSON: free text of an event.
    pub(super) fn body(&mut self) -> Option<Box<str>> {
        let found = self.fields.column(Column::Body)?;
        Some(self.cut(value::content(found.raw), MESSAGE_BYTES_MAX))
    }

    /// A prompt or a completion, text or any JSON, where these are kept.
    pub(super) fn captured(&mut self, column: Column) -> Option<Box<str>> {
        if self.context.text.capture == Capture::Off {
            return None;
        }
        let found = self.fields.column(column)?;
        Some(self.cut(value::content(found.raw), self.context.text.max_bytes))
    }

    /// A duration in milliseconds; a finer one is rounded to the nearest.
    pub(super) fn milliseconds(&self, column: Column) -> Result<Option<i64>, Invalid> {
        let read = |found: Found<'_>| {
            value::rounded(found.raw)
                .ok_or_else(|| found.invalid(&format!("a number of milliseconds from 0 to {INTEGER_MAX}")))
        };
        self.fields.column(column).map(read).transpose()
    }

    /// A boolean.
    pub(super) fn flag(&self, column: Column) -> Result<Option<bool>, Invalid> {
        let read = |found: Found<'_>| value::flag(found.raw).ok_or_else(|| found.invalid("true or false"));
        self.fields.column(column).map(read).transpose()
    }

    /// A word that `parse` knows, in any case.
    pub(super) fn word<T>(
        &self,
        column: Column,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Invalid> {
        let read = |found: Found<'_>| {
            value::text(found.raw)
                .and_then(|word| parse(&word.to_ascii_lowercase()))
                .ok_or_else(|| found.invalid(wanted))
        };
        self.fields.column(column).map(read).transpose()
    }

    /// How much it matters.
    pub(super) fn severity(&self) -> Result<Option<Severity>, Invalid> {
        self.word(Column::Severity, "debug, info, warn, error or fatal", |word| match word {
            "trace" => Some(Severity::Debug),
            "notice" => Some(Severity::Info),
            "warning" => Some(Severity::Warn),
            "err" => Some(Severity::Error),
            "critical" | "panic" => Some(Severity::Fatal),
            word => Severity::parse(word),
        })
    }

    /// An OTel id of so many hex digits, in lower case. All zeros mean that there is none.
    pub(super) fn otel_id(&self, column: Column, digits: usize) -> Result<Option<Box<str>>, Invalid> {
        let Some(found) = self.fields.column(column) else { return Ok(None) };
        let id = value::text(found.raw)
            .filter(|id| id.len() == digits && id.bytes().all(|b| b.is_ascii_hexdigit()))
            .ok_or_else(|| found.invalid(&format!("{digits} hex digits")))?;
        Ok(id.bytes().any(|b| b != b'0').then(|| id.to_ascii_lowercase().into_boxed_str()))
    }

    /// Makes the fields of an `error` object those of the item, where the item has none of its own and its row has the
    /// column; a text is the message. Whether there was an error; an empty text is none, and neither is `false`.
    pub(super) fn spread_error(&mut self, columns: &[Column]) -> Result<bool, Invalid> {
        let Some(error) = self.fields.column(Column::Error).filter(|error| error.raw != "false") else {
            return Ok(false);
        };
        if !error.raw.starts_with('{') {
            let text = value::text(error.raw).ok_or_else(|| error.invalid("a text, or an object with a message"))?;
            self.fields.offer(Column::Message, error);
            return Ok(!text.is_empty());
        }
        let mut inside = Fields::of_object(Names::error(), error.name, error.raw)?;
        for column in [Column::ErrorType, Column::Message, Column::Stacktrace] {
            match inside.column(column) {
                Some(found) if columns.contains(&column) && self.fields.column(column).is_none() => {
                    self.fields.offer(column, found);
                }
                Some(found) => inside.keep_apart(found.name.into(), found.raw),
                None => {}
            }
        }
        self.fields.keep_rest_of(error.name, inside);
        Ok(true)
    }

    /// What had no column. `notes` are ours.
    pub(super) fn attributes(&mut self, notes: &[(&str, &str)]) -> Option<Box<str>> {
        if self.context.text.capture == Capture::Off {
            // A prompt that lost against another name for it is a prompt all the same.
            self.fields.forget(Column::InputText);
            self.fields.forget(Column::OutputText);
        }
        let displaced = std::mem::take(&mut self.fields.displaced);
        let Attributes { json, cut } = Attributes::write(notes, &self.fields.extras, displaced);
        self.truncated |= cut;
        json
    }

    fn text(&mut self, column: Column, bytes_max: usize) -> Result<Option<Box<str>>, Invalid> {
        let Some(found) = self.fields.column(column) else { return Ok(None) };
        let text = value::text(found.raw).ok_or_else(|| found.invalid("a text"))?;
        Ok(if text.is_empty() { None } else { Some(self.cut(text, bytes_max)) })
    }

    /// Without its secrets, and no longer than that.
    fn cut(&mut self, text: Cow<'a, str>, bytes_max: usize) -> Box<str> {
        let (kept, cut) = redact_to(&text, bytes_max);
        self.truncated |= cut;
        let is_whole = matches!(&kept, Cow::Borrowed(kept) if kept.len() == text.len());
        if is_whole { text.into_owned().into_boxed_str() } else { kept.into() }
    }
}

impl Found<'_> {
    /// Why the value will not do.
    pub(super) fn invalid(&self, wanted: &str) -> Invalid {
        Invalid::new(self.name, wanted, self.raw)
    }

    /// The value as a whole number.
    pub(super) fn integer(&self) -> Result<i64, Invalid> {
        value::integer(self.raw).ok_or_else(|| self.invalid(&format!("a whole number from 0 to {INTEGER_MAX}")))
    }

    /// The value as dollars.
    pub(super) fn usd(&self) -> Result<PicoUsd, Invalid> {
        value::text(self.raw)
            .and_then(|dollars| PicoUsd::parse_usd(&dollars))
            .ok_or_else(|| self.invalid("a number of dollars, at least 0"))
    }
}
