//! The files themselves: what is in the directory, and what is in a file. It may wait for a disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::files::{Files, HEAD_BYTES, Identity, Kept, Seen};
use super::lines::LINE_BYTES_MAX;
use super::place::Place;
use crate::event::EventId;

/// Entries of the directory that are looked at: it is a directory of logs, or somebody's mistake.
const ENTRIES_MAX: usize = 4096;

/// The directory of the log, and the files of it that are open: a file that is renamed or deleted can be read to its end.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    open: Vec<(Identity, File)>,
    buffer: Vec<u8>,
}

impl Disk {
    /// `path` is `TRACE_OPENCLAW_LOG`. Nothing is opened yet.
    pub fn new(path: &Path) -> Disk {
        Disk { path: path.to_owned(), open: Vec::new(), buffer: Vec::new() }
    }

    /// The files of the log, and those that are followed whatever they are called now. A directory that is not there has none.
    pub fn list(&self, files: &Files) -> io::Result<Vec<Seen>> {
        let place = Place::of(&self.path, self.path.is_dir());
        let entries = match fs::read_dir(&place.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut seen: Vec<Seen> = Vec::new();
        for (number, entry) in entries.enumerate() {
            if number == ENTRIES_MAX {
                return Err(io::Error::other(format!("more than {ENTRIES_MAX} entries: this is no directory of logs")));
            }
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let rank = place.rank(&name);
            if rank.is_none() && files.iter().all(|kept| kept.identity.inode != entry.ino()) {
                continue;
            }
            let metadata = match fs::metadata(entry.path()) {
                Err(error) if is_nothing(&error) => continue,
                metadata => metadata?,
            };
            if metadata.is_file() {
                seen.push(Seen { identity: identity(&metadata), name, rank });
            }
        }
        // Of two names of one file the log's own counts.
        seen.sort_by_key(|seen| seen.rank.is_none());
        let mut once: Vec<Seen> = Vec::new();
        for file in seen {
            if once.iter().all(|known| known.identity != file.identity) {
                once.push(file);
            }
        }
        Ok(once)
    }

    /// Opens a file, if it is not open. `false` = it is gone, or its name is another file's by now.
    pub fn open(&mut self, kept: &Kept) -> io::Result<bool> {
        if self.file(kept).is_ok() {
            return Ok(true);
        }
        let place = Place::of(&self.path, self.path.is_dir());
        // A pipe that has nobody at its other end would wait for somebody.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        let file = match options.open(place.directory.join(&kept.name)) {
            Err(error) if is_nothing(&error) => return Ok(false),
            file => file?,
        };
        let metadata = file.metadata()?;
        let is_it = metadata.is_file() && identity(&metadata) == kept.identity;
        if is_it {
            self.open.push((kept.identity, file));
        }
        Ok(is_it)
    }

    /// Closes the files that are not followed any more.
    pub fn close_others(&mut self, files: &Files) {
        self.open.retain(|(identity, _)| files.get(*identity).is_some());
    }

    /// The size of an open file.
    pub fn size(&self, kept: &Kept) -> io::Result<u64> {
        Ok(self.file(kept)?.metadata()?.len())
    }

    /// What stands at the offset of an open file, up to the longest line.
    pub fn read(&mut self, kept: &Kept) -> io::Result<&[u8]> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(LINE_BYTES_MAX, 0);
        let read = read_at(self.file(kept)?, &mut buffer, kept.offset)?;
        self.buffer = buffer;
        Ok(&self.buffer[..read])
    }

    /// Whether an open file still begins as it did when it was read.
    pub fn is_the_same(&self, kept: &Kept) -> io::Result<bool> {
        Ok(kept.head_bytes == 0 || self.head(kept, kept.head_bytes)? == kept.head)
    }

    /// Whether an open file begins as another that was read does, and is as long as it was read at least.
    pub fn begins_as(&self, kept: &Kept, other: &Kept) -> io::Result<bool> {
        let may_be = other.head_bytes > 0 && self.size(kept)? >= other.offset;
        Ok(may_be && self.head(kept, other.head_bytes)? == other.head)
    }

    /// The same of a file that was read on: with more of its beginning, as long as that grows.
    pub fn with_head(&self, mut kept: Kept) -> io::Result<Kept> {
        let head_bytes = kept.offset.min(HEAD_BYTES);
        if head_bytes > kept.head_bytes {
            kept.head = self.head(&kept, head_bytes)?;
            kept.head_bytes = head_bytes;
        }
        Ok(kept)
    }

    /// The same of a file that is followed from its end on: what is there is not read, and no line of which a part is there.
    pub fn at_end(&self, kept: Kept) -> io::Result<Kept> {
        let offset = self.size(&kept)?;
        let mut last = [0];
        let read = if offset == 0 { 0 } else { read_at(self.file(&kept)?, &mut last, offset - 1)? };
        self.with_head(Kept { offset, skips: read == 1 && last != *b"\n", ..kept })
    }

    /// The same of a file that cannot be opened now.
    pub fn at_end_unopened(&self, kept: Kept) -> io::Result<Kept> {
        let place = Place::of(&self.path, self.path.is_dir());
        let offset = fs::metadata(place.directory.join(&kept.name))?.len();
        Ok(Kept { offset, ..kept })
    }

    fn head(&self, kept: &Kept, bytes: u64) -> io::Result<String> {
        let mut head = [0; HEAD_BYTES as usize];
        let wanted = bytes.min(HEAD_BYTES) as usize;
        let read = read_at(self.file(kept)?, &mut head[..wanted], 0)?;
        Ok(EventId::of_record(0, &head[..read]).to_string())
    }

    fn file(&self, kept: &Kept) -> io::Result<&File> {
        let found = self.open.iter().find(|(identity, _)| *identity == kept.identity);
        found.map(|(_, file)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Whether a name leads to nothing: it is gone since, or a link to nothing, or to itself.
fn is_nothing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ELOOP as i32)
}

fn identity(metadata: &fs::Metadata) -> Identity {
    Identity { device: metadata.dev(), inode: metadata.ino() }
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
