//! The newest sample of the container, and what the intervals of all of them come to.
//!
//! The tables are what `/metrics` shows of a sample: a new field of [`SystemMetric`] is one more line.

use crate::event::SystemMetric;

/// One field of a sample as a metric of Prometheus.
#[derive(Debug)]
pub struct Measure {
    /// Name of the family, in a base unit.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it is of the volume, whose directory is then its label `path`.
    pub of_disk: bool,
    /// The value in that unit.
    pub value: fn(&SystemMetric) -> Option<f64>,
}

const fn measure(name: &'static str, help: &'static str, value: fn(&SystemMetric) -> Option<f64>) -> Measure {
    Measure { name, help, of_disk: false, value }
}

const fn of_disk(name: &'static str, help: &'static str, value: fn(&SystemMetric) -> Option<f64>) -> Measure {
    Measure { name, help, of_disk: true, value }
}

/// What is so now.
pub const GAUGES: &[Measure] = &[
    measure("openclaw_trace_container_sample_timestamp_seconds", "When the newest sample was taken.", |m| {
        seconds(Some(m.timestamp_ms))
    }),
    measure("openclaw_trace_container_sample_interval_seconds", "Time between the two newest samples.", |m| {
        seconds(m.interval_ms)
    }),
    measure("openclaw_trace_container_cpu_usage_ratio", "CPU used in the last interval, of what may be used.", |m| {
        ratio(m.cpu_percent)
    }),
    measure("openclaw_trace_container_cpu_used_cores", "CPU used in the last interval, in cores.", |m| {
        m.cpu_cores_used
    }),
    measure("openclaw_trace_container_cpu_limit_cores", "Cores that may be used.", |m| m.cpu_limit_cores),
    measure("openclaw_trace_container_memory_used_bytes", "Memory that is charged to the container.", |m| {
        whole(m.memory_used_bytes)
    }),
    measure("openclaw_trace_container_memory_limit_bytes", "Memory that may be used.", |m| whole(m.memory_limit_bytes)),
    measure(
        "openclaw_trace_container_memory_usage_ratio",
        "Memory that cannot be reclaimed at once, of the limit.",
        |m| ratio(m.memory_percent),
    ),
    measure(
        "openclaw_trace_container_memory_working_set_bytes",
        "Memory that is charged to the container and cannot be reclaimed at once.",
        |m| whole(m.memory_working_set_bytes),
    ),
    measure("openclaw_trace_container_memory_rss_bytes", "Anonymous memory.", |m| whole(m.memory_rss_bytes)),
    measure("openclaw_trace_container_swap_used_bytes", "Swap in use.", |m| whole(m.swap_used_bytes)),
    of_disk("openclaw_trace_container_disk_size_bytes", "Size of the volume that the database is on.", |m| {
        whole(m.disk_total_bytes)
    }),
    of_disk("openclaw_trace_container_disk_used_bytes", "Used of it.", |m| whole(m.disk_used_bytes)),
    of_disk("openclaw_trace_container_disk_free_bytes", "Free of it for us.", |m| whole(m.disk_free_bytes)),
    of_disk("openclaw_trace_container_disk_usage_ratio", "Used of what can be used, as df shows it.", |m| {
        ratio(m.disk_percent)
    }),
    of_disk("openclaw_trace_container_disk_inodes", "Inodes of the volume.", |m| whole(m.disk_inodes_total)),
    of_disk("openclaw_trace_container_disk_inodes_free", "Those of them that are free for us.", |m| {
        whole(m.disk_inodes_free)
    }),
    measure("openclaw_trace_container_processes", "Processes that we can see.", |m| whole(m.process_count)),
    measure("openclaw_trace_container_threads", "Their threads.", |m| whole(m.thread_count)),
    measure("openclaw_trace_container_zombies", "Processes that are dead and not waited for.", |m| {
        whole(m.zombie_count)
    }),
    measure("openclaw_trace_container_load1", "Load average of one minute.", |m| m.load_1m),
    measure("openclaw_trace_agent_up", "Whether the process of the agent is there.", |m| m.agent_alive.map(f64::from)),
    measure("openclaw_trace_agent_resident_memory_bytes", "Memory of the agent and of all that it started.", |m| {
        whole(m.agent_rss_bytes)
    }),
    measure("openclaw_trace_agent_open_fds", "Files and sockets that those have open.", |m| whole(m.agent_fds)),
];

/// What a sample says of its interval, added up since the start.
pub const SUMS: [Measure; 17] = [
    measure("openclaw_trace_container_cpu_seconds_total", "CPU time used since the first sample.", |m| {
        used_seconds(m.cpu_cores_used, m.interval_ms)
    }),
    measure(
        "openclaw_trace_container_cpu_throttled_seconds_total",
        "Time kept waiting by the CPU quota since the first sample.",
        |m| seconds(m.cpu_throttled_ms),
    ),
    measure(
        "openclaw_trace_container_cpu_steal_seconds_total",
        "CPU time that the machine below took since the first sample, of all cores.",
        |m| seconds(m.cpu_steal_ms),
    ),
    measure(
        "openclaw_trace_container_cpu_pressure_seconds_total",
        "Time that somebody waited for a CPU since the first sample.",
        |m| seconds(m.cpu_pressure_ms),
    ),
    measure(
        "openclaw_trace_container_memory_pressure_seconds_total",
        "Time that somebody waited for memory since the first sample.",
        |m| seconds(m.memory_pressure_ms),
    ),
    measure(
        "openclaw_trace_container_memory_pressure_full_seconds_total",
        "Time that everybody waited for memory since the first sample.",
        |m| seconds(m.memory_pressure_full_ms),
    ),
    measure(
        "openclaw_trace_container_io_pressure_seconds_total",
        "Time that somebody waited for a disk since the first sample.",
        |m| seconds(m.io_pressure_ms),
    ),
    measure(
        "openclaw_trace_container_io_pressure_full_seconds_total",
        "Time that everybody waited for a disk since the first sample.",
        |m| seconds(m.io_pressure_full_ms),
    ),
    measure(
        "openclaw_trace_container_oom_kills_total",
        "Processes killed for want of memory since the first sample.",
        |m| whole(m.oom_kills),
    ),
    measure("openclaw_trace_container_io_read_bytes_total", "Bytes read from disks since the first sample.", |m| {
        whole(m.io_read_bytes)
    }),
    measure("openclaw_trace_container_io_written_bytes_total", "Bytes written to disks since the first sample.", |m| {
        whole(m.io_write_bytes)
    }),
    measure(
        "openclaw_trace_container_network_receive_bytes_total",
        "Bytes received since the first sample, loopback left out.",
        |m| whole(m.net_rx_bytes),
    ),
    measure(
        "openclaw_trace_container_network_transmit_bytes_total",
        "Bytes sent since the first sample, loopback left out.",
        |m| whole(m.net_tx_bytes),
    ),
    measure(
        "openclaw_trace_container_network_receive_errors_total",
        "Packets received with an error since the first sample, loopback left out.",
        |m| whole(m.net_rx_errors),
    ),
    measure(
        "openclaw_trace_container_network_transmit_errors_total",
        "Packets not sent for an error since the first sample, loopback left out.",
        |m| whole(m.net_tx_errors),
    ),
    measure(
        "openclaw_trace_agent_cpu_seconds_total",
        "CPU time used by the agent and all that it started since the first sample.",
        |m| used_seconds(m.agent_cpu_cores_used, m.interval_ms),
    ),
    measure(
        "openclaw_trace_agent_restarts_total",
        "Times that another process took the agent's place since the first sample.",
        |m| whole(m.agent_restarts),
    ),
];

/// How many of something a sample has counted.
type Count = fn(&SystemMetric) -> Option<i64>;

/// TCP sockets by state.
pub const SOCKETS: [(&str, Count); 5] = [
    ("established", |m| m.tcp_established),
    ("listen", |m| m.tcp_listen),
    ("time_wait", |m| m.tcp_time_wait),
    ("close_wait", |m| m.tcp_close_wait),
    ("other", |m| m.tcp_other),
];

/// What is known of the container.
#[derive(Debug, Clone, Default)]
pub struct Sampled {
    /// The newest sample.
    pub newest: Option<SystemMetric>,
    /// In the order of [`SOCKETS`], as they were counted last: not every sample does.
    pub sockets: [Option<i64>; SOCKETS.len()],
    /// In the order of [`SUMS`]; `None` where no sample has said anything.
    pub sums: [Option<f64>; SUMS.len()],
}

impl Sampled {
    /// Takes the next sample.
    pub(super) fn take(&mut self, sample: &SystemMetric) {
        for (sum, measure) in self.sums.iter_mut().zip(&SUMS) {
            if let Some(more) = (measure.value)(sample) {
                *sum = Some(sum.unwrap_or(0.0) + more);
            }
        }
        for (count, (_, counted)) in self.sockets.iter_mut().zip(SOCKETS) {
            *count = counted(sample).or(*count);
        }
        self.newest = Some(sample.clone());
    }
}

fn seconds(ms: Option<i64>) -> Option<f64> {
    ms.map(|ms| ms as f64 / 1000.0)
}

fn used_seconds(cores: Option<f64>, interval_ms: Option<i64>) -> Option<f64> {
    Some(cores? * seconds(interval_ms)?)
}

fn ratio(percent: Option<f64>) -> Option<f64> {
    percent.map(|percent| percent / 100.0)
}

fn whole(number: Option<i64>) -> Option<f64> {
    number.map(|number| number as f64)
}
