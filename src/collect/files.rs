//! Files of the kernel, below a root that a test can set.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::rates::Owner;

/// The longest text that is read: the mounts of a host of a few thousand containers.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Kept of the buffer between two files: more than most have.
const KEPT_BYTES: usize = 16 << 10;

/// Reads below a root. What cannot be read is `None`, whatever the reason.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    /// What was read last: one buffer for all, as a sample reads a file for every process.
    buffer: RefCell<Vec<u8>>,
}

impl Files {
    /// Reads below `root`.
    pub(super) fn under(root: PathBuf) -> Files {
        Files { root, buffer: RefCell::default() }
    }

    /// A file's text, up to a mebibyte; `path` is taken from the root, with or without a leading slash.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        self.parse(path, |text| Some(text.to_owned()))
    }

    /// What `read` makes of a file's text.
    pub(super) fn parse<T>(&self, path: impl AsRef<Path>, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        // Taken out, so that `read` may read another one.
        let mut bytes = self.buffer.take();
        bytes.clear();
        let done =
            File::open(self.place(path.as_ref())).and_then(|file| file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes));
        let made = done.ok().and_then(|_| read(&String::from_utf8_lossy(&bytes)));
        bytes.shrink_to(KEPT_BYTES);
        self.buffer.replace(bytes);
        made
    }

    /// Whether a text is all of its file.
    pub(super) fn is_whole(&self, text: &str) -> bool {
        (text.len() as u64) < TEXT_BYTES_MAX
    }

    /// How many files a process has open: the entries of /proc/PID/fd.
    pub(super) fn open_files(&self, pid: u32) -> Option<i64> {
        let dir = self.place(Path::new(&format!("proc/{pid}/fd")));
        // The size of this directory is their number since Linux 6.2, and 0 before. A copy of it has another size.
        let size = if self.root == Path::new("/") { fs::metadata(&dir).ok()?.len() } else { 0 };
        if size > 0 {
            return i64::try_from(size).ok();
        }
        i64::try_from(fs::read_dir(dir).ok()?.flatten().count()).ok()
    }

    /// The cgroup that is at this directory now.
    pub(super) fn owner(&self, dir: &Path) -> Owner {
        let inode = fs::metadata(self.place(dir)).map_or(0, |found| found.ino());
        Owner { dir: dir.to_owned(), inode }
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
