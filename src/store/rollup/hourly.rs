//! A table of sums by the hour within one transaction: each row is read once, added to in memory, and written once.

use std::collections::HashMap;
use std::hash::Hash;

use rusqlite::Connection;

use crate::clock::day_start;

/// One row of such a table.
pub trait Sums: Default {
    /// What tells its rows apart.
    type Key: Clone + Eq + Hash;
    /// Rows of an hour that are told apart; what needs another counts as `(other)`.
    const HOUR_ROWS_MAX: i64;
    /// How many rows an hour has. Served by the primary key.
    const COUNT_HOUR: &'static str;

    /// The hour of a key.
    fn hour(key: &Self::Key) -> i64;
    /// The key of what is not told apart, in the hour that is given.
    fn other(key: &Self::Key, hour: i64) -> Self::Key;
    /// Reads a row.
    fn read(conn: &Connection, key: &Self::Key) -> rusqlite::Result<Option<Self>>;
    /// Writes a row, over the one that is there. Returns its [`bytes`](Sums::bytes).
    fn write(&self, conn: &Connection, key: &Self::Key) -> rusqlite::Result<i64>;
    /// Removes a row.
    fn remove(conn: &Connection, key: &Self::Key) -> rusqlite::Result<()>;
    /// Whether there is nothing in it that a reader could want.
    fn is_empty(&self) -> bool;
    /// About as many bytes as it takes in the file.
    fn bytes(&self, key: &Self::Key) -> i64;
}

/// How large a table of sums is, and may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    /// Rows.
    pub rows: i64,
    /// What they take, by [`Sums::bytes`].
    pub bytes: i64,
    /// What they may take before nothing is told apart any more.
    pub bytes_max: i64,
}

/// Rows of a table in which nothing more is told apart: about 20 MB.
pub const ROWS_MAX: i64 = 50_000;
/// Rows held in memory, so that one request with ever new names cannot take more than they are worth.
const HELD_MAX: usize = 128;

impl Size {
    /// Whether no row may be added but those for what is not told apart.
    pub fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX || self.bytes >= self.bytes_max
    }
}

/// The rows that a transaction has touched.
pub struct Hourly<'c, S: Sums> {
    conn: &'c Connection,
    held: HashMap<S::Key, Held<S>>,
    rows_of_hour: HashMap<i64, i64>,
    /// As it will be after the commit, but for the lengths of what is held.
    pub size: Size,
}

struct Held<S> {
    sums: S,
    /// What [`Size::bytes`] has for it.
    bytes: i64,
    in_file: bool,
    changed: bool,
}

impl<'c, S: Sums> Hourly<'c, S> {
    /// Nothing is touched yet.
    pub fn new(conn: &'c Connection, size: Size) -> Hourly<'c, S> {
        Hourly { conn, held: HashMap::new(), rows_of_hour: HashMap::new(), size }
    }

    /// The sums to add to: those of the key, or where it may have no row of its own, of what is not told apart.
    pub fn sums_for(&mut self, key: S::Key) -> rusqlite::Result<&mut S> {
        if self.held.len() >= HELD_MAX {
            self.write()?;
        }
        let key = if self.hold(&key)? { key } else { self.row_for(key)? };
        let Some(held) = self.held.get_mut(&key) else { unreachable!("`hold` or `row_for` has put it there") };
        held.changed = true;
        Ok(&mut held.sums)
    }

    /// The sums that something was added to under this key, by what `take` says when asked: of the key itself, or of what
    /// was not told apart. Whether there were any.
    pub fn take(&mut self, key: &S::Key, mut take: impl FnMut(&mut S) -> bool) -> rusqlite::Result<bool> {
        let hour = S::hour(key);
        for place in [key.clone(), S::other(key, hour), S::other(key, day_start(hour))] {
            if self.hold(&place)?
                && let Some(held) = self.held.get_mut(&place)
                && take(&mut held.sums)
            {
                held.changed = true;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes every row that was changed, and holds none of them any more.
    pub fn write(&mut self) -> rusqlite::Result<()> {
        for (key, held) in self.held.drain().filter(|(_, held)| held.changed) {
            if held.sums.is_empty() {
                self.size.rows -= 1;
                self.size.bytes -= held.bytes;
                if held.in_file {
                    S::remove(self.conn, &key)?;
                }
            } else {
                self.size.bytes += held.sums.write(self.conn, &key)? - held.bytes;
            }
        }
        self.rows_of_hour.clear();
        Ok(())
    }

    /// Reads the row of a key, unless it is held. Whether there is one.
    fn hold(&mut self, key: &S::Key) -> rusqlite::Result<bool> {
        if self.held.contains_key(key) {
            return Ok(true);
        }
        let Some(sums) = S::read(self.conn, key)? else { return Ok(false) };
        let bytes = sums.bytes(key);
        self.held.insert(key.clone(), Held { sums, bytes, in_file: true, changed: false });
        Ok(true)
    }

    /// A row for a key that [`hold`](Self::hold) has found none for: a new one, or that of what is not told apart.
    fn row_for(&mut self, key: S::Key) -> rusqlite::Result<S::Key> {
        let hour = S::hour(&key);
        let other = if self.size.is_full() {
            Some(S::other(&key, day_start(hour)))
        } else if self.rows_of(hour)? >= S::HOUR_ROWS_MAX {
            Some(S::other(&key, hour))
        } else {
            None
        };
        let key = match other {
            Some(other) if self.hold(&other)? => return Ok(other),
            other => other.unwrap_or(key),
        };
        let (sums, rows) = (S::default(), self.rows_of(S::hour(&key))?);
        let bytes = sums.bytes(&key);
        self.rows_of_hour.insert(S::hour(&key), rows + 1);
        self.size.rows += 1;
        self.size.bytes += bytes;
        self.held.insert(key.clone(), Held { sums, bytes, in_file: false, changed: false });
        Ok(key)
    }

    fn rows_of(&mut self, hour: i64) -> rusqlite::Result<i64> {
        if let Some(rows) = self.rows_of_hour.get(&hour) {
            return Ok(*rows);
        }
        let rows = self.conn.prepare_cached(S::COUNT_HOUR)?.query_row([hour], |row| row.get(0))?;
        self.rows_of_hour.insert(hour, rows);
        Ok(rows)
    }
}
