//! What an OTLP client is answered: an export response or a `google.rpc.Status`, in the request's encoding.

use super::writing::{self, bytes};
use super::{Encoding, Signal};

/// The body of a 200: `Export{Trace,Logs,Metrics}ServiceResponse`, which are the same bytes.
/// `partial` = records that were refused for ever, and why; or 0 and a warning.
pub fn success(signal: Signal, encoding: Encoding, partial: Option<(u64, &str)>) -> Vec<u8> {
    match (encoding, partial) {
        (Encoding::Protobuf, None) => Vec::new(),
        (Encoding::Json, None) => b"{}".to_vec(),
        (Encoding::Protobuf, Some((rejected, message))) => {
            let mut inner = Vec::new();
            number(&mut inner, 1, rejected);
            bytes(&mut inner, 2, message.as_bytes());
            let mut outer = Vec::new();
            bytes(&mut outer, 1, &inner);
            outer
        }
        (Encoding::Json, Some((rejected, message))) => {
            let mut partial = serde_json::json!({ "errorMessage": message });
            if rejected > 0 {
                partial[rejected_name(signal)] = rejected.to_string().into();
            }
            serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    }
}

/// How JSON names the number of rejected records. A metric stands for its data points: how many those are is not known of one
/// that could not be read.
fn rejected_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    }
}

/// The body of any other status: `google.rpc.Status`, with its code (3 invalid argument, 8 resource
/// exhausted, 14 unavailable, ...), not HTTP's.
pub fn status(encoding: Encoding, code: u32, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let mut status = Vec::new();
            number(&mut status, 1, code.into());
            bytes(&mut status, 2, message.as_bytes());
            status
        }
        Encoding::Json => serde_json::json!({ "code": code, "message": message }).to_string().into_bytes(),
    }
}

/// A varint field. Zero is what its absence says.
fn number(message: &mut Vec<u8>, field: u8, value: u64) {
    if value > 0 {
        writing::number(message, field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_success_is_the_empty_response() {
        assert_eq!(success(Signal::Traces, Encoding::Protobuf, None), b"");
        assert_eq!(success(Signal::Traces, Encoding::Json, None), b"{}");
    }

    #[test]
    fn partial_success_says_how_many_and_why() {
        assert_eq!(success(Signal::Traces, Encoding::Protobuf, Some((300, "why"))), b"\x0a\x08\x08\xac\x02\x12\x03why");
        assert_eq!(success(Signal::Traces, Encoding::Protobuf, Some((0, "why"))), b"\x0a\x05\x12\x03why");
        assert_eq!(
            success(Signal::Traces, Encoding::Json, Some((2, "\"why\""))),
            br#"{"partialSuccess":{"errorMessage":"\"why\"","rejectedSpans":"2"}}"#
        );
        assert_eq!(
            success(Signal::Logs, Encoding::Json, Some((1, "why"))),
            br#"{"partialSuccess":{"errorMessage":"why","rejectedLogRecords":"1"}}"#
        );
        assert_eq!(
            success(Signal::Traces, Encoding::Json, Some((0, "why"))),
            br#"{"partialSuccess":{"errorMessage":"why"}}"#
        );
    }

    #[test]
    fn a_status_has_its_code_and_message_in_both_encodings() {
        assert_eq!(status(Encoding::Protobuf, 3, "bad"), b"\x08\x03\x12\x03bad");
        assert_eq!(status(Encoding::Json, 3, "bad"), br#"{"code":3,"message":"bad"}"#);
        let long = "x".repeat(200);
        assert_eq!(status(Encoding::Protobuf, 0, &long)[..3], *b"\x12\xc8\x01");
    }
}
