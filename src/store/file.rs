//! The file as a whole: opening it, knowing whether it is still there, and moving it aside when it
//! is broken.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::migrate::{self, MigrateError};
use super::notes::Rooms;
use super::options::{self, PragmaError, Whose};
use super::prune::{self, Rows};
use super::rollup::{self, Sizes};
use super::volume::{self, Identity, LockError};
use super::wal;
use crate::clock::compact_utc;
use crate::config::{RetentionConfig, Sync};
use crate::event::Table;
use crate::space::{Space, directory_of};

/// How the file is opened and kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// What a commit survives.
    pub sync: Sync,
    /// What is kept.
    pub retention: RetentionConfig,
    /// Whom rows are pushed to; without one every row counts as synced.
    pub remote: Option<Remote>,
    /// Whether a request is acknowledged before it is stored: then the writer holds it until it is.
    pub acknowledged_early: bool,
}

/// Whom rows are pushed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// The name that its cursors have.
    pub destination: String,
    /// Which tables it gets; the rows of others count as synced.
    pub tables: Vec<Table>,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another instance uses it, or the lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It is a database of another program.
    #[error("{path} is a database of another program; give openclaw-trace a file of its own with TRACE_DB_PATH")]
    SomebodyElses {
        /// The file.
        path: String,
    },
    /// A newer program wrote it.
    #[error("cannot use {path}: {cause}")]
    Migrate {
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: MigrateError,
    },
    /// It cannot be made or read.
    #[error("cannot use {path}: {cause}")]
    Io {
        /// The file or its directory.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// SQLite cannot work with it.
    #[error("cannot use {path}: {cause}")]
    Sqlite {
        /// The file.
        path: String,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// A setting did not take.
    #[error("cannot use {path}: {cause}")]
    Pragma {
        /// The file.
        path: String,
        /// Which.
        cause: PragmaError,
    },
}

impl OpenError {
    /// Whether it may pass without anybody mending anything.
    pub fn passes(&self, path: &Path) -> bool {
        let busy = matches!(self, OpenError::Sqlite { cause, .. }
            if matches!(cause.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)));
        busy || self.fault(path) == Fault::Full
    }

    /// What the error asks of the writer.
    pub fn fault(&self, path: &Path) -> Fault {
        match self {
            OpenError::Sqlite { cause, .. } => Fault::of(cause, path),
            OpenError::Io { cause, .. } | OpenError::Lock(LockError::Io { cause, .. })
                if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Fault::Full
            }
            _ => Fault::Failing,
        }
    }
}

/// What an error of SQLite asks of the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Make room, then the same again.
    Full,
    /// The file is broken: move it aside, then the same again in a new one.
    Corrupt,
    /// Nothing that the writer can mend: refuse, and try again later.
    Failing,
}

impl Fault {
    /// Sorts an error that came from the file at `path`.
    pub fn of(error: &rusqlite::Error, path: &Path) -> Fault {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Fault::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Fault::Corrupt,
            // The shared memory beside the file cannot grow either when the disk is full, but
            // SQLite calls that an I/O error.
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if nothing_free(path) => Fault::Full,
            _ => Fault::Failing,
        }
    }
}

/// Less than this free and an I/O error is taken for a full disk.
const NOTHING_FREE_BYTES: u64 = 64 << 10;

fn nothing_free(path: &Path) -> bool {
    Space::of(directory_of(path)).is_some_and(|space| space.free_bytes < NOTHING_FREE_BYTES)
}

/// The open file: the only read-write connection there is.
#[derive(Debug)]
pub struct Database {
    /// The connection.
    pub conn: Connection,
    /// The accounts of its rows.
    pub rows: Rows,
    /// How large the tables of sums are.
    pub sizes: Sizes,
    /// How many rows the tables of what is known beside the rows may have.
    pub rooms: Rooms,
    /// The id that was made with the file: what a confirmation must be for.
    pub instance_id: String,
    identity: Option<Identity>,
    log_identity: Option<Identity>,
    wal_pages: Arc<AtomicI64>,
}

impl Database {
    /// Opens the file, or makes it.
    pub fn open(options: &Options, now_ms: i64) -> Result<Database, OpenError> {
        let path = &options.path;
        let shown = || path.display().to_string();
        let sqlite = |cause| OpenError::Sqlite { path: shown(), cause };
        make_private(path).map_err(|cause| OpenError::Io { path: shown(), cause })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        // A connection that is dropped because its file is broken or gone must not write into what is
        // there, nor delete a log by its name. [`Database::empty_log`] is the one clean end.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
        let whose = options::whose(&conn).map_err(sqlite)?;
        if whose == Whose::SomebodyElses {
            return Err(OpenError::SomebodyElses { path: shown() });
        }
        options::prepare_writer(&conn, options.sync).map_err(|cause| match cause {
            PragmaError::Sqlite(cause) => sqlite(cause),
            cause => OpenError::Pragma { path: shown(), cause },
        })?;
        migrate::migrate(&mut conn, whose == Whose::Nobodys, migrate::MIGRATIONS, now_ms).map_err(
            |cause| match cause {
                MigrateError::Sqlite(cause) => sqlite(cause),
                cause => OpenError::Migrate { path: shown(), cause },
            },
        )?;
        let rows = prune::audit(&mut conn, options.remote.as_ref()).map_err(sqlite)?;
        let mut sizes = rollup::sizes(&conn, options.retention.db_max_bytes).map_err(sqlite)?;
        // Before anybody can remove one: a row that is gone cannot be added any more.
        rollup::catch_up(&mut conn, &mut sizes).map_err(sqlite)?;
        let mut rooms = Rooms::of_file(options.retention.db_max_bytes);
        rooms.fit(&conn, now_ms).map_err(sqlite)?;
        let wal_pages = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&wal_pages);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            told.store(i64::from(pages), Ordering::Relaxed);
            Ok(())
        }))
        .map_err(sqlite)?;
        let identity_of = |path: &Path| Identity::of(path).map_err(|cause| OpenError::Io { path: shown(), cause });
        Ok(Database {
            instance_id: instance_id(&conn).map_err(sqlite)?,
            identity: identity_of(path)?,
            log_identity: identity_of(&volume::beside(path, "-wal"))?,
            conn,
            rows,
            sizes,
            rooms,
            wal_pages,
        })
    }

    /// Whether the path still names the file that is open. When the system cannot say, it is taken to.
    pub fn is_in_place(&self, path: &Path) -> bool {
        Identity::of(path).map_or(true, |now| now == self.identity)
    }

    /// Whether the log beside the path is still the one that commits go to. When the system cannot
    /// say, it is taken to be.
    pub fn has_its_log(&self, path: &Path) -> bool {
        Identity::of(&volume::beside(path, "-wal")).map_or(true, |now| now == self.log_identity)
    }

    /// Whether the log beside the path is the one of the file that is open.
    pub fn owns_log_beside(&self, path: &Path) -> bool {
        let now = Identity::of(&volume::beside(path, "-wal"));
        now.is_ok_and(|now| now.is_some() && now == self.log_identity)
    }

    /// Pages in the log after the last commit.
    pub fn wal_pages(&self) -> i64 {
        self.wal_pages.load(Ordering::Relaxed)
    }

    /// Takes note of a checkpoint that emptied the log.
    pub fn log_is_empty(&self) {
        self.wal_pages.store(0, Ordering::Relaxed);
    }

    /// Pages of the file, and those of them that hold nothing.
    pub fn pages(&self) -> rusqlite::Result<(u64, u64)> {
        let pages: i64 = self.conn.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get(0))?;
        Ok((pages as u64, prune::free_pages(&self.conn)?))
    }

    /// Moves the log into the file and, if nobody reads, has it deleted when the file is closed.
    /// What cannot be moved stays in the log.
    pub fn empty_log(&self) -> rusqlite::Result<wal::Checkpoint> {
        let done = wal::truncate(&self.conn)?;
        self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        Ok(done)
    }

    /// Whether SQLite finds the file sound, as far as it can tell without reading the indexes.
    pub fn is_sound(&self) -> rusqlite::Result<bool> {
        let found: String = self.conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok(found == "ok")
    }

    /// Closes the file.
    pub fn close(self) -> rusqlite::Result<()> {
        self.conn.close().map_err(|(_, error)| error)
    }
}

fn instance_id(conn: &Connection) -> rusqlite::Result<String> {
    migrate::meta(conn, "instance_id")?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Moves a broken file out of the way, with its log, under a name that says when. Returns that name.
pub fn move_broken_aside(path: &Path, now_ms: i64) -> io::Result<PathBuf> {
    let to = free_name(path, "corrupt", now_ms);
    for suffix in BELONGINGS {
        rename_if_there(&volume::beside(path, suffix), &volume::beside(&to, suffix))?;
    }
    sync_directory(path)?;
    Ok(to)
}

/// Moves out of the way what lies in the place of our file, which has vanished. Our log must not
/// stay with it (`log_is_ours`): SQLite would take the two for one database, and write our pages
/// into theirs.
pub fn move_stranger_aside(path: &Path, log_is_ours: bool, now_ms: i64) -> io::Result<PathBuf> {
    let to = free_name(path, "replaced", now_ms);
    if log_is_ours {
        rename_if_there(&volume::beside(path, "-wal"), &volume::beside(&to, ".lost-log"))?;
        rename_if_there(&volume::beside(path, "-shm"), &volume::beside(&to, ".lost-shm"))?;
    }
    for suffix in BELONGINGS {
        rename_if_there(&volume::beside(path, suffix), &volume::beside(&to, suffix))?;
    }
    sync_directory(path)?;
    Ok(to)
}

/// What belongs to a database file, by what is added to its name.
const BELONGINGS: [&str; 3] = ["", "-wal", "-shm"];

/// `<path>.<why>-<time>`, with a number where that is taken: two in one second keep their own names.
fn free_name(path: &Path, why: &str, now_ms: i64) -> PathBuf {
    let name = format!(".{why}-{}", compact_utc(now_ms));
    let mut to = volume::beside(path, &name);
    let mut number = 1;
    while [".lost-log"].iter().chain(&BELONGINGS).any(|suffix| volume::beside(&to, suffix).exists()) {
        number += 1;
        to = volume::beside(path, &format!("{name}-{number}"));
    }
    to
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the directory of the file, if it is not there, for nobody but us to look into.
pub fn make_directory(path: &Path) -> Result<(), OpenError> {
    let directory = directory_of(path);
    if directory.exists() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|cause| OpenError::Io { path: directory.display().to_string(), cause })
}

/// Makes the file, for nobody but us to read.
pub fn make_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(directory_of(path))?.sync_all()
}
