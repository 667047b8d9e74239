//! OTLP protobuf: the walk down to each record.
//!
//! The three outer levels are walked in place and one record is decoded at a time, after its nodes have been counted on
//! the wire, so a body of two-byte messages cannot become a tree many times its size. Field numbers: opentelemetry-proto 1.x.

use bytes::Bytes;
use prost::Message;

use super::origin::{self, Origin};
use super::proto::{KeyValue, LogRecord, Metric, Span};
use super::wire::{Fields, messages};
use super::{Fault, Intake, Signal, metrics};

/// Hands every record of an export request to `intake`: the three signals share their outer levels.
///
/// # Errors
/// The body is no such message, or has too many records.
pub(super) fn records(body: &Bytes, signal: Signal, intake: &mut Intake<'_>) -> Result<(), Fault> {
    for resource in messages(body, RESOURCES) {
        let resource = resource?;
        intake.resource(origin(body, resource)?);
        for scope in messages(resource, SCOPES) {
            for record in messages(scope?, RECORDS) {
                let record = record?;
                intake.count()?;
                match weigh(signal, record) {
                    Ok(()) => take(signal, body.slice_ref(record), intake)?,
                    Err(Stop::Over(reason)) => intake.reject(reason),
                    Err(Stop::Fault(fault)) => return Err(fault),
                }
            }
        }
    }
    Ok(())
}

fn take(signal: Signal, record: Bytes, intake: &mut Intake<'_>) -> Result<(), Fault> {
    match signal {
        Signal::Traces => intake.span(&decode::<Span>(record)?),
        Signal::Logs => intake.log(&decode::<LogRecord>(record)?),
        Signal::Metrics => {
            let name = messages(&record, METRIC_NAME).last().transpose()?.unwrap_or_default();
            match metrics::counter(name) {
                Some(counter) => intake.metric(counter, &decode::<Metric>(record)?),
                None => intake.unwanted_metric(name),
            }
        }
    }
    Ok(())
}

fn decode<T: Message + Default>(record: Bytes) -> Result<T, Fault> {
    T::decode(record).map_err(|e| Fault::Malformed { message: format!("not the protobuf of this path: {e}") })
}

/// Where the records of a resource come from. Its other attributes are not looked at: `process.command_args` may hold what a
/// user said.
fn origin(body: &Bytes, resource: &[u8]) -> Result<Origin, Fault> {
    let mut found = Origin::default();
    for resource in messages(resource, RESOURCE) {
        for attribute in messages(resource?, RESOURCE_ATTRIBUTES) {
            let attribute = attribute?;
            let key = messages(attribute, KEY).last().transpose()?.unwrap_or_default();
            if origin::is_wanted(key) && (Scale { nodes: 0 }).attribute(attribute, 0).is_ok() {
                found.take(&decode::<KeyValue>(body.slice_ref(attribute))?);
            }
        }
    }
    Ok(found)
}

/// Counts what [`decode`] would make of a record, without making it.
fn weigh(signal: Signal, record: &[u8]) -> Result<(), Stop> {
    let mut scale = Scale { nodes: 0 };
    for field in Fields::of(record) {
        let field = field?;
        let content = field.content.unwrap_or_default();
        match (signal, field.number) {
            (Signal::Traces, SPAN_ATTRIBUTES) | (Signal::Logs, LOG_ATTRIBUTES) => scale.attribute(content, 0)?,
            (Signal::Logs, LOG_BODY) => scale.value(content, 0)?,
            (Signal::Traces, SPAN_EVENTS) => scale.message(content, EVENT_ATTRIBUTES)?,
            (Signal::Metrics, METRIC_SUM) => scale.points(content, NUMBER_ATTRIBUTES)?,
            (Signal::Metrics, METRIC_HISTOGRAM) => scale.points(content, HISTOGRAM_ATTRIBUTES)?,
            _ => {}
        }
    }
    Ok(())
}

/// Why weighing ended early.
enum Stop {
    /// The record is over a bound, with the reason.
    Over(&'static str),
    /// It is no record.
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

    fn points(&mut self, kind: &[u8], attributes: u64) -> Result<(), Stop> {
        for point in messages(kind, DATA_POINTS) {
            self.message(point?, attributes)?;
        }
        Ok(())
    }

    /// A message and its attributes.
    fn message(&mut self, message: &[u8], attributes: u64) -> Result<(), Stop> {
        self.node()?;
        for attribute in messages(message, attributes) {
            self.attribute(attribute?, 0)?;
        }
        Ok(())
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
/// `Resource….resource`
const RESOURCE: u64 = 1;
const RESOURCE_ATTRIBUTES: u64 = 1;
const SPAN_ATTRIBUTES: u64 = 9;
const SPAN_EVENTS: u64 = 11;
const EVENT_ATTRIBUTES: u64 = 3;
const LOG_BODY: u64 = 5;
const LOG_ATTRIBUTES: u64 = 6;
const METRIC_NAME: u64 = 1;
const METRIC_SUM: u64 = 7;
const METRIC_HISTOGRAM: u64 = 9;
/// `Sum.data_points`, `Histogram.data_points`
const DATA_POINTS: u64 = 1;
const NUMBER_ATTRIBUTES: u64 = 7;
const HISTOGRAM_ATTRIBUTES: u64 = 9;
const KEY: u64 = 1;
const VALUE: u64 = 2;
const ARRAY_VALUE: u64 = 5;
const KVLIST_VALUE: u64 = 6;
/// `ArrayValue.values`, `KeyValueList.values`
const VALUES: u64 = 1;
