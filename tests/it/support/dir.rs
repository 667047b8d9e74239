//! A directory of a test's own, gone when the test is.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A fresh directory below the system's temporary one.
pub struct TempDir {
    path: PathBuf,
    mounted: bool,
}

impl TempDir {
    pub fn new(name: &str) -> TempDir {
        let path =
            std::env::temp_dir().join(format!("octrace-{name}-{}-{:08x}", std::process::id(), fastrand::u32(..)));
        std::fs::create_dir_all(&path).unwrap();
        TempDir { path, mounted: false }
    }

    /// The same on a tmpfs of its own. `None` where mounting is not allowed, which is for root to do: then the reason is
    /// printed.
    pub fn on_tmpfs(name: &str, size: &str) -> Option<TempDir> {
        let mut dir = TempDir::new(name);
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&dir.path).output();
        match mount {
            Ok(done) if done.status.success() => {
                dir.mounted = true;
                Some(dir)
            }
            refused => {
                let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
                assert!(!is_root, "a tmpfs cannot be mounted: {refused:?}");
                eprintln!("SKIPPED: this test needs to mount a tmpfs, and may not: {refused:?}");
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if self.mounted {
            drop(Command::new("umount").arg("-l").arg(&self.path).status());
        }
        drop(std::fs::remove_dir_all(&self.path));
    }
}
