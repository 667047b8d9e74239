//! Cgroups of version 1 that a test makes. Those of version 2 are tested on a machine that has them: nixos-tests/.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::sidecar::until;

/// Each is mounted by itself, or the second is another name of the first.
const HIERARCHIES: [&str; 4] = ["memory", "cpu", "cpuacct", "blkio"];

/// A group, and one in it where the processes are, gone with this, as they are.
pub struct Group {
    name: String,
}

impl Group {
    /// `None` where there is no version 1, or we may make none in it: then the reason is printed.
    pub fn new() -> Option<Group> {
        static GROUPS: AtomicU32 = AtomicU32::new(0);
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let group = Group { name: format!("octrace-truth-{}-{number}", std::process::id()) };
        for dir in group.dirs().into_iter().rev() {
            match fs::create_dir(&dir) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let why = [ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
                    assert!(why.contains(&error.kind()), "{}: {error}", dir.display());
                    eprintln!(
                        "SKIPPED: this test needs cgroups of version 1, and cannot make {}: {error}",
                        dir.display()
                    );
                    return None;
                }
            }
        }
        Some(group)
    }

    /// Limits the outer group.
    pub fn limit(&self, file: &str, value: impl ToString) {
        self.write(&self.outer(file), value);
    }

    /// Limits the group in it, where the processes are.
    pub fn limit_inner(&self, file: &str, value: impl ToString) {
        self.write(&self.inner(file), value);
    }

    /// A line or the only number of a file of the outer group.
    pub fn number(&self, file: &str, key: &str) -> i64 {
        let text = fs::read_to_string(self.outer(file)).unwrap();
        text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap()
    }

    /// For a shell: moves itself into the inner group, and becomes the program that it is given.
    pub fn enter(&self) -> String {
        let move_into = |dir: PathBuf| format!("echo $$ > {}/cgroup.procs && ", dir.display());
        HIERARCHIES.map(|hierarchy| move_into(self.dir(hierarchy).join("inner"))).concat() + r#"exec "$@""#
    }

    fn write(&self, path: &PathBuf, value: impl ToString) {
        fs::write(path, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The file says which hierarchy it is of.
    fn outer(&self, file: &str) -> PathBuf {
        self.dir(file.split('.').next().unwrap()).join(file)
    }

    fn inner(&self, file: &str) -> PathBuf {
        self.dir(file.split('.').next().unwrap()).join("inner").join(file)
    }

    fn dir(&self, hierarchy: &str) -> PathBuf {
        ["/sys/fs/cgroup", hierarchy, &self.name].iter().collect()
    }

    /// Inner before outer.
    fn dirs(&self) -> Vec<PathBuf> {
        let inner = HIERARCHIES.map(|hierarchy| self.dir(hierarchy).join("inner"));
        inner.into_iter().chain(HIERARCHIES.map(|hierarchy| self.dir(hierarchy))).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in self.dirs() {
            until("a group to be empty", || {
                let inside = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                for pid in inside.lines().filter_map(|line| line.parse().ok()) {
                    // It may have ended by itself.
                    assert!(matches!(kill(Pid::from_raw(pid), Signal::SIGKILL), Ok(()) | Err(Errno::ESRCH)));
                }
                !dir.exists() || fs::remove_dir(&dir).is_ok()
            });
        }
    }
}
