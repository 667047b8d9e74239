//! OTLP/JSON, read into the same types as protobuf.
//!
//! The outer levels are walked as slices of the body (`RawValue`) and one record is read at a time, after a
//! look at how deep it is nested and how many values it can hold. Names are lowerCamelCase only, ids are
//! hex, 64-bit numbers may be strings, enums are numbers, unknown names are ignored, null is absence.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::origin::{self, Origin};
use super::proto::{KeyValue, LogRecord, Metric, Span};
use super::values::Text;
use super::{Fault, Intake, Signal, metrics};

/// Hands every record of an export request of this signal to `intake`.
///
/// # Errors
/// The body is no such message, or has too many records.
pub(super) fn records(body: &[u8], signal: Signal, intake: &mut Intake<'_>) -> Result<(), Fault> {
    walk(body, signal, &mut |step| match step {
        Step::Resource(resource) => {
            intake.resource(origin(resource)?);
            Ok(())
        }
        Step::Record(record) => {
            intake.count()?;
            let shape = Shape::of(record.get().as_bytes());
            if shape.depth > RECORD_DEPTH_MAX {
                intake.reject(super::TOO_DEEP);
            } else if shape.marks > RECORD_MARKS_MAX {
                intake.reject(super::TOO_MANY_NODES);
            } else if let Err(e) = take(record.get(), signal, intake) {
                // It is JSON, since the body is: what is wrong is this record alone.
                intake.reject(&format!("{} cannot be read: {e}", signal.record()));
            }
            Ok(())
        }
    })
}

fn take(record: &str, signal: Signal, intake: &mut Intake<'_>) -> Result<(), serde_json::Error> {
    match signal {
        Signal::Traces => intake.span(&serde_json::from_str::<Span>(record)?),
        Signal::Logs => intake.log(&serde_json::from_str::<LogRecord>(record)?),
        Signal::Metrics => {
            #[derive(Deserialize)]
            struct Named<'a> {
                #[serde(borrow)]
                name: Option<Text<'a>>,
            }
            let named: Named<'_> = serde_json::from_str(record)?;
            let name = named.name.map_or(Cow::Borrowed(""), |name| name.0);
            match metrics::counter(name.as_bytes()) {
                Some(counter) => intake.metric(counter, &serde_json::from_str::<Metric>(record)?),
                None => intake.unwanted_metric(name.as_bytes()),
            }
        }
    }
    Ok(())
}

/// See [`super::looks_like_otlp_json`].
pub(super) fn looks_like_otlp(body: &[u8]) -> bool {
    if Shape::of(body).depth > BODY_DEPTH_MAX {
        return false;
    }
    let mut seen = Keys { otlp: false, other: false };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let is_object = deserializer.deserialize_map(&mut seen).is_ok() && deserializer.end().is_ok();
    seen.otlp || (is_object && !seen.other)
}

/// The keys of an object.
struct Keys {
    otlp: bool,
    other: bool,
}

impl<'de> Visitor<'de> for &mut Keys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !TOP_LEVEL.contains(&key.as_str()) {
                self.other = true;
                map.next_value::<IgnoredAny>()?;
            } else if !matches!(map.next_value::<Option<IgnoredAny>>(), Ok(None)) {
                self.otlp = true;
                return Err(A::Error::custom("enough was seen"));
            }
        }
        Ok(())
    }
}

const TOP_LEVEL: &[&str] =
    &["resourceSpans", "resourceLogs", "resourceMetrics", "resource_spans", "resource_logs", "resource_metrics"];

/// What a walk meets, in order.
enum Step<'a> {
    /// The resource of the records that follow, if it has one.
    Resource(Option<&'a RawValue>),
    /// One span, log record or metric.
    Record(&'a RawValue),
}

/// A request of any signal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    resource_spans: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_logs: Option<&'a RawValue>,
    #[serde(borrow)]
    resource_metrics: Option<&'a RawValue>,
    #[serde(rename = "resource_spans")]
    snake_spans: Option<IgnoredAny>,
    #[serde(rename = "resource_logs")]
    snake_logs: Option<IgnoredAny>,
    #[serde(rename = "resource_metrics")]
    snake_metrics: Option<IgnoredAny>,
}

/// A resource and what it did, of any signal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRecords<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    scope_spans: Option<&'a RawValue>,
    #[serde(borrow)]
    scope_logs: Option<&'a RawValue>,
    #[serde(borrow)]
    scope_metrics: Option<&'a RawValue>,
    #[serde(rename = "scope_spans")]
    snake_spans: Option<IgnoredAny>,
    #[serde(rename = "scope_logs")]
    snake_logs: Option<IgnoredAny>,
    #[serde(rename = "scope_metrics")]
    snake_metrics: Option<IgnoredAny>,
}

/// The records of one scope, of any signal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeRecords<'a> {
    #[serde(borrow)]
    spans: Option<&'a RawValue>,
    #[serde(borrow)]
    log_records: Option<&'a RawValue>,
    #[serde(borrow)]
    metrics: Option<&'a RawValue>,
}

fn walk<'a>(body: &'a [u8], signal: Signal, meet: &mut dyn FnMut(Step<'a>) -> Result<(), Fault>) -> Result<(), Fault> {
    if Shape::of(body).depth > BODY_DEPTH_MAX {
        return Err(malformed(&format!("nested more than {BODY_DEPTH_MAX} deep")));
    }
    let request: Request<'a> = serde_json::from_slice(body).map_err(|e| malformed(&e.to_string()))?;
    let is_snake = [request.snake_spans, request.snake_logs, request.snake_metrics].iter().any(Option::is_some);
    let resources = match signal {
        Signal::Traces => request.resource_spans,
        Signal::Logs => request.resource_logs,
        Signal::Metrics => request.resource_metrics,
    };
    let others = [request.resource_spans, request.resource_logs, request.resource_metrics];
    if resources.is_none() && is_snake {
        return Err(malformed(SNAKE_CASE));
    }
    if resources.is_none() && others.iter().any(Option::is_some) {
        return Err(malformed("this path takes another signal: spans, logs and metrics have a path each"));
    }
    each(resources, &mut |resource| {
        let records: ResourceRecords<'a> = parse(resource)?;
        if [records.snake_spans, records.snake_logs, records.snake_metrics].iter().any(Option::is_some) {
            return Err(malformed(SNAKE_CASE));
        }
        meet(Step::Resource(records.resource))?;
        let scopes = match signal {
            Signal::Traces => records.scope_spans,
            Signal::Logs => records.scope_logs,
            Signal::Metrics => records.scope_metrics,
        };
        each(scopes, &mut |scope| {
            let records: ScopeRecords<'a> = parse(scope)?;
            let records = match signal {
                Signal::Traces => records.spans,
                Signal::Logs => records.log_records,
                Signal::Metrics => records.metrics,
            };
            each(records, &mut |record| meet(Step::Record(record)))
        })
    })
}

const SNAKE_CASE: &str = "names must be in lowerCamelCase (resourceSpans, scopeSpans, traceId), found snake_case";

/// Calls `meet` with every element of a list, without making a list of them.
fn each<'a>(list: Option<&'a RawValue>, meet: &mut dyn FnMut(&'a RawValue) -> Result<(), Fault>) -> Result<(), Fault> {
    let Some(list) = list else { return Ok(()) };
    let mut elements = Elements { meet, fault: None };
    let read = serde_json::Deserializer::from_str(list.get()).deserialize_seq(&mut elements);
    match elements.fault {
        Some(fault) => Err(fault),
        None => read.map_err(|e| malformed(&e.to_string())),
    }
}

struct Elements<'f, 'a> {
    meet: &'f mut dyn FnMut(&'a RawValue) -> Result<(), Fault>,
    fault: Option<Fault>,
}

impl<'a> Visitor<'a> for &mut Elements<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&'a RawValue>()? {
            if let Err(fault) = (self.meet)(element) {
                self.fault = Some(fault);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// Where the records of a resource come from; its other attributes are not looked at.
fn origin(resource: Option<&RawValue>) -> Result<Origin, Fault> {
    #[derive(Deserialize)]
    struct Resource<'a> {
        #[serde(borrow)]
        attributes: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        key: Option<Text<'a>>,
    }
    let mut found = Origin::default();
    let Some(resource) = resource else { return Ok(found) };
    each(parse::<Resource<'_>>(resource)?.attributes, &mut |attribute| {
        let named: Named<'_> = parse(attribute)?;
        let shape = Shape::of(attribute.get().as_bytes());
        if named.key.is_some_and(|key| origin::is_wanted(key.0.as_bytes())) && shape.depth <= RECORD_DEPTH_MAX {
            found.take(&parse::<KeyValue>(attribute)?);
        }
        Ok(())
    })?;
    Ok(found)
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, Fault> {
    serde_json::from_str(raw.get()).map_err(|e| malformed(&e.to_string()))
}

fn malformed(what: &str) -> Fault {
    Fault::Malformed { message: format!("not the OTLP/JSON of this path: {what}") }
}

/// How large a tree a text can become, before it does.
struct Shape {
    /// Deepest nesting of objects and lists.
    depth: usize,
    /// Commas and opening brackets outside of strings: no tree has more members and elements.
    marks: usize,
}

impl Shape {
    fn of(text: &[u8]) -> Shape {
        let mut shape = Shape { depth: 0, marks: 0 };
        let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
        for byte in text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => {
                    depth += 1;
                    shape.marks += 1;
                    shape.depth = shape.depth.max(depth);
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' => shape.marks += 1,
                _ => {}
            }
        }
        shape
    }
}

/// Where serde_json stops as well. A body beyond it is not even skipped over.
const BODY_DEPTH_MAX: usize = 128;
/// A span, its list of events, an event, its list of attributes, an attribute and its value are six (a metric, its kind, its
/// list of points, a point, its list of attributes, an attribute and its value seven); each level of a value is at most its
/// kind, its list, a member and the member's value.
const RECORD_DEPTH_MAX: usize = 7 + 4 * super::NESTING_MAX;
/// An attribute of JSON has two brackets and two commas; one that is empty, and hostile, has two in all.
const RECORD_MARKS_MAX: usize = 4 * super::NODES_MAX;

#[cfg(test)]
mod tests {
    use super::super::captures::CONTEXT;
    use super::super::looks_like_otlp_json;
    use super::*;

    fn count(body: &[u8]) -> Result<u64, Fault> {
        let body = bytes::Bytes::copy_from_slice(body);
        super::super::read(Signal::Traces, super::super::Encoding::Json, body, &CONTEXT, &mut |_| {})
            .map(|report| report.records)
    }

    #[test]
    fn otlp_is_told_from_native_json_by_its_top_level_names() {
        for otlp in [
            "{}",
            " {\n} ",
            r#"{"resourceSpans":[]}"#,
            r#"{"model":"x","nested":{"a":[1,{}]},"resourceSpans":1}"#,
            r#"{"resourceSpans":null}"#,
            r#"{"resourceLogs":[]}"#,
            r#"{"resourceMetrics":[{"#,
            r#"{"resource_spans":[]}"#,
        ] {
            assert!(looks_like_otlp_json(otlp.as_bytes()), "{otlp}");
        }
        for native in [
            "",
            "[]",
            r#"[{"resourceSpans":[]}]"#,
            r#"{"model":"x"}"#,
            r#"{"model":"x","resourceSpans":null}"#,
            r#"{"attributes":{"resourceSpans":[]}}"#,
            r#"{"model":"resourceSpans"}"#,
            "{}\n{\"model\":\"x\"}",
            "{",
            "{} x",
            "7",
        ] {
            assert!(!looks_like_otlp_json(native.as_bytes()), "{native}");
        }
        assert!(!looks_like_otlp_json("[".repeat(1 << 20).as_bytes()));
        assert!(!looks_like_otlp_json(format!("{{\"a\":{}", "[".repeat(1 << 20)).as_bytes()));
    }

    #[test]
    fn snake_case_and_another_signal_are_refused_with_a_reason() {
        for (body, word) in [
            (r#"{"resource_spans":[]}"#, "lowerCamelCase"),
            (r#"{"resourceSpans":[{"scope_spans":[]}]}"#, "lowerCamelCase"),
            (r#"{"resourceLogs":[]}"#, "another signal"),
            (r#"{"resourceMetrics":[]}"#, "another signal"),
            (r#"{"resourceSpans":{}}"#, "a list"),
            (r#"{"resourceSpans":[7]}"#, "OTLP/JSON"),
            (r#"{"resourceSpans":[]"#, "EOF"),
            (r#"[]"#, "OTLP/JSON"),
        ] {
            let fault = count(body.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains(word), "{body}: {fault}");
        }
        for fine in ["{}", r#"{"resourceSpans":null}"#, r#"{"resourceSpans":[],"resourceLogs":[],"x":1}"#] {
            assert_eq!(count(fine.as_bytes()), Ok(0), "{fine}");
        }
    }

    #[test]
    fn the_shape_of_a_text_is_that_outside_of_its_strings() {
        let shape = Shape::of(br#"{"a{[,\"[":["\\",{},[[1,2]]]}"#);
        assert_eq!((shape.depth, shape.marks), (4, 8));
        assert_eq!(Shape::of(b"]]}}{").depth, 1);
    }
}
