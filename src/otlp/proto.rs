//! OTLP protobuf: the messages with only the fields that we read, and the walk down to each span.
//!
//! Strings are slices of the body (`Bytes`), copied only into a row. The three outer levels are walked
//! in place and one span is decoded at a time, after its nodes have been counted on the wire, so a body
//! of two-byte messages cannot become a tree many times its size. Field numbers: opentelemetry-proto 1.x.

use bytes::Bytes;
use prost::Message;
use serde::Deserialize;

use super::wire::{Fields, messages};
use super::{Fault, Intake, values};

/// One span. JSON is read into the same type.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Span {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(deserialize_with = "values::id")]
    pub(super) trace_id: Bytes,
    /// 8 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(deserialize_with = "values::id")]
    pub(super) span_id: Bytes,
    /// 8 bytes, or none for a root.
    #[prost(bytes = "bytes", tag = "4")]
    #[serde(deserialize_with = "values::id")]
    pub(super) parent_span_id: Bytes,
    /// Its name.
    #[prost(bytes = "bytes", tag = "5")]
    #[serde(deserialize_with = "values::text")]
    pub(super) name: Bytes,
    /// Unix nanoseconds, 0 = not known.
    #[prost(fixed64, tag = "7")]
    #[serde(rename = "startTimeUnixNano", deserialize_with = "values::nanoseconds")]
    pub(super) start_ns: u64,
    /// Unix nanoseconds, 0 = not known.
    #[prost(fixed64, tag = "8")]
    #[serde(rename = "endTimeUnixNano", deserialize_with = "values::nanoseconds")]
    pub(super) end_ns: u64,
    /// What is said of it.
    #[prost(message, repeated, tag = "9")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) attributes: Vec<KeyValue>,
    /// What happened in it.
    #[prost(message, repeated, tag = "11")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) events: Vec<SpanEvent>,
    /// How it ended.
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<SpanStatus>,
}

/// One event of a span.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SpanEvent {
    /// Its name.
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(deserialize_with = "values::text")]
    pub(super) name: Bytes,
    /// What is said of it.
    #[prost(message, repeated, tag = "3")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) attributes: Vec<KeyValue>,
}

/// How a span ended.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SpanStatus {
    /// Text of the error.
    #[prost(bytes = "bytes", tag = "2")]
    #[serde(deserialize_with = "values::text")]
    pub(super) message: Bytes,
    /// 0 unset, 1 ok, 2 error.
    #[prost(int32, tag = "3")]
    #[serde(deserialize_with = "values::enumeration")]
    pub(super) code: i32,
}

/// One attribute.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct KeyValue {
    /// Its name.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(deserialize_with = "values::text")]
    pub(super) key: Bytes,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

/// A value, or none of a type that we read (`bytes_value` is skipped).
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    /// It.
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6")]
    pub(super) value: Option<Any>,
}

/// The types of a value.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Any {
    /// UTF-8, not yet checked.
    #[prost(bytes = "bytes", tag = "1")]
    Text(Bytes),
    /// true or false
    #[prost(bool, tag = "2")]
    Flag(bool),
    /// A whole number.
    #[prost(int64, tag = "3")]
    Whole(i64),
    /// A number.
    #[prost(double, tag = "4")]
    Real(f64),
    /// Values in order.
    #[prost(message, tag = "5")]
    List(ValueList),
    /// Values by name.
    #[prost(message, tag = "6")]
    Map(KeyValueList),
}

/// Values in order.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct ValueList {
    /// They.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) values: Vec<AnyValue>,
}

/// Values by name.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct KeyValueList {
    /// They.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) values: Vec<KeyValue>,
}

/// Hands every span of an `ExportTraceServiceRequest` to `intake`.
///
/// # Errors
/// The body is no such message, or has too many spans.
pub(super) fn spans(body: &Bytes, intake: &mut Intake<'_>) -> Result<(), Fault> {
    for resource_spans in messages(body, RESOURCES) {
        let resource_spans = resource_spans?;
        intake.resource(service_name(resource_spans)?);
        for scope_spans in messages(resource_spans, SCOPES) {
            for span in messages(scope_spans?, RECORDS) {
                let span = span?;
                intake.count()?;
                match weigh(span) {
                    Ok(()) => intake.span(&decode(body.slice_ref(span))?),
                    Err(Stop::Over(reason)) => intake.reject(reason),
                    Err(Stop::Fault(fault)) => return Err(fault),
                }
            }
        }
    }
    Ok(())
}

/// How many records an export request of any signal holds: the three share their outer levels.
///
/// # Errors
/// The body is no such message.
pub(super) fn count(body: &[u8]) -> Result<u64, Fault> {
    let mut records = 0;
    for resource in messages(body, RESOURCES) {
        for scope in messages(resource?, SCOPES) {
            for record in messages(scope?, RECORDS) {
                record?;
                records += 1;
            }
        }
    }
    Ok(records)
}

fn decode(span: Bytes) -> Result<Span, Fault> {
    Span::decode(span).map_err(|e| Fault::Malformed { message: format!("not the protobuf of this path: {e}") })
}

/// `service.name`, wherever the resource stands in the message. Nothing else of a resource is looked at:
/// `process.command_args` may hold what a user said.
fn service_name(resource_spans: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let mut found = None;
    for resource in messages(resource_spans, RESOURCE) {
        for attribute in messages(resource?, RESOURCE_ATTRIBUTES) {
            let attribute = attribute?;
            let key = messages(attribute, KEY).last().transpose()?;
            if key != Some(SERVICE_NAME) {
                continue;
            }
            for value in messages(attribute, VALUE) {
                found = messages(value?, STRING_VALUE).last().transpose()?.or(found);
            }
        }
    }
    Ok(found)
}

/// Counts what [`decode`] would make of a span, without making it.
fn weigh(span: &[u8]) -> Result<(), Stop> {
    let mut scale = Scale { nodes: 0 };
    for field in Fields::of(span) {
        match field? {
            field if field.number == SPAN_ATTRIBUTES => scale.attribute(field.content.unwrap_or_default(), 0)?,
            field if field.number == SPAN_EVENTS => {
                scale.node()?;
                for attribute in messages(field.content.unwrap_or_default(), EVENT_ATTRIBUTES) {
                    scale.attribute(attribute?, 0)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Why weighing ended early.
enum Stop {
    /// The span is over a bound, with the reason.
    Over(&'static str),
    /// It is no span.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Fault(fault)
    }
}

struct Scale {
    nodes: usize,
}

impl Scale {
    fn node(&mut self) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > super::NODES_MAX { Err(Stop::Over(super::TOO_MANY_NODES)) } else { Ok(()) }
    }

    fn attribute(&mut self, attribute: &[u8], depth: usize) -> Result<(), Stop> {
        self.node()?;
        for value in messages(attribute, VALUE) {
            self.value(value?, depth)?;
        }
        Ok(())
    }

    fn value(&mut self, value: &[u8], depth: usize) -> Result<(), Stop> {
        if depth > super::NESTING_MAX {
            return Err(Stop::Over(super::TOO_DEEP));
        }
        for field in Fields::of(value) {
            let field = field?;
            let content = field.content.unwrap_or_default();
            match field.number {
                ARRAY_VALUE => {
                    for inner in messages(content, VALUES) {
                        self.node()?;
                        self.value(inner?, depth + 1)?;
                    }
                }
                KVLIST_VALUE => {
                    for inner in messages(content, VALUES) {
                        self.attribute(inner?, depth + 1)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// `Export…ServiceRequest.resource_…`
const RESOURCES: u64 = 1;
/// `Resource….scope_…`
const SCOPES: u64 = 2;
/// `Scope….{spans,log_records,metrics}`
const RECORDS: u64 = 2;
/// `ResourceSpans.resource`
const RESOURCE: u64 = 1;
const RESOURCE_ATTRIBUTES: u64 = 1;
const SPAN_ATTRIBUTES: u64 = 9;
const SPAN_EVENTS: u64 = 11;
const EVENT_ATTRIBUTES: u64 = 3;
const KEY: u64 = 1;
const VALUE: u64 = 2;
const STRING_VALUE: u64 = 1;
const ARRAY_VALUE: u64 = 5;
const KVLIST_VALUE: u64 = 6;
/// `ArrayValue.values`, `KeyValueList.values`
const VALUES: u64 = 1;
const SERVICE_NAME: &[u8] = b"service.name";
