//! One step after the other through the files: [`Follower::step`] finds the next lines, and [`Follower::done`] is told when
//! they are stored. What was not stored is found again by the next step.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use super::files::{Files, Identity, Kept};
use super::lines::{self, LINE_BYTES_MAX};
use super::rules::{self, Became};
use crate::clock::Clock;
use crate::event::Event;
use crate::logging::Repeats;
use crate::stats::Stats;

/// How long a position that only lines without a row have moved may wait to be stored: nothing is lost without it, and a
/// commit a second would be felt.
const REMEMBER_EVERY: Duration = Duration::from_secs(60);

/// Lines of one file that came after those that are stored.
#[derive(Debug)]
pub struct Portion {
    /// The rows of them.
    pub events: Vec<Event>,
    kept: Kept,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    lines: u64,
    rows: u64,
    unreadable: u64,
    too_long: u64,
    skipped: BTreeMap<String, u64>,
}

/// Where we are.
#[derive(Debug)]
pub struct Follower {
    path: String,
    files: Files,
    disk: Disk,
    stats: Arc<Stats>,
    clock: Clock,
    /// Whether the directory was looked at since the start.
    has_looked: bool,
    /// Whether nothing was ever stored of this log: then what is there now is not read.
    is_first: bool,
    /// Since when something is to be stored that is not.
    unstored_since: Option<Duration>,
    /// Whether that may not wait: after a restart it could not be told again.
    is_urgent: bool,
    problems: Repeats,
    truncations: Repeats,
    losses: Repeats,
}

impl Follower {
    /// Goes on where the position says, that was stored last.
    pub fn new(path: &Path, position: Option<&str>, stats: Arc<Stats>, clock: Clock) -> Follower {
        let name = path.display().to_string();
        let files = position.and_then(|text| Files::from_text(text, &name));
        Follower {
            is_first: files.is_none(),
            files: files.unwrap_or_default(),
            disk: Disk::new(path),
            path: name,
            stats,
            clock,
            has_looked: false,
            unstored_since: None,
            is_urgent: false,
            problems: Repeats::default(),
            truncations: Repeats::default(),
            losses: Repeats::default(),
        }
    }

    /// Looks what there is, and reads on in the first file that has more lines. `None` when there are none now, or the log
    /// cannot be read, which is then said.
    pub fn step(&mut self) -> Option<Portion> {
        let (found, problem) = match self.look() {
            Ok(()) => self.read_on(),
            Err(error) => (None, Some(format!("{}: {error}", self.path))),
        };
        let stats = &self.stats.openclaw_log;
        stats.files.set(self.files.iter().count() as i64);
        if let Some(problem) = &problem
            && let Some(count) = self.problems.again(1, self.clock.uptime())
        {
            log::warn!(problem = problem.as_str(), count; "the gateway's log cannot be read");
        }
        stats.set_problem(problem);
        found
    }

    /// The portion is stored: its lines need not be read again.
    pub fn done(&mut self, kept: Kept) {
        self.files.put(kept);
        self.remembered();
    }

    /// The portion has no rows: as [`Self::done`], but how far it was read is still to be stored.
    pub fn passed(&mut self, kept: Kept) {
        self.files.put(kept);
        self.has_changed();
    }

    /// The position after a portion: to be stored with its rows, in their transaction.
    pub fn position_after(&self, portion: &Portion) -> Box<str> {
        let mut files = self.files.clone();
        files.put(portion.kept.clone());
        files.to_text(&self.path)
    }

    /// The position, if it is to be stored although there is no row. `now` = do not wait.
    pub fn to_remember(&self, now: bool) -> Option<Box<str>> {
        let since = self.unstored_since?;
        let is_due = now || self.is_urgent || self.clock.uptime() >= since + REMEMBER_EVERY;
        is_due.then(|| self.files.to_text(&self.path))
    }

    /// The position is stored.
    pub fn remembered(&mut self) {
        self.unstored_since = None;
        self.is_urgent = false;
    }
}

impl Follower {
    fn look(&mut self) -> io::Result<()> {
        let seen = self.disk.list(&self.files)?;
        let before: Vec<Identity> = self.files.iter().map(|kept| kept.identity).collect();
        for left_out in self.files.look(&seen) {
            if self.disk.size(&left_out).ok() != Some(left_out.offset) {
                self.lose(&left_out, "there are too many files");
            }
        }
        let mut replaced = if self.has_looked { Vec::new() } else { self.find_replaced() };
        let is_new =
            |kept: &&Kept| !before.contains(&kept.identity) || replaced.iter().any(|r| r.identity == kept.identity);
        let new: Vec<Kept> = self.files.iter().filter(is_new).cloned().collect();
        for kept in new {
            self.has_changed();
            self.recognise(&kept, &mut replaced);
        }
        replaced.iter().for_each(|kept| self.lose(kept, "another file has its place"));
        if std::mem::replace(&mut self.has_looked, true) {
            return Ok(());
        }
        if self.files.iter().all(|kept| kept.is_gone) {
            log::info!(path = self.path.as_str(); "the gateway's log is not there yet");
        }
        if std::mem::take(&mut self.is_first) {
            self.start_at_the_end();
        }
        Ok(())
    }

    /// A new file that begins as one that is followed is that one, copied, or on a device that has another number since it was
    /// mounted anew: what was read of the one was read of the other.
    fn recognise(&mut self, new: &Kept, replaced: &mut Vec<Kept>) {
        // What cannot be opened now is read from its beginning later, and its rows know each other by their ids.
        if !self.disk.open(new).unwrap_or(false) {
            return;
        }
        let others = self.files.iter().filter(|other| other.identity != new.identity).chain(&*replaced);
        let alike = others.filter(|other| self.disk.begins_as(new, other).unwrap_or(false));
        let Some(other) = alike.max_by_key(|other| other.offset).cloned() else { return };
        self.files.put(new.as_far_as(&other));
        if other.is_gone && self.disk.size(&other).is_err() {
            self.files.remove(other.identity);
        }
        replaced.retain(|kept| *kept != other);
    }

    /// Files that were written anew, or whose inode another file has got, while nobody looked. What is there now is to be read
    /// from its beginning.
    fn find_replaced(&mut self) -> Vec<Kept> {
        let mut replaced = Vec::new();
        let all: Vec<Kept> = self.files.iter().filter(|kept| !kept.is_gone).cloned().collect();
        for kept in all {
            if self.disk.open(&kept).unwrap_or(false) && !self.is_as_it_was(&kept).unwrap_or(true) {
                self.files.put(kept.anew());
                replaced.push(kept);
            }
        }
        replaced
    }

    /// Whether an open file is the one that was read.
    fn is_as_it_was(&self, kept: &Kept) -> io::Result<bool> {
        Ok(self.disk.size(kept)? >= kept.offset && self.disk.is_the_same(kept)?)
    }

    /// What is there at the very first start is not ours: somebody else may have read it.
    fn start_at_the_end(&mut self) {
        // To be stored at once: after a restart it would be another end.
        self.has_changed();
        self.is_urgent = true;
        let all: Vec<Kept> = self.files.iter().cloned().collect();
        for kept in all {
            let opened = self.disk.open(&kept).and_then(|_| self.disk.at_end(kept.clone()));
            match opened.or_else(|_| self.disk.at_end_unopened(kept)) {
                Ok(at_end) => self.files.put(at_end),
                Err(error) => log::debug!(error:%; "a file of the gateway's log has gone at once"),
            }
        }
    }

    /// The first lines that are found, and why those of another file were not.
    fn read_on(&mut self) -> (Option<Portion>, Option<String>) {
        let mut problem = None;
        let all: Vec<Kept> = self.files.iter().cloned().collect();
        for kept in all {
            let name = kept.name.clone();
            match self.read_file(kept) {
                Ok(None) => {}
                Ok(found) => return (found, problem),
                Err(error) => problem = Some(format!("{name}: {error}")),
            }
        }
        self.disk.close_others(&self.files);
        (None, problem)
    }

    fn read_file(&mut self, kept: Kept) -> io::Result<Option<Portion>> {
        if !self.disk.open(&kept)? {
            if kept.is_gone {
                self.files.remove(kept.identity);
                self.lose(&kept, "it is gone");
            }
            return Ok(None);
        }
        let size = self.disk.size(&kept)?;
        if size == kept.offset && !kept.is_gone {
            return Ok(None);
        }
        let kept = if self.is_as_it_was(&kept)? { kept } else { self.begin_again(&kept) };
        let bytes = self.disk.read(&kept)?;
        let is_last = kept.is_gone && bytes.len() < LINE_BYTES_MAX;
        let cut = lines::cut(bytes, kept.offset, kept.skips, is_last);
        if cut.used == 0 {
            if is_last {
                self.files.remove(kept.identity);
                self.has_changed();
            }
            return Ok(None);
        }
        let now_ms = self.clock.now_ms();
        let mut counts = Counts { too_long: u64::from(cut.too_long), ..Counts::default() };
        let events = cut.lines.iter().filter_map(|(at, line)| counts.read(line, *at, now_ms)).collect();
        let after = Kept { offset: kept.offset + cut.used as u64, skips: cut.skips, ..kept };
        Ok(Some(Portion { events, kept: self.disk.with_head(after)?, counts }))
    }

    /// A file that is another than it was, under the same inode.
    fn begin_again(&mut self, kept: &Kept) -> Kept {
        self.stats.openclaw_log.files_truncated.add(1);
        if let Some(count) = self.truncations.again(1, self.clock.uptime()) {
            log::warn!(file = kept.name.as_str(), count; "a file of the gateway's log was cut short or written anew");
        }
        let anew = kept.anew();
        self.files.put(anew.clone());
        self.has_changed();
        anew
    }

    /// There is something to store, if not at once.
    fn has_changed(&mut self) {
        self.unstored_since.get_or_insert(self.clock.uptime());
    }

    fn lose(&mut self, kept: &Kept, why: &str) {
        self.stats.openclaw_log.files_lost.add(1);
        self.has_changed();
        if let Some(count) = self.losses.again(1, self.clock.uptime()) {
            log::warn!(file = kept.name.as_str(), why, count; "lines of the gateway's log may be lost");
        }
    }
}

impl Portion {
    /// Counts its lines, and says what [`Follower::done`] wants to know. Once it is stored, or need not be.
    pub fn counted(self, stats: &Stats) -> Kept {
        let log = &stats.openclaw_log;
        log.lines.add(self.counts.lines + self.counts.too_long);
        log.rows.add(self.counts.rows);
        log.unreadable.add(self.counts.unreadable);
        log.too_long.add(self.counts.too_long);
        for (subsystem, count) in &self.counts.skipped {
            log.count_skipped(subsystem, *count);
        }
        self.kept
    }
}

impl Counts {
    fn read(&mut self, line: &[u8], at: u64, now_ms: i64) -> Option<Event> {
        self.lines += 1;
        match rules::read(line, at, now_ms) {
            Became::Row(event) => {
                self.rows += 1;
                return Some(*event);
            }
            Became::Nothing(subsystem) => *self.skipped.entry(subsystem).or_default() += 1,
            Became::Unreadable => self.unreadable += 1,
        }
        None
    }
}
