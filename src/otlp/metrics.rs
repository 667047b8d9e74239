//! Metrics: what an agent counts of its calls itself, as notes. Nothing of them is a row, and nothing is added to spend.

use super::Intake;
use super::call::millis;
use super::dialects::{COUNTERS, Counter};
use super::proto::{Any, KeyValue, Metric};
use crate::event::{Counted, CounterPoint, EventId, Note, PicoUsd};

/// What rows count too that a metric of this name counts.
pub(super) fn counter(name: &[u8]) -> Option<&'static Counter> {
    COUNTERS.iter().find(|counter| counter.metric.as_bytes() == name)
}

impl Intake<'_> {
    /// A metric that is not decoded: nobody wants it, or it is none.
    pub(super) fn unwanted_metric(&mut self, name: &[u8]) {
        // A span or a log record that was sent to the path of metrics has something else there.
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return self.reject("a metric's name must be of visible ASCII characters");
        }
        self.ignore(name);
    }

    /// A metric that is wanted. It becomes no row either, so it is counted as ignored.
    pub(super) fn metric(&mut self, counter: &Counter, metric: &Metric) {
        self.ignore(&metric.name);
        if let Some(sum) = metric.sum.as_ref().filter(|sum| sum.is_monotonic) {
            for point in &sum.data_points {
                let number = point.as_double.or(point.as_int.map(|whole| whole as f64));
                let value = number.and_then(|number| value(counter.counted, number));
                self.point(
                    counter,
                    &point.attributes,
                    point.start_ns,
                    point.time_ns,
                    sum.aggregation_temporality,
                    value,
                );
            }
        }
        if let Some(histogram) = metric.histogram.as_ref().filter(|_| counter.counted == Counted::Calls) {
            for point in &histogram.data_points {
                let value = i64::try_from(point.count).ok();
                let temporality = histogram.aggregation_temporality;
                self.point(counter, &point.attributes, point.start_ns, point.time_ns, temporality, value);
            }
        }
    }

    fn point(
        &mut self,
        counter: &Counter,
        labels: &[KeyValue],
        start_ns: u64,
        time_ns: u64,
        temporality: i32,
        value: Option<i64>,
    ) {
        let is_cumulative = match temporality {
            DELTA => false,
            CUMULATIVE => true,
            _ => return,
        };
        let Some(value) = value.filter(|_| counter.kinds.is_none_or(|kinds| is_of(labels, kinds))) else { return };
        let mut identity = self.origin.exporter().as_bytes().to_vec();
        identity.extend([b"\0", counter.metric.as_bytes(), b"\0"].concat());
        identity.extend(shown(labels));
        let point = CounterPoint {
            service_name: self.origin.service_name().unwrap_or_default().into(),
            series: EventId::of_record(0, &identity).to_bytes(),
            start_ms: millis(start_ns).unwrap_or(0),
            timestamp_ms: millis(time_ns).unwrap_or(self.context.now_ms),
            is_cumulative,
            counted: counter.counted,
            value,
        };
        self.note(Note::Counter(Box::new(point)));
    }
}

/// A number as whole units of what is counted. `None` = it is none that a counter can have.
fn value(counted: Counted, number: f64) -> Option<i64> {
    match counted {
        Counted::Tokens | Counted::Calls => (0.0..WHOLE_MAX).contains(&number).then_some(number.round() as i64),
        Counted::PicoUsd => PicoUsd::parse_usd(&number.to_string()).map(|cost| cost.0),
    }
}

/// Whether the labels have one of these kinds.
fn is_of(labels: &[KeyValue], (name, kinds): (&str, &[&str])) -> bool {
    let value = labels.iter().find(|label| label.key == name).and_then(KeyValue::any);
    matches!(value, Some(Any::Text(kind)) if kinds.iter().any(|known| *known == kind))
}

/// The labels in one order and form, whichever the exporter has.
fn shown(labels: &[KeyValue]) -> Vec<u8> {
    let mut shown: Vec<Vec<u8>> = labels.iter().map(prost::Message::encode_to_vec).collect();
    shown.sort_unstable();
    shown.join(&b'\0')
}

/// `AGGREGATION_TEMPORALITY_DELTA`
const DELTA: i32 = 1;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: i32 = 2;
/// A double holds whole numbers exactly up to here.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;
