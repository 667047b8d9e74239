//! What the push reads from: a trait, so that tests need no database.

use crate::event::{Table, Value};
use crate::store::Reader;

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

/// Takes one row: its id and its columns.
pub type EachRow<'a> = dyn FnMut(i64, &[(&'static str, Value<'_>)]) + 'a;

/// Opens the rows anew for each cycle, because the file may have been replaced.
pub type OpenRows = dyn Fn() -> Result<Box<dyn Rows>, ReadFault> + Send + Sync;

/// The rows cannot be read now. Says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the rows: {0}")]
pub struct ReadFault(pub String);

/// The one destination that there is, as `push_cursor` names it.
pub const DESTINATION: &str = "remote";

impl Rows for Reader {
    fn instance_id(&self) -> Result<String, ReadFault> {
        Reader::instance_id(self).map_err(fault)
    }

    fn cursors(&self) -> Result<Ids, ReadFault> {
        Reader::cursors(self, DESTINATION).map_err(fault)
    }

    fn rows(&self, table: Table, after_id: i64, limit: usize, each: &mut EachRow<'_>) -> Result<usize, ReadFault> {
        Reader::rows(self, table, after_id, limit, each).map_err(fault)
    }
}

pub(super) fn fault(error: impl std::fmt::Display) -> ReadFault {
    ReadFault(error.to_string())
}
