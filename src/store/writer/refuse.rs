//! Refusing new events while the database cannot take them, and coming back from it.

use std::time::Duration;

use super::{Refusing, Writer};
use crate::queue::{Inbox, Outcome};
use crate::stats::StoreState;
use crate::store::file::Fault;
use crate::store::options::BUSY_TIMEOUT;
use crate::store::writer::Command;

/// How long a probe waits for a lock: requests that come are answered in the meantime, not after it.
const PROBE_PATIENCE: Duration = Duration::from_millis(200);

/// It must change a page: SQLite writes nothing for a row that stays as it is.
const PROBE: &str = "INSERT INTO meta (key, value) VALUES ('probes', '1') \
                     ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)";
/// After so many probes in a row that failed, the file is opened anew: a fault of the connection, not
/// of the disk, ends with it.
const PROBES_BEFORE_REOPEN: u32 = 3;

impl Writer {
    pub(super) fn refuse(&mut self, inbox: &Inbox<Command>, why: Refusing, reason: String) {
        if self.refusing != Some(why)
            && let Some(count) = self.refusals.again(1, self.clock.uptime())
        {
            log::error!(reason:% = reason, count; "new events are refused");
        }
        self.refusing = Some(why);
        self.note_refusing(why, reason);
        inbox.refuse(Some(why.refusal()));
        if !self.options.acknowledged_early {
            // Those that wait are told at once, not after one attempt each.
            let waiting = inbox.take_all().into_iter();
            inbox.settle(waiting.map(|entry| (entry, Outcome::Refused(why.refusal()))));
        }
    }

    pub(super) fn note_refusing(&self, why: Refusing, reason: String) {
        let mut report = self.stats.store();
        let since_ms = match report.state {
            StoreState::Refusing { since_ms, .. } => since_ms,
            StoreState::Ok => self.clock.now_ms(),
        };
        report.state = StoreState::Refusing { refusal: why.refusal(), reason, since_ms };
    }

    pub(super) fn resume(&mut self, inbox: &Inbox<Command>) {
        if self.refusing.take().is_some() {
            inbox.refuse(None);
            self.stats.store().state = StoreState::Ok;
            if let Some(count) = self.resumptions.again(1, self.clock.uptime()) {
                log::info!(count; "new events are taken again");
            }
        }
    }

    /// Looks whether what stood in the way has passed.
    pub(super) fn probe(&mut self, inbox: &Inbox<Command>) {
        let passed = match self.refusing {
            None | Some(Refusing::FileFull) => false,
            Some(Refusing::DiskFull) => self.disk_has_room(),
            Some(Refusing::LogBlocked) => self.log_can_start_over(),
            Some(Refusing::Failing) => self.can_commit(),
        };
        self.probes_failed = if passed { 0 } else { self.probes_failed + 1 };
        if passed {
            self.resume(inbox);
            if !self.held.is_empty() {
                self.store(inbox);
            }
        } else if self.refusing == Some(Refusing::DiskFull) {
            self.note_refusing(Refusing::DiskFull, self.full_reason());
        }
    }

    fn disk_has_room(&mut self) -> bool {
        if self.database.is_none() && self.reopen().is_err() {
            return false;
        }
        (self.has_room() || self.make_room()) && self.can_commit()
    }

    /// Commits something that nobody reads, but that has to reach the disk.
    fn can_commit(&mut self) -> bool {
        if self.database.is_none() && self.reopen().is_err() {
            return false;
        }
        let Some(database) = &mut self.database else { return false };
        if !database.is_in_place(&self.options.path) {
            self.replace_vanished_file();
            return self.reopen().is_ok();
        }
        let tried = (|| {
            database.conn.busy_timeout(PROBE_PATIENCE)?;
            let tried = database.conn.execute(PROBE, []);
            database.conn.busy_timeout(BUSY_TIMEOUT)?;
            tried
        })();
        if let Err(error) = &tried
            && Fault::of(error, &self.options.path) == Fault::Corrupt
        {
            self.move_broken_file_aside(&error.to_string());
        }
        if tried.is_err() && self.probes_failed >= PROBES_BEFORE_REOPEN {
            self.probes_failed = 0;
            self.close_for_reopening();
        }
        tried.is_ok()
    }
}
