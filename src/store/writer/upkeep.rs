//! The limits, kept between two batches: one step for the file, and the log moved into it.

use std::time::Duration;

use super::{Command, Refusing, Writer};
use crate::event::Table;
use crate::malloc;
use crate::queue::Inbox;
use crate::space::Space;
use crate::stats::{Pruned, Work};
use crate::store::limits::{self, Sizes, Step, Which};
use crate::store::{notes, prune, rollup, wal};

/// How often ages and the volume are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(60);
/// How often a reader in the way of the log is asked to go.
const RESTART_EVERY: Duration = Duration::from_secs(60);
/// How often the sums are told, at most.
pub(super) const USAGE_EVERY: Duration = Duration::from_secs(1);

impl Writer {
    pub(super) fn keep_up(&mut self, inbox: &Inbox<Command>) {
        if self.refusing.is_some() {
            self.begin(Work::Probing);
            self.probe(inbox);
        }
        let checkpointed = self.keep_log_short(inbox);
        let uptime = self.clock.uptime();
        let look = uptime >= self.next_look;
        // The day may have changed although nothing was stored.
        if look || (self.usage_changed && uptime >= self.next_usage) {
            self.begin(Work::Summing);
            self.tell_usage();
        }
        if !(look || checkpointed || self.more_to_do || self.refusing == Some(Refusing::FileFull)) {
            return;
        }
        if look {
            self.next_look = uptime + LOOK;
            malloc::trim();
            if self.refusing.is_none() && !self.ballast.is_whole() {
                self.take_ballast();
            }
        }
        self.begin(Work::Pruning);
        match self.keep_limits(look) {
            Ok((step, more)) => {
                self.after_step(inbox, step);
                self.more_to_do |= more;
            }
            Err(error) => {
                self.more_to_do = false;
                if let Err((why, reason)) = self.mend(&error) {
                    self.refuse(inbox, why, reason);
                }
            }
        }
        self.publish();
    }

    /// Tells what the calls of today came to. It is the next time's if it cannot be read now.
    pub(super) fn tell_usage(&mut self) {
        let Some(database) = &self.database else { return };
        self.next_usage = self.clock.uptime() + USAGE_EVERY;
        match rollup::report(&database.conn, self.clock.now_ms()) {
            Ok(report) => {
                self.usage_changed = false;
                self.stats.store().usage = report;
            }
            Err(error) => log::debug!(error:% = error; "the sums could not be read"),
        }
    }

    /// Takes one step for the limits, and one for the sums that are too old. Says which, and whether there is more of these.
    fn keep_limits(&mut self, look: bool) -> rusqlite::Result<(Step, bool)> {
        let disk_percent = self.space().and_then(Space::used_percent);
        let now_ms = self.ages.now_ms(&self.clock);
        let Some(database) = &mut self.database else { return Ok((Step::Rest, false)) };
        if look {
            notes::let_go(&database.conn, self.clock.now_ms())?;
        }
        let more = rollup::let_go(&mut database.conn, &mut database.sizes, now_ms)?;
        let (pages, free_pages) = database.pages()?;
        let oldest_of = |which, until_ms| {
            prune::oldest(&database.conn, &database.rows, which, until_ms).map(|found| found.map(|(ms, _)| ms))
        };
        let unsynced_events =
            Table::ALL.iter().any(|t| *t != Table::SystemMetrics && database.rows[t.index()].unsynced > 0);
        let sizes = Sizes {
            pages,
            free_pages,
            disk_percent,
            now_ms,
            oldest_event_ms: oldest_of(Which::SyncedEvents, now_ms)?,
            oldest_metric_ms: oldest_of(Which::SyncedMetrics, now_ms)?,
            synced_events: oldest_of(Which::SyncedEvents, i64::MAX)?.is_some(),
            synced_metrics: oldest_of(Which::SyncedMetrics, i64::MAX)?.is_some(),
            unsynced_metrics: database.rows[Table::SystemMetrics.index()].unsynced > 0,
            unsynced_events,
            shrinking: self.shrinking,
        };
        let step = limits::plan(&self.options.retention, &sizes);
        match step {
            Step::Rest | Step::Refuse => {}
            Step::GiveBack => prune::give_back(&database.conn)?,
            Step::Remove { which, before_ms, cause } => {
                let removed = prune::remove(&mut database.conn, &mut database.rows, which, before_ms, cause)?;
                log::debug!(count = removed, cause = cause.name(), which:? = which; "rows were removed");
                if removed == 0 {
                    return Ok((Step::Rest, more));
                }
                prune::give_back(&database.conn)?;
            }
        }
        Ok((step, more))
    }

    fn after_step(&mut self, inbox: &Inbox<Command>, step: Step) {
        self.more_to_do = matches!(step, Step::GiveBack | Step::Remove { .. });
        if self.shrinking && step == Step::Rest {
            // What was given back leaves the file at a checkpoint.
            self.next_checkpoint_pages = 1;
        }
        let for_size = |cause| matches!(cause, Pruned::Size | Pruned::Unsynced);
        self.shrinking = match step {
            Step::Remove { cause, .. } => for_size(cause),
            Step::GiveBack => self.shrinking,
            Step::Rest | Step::Refuse => false,
        };
        if step == Step::Refuse {
            let limit = self.options.retention.db_max_bytes >> 20;
            let reason = format!(
                "the database has reached TRACE_DB_MAX_MB={limit} and every row in it waits for the push; \
                 let the push through, or raise the limit"
            );
            self.refuse(inbox, Refusing::FileFull, reason);
        } else if self.refusing == Some(Refusing::FileFull) && step == Step::Rest {
            self.resume(inbox);
        }
    }

    /// Moves the log into the file when it has grown enough. Says whether it did.
    fn keep_log_short(&mut self, inbox: &Inbox<Command>) -> bool {
        let Some(database) = &mut self.database else { return false };
        let pages = database.wal_pages();
        // The log started over: what was learnt of a reader in the way is out of date.
        if pages < self.log_pages_seen {
            self.next_checkpoint_pages = limits::WAL_CHECKPOINT_PAGES;
        }
        self.log_pages_seen = pages;
        if pages < self.next_checkpoint_pages {
            return false;
        }
        self.stats.writer.begin(Work::Checkpoint, self.clock.uptime());
        match wal::passive(&database.conn) {
            Ok(done) => {
                self.next_checkpoint_pages = done.pages + limits::WAL_CHECKPOINT_PAGES;
                if done.pages > limits::WAL_PAGES_MAX && self.readers_stay() {
                    let reason = self.log_reason(done.pages);
                    self.refuse(inbox, Refusing::LogBlocked, reason);
                }
            }
            Err(error) => {
                if let Err((why, reason)) = self.mend(&error) {
                    self.refuse(inbox, why, reason);
                }
            }
        }
        true
    }

    /// Asks the readers to go, at most once a minute. Says whether they were asked and stayed.
    fn readers_stay(&mut self) -> bool {
        let uptime = self.clock.uptime();
        let Some(database) = &self.database else { return false };
        if uptime < self.next_restart {
            return false;
        }
        self.next_restart = uptime + RESTART_EVERY;
        match wal::restart(&database.conn) {
            Ok(done) => done.blocked,
            Err(error) => {
                log::debug!(error:% = error; "the log could not start over");
                false
            }
        }
    }

    /// Whether all of the log is in the file, so that the next commit can begin it anew.
    pub(super) fn log_can_start_over(&self) -> bool {
        let Some(database) = &self.database else { return false };
        matches!(wal::passive(&database.conn), Ok(done) if done.moved == done.pages)
    }

    fn log_reason(&self, pages: i64) -> String {
        let readers = wal::readers(&self.options.path);
        let who = if readers.is_empty() { "a reader".to_owned() } else { readers.join(", ") };
        let mb = (pages as u64 * limits::PAGE_BYTES) >> 20;
        format!("the log of the database has grown to {mb} MB because {who} keeps an old read transaction open; end it")
    }
}
