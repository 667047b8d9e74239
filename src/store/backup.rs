//! A backup: the database as it was at one moment, in one file that needs nothing beside it.
//!
//! The copy is made by SQLite's online backup inside one read transaction. Without the transaction
//! every commit of the sidecar makes the backup begin again, and at some hundred commits a second it
//! never ends; with it the log of the sidecar cannot start over until the copy is done, so the copy is
//! written without delay when the log grows, and gives up before the log is so long that events are
//! refused. `VACUUM INTO` needs the same transaction, cannot pause in it, and spreads its writes less well.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::limits::PAGE_BYTES;
use super::options::{self, PragmaError, Whose};
use super::volume;
use crate::event::Table;
use crate::space::{Space, directory_of};

/// Asked between two steps whether to give up.
pub type GiveUp = Arc<dyn Fn() -> bool + Send + Sync>;

/// What is in a backup.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// Size of the file.
    pub bytes: u64,
    /// Rows of each table, by [`Table::index`].
    pub rows: [u64; Table::ALL.len()],
}

/// Why there is no backup. Nothing is left behind then.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The name is taken: choose another.
    #[error("{path} is there already, and a backup never overwrites: give another name, or move it away")]
    Taken {
        /// What is there.
        path: String,
    },
    /// Somebody else makes the same backup, or could not finish it.
    #[error("{path} is there: another backup is at work on it, or one was killed; if none is, remove it")]
    Unfinished {
        /// The unfinished file.
        path: String,
    },
    /// There is no database to back up: the variable names something else.
    #[error("{path} is not a database of openclaw-trace; TRACE_DB_PATH names it")]
    NotOurs {
        /// The file.
        path: String,
    },
    /// The database cannot be read.
    #[error("cannot read {path}: {cause}")]
    Source {
        /// The database.
        path: String,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// The volume has no room for it: free some, or put it elsewhere.
    #[error(
        "the volume of {path} has {free_mb} MB free, and {wanted_mb} MB are wanted, \
         {KEEP_FREE_MB} MB of them to be left to others"
    )]
    NoRoom {
        /// The directory.
        path: String,
        /// What it takes, with what is left to others.
        wanted_mb: u64,
        /// What there is.
        free_mb: u64,
    },
    /// The log of the database is too long to be kept from starting over: try again later.
    #[error(
        "the log of the database has grown to {log_mb} MB while it was read, and the sidecar needs it back; \
         try again when the sidecar is less busy, or write to a faster disk"
    )]
    Overtaken {
        /// Its size.
        log_mb: u64,
    },
    /// The copy is not sound, so the database is probably not either.
    #[error("the copy was not kept, because SQLite finds it broken, and probably the database too: {found}")]
    Broken {
        /// The first thing that SQLite found.
        found: String,
    },
    /// A signal came.
    #[error("stopped by a signal, and nothing was kept")]
    Stopped,
    /// The copy cannot be written.
    #[error("cannot copy to {path}: {cause}")]
    Target {
        /// The file or its directory.
        path: String,
        /// What SQLite or the system said.
        cause: WriteError,
    },
}

/// Who said that the copy cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// SQLite, by doing something else than it was told to.
    #[error(transparent)]
    Pragma(#[from] PragmaError),
}

/// Copies the database to a new file, which gets its name when it is whole, sound and on the disk.
pub fn backup(source: &Path, target: &Path, give_up: &GiveUp) -> Result<Contents, BackupError> {
    refuse_taken(target)?;
    let from = open_source(source)?;
    let part = volume::beside(target, PART);
    make_part(&part)?;
    let made = Copy { from, source, part: &part, give_up }.make();
    let made = made.and_then(|contents| {
        refuse_taken(target)?;
        name(&part, target)?;
        Ok(contents)
    });
    if made.is_err() {
        remove_part(&part);
    }
    made
}

/// What an unfinished backup is called.
const PART: &str = ".part";
/// What SQLite would take for a part of the database, by what is added to its name.
const BELONGINGS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// An old log beside the new file would be taken for its own, and undo or overwrite parts of it.
fn refuse_taken(target: &Path) -> Result<(), BackupError> {
    for suffix in BELONGINGS {
        let path = volume::beside(target, suffix);
        if path.symlink_metadata().is_ok() {
            return Err(BackupError::Taken { path: path.display().to_string() });
        }
    }
    Ok(())
}

fn make_part(part: &Path) -> Result<(), BackupError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(part) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BackupError::Unfinished { path: part.display().to_string() })
        }
        Err(error) => Err(cannot_write(part, error)),
    }
}

fn remove_part(part: &Path) {
    for suffix in BELONGINGS {
        let path = volume::beside(part, suffix);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!(path:% = path.display(), error:% = error; "an unfinished backup could not be removed");
            }
            _ => {}
        }
    }
}

/// The name comes after the bytes, and both are on the disk when this returns; else there is no such name. What has got
/// the name meanwhile keeps it.
fn name(part: &Path, target: &Path) -> Result<(), BackupError> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Taken { path: target.display().to_string() },
        _ => cannot_write(target, cause),
    };
    File::open(part).and_then(|file| file.sync_all()).map_err(failed)?;
    match by_link(part, target) {
        // Whatever the reason, such as a file system without links: the other way finds out whether it is a lasting one.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => by_claim(part, target),
        done => done,
    }
    .map_err(failed)?;
    let synced = File::open(directory_of(target)).and_then(|directory| directory.sync_all());
    synced.inspect_err(|_| drop(fs::remove_file(target))).map_err(failed)
}

/// At no moment there is a file of this name that is not the whole backup.
fn by_link(part: &Path, target: &Path) -> io::Result<()> {
    fs::hard_link(part, target)?;
    remove_part(part);
    Ok(())
}

/// The name is taken by an empty file, which a rename then replaces. A kill between the two leaves the empty file, so this
/// is the second choice. (`renameat2` with `RENAME_NOREPLACE` would do it in one step; our binding has it for glibc only.)
fn by_claim(part: &Path, target: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    fs::rename(part, target).inspect_err(|_| drop(fs::remove_file(target)))
}

fn cannot_write(path: &Path, cause: impl Into<WriteError>) -> BackupError {
    BackupError::Target { path: path.display().to_string(), cause: cause.into() }
}

/// How long a lock on the database is waited for. In WAL mode that is next to nothing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

fn open_source(source: &Path) -> Result<Connection, BackupError> {
    let path = || source.display().to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(source, flags).and_then(|conn| {
        conn.busy_timeout(BUSY_TIMEOUT)?;
        Ok((options::whose(&conn)?, conn))
    });
    match opened {
        Ok((Whose::Ours, conn)) => Ok(conn),
        Ok(_) => Err(BackupError::NotOurs { path: path() }),
        Err(cause) => Err(BackupError::Source { path: path(), cause }),
    }
}

/// A copy in the making.
struct Copy<'a> {
    from: Connection,
    source: &'a Path,
    part: &'a Path,
    give_up: &'a GiveUp,
}

/// Pages of one step, 1 MiB: the most that a commit of the sidecar has to wait for on a slow disk, which
/// writes what we have not synced before what the commit syncs.
const STEP_PAGES: i32 = 256;
/// While the log is shorter, every step is synced and followed by a pause as long as itself: half of the
/// disk and of a core is the sidecar's. Past it the sidecar is better served by an early end.
const UNHURRIED_LOG_BYTES: u64 = 4 << 20;
/// At 50 MB the sidecar would refuse events.
const LOG_MAX_BYTES: u64 = 32 << 20;
/// Left to the agent and to the sidecar, whose ballast and log must find room.
const KEEP_FREE_MB: u64 = 16;
/// Instructions of SQLite between two looks at the signals: some milliseconds.
const LOOK_EVERY: i32 = 10_000;

impl Copy<'_> {
    fn make(self) -> Result<Contents, BackupError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut to = Connection::open_with_flags(self.part, flags).map_err(|cause| self.failed(cause))?;
        options::prepare_copy(&to).map_err(|cause| self.failed(cause))?;
        self.copy(&mut to)?;
        options::finish_copy(&to).map_err(|cause| self.failed(cause))?;
        let contents = self.look_into(&mut to)?;
        to.close().map_err(|(_, cause)| self.failed(cause))?;
        Ok(contents)
    }

    /// All pages, as they are at one moment.
    fn copy(&self, to: &mut Connection) -> Result<(), BackupError> {
        let unreadable = |cause| BackupError::Source { path: self.source.display().to_string(), cause };
        let snapshot = self.from.unchecked_transaction().map_err(unreadable)?;
        let pages: i64 = snapshot.query_row("PRAGMA page_count", [], |row| row.get(0)).map_err(unreadable)?;
        check_room(self.part, pages as u64 * PAGE_BYTES)?;
        let file = File::open(self.part).map_err(|cause| self.failed(cause))?;
        let backup = Backup::new(&self.from, to).map_err(|cause| self.failed(cause))?;
        loop {
            let started = Instant::now();
            match backup.step(STEP_PAGES).map_err(|cause| self.failed(cause))? {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                // Whoever else writes to the unfinished file does not know what it is.
                stuck => {
                    let cause = format!("another program has locked it ({stuck:?})");
                    return Err(self.failed(io::Error::new(io::ErrorKind::ResourceBusy, cause)));
                }
            }
            self.look_around()?;
            if self.log_bytes() < UNHURRIED_LOG_BYTES {
                file.sync_data().map_err(|cause| self.failed(cause))?;
                thread::sleep(started.elapsed());
            }
        }
    }

    /// Whether to go on with the next step.
    fn look_around(&self) -> Result<(), BackupError> {
        if (self.give_up)() {
            return Err(BackupError::Stopped);
        }
        for path in [self.part, self.source] {
            check_room(path, 0)?;
        }
        match self.log_bytes() {
            bytes if bytes > LOG_MAX_BYTES => Err(BackupError::Overtaken { log_mb: bytes >> 20 }),
            _ => Ok(()),
        }
    }

    /// 0 when there is no log: then nobody commits.
    fn log_bytes(&self) -> u64 {
        fs::metadata(volume::beside(self.source, "-wal")).map_or(0, |log| log.len())
    }

    /// Whether the copy is sound, and what is in it.
    fn look_into(&self, to: &mut Connection) -> Result<Contents, BackupError> {
        let failed = |cause: rusqlite::Error| match cause.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => BackupError::Stopped,
            _ => self.failed(cause),
        };
        let give_up = Arc::clone(self.give_up);
        to.progress_handler(LOOK_EVERY, Some(move || give_up())).map_err(failed)?;
        let found: String = to.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if found != "ok" {
            return Err(BackupError::Broken { found });
        }
        let mut rows = [0; Table::ALL.len()];
        for table in Table::ALL {
            let sql = format!("SELECT count(*) FROM {}", table.name());
            rows[table.index()] = to.query_row(&sql, [], |row| row.get::<_, i64>(0)).map_err(failed)? as u64;
        }
        let bytes = fs::metadata(self.part).map_err(|cause| self.failed(cause))?.len();
        Ok(Contents { bytes, rows })
    }

    fn failed(&self, cause: impl Into<WriteError>) -> BackupError {
        cannot_write(self.part, cause)
    }
}

/// Whether so much can be written to the volume of a file. When the system does not say, it is tried.
fn check_room(file: &Path, bytes: u64) -> Result<(), BackupError> {
    let directory = directory_of(file);
    let wanted_bytes = bytes + (KEEP_FREE_MB << 20);
    match Space::of(directory) {
        Some(space) if space.free_bytes < wanted_bytes => Err(BackupError::NoRoom {
            path: directory.display().to_string(),
            wanted_mb: wanted_bytes.div_ceil(1 << 20),
            free_mb: space.free_bytes >> 20,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty directory that goes away with the test.
    struct Dir(std::path::PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let dir = std::env::temp_dir().join(format!("openclaw-trace-{name}-{}", std::process::id()));
            fs::create_dir(&dir).unwrap();
            Dir(dir)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_name_that_somebody_takes_in_the_last_moment_stays_theirs() {
        let dir = Dir::new("last-moment");
        let (part, target) = (dir.0.join("b.db.part"), dir.0.join("b.db"));
        for give in [by_link, by_claim] {
            fs::write(&part, "backup").unwrap();
            fs::write(&target, "theirs").unwrap();
            assert_eq!(give(&part, &target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert!(matches!(name(&part, &target), Err(BackupError::Taken { .. })));
            assert_eq!((fs::read(&part).unwrap(), fs::read(&target).unwrap()), (b"backup".into(), b"theirs".into()));

            fs::remove_file(&target).unwrap();
            give(&part, &target).unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"backup");
            assert!(!part.exists());
            fs::remove_file(&target).unwrap();
        }
    }

    #[test]
    fn a_copy_that_somebody_else_has_locked_is_an_error_and_no_end_of_the_program() {
        let dir = Dir::new("locked");
        let (source, part) = (dir.0.join("trace.db"), dir.0.join("b.db.part"));
        let from = Connection::open(&source).unwrap();
        from.execute_batch("CREATE TABLE t (x)").unwrap();
        let other = Connection::open(&part).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let give_up: GiveUp = Arc::new(|| false);
        let mut to = Connection::open(&part).unwrap();
        to.busy_timeout(Duration::ZERO).unwrap();
        let copy = Copy { from, source: &source, part: &part, give_up: &give_up };
        let stuck = copy.copy(&mut to).unwrap_err();
        assert!(matches!(stuck, BackupError::Target { .. }), "{stuck}");
        assert!(stuck.to_string().contains("locked"), "{stuck}");
    }
}
