//! Which files are followed, and how far each was read. Pure.

use serde::{Deserialize, Serialize};

use super::place::Rank;

/// Twice what OpenClaw keeps of a day (the file and five that were rotated away), and some that wait to be pruned.
pub const FILES_MAX: usize = 16;
/// So much of the beginning of a file tells it from another: the first few lines, and the times in them.
pub const HEAD_BYTES: u64 = 4096;

/// Which file it is, whatever its name: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `st_dev`
    pub device: u64,
    /// `st_ino`
    pub inode: u64,
}

/// One file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which it is.
    pub identity: Identity,
    /// What it is called now.
    pub name: String,
    /// Its place in the log; `None` = it is called as no file of the log is (any more).
    pub rank: Option<Rank>,
}

/// One file that is followed: what is stored of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which it is.
    pub identity: Identity,
    /// What it was called last.
    pub name: String,
    /// What is before this was read, and need not be again.
    pub offset: u64,
    /// Whether the line that `offset` is in is not to be read: its beginning was passed over.
    pub skips: bool,
    /// Bytes of the beginning that `head` is of: [`HEAD_BYTES`], or as many as were read.
    pub head_bytes: u64,
    /// A hash of them: an inode is given to another file once its own is gone.
    pub head: String,
    /// Its place in the log, as its name last said.
    #[serde(skip)]
    pub rank: Option<Rank>,
    /// Whether no directory has it any more: what can still be read of it is all that there will be.
    #[serde(skip)]
    pub is_gone: bool,
}

/// All of them, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    kept: Vec<Kept>,
    /// Files of the log that there is no room for.
    left_out: Vec<Identity>,
}

/// What is stored: the files of one log.
#[derive(Serialize, Deserialize)]
struct Position<F> {
    /// `TRACE_OPENCLAW_LOG`: the position in another log says nothing.
    path: String,
    files: F,
}

impl Kept {
    /// A file whose every line is still to be read.
    pub fn new(seen: &Seen) -> Kept {
        Kept {
            identity: seen.identity,
            name: seen.name.clone(),
            offset: 0,
            skips: false,
            head_bytes: 0,
            head: String::new(),
            rank: seen.rank.clone(),
            is_gone: false,
        }
    }

    /// This file, as one of which as much was read as of `other`.
    pub fn as_far_as(&self, other: &Kept) -> Kept {
        let Kept { identity, name, rank, is_gone, .. } = self.clone();
        Kept { identity, name, rank, is_gone, ..other.clone() }
    }

    /// The same file, of which nothing was read.
    pub fn anew(&self) -> Kept {
        Kept { offset: 0, skips: false, head_bytes: 0, head: String::new(), ..self.clone() }
    }
}

impl Files {
    /// Takes what is in the directory now for what is followed: files may have got other names, or be gone; one that was not
    /// there before is to be read from its beginning. Returns those that there is no room for, once.
    pub fn look(&mut self, directory: &[Seen]) -> Vec<Kept> {
        for kept in &mut self.kept {
            match directory.iter().find(|seen| seen.identity == kept.identity) {
                Some(seen) => {
                    kept.name.clone_from(&seen.name);
                    kept.rank.clone_from(&seen.rank);
                    kept.is_gone = false;
                }
                None => kept.is_gone = true,
            }
        }
        self.left_out.retain(|identity| directory.iter().any(|seen| seen.identity == *identity));
        for seen in directory.iter().filter(|seen| seen.rank.is_some()) {
            if self.get(seen.identity).is_none() && !self.left_out.contains(&seen.identity) {
                self.kept.push(Kept::new(seen));
            }
        }
        self.kept.sort_by(|a, b| a.rank.cmp(&b.rank));
        let over = self.kept.len().saturating_sub(FILES_MAX);
        let left_out: Vec<Kept> = self.kept.drain(..over).collect();
        self.left_out.extend(left_out.iter().map(|kept| kept.identity));
        left_out
    }

    /// The one with this identity.
    pub fn get(&self, identity: Identity) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.identity == identity)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// Takes this for what is known of its file.
    pub fn put(&mut self, kept: Kept) {
        if let Some(known) = self.kept.iter_mut().find(|known| known.identity == kept.identity) {
            *known = kept;
        }
    }

    /// Follows it no more.
    pub fn remove(&mut self, identity: Identity) {
        self.kept.retain(|kept| kept.identity != identity);
    }

    /// As text, for the next start.
    pub fn to_text(&self, path: &str) -> Box<str> {
        let position = Position { path: path.to_owned(), files: &self.kept };
        // Strings and numbers can always be written.
        serde_json::to_string(&position).unwrap_or_default().into_boxed_str()
    }

    /// The files of this log as they were stored; `None` if the text is of another log, or not ours.
    pub fn from_text(text: &str, path: &str) -> Option<Files> {
        let position: Position<Vec<Kept>> = serde_json::from_str(text).ok()?;
        (position.path == path).then_some(Files { kept: position.files, left_out: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;

    fn seen(inode: u64, name: &str, rank: Option<(&str, u16)>) -> Seen {
        let rank = rank.map(|(date, number)| (date.to_owned(), Reverse(number)));
        Seen { identity: Identity { device: 1, inode }, name: name.to_owned(), rank }
    }

    fn state(files: &Files) -> Vec<(u64, &str, u64, bool)> {
        files.iter().map(|kept| (kept.identity.inode, &*kept.name, kept.offset, kept.is_gone)).collect()
    }

    fn read_to(files: &mut Files, inode: u64, offset: u64) {
        let kept = files.get(Identity { device: 1, inode }).unwrap().clone();
        files.put(Kept { offset, ..kept });
    }

    #[test]
    fn a_file_is_known_through_date_changes_rotations_and_other_names_until_it_is_gone() {
        let mut files = Files::default();
        assert!(files.look(&[seen(10, "d1", Some(("1", 0)))]).is_empty());
        read_to(&mut files, 10, 100);
        // Another day, then a rotation: what was d2 is d2.1 now, and a new file has its name.
        files.look(&[seen(11, "d2", Some(("2", 0))), seen(10, "d1", Some(("1", 0)))]);
        read_to(&mut files, 11, 7);
        files.look(&[seen(12, "d2", Some(("2", 0))), seen(11, "d2.1", Some(("2", 1))), seen(10, "d1", Some(("1", 0)))]);
        assert_eq!(state(&files), [(10, "d1", 100, false), (11, "d2.1", 7, false), (12, "d2", 0, false)]);
        // One gets a name that is not the log's, one is deleted.
        files.look(&[seen(12, "d2", Some(("2", 0))), seen(11, "d2.old", None)]);
        assert_eq!(state(&files), [(11, "d2.old", 7, false), (10, "d1", 100, true), (12, "d2", 0, false)]);
        files.remove(Identity { device: 1, inode: 10 });
        // A file of another device is another file.
        let other = Seen { identity: Identity { device: 2, inode: 12 }, ..seen(12, "d3", Some(("3", 0))) };
        files.look(&[seen(12, "d2", Some(("2", 0))), other, seen(99, "stranger", None)]);
        assert_eq!(state(&files), [(11, "d2.old", 7, true), (12, "d2", 0, false), (12, "d3", 0, false)]);
    }

    #[test]
    fn of_too_many_files_the_oldest_are_left_out() {
        let mut files = Files::default();
        let names: Vec<String> = (0..FILES_MAX + 3).map(|n| format!("{n:02}")).collect();
        let all: Vec<Seen> = names.iter().zip(0..).map(|(name, inode)| seen(inode, name, Some((name, 0)))).collect();
        let left_out = files.look(&all);
        assert_eq!(left_out.iter().map(|kept| &*kept.name).collect::<Vec<_>>(), ["00", "01", "02"]);
        assert_eq!(files.iter().count(), FILES_MAX);
        assert_eq!(files.look(&all), [], "said once");
        assert_eq!(files.look(&all[..2]), [], "they were gone, and are not known");
    }

    #[test]
    fn what_is_stored_of_a_log_is_what_is_known_of_it_and_of_no_other() {
        let mut files = Files::default();
        files.look(&[seen(1, "a\"b", Some(("", 0))), seen(2, "c", Some(("", 1)))]);
        read_to(&mut files, 1, u64::MAX);
        let text = files.to_text("/l");
        let mut back = Files::from_text(&text, "/l").unwrap();
        assert_eq!(state(&back), state(&files));
        back.look(&[seen(1, "a\"b", Some(("", 0))), seen(2, "c", Some(("", 1)))]);
        assert_eq!(back, files);
        for (text, path) in [(&*text, "/m"), ("", "/l"), ("{}", "/l"), ("{\"path\":\"/l\",\"files\":[{}]}", "/l")] {
            assert_eq!(Files::from_text(text, path), None, "{text}");
        }
    }
}
