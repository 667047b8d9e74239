//! The limits of storage, each in one line of one function: [`plan`] says what to do next.
//!
//! Pure: sizes and times in, one [`Step`] out. The writer does steps between two batches, as few as keep the file from
//! growing past its limit, so that keeping the limits never holds up the ingest for long.

use std::time::Duration;

use crate::config::RetentionConfig;
use crate::stats::Pruned;

/// The log is checkpointed when it has this many pages (1 MiB).
pub const WAL_CHECKPOINT_PAGES: i64 = 256;
/// Past this the log is kept from starting over by a reader, and we ask it to go.
pub const WAL_PAGES_MAX: i64 = (50 << 20) / PAGE_BYTES as i64;
/// SQLite's page size.
pub const PAGE_BYTES: u64 = 4096;
/// Rows removed by one step: some milliseconds of work.
pub const STEP_ROWS: usize = 500;
/// Pages given back by one step, and those that rows are removed for in one step: 1 MiB.
pub const STEP_PAGES: u64 = 256;
/// Steps of pruning that one full disk may cost of rows that the remote does not have, before the request is refused.
pub const ROOM_STEPS_MAX: usize = 64;
/// How long rows that the remote has are removed for one full disk, before the request is refused: the next probe goes on.
pub const ROOM_TIME_MAX: Duration = Duration::from_secs(2);
/// What must be free besides the ballast before a full disk counts as mended, at least.
pub const ROOM_BYTES: u64 = 512 << 10;
/// Nor has a request to find more free than this part of its volume: it might cost all rows and still not fit.
const ROOM_OF_VOLUME: u64 = 4;
/// Rows younger than this are never removed because the volume is too full: somebody else filled it.
const DISK_SPARES: Duration = Duration::from_secs(24 * 3600);
/// A file at its limit keeps this part of it free (in 1/64), so that what comes next finds room in it and the file does
/// not grow. Twice as much is made free, so that not every commit has to remove something.
const ROOM: u64 = 64;
/// A file of which more than an eighth holds nothing gives it back.
const HOLLOW: u64 = 8;

/// What the limits are held against.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Pages of the file, empty ones included.
    pub pages: u64,
    /// Pages that hold nothing.
    pub free_pages: u64,
    /// What depends on the time and on the volume; `None` when it was looked at a moment ago.
    pub looked: Option<Look>,
    /// Whether sums by the hour are being removed: room comes without a row being lost.
    pub sums_go: bool,
    /// The first of [`ORDER`] of which there are rows; `None` when there is no row at all.
    pub first: Option<Which>,
    /// Whether the last step removed rows because of the size.
    pub shrinking: bool,
}

/// What is looked at once a minute.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How full the volume is, in percent; `None` when nobody can say.
    pub disk_percent: Option<f64>,
    /// The time to measure ages from, Unix ms: never later than what the rows themselves show.
    pub now_ms: i64,
    /// Arrival of the oldest row of traces, events and errors that the remote has, Unix ms; never in
    /// the future.
    pub oldest_event_ms: Option<i64>,
    /// Likewise of samples.
    pub oldest_metric_ms: Option<i64>,
}

/// Which rows a step may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Samples that the remote has.
    SyncedMetrics,
    /// Traces, events and errors that the remote has.
    SyncedEvents,
    /// Rows that the remote will never take.
    DeadLetters,
    /// Samples, whether the remote has them or not.
    AnyMetrics,
    /// All other rows, whether the remote has them or not.
    AnyEvents,
}

/// Who goes first where there must be room: what is missed least.
pub const ORDER: [Which; 5] =
    [Which::SyncedMetrics, Which::SyncedEvents, Which::DeadLetters, Which::AnyMetrics, Which::AnyEvents];

impl Which {
    /// Whether the limits of a file and of a disk may remove these.
    pub fn may_go(self, limits: &RetentionConfig) -> bool {
        self != Which::AnyEvents || limits.drop_oldest
    }

    /// Whether the remote has them all.
    pub fn is_synced(self) -> bool {
        matches!(self, Which::SyncedMetrics | Which::SyncedEvents)
    }

    /// How their removal is counted; `cause` when the remote has them.
    pub fn counted(self, cause: Pruned) -> Pruned {
        if self.is_synced() { cause } else { Pruned::Unsynced }
    }
}

/// What to do next for the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Remove the oldest rows, at most [`STEP_ROWS`].
    Remove {
        /// Of which kind.
        which: Which,
        /// Only those that arrived before, Unix ms; `None` = whenever.
        before_ms: Option<i64>,
        /// How it is counted.
        cause: Pruned,
    },
    /// Give empty pages back to the volume, at most [`STEP_PAGES`].
    GiveBack,
    /// Look again when more of the sums by the hour has gone.
    Again,
    /// The file is full of rows that must not go: refuse new ones.
    Refuse,
}

/// The next step, the most harmless first.
pub fn plan(limits: &RetentionConfig, sizes: &Sizes) -> Step {
    if let Some(look) = &sizes.looked
        && let Some(step) = plan_by_time(limits, sizes, look)
    {
        return step;
    }

    // The file: what the remote has, samples first; then samples; then nothing, or the oldest.
    let limit = pages_max(limits);
    let used = sizes.pages - sizes.free_pages;
    let hollow = sizes.free_pages > (sizes.pages / HOLLOW).max(2 * STEP_PAGES);
    let is_full = used > limit - limit / ROOM;
    if is_full || (sizes.shrinking && used > limit - 2 * (limit / ROOM)) {
        match sizes.first {
            _ if sizes.sums_go => return Step::Again,
            Some(which @ (Which::SyncedMetrics | Which::SyncedEvents)) => {
                return Step::Remove { which, before_ms: None, cause: Pruned::Size };
            }
            Some(which) if is_full && which.may_go(limits) => {
                return Step::Remove { which, before_ms: None, cause: Pruned::Unsynced };
            }
            _ if is_full && !hollow => return Step::Refuse,
            _ => {}
        }
    }
    if sizes.pages > limit || hollow { Step::GiveBack } else { Step::Rest }
}

fn plan_by_time(limits: &RetentionConfig, sizes: &Sizes, look: &Look) -> Option<Step> {
    let aged = |oldest_ms: Option<i64>, keep: Duration| {
        let before_ms = look.now_ms.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        oldest_ms.filter(|oldest| *oldest < before_ms).map(|_| before_ms)
    };
    let remove = |which, before_ms, cause| Some(Step::Remove { which, before_ms: Some(before_ms), cause });

    // Age: by arrival, and only what the remote has.
    if let Some(before_ms) = aged(look.oldest_metric_ms, limits.metrics) {
        return remove(Which::SyncedMetrics, before_ms, Pruned::Age);
    }
    if let Some(before_ms) = aged(look.oldest_event_ms, limits.events) {
        return remove(Which::SyncedEvents, before_ms, Pruned::Age);
    }

    // The volume: only what the remote has, and nothing of the last day.
    if look.disk_percent.is_some_and(|percent| percent > f64::from(limits.disk_max_percent)) {
        if let Some(before_ms) = aged(look.oldest_metric_ms, DISK_SPARES) {
            return remove(Which::SyncedMetrics, before_ms, Pruned::Disk);
        }
        if let Some(before_ms) = aged(look.oldest_event_ms, DISK_SPARES) {
            return remove(Which::SyncedEvents, before_ms, Pruned::Disk);
        }
        if sizes.free_pages > STEP_PAGES {
            return Some(Step::GiveBack);
        }
    }
    None
}

/// Pages that a step should make free because of the size: no more than are wanted, and of rows that exist nowhere else
/// no more than must be.
pub fn pages_to_free(limits: &RetentionConfig, used: u64, which: Which) -> u64 {
    let limit = pages_max(limits);
    let rooms = if which.is_synced() { 2 } else { 1 };
    used.saturating_sub(limit - rooms * (limit / ROOM)).clamp(1, STEP_PAGES)
}

/// Pages that the file may have.
pub fn pages_max(limits: &RetentionConfig) -> u64 {
    limits.db_max_bytes / PAGE_BYTES
}

/// Empty pages that a step should give back. At the limit no more than are past it: the next commit fills the others.
pub fn pages_to_give_back(limits: &RetentionConfig, pages: u64) -> u64 {
    let past = pages.saturating_sub(pages_max(limits));
    if past == 0 { STEP_PAGES } else { past.min(STEP_PAGES) }
}

/// What must be free besides the ballast before so many bytes of events are stored on a full volume of `volume_bytes`:
/// they are written into the log, and then into the file.
pub fn room_bytes(storing_bytes: u64, volume_bytes: u64) -> u64 {
    (ROOM_BYTES + 2 * storing_bytes).min((volume_bytes / ROOM_OF_VOLUME).max(ROOM_BYTES))
}

/// Whether a file of these sizes asks for a step before its next look.
pub fn is_at_limit(limits: &RetentionConfig, pages: u64, used: u64) -> bool {
    let limit = pages_max(limits);
    pages > limit || used > limit - limit / ROOM
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    const NOW: i64 = 1_800_000_000_000;

    fn limits() -> RetentionConfig {
        let day = Duration::from_secs(86_400);
        RetentionConfig {
            events: 7 * day,
            metrics: 2 * day,
            db_max_bytes: 50 << 20,
            disk_max_percent: 80,
            drop_oldest: false,
        }
    }

    fn calm() -> Sizes {
        Sizes {
            pages: 1000,
            free_pages: 0,
            looked: Some(looked()),
            sums_go: false,
            first: Some(Which::SyncedMetrics),
            shrinking: false,
        }
    }

    fn looked() -> Look {
        Look {
            disk_percent: Some(50.0),
            now_ms: NOW,
            oldest_event_ms: Some(NOW - HOUR),
            oldest_metric_ms: Some(NOW - HOUR),
        }
    }

    fn plan_at(look: Look) -> Step {
        plan(&limits(), &Sizes { looked: Some(look), ..calm() })
    }

    #[test]
    fn nothing_is_removed_while_every_limit_is_kept() {
        assert_eq!(plan(&limits(), &calm()), Step::Rest);
    }

    #[test]
    fn rows_go_when_their_time_is_over_samples_sooner() {
        let old = Look { oldest_event_ms: Some(NOW - 3 * DAY), oldest_metric_ms: Some(NOW - 3 * DAY), ..looked() };
        let metrics = Step::Remove { which: Which::SyncedMetrics, before_ms: Some(NOW - 2 * DAY), cause: Pruned::Age };
        assert_eq!(plan_at(old), metrics);
        assert_eq!(plan_at(Look { oldest_metric_ms: None, ..old }), Step::Rest);
        let older = Look { oldest_event_ms: Some(NOW - 8 * DAY), ..looked() };
        let events = Step::Remove { which: Which::SyncedEvents, before_ms: Some(NOW - 7 * DAY), cause: Pruned::Age };
        assert_eq!(plan_at(older), events);
    }

    #[test]
    fn a_full_volume_takes_rows_of_yesterday_and_never_of_today() {
        let young = Look { disk_percent: Some(99.0), ..looked() };
        assert_eq!(plan_at(young), Step::Rest);
        let old = Look { oldest_event_ms: Some(NOW - 2 * DAY), ..young };
        let step = Step::Remove { which: Which::SyncedEvents, before_ms: Some(NOW - DAY), cause: Pruned::Disk };
        assert_eq!(plan_at(old), step);
        assert_eq!(plan_at(Look { disk_percent: Some(80.0), ..old }), Step::Rest);
        assert_eq!(plan(&limits(), &Sizes { free_pages: 300, looked: Some(young), ..calm() }), Step::GiveBack);
    }

    #[test]
    fn a_full_file_takes_samples_first_and_what_the_remote_lacks_last() {
        let full = Sizes { pages: 13_000, ..calm() };
        let size = |which| Step::Remove { which, before_ms: None, cause: Pruned::Size };
        assert_eq!(plan(&limits(), &full), size(Which::SyncedMetrics));
        let first = |which| Sizes { first: Some(which), ..full };
        assert_eq!(plan(&limits(), &first(Which::SyncedEvents)), size(Which::SyncedEvents));
        let last = |which| Step::Remove { which, before_ms: None, cause: Pruned::Unsynced };
        assert_eq!(plan(&limits(), &first(Which::DeadLetters)), last(Which::DeadLetters));
        assert_eq!(plan(&limits(), &first(Which::AnyMetrics)), last(Which::AnyMetrics));
        assert_eq!(plan(&limits(), &first(Which::AnyEvents)), Step::Refuse);
        assert_eq!(plan(&limits(), &Sizes { first: None, ..full }), Step::Refuse);
        let drop_oldest = RetentionConfig { drop_oldest: true, ..limits() };
        assert_eq!(plan(&drop_oldest, &first(Which::AnyEvents)), last(Which::AnyEvents));
        assert_eq!(plan(&drop_oldest, &Sizes { sums_go: true, ..full }), Step::Again, "no row goes while sums do");
    }

    #[test]
    fn a_file_at_its_limit_keeps_room_in_it_and_what_the_remote_lacks_is_not_taken_for_more() {
        let limit = limits().db_max_bytes / PAGE_BYTES;
        let brim = Sizes { pages: limit, free_pages: limit / ROOM, ..calm() };
        assert_eq!(plan(&limits(), &brim), Step::Rest);
        let less = Sizes { free_pages: limit / ROOM - 1, ..brim };
        assert!(matches!(plan(&limits(), &less), Step::Remove { cause: Pruned::Size, .. }));
        assert!(!is_at_limit(&limits(), limit, limit - limit / ROOM));
        assert!(is_at_limit(&limits(), limit, limit - limit / ROOM + 1) && is_at_limit(&limits(), limit + 1, 0));
        let shrinking = Sizes { shrinking: true, ..brim };
        assert!(matches!(plan(&limits(), &shrinking), Step::Remove { cause: Pruned::Size, .. }));
        assert_eq!(plan(&limits(), &Sizes { free_pages: 2 * (limit / ROOM), ..shrinking }), Step::Rest);
        let wanted = |used| pages_to_free(&limits(), used, Which::SyncedEvents);
        assert_eq!((wanted(limit - limit / ROOM), wanted(2 * limit), wanted(0)), (limit / ROOM, STEP_PAGES, 1));
        for which in [Which::AnyMetrics, Which::AnyEvents] {
            let wanted = |used| pages_to_free(&limits(), used, which);
            assert_eq!((wanted(limit - limit / ROOM + 1), wanted(limit)), (1, limit / ROOM), "they exist nowhere else");
        }
        for first in [None, Some(Which::DeadLetters), Some(Which::AnyMetrics), Some(Which::AnyEvents)] {
            assert_eq!(plan(&limits(), &Sizes { first, ..shrinking }), Step::Rest);
        }
    }

    #[test]
    fn a_large_request_finds_more_room_on_a_full_disk_but_not_the_whole_of_it() {
        let volume = 64 << 20;
        assert_eq!(room_bytes(0, volume), ROOM_BYTES);
        assert_eq!(room_bytes(1 << 20, volume), ROOM_BYTES + (2 << 20));
        assert_eq!(room_bytes(8 << 20, volume), volume / ROOM_OF_VOLUME);
        assert_eq!(room_bytes(8 << 20, 1 << 20), ROOM_BYTES);
    }

    #[test]
    fn empty_pages_are_given_back_past_the_limit_and_when_they_are_many() {
        let full = Sizes { pages: 13_000, free_pages: 1000, ..calm() };
        assert_eq!(plan(&limits(), &full), Step::GiveBack);
        let give_back = |pages| pages_to_give_back(&limits(), pages);
        assert_eq!((give_back(12_810), give_back(13_800), give_back(8000)), (10, STEP_PAGES, STEP_PAGES));
        let hollow = Sizes { pages: 8000, free_pages: 1001, ..calm() };
        assert_eq!(plan(&limits(), &hollow), Step::GiveBack);
        assert_eq!(plan(&limits(), &Sizes { free_pages: 1000, ..hollow }), Step::Rest);
        let small = Sizes { pages: 600, free_pages: 512, ..calm() };
        assert_eq!(plan(&limits(), &small), Step::Rest);
        assert_eq!(plan(&limits(), &Sizes { free_pages: 513, ..small }), Step::GiveBack);
    }
}
