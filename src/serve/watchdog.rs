//! The watchdog of the writer: tells the log when it has been at one thing for too long, and when that is over. `/health` and
//! `/metrics` look for themselves.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::shutdown::{Token, stops_within};
use crate::stats::{Busy, Stats};

/// Between two looks: a third of what is too long. A look reads one number.
const EVERY: Duration = Duration::from_secs(5);
/// Between two lines about the same.
const AGAIN: Duration = Duration::from_secs(60);

/// Looks until it is time to stop.
pub(super) async fn run(stats: Arc<Stats>, clock: Clock, stop: Token) {
    let mut watchdog = Watchdog::default();
    while !stops_within(&stop, EVERY).await {
        watchdog.look(stats.writer.busy(clock.uptime()));
    }
}

#[derive(Default)]
struct Watchdog {
    /// What the writer was stuck in when it was last seen, and how long when the log was last told.
    stuck: Option<(Busy, Duration)>,
}

/// What the log was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Stuck,
    Over,
}

impl Watchdog {
    fn look(&mut self, now: Busy) -> Option<Told> {
        let before = self.stuck.take();
        let same = before.filter(|(before, _)| (before.at, before.since) == (now.at, now.since));
        if let (Some((before, _)), None) = (before, same)
            && !now.is_stuck()
        {
            // It may have ended at any time since the last look.
            let at_least_ms = before.time.as_millis() as u64;
            log::info!(was_at = before.at.name(), at_least_ms; "the writer goes on");
            return Some(Told::Over);
        }
        if !now.is_stuck() {
            return None;
        }
        match same {
            Some((_, told)) if now.time < told + AGAIN => {
                self.stuck = Some((now, told));
                None
            }
            _ => {
                self.stuck = Some((now, now.time));
                let busy_ms = now.time.as_millis() as u64;
                log::error!(at = now.at.name(), busy_ms; "the writer is stuck: nothing is stored until it goes on");
                Some(Told::Stuck)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Work, WriterStats};

    #[test]
    fn a_stuck_writer_is_told_once_then_once_a_minute_and_once_when_it_goes_on() {
        let (writer, mut watchdog) = (WriterStats::default(), Watchdog::default());
        let at = Duration::from_secs;
        let mut told = Vec::new();
        for second in (0..200).step_by(5) {
            match second {
                20 => writer.begin(Work::Storing, at(18)),
                100 => writer.begin(Work::Checkpoint, at(98)),
                // From one thing it is stuck in to the next: what is over is not worth a line.
                120 => writer.begin(Work::Pruning, at(101)),
                160 => writer.begin(Work::Idle, at(160)),
                _ => {}
            }
            told.extend(watchdog.look(writer.busy(at(second))).map(|told| (second, told)));
        }
        use Told::{Over, Stuck};
        assert_eq!(told, [(35, Stuck), (95, Stuck), (100, Over), (115, Stuck), (120, Stuck), (160, Over)]);
    }
}
