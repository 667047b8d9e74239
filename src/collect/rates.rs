//! From two readings of a counter to what happened between them. Pure.

use std::path::PathBuf;
use std::time::Duration;

use super::proc::Interface;

/// CPU time of the machine or of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CpuCounters {
    /// Used so far, microseconds.
    pub(super) used_us: i64,
    /// Kept waiting by the quota so far, microseconds.
    pub(super) throttled_us: Option<i64>,
    /// Directory of the cgroup; empty for the machine. Counters of two of them cannot be compared.
    pub(super) of: PathBuf,
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

/// Bytes received and sent by all interfaces. One that is new counts from its start; `None` when one has gone or
/// went back.
pub(super) fn network(before: &[Interface], now: &[Interface]) -> Option<(i64, i64)> {
    let gone = before.iter().any(|old| now.iter().all(|new| new.name != old.name));
    if gone {
        return None;
    }
    now.iter().try_fold((0i64, 0i64), |(rx, tx), new| {
        let old = before.iter().find(|old| old.name == new.name);
        let (old_rx, old_tx) = old.map_or((0, 0), |old| (old.rx_bytes, old.tx_bytes));
        Some((rx.checked_add(rise(old_rx, new.rx_bytes)?)?, tx.checked_add(rise(old_tx, new.tx_bytes)?)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, rx_bytes: i64, tx_bytes: i64) -> Interface {
        Interface { name: name.into(), rx_bytes, tx_bytes }
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
        assert_eq!(network(&before, &grown), Some((13, 7)));
        let one_gone = [interface("eth0", 1000, 1000)];
        assert_eq!(network(&before, &one_gone), None);
        let one_reset = [interface("eth0", 1000, 1000), interface("eth1", 0, 0)];
        assert_eq!(network(&before, &one_reset), None);
        assert_eq!(network(&[interface("a", 0, 0)], &[interface("a", i64::MAX, 0), interface("b", 1, 0)]), None);
    }
}
