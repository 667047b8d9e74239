//! One line of the gateway's log, as tslog writes it: the arguments of one call under `"0"`, `"1"`, …, and what tslog and
//! the gateway add. Pure.
//!
//! Of the arguments, `"0"` is the logger that wrote the line, as JSON in a string (`{"subsystem":"gateway"}`, for some
//! `{"module":"cron"}`), or already text; then come texts, which are the message, and at most one object.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::clock::parse_rfc3339;
use crate::event::Severity;
use crate::jsontext::{unescape, unquoted};

/// The members of an object; their values are read when they are asked for.
pub type Members<'a> = BTreeMap<String, &'a RawValue>;

/// What a line says.
#[derive(Debug)]
pub struct Line<'a> {
    /// When it was written, Unix milliseconds.
    pub at_ms: Option<i64>,
    /// Its level.
    pub level: Option<Severity>,
    /// Which part of the gateway wrote it.
    pub subsystem: Option<String>,
    /// Its texts, a space between two.
    pub message: String,
    /// The object among its arguments.
    pub object: Members<'a>,
    /// What stands beside the arguments.
    beside: Members<'a>,
}

impl<'a> Line<'a> {
    /// Reads a line; `None` if it is no JSON object.
    pub fn read(text: &'a str) -> Option<Line<'a>> {
        let beside: Members<'a> = serde_json::from_str(text).ok()?;
        let meta = beside.get("_meta").and_then(|meta| members(meta)).unwrap_or_default();
        let mut line = Line {
            at_ms: [beside.get("time"), meta.get("date")].into_iter().flatten().find_map(|raw| time(raw)),
            level: meta.get("logLevelName").or_else(|| beside.get("level")).and_then(|raw| level(&string(raw)?)),
            subsystem: meta.get("name").and_then(|raw| logger(&string(raw)?)),
            message: String::new(),
            object: Members::new(),
            beside: Members::new(),
        };
        for place in 0..ARGUMENTS_MAX {
            let Some(argument) = beside.get(&place.to_string()) else { break };
            line.take(place, argument);
        }
        if line.message.is_empty() {
            line.message = beside.get("message").and_then(|raw| string(raw)).unwrap_or_default();
        }
        line.beside = beside;
        Some(line)
    }

    fn take(&mut self, place: usize, argument: &'a RawValue) {
        let text = match unquoted(argument.get()) {
            Some(inner) => unescape(inner),
            None if argument.get().starts_with('{') => {
                if self.object.is_empty() {
                    self.object = members(argument).unwrap_or_default();
                }
                return;
            }
            None if argument.get().starts_with('[') => return,
            None => argument.get().into(),
        };
        if place == 0
            && let Some(subsystem) = logger(&text)
        {
            self.subsystem = Some(subsystem);
            return;
        }
        if !text.is_empty() && !self.message.is_empty() {
            self.message.push(' ');
        }
        self.message.push_str(&text);
    }

    /// The first of these names that has a text in the object, or else beside the arguments.
    pub fn text(&self, names: &[&str]) -> Option<String> {
        let of = |members: &Members<'a>| names.iter().find_map(|name| members.get(*name).and_then(|raw| scalar(raw)));
        of(&self.object).or_else(|| of(&self.beside))
    }

    /// Where an error was thrown: a text, or the frames that tslog makes of one.
    pub fn stacktrace(&self) -> Option<String> {
        let stack = self.object.get("stack")?;
        if let Some(text) = string(stack) {
            return Some(text).filter(|text| !text.is_empty());
        }
        let frames: Vec<Members<'a>> = serde_json::from_str(stack.get()).ok()?;
        let shown = |frame: &Members<'a>| {
            let part = |key: &str| frame.get(key).and_then(|raw| string(raw)).unwrap_or_default();
            format!("at {} {}", part("method"), part("filePathWithLine"))
        };
        Some(frames.iter().map(shown).collect::<Vec<_>>().join("\n")).filter(|text| !text.is_empty())
    }

    /// Whether the object says `true` of this name.
    pub fn is_true(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|raw| raw.get() == "true")
    }
}

/// As many as anybody passes to one call of a logger.
const ARGUMENTS_MAX: usize = 10;

fn members(raw: &RawValue) -> Option<Members<'_>> {
    serde_json::from_str(raw.get()).ok()
}

fn string(raw: &RawValue) -> Option<String> {
    unquoted(raw.get()).map(|inner| unescape(inner).into_owned())
}

/// A text that is not empty, or a number or flag as one.
fn scalar(raw: &RawValue) -> Option<String> {
    let is_scalar = !raw.get().starts_with(['{', '[', '"']) && raw.get() != "null";
    string(raw).filter(|text| !text.is_empty()).or_else(|| is_scalar.then(|| raw.get().to_owned()))
}

/// The part of the gateway that a logger is of, if this is what names a logger.
fn logger(text: &str) -> Option<String> {
    let names: Members<'_> = text.starts_with('{').then(|| serde_json::from_str(text).ok())??;
    ["subsystem", "module", "name"].iter().find_map(|key| string(names.get(*key)?)).filter(|name| !name.is_empty())
}

fn time(raw: &RawValue) -> Option<i64> {
    parse_rfc3339(&string(raw)?).filter(|ms| *ms > 0)
}

fn level(name: &str) -> Option<Severity> {
    match name.to_ascii_lowercase().as_str() {
        "silly" | "trace" | "debug" => Some(Severity::Debug),
        "info" => Some(Severity::Info),
        "warn" => Some(Severity::Warn),
        "error" => Some(Severity::Error),
        "fatal" => Some(Severity::Fatal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_the_gateway_writes_are_read() {
        let line = Line::read(
            r#"{"0":"{\"subsystem\":\"gateway/channels/telegram\"}","1":"[default] starting provider","_meta":{"name":"{\"subsystem\":\"x\"}","date":"2026-11-24T14:08:37.933Z","logLevelId":3,"logLevelName":"INFO"},"time":"2026-11-24T22:08:37.934+08:00"}"#,
        )
        .unwrap();
        assert_eq!(line.subsystem.as_deref(), Some("gateway/channels/telegram"));
        assert_eq!((line.at_ms, line.level), (Some(1_795_529_317_934), Some(Severity::Info)));
        assert_eq!(line.message, "[default] starting provider");

        let console = Line::read(
            r#"{"0":"Port 18789","1":18789,"2":"is in use.","_meta":{"name":"openclaw","date":"2026-11-24T14:08:37.933Z","logLevelName":"ERROR"}}"#,
        )
        .unwrap();
        assert_eq!((console.subsystem, console.level), (None, Some(Severity::Error)));
        assert_eq!((console.at_ms, &*console.message), (Some(1_795_529_317_933), "Port 18789 18789 is in use."));

        let object = Line::read(
            r#"{"0":"{\"module\":\"cron\"}","1":{"isError":true,"model":"m","n":3,"e":"","stack":[{"method":"f","filePathWithLine":"a.js:7"}]},"2":"run end","agent_id":"main","_meta":{"logLevelName":"WARN"}}"#,
        )
        .unwrap();
        assert_eq!((object.subsystem.as_deref(), &*object.message), (Some("cron"), "run end"));
        assert!(object.is_true("isError") && !object.is_true("model"));
        assert_eq!(object.text(&["e", "n", "model"]).as_deref(), Some("3"));
        assert_eq!(object.text(&["agentId", "agent_id"]).as_deref(), Some("main"));
        assert_eq!(object.stacktrace().as_deref(), Some("at f a.js:7"));
    }

    #[test]
    fn a_text_that_javascript_has_cut_in_two_is_read() {
        let line = Line::read(r#"{"0":"half \ud83d","1":{"rawErrorPreview":"x\ud83d"},"_meta":{}}"#).unwrap();
        assert_eq!(line.message, "half \u{fffd}");
        assert_eq!(line.text(&["rawErrorPreview"]).as_deref(), Some("x\u{fffd}"));
    }

    #[test]
    fn what_is_no_object_is_no_line_and_an_object_of_anything_is_one() {
        for bad in ["", " ", "null", "3", "[]", "\"x\"", "{", "{\"a\":}", "{} x", "{\"a\":1,}", "{a:1}"] {
            assert!(Line::read(bad).is_none(), "{bad}");
        }
        for odd in [
            "{}",
            r#"{"_meta":3,"0":null,"1":[1],"2":{"a":[]}}"#,
            r#"{"_meta":{"date":3,"logLevelName":[],"name":"{"},"time":"yesterday"}"#,
            r#"{"0":"{\"subsystem\":3}","_meta":{"name":"{\"subsystem\":\"\"}"}}"#,
            r#"{"0":{"stack":3},"0":{"stack":[3]},"1":{"stack":"x"}}"#,
        ] {
            let line = Line::read(odd).unwrap();
            assert_eq!((line.at_ms, line.level, line.subsystem.as_deref()), (None, None, None), "{odd}");
        }
    }
}
