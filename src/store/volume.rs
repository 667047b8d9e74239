//! What lies beside the database on its volume: the lock that keeps a second instance out, the
//! ballast that is let go when the disk is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, posix_fallocate};

/// What SQLite needs to delete rows and give pages back when nothing else is free: the log of the
/// deletes, and the pages that the checkpoint before them writes.
pub const BALLAST_BYTES: u64 = 2 << 20;

/// A path beside the database: its name with `suffix` added.
pub fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Holds `<db>.lock` as long as it lives, and the process with it.
#[derive(Debug)]
pub struct InstanceLock(Flock<File>);

/// Why the lock was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another instance has it.
    #[error("another openclaw-trace ({holder}) uses this database; stop it, or give this one another TRACE_DB_PATH")]
    Held {
        /// Who, as far as is known.
        holder: String,
    },
    /// The lock file could not be opened or locked.
    #[error("cannot lock {path}: {cause}")]
    Io {
        /// The lock file.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
}

impl InstanceLock {
    /// Whether the lock file that is held is still the one at its place.
    pub fn is_in_place(&self, db: &Path) -> bool {
        let held = self.0.metadata().ok().map(|m| Identity { device: m.dev(), inode: m.ino() });
        Identity::of(&beside(db, ".lock")).is_ok_and(|there| there == held)
    }

    /// Takes the lock of a database, without waiting.
    pub fn take(db: &Path) -> Result<InstanceLock, LockError> {
        let path = beside(db, ".lock");
        let failed = |cause: io::Error| LockError::Io { path: path.display().to_string(), cause };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                // Only told to people: who holds it. On a full disk nobody is told.
                let told = lock
                    .set_len(0)
                    .and_then(|()| lock.rewind())
                    .and_then(|()| writeln!(lock, "{}", std::process::id()));
                if let Err(error) = told {
                    log::debug!(error:% = error; "the lock file does not say who holds it");
                }
                Ok(InstanceLock(lock))
            }
            Err((mut file, Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                let holder = match file.read_to_string(&mut pid) {
                    Ok(_) if !pid.trim().is_empty() => format!("pid {}", pid.trim()),
                    _ => "pid unknown".to_owned(),
                };
                Err(LockError::Held { holder })
            }
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

/// `<db>.ballast`: space on the disk that nobody else can have.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// The ballast of a database, whether it is there or not.
    pub fn of(db: &Path) -> Ballast {
        Ballast { path: beside(db, ".ballast") }
    }

    /// Whether all of it is there.
    pub fn is_whole(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|m| m.len() == BALLAST_BYTES)
    }

    /// Takes the space, or leaves none of it taken.
    pub fn take(&self) -> io::Result<()> {
        if self.is_whole() {
            return Ok(());
        }
        let taken = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.path)
            .and_then(|file| allocate(file, BALLAST_BYTES));
        if taken.is_err() {
            self.release()?;
        }
        taken
    }

    /// Gives the space back.
    pub fn release(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Gives the file blocks of its own, by the call for it or, where the file system has none, by writing.
fn allocate(mut file: File, bytes: u64) -> io::Result<()> {
    match posix_fallocate(&file, 0, bytes as i64) {
        Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => {
            io::copy(&mut io::repeat(0).take(bytes), &mut file).map(drop)
        }
        done => Ok(done?),
    }
}

/// Which file a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// `None` when the path names nothing.
    ///
    /// # Errors
    /// The system cannot say: that is not the same as nothing.
    pub fn of(path: &Path) -> io::Result<Option<Identity>> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(Identity { device: found.dev(), inode: found.ino() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
