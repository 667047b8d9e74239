//! When a lane may be tried again. Pure.
//!
//! A failure now and then is nothing. After [`FAILURES_MAX`] in a row the remote is down, and at the first answer that says
//! so the configuration is wrong: then the breaker is open, and all that goes out is one small batch from time to time.

use std::time::Duration;

use super::backoff::Backoff;
use crate::stats::Circuit;

/// The breaker of one lane. Times are uptimes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    misconfigured: u32,
    due: Duration,
}

/// So many failures in a row are an outage.
pub const FAILURES_MAX: u32 = 3;

/// The waits while the configuration is wrong: soon at first, because a receiver that is being deployed looks like that
/// too, and then rarely, because somebody has to come and mend it.
pub const MISCONFIGURED: Backoff = Backoff { least: Duration::from_secs(5), most: Duration::from_secs(900) };

impl Breaker {
    /// When the lane may be tried.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Whether all rows may go, or one small batch at most.
    pub fn is_closed(&self) -> bool {
        self.misconfigured == 0 && self.failures < FAILURES_MAX
    }

    /// What it lets through at this time.
    pub fn circuit(&self, now: Duration) -> Circuit {
        match self.is_closed() {
            true => Circuit::Closed,
            false if now < self.due => Circuit::Open,
            false => Circuit::HalfOpen,
        }
    }

    /// How often it failed since it last worked.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A batch was confirmed, or there is nothing to send.
    pub fn worked(&mut self) {
        *self = Breaker::default();
    }

    /// It failed: the next time is after a wait, at least `after`. `random` is anywhere from 0 to 1.
    pub fn failed(&mut self, now: Duration, backoff: &Backoff, after: Option<Duration>, random: f64) {
        self.failures = self.failures.saturating_add(1);
        self.misconfigured = 0;
        self.due = now + backoff.wait(self.failures, after, random);
    }

    /// The answer said that the configuration is wrong.
    pub fn misconfigured(&mut self, now: Duration, backoff: &Backoff, after: Option<Duration>, random: f64) {
        self.failures = self.failures.saturating_add(1);
        self.misconfigured = self.misconfigured.saturating_add(1);
        self.due = now + backoff.wait(self.misconfigured, after, random);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_after_three_failures_and_lets_one_batch_through_when_it_is_time() {
        let mut breaker = Breaker::default();
        for failures in 1..=4 {
            breaker.failed(SECOND, &Backoff::default(), None, 1.0);
            assert_eq!(breaker.is_closed(), failures < FAILURES_MAX);
        }
        assert_eq!(breaker.due(), SECOND + Duration::from_secs(16));
        assert_eq!(breaker.circuit(SECOND), Circuit::Open);
        assert_eq!(breaker.circuit(breaker.due()), Circuit::HalfOpen);
        breaker.worked();
        assert_eq!((breaker.circuit(SECOND), breaker.due()), (Circuit::Closed, Duration::ZERO));
    }

    #[test]
    fn a_wrong_configuration_opens_it_at_once_and_is_tried_ever_more_rarely() {
        let mut breaker = Breaker::default();
        let mut waits = Vec::new();
        for _ in 0..10 {
            breaker.misconfigured(SECOND, &MISCONFIGURED, None, 1.0);
            assert!(!breaker.is_closed());
            waits.push((breaker.due() - SECOND).as_secs());
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 900, 900, 900]);
        breaker.failed(SECOND, &Backoff::default(), Some(30 * SECOND), 0.0);
        assert_eq!(breaker.due(), 31 * SECOND);
        assert!(!breaker.is_closed(), "so many failures are an outage, whatever they were");
    }
}
