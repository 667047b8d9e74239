//! What the push reads from: a trait, so that tests need no database.

use std::path::Path;

use crate::event::Table;
use crate::queue::Queue;
use crate::store::{Command, EachRow, ReadError, Reader};

/// Last row ids, by [`Table::index`].
pub type Ids = [i64; Table::ALL.len()];

/// The stored rows. Every call is a short read of its own; nothing is held between two.
pub trait Rows {
    /// The id of the database file.
    ///
    /// # Errors
    /// The file cannot be read now.
    fn instance_id(&self) -> Result<String, ReadFault>;

    /// The last row of each table that the remote confirmed.
    ///
    /// # Errors
    /// The file cannot be read now.
    fn cursors(&self) -> Result<Ids, ReadFault>;

    /// Hands the first `limit` rows after `after_id` to `each`, by ascending id, and says how many
    /// there were.
    ///
    /// # Errors
    /// The file cannot be read now.
    fn rows(&self, table: Table, after_id: i64, limit: usize, each: &mut EachRow<'_>) -> Result<usize, ReadFault>;
}

/// Opens the rows anew for each cycle, because the file may have been replaced.
pub type OpenRows = dyn Fn() -> Result<Box<dyn Rows>, ReadFault> + Send + Sync;

/// The rows cannot be read now. Says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the rows: {0}")]
pub struct ReadFault(pub String);

/// The rows of a database file, as one destination has them. When they turn out to be broken, the
/// writer is asked to look.
pub struct Stored {
    reader: Reader,
    destination: String,
    writer: Queue<Command>,
}

impl Stored {
    /// Opens the file; `destination` is the name of the cursors ([`crate::config::PushConfig::destination`]).
    ///
    /// # Errors
    /// The file cannot be read now.
    pub fn open(path: &Path, destination: &str, writer: &Queue<Command>) -> Result<Stored, ReadFault> {
        let reader = Reader::open(path).map_err(|error| fault(writer, &error))?;
        Ok(Stored { reader, destination: destination.to_owned(), writer: writer.clone() })
    }
}

impl Rows for Stored {
    fn instance_id(&self) -> Result<String, ReadFault> {
        self.reader.instance_id().map_err(|error| fault(&self.writer, &error))
    }

    fn cursors(&self) -> Result<Ids, ReadFault> {
        self.reader.cursors(&self.destination).map_err(|error| fault(&self.writer, &error))
    }

    fn rows(&self, table: Table, after_id: i64, limit: usize, each: &mut EachRow<'_>) -> Result<usize, ReadFault> {
        self.reader.rows(table, after_id, limit, each).map_err(|error| fault(&self.writer, &error))
    }
}

fn fault(writer: &Queue<Command>, error: &ReadError) -> ReadFault {
    if error.is_corrupt() && !writer.command(Command::Examine) {
        log::debug!("the writer has ended, nobody looks at the broken file");
    }
    ReadFault(error.to_string())
}
