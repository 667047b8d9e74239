//! The limits of storage, each in one line of one function: [`plan`] says what to remove next.
//!
//! Pure: sizes and times in, one [`Step`] out. The writer does one step between two batches, so
//! that keeping the limits never holds up the ingest for long.

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
/// Pages given back by one step.
pub const STEP_PAGES: u64 = 256;
/// Rows younger than this are never removed because the volume is full: somebody else filled it.
const DISK_SPARES: Duration = Duration::from_secs(24 * 3600);
/// After the limit of the file was reached, it is brought this far below (in 1/64), so that not
/// every commit has to remove something.
const SIZE_SLACK: u64 = 64;
/// A file of which more than a quarter holds nothing gives it back.
const HOLLOW: u64 = 4;

/// What the limits are held against.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Pages of the file, empty ones included.
    pub pages: u64,
    /// Pages that hold nothing.
    pub free_pages: u64,
    /// How full the volume is, in percent; `None` when nobody can say.
    pub disk_percent: Option<f64>,
    /// The time to measure ages from, Unix ms: never later than what the rows themselves show.
    pub now_ms: i64,
    /// Arrival of the oldest row of traces, events and errors that the remote has, Unix ms; never in
    /// the future.
    pub oldest_event_ms: Option<i64>,
    /// Likewise of samples.
    pub oldest_metric_ms: Option<i64>,
    /// Whether there are traces, events or errors that the remote has.
    pub synced_events: bool,
    /// Whether there are samples that the remote has.
    pub synced_metrics: bool,
    /// Whether there are samples that the remote does not have.
    pub unsynced_metrics: bool,
    /// Whether there are other rows that the remote does not have.
    pub unsynced_events: bool,
    /// Whether the file was over its limit at the step before.
    pub shrinking: bool,
}

/// Which rows a step may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Samples that the remote has.
    SyncedMetrics,
    /// Traces, events and errors that the remote has.
    SyncedEvents,
    /// Samples, whether the remote has them or not.
    AnyMetrics,
    /// All rows, whether the remote has them or not.
    AnyEvents,
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
    /// The file is full of rows that must not go: refuse new ones.
    Refuse,
}

/// The next step, the most harmless first.
pub fn plan(limits: &RetentionConfig, sizes: &Sizes) -> Step {
    let aged = |oldest_ms: Option<i64>, keep: Duration| {
        let before_ms = sizes.now_ms - i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        oldest_ms.filter(|oldest| *oldest < before_ms).map(|_| before_ms)
    };
    let remove = |which, before_ms, cause| Step::Remove { which, before_ms, cause };

    // Age: by arrival, and only what the remote has.
    if let Some(before_ms) = aged(sizes.oldest_metric_ms, limits.metrics) {
        return remove(Which::SyncedMetrics, Some(before_ms), Pruned::Age);
    }
    if let Some(before_ms) = aged(sizes.oldest_event_ms, limits.events) {
        return remove(Which::SyncedEvents, Some(before_ms), Pruned::Age);
    }

    // The volume: only what the remote has, and nothing of the last day.
    if sizes.disk_percent.is_some_and(|percent| percent > f64::from(limits.disk_max_percent)) {
        if let Some(before_ms) = aged(sizes.oldest_metric_ms, DISK_SPARES) {
            return remove(Which::SyncedMetrics, Some(before_ms), Pruned::Disk);
        }
        if let Some(before_ms) = aged(sizes.oldest_event_ms, DISK_SPARES) {
            return remove(Which::SyncedEvents, Some(before_ms), Pruned::Disk);
        }
        if sizes.free_pages > STEP_PAGES {
            return Step::GiveBack;
        }
    }

    // The file: what the remote has, samples first; then samples; then nothing, or the oldest.
    let limit = limits.db_max_bytes / PAGE_BYTES;
    let target = if sizes.shrinking { limit - limit / SIZE_SLACK } else { limit };
    if sizes.pages <= target {
        let hollow = sizes.free_pages > (sizes.pages / HOLLOW).max(4 * STEP_PAGES);
        return if hollow { Step::GiveBack } else { Step::Rest };
    }
    let used = sizes.pages - sizes.free_pages;
    if used <= target {
        return Step::GiveBack;
    }
    if sizes.synced_metrics {
        remove(Which::SyncedMetrics, None, Pruned::Size)
    } else if sizes.synced_events {
        remove(Which::SyncedEvents, None, Pruned::Size)
    } else if sizes.unsynced_metrics {
        remove(Which::AnyMetrics, None, Pruned::Unsynced)
    } else if limits.drop_oldest && sizes.unsynced_events {
        remove(Which::AnyEvents, None, Pruned::Unsynced)
    } else {
        Step::Refuse
    }
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
            disk_percent: Some(50.0),
            now_ms: NOW,
            oldest_event_ms: Some(NOW - HOUR),
            oldest_metric_ms: Some(NOW - HOUR),
            synced_events: true,
            synced_metrics: true,
            unsynced_metrics: false,
            unsynced_events: false,
            shrinking: false,
        }
    }

    #[test]
    fn nothing_is_removed_while_every_limit_is_kept() {
        assert_eq!(plan(&limits(), &calm()), Step::Rest);
    }

    #[test]
    fn rows_go_when_their_time_is_over_samples_sooner() {
        let old = Sizes { oldest_event_ms: Some(NOW - 3 * DAY), oldest_metric_ms: Some(NOW - 3 * DAY), ..calm() };
        let metrics = Step::Remove { which: Which::SyncedMetrics, before_ms: Some(NOW - 2 * DAY), cause: Pruned::Age };
        assert_eq!(plan(&limits(), &old), metrics);
        let older = Sizes { oldest_event_ms: Some(NOW - 8 * DAY), ..calm() };
        let events = Step::Remove { which: Which::SyncedEvents, before_ms: Some(NOW - 7 * DAY), cause: Pruned::Age };
        assert_eq!(plan(&limits(), &older), events);
    }

    #[test]
    fn a_full_volume_takes_rows_of_yesterday_and_never_of_today() {
        let young = Sizes { disk_percent: Some(99.0), ..calm() };
        assert_eq!(plan(&limits(), &young), Step::Rest);
        let old = Sizes { oldest_event_ms: Some(NOW - 2 * DAY), ..young };
        let step = Step::Remove { which: Which::SyncedEvents, before_ms: Some(NOW - DAY), cause: Pruned::Disk };
        assert_eq!(plan(&limits(), &old), step);
        assert_eq!(plan(&limits(), &Sizes { free_pages: 300, ..young }), Step::GiveBack);
    }

    #[test]
    fn a_full_file_takes_samples_first_and_what_the_remote_lacks_last() {
        let full = Sizes { pages: 13_000, ..calm() };
        let size = |which| Step::Remove { which, before_ms: None, cause: Pruned::Size };
        assert_eq!(plan(&limits(), &full), size(Which::SyncedMetrics));
        let no_metrics = Sizes { synced_metrics: false, ..full };
        assert_eq!(plan(&limits(), &no_metrics), size(Which::SyncedEvents));
        let unsynced = Sizes { synced_events: false, unsynced_metrics: true, unsynced_events: true, ..no_metrics };
        let last = |which| Step::Remove { which, before_ms: None, cause: Pruned::Unsynced };
        assert_eq!(plan(&limits(), &unsynced), last(Which::AnyMetrics));
        let only_events = Sizes { unsynced_metrics: false, ..unsynced };
        assert_eq!(plan(&limits(), &only_events), Step::Refuse);
        let drop_oldest = RetentionConfig { drop_oldest: true, ..limits() };
        assert_eq!(plan(&drop_oldest, &only_events), last(Which::AnyEvents));
    }

    #[test]
    fn empty_pages_are_given_back_before_more_rows_go() {
        let full = Sizes { pages: 13_000, free_pages: 1000, ..calm() };
        assert_eq!(plan(&limits(), &full), Step::GiveBack);
        let below = Sizes { pages: 12_700, free_pages: 0, shrinking: true, ..calm() };
        assert!(matches!(plan(&limits(), &below), Step::Remove { .. }), "a shrinking file goes below its limit");
        assert_eq!(plan(&limits(), &Sizes { shrinking: false, ..below }), Step::Rest);
        let hollow = Sizes { pages: 8000, free_pages: 2500, ..calm() };
        assert_eq!(plan(&limits(), &hollow), Step::GiveBack);
        assert_eq!(plan(&limits(), &Sizes { free_pages: 1500, ..hollow }), Step::Rest);
    }
}
