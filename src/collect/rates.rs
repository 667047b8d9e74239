//! From two readings of a counter to what happened between them. Pure.

use std::path::PathBuf;
use std::time::Duration;

use super::proc::Interface;

/// Whose a counter is: a cgroup's, or (by default) the machine's. Counters of two owners cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Owner {
    /// Directory of the cgroup.
    pub(super) dir: PathBuf,
    /// Tells a group from one that was made anew at the same place.
    pub(super) inode: u64,
}

/// CPU time of the machine or of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CpuTimes {
    /// Used so far, microseconds.
    pub(super) used_us: i64,
    /// Kept waiting by the quota so far, microseconds.
    pub(super) throttled_us: Option<i64>,
}

/// How far a counter rose. `None` when it went back: it was made anew, and a difference across the two
/// would be a lie.
pub(super) fn rise(before: i64, now: i64) -> Option<i64> {
    now.checked_sub(before).filter(|difference| *difference >= 0)
}

/// Cores that were busy on average.
pub(super) fn cores_used(before_us: i64, now_us: i64, interval: Duration) -> Option<f64> {
    let used_us = rise(before_us, now_us)?;
    (!interval.is_zero()).then(|| used_us as f64 / (interval.as_secs_f64() * 1e6))
}

/// A counter, and whose it is: two of them cannot be compared when those differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counter<T = i64> {
    pub(super) value: T,
    pub(super) of: Owner,
}

impl<T> Counter<T> {
    /// What `difference` makes of two counters of one owner.
    pub(super) fn since<R>(
        now: Option<&Counter<T>>,
        before: Option<&Counter<T>>,
        difference: impl FnOnce(&T, &T) -> Option<R>,
    ) -> Option<R> {
        let (now, before) = now.zip(before).filter(|(now, before)| now.of == before.of)?;
        difference(&before.value, &now.value)
    }
}

/// What all interfaces together received and sent between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Traffic {
    pub(super) rx_bytes: i64,
    pub(super) rx_errors: i64,
    pub(super) tx_bytes: i64,
    pub(super) tx_errors: i64,
}

/// What went through the interfaces. One that is new counts from its start; `None` when one has gone or went back.
pub(super) fn traffic(before: &[Interface], now: &[Interface]) -> Option<Traffic> {
    let gone = before.iter().any(|old| now.iter().all(|new| new.name != old.name));
    if gone {
        return None;
    }
    now.iter().try_fold(Traffic::default(), |sum, new| {
        let old = before.iter().find(|old| old.name == new.name);
        let risen = |sum: i64, of: fn(&Interface) -> i64| sum.checked_add(rise(old.map_or(0, of), of(new))?);
        Some(Traffic {
            rx_bytes: risen(sum.rx_bytes, |i| i.rx_bytes)?,
            rx_errors: risen(sum.rx_errors, |i| i.rx_errors)?,
            tx_bytes: risen(sum.tx_bytes, |i| i.tx_bytes)?,
            tx_errors: risen(sum.tx_errors, |i| i.tx_errors)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, rx_bytes: i64, tx_bytes: i64) -> Interface {
        Interface { name: name.into(), rx_bytes, rx_errors: rx_bytes / 10, tx_bytes, tx_errors: 0 }
    }

    #[test]
    fn counters_of_two_owners_are_not_compared() {
        let counter = |value, dir: &str| Counter { value, of: Owner { dir: dir.into(), inode: 7 } };
        let since = |before, now| Counter::since(Some(&now), Some(&before), |a, b| rise(*a, *b));
        assert_eq!(since(counter(5, "/a"), counter(7, "/a")), Some(2));
        assert_eq!(since(counter(5, "/a"), counter(7, "/b")), None);
        let anew = Counter { value: 7, of: Owner { dir: "/a".into(), inode: 8 } };
        assert_eq!(since(counter(5, "/a"), anew), None);
        assert_eq!(since(counter(7, "/a"), counter(5, "/a")), None);
        assert_eq!(Counter::since(Some(&counter(5, "")), None, |a, b| rise(*a, *b)), None);
    }

    #[test]
    fn cores_are_time_used_over_time_gone() {
        assert_eq!(cores_used(1_000_000, 8_500_000, Duration::from_secs(15)), Some(0.5));
        assert_eq!(cores_used(5, 5, Duration::from_secs(15)), Some(0.0));
        assert_eq!(cores_used(6, 5, Duration::from_secs(15)), None);
        assert_eq!(cores_used(5, 6, Duration::ZERO), None);
    }

    #[test]
    fn traffic_is_told_only_when_every_interface_can_be_compared() {
        let before = [interface("eth0", 100, 10), interface("eth1", 50, 5)];
        let grown = [interface("eth0", 110, 11), interface("eth1", 50, 7), interface("wg0", 3, 4)];
        let expected = Traffic { rx_bytes: 13, rx_errors: 1, tx_bytes: 7, tx_errors: 0 };
        assert_eq!(traffic(&before, &grown), Some(expected));
        let one_gone = [interface("eth0", 1000, 1000)];
        assert_eq!(traffic(&before, &one_gone), None);
        let one_reset = [interface("eth0", 1000, 1000), interface("eth1", 0, 0)];
        assert_eq!(traffic(&before, &one_reset), None);
        assert_eq!(traffic(&[interface("a", 0, 0)], &[interface("a", i64::MAX, 0), interface("b", 1, 0)]), None);
    }
}
