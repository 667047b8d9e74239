//! Space on a volume, as `df` shows it, and the size of a page: what retention and samples are measured with.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::{SysconfVar, sysconf};

/// Space on a volume, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the volume.
    pub total_bytes: u64,
    /// Used by anybody.
    pub used_bytes: u64,
    /// Free for us: without what is reserved for root.
    pub free_bytes: u64,
    /// Files that it can hold, and how many more for us. `None` where there is no such number (btrfs).
    pub inodes: Option<Inodes>,
}

/// Inodes of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inodes {
    /// All of them.
    pub total: u64,
    /// Free for us.
    pub free: u64,
}

impl Space {
    /// Of the volume that `path` is on. `None` when the system does not say.
    pub fn of(path: &Path) -> Option<Space> {
        let volume = statvfs(path).ok()?;
        let bytes = |blocks: u64| blocks.checked_mul(volume.fragment_size());
        let total_bytes = bytes(volume.blocks())?;
        Some(Space {
            total_bytes,
            used_bytes: total_bytes.saturating_sub(bytes(volume.blocks_free())?),
            free_bytes: bytes(volume.blocks_available())?,
            inodes: (volume.files() > 0).then(|| Inodes { total: volume.files(), free: volume.files_available() }),
        })
    }

    /// Used of what can be used, in percent. `None` for a volume without space (proc, say).
    pub fn used_percent(self) -> Option<f64> {
        let usable = self.used_bytes.saturating_add(self.free_bytes);
        (usable > 0).then(|| self.used_bytes as f64 * 100.0 / usable as f64)
    }
}

/// Bytes of a page of memory. `None` when the system does not say.
pub fn page_bytes() -> Option<i64> {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten()
}

/// The directory that a file is in: `.` for a bare name.
pub fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_says_how_full_it_is() {
        let space = Space::of(Path::new("/")).unwrap();
        assert!(space.used_bytes <= space.total_bytes && space.free_bytes <= space.total_bytes);
        assert!((0.0..=100.0).contains(&space.used_percent().unwrap()));
        assert!(space.inodes.is_none_or(|inodes| inodes.free <= inodes.total));
        assert_eq!(Space::of(Path::new("/proc/self/nothing")), None);
        assert_eq!(
            Space { total_bytes: 100, used_bytes: 30, free_bytes: 60, inodes: None }.used_percent(),
            Some(100.0 / 3.0)
        );
    }

    #[test]
    fn every_file_is_in_a_directory() {
        assert_eq!(directory_of(Path::new("/data/x.db")), Path::new("/data"));
        assert_eq!(directory_of(Path::new("x.db")), Path::new("."));
    }
}
