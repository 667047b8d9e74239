//! The database: one SQLite file, one [`Writer`] with the only read-write connection, and
//! [`Reader`]s that look on.
//!
//! What is promised here: a request is stored whole or not at all; what [`Writer`] has called
//! stored survives what `TRACE_SYNC` says it survives; every row that ever was is accounted for
//! (`stored = present + pruned`); a full disk, a broken file or a stubborn reader is a state that
//! passes, not an end.

mod backlog;
mod backup;
mod delivery;
mod file;
mod insert;
mod letters;
mod limits;
mod look;
mod migrate;
mod notes;
mod options;
#[cfg(test)]
mod plans;
mod prune;
mod queries;
mod reader;
mod received;
mod rollup;
mod summary;
mod volume;
mod wal;
mod writer;

pub use backup::{BackupError, Contents, GiveUp, backup};
pub use delivery::{DeadLetter, Delivery, FrozenBatch, Revival, Revived, WAITING_MAX, Waiting};
pub use file::{OpenError, Options, Remote};
pub use letters::{DeadLetters, Letter, ReviveError, WriteLetter, letters, rows_of_letters};
pub use look::{LookError, look};
pub use queries::{Queries, QueryError};
pub use reader::{EachRow, ReadError, Reader};
pub use received::{NotTaken, ReceivedFile, Total, Totals};
pub use writer::{Command, Ended, Writer};
