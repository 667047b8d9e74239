//! One batch: all requests of it in one transaction, each in a savepoint of its own.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::event::{ErrorEvent, Event, EventId, Kind, LlmTrace, Table, Unit};
use crate::queue::{Entry, Outcome};
use crate::stats::{Gains, Refusal, Stats};
use crate::store::file::Database;
use crate::store::insert::Inserts;
use crate::store::notes::{Decision, Learnt, Notes, Rooms};
use crate::store::prune;
use crate::store::rollup::{Call, Rollup, Sizes};

/// A batch that is committed.
#[derive(Debug)]
pub struct Stored {
    /// What became of each request.
    pub outcomes: Vec<Outcome>,
    /// What is newly stored: for [`Stats::gained`] once nothing of the batch will be stored again.
    pub gains: Gains,
}

/// Stores all requests in one transaction, each in a savepoint of its own, with what they add to the sums.
pub fn store(database: &mut Database, entries: &[Entry], now_ms: i64, stats: &Stats) -> rusqlite::Result<Stored> {
    let made_ms = EventId::made_ms(&database.instance_id).unwrap_or(now_ms);
    let mut outcomes = Vec::with_capacity(entries.len());
    let tx = database.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (stored, sizes, rooms, gains) = {
        let mut storing = Storing {
            conn: &tx,
            inserts: Inserts::new(&tx),
            notes: Notes::new(&tx, database.rooms, made_ms, now_ms),
            rollup: Rollup::new(&tx, &database.sizes).counting_for(stats),
            stored: Counts::default(),
            errors: Gains::default(),
            stats,
        };
        for entry in entries {
            outcomes.push(storing.request(entry)?);
        }
        storing.end()?
    };
    tx.commit()?;
    (database.sizes, database.rooms) = (sizes, rooms);
    for (account, count) in database.rows.iter_mut().zip(stored) {
        account.stored += count;
        account.present += count;
        account.unsynced += if account.is_pushed() { count } else { 0 };
    }
    Ok(Stored { outcomes, gains })
}

/// A transaction in which requests are stored.
struct Storing<'c> {
    conn: &'c Connection,
    inserts: Inserts<'c>,
    notes: Notes<'c>,
    rollup: Rollup<'c>,
    /// New rows, by [`Table::index`].
    stored: Counts,
    /// Those of `error_events` as `/metrics` counts them.
    errors: Gains,
    stats: &'c Stats,
}

/// One number for each table, by [`Table::index`].
type Counts = [i64; Table::ALL.len()];

/// What became of an event.
enum Became {
    Row,
    Duplicate,
    /// The calls that it sums up are rows with tokens of their own.
    Ignored,
}

impl Storing<'_> {
    /// Stores one request, or nothing of it.
    fn request(&mut self, entry: &Entry) -> rusqlite::Result<Outcome> {
        self.rollup.begin(entry.events.len())?;
        let savepoint = !is_one_statement(entry);
        if savepoint {
            self.conn.prepare_cached("SAVEPOINT request")?.execute([])?;
        }
        let mut errors = Vec::new();
        let (outcome, new) = match self.whole(entry, &mut errors) {
            Ok(stored) => stored,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.rollup.forget();
                self.notes.forget();
                if savepoint {
                    self.conn.execute_batch("ROLLBACK TO request; RELEASE request")?;
                }
                log::error!(error:% = error; "a request breaks a rule of the schema and was refused");
                return Ok(Outcome::Refused(Refusal::StoreFailing));
            }
            // Any other error ends the whole transaction, and may have ended the savepoint with it.
            Err(error) => return Err(error),
        };
        if savepoint {
            self.conn.prepare_cached("RELEASE request")?.execute([])?;
        }
        self.rollup.keep()?;
        self.stored.iter_mut().zip(new).for_each(|(all, new)| *all += new);
        errors.into_iter().for_each(|error| self.errors.count_error(error, self.stats));
        Ok(outcome)
    }

    /// Writes what a request tells. Returns how many of its events are new rows, by table, and adds those of errors to
    /// `errors`.
    fn whole<'e>(&mut self, entry: &'e Entry, errors: &mut Vec<&'e ErrorEvent>) -> rusqlite::Result<(Outcome, Counts)> {
        self.notes.take(&entry.notes, &mut self.rollup)?;
        let (mut new, mut duplicates, mut ignored) = (Counts::default(), 0, 0);
        for event in &entry.events {
            self.rollup.relieve()?;
            let became = match &event.kind {
                Kind::LlmTrace(trace) => self.call(event, trace)?,
                _ if self.inserts.insert(event, &Learnt::default())? => Became::Row,
                _ => Became::Duplicate,
            };
            match became {
                Became::Row => {
                    new[event.table().index()] += 1;
                    if let Kind::ErrorEvent(error) = &event.kind {
                        errors.push(&**error);
                    }
                }
                Became::Duplicate => duplicates += 1,
                Became::Ignored => ignored += 1,
            }
        }
        let stored = new.iter().sum::<i64>() as u32;
        Ok((Outcome::Stored { stored, duplicates, ignored }, new))
    }

    /// Stores a call, with all that is known of it.
    fn call(&mut self, event: &Event, trace: &LlmTrace) -> rusqlite::Result<Became> {
        let decision = match (trace.unit, &trace.exporter) {
            // Whoever posts sums of turns posts the calls as well.
            (Unit::TurnSum, None) => Decision::Attribution,
            (Unit::TurnSum, Some(exporter)) => match self.notes.decision(exporter)? {
                Decision::Attribution => return Ok(Became::Ignored),
                decision => decision,
            },
            _ => Decision::Counts,
        };
        let learnt = self.notes.known_of(trace)?;
        if !self.inserts.insert(event, &learnt)? {
            return Ok(Became::Duplicate);
        }
        let id = self.conn.last_insert_rowid();
        self.rollup.stored(id);
        match (decision, &trace.exporter) {
            (Decision::Counts, _) => {
                let call = Call::of_event(event.received_at_ms, trace);
                self.rollup.count(learnt.add_to(&call).share());
            }
            (Decision::Open, Some(exporter)) => self.notes.leave_open(exporter, id)?,
            (Decision::Attribution | Decision::Open, _) => {}
        }
        self.notes.may_wait(id, trace, &learnt)?;
        Ok(Became::Row)
    }

    /// Writes the accounts of what was stored.
    fn end(mut self) -> rusqlite::Result<(Counts, Sizes, Rooms, Gains)> {
        for table in Table::ALL {
            let count = self.stored[table.index()];
            if count > 0 {
                prune::book_stored(self.conn, table, count)?;
            }
        }
        let gains = Gains { errors: self.errors.errors, ..self.rollup.take_gains() };
        Ok((self.stored, self.rollup.write()?, self.notes.rooms, gains))
    }
}

/// Whether a request writes with one statement alone: that one is undone by SQLite itself.
fn is_one_statement(entry: &Entry) -> bool {
    let is_alone = |event: &Event| match &event.kind {
        Kind::LlmTrace(trace) => trace.otel_trace_id.is_none() && trace.exporter.is_none(),
        _ => true,
    };
    matches!(&entry.events[..], [event] if entry.notes.is_empty() && is_alone(event))
}
