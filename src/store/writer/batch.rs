//! One batch: all requests of it in one transaction, each in a savepoint of its own.

use rusqlite::{ErrorCode, Transaction, TransactionBehavior};

use crate::event::Table;
use crate::queue::{Entry, Outcome};
use crate::stats::Refusal;
use crate::store::file::Database;
use crate::store::insert::Inserts;
use crate::store::prune;

/// Stores all requests in one transaction, each in a savepoint of its own.
pub fn store(database: &mut Database, entries: &[Entry]) -> rusqlite::Result<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(entries.len());
    let mut stored = [0i64; Table::ALL.len()];
    let tx = database.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut inserts = Inserts::new(&tx);
        for entry in entries {
            outcomes.push(match request(&tx, &mut inserts, entry, &mut stored) {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    log::error!(error:% = error; "a request breaks a rule of the schema and was refused");
                    Outcome::Refused(Refusal::StoreFailing)
                }
                other => other?,
            });
        }
        for table in Table::ALL {
            let count = stored[table.index()];
            if count > 0 {
                prune::book_stored(&tx, table, count)?;
            }
        }
    }
    tx.commit()?;
    let remote = database.rows.iter().any(|account| account.synced_id != i64::MAX);
    for (account, count) in database.rows.iter_mut().zip(stored) {
        account.stored += count;
        account.present += count;
        account.unsynced += if remote { count } else { 0 };
    }
    Ok(outcomes)
}

/// Stores one request, or nothing of it.
fn request(
    tx: &Transaction<'_>,
    inserts: &mut Inserts<'_>,
    entry: &Entry,
    stored: &mut [i64; Table::ALL.len()],
) -> rusqlite::Result<Outcome> {
    // One statement alone is undone by SQLite itself.
    let savepoint = entry.events.len() > 1;
    if savepoint {
        tx.prepare_cached("SAVEPOINT request")?.execute([])?;
    }
    let mut new = [0i64; Table::ALL.len()];
    for event in &entry.events {
        match inserts.insert(event) {
            Ok(true) => new[event.table().index()] += 1,
            Ok(false) => {}
            Err(error) => {
                // Any other error ends the whole transaction, and may have ended the savepoint with it.
                if savepoint && error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) {
                    tx.execute_batch("ROLLBACK TO request; RELEASE request")?;
                }
                return Err(error);
            }
        }
    }
    if savepoint {
        tx.prepare_cached("RELEASE request")?.execute([])?;
    }
    let count: i64 = new.iter().sum();
    stored.iter_mut().zip(new).for_each(|(all, new)| *all += new);
    Ok(Outcome::Stored { stored: count as u32, duplicates: entry.events.len() as u32 - count as u32 })
}
