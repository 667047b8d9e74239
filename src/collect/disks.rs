//! Bytes read from and written to disks, of a cgroup or of the machine. Pure.

use super::proc::count;

/// The kernel counts in sectors of this size, whatever the disk's own are.
const SECTOR_BYTES: i64 = 512;

/// Bytes so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Transferred {
    pub(super) read_bytes: i64,
    pub(super) written_bytes: i64,
}

impl Transferred {
    fn and(self, read_bytes: i64, written_bytes: i64) -> Option<Transferred> {
        Some(Transferred {
            read_bytes: self.read_bytes.checked_add(read_bytes)?,
            written_bytes: self.written_bytes.checked_add(written_bytes)?,
        })
    }
}

/// Reads io.stat of version 2: `8:0 rbytes=1 wbytes=2 rios=3 ...`, a line a device. A device of which nothing is said
/// (`8:0` alone, as some kernels write) counts nothing.
pub(super) fn io_stat(text: &str) -> Option<Transferred> {
    text.lines().try_fold(Transferred::default(), |sum, line| {
        let mut fields = line.split_ascii_whitespace();
        device(fields.next()?)?;
        let value = |name: &str| match fields.clone().find_map(|field| field.strip_prefix(name)?.strip_prefix('=')) {
            Some(value) => count(value),
            None => Some(0),
        };
        sum.and(value("rbytes")?, value("wbytes")?)
    })
}

/// Reads blkio.throttle.io_service_bytes of version 1: `8:0 Read 1`, `8:0 Write 2`, ..., `Total 3`. `None` without any
/// device: since Linux 6.10 nobody counts before a disk has been given its first limit, and then the total is 0.
pub(super) fn io_service_bytes(text: &str) -> Option<Transferred> {
    let has_devices = text.lines().any(|line| !line.starts_with("Total"));
    let sum = text.lines().try_fold(Transferred::default(), |sum, line| {
        let mut fields = line.split_ascii_whitespace();
        match (fields.next()?, fields.next()?, fields.next()) {
            ("Total", _, None) => Some(sum),
            (of, "Read", Some(bytes)) => device(of).and(sum.and(count(bytes)?, 0)),
            (of, "Write", Some(bytes)) => device(of).and(sum.and(0, count(bytes)?)),
            (of, _, Some(_)) => device(of).and(Some(sum)),
            _ => None,
        }
    });
    sum.filter(|_| has_devices)
}

/// Reads /proc/diskstats: `MAJOR MINOR NAME reads merged sectors ms writes merged sectors ...`, of those for which `is_disk`
/// says so: the others are parts of them, or made of them.
pub(super) fn diskstats(text: &str, mut is_disk: impl FnMut(&str) -> bool) -> Option<Transferred> {
    text.lines().try_fold(Transferred::default(), |sum, line| {
        let mut fields = line.split_ascii_whitespace();
        let name = fields.nth(2)?;
        if !is_disk(name) {
            return Some(sum);
        }
        let read = count(fields.nth(2)?)?.checked_mul(SECTOR_BYTES)?;
        let written = count(fields.nth(3)?)?.checked_mul(SECTOR_BYTES)?;
        sum.and(read, written)
    })
}

/// Whether a block device of this name stores anything itself. Loops, RAM and device mapper pass on what others store.
pub(super) fn stores(name: &str) -> bool {
    !["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"].iter().any(|prefix| name.starts_with(prefix))
}

/// `MAJOR:MINOR`
fn device(text: &str) -> Option<()> {
    let (major, minor) = text.split_once(':')?;
    count(major)?;
    count(minor).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(read_bytes: i64, written_bytes: i64) -> Option<Transferred> {
        Some(Transferred { read_bytes, written_bytes })
    }

    #[test]
    fn version_2_is_the_sum_of_its_devices() {
        let text = "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=9 dios=1\n254:1 \n8:16 wbytes=3 rbytes=4\n";
        assert_eq!(io_stat(text), bytes(104, 23));
        assert_eq!(io_stat(""), bytes(0, 0));
        for broken in
            ["x", "8:0 rbytes=-1", "8:0 rbytes=x", "8: rbytes=1", &format!("8:0 rbytes={0}\n8:1 rbytes={0}", i64::MAX)]
        {
            assert_eq!(io_stat(broken), None, "{broken}");
        }
    }

    #[test]
    fn version_1_is_the_sum_of_its_devices() {
        let text = "8:0 Read 100\n8:0 Write 20\n8:0 Sync 120\n8:0 Total 120\n8:16 Read 4\n8:16 Write 3\nTotal 127\n";
        assert_eq!(io_service_bytes(text), bytes(104, 23));
        assert_eq!(io_service_bytes("8:0 Read 0\n8:0 Write 0\nTotal 0\n"), bytes(0, 0));
        assert_eq!(io_service_bytes("Total 0\n"), None);
        for broken in ["", "x", "8:0 Read", "8:0 Read -1", "8 Write 1", "8:0 Write x"] {
            assert_eq!(io_service_bytes(broken), None, "{broken}");
        }
    }

    #[test]
    fn the_machine_s_is_the_sum_of_its_disks() {
        let text = " 254 0 vda 8516 4109 2 15730 1775 19177 3 6555 0 8300 22728\n 254 1 vda1 1 1 9 1 1 1 9 1 0 1 1\n   7 0 loop0 0 0 5 0 0 0 0 0 0 0 0\n";
        assert_eq!(diskstats(text, |name| name == "vda"), bytes(1024, 1536));
        assert_eq!(diskstats("8 0 sda 1\n", |_| true), None);
        assert_eq!(diskstats("8 0 sda 1\n", |_| false), bytes(0, 0));
        let told = ["vda", "sdb", "nvme0n1", "mmcblk0", "loop0", "zram0", "dm-0", "md127"].map(stores);
        assert_eq!(told, [true, true, true, true, false, false, false, false]);
    }
}
