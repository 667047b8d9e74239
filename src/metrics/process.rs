//! What the kernel says of this process, from `/proc/self`.

use std::fs;

/// Ticks of a second in `/proc/self/stat`: the kernel shows a hundred on every machine, whatever it counts in.
const TICKS_PER_SECOND: f64 = 100.0;

/// `None` = could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// CPU time used, in user space and for us in the kernel.
    pub cpu_seconds: Option<f64>,
    /// Memory that is there.
    pub resident_bytes: Option<u64>,
    /// Addresses that are mapped.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Files that are open.
    pub open_files: Option<u64>,
    /// How many may be.
    pub open_files_max: Option<u64>,
}

impl Process {
    /// Of ourselves, now.
    pub fn read() -> Process {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        // The directory itself is open while it is read.
        let open_files = fs::read_dir("/proc/self/fd").ok().map(|files| (files.count() as u64).saturating_sub(1));
        Process { open_files, ..Process::of(&text("stat"), &text("status"), &text("limits")) }
    }

    fn of(stat: &str, status: &str, limits: &str) -> Process {
        // The name stands in parentheses, and may have any character in it.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let cpu_seconds = ticks().zip(ticks()).map(|(user, system)| (user + system) as f64 / TICKS_PER_SECOND);
        let number = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        Process {
            cpu_seconds,
            resident_bytes: number("VmRSS:").map(|kb| kb << 10),
            virtual_bytes: number("VmSize:").map(|kb| kb << 10),
            threads: number("Threads:"),
            open_files: None,
            open_files_max: soft.and_then(|rest| rest.split_whitespace().next()?.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_hides_no_field() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 150 25 0 0 20 0 4 0 100 1 1";
        let status = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t4\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024   524288   files\n";
        let wanted = Process {
            cpu_seconds: Some(1.75),
            resident_bytes: Some(1 << 20),
            virtual_bytes: Some(2 << 20),
            threads: Some(4),
            open_files: None,
            open_files_max: Some(1024),
        };
        assert_eq!(Process::of(stat, status, limits), wanted);
        assert_eq!(Process::of("", "", ""), Process::default());
        let read = Process::read();
        assert!(read.cpu_seconds.is_some() && read.open_files.is_some_and(|files| files > 2), "{read:?}");
        assert!(read.resident_bytes < read.virtual_bytes && read.open_files_max.is_some(), "{read:?}");
    }
}
