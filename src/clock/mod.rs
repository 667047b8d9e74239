//! The time, as an argument: [`Clock`] is real in the program and set by hand in tests.

mod rfc3339;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use rfc3339::{TAKEN_MS, parse_rfc3339};

/// Wall time and time since the start. Cheap to clone; clones of a clock set by hand share its time.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Real { start: Instant },
    Hand { wall_ms: Arc<AtomicI64>, uptime_ms: Arc<AtomicI64> },
}

impl Clock {
    /// The machine's clock.
    pub fn real() -> Clock {
        Clock(Kind::Real { start: Instant::now() })
    }

    /// A clock that stands at `now_ms`, Unix milliseconds, until it is moved.
    pub fn by_hand(now_ms: i64) -> Clock {
        Clock(Kind::Hand { wall_ms: Arc::new(AtomicI64::new(now_ms)), uptime_ms: Arc::default() })
    }

    /// Lets time pass on a clock made by [`Clock::by_hand`]; the machine's clock passes by itself.
    pub fn advance(&self, time: Duration) {
        if let Kind::Hand { wall_ms, uptime_ms } = &self.0 {
            let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            wall_ms.fetch_add(ms, Ordering::Relaxed);
            uptime_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Sets the wall time of a clock made by [`Clock::by_hand`] without any time passing.
    pub fn jump(&self, now_ms: i64) {
        if let Kind::Hand { wall_ms, .. } = &self.0 {
            wall_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Wall time, Unix milliseconds UTC. It may jump.
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Kind::Hand { wall_ms, .. } => wall_ms.load(Ordering::Relaxed),
            Kind::Real { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }

    /// Time since this clock was made. It never goes back.
    pub fn uptime(&self) -> Duration {
        match &self.0 {
            Kind::Real { start } => start.elapsed(),
            Kind::Hand { uptime_ms, .. } => Duration::from_millis(uptime_ms.load(Ordering::Relaxed).max(0) as u64),
        }
    }
}

/// `2026-11-23T18:09:10.123Z`: RFC 3339 in UTC, as logs and `/health` show times.
pub fn rfc3339_utc(unix_ms: i64) -> String {
    let (y, mo, d, h, mi, s) = civil(unix_ms);
    format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{:03}Z", unix_ms.rem_euclid(1000))
}

/// `2026-11-23`: the day in UTC.
pub fn day_utc(unix_ms: i64) -> String {
    let (y, mo, d, ..) = civil(unix_ms);
    format!("{y:04}-{mo:02}-{d:02}")
}

/// Start of the day in UTC that this moment is in, Unix milliseconds.
pub fn day_start(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS)
}

/// Start of the hour that this moment is in, Unix milliseconds.
pub fn hour_start(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(HOUR_MS).saturating_mul(HOUR_MS)
}

/// Milliseconds of a day, as UTC has them.
pub const DAY_MS: i64 = 86_400_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;

/// `20261123T180910Z`: a time that may stand in a file name.
pub fn compact_utc(unix_ms: i64) -> String {
    let (y, mo, d, h, mi, s) = civil(unix_ms);
    format!("{y:04}{mo:02}{d:02}T{h:02}{mi:02}{s:02}Z")
}

/// Year, month, day, hour, minute, second in UTC (Howard Hinnant's `civil_from_days`).
fn civil(unix_ms: i64) -> (i64, i64, i64, i64, i64, i64) {
    let seconds = unix_ms.div_euclid(1000);
    let second_of_day = seconds.rem_euclid(86_400);
    // Days since 1 March of year 0, so that the leap day is the last of its year.
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day, second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        for (ms, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_457_350_123, "2026-11-23T18:09:10.123Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339_utc(ms), shown);
        }
        assert_eq!(compact_utc(1_795_457_350_123), "20261123T180910Z");
        assert_eq!(day_utc(1_795_457_350_123), "2026-11-23");
        assert_eq!((day_start(1_795_457_350_123), day_start(-1)), (1_795_392_000_000, -DAY_MS));
    }
}
