//! What goes wrong, and what is done about it: a full disk, a broken file, a file that vanished.

use std::time::Instant;

use rusqlite::ErrorCode;

use super::{Ages, Refusing, Writer};
use crate::clock::rfc3339_utc;
use crate::space::{Space, directory_of};
use crate::stats::{Pruned, Work};
use crate::store::file::{self, Database, Fault, OpenError};
use crate::store::limits::{self, ORDER, ROOM_BYTES, ROOM_STEPS_MAX, ROOM_TIME_MAX, STEP_PAGES, Which};
use crate::store::prune::{self, Removal};
use crate::store::volume::{BALLAST_BYTES, InstanceLock};
use crate::store::wal;

/// Incidents that `/health` lists.
const INCIDENTS_MAX: usize = 8;
impl Writer {
    /// Does what an error asks for. `Err` when the request must be refused; else why it would be if
    /// the next attempt fails too.
    pub(super) fn mend(&mut self, error: &rusqlite::Error) -> Result<(Refusing, String), (Refusing, String)> {
        self.stats.store().errors += 1;
        match Fault::of(error, &self.options.path) {
            Fault::Full if self.make_room() => Ok((Refusing::DiskFull, self.full_reason())),
            Fault::Full => Err((Refusing::DiskFull, self.full_reason())),
            Fault::Corrupt => {
                self.move_broken_file_aside(&error.to_string());
                Ok((Refusing::Failing, format!("the database is broken: {error}")))
            }
            Fault::Failing => Err((Refusing::Failing, failing_reason(error))),
        }
    }

    pub(super) fn reopen(&mut self) -> Result<(), OpenError> {
        let now_ms = self.clock.now_ms();
        file::make_directory(&self.options.path)?;
        if !self.lock.as_ref().is_some_and(|lock| lock.is_in_place(&self.options.path)) {
            // A lock on a file that is gone keeps nobody out.
            self.lock = None;
            self.lock = Some(InstanceLock::take(&self.options.path)?);
        }
        let had_ballast = self.ballast.is_whole();
        let database = match Database::open(&self.options, now_ms) {
            Err(error) if error.fault(&self.options.path) == Fault::Corrupt => {
                self.move_broken_file_aside(&error.to_string());
                Database::open(&self.options, now_ms)?
            }
            Err(error) if error.fault(&self.options.path) == Fault::Full && self.ballast.is_whole() => {
                let path = self.options.path.display().to_string();
                self.ballast.release().map_err(|cause| OpenError::Io { path, cause })?;
                Database::open(&self.options, now_ms)?
            }
            other => other?,
        };
        let newest = prune::newest(&database.conn).ok().flatten();
        self.ages = Ages { newest_ms: newest.unwrap_or(now_ms), since: self.clock.uptime() };
        self.next_checkpoint_pages = limits::WAL_CHECKPOINT_PAGES;
        self.log_pages_seen = 0;
        if let Some((instance_id, stored)) = self.stored_before.take() {
            let missing = stored - database.rows.iter().map(|table| table.stored).sum::<i64>();
            if instance_id == database.instance_id && missing > 0 {
                let now = rfc3339_utc(now_ms);
                self.incident(format!(
                    "{now}: the log of the database was damaged, and {missing} rows are gone with it"
                ));
            }
        }
        self.database = Some(database);
        self.sizes_before = self.sizes().unwrap_or_default();
        if had_ballast && !self.ballast.is_whole() {
            // Opening has cost it. It must be there again before events take its room: nothing could be removed without.
            self.make_room();
        }
        Ok(())
    }

    /// Closes the file so that the next use opens it anew.
    pub(super) fn close_for_reopening(&mut self) {
        let Some(database) = self.database.take() else { return };
        let stored = database.rows.iter().map(|table| table.stored).sum();
        self.stored_before = Some((database.instance_id.clone(), stored));
    }

    /// Somebody deleted the log beside the file. The open one still has everything: it is moved into
    /// the file before anything of it is acknowledged, and a new one is begun.
    pub(super) fn save_from_vanished_log(&mut self) -> Result<(), (Refusing, String)> {
        let Some(database) = &self.database else { return Ok(()) };
        let saved = wal::truncate(&database.conn);
        let now = rfc3339_utc(self.clock.now_ms());
        self.database = None;
        match saved {
            Ok(done) if !done.blocked => {
                self.incident(format!(
                    "{now}: the log of the database was deleted while it was open; nothing of it is lost"
                ));
                Ok(())
            }
            _ => {
                self.incident(format!(
                    "{now}: the log of the database was deleted while it was open, and could not be saved"
                ));
                Err((Refusing::Failing, "the log of the database was deleted while it was open".to_owned()))
            }
        }
    }

    /// Whether the disk is called full but has room: then the same may go well at once.
    pub(super) fn was_full_for_a_moment(&mut self, error: &rusqlite::Error) -> bool {
        let momentary = Fault::of(error, &self.options.path) == Fault::Full && self.has_room();
        self.stats.store().errors += u64::from(momentary);
        momentary
    }

    pub(super) fn move_broken_file_aside(&mut self, error: &str) {
        // Closed without a checkpoint: nothing more is written into a file that is broken.
        self.database = None;
        let now_ms = self.clock.now_ms();
        match file::move_broken_aside(&self.options.path, now_ms) {
            Ok(to) => self.incident(format!(
                "{}: the database was broken ({error}); it was moved to {} and a new one was begun",
                rfc3339_utc(now_ms),
                to.display()
            )),
            Err(failed) => log::error!(error:% = failed; "the broken database cannot be moved aside"),
        }
    }

    pub(super) fn replace_vanished_file(&mut self) {
        let gone = self.database.take();
        let rows: i64 = gone.iter().flat_map(|database| &database.rows).map(|table| table.present).sum();
        let log_is_ours = gone.is_some_and(|database| database.owns_log_beside(&self.options.path));
        let now_ms = self.clock.now_ms();
        let mut said = format!(
            "{}: the database file was deleted or replaced while it was open; about {rows} rows went with it, and a new one is begun",
            rfc3339_utc(now_ms)
        );
        // What lies there now is not ours, or is a log without its file.
        match file::move_stranger_aside(&self.options.path, log_is_ours, now_ms) {
            Ok(to) if to.exists() => said.push_str(&format!(" (what was in its place is now {})", to.display())),
            Ok(_) => {}
            Err(failed) => said.push_str(&format!(" (what is in its place cannot be moved: {failed})")),
        }
        self.incident(said);
    }

    fn incident(&mut self, said: String) {
        log::error!("{said}");
        let mut report = self.stats.store();
        if report.incidents.len() < INCIDENTS_MAX {
            report.incidents.push(said);
        }
    }

    /// Moves the log into the file, if need be in the room of the ballast. What it took is free then, also where no row
    /// may go: without it not even a confirmation could be noted.
    pub(super) fn empty_log_for_room(&mut self) {
        let Some(database) = &mut self.database else { return };
        let emptied = match wal::truncate(&database.conn) {
            Err(_) if self.ballast.release().is_ok() => wal::truncate(&database.conn),
            done => done,
        };
        match emptied {
            Ok(done) if !done.blocked => database.log_is_empty(),
            Ok(_) => log::debug!("a reader keeps the log from being emptied"),
            Err(error) => log::debug!(error:% = error; "the log could not be emptied"),
        }
    }

    /// Removes what the remote has until there is room again beside the ballast. The ballast itself
    /// is the room in which SQLite can do that. `false` when there was nothing to remove, or it was
    /// not enough.
    pub(super) fn make_room(&mut self) -> bool {
        self.empty_log_for_room();
        let mut made = self.has_room();
        let started = Instant::now();
        let mut steps_unsynced = 0;
        while !made && let Some(which) = self.first_for_room() {
            // What the remote has may all go, but a probe goes on with it: those who wait want an answer.
            let goes_on = if which.is_synced() {
                started.elapsed() < ROOM_TIME_MAX
            } else {
                steps_unsynced += 1;
                steps_unsynced <= ROOM_STEPS_MAX
            };
            if !goes_on || !self.remove_one_step_for_room(which) {
                break;
            }
            made = self.has_room();
        }
        if let Err(error) = self.ballast.take() {
            log::debug!(error:% = error; "the ballast does not fit");
        }
        self.publish();
        made
    }

    /// Which rows go next for room.
    fn first_for_room(&self) -> Option<Which> {
        let database = self.database.as_ref()?;
        let now_ms = self.clock.now_ms();
        let may_go = |which: &Which| which.may_go(&self.options.retention);
        let destination = self.options.remote.as_ref().map(|remote| &*remote.destination);
        let found = |which| prune::first(&database.conn, &database.rows, destination, which, now_ms);
        let there = |which: &Which| matches!(found(*which), Ok(Some(_)));
        ORDER.into_iter().filter(may_go).find(there)
    }

    /// Whether something was removed, and the pages of it given back.
    fn remove_one_step_for_room(&mut self, which: Which) -> bool {
        self.begin(Work::Pruning);
        let now_ms = self.clock.now_ms();
        let destination = self.options.remote.as_ref().map(|remote| &*remote.destination);
        let Some(database) = &mut self.database else { return false };
        if let Err(error) = self.ballast.release() {
            log::debug!(error:% = error; "the ballast cannot be let go");
        }
        match remove_for_room(database, destination, which, now_ms) {
            Ok(removed) => {
                if removed > 0
                    && let Some(removed) = self.removals.again(removed as u64, self.clock.uptime())
                {
                    log::warn!(removed; "old rows were removed because the disk is full");
                }
                removed > 0
            }
            Err(error) => {
                log::debug!(error:% = error; "a step to make room failed");
                false
            }
        }
    }

    /// Whether the ballast is there and something is free beside it. Where the ballast cannot be had
    /// at all, as much must be free as it would take.
    pub(super) fn has_room(&self) -> bool {
        let ballast = self.ballast.take().map_or(BALLAST_BYTES, |()| 0);
        let has =
            |space: Space| space.free_bytes >= limits::room_bytes(self.storing_bytes, space.total_bytes) + ballast;
        self.space().is_some_and(has)
    }

    pub(super) fn take_ballast(&mut self) {
        if let Err(error) = self.ballast.take() {
            log::warn!(bytes = BALLAST_BYTES, error:% = error; "the reserve for a full disk cannot be taken");
        }
    }

    pub(super) fn full_reason(&self) -> String {
        let path = self.options.path.display();
        if self.space().is_some_and(|space| space.free_bytes > ROOM_BYTES + BALLAST_BYTES) {
            return format!("the system says that {path} has no room, though its volume has: is there a quota?");
        }
        let free = self.space().map_or("unknown".to_owned(), |space| space.free_bytes.to_string());
        let readers = wal::readers(&self.options.path);
        if readers.is_empty() {
            return format!(
                "the volume of {path} is full ({free} bytes free), and removing what the remote has did not help; \
                 free some MB on it"
            );
        }
        format!(
            "the volume of {path} is full ({free} bytes free), and nothing can be given back while {} reads the \
             database; end that, or free some MB",
            readers.join(", ")
        )
    }

    pub(super) fn space(&self) -> Option<Space> {
        Space::of(directory_of(&self.options.path))
    }
}

fn remove_for_room(
    database: &mut Database,
    destination: Option<&str>,
    which: Which,
    now_ms: i64,
) -> rusqlite::Result<usize> {
    // While somebody reads, what is removed would only be written once more, into the log.
    if wal::truncate(&database.conn)?.blocked {
        return Ok(0);
    }
    let removal = Removal { which, before_ms: None, cause: which.counted(Pruned::Disk), pages: STEP_PAGES };
    let removed = prune::remove(&mut database.conn, &mut database.rows, destination, removal, now_ms)?;
    prune::give_back(&database.conn, STEP_PAGES)?;
    if !wal::truncate(&database.conn)?.blocked {
        database.log_is_empty();
    }
    Ok(removed)
}

fn failing_reason(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process has locked the database for writing; end its transaction".to_owned()
        }
        Some(ErrorCode::ReadOnly) => "the database cannot be written: is the volume mounted read-only?".to_owned(),
        _ => format!("the database cannot be written: {error}"),
    }
}
