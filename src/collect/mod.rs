//! One sample of the machine at every tick: [`Collector`] reads it, [`run`] offers it to the queue.
//!
//! Owns what a [`SystemMetric`] means. Promises: where a container limits the agent, CPU and memory are the container's;
//! a figure that cannot be read, or not be told from two counters, is absent and never a guess; a field
//! that is absent because it cannot be read is named once in the log.

mod agent;
mod apart;
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

use smol::future::FutureExt;

use crate::clock::Clock;
use crate::event::{ErrorEvent, Event, EventId, Kind, Scope, Severity, Source, SystemMetric};
use crate::queue::{Offer, Queue};
use crate::shutdown::{Token, stopped, stops_within};
use crate::stats::Stats;

use apart::{Apart, Taken};
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
    collector: Collector,
    interval: Duration,
    queue: Queue<C>,
    stats: Arc<Stats>,
    clock: Clock,
    stop: Token,
) {
    let apart = match Apart::start(collector) {
        Ok(apart) => apart,
        Err(error) => {
            log::error!(error:% = error; "no samples are taken: there is no thread for it");
            return stopped(&stop).await;
        }
    };
    let mut wait = Duration::ZERO;
    // Kills are told by the difference of two samples: what the queue refuses now, nobody would tell later.
    let mut untold = 0;
    loop {
        if stops_within(&stop, wait).await {
            return;
        }
        wait = interval;
        let now_ms = clock.now_ms();
        let taking = async { Some(apart.sample(now_ms, clock.uptime()).await) };
        let stopping = async {
            stopped(&stop).await;
            None
        };
        let Taken { sample, kills_are_of_machine } = match taking.or(stopping).await {
            Some(Some(taken)) => taken,
            Some(None) => {
                log::error!("the collector has ended, no more samples are taken");
                return stopped(&stop).await;
            }
            // Whatever it hangs at.
            None => return,
        };
        stats.signals.system_metrics.received(1, now_ms);
        stats.sampled(&sample);
        untold += sample.oom_kills.unwrap_or(0);
        let error = (untold > 0).then(|| oom_kill(untold, kills_are_of_machine, &sample));
        let kinds = [Some(Kind::SystemMetric(Box::new(sample))), error.map(|error| Kind::ErrorEvent(Box::new(error)))];
        let mut batch = queue.batch();
        for kind in kinds.into_iter().flatten() {
            batch.push(Event { id: EventId::new(now_ms), received_at_ms: now_ms, kind });
        }
        match queue.give(batch) {
            Offer::Queued(()) => untold = 0,
            // The queue has counted it.
            Offer::Refused(why) => log::debug!(reason = why.name(); "a sample was refused"),
            Offer::TooLarge => log::debug!("a sample was larger than the queue"),
        }
    }
}

/// The row that says that the kernel has killed so many processes for want of memory: those of the machine, or of the group
/// whose memory the sample tells.
fn oom_kill(kills: i64, of_machine: bool, sample: &SystemMetric) -> ErrorEvent {
    let (error_type, whose) = match sample.scope {
        _ if of_machine => ("host.oom_kill", "the machine"),
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
    ErrorEvent {
        timestamp_ms: sample.timestamp_ms,
        error_type: Some(error_type.into()),
        message: format!("the kernel killed {processes} of {whose}: out of memory").into(),
        severity: Severity::Fatal,
        handled: Some(false),
        component: Some("collect".into()),
        source: Source::Serve,
        attributes: Some(attributes.to_string().into()),
        ..ErrorEvent::default()
    }
}
