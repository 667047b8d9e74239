//! Where the cgroup of a process is, and those above it. Pure.

use std::path::PathBuf;

/// Groups above each other that are looked at, from the top: Kubernetes makes six, systemd as many more.
const LEVELS_MAX: usize = 32;

/// The directories of a process's group and of those above it, in the hierarchy of a version 1 controller, or in that of
/// version 2; its own first. `memberships` is its /proc/PID/cgroup, `mounts` our /proc/self/mountinfo. `None` when there
/// is no such hierarchy.
pub(super) fn levels(memberships: &str, mounts: &str, controller: Option<&str>) -> Option<Levels> {
    let group = membership(memberships, controller)?;
    // There may be several: that of a container, and the machine's, which somebody has given to it.
    let mounted = mounted(mounts, controller);
    let (inside, mount_point) = mounted
        .iter()
        .find_map(|(root, point)| Some((Some(inside(group, root)?), *point)))
        .or_else(|| mounted.first().map(|(_, point)| (None, *point)))?;
    let names = inside.unwrap_or("").split('/').filter(|name| !name.is_empty());
    let names: Vec<&str> = names.take(LEVELS_MAX).collect();
    let dir = |depth: usize| names[..depth].iter().fold(mount_point.into(), |dir: PathBuf, name| dir.join(name));
    Some(Levels { dirs: (0..=names.len()).rev().map(dir).collect(), is_inside: inside.is_some() })
}

/// Where a group is below the root of a mount, if it is. A container without a cgroup namespace of its own sees the
/// machine's path, and its own group as the root of the mount. Whoever is outside of our namespace has a path that leads
/// out of it.
fn inside<'a>(group: &'a str, mount_root: &str) -> Option<&'a str> {
    let path = if mount_root == "/" { group } else { group.strip_prefix(mount_root)? };
    let is_whole_name = path.is_empty() || path.starts_with('/');
    (is_whole_name && path.split('/').all(|name| name != "..")).then_some(path)
}

/// A group and those above it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Levels {
    /// Its own first; at least the root of the mount.
    pub(super) dirs: Vec<PathBuf>,
    /// Whether it is below what is mounted here. If not, the root of the mount stands for it.
    pub(super) is_inside: bool,
}

/// A process's path in /proc/PID/cgroup: `4:memory:/path`, and `0::/path` of version 2.
fn membership<'a>(text: &'a str, controller: Option<&str>) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let wanted = match controller {
            Some(controller) => controllers.split(',').any(|c| c == controller),
            None => hierarchy == "0" && controllers.is_empty(),
        };
        wanted.then_some(path)
    })
}

/// Roots and mount points of a hierarchy in /proc/self/mountinfo (proc(5)):
/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE CONTROLLERS`.
fn mounted<'a>(text: &'a str, controller: Option<&str>) -> Vec<(&'a str, &'a str)> {
    let read = |line: &'a str| {
        let (place, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let wanted = match (kind.next()?, controller) {
            ("cgroup", Some(controller)) => kind.nth(1)?.split(',').any(|option| option == controller),
            ("cgroup2", None) => true,
            _ => false,
        };
        let mut place = place.split(' ');
        let (root, point) = (place.nth(3)?, place.next()?);
        wanted.then_some((root, point))
    };
    text.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                          35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                          36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    fn shown(groups: &str, controller: Option<&str>) -> Option<(Vec<String>, bool)> {
        let Levels { dirs, is_inside } = levels(groups, MOUNTS, controller)?;
        Some((dirs.iter().map(|dir| dir.display().to_string()).collect(), is_inside))
    }

    #[test]
    fn levels_lead_from_the_group_to_the_mount() {
        let groups = "4:memory:/docker/abc/sub\n3:cpu,cpuacct:/a/b\n0::/x\n";
        let of = |dirs: &[&str]| Some((dirs.iter().map(|dir| dir.to_string()).collect(), true));
        assert_eq!(shown(groups, Some("memory")), of(&["/sys/fs/cgroup/memory/sub", "/sys/fs/cgroup/memory"]));
        let cpu = ["/sys/fs/cgroup/cpu,cpuacct/a/b", "/sys/fs/cgroup/cpu,cpuacct/a", "/sys/fs/cgroup/cpu,cpuacct"];
        assert_eq!((shown(groups, Some("cpu")), shown(groups, Some("cpuacct"))), (of(&cpu), of(&cpu)));
        assert_eq!(shown(groups, None), of(&["/sys/fs/cgroup/unified/x", "/sys/fs/cgroup/unified"]));
        assert_eq!(shown(groups, Some("pids")), None);
    }

    #[test]
    fn a_path_that_leads_out_of_what_is_mounted_is_told_from_one_inside() {
        let root = |dir: &str| Some((vec![dir.to_owned()], false));
        assert_eq!(shown("0::/../other.service\n", None), root("/sys/fs/cgroup/unified"));
        assert_eq!(shown("0::/..\n", None), root("/sys/fs/cgroup/unified"));
        for outside in ["/docker/xyz", "/docker/abcd", "/docker"] {
            let memberships = format!("4:memory:{outside}\n");
            assert_eq!(shown(&memberships, Some("memory")), root("/sys/fs/cgroup/memory"), "{outside}");
        }
    }

    #[test]
    fn of_several_mounts_the_one_counts_that_the_group_is_in() {
        let mounts = "31 23 0:28 /../.. /host/cgroup rw - cgroup2 cgroup2 rw\n\
                      32 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let dirs = |group: &str| levels(group, mounts, None).map(|levels| levels.dirs);
        assert_eq!(dirs("0::/\n"), Some(vec![PathBuf::from("/sys/fs/cgroup")]));
        assert_eq!(dirs("0::/../../x\n"), Some(vec![PathBuf::from("/host/cgroup/x"), PathBuf::from("/host/cgroup")]));
    }
}
