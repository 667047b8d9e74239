//! What the writer is at, and since when: told by the writer itself, read by whoever wants to know whether it is stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So long at one thing, and the writer counts as stuck: longer than SQLite itself waits for a lock (10 s), and what is larger
/// is done in steps of some milliseconds, each of which begins anew.
pub const STUCK_AFTER: Duration = Duration::from_secs(15);

/// What the writer may be at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Waiting for work.
    Idle,
    /// Opening the file.
    Opening,
    /// Storing a batch.
    Storing,
    /// Noting what the remote has.
    Confirming,
    /// Looking whether the file is sound.
    Examining,
    /// Looking whether what stood in the way has passed.
    Probing,
    /// Moving the log into the file.
    Checkpoint,
    /// Adding up the day.
    Summing,
    /// Removing what is too old or too much.
    Pruning,
    /// Closing the file.
    Closing,
}

impl Work {
    const ALL: [Work; 10] = [
        Work::Idle,
        Work::Opening,
        Work::Storing,
        Work::Confirming,
        Work::Examining,
        Work::Probing,
        Work::Checkpoint,
        Work::Summing,
        Work::Pruning,
        Work::Closing,
    ];

    /// The word in `/health` and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Work::Idle => "idle",
            Work::Opening => "opening",
            Work::Storing => "storing",
            Work::Confirming => "confirming",
            Work::Examining => "examining",
            Work::Probing => "probing",
            Work::Checkpoint => "checkpoint",
            Work::Summing => "summing",
            Work::Pruning => "pruning",
            Work::Closing => "closing",
        }
    }
}

/// What the writer is at, in one number: milliseconds of uptime, and in the last byte, at what.
#[derive(Debug, Default)]
pub struct WriterStats(AtomicU64);

/// What it was at when somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// At what.
    pub at: Work,
    /// When it began, by [`Clock::uptime`](crate::clock::Clock::uptime).
    pub since: Duration,
    /// How long that is now.
    pub time: Duration,
}

impl Busy {
    /// Whether it is at it for too long.
    pub fn is_stuck(&self) -> bool {
        self.time >= STUCK_AFTER
    }
}

impl WriterStats {
    /// The writer begins something.
    pub fn begin(&self, work: Work, uptime: Duration) {
        self.0.store((uptime.as_millis() as u64) << 8 | work as u64, Ordering::Relaxed);
    }

    /// What it is at; nothing for long when it is idle.
    pub fn busy(&self, uptime: Duration) -> Busy {
        let packed = self.0.load(Ordering::Relaxed);
        let at = Work::ALL[(packed & 0xff) as usize % Work::ALL.len()];
        let since = Duration::from_millis(packed >> 8);
        let time = if at == Work::Idle { Duration::ZERO } else { uptime.saturating_sub(since) };
        Busy { at, since, time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_takes_time_and_too_much_of_it_is_stuck() {
        let writer = WriterStats::default();
        let at = Duration::from_secs;
        assert_eq!((writer.busy(at(100)).at, writer.busy(at(100)).is_stuck()), (Work::Idle, false));
        for work in Work::ALL {
            writer.begin(work, at(100));
            let busy = writer.busy(at(114));
            let time = if work == Work::Idle { at(0) } else { at(14) };
            assert_eq!((busy, busy.is_stuck()), (Busy { at: work, since: at(100), time }, false));
            assert_eq!(writer.busy(at(115)).is_stuck(), work != Work::Idle, "{work:?}");
            assert_eq!(writer.busy(at(99)).time, at(0), "a clock that is read on another thread may be behind");
        }
    }
}
