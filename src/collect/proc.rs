//! The texts of /proc that are of the machine. Pure.

use super::process::TICK_US;

const KIB: i64 = 1024;

/// CPU of the whole machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MachineCpu {
    /// Time that all cores together were busy since the start, microseconds. Stolen time is not ours.
    pub(super) used_us: i64,
    /// Time that the machine below took from all cores together, microseconds. `None` where it is not told.
    pub(super) stolen_us: Option<i64>,
    /// Cores that are on.
    pub(super) cores: f64,
}

/// Memory, of the machine or of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Memory {
    /// In use.
    pub(super) used_bytes: Option<i64>,
    /// Part of it that can be reclaimed at once.
    pub(super) reclaimable_bytes: Option<i64>,
    /// What may be used.
    pub(super) limit_bytes: Option<i64>,
    /// Anonymous memory.
    pub(super) rss_bytes: Option<i64>,
    /// Swap in use.
    pub(super) swap_bytes: Option<i64>,
}

/// Counters of one network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: Box<str>,
    pub(super) rx_bytes: i64,
    pub(super) rx_errors: i64,
    pub(super) tx_bytes: i64,
    pub(super) tx_errors: i64,
}

/// Reads /proc/stat.
pub(super) fn machine_cpu(text: &str) -> Option<MachineCpu> {
    let total = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    // user nice system idle iowait irq softirq; guest time is part of user.
    let mut fields = total.split_ascii_whitespace();
    let mut next = || count(fields.next()?);
    let (user, nice, system, _idle, _iowait, irq, softirq) =
        (next()?, next()?, next()?, next()?, next()?, next()?, next()?);
    let stolen_us = next().and_then(|ticks| ticks.checked_mul(TICK_US));
    let ticks = [user, nice, system, irq, softirq].into_iter().try_fold(0i64, i64::checked_add)?;
    let is_core =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let cores = text.lines().filter(is_core).count();
    (cores > 0).then_some(MachineCpu { used_us: ticks.checked_mul(TICK_US)?, stolen_us, cores: cores as f64 })
}

/// Reads /proc/meminfo. What is in use is what is not available, so nothing of it can be reclaimed.
pub(super) fn machine_memory(text: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        count(value.split_ascii_whitespace().next()?)?.checked_mul(KIB)
    };
    let difference = |total: Option<i64>, part: Option<i64>| Some(total?.checked_sub(part?)?.max(0));
    let limit_bytes = bytes("MemTotal")?;
    let used_bytes = difference(Some(limit_bytes), bytes("MemAvailable"));
    Some(Memory {
        used_bytes,
        reclaimable_bytes: used_bytes.map(|_| 0),
        limit_bytes: Some(limit_bytes),
        rss_bytes: bytes("AnonPages"),
        swap_bytes: difference(bytes("SwapTotal"), bytes("SwapFree")),
    })
}

/// Reads /proc/net/dev, without the loopback. `None` when the counters of an interface cannot be read. Where there is a
/// device (`is_device`), only those count: what goes through bridges, tunnels and the ends of containers goes through them
/// too. In a container there is none.
pub(super) fn interfaces(text: &str, is_device: impl Fn(&str) -> bool) -> Option<Vec<Interface>> {
    let read = |(name, counters): (&str, &str)| {
        // bytes packets errs drop fifo frame compressed multicast, and for what was sent the same again.
        let mut counters = counters.split_ascii_whitespace();
        let rx_bytes = count(counters.next()?)?;
        let rx_errors = count(counters.nth(1)?)?;
        let tx_bytes = count(counters.nth(5)?)?;
        let tx_errors = count(counters.nth(1)?)?;
        Some(Interface { name: name.trim().into(), rx_bytes, rx_errors, tx_bytes, tx_errors })
    };
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let all: Vec<Interface> = lines.filter(|(name, _)| name.trim() != "lo").map(read).collect::<Option<_>>()?;
    let devices: Vec<Interface> = all.iter().filter(|interface| is_device(&interface.name)).cloned().collect();
    Some(if devices.is_empty() { all } else { devices })
}

/// Reads /proc/vmstat: processes killed for want of memory since the start of the machine (Linux 4.13 and later).
pub(super) fn oom_kills(text: &str) -> Option<i64> {
    keyed(text, "oom_kill")
}

/// Reads /proc/loadavg: the load of one minute.
pub(super) fn load_1m(text: &str) -> Option<f64> {
    let load: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

/// The value of a key in a text of `key value` lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<i64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ').and_then(count))
}

/// A counter of the kernel. `None` if it is none, or negative, or past what a column holds.
pub(super) fn count(text: &str) -> Option<i64> {
    text.parse().ok().filter(|n| *n >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_cpu_is_what_its_cores_did_without_idling_and_stealing() {
        let text = "cpu  100 10 50 9000 800 7 3 999 55 0\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 5\nctxt 1\n";
        assert_eq!(machine_cpu(text), Some(MachineCpu { used_us: 1_700_000, stolen_us: Some(9_990_000), cores: 2.0 }));
        for text in ["", "cpu 1 2 3\ncpu0 1\n", "cpu  1 2 3 4 5 6 7\n", "cpu  -1 2 3 4 5 6 7\ncpu0 1\n"] {
            assert_eq!(machine_cpu(text), None, "{text}");
        }
    }

    #[test]
    fn the_machines_memory_in_use_is_what_is_not_available() {
        let text = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable:  600 kB\nAnonPages: 200 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n";
        let expected = Memory {
            used_bytes: Some(400 * KIB),
            reclaimable_bytes: Some(0),
            limit_bytes: Some(1000 * KIB),
            rss_bytes: Some(200 * KIB),
            swap_bytes: Some(30 * KIB),
        };
        assert_eq!(machine_memory(text), Some(expected));
        assert_eq!(
            machine_memory("MemTotal: 5 kB\n").map(|m| (m.used_bytes, m.limit_bytes)),
            Some((None, Some(5 * KIB)))
        );
        assert_eq!(machine_memory("MemTotal: 99999999999999999999 kB\n"), None);
    }

    #[test]
    fn interfaces_are_read_without_the_loopback() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets|bytes packets\n\
                    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0:100 1 2 0 0 0 0 0 20 1 3 0 0 0 0 0\n";
        let eth0 = Interface { name: "eth0".into(), rx_bytes: 100, rx_errors: 2, tx_bytes: 20, tx_errors: 3 };
        let none = |_: &str| false;
        assert_eq!(interfaces(text, none), Some(vec![eth0.clone()]));
        assert_eq!(interfaces("", none), Some(vec![]));
        assert_eq!(interfaces(&format!("{text} eth1: 1 2\n"), none), None);
        let with_bridge = format!("{text}  docker0:9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n");
        assert_eq!(interfaces(&with_bridge, |name| name == "eth0"), Some(vec![eth0]));
        assert_eq!(interfaces(&with_bridge, none).map(|all| all.len()), Some(2));
    }

    #[test]
    fn a_key_is_found_by_its_whole_name() {
        assert_eq!(keyed("anon_thp 1\nanon 2\nfile 3\n", "anon"), Some(2));
        assert_eq!(keyed("anon x\n", "anon"), None);
    }

    #[test]
    fn a_load_is_a_number_of_at_least_zero() {
        assert_eq!(load_1m("0.45 1.00 2.00 2/97 1\n"), Some(0.45));
        for text in ["", "-1 0", "NaN", "inf", "x"] {
            assert_eq!(load_1m(text), None, "{text}");
        }
    }
}
