//! The messages of OTLP, with only the fields that we read. JSON is read into the same types.
//!
//! Strings are slices of the body (`Bytes`), copied only into a row. Field numbers: opentelemetry-proto 1.x.

use bytes::Bytes;
use prost::Message;
use serde::Deserialize;

use super::values;

/// One span.
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
    #[serde(rename = "startTimeUnixNano", deserialize_with = "values::whole")]
    pub(super) start_ns: u64,
    /// Unix nanoseconds, 0 = not known.
    #[prost(fixed64, tag = "8")]
    #[serde(rename = "endTimeUnixNano", deserialize_with = "values::whole")]
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
    /// Unix nanoseconds, 0 = not known.
    #[prost(fixed64, tag = "1")]
    #[serde(rename = "timeUnixNano", deserialize_with = "values::whole")]
    pub(super) time_ns: u64,
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

/// One log record.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogRecord {
    /// When it happened, Unix nanoseconds, 0 = not known.
    #[prost(fixed64, tag = "1")]
    #[serde(rename = "timeUnixNano", deserialize_with = "values::whole")]
    pub(super) time_ns: u64,
    /// When it was seen, Unix nanoseconds.
    #[prost(fixed64, tag = "11")]
    #[serde(rename = "observedTimeUnixNano", deserialize_with = "values::whole")]
    pub(super) observed_ns: u64,
    /// From 1 (trace) to 24 (fatal), 0 = not said.
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "values::enumeration")]
    pub(super) severity_number: i32,
    /// The word that the producer has for it.
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(deserialize_with = "values::text")]
    pub(super) severity_text: Bytes,
    /// What it says.
    #[prost(message, optional, tag = "5")]
    pub(super) body: Option<AnyValue>,
    /// What is said of it.
    #[prost(message, repeated, tag = "6")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) attributes: Vec<KeyValue>,
    /// Of the span that it is of. The lowest bit: that span is sampled.
    #[prost(fixed32, tag = "8")]
    #[serde(deserialize_with = "values::whole")]
    pub(super) flags: u32,
    /// 16 bytes, or none.
    #[prost(bytes = "bytes", tag = "9")]
    #[serde(deserialize_with = "values::id")]
    pub(super) trace_id: Bytes,
    /// 8 bytes, or none.
    #[prost(bytes = "bytes", tag = "10")]
    #[serde(deserialize_with = "values::id")]
    pub(super) span_id: Bytes,
    /// What happened, where it is an event.
    #[prost(bytes = "bytes", tag = "12")]
    #[serde(deserialize_with = "values::text")]
    pub(super) event_name: Bytes,
}

impl LogRecord {
    /// What it says, where that is a text.
    pub(super) fn body_text(&self) -> Option<&[u8]> {
        match self.body.as_ref()?.value.as_ref()? {
            Any::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// One metric. Of the five kinds of them, those that count.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metric {
    /// Its name.
    #[prost(bytes = "bytes", tag = "1")]
    #[serde(deserialize_with = "values::text")]
    pub(super) name: Bytes,
    /// A sum, if it is one.
    #[prost(message, optional, tag = "7")]
    pub(super) sum: Option<Sum>,
    /// A histogram, if it is one.
    #[prost(message, optional, tag = "9")]
    pub(super) histogram: Option<Histogram>,
}

/// The points of a sum.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Sum {
    /// They.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) data_points: Vec<NumberPoint>,
    /// 1 since the point before, 2 since the start.
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "values::enumeration")]
    pub(super) aggregation_temporality: i32,
    /// Whether it never falls.
    #[prost(bool, tag = "3")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) is_monotonic: bool,
}

/// The points of a histogram.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Histogram {
    /// They.
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) data_points: Vec<HistogramPoint>,
    /// 1 since the point before, 2 since the start.
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "values::enumeration")]
    pub(super) aggregation_temporality: i32,
}

/// One number.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NumberPoint {
    /// Its labels.
    #[prost(message, repeated, tag = "7")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) attributes: Vec<KeyValue>,
    /// Since when it counts, Unix nanoseconds, 0 = not known.
    #[prost(fixed64, tag = "2")]
    #[serde(rename = "startTimeUnixNano", deserialize_with = "values::whole")]
    pub(super) start_ns: u64,
    /// When it was read, Unix nanoseconds.
    #[prost(fixed64, tag = "3")]
    #[serde(rename = "timeUnixNano", deserialize_with = "values::whole")]
    pub(super) time_ns: u64,
    /// It, where it has a fraction.
    #[prost(double, optional, tag = "4")]
    #[serde(deserialize_with = "values::optional")]
    pub(super) as_double: Option<f64>,
    /// It, where it is whole.
    #[prost(sfixed64, optional, tag = "6")]
    #[serde(deserialize_with = "values::optional")]
    pub(super) as_int: Option<i64>,
}

/// One histogram, without its buckets.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HistogramPoint {
    /// Its labels.
    #[prost(message, repeated, tag = "9")]
    #[serde(deserialize_with = "values::or_default")]
    pub(super) attributes: Vec<KeyValue>,
    /// Since when it counts, Unix nanoseconds, 0 = not known.
    #[prost(fixed64, tag = "2")]
    #[serde(rename = "startTimeUnixNano", deserialize_with = "values::whole")]
    pub(super) start_ns: u64,
    /// When it was read, Unix nanoseconds.
    #[prost(fixed64, tag = "3")]
    #[serde(rename = "timeUnixNano", deserialize_with = "values::whole")]
    pub(super) time_ns: u64,
    /// How many were recorded.
    #[prost(fixed64, tag = "4")]
    #[serde(deserialize_with = "values::whole")]
    pub(super) count: u64,
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

impl KeyValue {
    /// Its value, if that is of a type that we read.
    pub(super) fn any(&self) -> Option<&Any> {
        self.value.as_ref()?.value.as_ref()
    }
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
