//! What the push reads from: traits, so that tests need no database.

use std::path::Path;

use crate::event::Table;
use crate::queue::Queue;
use crate::store::{Command, EachRow, FrozenBatch, ReadError, Reader, Waiting};

/// Last row ids, by [`Table::index`].
pub type Ids = [i64; Table::ALL.len()];

/// The stored rows. Every call is a short read of its own; nothing is held between two.
pub trait Rows {
    /// Hands the first `limit` rows after `after_id` to `each`, by ascending id, and says how many
    /// there were.
    ///
    /// # Errors
    /// The file cannot be read now.
    fn rows(&self, table: Table, after_id: i64, limit: usize, each: &mut EachRow<'_>) -> Result<usize, ReadFault>;
}

/// The stored rows, and how far the push to one destination has come with them. Likewise.
///
/// # Errors
/// Of each: the file cannot be read now.
pub trait Ledger {
    /// The rows.
    fn rows(&self) -> &dyn Rows;

    /// The id of the database file.
    fn instance_id(&self) -> Result<String, ReadFault>;

    /// The last row of each table that the push has passed; the largest id there is where a table is not pushed.
    fn cursors(&self) -> Result<Ids, ReadFault>;

    /// Whether the remote ever confirmed a row.
    fn has_confirmed(&self) -> Result<bool, ReadFault>;

    /// The batch of a lane that was on its way last.
    fn open_batch(&self, lane: &str) -> Result<Option<FrozenBatch>, ReadFault>;

    /// Rows that are to be sent again, by table and id.
    fn waiting(&self) -> Result<Vec<Waiting>, ReadFault>;

    /// The id of a row by its identity.
    fn row_id(&self, table: Table, trace_id: &str) -> Result<Option<i64>, ReadFault>;
}

/// Opens the rows anew for each cycle, because the file may have been replaced.
pub type OpenRows = dyn Fn() -> Result<Box<dyn Ledger>, ReadFault> + Send + Sync;

/// The rows cannot be read now. Says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the rows: {0}")]
pub struct ReadFault(pub String);

/// The rows of a database file, as one destination has them. When they turn out to be broken, the
/// writer is asked to look.
pub struct Stored {
    reader: Reader,
    destination: String,
    tables: Vec<Table>,
    writer: Queue<Command>,
}

impl Stored {
    /// Opens the file; `destination` is the name of the cursors ([`crate::config::PushConfig::destination`]), `tables`
    /// are those that go there.
    ///
    /// # Errors
    /// The file cannot be read now.
    pub fn open(
        path: &Path,
        destination: &str,
        tables: &[Table],
        writer: &Queue<Command>,
    ) -> Result<Stored, ReadFault> {
        let reader = Reader::open(path).map_err(|error| fault(writer, &error))?;
        Ok(Stored { reader, destination: destination.to_owned(), tables: tables.to_vec(), writer: writer.clone() })
    }

    fn told<T>(&self, read: Result<T, ReadError>) -> Result<T, ReadFault> {
        read.map_err(|error| fault(&self.writer, &error))
    }
}

impl Rows for Stored {
    fn rows(&self, table: Table, after_id: i64, limit: usize, each: &mut EachRow<'_>) -> Result<usize, ReadFault> {
        self.told(self.reader.rows(table, after_id, limit, each))
    }
}

impl Ledger for Stored {
    fn rows(&self) -> &dyn Rows {
        self
    }

    fn instance_id(&self) -> Result<String, ReadFault> {
        self.told(self.reader.instance_id())
    }

    fn cursors(&self) -> Result<Ids, ReadFault> {
        let mut cursors = self.told(self.reader.cursors(&self.destination))?;
        for table in Table::ALL.into_iter().filter(|table| !self.tables.contains(table)) {
            cursors[table.index()] = i64::MAX;
        }
        Ok(cursors)
    }

    fn has_confirmed(&self) -> Result<bool, ReadFault> {
        self.told(self.reader.has_confirmed(&self.destination))
    }

    fn open_batch(&self, lane: &str) -> Result<Option<FrozenBatch>, ReadFault> {
        self.told(self.reader.open_batch(&self.destination, lane))
    }

    fn waiting(&self) -> Result<Vec<Waiting>, ReadFault> {
        self.told(self.reader.waiting(&self.destination))
    }

    fn row_id(&self, table: Table, trace_id: &str) -> Result<Option<i64>, ReadFault> {
        self.told(self.reader.row_id(table, trace_id))
    }
}

fn fault(writer: &Queue<Command>, error: &ReadError) -> ReadFault {
    if error.is_corrupt() && !writer.command(Command::Examine) {
        log::debug!("the writer has ended, nobody looks at the broken file");
    }
    ReadFault(error.to_string())
}
