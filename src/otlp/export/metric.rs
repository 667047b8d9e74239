//! A row of `system_metrics` as metrics with a scope of their own, under the names that OTel has for them.
//!
//! Every point has the time of the sample, and what happened in its interval has the start of that: the same row gives the same
//! points, which is all the identity that a point has.

use super::super::writing::{self, message};
use super::attributes::Attributes;
use super::{NAME, RECORDS, Row, SCOPE, SCOPE_NAME, SCOPES, nanos};
use crate::event::Value;

/// What kind of number it is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A number of now, of which many make no sum.
    Gauge,
    /// An amount of now: a sum that rises and falls.
    Amount,
    /// How much there was in the interval of the sample.
    Delta,
}

/// One metric.
pub(super) struct Metric {
    pub(super) name: &'static str,
    unit: &'static str,
    kind: Kind,
    /// Which of the columns that say of what machine or container the sample is go with it.
    labels: &'static [(&'static str, &'static str)],
    /// Its points: the column, and the attribute that tells it from the others.
    pub(super) points: &'static [(&'static str, &'static [(&'static str, &'static str)])],
}

/// CPU, memory, I/O and pressure are those of the machine, or of a container.
const SCOPED: &[(&str, &str)] = &[("scope", "openclaw_trace.scope")];
const OF_DISK: &[(&str, &str)] = &[("disk_path", "openclaw_trace.disk_path")];
const ALONE: &[(&str, &str)] = &[];

use Kind::{Amount, Delta, Gauge};

const fn metric(
    name: &'static str,
    unit: &'static str,
    kind: Kind,
    labels: &'static [(&'static str, &'static str)],
    points: &'static [(&'static str, &'static [(&'static str, &'static str)])],
) -> Metric {
    Metric { name, unit, kind, labels, points }
}

/// All of them. The names of OTel where they mean the same, else the column's. Those of the agent's process are ours
/// although there are `process.*`: the resource is the sidecar, whose process they would be.
#[rustfmt::skip]
pub(super) const METRICS: &[Metric] = &[
    metric("system.cpu.utilization", "1", Gauge, SCOPED, &[("cpu_percent", ALONE)]),
    metric("container.cpu.usage", "{cpu}", Gauge, SCOPED, &[("cpu_cores_used", ALONE)]),
    metric("openclaw_trace.cpu_limit_cores", "{cpu}", Gauge, SCOPED, &[("cpu_limit_cores", ALONE)]),
    metric("openclaw_trace.cpu_throttled", "ms", Delta, SCOPED, &[("cpu_throttled_ms", ALONE)]),
    metric("openclaw_trace.cpu_steal", "ms", Delta, ALONE, &[("cpu_steal_ms", ALONE)]),
    metric("container.memory.usage", "By", Gauge, SCOPED, &[("memory_used_bytes", ALONE)]),
    metric("container.memory.working_set", "By", Gauge, SCOPED, &[("memory_working_set_bytes", ALONE)]),
    metric("container.memory.rss", "By", Gauge, SCOPED, &[("memory_rss_bytes", ALONE)]),
    metric("system.memory.limit", "By", Amount, SCOPED, &[("memory_limit_bytes", ALONE)]),
    metric("system.memory.utilization", "1", Gauge, SCOPED, &[("memory_percent", &[("system.memory.state", "used")])]),
    metric("system.paging.usage", "By", Amount, SCOPED, &[("swap_used_bytes", &[("system.paging.state", "used")])]),
    metric("system.filesystem.limit", "By", Amount, OF_DISK, &[("disk_total_bytes", ALONE)]),
    metric("system.filesystem.usage", "By", Amount, OF_DISK, &[
        ("disk_used_bytes", &[("system.filesystem.state", "used")]),
        ("disk_free_bytes", &[("system.filesystem.state", "free")]),
    ]),
    metric("system.filesystem.utilization", "1", Gauge, OF_DISK, &[("disk_percent", ALONE)]),
    metric("openclaw_trace.disk_inodes_total", "{inode}", Amount, OF_DISK, &[("disk_inodes_total", ALONE)]),
    metric("openclaw_trace.disk_inodes_free", "{inode}", Amount, OF_DISK, &[("disk_inodes_free", ALONE)]),
    metric("system.disk.io", "By", Delta, SCOPED, &[
        ("io_read_bytes", &[("disk.io.direction", "read")]),
        ("io_write_bytes", &[("disk.io.direction", "write")]),
    ]),
    metric("system.network.io", "By", Delta, ALONE, &[
        ("net_rx_bytes", &[("network.io.direction", "receive")]),
        ("net_tx_bytes", &[("network.io.direction", "transmit")]),
    ]),
    metric("system.network.errors", "{error}", Delta, ALONE, &[
        ("net_rx_errors", &[("network.io.direction", "receive")]),
        ("net_tx_errors", &[("network.io.direction", "transmit")]),
    ]),
    metric("system.network.connection.count", "{connection}", Amount, ALONE, &[
        ("tcp_established", &[("network.transport", "tcp"), ("network.connection.state", "established")]),
        ("tcp_listen", &[("network.transport", "tcp"), ("network.connection.state", "listen")]),
        ("tcp_time_wait", &[("network.transport", "tcp"), ("network.connection.state", "time_wait")]),
        ("tcp_close_wait", &[("network.transport", "tcp"), ("network.connection.state", "close_wait")]),
        ("tcp_other", &[("network.transport", "tcp"), ("network.connection.state", "other")]),
    ]),
    metric("system.process.count", "{process}", Amount, ALONE, &[("process_count", ALONE)]),
    metric("openclaw_trace.thread_count", "{thread}", Amount, ALONE, &[("thread_count", ALONE)]),
    metric("openclaw_trace.zombie_count", "{process}", Amount, ALONE, &[("zombie_count", ALONE)]),
    metric("system.cpu.load_average.1m", "{thread}", Gauge, ALONE, &[("load_1m", ALONE)]),
    metric("openclaw_trace.oom_kills", "{process}", Delta, SCOPED, &[("oom_kills", ALONE)]),
    metric("openclaw_trace.cpu_pressure", "ms", Delta, SCOPED, &[("cpu_pressure_ms", ALONE)]),
    metric("openclaw_trace.memory_pressure", "ms", Delta, SCOPED, &[("memory_pressure_ms", ALONE)]),
    metric("openclaw_trace.memory_pressure_full", "ms", Delta, SCOPED, &[("memory_pressure_full_ms", ALONE)]),
    metric("openclaw_trace.io_pressure", "ms", Delta, SCOPED, &[("io_pressure_ms", ALONE)]),
    metric("openclaw_trace.io_pressure_full", "ms", Delta, SCOPED, &[("io_pressure_full_ms", ALONE)]),
    metric("openclaw_trace.agent_alive", "1", Gauge, ALONE, &[("agent_alive", ALONE)]),
    metric("openclaw_trace.agent_memory", "By", Gauge, ALONE, &[("agent_rss_bytes", ALONE)]),
    metric("openclaw_trace.agent_cpu", "{cpu}", Gauge, ALONE, &[("agent_cpu_cores_used", ALONE)]),
    metric("openclaw_trace.agent_fds", "{file_descriptor}", Gauge, ALONE, &[("agent_fds", ALONE)]),
    metric("openclaw_trace.agent_restarts", "{restart}", Delta, ALONE, &[("agent_restarts", ALONE)]),
];

/// Appends the metrics of the sample. A sample of which nothing is known is a scope without metrics.
pub(super) fn write(row: &Row<'_>, out: &mut Vec<u8>) {
    message(out, SCOPES, |out| {
        // No version: the bytes of a row may not change with the program.
        message(out, SCOPE, |out| writing::bytes(out, SCOPE_NAME, NAME.as_bytes()));
        for metric in METRICS {
            if metric.points.iter().any(|(column, _)| number(row, metric, column).is_some()) {
                message(out, RECORDS, |out| one(row, metric, out));
            }
        }
    });
}

fn one(row: &Row<'_>, metric: &Metric, out: &mut Vec<u8>) {
    writing::bytes(out, METRIC_NAME, metric.name.as_bytes());
    writing::bytes(out, METRIC_UNIT, metric.unit.as_bytes());
    let field = if metric.kind == Gauge { METRIC_GAUGE } else { METRIC_SUM };
    message(out, field, |out| {
        for (column, attributes) in metric.points {
            if let Some(number) = number(row, metric, column) {
                message(out, DATA_POINTS, |out| point(row, metric, attributes, number, out));
            }
        }
        match metric.kind {
            Gauge => {}
            Amount => writing::number(out, TEMPORALITY, CUMULATIVE),
            Delta => {
                writing::number(out, TEMPORALITY, DELTA);
                writing::number(out, IS_MONOTONIC, 1);
            }
        }
    });
}

fn point(row: &Row<'_>, metric: &Metric, own: &[(&str, &str)], number: Number, out: &mut Vec<u8>) {
    let mut attributes = Attributes::new(POINT_ATTRIBUTES, out);
    for (name, value) in own {
        attributes.text(name, value);
    }
    for (column, name) in metric.labels {
        if let Some(value) = row.text(column) {
            attributes.text(name, value);
        }
    }
    let time_ms = row.whole("timestamp").unwrap_or(0);
    if let (Delta, Some(interval_ms)) = (metric.kind, row.whole("interval_ms")) {
        writing::fixed64(out, POINT_START, nanos(time_ms.saturating_sub(interval_ms)));
    }
    writing::fixed64(out, POINT_TIME, nanos(time_ms));
    match number {
        Number::Whole(whole) => writing::fixed64(out, POINT_INT, whole as u64),
        Number::Real(real) => writing::fixed64(out, POINT_DOUBLE, real.to_bits()),
    }
}

#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Real(f64),
}

/// The number of a column. Percents are ratios where the unit is one.
fn number(row: &Row<'_>, metric: &Metric, column: &str) -> Option<Number> {
    match row.value(column) {
        Value::Integer(whole) => Some(Number::Whole(whole)),
        Value::Real(real) if metric.unit == "1" => Some(Number::Real(real / PERCENT)),
        Value::Real(real) => Some(Number::Real(real)),
        _ => None,
    }
}

const PERCENT: f64 = 100.0;
/// `Metric`
const METRIC_NAME: u8 = 1;
const METRIC_UNIT: u8 = 3;
const METRIC_GAUGE: u8 = 5;
const METRIC_SUM: u8 = 7;
/// `Gauge`, `Sum`
const DATA_POINTS: u8 = 1;
const TEMPORALITY: u8 = 2;
const IS_MONOTONIC: u8 = 3;
/// `AggregationTemporality`
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;
/// `NumberDataPoint`
const POINT_START: u8 = 2;
const POINT_TIME: u8 = 3;
const POINT_DOUBLE: u8 = 4;
const POINT_INT: u8 = 6;
const POINT_ATTRIBUTES: u8 = 7;
