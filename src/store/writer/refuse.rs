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

impl Writer {
    pub(super) fn refuse(&mut self, inbox: &Inbox<Command>, why: Refusing, reason: String) {
        inbox.refuse(Some(why.refusal()));
        if !self.options.acknowledged_early {
            // Those that wait are told at once, not after one attempt each.
            let waiting = inbox.take_all().into_iter();
            inbox.settle(waiting.map(|entry| (entry, Outcome::Refused(why.refusal()))));
        }
        if self.refusing != Some(why) {
            log::error!(reason:% = reason; "new events are refused");
        }
        self.refusing = Some(why);
        self.note_refusing(why, reason);
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
            log::info!("new events are taken again");
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

    /// Commits something that changes nothing.
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
            let tried = database.conn.execute("UPDATE row_counts SET stored = stored", []);
            database.conn.busy_timeout(BUSY_TIMEOUT)?;
            tried
        })();
        if let Err(error) = &tried
            && Fault::of(error, &self.options.path) == Fault::Corrupt
        {
            self.move_broken_file_aside(&error.to_string());
        }
        tried.is_ok()
    }
}
