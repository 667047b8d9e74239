//! One sample of the machine at every tick: [`Collector`] reads it, [`run`] offers it to the queue.
//!
//! Owns what a [`SystemMetric`] means. Promises: where a container limits us, CPU and memory are the container's;
//! a figure that cannot be read, or not be told from two counters, is absent and never a guess; a field
//! that is absent because it cannot be read is named once in the log.

mod cgroup;
mod files;
mod proc;
mod rates;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::{Event, EventId, Kind, SystemMetric};
use crate::queue::{Offer, Queue};
use crate::shutdown::{Token, stops_within};
use crate::space::Space;
use crate::stats::Stats;

use cgroup::Groups;
use files::Files;
use proc::{Interface, Memory};
use rates::{CpuCounters, cores_used, network, rise};

/// Where a sample is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// Where `proc` and `sys` are: `/`, or a directory that holds copies of them.
    pub root: PathBuf,
    /// A directory of the volume whose space is told.
    pub disk: PathBuf,
}

/// Takes samples, each against the one before.
#[derive(Debug)]
pub struct Collector {
    files: Files,
    disk: PathBuf,
    before: Option<Before>,
    unreadable: BTreeSet<&'static str>,
}

/// The counters of the last sample.
#[derive(Debug)]
struct Before {
    uptime: Duration,
    cpu: Option<CpuCounters>,
    interfaces: Option<Vec<Interface>>,
}

/// Processes that the kernel has killed for want of memory: those of our cgroup, or where none is counted, those of the
/// machine. Only the difference of two readings says something. `root` is `/`, or a directory that holds copies.
pub fn oom_kills(root: impl Into<PathBuf>) -> Option<i64> {
    let files = Files::under(root.into());
    cgroup::oom_kills(&files).or_else(|| proc::oom_kills(&files.text("proc/vmstat")?))
}

impl Collector {
    /// A collector that has taken no sample yet.
    pub fn new(sources: Sources) -> Collector {
        let Sources { root, disk } = sources;
        Collector { files: Files::under(root), disk, before: None, unreadable: BTreeSet::new() }
    }

    /// Takes a sample at `now_ms` (Unix milliseconds); `uptime` is a clock that never goes back.
    pub fn sample(&mut self, now_ms: i64, uptime: Duration) -> SystemMetric {
        let groups = Groups::find(&self.files);
        let before = self.before.take();
        let interval = before.as_ref().and_then(|b| uptime.checked_sub(b.uptime)).filter(|i| !i.is_zero());
        let mut sample = SystemMetric {
            timestamp_ms: now_ms,
            interval_ms: interval.and_then(|i| i64::try_from(i.as_millis()).ok()),
            scope: groups.scope(),
            load_1m: self.files.text("proc/loadavg").and_then(|text| proc::load_1m(&text)),
            ..SystemMetric::default()
        };
        let cpu = self.cpu(&groups, &mut sample);
        let interfaces = self.files.text("proc/net/dev").and_then(|text| proc::interfaces(&text));
        if let (Some(before), Some(interval)) = (&before, interval) {
            fill_cpu(&mut sample, before.cpu.as_ref(), cpu.as_ref(), interval);
            if let (Some(before), Some(now)) = (&before.interfaces, &interfaces) {
                (sample.net_rx_bytes, sample.net_tx_bytes) = network(before, now).unzip();
            }
        }
        self.memory(&groups, &mut sample);
        self.processes(&mut sample);
        self.disk(&mut sample);
        self.tell_unreadable(&sample, cpu.is_some(), interfaces.is_some());
        self.before = Some(Before { uptime, cpu, interfaces });
        sample
    }

    /// Fields that could not be read so far.
    pub fn unreadable(&self) -> impl Iterator<Item = &'static str> {
        self.unreadable.iter().copied()
    }

    /// The limit, and the counters to compare with the next sample's.
    fn cpu(&self, groups: &Groups, sample: &mut SystemMetric) -> Option<CpuCounters> {
        let machine = self.files.text("proc/stat").and_then(|text| proc::machine_cpu(&text));
        let cores = machine.map(|m| m.cores);
        let quota = groups.cpu.as_ref().and_then(|group| group.limit_cores);
        sample.cpu_limit_cores = match (quota, cores) {
            (Some(quota), Some(cores)) => Some(quota.min(cores)),
            (quota, cores) => quota.or(cores),
        };
        match &groups.cpu {
            Some(group) => group.counters(&self.files),
            None => machine.map(|m| CpuCounters { used_us: m.used_us, throttled_us: None, of: PathBuf::new() }),
        }
    }

    fn memory(&self, groups: &Groups, sample: &mut SystemMetric) {
        let machine = self.files.text("proc/meminfo").and_then(|text| proc::machine_memory(&text));
        let memory = match &groups.memory {
            Some(group) => group.memory(&self.files, machine.and_then(|m| m.limit_bytes)),
            None => machine.unwrap_or_default(),
        };
        let Memory { used_bytes, reclaimable_bytes, limit_bytes, rss_bytes, swap_bytes } = memory;
        sample.memory_used_bytes = used_bytes;
        sample.memory_limit_bytes = limit_bytes;
        sample.memory_rss_bytes = rss_bytes;
        sample.swap_used_bytes = swap_bytes;
        sample.memory_percent = used_bytes
            .zip(reclaimable_bytes)
            .zip(limit_bytes)
            .and_then(|((used, free), limit)| (limit > 0).then(|| percent((used - free).max(0) as f64, limit as f64)));
    }

    fn processes(&self, sample: &mut SystemMetric) {
        let Some(pids) = self.files.numbered("proc") else { return };
        let (mut processes, mut threads, mut zombies) = (0, 0, 0);
        for pid in pids {
            // One that has gone since the directory was read is no process.
            let Some(stat) = self.files.text(format!("proc/{pid}/stat")) else { continue };
            let Some(process) = proc::process(&stat) else { continue };
            processes += 1;
            threads += process.threads;
            zombies += i64::from(process.zombie);
        }
        // We are one: none at all means that nothing could be read.
        if processes > 0 {
            sample.process_count = Some(processes);
            sample.thread_count = Some(threads);
            sample.zombie_count = Some(zombies);
        }
    }

    fn disk(&self, sample: &mut SystemMetric) {
        sample.disk_path = Some(self.disk.to_string_lossy().into());
        let Some(space) = Space::of(&self.disk) else { return };
        sample.disk_total_bytes = i64::try_from(space.total_bytes).ok();
        sample.disk_used_bytes = i64::try_from(space.used_bytes).ok();
        sample.disk_free_bytes = i64::try_from(space.free_bytes).ok();
        sample.disk_percent = space.used_percent();
    }

    /// Names each field once. Throttling and swap are left out: there are machines that have none.
    fn tell_unreadable(&mut self, sample: &SystemMetric, cpu: bool, net: bool) {
        let read = [
            ("cpu_percent", cpu),
            ("cpu_limit_cores", sample.cpu_limit_cores.is_some()),
            ("memory_used_bytes", sample.memory_used_bytes.is_some()),
            ("memory_limit_bytes", sample.memory_limit_bytes.is_some()),
            ("memory_percent", sample.memory_percent.is_some()),
            ("memory_rss_bytes", sample.memory_rss_bytes.is_some()),
            ("disk_total_bytes", sample.disk_total_bytes.is_some()),
            ("net_rx_bytes", net),
            ("process_count", sample.process_count.is_some()),
            ("load_1m", sample.load_1m.is_some()),
        ];
        for (field, _) in read.into_iter().filter(|(_, read)| !read) {
            if self.unreadable.insert(field) {
                log::warn!(field; "a field of the samples cannot be read and stays empty");
            }
        }
    }
}

/// Takes a sample now and then every `interval`, and offers each to the queue without waiting until it is
/// stored. Returns when the other end of `stop` has been dropped.
pub async fn run<C>(
    mut collector: Collector,
    interval: Duration,
    queue: Queue<C>,
    stats: Arc<Stats>,
    clock: Clock,
    stop: Token,
) {
    let mut wait = Duration::ZERO;
    loop {
        if stops_within(&stop, wait).await {
            return;
        }
        wait = interval;
        let now_ms = clock.now_ms();
        let sample = collector.sample(now_ms, clock.uptime());
        stats.signals.system_metrics.received(1, now_ms);
        let kind = Kind::SystemMetric(Box::new(sample));
        let mut batch = queue.batch();
        batch.push(Event { id: EventId::new(now_ms), received_at_ms: now_ms, kind });
        match queue.give(batch) {
            Offer::Queued(()) => {}
            // The queue has counted it.
            Offer::Refused(why) => log::debug!(reason = why.name(); "a sample was refused"),
            Offer::TooLarge => log::debug!("a sample was larger than the queue"),
        }
    }
}

/// CPU figures of the time between two readings of the same counters.
fn fill_cpu(sample: &mut SystemMetric, before: Option<&CpuCounters>, now: Option<&CpuCounters>, interval: Duration) {
    let Some((before, now)) = before.zip(now).filter(|(before, now)| before.of == now.of) else { return };
    sample.cpu_cores_used = cores_used(before.used_us, now.used_us, interval);
    sample.cpu_percent = sample
        .cpu_cores_used
        .zip(sample.cpu_limit_cores)
        .and_then(|(used, limit)| (limit > 0.0).then(|| percent(used, limit)));
    let throttled_us = before.throttled_us.zip(now.throttled_us).and_then(|(before, now)| rise(before, now));
    sample.cpu_throttled_ms = throttled_us.map(|us| us / 1000);
}

fn percent(part: f64, whole: f64) -> f64 {
    part * 100.0 / whole
}
