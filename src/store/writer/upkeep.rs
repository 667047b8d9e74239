//! The limits, kept between two batches: one step for the file, and the log moved into it.

use std::time::Duration;

use super::{Command, Refusing, Writer};
use crate::malloc;
use crate::queue::Inbox;
use crate::space::Space;
use crate::stats::{Pruned, Work};
use crate::store::limits::{self, Look, ORDER, Sizes, Step, Which};
use crate::store::prune::{self, Removal};
use crate::store::{delivery, notes, rollup, wal};

/// How often ages and the volume are looked at.
pub(super) const LOOK: Duration = Duration::from_secs(60);
/// How often a reader in the way of the log is asked to go.
const RESTART_EVERY: Duration = Duration::from_secs(60);
/// How often the sums are told, at most.
pub(super) const USAGE_EVERY: Duration = Duration::from_secs(1);

/// Pages of the file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pages {
    /// All of them.
    pages: u64,
    /// Those that hold something.
    used: u64,
}

impl Writer {
    pub(super) fn keep_up(&mut self, inbox: &Inbox<Command>) {
        if self.refusing.is_some() {
            self.begin(Work::Probing);
            self.probe(inbox);
        }
        // What is past the limit is removed and given back before it reaches the file.
        let sizes = self.sizes();
        let outgrown = sizes.is_some_and(|sizes| self.has_outgrown(sizes));
        let checkpointed = !outgrown && self.keep_log_short(inbox);
        let uptime = self.clock.uptime();
        let look = uptime >= self.next_look;
        // The day may have changed although nothing was stored.
        if look || (self.usage_changed && uptime >= self.next_usage) {
            self.begin(Work::Summing);
            self.tell_usage();
        }
        if look {
            self.next_look = uptime + LOOK;
            malloc::trim();
            if !matches!(self.refusing, Some(Refusing::DiskFull | Refusing::Failing)) && !self.ballast.is_whole() {
                self.take_ballast();
            }
        }
        // A checkpoint that could not be made may have made room.
        let sizes = if checkpointed { self.sizes() } else { sizes };
        let Some(sizes) = sizes else { return self.publish() };
        if look || self.more_to_do || self.refusing == Some(Refusing::FileFull) || self.is_at_limit(sizes) {
            self.take_steps(inbox, look);
        } else {
            self.sizes_before = sizes;
            if !checkpointed {
                return;
            }
        }
        self.publish();
    }

    /// One step for the limits. While the file is at its own, more of them, until it holds no more than before the last
    /// commit: however fast events come, it does not grow past its limit.
    fn take_steps(&mut self, inbox: &Inbox<Command>, mut look: bool) {
        // Nothing is given back while the log cannot be moved into the file, and the log would only grow.
        if self.refusing == Some(Refusing::LogBlocked) {
            self.more_to_do = false;
            return;
        }
        let mut timely = look || self.timely;
        loop {
            self.begin(Work::Pruning);
            match self.keep_limits(look, timely) {
                Ok(step) => self.after_step(inbox, step),
                Err(error) => {
                    self.more_to_do = false;
                    if let Err((why, reason)) = self.mend(&error) {
                        self.refuse(inbox, why, reason);
                    }
                    self.keep_log_short(inbox);
                    return;
                }
            }
            if timely {
                self.timely = self.more_to_do;
            }
            let Some(sizes) = self.sizes() else { return };
            let before = self.sizes_before;
            let grown = sizes.used > before.used || sizes.pages > before.pages;
            let again = self.more_to_do && grown && self.is_at_limit(sizes);
            if !(again && self.has_outgrown(sizes)) {
                self.keep_log_short(inbox);
            }
            if !again || self.refusing == Some(Refusing::LogBlocked) {
                self.sizes_before = sizes;
                self.more_to_do |= self.timely;
                return;
            }
            // What is old can wait for the next round.
            (look, timely) = (false, false);
        }
    }

    pub(super) fn sizes(&self) -> Option<Pages> {
        let (pages, free_pages) = self.database.as_ref()?.pages().ok()?;
        Some(Pages { pages, used: pages - free_pages })
    }

    fn is_at_limit(&self, Pages { pages, used }: Pages) -> bool {
        limits::is_at_limit(&self.options.retention, pages, used)
    }

    /// Whether the last commit has made the file longer than its limit, though so far only in the log: what a checkpoint
    /// would write past the limit is cut off there first. But the log must not grow for it without end.
    fn has_outgrown(&self, Pages { pages, .. }: Pages) -> bool {
        let past = pages > self.sizes_before.pages && pages > limits::pages_max(&self.options.retention);
        let log_pages = self.database.as_ref().map_or(0, |database| database.wal_pages());
        past && log_pages < limits::WAL_PAGES_MAX && self.refusing != Some(Refusing::LogBlocked)
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

    /// Takes one step for the limits, and one for the sums that are too old or too many.
    fn keep_limits(&mut self, look: bool, timely: bool) -> rusqlite::Result<Step> {
        let disk_percent = if timely { self.space().and_then(Space::used_percent) } else { None };
        let (now_ms, aged_ms) = (self.clock.now_ms(), self.ages.now_ms(&self.clock));
        let Some(database) = &mut self.database else { return Ok(Step::Rest) };
        if look {
            notes::let_go(&database.conn, now_ms)?;
        }
        let sums_go = rollup::let_go(&mut database.conn, &mut database.sizes, aged_ms)?;
        let (pages, free_pages) = database.pages()?;
        let (conn, rows) = (&mut database.conn, &mut database.rows);
        let destination = self.options.remote.as_ref().map(|remote| &*remote.destination);
        if look && let Some(destination) = destination {
            let keep_ms = i64::try_from(self.options.retention.events.as_millis()).unwrap_or(i64::MAX);
            delivery::let_go(conn, rows, destination, aged_ms.saturating_sub(keep_ms))?;
        }
        let oldest_of = |which| {
            let found = prune::oldest(conn, rows, destination, which, aged_ms)?;
            Ok::<_, rusqlite::Error>(found.map(|row| row.received_ms))
        };
        let looked = if timely {
            Some(Look {
                disk_percent,
                now_ms: aged_ms,
                oldest_event_ms: oldest_of(Which::SyncedEvents)?,
                oldest_metric_ms: oldest_of(Which::SyncedMetrics)?,
            })
        } else {
            None
        };
        let mut first = None;
        for which in ORDER {
            if prune::first(conn, rows, destination, which, now_ms)?.is_some() {
                first = Some(which);
                break;
            }
        }
        let sizes = Sizes { pages, free_pages, looked, sums_go, first, shrinking: self.shrinking };
        let step = limits::plan(&self.options.retention, &sizes);
        match step {
            Step::Rest | Step::Refuse | Step::Again => {}
            Step::GiveBack => {
                prune::give_back(conn, limits::pages_to_give_back(&self.options.retention, pages))?;
                if database.pages()?.0 == pages {
                    return Ok(Step::Rest);
                }
            }
            Step::Remove { which, before_ms, cause } => {
                let pages = match before_ms {
                    Some(_) => limits::STEP_PAGES,
                    None => limits::pages_to_free(&self.options.retention, pages - free_pages, which),
                };
                let removal = Removal { which, before_ms, cause, pages };
                let removed = prune::remove(conn, rows, destination, removal, now_ms)?;
                log::debug!(count = removed, cause = cause.name(), which:? = which; "rows were removed");
                if removed == 0 {
                    return Ok(Step::Rest);
                }
            }
        }
        // What goes of the sums goes on, whatever else there is to do.
        Ok(if step == Step::Rest && sums_go { Step::Again } else { step })
    }

    fn after_step(&mut self, inbox: &Inbox<Command>, step: Step) {
        self.more_to_do = !matches!(step, Step::Rest | Step::Refuse);
        self.gave_back |= step == Step::GiveBack;
        if self.gave_back && !self.more_to_do {
            // What was given back leaves the file at a checkpoint.
            self.gave_back = false;
            self.next_checkpoint_pages = 1;
        }
        self.shrinking = match step {
            Step::Remove { cause, .. } => matches!(cause, Pruned::Size | Pruned::Unsynced),
            Step::GiveBack | Step::Again => self.shrinking,
            Step::Rest | Step::Refuse => false,
        };
        if step == Step::Refuse {
            let limit = self.options.retention.db_max_bytes >> 20;
            let reason = format!(
                "the database has reached TRACE_DB_MAX_MB={limit} and every row in it waits for the push; \
                 let the push through, or raise the limit"
            );
            self.refuse(inbox, Refusing::FileFull, reason);
        } else if self.refusing == Some(Refusing::FileFull) && step != Step::GiveBack {
            // There is room, or something that may go for it.
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
