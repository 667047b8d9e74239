//! The time, as an argument: [`Clock`] is real in the program and set by hand in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall time and time since the start. Cheap to clone; clones of a clock set by hand share its time.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    hand: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    pub fn real() -> Clock {
        Clock { start: Instant::now(), hand: None }
    }

    /// A clock that stands at `now_ms`, Unix milliseconds, until it is set again.
    pub fn by_hand(now_ms: i64) -> Clock {
        Clock { start: Instant::now(), hand: Some(Arc::new(AtomicI64::new(now_ms))) }
    }

    /// Sets a clock made by [`Clock::by_hand`]; the machine's clock stays as it is.
    pub fn set(&self, now_ms: i64) {
        if let Some(hand) = &self.hand {
            hand.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Wall time, Unix milliseconds UTC. It may jump.
    pub fn now_ms(&self) -> i64 {
        match &self.hand {
            Some(hand) => hand.load(Ordering::Relaxed),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }

    /// Time since this clock was made. It never goes back.
    pub fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}
