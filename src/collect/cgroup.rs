//! The cgroups that limit us, version 2 and version 1, wherever they are mounted.
//!
//! A limit may be set on any group above ours, so the tightest one up the tree counts, and what is used is
//! read where that limit is. Where no limit is set, the topmost group that we can see is the container,
//! unless it is the root of the machine.

use std::path::PathBuf;

use super::files::Files;
use super::proc::{Memory, count};
use super::rates::CpuCounters;
use crate::event::Scope;

/// Version 1 writes "no limit" as the largest multiple of the page size; no machine has that much.
const UNLIMITED_V1_BYTES: i64 = 1 << 62;

/// Groups above each other that are looked at, from the top: Kubernetes makes six, systemd as many more.
const LEVELS_MAX: usize = 32;

/// The groups that CPU and memory are accounted to. `None` = to nobody but the machine.
#[derive(Debug, PartialEq)]
pub(super) struct Groups {
    pub(super) memory: Option<MemoryGroup>,
    pub(super) cpu: Option<CpuGroup>,
}

/// The group whose memory is told.
#[derive(Debug, PartialEq)]
pub(super) struct MemoryGroup {
    pub(super) scope: Scope,
    dir: PathBuf,
    limit_bytes: Option<i64>,
}

/// The group whose CPU is told.
#[derive(Debug, PartialEq)]
pub(super) struct CpuGroup {
    pub(super) scope: Scope,
    /// Where the quota and its effects are.
    dir: PathBuf,
    /// Where the time used is: the same, but for version 1, which may have mounted them apart.
    usage_dir: PathBuf,
    /// The quota.
    pub(super) limit_cores: Option<f64>,
}

impl Groups {
    /// Finds them by /proc/self/cgroup and /proc/self/mountinfo. A controller is in one hierarchy only,
    /// so what version 1 has, version 2 has not.
    pub(super) fn find(files: &Files) -> Groups {
        let text = |path| files.text(path).unwrap_or_default();
        let (memberships, mounts) = (text("proc/self/cgroup"), text("proc/self/mountinfo"));
        let levels = |controller| levels(&memberships, &mounts, controller);
        let unified = levels(None);
        Groups {
            memory: match levels(Some("memory")) {
                own if own.is_empty() => MemoryGroup::v2(files, &unified),
                own => MemoryGroup::v1(files, &own),
            },
            cpu: match levels(Some("cpu")) {
                own if own.is_empty() => CpuGroup::v2(files, &unified),
                own => CpuGroup::v1(files, &own, &levels(Some("cpuacct"))),
            },
        }
    }

    /// Whose figures CPU and memory are.
    pub(super) fn scope(&self) -> Scope {
        let memory = self.memory.as_ref().map(|group| group.scope);
        memory.or(self.cpu.as_ref().map(|group| group.scope)).unwrap_or_default()
    }
}

impl MemoryGroup {
    /// Reads what the group uses. A limit above what the machine has is none.
    pub(super) fn memory(&self, files: &Files, machine_bytes: Option<i64>) -> Memory {
        let number = |name: &str| files.text(self.dir.join(name)).and_then(|text| count(text.trim()));
        let stat = files.text(self.dir.join("memory.stat")).unwrap_or_default();
        let limit_bytes = [self.limit_bytes, machine_bytes].into_iter().flatten().min();
        match self.scope {
            Scope::Cgroup1 => Memory {
                used_bytes: number("memory.usage_in_bytes"),
                reclaimable_bytes: keyed(&stat, "total_inactive_file"),
                limit_bytes,
                rss_bytes: keyed(&stat, "total_rss"),
                swap_bytes: keyed(&stat, "total_swap"),
            },
            Scope::Cgroup2 | Scope::Host => Memory {
                used_bytes: number("memory.current"),
                reclaimable_bytes: keyed(&stat, "inactive_file"),
                limit_bytes,
                rss_bytes: keyed(&stat, "anon"),
                swap_bytes: number("memory.swap.current"),
            },
        }
    }

    fn v2(files: &Files, levels: &[PathBuf]) -> Option<MemoryGroup> {
        let (limited, limit_bytes) = tightest(levels, |dir| memory_max(&files.text(dir.join("memory.max"))?)).unzip();
        let (quota, _) = tightest(levels, |dir| cpu_max(&files.text(dir.join("cpu.max"))?)).unzip();
        let dir = container(files, "memory.current", [limited, quota, levels.last().cloned()])?;
        Some(MemoryGroup { scope: Scope::Cgroup2, dir, limit_bytes })
    }

    fn v1(files: &Files, levels: &[PathBuf]) -> Option<MemoryGroup> {
        let limit = |dir: &PathBuf| {
            let bytes = count(files.text(dir.join("memory.limit_in_bytes"))?.trim())?;
            (bytes < UNLIMITED_V1_BYTES).then_some(bytes)
        };
        let (limited, limit_bytes) = tightest(levels, limit).unzip();
        let dir = container(files, "memory.usage_in_bytes", [limited, top_v1(files, levels)])?;
        Some(MemoryGroup { scope: Scope::Cgroup1, dir, limit_bytes })
    }
}

impl CpuGroup {
    /// Reads what the group has used.
    pub(super) fn counters(&self, files: &Files) -> Option<CpuCounters> {
        const NS_PER_US: i64 = 1000;
        let stat = files.text(self.dir.join("cpu.stat")).unwrap_or_default();
        let (used_us, throttled_us) = match self.scope {
            Scope::Cgroup1 => {
                let used_ns = count(files.text(self.usage_dir.join("cpuacct.usage"))?.trim())?;
                (used_ns / NS_PER_US, keyed(&stat, "throttled_time").map(|ns| ns / NS_PER_US))
            }
            Scope::Cgroup2 | Scope::Host => (keyed(&stat, "usage_usec")?, keyed(&stat, "throttled_usec")),
        };
        Some(CpuCounters { used_us, throttled_us, of: self.usage_dir.clone() })
    }

    fn v2(files: &Files, levels: &[PathBuf]) -> Option<CpuGroup> {
        let (limited, limit_cores) = tightest(levels, |dir| cpu_max(&files.text(dir.join("cpu.max"))?)).unzip();
        let (memory, _) = tightest(levels, |dir| memory_max(&files.text(dir.join("memory.max"))?)).unzip();
        // The machine's root has a cpu.stat, but no cpu.max.
        let dir = container(files, "cpu.max", [limited, memory, levels.last().cloned()])?;
        Some(CpuGroup { scope: Scope::Cgroup2, usage_dir: dir.clone(), dir, limit_cores })
    }

    fn v1(files: &Files, levels: &[PathBuf], usage_levels: &[PathBuf]) -> Option<CpuGroup> {
        let quota = |dir: &PathBuf| {
            let number = |name: &str| files.text(dir.join(name)).and_then(|text| count(text.trim()));
            cores(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
        };
        let (limited, limit_cores) = tightest(levels, quota).unzip();
        let dir = limited.or_else(|| top_v1(files, levels))?;
        // The same group in the other hierarchy is as far from the top.
        let from_top = levels.len() - 1 - levels.iter().position(|level| *level == dir)?;
        let usage_dir = usage_levels.get((usage_levels.len().checked_sub(1)?).checked_sub(from_top)?)?.clone();
        Some(CpuGroup { scope: Scope::Cgroup1, dir, usage_dir, limit_cores })
    }
}

/// Processes of our memory group that the kernel has killed for want of memory since the group was made. `None` when we
/// are in none but the machine's, or when nobody counts them.
pub(super) fn oom_kills(files: &Files) -> Option<i64> {
    let text = |path| files.text(path).unwrap_or_default();
    let (memberships, mounts) = (text("proc/self/cgroup"), text("proc/self/mountinfo"));
    let (levels, file) = match levels(&memberships, &mounts, Some("memory")) {
        own if own.is_empty() => (levels(&memberships, &mounts, None), "memory.events"),
        own => (own, "memory.oom_control"),
    };
    keyed(&files.text(levels.first()?.join(file))?, "oom_kill")
}

/// The directories of our group and of those above it, in the hierarchy of a version 1 controller, or in that of
/// version 2; ours first. None when there is no such hierarchy.
fn levels(memberships: &str, mounts: &str, controller: Option<&str>) -> Vec<PathBuf> {
    let Some((group, (mount_root, mount_point))) = membership(memberships, controller).zip(mount(mounts, controller))
    else {
        return Vec::new();
    };
    // A container without a cgroup namespace of its own sees the machine's path, and its own group as the
    // root of the mount. A path that leads out of the mount tells nothing.
    let inside = if mount_root == "/" { Some(group) } else { group.strip_prefix(mount_root) };
    let names = inside.unwrap_or("").split('/').filter(|name| !name.is_empty());
    let names: Vec<&str> = if group.contains("..") { Vec::new() } else { names.take(LEVELS_MAX).collect() };
    (0..=names.len())
        .rev()
        .map(|depth| names[..depth].iter().fold(mount_point.into(), |dir: PathBuf, n| dir.join(n)))
        .collect()
}

/// Our group's path in /proc/self/cgroup: `4:memory:/path`, and `0::/path` of version 2.
fn membership<'a>(text: &'a str, controller: Option<&str>) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = match controller {
            Some(controller) => controllers.split(',').any(|c| c == controller),
            None => hierarchy == "0" && controllers.is_empty(),
        };
        ours.then_some(path)
    })
}

/// Root and mount point of a hierarchy in /proc/self/mountinfo (proc(5)):
/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE CONTROLLERS`.
fn mount<'a>(text: &'a str, controller: Option<&str>) -> Option<(&'a str, &'a str)> {
    text.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let ours = match (kind.next()?, controller) {
            ("cgroup", Some(controller)) => kind.nth(1)?.split(',').any(|option| option == controller),
            ("cgroup2", None) => true,
            _ => false,
        };
        let mut place = place.split(' ');
        let (root, point) = (place.nth(3)?, place.next()?);
        ours.then_some((root, point))
    })
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

/// The value of a key in a text of `key value` lines.
fn keyed(text: &str, key: &str) -> Option<i64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ').and_then(count))
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
        assert_eq!(keyed("anon_thp 1\nanon 2\nfile 3\n", "anon"), Some(2));
    }

    #[test]
    fn levels_lead_from_our_group_to_the_mount() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                      36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/docker/abc/sub\n3:cpu,cpuacct:/a/b\n0::/../x\n";
        let paths =
            |controller| levels(groups, mounts, controller).iter().map(|p| p.display().to_string()).collect::<Vec<_>>();
        assert_eq!(paths(Some("memory")), ["/sys/fs/cgroup/memory/sub", "/sys/fs/cgroup/memory"]);
        let cpu = ["/sys/fs/cgroup/cpu,cpuacct/a/b", "/sys/fs/cgroup/cpu,cpuacct/a", "/sys/fs/cgroup/cpu,cpuacct"];
        assert_eq!(
            (paths(Some("cpu")), paths(Some("cpuacct"))),
            (cpu.map(String::from).to_vec(), cpu.map(String::from).to_vec())
        );
        assert_eq!(paths(None), ["/sys/fs/cgroup/unified"]);
        assert!(paths(Some("pids")).is_empty());
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
