//! What the receiver of an export says of it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::wire::{Fields, messages};
use super::super::{Signal, text};
use crate::jsontext::{unescape, unquoted};

/// What a receiver did not take, or a warning. It says how many, and never which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partial {
    /// How many records (of metrics: data points) it refused for ever.
    pub rejected: u64,
    /// Why, in its words, at most 200 bytes. Empty where it said nothing.
    pub message: String,
}

/// Reads the body of an answer with a status of success. `None` if it is no export response: a page of HTML, say. An empty
/// one is, in protobuf and in JSON: everything was taken.
pub fn partial_success(signal: Signal, body: &[u8]) -> Option<Partial> {
    // The first byte of a response in protobuf, and a length in it, are white space to JSON: what is one is not trimmed.
    if let Some(partial) = from_protobuf(body) {
        return Some(partial);
    }
    match body.trim_ascii() {
        [] => Some(Partial::default()),
        json @ [b'{', ..] => from_json(signal, json),
        _ => None,
    }
}

fn from_protobuf(body: &[u8]) -> Option<Partial> {
    let mut found = Partial::default();
    for field in Fields::of(body) {
        let field = field.ok().filter(|field| field.number == PARTIAL_SUCCESS)?;
        let partial = field.content?;
        for message in messages(partial, MESSAGE) {
            found.message = text::cut(message.ok()?, MESSAGE_BYTES_MAX).0;
        }
        for field in Fields::of(partial) {
            let field = field.ok()?;
            if field.number == REJECTED {
                // An int64, and one below zero is nobody's number.
                found.rejected = field.number_value.filter(|rejected| *rejected <= i64::MAX as u64)?;
            }
        }
    }
    Some(found)
}

fn from_json(signal: Signal, body: &[u8]) -> Option<Partial> {
    let Response { partial_success } = serde_json::from_slice(body).ok()?;
    let Some(partial) = partial_success else { return Some(Partial::default()) };
    let rejected = match signal {
        Signal::Traces => partial.rejected_spans,
        Signal::Logs => partial.rejected_log_records,
        Signal::Metrics => partial.rejected_data_points,
    };
    let rejected = match rejected.map(RawValue::get) {
        None | Some("null") => 0,
        Some(number) => unquoted(number).unwrap_or(number).parse().ok()?,
    };
    let message = partial.error_message.map(RawValue::get).and_then(unquoted).map(unescape).unwrap_or_default();
    Some(Partial { rejected, message: text::cut(message.as_bytes(), MESSAGE_BYTES_MAX).0 })
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, rename = "partialSuccess", alias = "partial_success")]
    partial_success: Option<PartialJson<'a>>,
}

/// In lowerCamelCase as it should be, or as protobuf has it: who overlooks a rejection loses rows in silence.
#[derive(Deserialize)]
struct PartialJson<'a> {
    #[serde(borrow, rename = "rejectedSpans", alias = "rejected_spans")]
    rejected_spans: Option<&'a RawValue>,
    #[serde(borrow, rename = "rejectedLogRecords", alias = "rejected_log_records")]
    rejected_log_records: Option<&'a RawValue>,
    #[serde(borrow, rename = "rejectedDataPoints", alias = "rejected_data_points")]
    rejected_data_points: Option<&'a RawValue>,
    #[serde(borrow, rename = "errorMessage", alias = "error_message")]
    error_message: Option<&'a RawValue>,
}

/// Enough to see why.
const MESSAGE_BYTES_MAX: usize = 200;
/// `Export…ServiceResponse.partial_success`, the only field that it has.
const PARTIAL_SUCCESS: u64 = 1;
/// `Export…PartialSuccess`
const REJECTED: u64 = 1;
const MESSAGE: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{Encoding, success};

    const SIGNALS: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    #[test]
    fn a_message_of_any_length_is_understood() {
        // Some lengths are white space, or a brace, to whoever reads JSON.
        for length in 0..300 {
            let why = "x".repeat(length);
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                let body = success(Signal::Traces, encoding, Some((1, &why)));
                let found = partial_success(Signal::Traces, &body).map(|partial| partial.rejected);
                assert_eq!(found, Some(1), "{length} {encoding:?}");
            }
        }
    }

    #[test]
    fn what_we_answer_ourselves_is_understood() {
        for signal in SIGNALS {
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                assert_eq!(partial_success(signal, &success(signal, encoding, None)), Some(Partial::default()));
                for (rejected, why) in [(0, "a warning"), (1, "\"why\"\n"), (300, ""), (i64::MAX as u64, "é")] {
                    let read = partial_success(signal, &success(signal, encoding, Some((rejected, why))));
                    assert_eq!(read, Some(Partial { rejected, message: why.to_owned() }), "{encoding:?}");
                }
            }
        }
    }

    #[test]
    fn responses_come_in_many_forms() {
        for body in ["", "\r\n", "{}", " {\"x\":[1]} ", r#"{"partialSuccess":null}"#, r#"{"partialSuccess":{}}"#] {
            assert_eq!(partial_success(Signal::Traces, body.as_bytes()), Some(Partial::default()), "{body}");
        }
        assert_eq!(partial_success(Signal::Logs, b"\x0a\0"), Some(Partial::default()));
        for body in [
            r#"{"partialSuccess":{"rejectedSpans":"7","rejectedLogRecords":1,"errorMessage":"\ud83d"}}"#,
            r#"{"partial_success":{"rejected_spans":7,"error_message":"\ud83d"}}"#,
        ] {
            let read = partial_success(Signal::Traces, body.as_bytes());
            assert_eq!(read, Some(Partial { rejected: 7, message: "\u{fffd}".to_owned() }), "{body}");
        }
        let long = success(Signal::Traces, Encoding::Protobuf, Some((1, &"é".repeat(4000))));
        assert_eq!(partial_success(Signal::Traces, &long).unwrap().message, "é".repeat(100));
    }

    #[test]
    fn what_is_no_export_response_is_none() {
        for body in [
            &b"<!doctype html><html></html>"[..],
            b"ok",
            b"OK\n",
            b"Accepted\n",
            b"success",
            b"\nAccepted",
            b"[]",
            b"null",
            b"\"x\"",
            b"{",
            b"{}{}",
            br#"{"partialSuccess":{"rejectedSpans":"x"}}"#,
            br#"{"partialSuccess":{"rejectedSpans":-1}}"#,
            br#"{"partialSuccess":[]}"#,
            b"\x08\x01",
            b"\x12\x02ok",
            b"\x0a\x05ab",
            b"\x0a\x02\x0a\x00",
        ] {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(partial_success(Signal::Traces, body), None, "{shown:?}");
        }
    }
}
