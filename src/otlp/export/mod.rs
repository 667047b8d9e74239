//! Rows -> OTLP/HTTP export requests in protobuf, and what their receiver answers (docs/wire.md, OTLP push).
//!
//! A request is [`head`] and the rows behind it, each by [`row`]: rows follow each other and nothing follows them, so that a
//! request can be measured and made one page of rows at a time. What a row becomes depends on nothing but the row, so
//! that it is the same bytes, under the same ids, whenever it is sent. Pure.

mod attributes;
mod log;
mod metric;
mod response;
mod span;
#[cfg(test)]
mod tests;

pub use response::{Partial, partial_success};

use super::Signal;
use super::writing::{self, message};
use crate::config::Sender;
use crate::event::{Table, Value};

use attributes::Attributes;

impl Signal {
    /// As what the rows of a table are sent.
    pub fn of(table: Table) -> Signal {
        match table {
            Table::LlmTraces => Signal::Traces,
            Table::ErrorEvents | Table::CustomEvents => Signal::Logs,
            Table::SystemMetrics => Signal::Metrics,
        }
    }
}

/// Appends one row as one field: a span, a log record, or the metrics of a sample with a scope of their own.
pub fn row(table: Table, columns: &[(&'static str, Value<'_>)], out: &mut Vec<u8>) {
    let row = Row(columns);
    match table {
        Table::LlmTraces => span::write(&row, out),
        Table::ErrorEvents => log::error(&row, out),
        Table::CustomEvents => log::custom(&row, out),
        Table::SystemMetrics => metric::write(&row, out),
    }
}

/// Everything that comes before rows of so many bytes: who sends them, and the lengths of what they are in.
pub fn head(signal: Signal, sender: &Sender<'_>, rows_bytes: u64) -> Vec<u8> {
    let mut content = Vec::new();
    resource(sender, &mut content);
    if signal != Signal::Metrics {
        let mut scope = Vec::new();
        message(&mut scope, SCOPE, |out| {
            writing::bytes(out, SCOPE_NAME, NAME.as_bytes());
            writing::bytes(out, SCOPE_VERSION, sender.version.as_bytes());
        });
        writing::start(&mut content, SCOPES, scope.len() as u64 + rows_bytes);
        content.extend(scope);
    }
    let mut head = Vec::new();
    writing::start(&mut head, RESOURCES, content.len() as u64 + rows_bytes);
    head.extend(content);
    head
}

fn resource(sender: &Sender<'_>, out: &mut Vec<u8>) {
    let who = sender.identity;
    let is_fly = who.fly_app_name.is_some() || who.fly_machine_id.is_some();
    message(out, RESOURCE, |out| {
        let mut attributes = Attributes::new(RESOURCE_ATTRIBUTES, out);
        attributes.text("service.name", NAME);
        attributes.text("service.version", sender.version);
        attributes.text("service.instance.id", sender.instance_id);
        if is_fly {
            attributes.text("cloud.provider", "fly_io");
        }
        for (name, value) in [
            ("host.name", &who.hostname),
            ("host.id", &who.fly_machine_id),
            ("cloud.region", &who.fly_region),
            ("container.image.name", &who.fly_image_ref),
            ("fly.app_name", &who.fly_app_name),
            ("fly.machine_id", &who.fly_machine_id),
            ("fly.process_group", &who.fly_process_group),
        ] {
            if let Some(value) = value {
                attributes.text(name, value);
            }
        }
    });
}

/// The columns of one row. One that is absent is NULL.
struct Row<'a>(&'a [(&'static str, Value<'a>)]);

impl<'a> Row<'a> {
    fn value(&self, name: &str) -> Value<'a> {
        self.0.iter().find(|(column, _)| *column == name).map_or(Value::Null, |(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        match self.value(name) {
            Value::Text(text) | Value::Json(text) => Some(text),
            _ => None,
        }
    }

    fn whole(&self, name: &str) -> Option<i64> {
        if let Value::Integer(number) = self.value(name) { Some(number) } else { None }
    }

    /// A time in Unix nanoseconds; 0, which is not known, where it is none that OTLP can say.
    fn nanos(&self, name: &str) -> u64 {
        self.whole(name).map_or(0, nanos)
    }
}

/// Unix milliseconds in nanoseconds, or 0.
fn nanos(ms: i64) -> u64 {
    u64::try_from(ms).ok().and_then(|ms| ms.checked_mul(super::call::NANOS_PER_MILLI)).unwrap_or(0)
}

/// `service.name`, and the name of every scope.
const NAME: &str = "openclaw-trace";
/// `Export…ServiceRequest.resource_…`
const RESOURCES: u8 = 1;
/// `Resource….resource`
const RESOURCE: u8 = 1;
const RESOURCE_ATTRIBUTES: u8 = 1;
/// `Resource….scope_…`
const SCOPES: u8 = 2;
/// `Scope….scope`
const SCOPE: u8 = 1;
const SCOPE_NAME: u8 = 1;
const SCOPE_VERSION: u8 = 2;
/// `Scope….{spans,log_records,metrics}`
const RECORDS: u8 = 2;
