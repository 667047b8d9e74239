//! One sample of the machine at every tick: [`Collector`] reads it, [`run`] offers it to the queue.
//!
//! Owns what a [`SystemMetric`] means. Promises: where a container limits the agent, CPU and memory are the container's;
//! a figure that cannot be read, or not be told from two counters, is absent and never a guess; a field
//! that is absent because it cannot be read is named once in the log.

mod agent;
mod cgroup;
mod collector;
mod disks;
mod files;
mod hierarchy;
mod pressure;
mod proc;
mod process;
mod processes;
mod rates;
mod tcp;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::{ErrorEvent, Event, EventId, Kind, Scope, Severity, Source, SystemMetric};
use crate::queue::{Offer, Queue};
use crate::shutdown::{Token, stops_within};
use crate::stats::Stats;

use files::Files;

pub use agent::{Agent, ChildPid};
pub use collector::Collector;

/// Where a sample is read.
#[derive(Debug, Clone)]
pub struct Sources {
    /// Where `proc` and `sys` are: `/`, or a directory that holds copies of them.
    pub root: PathBuf,
    /// A directory of the volume whose space is told.
    pub disk: PathBuf,
    /// Bytes of a page of memory, where that is known.
    pub page_bytes: Option<i64>,
    /// Whose process, and whose cgroup, the agent's are.
    pub agent: Agent,
}

/// Processes that the kernel has killed for want of memory: those of our cgroup, or where none is counted, those of the
/// machine. Only the difference of two readings says something. `root` is `/`, or a directory that holds copies.
pub fn oom_kills(root: impl Into<PathBuf>) -> Option<i64> {
    let files = Files::under(root.into());
    cgroup::oom_kills(&files).or_else(|| files.parse("proc/vmstat", proc::oom_kills))
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
    // Kills are told by the difference of two samples: what the queue refuses now, nobody would tell later.
    let mut untold: Vec<ErrorEvent> = Vec::new();
    loop {
        if stops_within(&stop, wait).await {
            return;
        }
        wait = interval;
        let now_ms = clock.now_ms();
        let sample = collector.sample(now_ms, clock.uptime());
        stats.signals.system_metrics.received(1, now_ms);
        stats.sampled(&sample);
        let mut batch = queue.batch();
        untold.extend(oom_kill(&sample));
        untold.truncate(UNTOLD_MAX);
        let errors = untold.iter().map(|error| Kind::ErrorEvent(Box::new(error.clone())));
        for kind in std::iter::once(Kind::SystemMetric(Box::new(sample))).chain(errors) {
            batch.push(Event { id: EventId::new(now_ms), received_at_ms: now_ms, kind });
        }
        match queue.give(batch) {
            Offer::Queued(()) => untold.clear(),
            // The queue has counted it.
            Offer::Refused(why) => log::debug!(reason = why.name(); "a sample was refused"),
            Offer::TooLarge => log::debug!("a sample was larger than the queue"),
        }
    }
}

/// Kills that wait for room in the queue: more of them say nothing new.
const UNTOLD_MAX: usize = 16;

/// The row that says that the kernel has killed somebody for want of memory since the sample before.
fn oom_kill(sample: &SystemMetric) -> Option<ErrorEvent> {
    let kills = sample.oom_kills.filter(|kills| *kills > 0)?;
    let (error_type, whose) = match sample.scope {
        Scope::Host => ("host.oom_kill", "the machine"),
        Scope::Cgroup1 | Scope::Cgroup2 => ("container.oom_kill", "the container"),
        Scope::Own => ("container.oom_kill", "the sidecar's cgroup"),
    };
    let processes = if kills == 1 { "a process".to_owned() } else { format!("{kills} processes") };
    let attributes = serde_json::json!({
        "oom_kills": kills,
        "scope": sample.scope.as_str(),
        "memory_used_bytes": sample.memory_used_bytes,
        "memory_limit_bytes": sample.memory_limit_bytes,
    });
    log::warn!(kills, scope = sample.scope.as_str(); "out of memory: the kernel has killed a process");
    Some(ErrorEvent {
        timestamp_ms: sample.timestamp_ms,
        error_type: Some(error_type.into()),
        message: format!("the kernel killed {processes} of {whose}: out of memory").into(),
        severity: Severity::Fatal,
        handled: Some(false),
        component: Some("collect".into()),
        source: Source::Serve,
        attributes: Some(attributes.to_string().into()),
        ..ErrorEvent::default()
    })
}
