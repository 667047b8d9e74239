//! Files of the kernel, below a root that a test can set.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest text that is read: the mounts of a host of a few thousand containers.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Reads below a root. What cannot be read is `None`, whatever the reason.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    /// Reads below `root`.
    pub(super) fn under(root: PathBuf) -> Files {
        Files { root }
    }

    /// A file's text, up to a mebibyte; `path` is taken from the root, with or without a leading slash.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let mut bytes = Vec::new();
        File::open(self.place(path.as_ref())).ok()?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// Whether there is such a file.
    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.place(path.as_ref()).exists()
    }

    /// The entries of a directory whose names are numbers.
    pub(super) fn numbered(&self, path: &str) -> Option<Vec<u32>> {
        let entries = fs::read_dir(self.place(Path::new(path))).ok()?;
        Some(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    fn place(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
