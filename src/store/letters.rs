//! Dead letters for whoever is not the writer: read from a file, and asked to be sent again.

use std::path::Path;
use std::time::Duration;

use async_io::Timer;
use smol::channel;
use smol::future::or;

use super::delivery::{Revival, Revived};
use super::look::{LookError, Needs, look_for};
use super::reader::{ReadError, Reader};
use super::writer::Command;
use crate::event::{Table, Value};
use crate::queue::Queue;

/// A dead letter as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Who will never take it.
    pub destination: String,
    /// When that was known, Unix ms.
    pub died_ms: i64,
    /// Table of the row.
    pub table: Table,
    /// The row.
    pub row_id: i64,
    /// Its identity.
    pub trace_id: String,
    /// Status of the answer that said so.
    pub status: u16,
    /// Why, in one word of the remote's.
    pub code: Option<String>,
    /// Why, in the remote's words.
    pub message: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
}

/// The dead letters of a file, at most `limit` of those that come after another: by destination, the oldest first.
///
/// # Errors
/// Any of [`LookError`].
pub fn letters(path: &Path, after: Option<&Letter>, limit: usize) -> Result<Vec<Letter>, LookError> {
    look_for(path, NEEDS, &mut |reader| read_letters(reader, after, limit))
}

/// What `write` makes of the rows of some dead letters, of those that are still there.
///
/// # Errors
/// Any of [`LookError`].
pub fn rows_of_letters(path: &Path, letters: &[Letter], write: &mut WriteLetter<'_>) -> Result<Vec<u8>, LookError> {
    look_for(path, NEEDS, &mut |reader| {
        let mut out = Vec::new();
        for letter in letters {
            reader.rows(letter.table, letter.row_id - 1, 1, &mut |id, columns| {
                if id == letter.row_id {
                    write(letter, columns, &mut out);
                }
            })?;
        }
        Ok(out)
    })
}

/// Appends a dead letter, given with every column of its row but the id.
pub type WriteLetter<'a> = dyn FnMut(&Letter, &[(&'static str, Value<'_>)], &mut Vec<u8>) + 'a;

const NEEDS: Needs = Needs { schema: 4, what: "dead letters" };

// No index has this order: the few letters are sorted. A newer program may have more tables.
const LETTERS: &str = "SELECT destination, died_at, table_name, row_id, trace_id, status, code, message, attempts \
     FROM dead_letters WHERE (destination, died_at, table_name, row_id) > (?1, ?2, ?3, ?4) \
     AND table_name IN ('llm_traces', 'error_events', 'custom_events', 'system_metrics') \
     ORDER BY destination, died_at, table_name, row_id LIMIT ?5";

fn read_letters(reader: &Reader, after: Option<&Letter>, limit: usize) -> Result<Vec<Letter>, ReadError> {
    let mut statement = reader.conn.prepare_cached(LETTERS)?;
    let (destination, died_ms, table, row_id) = after.map_or(("", i64::MIN, "", 0), |letter| {
        (&*letter.destination, letter.died_ms, letter.table.name(), letter.row_id)
    });
    let mut rows = statement.query((destination, died_ms, table, row_id, limit as i64))?;
    let mut letters = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(table) = Table::named(&row.get::<_, String>(2)?) else { continue };
        letters.push(Letter {
            destination: row.get(0)?,
            died_ms: row.get(1)?,
            table,
            row_id: row.get(3)?,
            trace_id: row.get(4)?,
            status: row.get(5)?,
            code: row.get(6)?,
            message: row.get(7)?,
            attempts: row.get(8)?,
        });
    }
    Ok(letters)
}

/// Where dead letters are asked to be sent again.
#[derive(Debug, Clone)]
pub struct DeadLetters(Option<Queue<Command>>);

/// Why nothing is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReviveError {
    /// There is no remote.
    #[error("nothing is pushed from here: TRACE_PUSH_ENDPOINT is not set")]
    NoRemote,
    /// The file could not note it.
    #[error("the file cannot note it now, ask again later")]
    Failed,
    /// The writer has ended, or is at something else. It may do it yet.
    #[error("the writer did not answer in time, ask again later")]
    NoAnswer,
}

/// As long as a POST waits for the store.
const PATIENCE: Duration = Duration::from_secs(30);

impl DeadLetters {
    /// Asks this writer; `None` without a remote.
    pub fn new(writer: Option<Queue<Command>>) -> DeadLetters {
        DeadLetters(writer)
    }

    /// Has dead letters sent again with the next push. Returns when the file knows it.
    ///
    /// # Errors
    /// Any of [`ReviveError`].
    pub async fn revive(&self, which: Revived) -> Result<Revival, ReviveError> {
        let writer = self.0.as_ref().ok_or(ReviveError::NoRemote)?;
        let (reply, answer) = channel::bounded(1);
        if !writer.command(Command::Revive { which, reply }) {
            return Err(ReviveError::NoAnswer);
        }
        let answered = async { answer.recv().await.ok() };
        let too_late = async {
            Timer::after(PATIENCE).await;
            None
        };
        or(answered, too_late).await.ok_or(ReviveError::NoAnswer)?.ok_or(ReviveError::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plans::empty;

    #[test]
    fn pages_of_any_size_have_each_letter_once_by_destination_and_age() {
        let conn = empty();
        let insert = "INSERT INTO dead_letters (destination, table_name, row_id, trace_id, died_at, status, attempts) \
                      VALUES (?1, ?2, ?3, ?4, ?5, 422, 3)";
        let mut wanted = Vec::new();
        for destination in ["https://a", "https://b"] {
            for died_ms in [-1, 5, 6] {
                for table in ["custom_events", "llm_traces", "of_a_newer_program"] {
                    for row_id in [1, 2] {
                        let trace_id = format!("{destination} {died_ms} {table} {row_id}");
                        // A row has one letter of a destination.
                        conn.execute(insert, (destination, table, row_id + 10 * died_ms, &trace_id, died_ms)).unwrap();
                        if Table::named(table).is_some() {
                            wanted.push(trace_id);
                        }
                    }
                }
            }
        }
        let reader = Reader { conn };
        for size in [1, 2, 3, 5, wanted.len(), 100] {
            let (mut found, mut last) = (Vec::new(), None);
            loop {
                let page = read_letters(&reader, last.as_ref(), size).unwrap();
                assert!(page.len() <= size);
                found.extend(page.iter().map(|letter| letter.trace_id.clone()));
                let Some(letter) = page.last() else { break };
                last = Some(letter.clone());
            }
            assert_eq!(found, wanted, "{size}");
        }
    }
}
