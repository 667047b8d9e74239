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
/// (`8:0` alone, as some kernels write) counts nothing. `is_disk` is asked by number: what is made of other devices (LVM,
/// LUKS, loops) passes on what those count. `None` where none of them is a disk.
pub(super) fn io_stat(text: &str, mut is_disk: impl FnMut(&str) -> bool) -> Option<Transferred> {
    let mut has_disk = text.is_empty();
    let sum = text.lines().try_fold(Transferred::default(), |sum, line| {
        let mut fields = line.split_ascii_whitespace();
        let of = fields.next()?;
        device(of)?;
        if !is_disk(of) {
            return Some(sum);
        }
        has_disk = true;
        let value = |name: &str| match fields.clone().find_map(|field| field.strip_prefix(name)?.strip_prefix('=')) {
            Some(value) => count(value),
            None => Some(0),
        };
        sum.and(value("rbytes")?, value("wbytes")?)
    });
    sum.filter(|_| has_disk)
}

/// Reads blkio.throttle.io_service_bytes of version 1: `8:0 Read 1`, `8:0 Write 2`, ..., `Total 3`, of
/// disks. `None` without one: since Linux 6.10 nobody counts before a disk has been given its first limit, and then the total is 0.
pub(super) fn io_service_bytes(text: &str, mut is_disk: impl FnMut(&str) -> bool) -> Option<Transferred> {
    let mut has_disk = false;
    let sum = text.lines().try_fold(Transferred::default(), |sum, line| {
        let mut fields = line.split_ascii_whitespace();
        match (fields.next()?, fields.next()?, fields.next()) {
            ("Total", _, None) => Some(sum),
            (of, _, Some(_)) if !is_disk(of) => device(of).and(Some(sum)),
            (of, kind, Some(bytes)) => {
                device(of)?;
                has_disk = true;
                match kind {
                    "Read" => sum.and(count(bytes)?, 0),
                    "Write" => sum.and(0, count(bytes)?),
                    _ => Some(sum),
                }
            }
            _ => None,
        }
    });
    sum.filter(|_| has_disk)
}

/// Reads /proc/diskstats: `MAJOR MINOR NAME reads merged sectors ms writes merged sectors ...`, of those for which `is_disk`
/// says so: the others are parts of them, or made of them. `None` where none is a disk.
pub(super) fn diskstats(text: &str, mut is_disk: impl FnMut(&str) -> bool) -> Option<Transferred> {
    let mut has_disk = false;
    let sum = text.lines().try_fold(Transferred::default(), |sum, line| {
        let mut fields = line.split_ascii_whitespace();
        let name = fields.nth(2)?;
        let sectors = [fields.nth(2), fields.nth(3)].map(|field| field.and_then(count));
        // Of a device that was never used nobody need be asked: machines have a dozen loops.
        if sectors == [Some(0); 2] || !is_disk(name) {
            return Some(sum);
        }
        has_disk = true;
        let [read, written] = sectors.map(|sectors| sectors.and_then(|sectors| sectors.checked_mul(SECTOR_BYTES)));
        sum.and(read?, written?)
    });
    sum.filter(|_| has_disk)
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

    fn is_disk(device: &str) -> bool {
        !device.starts_with("253:")
    }

    #[test]
    fn version_2_is_the_sum_of_its_disks() {
        let text =
            "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=9 dios=1\n254:1 \n8:16 wbytes=3 rbytes=4\n253:0 rbytes=90\n";
        assert_eq!(io_stat(text, is_disk), bytes(104, 23));
        assert_eq!(io_stat("", is_disk), bytes(0, 0));
        let huge = format!("8:0 rbytes={0}\n8:1 rbytes={0}", i64::MAX);
        for broken in ["x", "8:0 rbytes=-1", "8:0 rbytes=x", "8: rbytes=1", "253:0 rbytes=1", &huge] {
            assert_eq!(io_stat(broken, is_disk), None, "{broken}");
        }
    }

    #[test]
    fn version_1_is_the_sum_of_its_disks() {
        let text = "8:0 Read 100\n8:0 Write 20\n8:0 Sync 120\n8:0 Total 120\n8:16 Read 4\n8:16 Write 3\n253:0 Read 9\nTotal 127\n";
        assert_eq!(io_service_bytes(text, is_disk), bytes(104, 23));
        assert_eq!(io_service_bytes("8:0 Read 0\n8:0 Write 0\nTotal 0\n", is_disk), bytes(0, 0));
        for nothing in ["", "Total 0\n", "253:0 Read 9\nTotal 9\n"] {
            assert_eq!(io_service_bytes(nothing, is_disk), None, "{nothing}");
        }
        for broken in ["x", "8:0 Read", "8:0 Read -1", "8 Write 1", "8:0 Write x"] {
            assert_eq!(io_service_bytes(broken, is_disk), None, "{broken}");
        }
    }

    #[test]
    fn the_machine_s_is_the_sum_of_its_disks() {
        let text = " 254 0 vda 8516 4109 2 15730 1775 19177 3 6555 0 8300 22728\n 254 1 vda1 1 1 9 1 1 1 9 1 0 1 1\n   7 0 loop0 0 0 5 0 0 0 0 0 0 0 0\n";
        assert_eq!(diskstats(text, |name| name == "vda"), bytes(1024, 1536));
        assert_eq!(diskstats("8 0 sda 1\n", |_| true), None);
        assert_eq!(diskstats("8 0 sda 1\n", |_| false), None);
    }
}
