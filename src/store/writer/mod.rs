//! The one writer: a thread that stores what the queue brings, obeys [`Command`]s, and keeps the
//! limits between two batches.
//!
//! A request is told that it is stored after the transaction with it has committed, never before.
//! When the database cannot take it the writer mends what can be mended (a full disk, a broken or
//! vanished file) and tries the same again; else it refuses, says why, and goes on trying.

mod batch;
mod mend;
mod refuse;
mod upkeep;

#[cfg(test)]
mod histories;

use std::sync::Arc;
use std::time::{Duration, Instant};

use smol::channel::Sender;

use super::backlog;
use super::delivery::{self, Delivery, Revival, Revived};
use super::file::{Database, Fault, OpenError, Options, Remote};
use super::limits;
use super::options;
use super::volume::{Ballast, InstanceLock};
use crate::clock::Clock;
use crate::config::Sync;
use crate::event::{Event, Note};
use crate::logging::Repeats;
use crate::queue::{Entry, Inbox, Outcome};
use crate::stats::{COMMIT_US, Gains, Refusal, Stats, Work};

/// What can be asked of the writer besides storing.
#[derive(Debug)]
pub enum Command {
    /// What became of a push, or which batch is on its way now.
    Deliver {
        /// The file that the ids are of, by its id. For another one nothing is noted.
        instance_id: String,
        /// What is to be noted.
        delivery: Box<Delivery>,
        /// Told whether the file knows it now.
        reply: Sender<bool>,
    },
    /// Dead letters are to be sent again.
    Revive {
        /// Which.
        which: Revived,
        /// Told what became of it; `None` when the file could not note it.
        reply: Sender<Option<Revival>>,
    },
    /// Somebody who reads the file found it broken: look yourself.
    Examine,
    /// Tell me when everything that was queued before the queue was closed is settled.
    Drain {
        /// Told once.
        reply: Sender<()>,
    },
    /// Checkpoint, close the file and end.
    Close,
}

/// How the writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Events that were acknowledged before they were stored, and could not be stored at all.
    pub lost: u64,
    /// Whether all of the log is in the file.
    pub log_is_empty: bool,
}

/// The writer, before and while it runs.
#[derive(Debug)]
pub struct Writer {
    options: Options,
    stats: Arc<Stats>,
    clock: Clock,
    /// `None` until the volume has room for it.
    lock: Option<InstanceLock>,
    ballast: Ballast,
    database: Option<Database>,
    /// Requests that are acknowledged already and wait for the database to recover.
    held: Vec<Entry>,
    refusing: Option<Refusing>,
    ages: Ages,
    shrinking: bool,
    more_to_do: bool,
    /// About what the requests take in the file that are being stored.
    storing_bytes: u64,
    /// Whether there is more to do for what is looked at once a minute.
    timely: bool,
    /// Whether pages were given back that have not left the file yet.
    gave_back: bool,
    /// Of the file, after the last round.
    sizes_before: upkeep::Pages,
    next_look: Duration,
    next_checkpoint_pages: i64,
    next_restart: Duration,
    /// Pages that the log had when last looked at: fewer, and it has started over.
    log_pages_seen: i64,
    probes_failed: u32,
    /// Rows stored in the file that was closed to be opened again: it must still have them.
    stored_before: Option<(String, i64)>,
    refusals: Repeats,
    resumptions: Repeats,
    removals: Repeats,
    /// Whether the sums have changed since they were last told.
    usage_changed: bool,
    next_usage: Duration,
}

/// Why new requests are refused, as far as the writer must remember it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusing {
    /// The volume is full.
    DiskFull,
    /// The file is full of rows that must not go.
    FileFull,
    /// The log cannot start over.
    LogBlocked,
    /// The database answers with errors, or cannot be opened.
    Failing,
}

/// The time that ages are measured from. It starts at the newest row that was there at the start and
/// goes on with the monotonic clock: a wall clock that jumps ahead makes no row old.
#[derive(Debug, Clone, Copy)]
struct Ages {
    newest_ms: i64,
    since: Duration,
}

/// How often a refused state is looked at again.
const PROBE: Duration = Duration::from_secs(1);
/// A request is stored at the first try, after one repair, or after a second kind of repair.
const ATTEMPTS_MAX: usize = 3;

impl Writer {
    /// Takes the lock, opens or makes the file, and takes the ballast.
    ///
    /// # Errors
    /// What somebody must mend. A full disk, and another process that writes just now, are none: the
    /// writer then starts refusing, and goes on when that has passed.
    pub fn open(options: Options, stats: Arc<Stats>, clock: Clock) -> Result<Writer, OpenError> {
        let ballast = Ballast::of(&options.path);
        stats.store().path = options.path.display().to_string();
        let ages = Ages { newest_ms: clock.now_ms(), since: clock.uptime() };
        let mut writer = Writer {
            options,
            stats,
            clock,
            lock: None,
            ballast,
            database: None,
            held: Vec::new(),
            refusing: None,
            ages,
            shrinking: false,
            more_to_do: false,
            storing_bytes: 0,
            timely: false,
            gave_back: false,
            sizes_before: upkeep::Pages::default(),
            next_look: Duration::ZERO,
            next_checkpoint_pages: limits::WAL_CHECKPOINT_PAGES,
            next_restart: Duration::ZERO,
            log_pages_seen: 0,
            probes_failed: 0,
            stored_before: None,
            refusals: Repeats::default(),
            resumptions: Repeats::default(),
            removals: Repeats::default(),
            usage_changed: true,
            next_usage: Duration::ZERO,
        };
        writer.begin(Work::Opening);
        match writer.reopen() {
            Ok(()) => writer.take_ballast(),
            Err(error) if error.passes(&writer.options.path) => {
                log::warn!(error:% = error; "nothing can be stored yet");
                let full = error.fault(&writer.options.path) == Fault::Full;
                let why = if full { Refusing::DiskFull } else { Refusing::Failing };
                writer.refusing = Some(why);
                writer.note_refusing(why, error.to_string());
            }
            Err(error) => return Err(error),
        }
        writer.publish();
        writer.tell_usage();
        writer.begin(Work::Idle);
        Ok(writer)
    }

    /// Works until it is told to close.
    pub fn run(mut self, inbox: Inbox<Command>) -> Ended {
        inbox.refuse(self.refusing.map(Refusing::refusal));
        let mut drained = false;
        let mut drains: Vec<Sender<()>> = Vec::new();
        loop {
            self.begin(Work::Idle);
            let next = inbox.next(Some(self.patience()));
            self.take(&inbox, next.entries);
            if !self.held.is_empty() {
                self.store(&inbox);
            }
            drained |= next.drained;
            for command in next.commands {
                match command {
                    Command::Deliver { instance_id, delivery, reply } => {
                        self.begin(Work::Confirming);
                        let done = self.deliver(&instance_id, &delivery);
                        tell(&reply, done);
                    }
                    Command::Revive { which, reply } => {
                        self.begin(Work::Confirming);
                        let done = self.revive(&which);
                        tell(&reply, done);
                    }
                    Command::Examine => {
                        self.begin(Work::Examining);
                        self.examine();
                    }
                    Command::Drain { reply } => drains.push(reply),
                    Command::Close => return self.close(&inbox),
                }
            }
            if drained {
                drains.drain(..).for_each(|reply| tell(&reply, ()));
            }
            self.keep_up(&inbox);
        }
    }

    /// Takes requests in hand, but for those whose client was told already that they are not stored.
    fn take(&mut self, inbox: &Inbox<Command>, entries: Vec<Entry>) {
        let (abandoned, wanted): (Vec<_>, Vec<_>) = entries.into_iter().partition(Entry::is_abandoned);
        let refused = Outcome::Refused(Refusal::StoreFailing);
        inbox.settle(abandoned.into_iter().map(|entry| (entry, refused)));
        self.held.extend(wanted);
    }

    fn patience(&self) -> Duration {
        match self.refusing {
            _ if self.more_to_do => Duration::ZERO,
            _ if self.usage_changed => upkeep::USAGE_EVERY,
            Some(_) => PROBE,
            None => upkeep::LOOK,
        }
    }
}

// Storing.
impl Writer {
    /// Stores what is held, or refuses it, or (acknowledged already) goes on holding it.
    fn store(&mut self, inbox: &Inbox<Command>) {
        let entries = std::mem::take(&mut self.held);
        self.storing_bytes = entries.iter().map(bytes_of).sum();
        let stored = self.store_or_mend(&entries);
        self.storing_bytes = 0;
        match stored {
            Ok(outcomes) => {
                // The other two do not end by a commit that went well.
                if matches!(self.refusing, Some(Refusing::DiskFull | Refusing::Failing)) {
                    self.resume(inbox);
                }
                inbox.settle(entries.into_iter().zip(outcomes));
            }
            Err((why, reason)) => {
                self.refuse(inbox, why, reason);
                if self.options.acknowledged_early {
                    self.held = entries;
                } else {
                    let refusal = why.refusal();
                    inbox.settle(entries.into_iter().map(|entry| (entry, Outcome::Refused(refusal))));
                }
            }
        }
    }

    fn store_or_mend(&mut self, entries: &[Entry]) -> Result<Vec<Outcome>, (Refusing, String)> {
        let mut last = (Refusing::Failing, "the database could not be mended".to_owned());
        for attempt in 0..ATTEMPTS_MAX {
            self.begin(Work::Storing);
            let Some(database) = &mut self.database else {
                self.begin(Work::Opening);
                self.reopen().map_err(|error| match error.fault(&self.options.path) {
                    Fault::Full => (Refusing::DiskFull, self.full_reason()),
                    _ => (Refusing::Failing, error.to_string()),
                })?;
                continue;
            };
            let started = Instant::now();
            match batch::store(database, entries, self.clock.now_ms(), &self.stats) {
                Ok(_) if !database.is_in_place(&self.options.path) => self.replace_vanished_file(),
                Ok(batch::Stored { outcomes, gains }) => {
                    if !database.has_its_log(&self.options.path) {
                        self.save_from_vanished_log()?;
                    }
                    self.note_commit(started.elapsed(), &gains);
                    self.usage_changed = true;
                    return Ok(outcomes);
                }
                // Once for nothing: a disk that has room was only full for a moment.
                Err(error) if attempt == 0 && self.was_full_for_a_moment(&error) => {}
                Err(error) => last = self.mend(&error)?,
            }
        }
        Err(last)
    }

    /// Notes a delivery. The disk is not waited for, so that events do not wait for it twice: where the machine dies before
    /// the next commit of events, rows are sent again, and the remote knows them.
    fn deliver(&mut self, instance_id: &str, delivery: &Delivery) -> bool {
        let Some(Remote { destination, .. }) = self.options.remote.clone() else { return false };
        let now_ms = self.clock.now_ms();
        let (mut was_full, mut failed) = (false, String::new());
        for _ in 0..ATTEMPTS_MAX {
            let Some(database) = &mut self.database else { return false };
            // The ids of a file that is gone say nothing of the rows of this one.
            if database.instance_id != instance_id || !database.is_in_place(&self.options.path) {
                return false;
            }
            let relaxed = options::set_sync(&database.conn, Sync::Normal);
            let noted = delivery::note(&mut database.conn, &mut database.rows, &destination, delivery, now_ms);
            if let Err(error) = relaxed.and_then(|()| options::set_sync(&database.conn, self.options.sync)) {
                // What is opened anew has it as it must be.
                log::warn!(error:% = error; "the database is opened anew");
                self.database = None;
                return false;
            }
            match noted {
                Ok(()) => {
                    self.more_to_do |= self.refusing == Some(Refusing::FileFull);
                    if was_full {
                        // The ballast must be there again before events take its room: the next confirmation needs it.
                        self.make_room();
                    }
                    self.publish();
                    return true;
                }
                Err(error) => match Fault::of(&error, &self.options.path) {
                    // What is confirmed now may be what makes room: the ballast is for this.
                    Fault::Full if self.ballast.is_whole() && self.ballast.release().is_ok() => {}
                    Fault::Full => self.empty_log_for_room(),
                    Fault::Corrupt => {
                        self.move_broken_file_aside(&error.to_string());
                        return false;
                    }
                    Fault::Failing => {
                        failed = error.to_string();
                        break;
                    }
                },
            }
            was_full = true;
            failed = "the disk is full".to_owned();
        }
        if was_full {
            // What it has cost is taken again, if anything that may go makes room for it.
            self.make_room();
        }
        log::warn!(error:% = failed; "the push cursor was not stored, the rows will be sent again");
        false
    }

    fn revive(&mut self, which: &Revived) -> Option<Revival> {
        let Remote { destination, .. } = self.options.remote.clone()?;
        let now_ms = self.clock.now_ms();
        let database = self.database.as_mut()?;
        let revived = delivery::revive(&mut database.conn, &mut database.rows, &destination, which, now_ms);
        self.publish();
        revived.inspect_err(|error| log::warn!(error:% = error; "dead letters could not be revived")).ok()
    }

    /// Looks whether the file is sound, and moves it aside if it is not.
    fn examine(&mut self) {
        let Some(database) = &self.database else { return };
        let broken = match database.is_sound() {
            Ok(sound) => (!sound).then(|| "a check found it so".to_owned()),
            Err(error) => (Fault::of(&error, &self.options.path) == Fault::Corrupt).then(|| error.to_string()),
        };
        if let Some(how) = broken {
            self.move_broken_file_aside(&how);
        }
    }
}

// The end, and what is told of the writer.
impl Writer {
    fn close(mut self, inbox: &Inbox<Command>) -> Ended {
        self.begin(Work::Closing);
        // Whatever could not be waited for is stored all the same, if there is still time.
        inbox.close();
        self.take(inbox, inbox.take_all());
        if !self.held.is_empty() {
            self.store(inbox);
        }
        // The last use of the ballast: after this nothing needs it.
        if !self.held.is_empty() && self.ballast.is_whole() && self.ballast.release().is_ok() {
            self.store(inbox);
        }
        let lost: usize = self.held.iter().map(|entry| entry.events.len()).sum();
        let held = std::mem::take(&mut self.held);
        inbox.settle(held.into_iter().map(|entry| (entry, Outcome::Refused(Refusal::StoreFailing))));
        self.begin(Work::Closing);
        let log_is_empty = self.empty_log();
        if let Some(Err(error)) = self.database.take().map(Database::close) {
            log::warn!(error:% = error; "the database was not closed");
        }
        self.stats.writer.begin(Work::Idle, self.clock.uptime());
        Ended { lost: lost as u64, log_is_empty }
    }

    /// Tells what it is at, from now on.
    pub(super) fn begin(&self, work: Work) {
        self.stats.writer.begin(work, self.clock.uptime());
    }

    /// Moves the log into the file, with the help of the ballast if the disk is full.
    fn empty_log(&self) -> bool {
        let Some(database) = &self.database else { return false };
        let first = database.empty_log();
        let full = matches!(&first, Err(error) if Fault::of(error, &self.options.path) == Fault::Full);
        let last = if full && self.ballast.release().is_ok() { database.empty_log() } else { first };
        match last {
            Ok(done) => !done.blocked,
            Err(error) => {
                log::warn!(error:% = error; "the log stays beside the database, the next start reads it");
                false
            }
        }
    }

    /// Tells what a commit changed: rows, and the length of the log.
    fn note_commit(&self, took: Duration, gains: &Gains) {
        self.stats.gained(gains);
        let took_us = took.as_micros() as u64;
        let mut report = self.stats.store();
        report.commits.record(&COMMIT_US, took_us);
        report.commit_us_max = report.commit_us_max.max(took_us);
        if let Some(database) = &self.database {
            report.rows = database.rows;
            if report.backlog_from_ms.is_none() && database.rows.iter().any(|rows| rows.unsynced > 0) {
                // The first that the remote does not have.
                report.backlog_from_ms = Some(self.clock.now_ms());
            }
            report.wal_bytes = database.wal_pages() as u64 * limits::PAGE_BYTES;
        }
    }

    /// Tells all there is to tell. It asks SQLite and the volume, so not at every commit.
    fn publish(&self) {
        let Some(database) = &self.database else {
            let mut report = self.stats.store();
            (report.file_bytes, report.free_bytes, report.wal_bytes) = (0, 0, 0);
            report.ballast = self.ballast.is_whole();
            return;
        };
        let sizes = database.pages();
        let destination = self.options.remote.as_ref().map(|remote| &*remote.destination);
        let backlog = backlog::oldest(&database.conn, &database.rows, destination);
        let mut report = self.stats.store();
        report.rows = database.rows;
        report.ballast = self.ballast.is_whole();
        report.wal_bytes = database.wal_pages() as u64 * limits::PAGE_BYTES;
        if let Ok(from_ms) = backlog {
            report.backlog_from_ms = from_ms;
        }
        if let Ok((pages, free_pages)) = sizes {
            report.file_bytes = pages * limits::PAGE_BYTES;
            report.free_bytes = free_pages * limits::PAGE_BYTES;
        }
    }
}

impl Refusing {
    fn refusal(self) -> Refusal {
        match self {
            Refusing::DiskFull | Refusing::FileFull => Refusal::StoreFull,
            Refusing::LogBlocked | Refusing::Failing => Refusal::StoreFailing,
        }
    }
}

impl Ages {
    fn now_ms(self, clock: &Clock) -> i64 {
        let passed = clock.uptime().saturating_sub(self.since);
        clock.now_ms().min(self.newest_ms + i64::try_from(passed.as_millis()).unwrap_or(i64::MAX))
    }
}

/// About what a request takes in the file: in memory it is rather larger.
fn bytes_of(entry: &Entry) -> u64 {
    let events: usize = entry.events.iter().map(Event::heap_bytes).sum();
    let notes: usize = entry.notes.iter().map(Note::heap_bytes).sum();
    (events + notes) as u64
}

/// Answers somebody who may have gone.
fn tell<T>(reply: &Sender<T>, answer: T) {
    if reply.try_send(answer).is_err() {
        log::debug!("nobody waits for this answer of the writer any more");
    }
}
