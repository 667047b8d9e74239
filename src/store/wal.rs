//! The write-ahead log: checkpointed by the writer after it has answered, kept within its limit,
//! and when a reader keeps it from starting over, that reader is named.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::stat::{major, minor};
use rusqlite::Connection;

use super::options::BUSY_TIMEOUT;
use super::volume;

/// How long we wait for readers when the log has outgrown its limit.
const RESTART_PATIENCE: Duration = Duration::from_millis(200);

/// How far a checkpoint came, in pages of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Pages in the log.
    pub pages: i64,
    /// Pages of it that are in the database file now.
    pub moved: i64,
    /// Whether somebody was in the way.
    pub blocked: bool,
}

/// Moves what can be moved without waiting for anybody.
pub fn passive(conn: &Connection) -> rusqlite::Result<Checkpoint> {
    checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)")
}

/// Asks the readers to go, so that the log can start over; waits for them but briefly.
pub fn restart(conn: &Connection) -> rusqlite::Result<Checkpoint> {
    conn.busy_timeout(RESTART_PATIENCE)?;
    let done = checkpoint(conn, "PRAGMA wal_checkpoint(RESTART)");
    conn.busy_timeout(BUSY_TIMEOUT)?;
    done
}

/// Empties the log. Only when stopping, or when the disk is full.
pub fn truncate(conn: &Connection) -> rusqlite::Result<Checkpoint> {
    conn.busy_timeout(RESTART_PATIENCE)?;
    let done = checkpoint(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
    conn.busy_timeout(BUSY_TIMEOUT)?;
    done
}

fn checkpoint(conn: &Connection, sql: &str) -> rusqlite::Result<Checkpoint> {
    conn.query_row(sql, [], |row| {
        Ok(Checkpoint { blocked: row.get::<_, i64>(0)? != 0, pages: row.get(1)?, moved: row.get(2)? })
    })
}

/// Who reads the database besides us: `name (pid)`, as far as /proc tells.
pub fn readers(db: &Path) -> Vec<String> {
    let Ok(shm) = fs::metadata(volume::beside(db, "-shm")) else { return Vec::new() };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut pids = pids_locking(&locks, &format!("{:02x}:{:02x}:{}", major(shm.dev()), minor(shm.dev()), shm.ino()));
    pids.retain(|pid| *pid != std::process::id());
    pids.into_iter()
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} (pid {pid})", name.trim())
        })
        .collect()
}

/// The processes that hold a lock on a file (`major:minor:inode`), by the text of /proc/locks.
fn pids_locking(locks: &str, file: &str) -> Vec<u32> {
    let mut pids: Vec<u32> = locks
        .lines()
        .filter_map(|line| {
            // 1: POSIX  ADVISORY  READ 1234 fe:00:5678 124 124
            let mut words = line.split_whitespace().skip_while(|word| !word.contains("OSIX")).skip(3);
            let pid = words.next()?.parse().ok()?;
            (words.next()? == file).then_some(pid)
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_found_in_the_kernels_list_of_locks() {
        let locks = "1: POSIX  ADVISORY  READ 4242 fe:00:5678 124 124\n\
                     1: -> POSIX  ADVISORY  WRITE 77 fe:00:1 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 9 fe:00:5678 0 EOF\n\
                     3: OFDLCK ADVISORY  READ -1 fe:00:5678 0 EOF\n\
                     garbage\n\
                     4: POSIX  ADVISORY  READ 4242 fe:00:5678 125 125\n\
                     5: POSIX  ADVISORY  READ 11 fe:00:5678 125 125\n";
        assert_eq!(pids_locking(locks, "fe:00:5678"), [11, 4242]);
        assert_eq!(pids_locking(locks, "fe:01:5678"), [0; 0], "another volume");
    }
}
