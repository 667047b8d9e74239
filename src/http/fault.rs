//! A refusal before it is written: [`Fault`], and the [`Dialect`] in which its client reads it.

use std::borrow::Cow;

use serde::Serialize;

use super::budget::Full;
use crate::exchange::Response;
use crate::otlp::{self, Encoding};
use crate::stats::Refusal;

/// Why a request is not answered with what it asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Status code, 400 to 599.
    pub(super) status: u16,
    /// What the client should change.
    pub(super) message: Cow<'static, str>,
    /// The `Allow` header: what the route takes.
    pub(super) allow: Option<&'static str>,
}

/// In which form an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Our own JSON.
    Native,
    /// google.rpc.Status, in the encoding of the request.
    Otlp(Encoding),
    /// Text, where an OTLP client's own encoding is not known: what the collector answers.
    Plain,
}

/// Seconds after which a request that was refused for now may come again.
const RETRY_AFTER_S: &str = "1";

impl Fault {
    pub(super) fn new(status: u16, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { status, message: message.into(), allow: None }
    }

    /// The answer in `dialect`.
    pub(super) fn response(&self, dialect: Dialect) -> Response {
        let mut response = match dialect {
            Dialect::Native => native(self.status, code(self.status), &self.message, None),
            Dialect::Otlp(encoding) => Response {
                content_type: Some(content_type(encoding)),
                ..Response::json(self.status, otlp::status(encoding, grpc_code(self.status), &self.message))
            },
            Dialect::Plain => Response {
                content_type: Some("text/plain; charset=utf-8"),
                ..Response::json(self.status, format!("{} {}", self.status, self.message).into_bytes())
            },
        };
        if let Some(allow) = self.allow {
            response = response.with("allow", allow);
        }
        match self.status {
            401 => response.with("www-authenticate", "Bearer"),
            503 => response.with("retry-after", RETRY_AFTER_S),
            _ => response,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        Fault::new(503, refusal.message())
    }
}

impl From<Full> for Fault {
    fn from(full: Full) -> Fault {
        match full {
            Full::Body => Fault::new(413, "the body is too large, send fewer records at a time"),
            Full::Budget => Fault::new(503, "too many bodies are in flight, send the same again later"),
        }
    }
}

/// The media type of OTLP in this encoding.
pub(super) fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    }
}

/// An error in our own JSON: `{"error":{"code","message","field"?}}`.
pub(super) fn native(status: u16, code: &str, message: &str, field: Option<&str>) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        error: NativeError<'a>,
    }
    json(status, &Body { error: NativeError { code, message, field } })
}

/// What `error` holds in our own JSON.
#[derive(Debug, Serialize)]
pub(super) struct NativeError<'a> {
    pub(super) code: &'a str,
    pub(super) message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<&'a str>,
}

/// An answer with `body` as JSON.
pub(super) fn json(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => Response::json(status, bytes),
        Err(error) => unreachable!("our answers have text keys and derived Serialize: {error}"),
    }
}

fn code(status: u16) -> &'static str {
    match status {
        400 => "bad_request",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "timeout",
        413 => "too_large",
        415 => "unsupported_media_type",
        417 => "expectation_failed",
        431 => "head_too_large",
        501 => "not_implemented",
        503 => "unavailable",
        505 => "version_not_supported",
        _ => "internal",
    }
}

/// google.rpc.Code, from google/rpc/code.proto.
fn grpc_code(status: u16) -> u32 {
    const UNKNOWN: u32 = 2;
    const INVALID_ARGUMENT: u32 = 3;
    const DEADLINE_EXCEEDED: u32 = 4;
    const NOT_FOUND: u32 = 5;
    const PERMISSION_DENIED: u32 = 7;
    const RESOURCE_EXHAUSTED: u32 = 8;
    const UNIMPLEMENTED: u32 = 12;
    const UNAVAILABLE: u32 = 14;
    const UNAUTHENTICATED: u32 = 16;
    match status {
        400 | 415 | 417 => INVALID_ARGUMENT,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => NOT_FOUND,
        405 | 501 | 505 => UNIMPLEMENTED,
        408 => DEADLINE_EXCEEDED,
        413 | 431 => RESOURCE_EXHAUSTED,
        503 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_speaks_the_dialect_of_its_client() {
        let fault = Fault { allow: Some("POST"), ..Fault::new(405, "method not allowed, supported: [POST]") };
        let native = fault.response(Dialect::Native);
        assert_eq!(
            String::from_utf8(native.body).unwrap(),
            r#"{"error":{"code":"method_not_allowed","message":"method not allowed, supported: [POST]"}}"#
        );
        assert_eq!(native.headers, [("allow", "POST".to_owned())]);
        let plain = fault.response(Dialect::Plain);
        assert_eq!(plain.body, b"405 method not allowed, supported: [POST]");
        let otlp = fault.response(Dialect::Otlp(Encoding::Protobuf));
        assert_eq!(otlp.content_type, Some("application/x-protobuf"));
    }

    #[test]
    fn not_now_says_when() {
        let response = Fault::from(Refusal::QueueFull).response(Dialect::Native);
        assert_eq!(response.status, 503);
        assert_eq!(response.headers, [("retry-after", "1".to_owned())]);
    }
}
