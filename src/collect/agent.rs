//! Which process is the agent, and what it uses.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::files::Files;
use super::process::{Name, Process, TICK_US, is_called};
use super::processes::Processes;
use super::rates::cores_used;
use crate::event::SystemMetric;

/// Who the agent is.
#[derive(Debug, Clone, Default)]
pub enum Agent {
    /// Nobody said.
    #[default]
    Unknown,
    /// The process of this id.
    Pid(u32),
    /// The process of this name: its own, its program's, or that of the script that it interprets.
    Named(Box<str>),
    /// The child of the `run` above us, as it tells.
    Child(ChildPid),
}

/// The process id of `run`'s child, once `run` has told it.
#[derive(Debug, Clone, Default)]
pub struct ChildPid(Arc<AtomicU32>);

impl ChildPid {
    /// Sets it; no process has the id 0.
    pub fn set(&self, pid: u32) {
        self.0.store(pid, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }
}

/// Processes of an agent whose open files are counted: each costs a look at a directory.
const FDS_OF_MAX: usize = 256;

/// Follows the agent from sample to sample.
#[derive(Debug, Default)]
pub(super) struct Follower {
    agent: Agent,
    /// The process that was it last, whether it still lives or not.
    known: Option<Identity>,
    /// CPU that it and its children had used when they were last looked at.
    before: Option<Used>,
    /// Processes that were found to be called otherwise, while nobody was found: they are not asked again until
    /// [`Follower::look_anew`], by when whoever was seen between fork and exec is itself.
    others: HashSet<(Identity, Name)>,
}

/// A process: an id may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    pid: u32,
    start_ticks: Option<i64>,
}

/// CPU time of an agent and its children.
#[derive(Debug, Clone, Copy)]
struct Used {
    of: Identity,
    ticks: i64,
    /// When it was read.
    uptime: Duration,
}

impl Follower {
    pub(super) fn new(agent: Agent) -> Follower {
        Follower { agent, ..Follower::default() }
    }

    /// Asks every process again what it is called, when next nobody is found.
    pub(super) fn look_anew(&mut self) {
        self.others.clear();
    }

    /// Finds the agent among the processes, fills what the sample says of it, and returns its id while it lives.
    pub(super) fn fill(
        &mut self,
        sample: &mut SystemMetric,
        processes: &Processes,
        files: &Files,
        uptime: Duration,
        page_bytes: Option<i64>,
    ) -> Option<u32> {
        if !self.is_told() || !processes.is_complete() {
            return None;
        }
        let us = files.parse("proc/self/stat", Process::read).map(|process| process.pid);
        let found = self.find(processes, files, us);
        let identity = found.map(Identity::of);
        // Of one that was never seen it cannot be said that it is gone while there are processes that are not shown.
        sample.agent_alive =
            found.map(|_| true).or((processes.are_all_shown() || self.known.is_some()).then_some(false));
        sample.agent_alive?;
        let replaced = self.known.is_some() && identity.is_some() && identity != self.known;
        sample.agent_restarts = Some(i64::from(replaced));
        self.known = identity.or(self.known);
        let before = self.before.take();
        let root = found?;
        let tree = processes.tree(root.pid, us);
        let sum =
            |of: fn(&Process) -> Option<i64>| tree.iter().try_fold(0i64, |sum, process| sum.checked_add(of(process)?));
        sample.agent_rss_bytes =
            sum(|process| process.rss_pages).zip(page_bytes).and_then(|(pages, bytes)| pages.checked_mul(bytes));
        sample.agent_fds = fds(files, &tree);
        let ticks = sum(|process| process.cpu_ticks);
        self.before = ticks.map(|ticks| Used { of: Identity::of(root), ticks, uptime });
        let same = before.zip(self.before).filter(|(before, now)| before.of == now.of);
        sample.agent_cpu_cores_used = same.and_then(|(before, now)| {
            let interval = now.uptime.checked_sub(before.uptime)?;
            cores_used(before.ticks.checked_mul(TICK_US)?, now.ticks.checked_mul(TICK_US)?, interval)
        });
        Some(root.pid)
    }

    /// Whether anybody said who it is.
    pub(super) fn is_told(&self) -> bool {
        match &self.agent {
            Agent::Unknown => false,
            Agent::Pid(_) | Agent::Named(_) => true,
            Agent::Child(pid) => pid.get().is_some(),
        }
    }

    fn find<'p>(&mut self, processes: &'p Processes, files: &Files, us: Option<u32>) -> Option<&'p Process> {
        let alive = || processes.iter().filter(|process| !process.zombie && Some(process.pid) != us);
        // An id is given again: who has it now is somebody else.
        let is_it = |process: &&Process| {
            self.known.is_none_or(|known| known.pid != process.pid || known == Identity::of(process))
        };
        let with_pid = |pid: u32| alive().find(|process| process.pid == pid).filter(is_it);
        match &self.agent {
            Agent::Unknown => None,
            Agent::Pid(pid) => with_pid(*pid),
            Agent::Child(pid) => with_pid(pid.get()?),
            Agent::Named(name) => {
                let as_before = alive().find(|process| Some(Identity::of(process)) == self.known);
                if as_before.is_some() {
                    return as_before;
                }
                let is_called = |process: &&Process| {
                    let cmdline = format!("proc/{}/cmdline", process.pid);
                    let called = |cmdline: &str| Some(is_called(name, &process.name, cmdline));
                    files.parse(cmdline, called).unwrap_or_else(|| is_called(name, &process.name, ""))
                };
                let is_new = |process: &&Process| !self.others.contains(&(Identity::of(process), process.name));
                let called: Vec<&Process> = alive().filter(is_new).filter(is_called).collect();
                self.others = match called.is_empty() {
                    true => alive().map(|process| (Identity::of(process), process.name)).collect(),
                    false => HashSet::new(),
                };
                // The one that has started the others; of several, the oldest.
                let is_started_by_one = |process: &Process| called.iter().any(|other| other.pid == process.parent);
                let first = called.iter().filter(|process| !is_started_by_one(process));
                first.min_by_key(|process| (process.start_ticks, process.pid)).copied()
            }
        }
    }
}

impl Identity {
    fn of(process: &Process) -> Identity {
        Identity { pid: process.pid, start_ticks: process.start_ticks }
    }
}

/// What a tree of processes has open. `None` when that of one cannot be read, being another user's, or there are too many.
fn fds(files: &Files, tree: &[&Process]) -> Option<i64> {
    let alive = || tree.iter().filter(|process| !process.zombie);
    (tree.len() <= FDS_OF_MAX).then(|| alive().map(|process| files.open_files(process.pid)).sum::<Option<i64>>())?
}
