//! One question to a file that need not be ours to write: the live one, a copy, one on a volume that is read-only.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode};

use super::migrate;
use super::options::{self, Whose};
use super::reader::{ReadError, Reader};
use super::volume;
use crate::summary::{Question, Summary};

/// What a question needs that not every file has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// The first schema that has it.
    pub(super) schema: usize,
    /// What it is, for people.
    pub(super) what: &'static str,
}

const SUMS: Needs = Needs { schema: 2, what: "the sums by the hour (usage_hourly, coverage_hourly)" };

/// Why a file gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It is not there, or not ours to read.
    #[error("cannot read {path}: {cause}")]
    Closed {
        /// The file.
        path: String,
        /// What the system said.
        cause: io::Error,
    },
    /// It is something else.
    #[error("{path} is no database of openclaw-trace")]
    NotOurs {
        /// The file.
        path: String,
    },
    /// It is from before there was what is asked for.
    #[error(
        "{path} has schema {found}, and {what} came with schema {wanted}: a sidecar of this version makes them when it \
         starts on the file, or on a copy of it that TRACE_DB_PATH names"
    )]
    TooOld {
        /// The file.
        path: String,
        /// Its schema.
        found: usize,
        /// The first schema that has it.
        wanted: usize,
        /// What is asked for.
        what: &'static str,
    },
    /// A newer program wrote it, and says that this one cannot follow.
    #[error("{path} is from a newer version, which is needed to read it")]
    TooNew {
        /// The file.
        path: String,
    },
    /// The log beside it holds part of what it says, and cannot be read without being able to write.
    #[error(
        "{path}-wal holds a part of the database, and to read it takes the right to write beside it: run this as the \
         sidecar's user, copy both files to where you may write, or make a backup (openclaw-trace backup)"
    )]
    LogUnread {
        /// The file.
        path: String,
    },
    /// SQLite cannot read it.
    #[error("{path}: {cause}")]
    Unread {
        /// The file.
        path: String,
        /// Why not.
        cause: ReadError,
    },
}

/// Answers a question from a file, and leaves nothing behind where nobody has it open.
///
/// # Errors
/// Any of [`LookError`].
pub fn look(path: &Path, question: &Question) -> Result<Summary, LookError> {
    look_for(path, SUMS, &mut |reader| reader.summary(question, &Arc::default()))
}

/// The same for any question. `ask` may be called twice: only its last answer counts.
pub(super) fn look_for<T>(path: &Path, needs: Needs, ask: &mut Ask<'_, T>) -> Result<T, LookError> {
    let shown = || path.display().to_string();
    // The log lies beside the file itself, not beside a link to it.
    let file = path.canonicalize().and_then(|file| File::open(&file).map(|_| file));
    let file = file.map_err(|cause| LookError::Closed { path: shown(), cause })?;
    let log = volume::beside(&file, "-wal");
    if !log.exists() {
        let found = read(Reader::open_still(&file), needs, ask);
        // Whoever opened it meanwhile may have written.
        if !log.exists() {
            return found.map_err(|fault| fault.of(path));
        }
    }
    let found = match read(Reader::open(&file), needs, ask) {
        Err(Fault::Read(error)) if error.is_denied() && is_empty(&log) => read(Reader::open_still(&file), needs, ask),
        Err(Fault::Read(error)) if error.is_denied() => return Err(LookError::LogUnread { path: shown() }),
        found => found,
    };
    found.map_err(|fault| fault.of(path))
}

/// What is read from a file.
type Ask<'a, T> = dyn FnMut(&mut Reader) -> Result<T, ReadError> + 'a;

fn is_empty(log: &Path) -> bool {
    log.metadata().is_ok_and(|log| log.len() == 0)
}

enum Fault {
    NotOurs,
    TooOld { found: usize, needs: Needs },
    TooNew,
    Read(ReadError),
}

impl Fault {
    fn of(self, path: &Path) -> LookError {
        let path = path.display().to_string();
        match self {
            Fault::TooOld { found, needs: Needs { schema, what } } => {
                LookError::TooOld { path, found, wanted: schema, what }
            }
            Fault::TooNew => LookError::TooNew { path },
            Fault::NotOurs => LookError::NotOurs { path },
            Fault::Read(error) if error.code() == Some(ErrorCode::NotADatabase) => LookError::NotOurs { path },
            Fault::Read(cause) => LookError::Unread { path, cause },
        }
    }
}

fn read<T>(opened: Result<Reader, ReadError>, needs: Needs, ask: &mut Ask<'_, T>) -> Result<T, Fault> {
    let mut reader = opened.map_err(Fault::Read)?;
    check(&reader.conn, needs)?;
    ask(&mut reader).map_err(Fault::Read)
}

fn check(conn: &Connection, needs: Needs) -> Result<(), Fault> {
    let sqlite = |error: rusqlite::Error| Fault::Read(error.into());
    if options::whose(conn).map_err(sqlite)? != Whose::Ours {
        return Err(Fault::NotOurs);
    }
    let number = |key: &'static str| -> Result<usize, Fault> {
        let value = migrate::meta(conn, key).map_err(sqlite)?;
        value.and_then(|value| value.parse().ok()).ok_or(Fault::Read(ReadError::NoMeta { key }))
    };
    if number("minimum_reader")? > migrate::MIGRATIONS.len() {
        return Err(Fault::TooNew);
    }
    match number("schema_version")? {
        found if found >= needs.schema => Ok(()),
        found => Err(Fault::TooOld { found, needs }),
    }
}
