//! What the machine and its container are at one moment.

use super::{Scope, text};

/// One sample of the container. `None` = could not be read, or is not known yet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SystemMetric {
    /// When it was taken, Unix milliseconds UTC.
    pub timestamp_ms: i64,
    /// Time since the sample before, milliseconds. `None` on the first.
    pub interval_ms: Option<i64>,
    /// CPU used in the interval, percent of `cpu_limit_cores`.
    pub cpu_percent: Option<f64>,
    /// CPU used in the interval, in cores.
    pub cpu_cores_used: Option<f64>,
    /// Cores that may be used: the quota, or what the machine has.
    pub cpu_limit_cores: Option<f64>,
    /// Time that the container was kept waiting by its quota in the interval, milliseconds, summed over CPUs.
    pub cpu_throttled_ms: Option<i64>,
    /// Memory that is charged to the container.
    pub memory_used_bytes: Option<i64>,
    /// Memory that may be used: the limit, or what the machine has.
    pub memory_limit_bytes: Option<i64>,
    /// `memory_working_set_bytes`, percent of the limit.
    pub memory_percent: Option<f64>,
    /// Anonymous memory.
    pub memory_rss_bytes: Option<i64>,
    /// Swap in use.
    pub swap_used_bytes: Option<i64>,
    /// The directory whose volume the disk figures are of.
    pub disk_path: Option<Box<str>>,
    /// Size of the volume.
    pub disk_total_bytes: Option<i64>,
    /// Used of it.
    pub disk_used_bytes: Option<i64>,
    /// Free for us.
    pub disk_free_bytes: Option<i64>,
    /// `used / (used + free)`, as `df` shows it.
    pub disk_percent: Option<f64>,
    /// Bytes received in the interval, loopback left out.
    pub net_rx_bytes: Option<i64>,
    /// Bytes sent in the interval, loopback left out.
    pub net_tx_bytes: Option<i64>,
    /// Processes that we can see.
    pub process_count: Option<i64>,
    /// Their threads.
    pub thread_count: Option<i64>,
    /// How many of the processes are dead and not waited for.
    pub zombie_count: Option<i64>,
    /// Load average of one minute.
    pub load_1m: Option<f64>,
    /// Whose numbers CPU and memory are.
    pub scope: Scope,
    /// `memory_used_bytes`, less what can be reclaimed at once.
    pub memory_working_set_bytes: Option<i64>,
    /// Processes that the kernel killed for want of memory in the interval.
    pub oom_kills: Option<i64>,
    /// Time in the interval that somebody waited for a CPU, milliseconds. This and the four below: PSI of the kernel.
    pub cpu_pressure_ms: Option<i64>,
    /// The same for memory.
    pub memory_pressure_ms: Option<i64>,
    /// Time in the interval that everybody waited for memory, milliseconds.
    pub memory_pressure_full_ms: Option<i64>,
    /// Time in the interval that somebody waited for a disk, milliseconds.
    pub io_pressure_ms: Option<i64>,
    /// Time in the interval that everybody waited for a disk, milliseconds.
    pub io_pressure_full_ms: Option<i64>,
    /// CPU time that the machine below took from this one in the interval, milliseconds of all cores.
    pub cpu_steal_ms: Option<i64>,
    /// Bytes read from disks in the interval.
    pub io_read_bytes: Option<i64>,
    /// Bytes written to disks in the interval.
    pub io_write_bytes: Option<i64>,
    /// Inodes of the volume; `None` where it has no fixed number of them.
    pub disk_inodes_total: Option<i64>,
    /// Inodes that are free.
    pub disk_inodes_free: Option<i64>,
    /// Packets received with an error in the interval, loopback left out.
    pub net_rx_errors: Option<i64>,
    /// Packets not sent because of an error in the interval, loopback left out.
    pub net_tx_errors: Option<i64>,
    /// TCP connections that are established. This and the four below: those that we can see, loopback among them.
    pub tcp_established: Option<i64>,
    /// TCP sockets that listen.
    pub tcp_listen: Option<i64>,
    /// TCP connections that were closed by this side and wait for stragglers.
    pub tcp_time_wait: Option<i64>,
    /// TCP connections that the peer has closed and this side has not.
    pub tcp_close_wait: Option<i64>,
    /// TCP connections in any other state: being opened, or being closed.
    pub tcp_other: Option<i64>,
    /// The three processes that use most memory, every five minutes: a JSON list of `[name, RSS in MiB]`.
    pub processes_top: Option<Box<str>>,
    /// Whether the agent's process is there; `None` when nobody said which it is.
    pub agent_alive: Option<bool>,
    /// Memory of it that is in RAM.
    pub agent_rss_bytes: Option<i64>,
    /// CPU that it used in the interval, in cores.
    pub agent_cpu_cores_used: Option<f64>,
    /// Files and sockets that it has open.
    pub agent_fds: Option<i64>,
    /// Times in the interval that another process took its place.
    pub agent_restarts: Option<i64>,
}

impl SystemMetric {
    pub(super) fn text_bytes(&self) -> usize {
        text(&self.disk_path) + text(&self.processes_top)
    }
}
