//! The cgroups that limit the agent, version 2 and version 1, wherever they are mounted.
//!
//! A limit may be set on any group above a process's own, so the tightest one up the tree counts, and what is used is
//! read where that limit is. Where no limit is set, the topmost group that we can see is the container, unless it is the
//! root of the machine.

use std::path::{Path, PathBuf};

use super::disks::{self, Transferred};
use super::files::Files;
use super::hierarchy::{Levels, levels};
use super::pressure::Stalled;
use super::proc::{Memory, count, keyed};
use super::process::Process;
use super::processes::Processes;
use super::rates::{Counter, CpuTimes};
use crate::event::Scope;

/// Version 1 writes "no limit" as the largest multiple of the page size; no machine has that much.
const UNLIMITED_V1_BYTES: i64 = 1 << 62;

/// The groups that CPU, memory and disks are accounted to. `None` = to nobody but the machine.
#[derive(Debug, PartialEq)]
pub(super) struct Groups {
    pub(super) memory: Option<MemoryGroup>,
    pub(super) cpu: Option<CpuGroup>,
    pub(super) io: Option<IoGroup>,
    /// Whose figures CPU and memory are.
    pub(super) scope: Scope,
}

/// The group whose memory is told.
#[derive(Debug, PartialEq)]
pub(super) struct MemoryGroup {
    version: Version,
    pub(super) dir: PathBuf,
    /// The process's own, which may be below.
    own: PathBuf,
    limit_bytes: Option<i64>,
}

/// The group whose CPU is told.
#[derive(Debug, PartialEq)]
pub(super) struct CpuGroup {
    version: Version,
    /// Where the quota and its effects are.
    pub(super) dir: PathBuf,
    /// Where the time used is: the same, but for version 1, which may have mounted them apart.
    usage_dir: PathBuf,
    /// The quota.
    pub(super) limit_cores: Option<f64>,
}

/// The group whose disks are told.
#[derive(Debug, PartialEq)]
pub(super) struct IoGroup {
    version: Version,
    pub(super) dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// What the kernel says of the membership of the processes that matter.
struct Memberships<'a> {
    text: String,
    mounts: &'a str,
}

impl Memberships<'_> {
    fn levels(&self, controller: Option<&str>) -> Option<Levels> {
        levels(&self.text, self.mounts, controller)
    }

    /// Whether the groups of CPU and memory can be seen here.
    fn are_visible(&self, files: &Files) -> bool {
        let of = [Some("memory"), Some("cpu"), None].into_iter().filter_map(|controller| self.levels(controller));
        of.into_iter().all(|levels| levels.is_inside && levels.dirs.first().is_some_and(|own| files.exists(own)))
    }
}

impl Groups {
    /// Finds those of the agent by its /proc/PID/cgroup, if there is or was one, and `mounts`, our [`mounts`]. Without an
    /// agent, or where its groups cannot be seen from here, our own.
    pub(super) fn find(files: &Files, mounts: &str, agent: Option<&str>, processes: &Processes) -> Groups {
        let mut memberships = Memberships { text: files.text("proc/self/cgroup").unwrap_or_default(), mounts };
        let mut is_elsewhere = false;
        if let Some(theirs) = agent.filter(|theirs| *theirs != memberships.text) {
            let theirs = Memberships { text: theirs.to_owned(), mounts };
            if theirs.are_visible(files) {
                memberships = theirs;
            } else {
                is_elsewhere = true;
            }
        }
        let mut groups = Groups::of(files, &memberships);
        let is_alone = || agent.is_none() && groups.hold_only_us(files, processes);
        if groups.scope != Scope::Host && (is_elsewhere || is_alone()) {
            groups.scope = Scope::Own;
        }
        groups
    }

    /// A controller is in one hierarchy only, so what version 1 has, version 2 has not.
    fn of(files: &Files, memberships: &Memberships<'_>) -> Groups {
        let dirs = |controller| memberships.levels(controller).map(|levels| levels.dirs).unwrap_or_default();
        let unified = dirs(None);
        let (memory_dirs, cpu_dirs, io_dirs) = (dirs(Some("memory")), dirs(Some("cpu")), dirs(Some("blkio")));
        let memory = match memory_dirs.is_empty() {
            true => MemoryGroup::v2(files, &unified),
            false => MemoryGroup::v1(files, &memory_dirs),
        };
        let cpu = match cpu_dirs.is_empty() {
            true => CpuGroup::v2(files, &unified),
            false => CpuGroup::v1(files, &cpu_dirs, &dirs(Some("cpuacct"))),
        };
        let of_memory = memory.as_ref().map(|group| (group.version, &group.dir, &memory_dirs));
        let told = of_memory.or(cpu.as_ref().map(|group| (group.version, &group.dir, &cpu_dirs)));
        let io = told.and_then(|(version, dir, levels)| match (version, io_dirs.is_empty()) {
            (Version::V2, true) => Some(IoGroup { version, dir: dir.clone() }),
            (Version::V1, false) => same_group(dir, levels, &io_dirs).map(|dir| IoGroup { version, dir }),
            // Mounted in a hierarchy of the other version: nobody says which of its groups is the same.
            _ => None,
        });
        let scope = match told.map(|(version, ..)| version) {
            None => Scope::Host,
            Some(Version::V1) => Scope::Cgroup1,
            Some(Version::V2) => Scope::Cgroup2,
        };
        Groups { memory, cpu, io, scope }
    }

    /// Whether the group whose memory is told is our own, and nobody else is in it: where a service manager or a pod
    /// gave the sidecar a group to itself, its figures are those of no agent.
    fn hold_only_us(&self, files: &Files, processes: &Processes) -> bool {
        let own_dir = self.memory.as_ref().filter(|group| group.dir == group.own).map(|group| &group.dir);
        let Some(dir) = own_dir else { return false };
        let Some(us) = files.parse("proc/self/stat", Process::read) else { return false };
        let ours = processes.ours(us.pid);
        let only_us = |text: &str| {
            let mut pids = text.split_ascii_whitespace().map(str::parse::<u32>).peekable();
            Some(pids.peek().is_some() && pids.all(|pid| pid.is_ok_and(|pid| ours.contains(&pid))))
        };
        files.parse(dir.join("cgroup.procs"), only_us).unwrap_or(false)
    }
}

impl MemoryGroup {
    /// Reads what the group uses. A limit above what the machine has is none.
    pub(super) fn memory(&self, files: &Files, machine_bytes: Option<i64>) -> Memory {
        let number = |name: &str| files.parse(self.dir.join(name), |text| count(text.trim()));
        let stat = files.text(self.dir.join("memory.stat")).unwrap_or_default();
        let limit_bytes = [self.limit_bytes, machine_bytes].into_iter().flatten().min();
        match self.version {
            Version::V1 => Memory {
                used_bytes: number("memory.usage_in_bytes"),
                reclaimable_bytes: keyed(&stat, "total_inactive_file"),
                limit_bytes,
                rss_bytes: keyed(&stat, "total_rss"),
                swap_bytes: keyed(&stat, "total_swap"),
            },
            Version::V2 => Memory {
                used_bytes: number("memory.current"),
                reclaimable_bytes: keyed(&stat, "inactive_file"),
                limit_bytes,
                rss_bytes: keyed(&stat, "anon"),
                swap_bytes: number("memory.swap.current"),
            },
        }
    }

    /// Processes that the kernel has killed for want of memory since the group was made, and the group that they were
    /// in. Version 1 counts them in the process's own group only.
    pub(super) fn oom_kills(&self, files: &Files) -> Option<(i64, &Path)> {
        let (dir, file) = match self.version {
            Version::V1 => (&self.own, "memory.oom_control"),
            Version::V2 => (&self.dir, "memory.events"),
        };
        Some((files.parse(dir.join(file), |text| keyed(text, "oom_kill"))?, dir))
    }

    /// How long somebody, or all, waited for memory. Version 1 does not know.
    pub(super) fn stalled(&self, files: &Files) -> Stalled {
        self.version.stalled(files, &self.dir, "memory.pressure")
    }

    fn v2(files: &Files, levels: &[PathBuf]) -> Option<MemoryGroup> {
        let (limited, limit_bytes) = tightest(levels, |dir| files.parse(dir.join("memory.max"), memory_max)).unzip();
        let (quota, _) = tightest(levels, |dir| files.parse(dir.join("cpu.max"), cpu_max)).unzip();
        let dir = container(files, "memory.current", [limited, quota, levels.last().cloned()])?;
        Some(MemoryGroup { version: Version::V2, dir, own: levels.first()?.clone(), limit_bytes })
    }

    fn v1(files: &Files, levels: &[PathBuf]) -> Option<MemoryGroup> {
        let limit = |dir: &PathBuf| {
            let bytes = files.parse(dir.join("memory.limit_in_bytes"), |text| count(text.trim()))?;
            (bytes < UNLIMITED_V1_BYTES).then_some(bytes)
        };
        let (limited, limit_bytes) = tightest(levels, limit).unzip();
        let dir = container(files, "memory.usage_in_bytes", [limited, top_v1(files, levels)])?;
        Some(MemoryGroup { version: Version::V1, dir, own: levels.first()?.clone(), limit_bytes })
    }
}

impl CpuGroup {
    /// Reads what the group has used.
    pub(super) fn counters(&self, files: &Files) -> Option<Counter<CpuTimes>> {
        const NS_PER_US: i64 = 1000;
        let stat = files.text(self.dir.join("cpu.stat")).unwrap_or_default();
        let (used_us, throttled_us) = match self.version {
            Version::V1 => {
                let used_ns = files.parse(self.usage_dir.join("cpuacct.usage"), |text| count(text.trim()))?;
                (used_ns / NS_PER_US, keyed(&stat, "throttled_time").map(|ns| ns / NS_PER_US))
            }
            Version::V2 => (keyed(&stat, "usage_usec")?, keyed(&stat, "throttled_usec")),
        };
        Some(Counter { value: CpuTimes { used_us, throttled_us }, of: files.owner(&self.usage_dir) })
    }

    /// How long somebody waited for a CPU. Version 1 does not know.
    pub(super) fn stalled(&self, files: &Files) -> Stalled {
        self.version.stalled(files, &self.dir, "cpu.pressure")
    }

    fn v2(files: &Files, levels: &[PathBuf]) -> Option<CpuGroup> {
        let (limited, limit_cores) = tightest(levels, |dir| files.parse(dir.join("cpu.max"), cpu_max)).unzip();
        let (memory, _) = tightest(levels, |dir| files.parse(dir.join("memory.max"), memory_max)).unzip();
        // Where nobody in the slice has a quota or a weight, as systemd makes it, no group there has a cpu.max, and each
        // has a cpu.stat all the same. The machine's root has that too, and none of the others.
        let has = |dir: &Path, file| files.exists(dir.join(file));
        let is_group = |dir: &PathBuf| has(dir, "cpu.max") || (has(dir, "memory.current") && has(dir, "cpu.stat"));
        let dir = [limited, memory, levels.last().cloned()].into_iter().flatten().find(is_group)?;
        Some(CpuGroup { version: Version::V2, usage_dir: dir.clone(), dir, limit_cores })
    }

    fn v1(files: &Files, levels: &[PathBuf], usage_levels: &[PathBuf]) -> Option<CpuGroup> {
        let quota = |dir: &PathBuf| {
            let number = |name: &str| files.parse(dir.join(name), |text| count(text.trim()));
            cores(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
        };
        let (limited, limit_cores) = tightest(levels, quota).unzip();
        let dir = limited.or_else(|| top_v1(files, levels))?;
        let usage_dir = same_group(&dir, levels, usage_levels)?;
        Some(CpuGroup { version: Version::V1, dir, usage_dir, limit_cores })
    }
}

impl IoGroup {
    /// Reads what the group has read and written.
    pub(super) fn transferred(&self, files: &Files) -> Option<Transferred> {
        let is_disk = |number: &str| files.exists(format!("sys/dev/block/{number}/device"));
        match self.version {
            Version::V2 => files.parse(self.dir.join("io.stat"), |text| disks::io_stat(text, is_disk)),
            Version::V1 => {
                let read = |name| files.parse(self.dir.join(name), |text| disks::io_service_bytes(text, is_disk));
                read("blkio.throttle.io_service_bytes_recursive").or_else(|| read("blkio.throttle.io_service_bytes"))
            }
        }
    }

    /// How long somebody, or all, waited for a disk. Version 1 does not know.
    pub(super) fn stalled(&self, files: &Files) -> Stalled {
        self.version.stalled(files, &self.dir, "io.pressure")
    }
}

impl Version {
    fn stalled(self, files: &Files, dir: &Path, file: &str) -> Stalled {
        match self {
            Version::V1 => Stalled::default(),
            Version::V2 => files.parse(dir.join(file), Stalled::read).unwrap_or_default(),
        }
    }
}

/// Where cgroups are mounted: their lines of /proc/self/mountinfo, of which a host may have thousands of others.
pub(super) fn mounts(files: &Files) -> String {
    let of_cgroups = |text: &str| {
        let lines = text.lines().filter(|line| line.contains(" - cgroup"));
        Some(lines.fold(String::new(), |mounts, line| mounts + line + "\n"))
    };
    files.parse("proc/self/mountinfo", of_cgroups).unwrap_or_default()
}

/// Processes of our memory group that the kernel has killed for want of memory since the group was made. `None` when we
/// are in none but the machine's, or when nobody counts them.
pub(super) fn oom_kills(files: &Files) -> Option<i64> {
    let mounts = mounts(files);
    let memberships = Memberships { text: files.text("proc/self/cgroup").unwrap_or_default(), mounts: &mounts };
    let (levels, file) = match memberships.levels(Some("memory")) {
        Some(own) => (own, "memory.oom_control"),
        None => (memberships.levels(None)?, "memory.events"),
    };
    files.parse(levels.dirs.first()?.join(file), |text| keyed(text, "oom_kill"))
}

/// The lowest limit up the tree and where it is; of equal ones, the one nearest to us.
fn tightest<L: PartialOrd>(levels: &[PathBuf], limit: impl Fn(&PathBuf) -> Option<L>) -> Option<(PathBuf, L)> {
    let limits = levels.iter().filter_map(|dir| Some((dir, limit(dir)?)));
    limits.reduce(|best, next| if next.1 < best.1 { next } else { best }).map(|(dir, limit)| (dir.clone(), limit))
}

/// The first of `dirs` that has the file; the root of the machine has it not.
fn container<const N: usize>(files: &Files, file: &str, dirs: [Option<PathBuf>; N]) -> Option<PathBuf> {
    dirs.into_iter().flatten().find(|dir| files.exists(dir.join(file)))
}

/// The topmost group that we see of a version 1 hierarchy, unless it is the root of the machine: only that has a
/// `release_agent`.
fn top_v1(files: &Files, levels: &[PathBuf]) -> Option<PathBuf> {
    levels.last().filter(|top| files.exists(top) && !files.exists(top.join("release_agent"))).cloned()
}

/// The group that `dir` of `levels` is, in another hierarchy of version 1: there it is as far from the top.
fn same_group(dir: &Path, levels: &[PathBuf], others: &[PathBuf]) -> Option<PathBuf> {
    let from_top = levels.len() - 1 - levels.iter().position(|level| level == dir)?;
    others.get(others.len().checked_sub(1)?.checked_sub(from_top)?).cloned()
}

/// Reads memory.max.
fn memory_max(text: &str) -> Option<i64> {
    count(text.trim())
}

/// Reads cpu.max (`50000 100000`, `max 100000`): cores.
fn cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    cores(count(quota)?, count(period)?)
}

/// Cores that a quota in a period is worth. A quota of nothing is none.
fn cores(quota_us: i64, period_us: i64) -> Option<f64> {
    (quota_us > 0 && period_us > 0).then(|| quota_us as f64 / period_us as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        assert_eq!(memory_max("67108864\n"), Some(67_108_864));
        assert_eq!(memory_max("max\n"), None);
        assert_eq!(cpu_max("50000 100000\n"), Some(0.5));
        for text in ["max 100000\n", "", "50000", "0 100000", "50000 0", "-1 100000", "x y"] {
            assert_eq!(cpu_max(text), None, "{text}");
        }
    }

    #[test]
    fn a_group_of_limited_memory_is_told_by_its_own_cpu_where_no_quota_has_any_group() {
        let root = std::env::temp_dir().join(format!("openclaw-trace-no-quota-{}", std::process::id()));
        let (slice, unit) = ("sys/fs/cgroup/system.slice", "sys/fs/cgroup/system.slice/agent.service");
        for (dir, name, text) in [
            ("sys/fs/cgroup", "cpu.stat", "usage_usec 9\n"),
            (slice, "cpu.stat", "usage_usec 8\n"),
            (slice, "memory.current", "1\n"),
            (unit, "cpu.stat", "usage_usec 7\n"),
            (unit, "memory.current", "1\n"),
            (unit, "memory.max", "100663296\n"),
        ] {
            std::fs::create_dir_all(root.join(dir)).unwrap();
            std::fs::write(root.join(dir).join(name), text).unwrap();
        }
        let files = Files::under(root.clone());
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let groups = Groups::find(&files, mounts, Some("0::/system.slice/agent.service\n"), &Processes::default());
        let cpu = groups.cpu.unwrap();
        assert_eq!((cpu.dir.as_path(), cpu.limit_cores), (Path::new("/").join(unit).as_path(), None));
        assert_eq!(cpu.counters(&files).map(|counters| counters.value.used_us), Some(7));
        // Nothing is limited in the slice: then it is the machine's.
        let groups = Groups::find(&files, mounts, Some("0::/system.slice\n"), &Processes::default());
        assert_eq!((groups.cpu, groups.scope), (None, Scope::Host));
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_tightest_limit_is_the_lowest_and_of_equals_the_nearest() {
        let levels: Vec<PathBuf> = ["own", "middle", "top"].map(PathBuf::from).to_vec();
        let of = |limits: [Option<i64>; 3]| {
            tightest(&levels, |dir| limits[levels.iter().position(|l| l == dir).unwrap()])
                .map(|(dir, limit)| (dir.display().to_string(), limit))
        };
        assert_eq!(of([None, Some(5), Some(9)]), Some(("middle".into(), 5)));
        assert_eq!(of([Some(5), Some(5), None]), Some(("own".into(), 5)));
        assert_eq!(of([None, None, None]), None);
    }
}
