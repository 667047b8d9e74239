//! All processes that we can see, read once a sample.

use std::collections::HashSet;

use super::files::Files;
use super::process::Process;

/// Processes of which more is read at every sample than that they are there. A container has dozens; on a host with more,
/// reading them would cost more than all else, and they are read when all is looked at anew.
const READ_MAX: usize = 1024;
/// How many of the biggest are told.
const TOP: usize = 3;

/// What one look at /proc found.
#[derive(Debug, Default)]
pub(super) struct Processes {
    list: Vec<Process>,
    /// How many there are, read or not.
    count: usize,
    /// Whether all were read that are there.
    is_complete: bool,
    /// Threads of the kernel, which a machine shows by the dozen and of which nothing changes: they are not read again
    /// until all is looked at anew.
    kernel: HashSet<u32>,
}

impl Processes {
    /// Reads them; `anew`: also those that were found to be the kernel's.
    pub(super) fn look(&mut self, files: &Files, anew: bool) {
        self.list.clear();
        self.count = 0;
        if anew {
            self.kernel.clear();
        }
        let pids = files.numbered("proc").unwrap_or_default();
        let unknown = pids.iter().filter(|pid| !self.kernel.contains(pid)).count();
        self.is_complete = anew || unknown <= READ_MAX;
        if !self.is_complete {
            self.count = pids.len();
            return;
        }
        // One that has gone since the directory was read is no process.
        for pid in pids {
            if self.kernel.contains(&pid) {
                self.count += 1;
            } else if let Some(process) = files.parse(format!("proc/{pid}/stat"), Process::read) {
                self.count += 1;
                if process.kernel {
                    self.kernel.insert(pid);
                } else {
                    self.list.push(process);
                }
            }
        }
    }

    /// How many there are. `None` when none could be read: we are one.
    pub(super) fn count(&self) -> Option<i64> {
        i64::try_from(self.count).ok().filter(|count| *count > 0)
    }

    /// Whether all that are there were read. Of those that were not, nobody can say that they are gone.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether nobody hides processes from us (hidepid of proc(5), ProtectProc= of systemd): every namespace has a first one.
    /// Where they were not read, nobody knows.
    pub(super) fn are_all_shown(&self) -> bool {
        !self.is_complete || self.kernel.contains(&1) || self.list.iter().any(|process| process.pid == 1)
    }

    /// We, all that we descend from, and others of our name: a health check, say.
    pub(super) fn ours(&self, us: u32) -> HashSet<u32> {
        let find = |pid: u32| self.list.iter().find(|process| process.pid == pid);
        let mut ours = HashSet::from([us]);
        if let Some(name) = find(us).map(|process| process.name) {
            ours.extend(self.list.iter().filter(|process| process.name == name).map(|process| process.pid));
        }
        let mut next = find(us);
        while let Some(parent) = next.and_then(|process| find(process.parent)).filter(|parent| ours.insert(parent.pid))
        {
            next = Some(parent);
        }
        ours
    }

    /// Their threads, and how many of them are dead and not waited for.
    pub(super) fn threads_and_zombies(&self) -> Option<(i64, i64)> {
        // Each of the kernel's is one.
        let of_kernel = self.count.saturating_sub(self.list.len()) as i64;
        let sums = self.list.iter().fold((of_kernel, 0), |(threads, zombies), process| {
            (threads + process.threads, zombies + i64::from(process.zombie))
        });
        (!self.list.is_empty()).then_some(sums)
    }

    /// All but the kernel's.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.list.iter()
    }

    /// A process and all that it started, without `except` and what that started.
    pub(super) fn tree(&self, root: u32, except: Option<u32>) -> Vec<&Process> {
        let mut found: Vec<&Process> = self.list.iter().filter(|process| process.pid == root).collect();
        let mut pids = HashSet::from([root]);
        let mut looked_at = 0;
        // Every process is found once, however pids may point at each other.
        while let Some(parent) = found.get(looked_at).map(|process| process.pid) {
            looked_at += 1;
            let children = self.list.iter().filter(|process| process.parent == parent && Some(process.pid) != except);
            found.extend(children.filter(|child| pids.insert(child.pid)));
        }
        found
    }

    /// Those that use most memory, the biggest first: JSON, a list of `[name, RSS in MiB]`, rounded up: a row has little
    /// room.
    pub(super) fn top(&self, page_bytes: i64) -> Option<Box<str>> {
        const MIB: i64 = 1 << 20;
        let mut by_size: Vec<(i64, &Process)> =
            self.list.iter().filter_map(|process| Some((process.rss_pages?, process))).collect();
        by_size.sort_unstable_by_key(|(pages, process)| (std::cmp::Reverse(*pages), process.pid));
        let top = by_size.iter().take(TOP).map(|(pages, process)| {
            let mib = pages.saturating_mul(page_bytes).saturating_add(MIB - 1) / MIB;
            (process.name.as_str(), mib)
        });
        let top: Vec<(&str, i64)> = top.collect();
        (!top.is_empty()).then(|| serde_json::to_string(&top).map(Box::from)).and_then(Result::ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::process::Name;

    fn processes(list: &[(u32, u32, &str, i64)]) -> Processes {
        let process = |&(pid, parent, name, pages): &(u32, u32, &str, i64)| Process {
            pid,
            parent,
            name: Name::of(name),
            zombie: false,
            kernel: false,
            threads: 1,
            cpu_ticks: None,
            start_ticks: None,
            rss_pages: Some(pages),
        };
        Processes { list: list.iter().map(process).collect(), count: list.len(), ..Processes::default() }
    }

    fn pids(tree: Vec<&Process>) -> Vec<u32> {
        tree.iter().map(|process| process.pid).collect()
    }

    #[test]
    fn a_tree_is_a_process_and_all_that_it_started_but_for_us() {
        let all =
            processes(&[(1, 0, "init", 1), (9, 7, "tool", 1), (7, 1, "node", 1), (8, 7, "us", 1), (3, 8, "ours", 1)]);
        assert_eq!(pids(all.tree(7, Some(8))), [7, 9]);
        assert_eq!(pids(all.tree(1, None)), [1, 7, 9, 8, 3]);
        assert!(all.tree(99, None).is_empty());
        let in_a_circle = processes(&[(1, 2, "a", 1), (2, 1, "b", 1)]);
        assert_eq!(pids(in_a_circle.tree(1, None)), [1, 2]);
    }

    #[test]
    fn threads_of_the_kernel_are_counted_and_read_once() {
        let root = std::env::temp_dir().join(format!("openclaw-trace-kernel-threads-{}", std::process::id()));
        let write = |pid: u32, flags: u32| {
            let dir = root.join(format!("proc/{pid}"));
            std::fs::create_dir_all(&dir).unwrap();
            let text = format!("{pid} (x) S 1 1 1 0 -1 {flags} 0 0 0 0 3 2 0 0 20 0 5 0 254 31000 900");
            std::fs::write(dir.join("stat"), text).unwrap();
        };
        write(2, 0x0020_8040);
        write(7, 0);
        let files = Files::under(root.clone());
        let mut processes = Processes::default();
        let mut look = |anew| {
            processes.look(&files, anew);
            (processes.count(), processes.threads_and_zombies(), processes.iter().count())
        };
        assert_eq!(look(true), (Some(2), Some((6, 0)), 1));
        write(2, 0);
        assert_eq!(look(false), (Some(2), Some((6, 0)), 1));
        assert_eq!(look(true), (Some(2), Some((10, 0)), 2));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_biggest_three_are_told_biggest_first() {
        let all = processes(&[(1, 0, "in\"it", 5), (7, 1, "node", 900), (8, 7, "sh", 5), (9, 7, "chrome", 1200)]);
        assert_eq!(all.top(4096).as_deref(), Some(r#"[["chrome",5],["node",4],["in\"it",1]]"#));
        assert_eq!(processes(&[]).top(4096), None);
    }
}
