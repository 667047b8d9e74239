//! How long to wait after a push that failed. Pure.

use std::time::Duration;

/// Exponential backoff with full jitter: a wait anywhere between `least` and a ceiling that
/// doubles with every failure up to `most`, so that a fleet whose remote comes back does not come
/// back with it all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The shortest wait.
    pub least: Duration,
    /// The highest ceiling.
    pub most: Duration,
}

impl Default for Backoff {
    /// 1 s to 5 min: soon after a hiccup, and no burden on a remote that is down for days.
    fn default() -> Backoff {
        Backoff { least: Duration::from_secs(1), most: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The wait after `failures_in_row` failures, at least `after` if the receiver named one.
    /// `random` is anywhere from 0 to 1.
    pub fn wait(&self, failures_in_row: u32, after: Option<Duration>, random: f64) -> Duration {
        let doubled = 2u32.saturating_pow(failures_in_row);
        let ceiling = self.least.saturating_mul(doubled).min(self.most);
        let wait = self.least + ceiling.saturating_sub(self.least).mul_f64(random.clamp(0.0, 1.0));
        wait.max(after.unwrap_or(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_five_minutes() {
        let ceilings: Vec<u64> = (0..12).map(|n| Backoff::default().wait(n, None, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(Backoff::default().wait(u32::MAX, None, 1.0), Duration::from_secs(300));
    }

    #[test]
    fn the_wait_is_spread_over_all_of_it() {
        for n in [1, 5, 50] {
            assert_eq!(Backoff::default().wait(n, None, 0.0), Duration::from_secs(1));
        }
        assert_eq!(Backoff::default().wait(2, None, 0.5), Duration::from_millis(2500));
    }

    #[test]
    fn what_the_receiver_asks_for_is_a_minimum() {
        let after = Some(Duration::from_secs(60));
        assert_eq!(Backoff::default().wait(1, after, 0.3), Duration::from_secs(60));
        assert_eq!(Backoff::default().wait(9, after, 1.0), Duration::from_secs(300));
    }
}
