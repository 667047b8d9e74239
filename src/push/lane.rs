//! One lane of a cycle: chooses batches, sends them, and acts on the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Setup;
use super::answer::{Sent, Verdict, judge};
use super::body::{Body, Draft, Limits, OpenBatch};
use super::breaker::Breaker;
use super::cycle::{Complaints, PushError, deliver};
use super::envelope::Envelope;
use super::format::{self, Lane};
use super::rows::Ledger;
use crate::client::{self, Answer, Client};
use crate::event::{EventId, Table};
use crate::redact::redact;
use crate::stats::Circuit;
use crate::store::{DeadLetter, Delivery, WAITING_MAX, Waiting};
use crate::wire::push::{self as wire, Receipt, RejectedRow};

/// What a lane keeps from one cycle to the next. All of it may be lost: the file knows the open batch.
#[derive(Debug, Default)]
pub(super) struct LaneCarry {
    pub(super) breaker: Breaker,
    /// When the next of the rows that wait is due, as an uptime.
    pub(super) due: Option<Duration>,
    open: Option<OpenBatch>,
    /// How often the open batch was sent.
    attempts: u32,
    /// Among so many of the next new rows is one that the remote refuses.
    suspects: Option<u64>,
    /// Likewise of the rows that wait.
    suspects_waiting: Option<u64>,
    /// What the remote takes at once, in bytes, where that is less than we may send.
    bytes_max: Option<u64>,
    /// How many batches it took of which it took rows.
    taken: u64,
    /// What that was when it refused the batch among whose rows the bad one is looked for.
    hunting_since: u64,
    /// What that was when it first refused a row that waits, by table and id.
    refused_since: BTreeMap<(usize, i64), u64>,
    /// How often in a row it answered the same batch with an error of its own.
    errors: u32,
    /// How often in a row no answer came to what was sent.
    unanswered: u32,
    /// Whether the remote does not understand compressed bodies.
    plain: bool,
    /// Whether it ever took a row.
    proven: bool,
    /// Whether a failure was logged since it last worked.
    pub(super) told: bool,
    /// Rows that it named as never to be taken since it last took one.
    refused_in_row: u64,
}

impl LaneCarry {
    /// Among so many of the next rows, new ones or such that wait, is one that the remote refuses.
    fn suspects(&mut self, waiting: bool) -> &mut Option<u64> {
        if waiting { &mut self.suspects_waiting } else { &mut self.suspects }
    }

    pub(super) fn recovered(&mut self, lane: &str) {
        if std::mem::take(&mut self.told) {
            log::info!(lane; "push works again");
        }
    }
}

/// A lane in a cycle.
pub(super) struct LanePush<'a> {
    pub(super) setup: &'a Setup,
    pub(super) client: &'a Client,
    pub(super) ledger: &'a dyn Ledger,
    pub(super) instance_id: &'a str,
    pub(super) lane: Lane,
    pub(super) state: &'a mut LaneCarry,
    pub(super) complaints: &'a mut Complaints,
    /// Rows that were refused alone in this cycle, for the first time and again.
    pub(super) refused_alone: u32,
    pub(super) refused_again: u32,
    /// Whether what became of the batch is noted: then it does not go again, whatever follows.
    pub(super) settled: bool,
}

/// A body of more rows is no faster, and its receipt would be longer.
const ROWS_MAX: u64 = wire::ROWS_MAX as u64;
/// What goes out while the breaker is not closed, and while the remote has not taken a row yet.
const PROBE_ROWS: u64 = 100;
/// A row is sent alone this often before it is a dead letter.
const REFUSALS_MAX: u32 = 3;
/// Rows that are refused one by one in one cycle. At more it is not the rows that are wrong.
const SET_ASIDE_MAX: u32 = 20;
/// So few rows that are refused are no sign that everything is.
const FEW_REFUSED: usize = 3;
/// So often a batch meets an error of the remote before it is looked for a row that makes it.
const ERRORS_MAX: u32 = 5;
/// So often a batch goes unanswered before smaller ones are tried. Where they have been before, once.
const UNANSWERED_MAX: u32 = 3;
/// Not below this: it is no length then.
const UNANSWERED_BYTES: u64 = 64 << 10;
/// No row waits longer than this for its next attempt. What is due later was put off by a clock that was wrong.
const LATER_MAX_MS: i64 = 3_600_000;
/// What the remote was found to take at once grows by this part with each batch, so that one mistake of it does not make
/// every batch small for ever.
const REGROWTH: u64 = 16;

impl LanePush<'_> {
    /// Pushes until the lane has no row left that may go now.
    pub(super) fn push(mut self) -> Result<(), PushError> {
        let taken_before = self.state.taken;
        self.recall()?;
        loop {
            if self.state.open.is_none() {
                self.state.open = self.choose()?;
                self.state.attempts = 0;
                let Some(batch) = &self.state.open else { return self.verdict_of_all(taken_before) };
                let delivery = Delivery { lane: self.lane.name, open: Some(batch.freeze()), ..Delivery::default() };
                if !deliver(self.setup, self.instance_id, delivery) {
                    // It can be sent all the same: rows that come twice are known by their ids.
                    log::debug!("the batch could not be noted, after a restart its rows go out in another");
                }
            }
            // Taken out, and put back where it must be sent again.
            let Some(batch) = self.state.open.take() else { return Ok(()) };
            let sent = self.send(&batch);
            let answer = match sent {
                Ok(answer) => answer,
                Err(error @ PushError::Reselect { .. }) => return Err(error),
                Err(error) => {
                    if self.is_too_much(&batch) {
                        self.state.unanswered = 0;
                        self.shrink(&batch, error.cause());
                    } else {
                        self.state.open = Some(batch);
                    }
                    return Err(error);
                }
            };
            let gzip = self.gzip();
            let (draft, rows) = (&batch.draft, batch.rows);
            let sent = Sent { format: draft.format, lane: self.lane, batch_id: &draft.id, rows, gzip };
            let again = match judge(&answer, &sent) {
                Verdict::Taken(receipt) if self.names_too_few(&receipt, &batch) => {
                    let cause = format!("the remote answered {} and does not say which rows it refuses", answer.status);
                    self.refused(&batch, &answer, cause)
                }
                Verdict::Taken(receipt) => self.taken(&batch, receipt, &answer),
                Verdict::Refused { cause } => self.refused(&batch, &answer, cause),
                Verdict::TooLarge { cause } if rows > 1 => {
                    self.shrink(&batch, &cause);
                    Ok(())
                }
                Verdict::TooLarge { cause } => self.set_aside(&batch, &answer, cause, true),
                Verdict::Unencoded { cause } => {
                    log::warn!(cause = cause.as_str(); "the remote takes no gzip, going on without");
                    self.state.plain = true;
                    self.state.open = Some(batch.clone());
                    Ok(())
                }
                Verdict::Later { after, cause } if self.meets_errors(&answer) => {
                    self.state.errors = 0;
                    self.look_for_the_row(&batch, &answer)?;
                    return Err(PushError::Retry { after, cause });
                }
                Verdict::Later { after, cause } => Err(PushError::Retry { after, cause }),
                Verdict::Misconfigured { after, cause } => Err(PushError::Misconfigured { after, cause }),
            };
            if let Err(error) = again {
                if !std::mem::take(&mut self.settled) {
                    self.state.open = Some(batch);
                }
                return Err(error);
            }
            self.settled = false;
        }
    }

    /// Nothing is left that may go now. Where all that went was refused, the remote does not work for all that.
    fn verdict_of_all(&mut self, taken_before: u64) -> Result<(), PushError> {
        if self.refused_again < SET_ASIDE_MAX || self.state.taken > taken_before {
            return Ok(());
        }
        let never = self.never()?;
        let cause = format!("the remote refused {SET_ASIDE_MAX} rows again, one by one{never}");
        Err(PushError::Misconfigured { after: None, cause })
    }

    /// Finds the batch that was on its way when the program ended, or drops one whose time is over.
    fn recall(&mut self) -> Result<(), PushError> {
        let known = self.state.open.as_ref();
        if known.is_some_and(|open| open.draft.envelope.instance_id != self.instance_id) {
            // Another file: what was known of the remote is of no use for it.
            (self.state.open, self.state.proven) = (None, false);
        }
        if self.state.open.is_none() {
            self.state.open = self.thaw()?;
            self.state.attempts = 0;
        }
        if let Some(open) = self.state.open.take() {
            self.state.open = self.is_next(&open)?.then_some(open);
        }
        Ok(())
    }

    fn thaw(&mut self) -> Result<Option<OpenBatch>, PushError> {
        let Some(frozen) = self.ledger.open_batch(self.lane.name)? else { return Ok(None) };
        // What was found to be too long, or to hold a row that is looked for, is not sent again.
        let suspects = *self.state.suspects(frozen.again);
        let is_too_long = self.state.bytes_max.is_some_and(|bytes_max| frozen.bytes > bytes_max)
            || suspects.is_some_and(|suspects| frozen.rows > suspects.div_ceil(2));
        if frozen.rows > 1 && is_too_long {
            return Ok(None);
        }
        let envelope = Envelope::from_json(&frozen.envelope, self.instance_id);
        // Another version may write the same row in other bytes.
        let Some(envelope) = envelope.filter(|envelope| envelope.version == self.setup.version) else {
            return Ok(None);
        };
        let (id, made_ms) = (frozen.id.clone(), frozen.made_ms);
        let draft = Draft { id, made_ms, format: self.setup.config.format, lane: self.lane, envelope };
        Ok(OpenBatch::thaw(self.ledger.rows(), draft, &frozen)?)
    }

    /// Whether the rows of a batch are those that would be chosen now: the next after the cursors, or such that wait.
    fn is_next(&self, open: &OpenBatch) -> Result<bool, PushError> {
        if open.again {
            let waiting = self.ledger.waiting()?;
            let waiting: BTreeSet<(usize, i64)> = waiting.iter().map(|row| (row.table.index(), row.id)).collect();
            let is_pushed = |table| self.setup.config.tables.contains(&table);
            return Ok(open.waited().all(|(table, id)| is_pushed(table) && waiting.contains(&(table.index(), id))));
        }
        let cursors = self.ledger.cursors()?;
        for (table, first) in open.first_ids() {
            let cursor = cursors[table.index()];
            let mut next = None;
            if cursor < first {
                self.ledger.rows().rows(table, cursor, 1, &mut |id, _| next = Some(id))?;
            }
            if next != Some(first) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next batch: new rows, then those that wait and are due.
    fn choose(&mut self) -> Result<Option<OpenBatch>, PushError> {
        let now_ms = self.setup.clock.now_ms();
        let mut waiting = self.ledger.waiting()?;
        waiting.retain(|row| self.lane.tables.contains(&row.table) && self.setup.config.tables.contains(&row.table));
        let left_ms =
            |row: &Waiting| Some(row.due_ms.saturating_sub(now_ms)).filter(|left| (1..=LATER_MAX_MS).contains(left));
        let soonest_ms = waiting.iter().filter_map(left_ms).min();
        self.state.due = soonest_ms.map(|left| self.setup.clock.uptime() + Duration::from_millis(left.unsigned_abs()));
        waiting.retain(|row| left_ms(row).is_none());
        // New rows first: what was put off or refused must not keep them waiting, and may itself wait for one of them to be
        // taken, which is the proof that the remote takes rows.
        let limits = self.limits(self.state.suspects)?;
        let new = OpenBatch::of_new(self.ledger.rows(), self.draft(), self.ledger.cursors()?, limits)?;
        if new.is_some() { Ok(new) } else { self.choose_waiting(&waiting) }
    }

    fn choose_waiting(&mut self, due: &[Waiting]) -> Result<Option<OpenBatch>, PushError> {
        let together: Vec<Waiting> = due.iter().copied().filter(|row| !row.alone).collect();
        let limits = self.limits(self.state.suspects_waiting)?;
        let rows = self.ledger.rows();
        if let Some(batch) = OpenBatch::of_waiting(rows, self.draft(), &together, limits)? {
            return Ok(Some(batch));
        }
        // When so many were refused again, the others have time until the next push.
        let tried = self.refused_again < SET_ASIDE_MAX;
        for row in due.iter().filter(|row| row.alone && tried) {
            if let Some(batch) = OpenBatch::of_waiting(rows, self.draft(), std::slice::from_ref(row), limits)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn draft(&self) -> Draft {
        let made_ms = self.setup.clock.now_ms();
        let envelope = Envelope {
            instance_id: self.instance_id.to_owned(),
            identity: self.setup.identity.clone(),
            version: self.setup.version.to_owned(),
        };
        let id = EventId::new(made_ms).to_string();
        Draft { id, made_ms, format: self.setup.config.format, lane: self.lane, envelope }
    }

    fn limits(&mut self, suspects: Option<u64>) -> Result<Limits, PushError> {
        let bytes_max = self.setup.config.max_bytes as u64;
        let bytes_max = self.state.bytes_max.map_or(bytes_max, |found| bytes_max.min(found));
        let rows_max = if self.state.breaker.is_closed() && self.is_proven()? { ROWS_MAX } else { PROBE_ROWS };
        let half = suspects.map_or(rows_max, |suspects| suspects.div_ceil(2));
        Ok(Limits { bytes_max, rows_max: rows_max.min(half) })
    }

    /// Whether the remote ever took a row.
    fn is_proven(&mut self) -> Result<bool, PushError> {
        self.state.proven = self.state.proven || self.ledger.has_confirmed()?;
        Ok(self.state.proven)
    }

    /// What is said besides of a remote that never did.
    fn never(&mut self) -> Result<&'static str, PushError> {
        Ok(if self.is_proven()? { "" } else { ", and it has never taken one" })
    }

    fn gzip(&self) -> bool {
        self.setup.config.gzip && !self.state.plain
    }

    fn send(&mut self, batch: &OpenBatch) -> Result<Answer, PushError> {
        let now = self.setup.clock.uptime();
        if !self.state.breaker.is_closed() {
            self.setup.stats.push().circuit = Circuit::HalfOpen;
        }
        self.state.attempts = self.state.attempts.saturating_add(1);
        let attempt = self.state.attempts.to_string();
        let request = format::request(&self.setup.config, self.lane, &batch.draft.id);
        let mut headers = vec![
            ("Content-Type", request.content_type),
            ("Idempotency-Key", &*batch.draft.id),
            ("X-Trace-Attempt", &*attempt),
        ];
        headers.extend(request.headers.iter().map(|(name, value)| (&**name, &**value)));
        headers.extend(self.setup.config.headers.iter().map(|(name, value)| (&**name, value.reveal())));
        let body = Body::new(self.ledger.rows(), batch);
        let answer = self.client.post(&request.url, &headers, body, batch.bytes, self.gzip());
        self.state.unanswered = match &answer {
            Err(client::Error::NoAnswer(_)) => self.state.unanswered.saturating_add(1),
            _ => 0,
        };
        let took_ms = (self.setup.clock.uptime() - now).as_millis() as u64;
        log::debug!(batch:% = batch.draft.id, lane = self.lane.name, rows = batch.rows, bytes = batch.bytes, took_ms; "sent");
        Ok(answer?)
    }
}

// What became of a batch.
impl LanePush<'_> {
    /// Whether it refuses rows without saying which, and they must be found.
    fn names_too_few(&self, receipt: &Receipt, batch: &OpenBatch) -> bool {
        format::must_find(batch.draft.format, self.lane, receipt.rejected.unnamed, batch.rows)
    }

    /// The remote has the batch, but for the rows that it names.
    fn taken(&mut self, batch: &OpenBatch, receipt: Receipt, answer: &Answer) -> Result<(), PushError> {
        let (status, random) = (answer.status, fastrand::f64());
        let attempts = self.attempts_of(batch)?;
        let mut refused: BTreeMap<(usize, i64), (Table, RejectedRow)> = BTreeMap::new();
        for row in receipt.rejected.rows {
            match self.find(batch, &row)? {
                Some((table, id)) => drop(refused.insert((table.index(), id), (table, row))),
                None => log::debug!("the remote refused a row that it was not sent"),
            }
        }
        let mut delivery = self.past(batch);
        delivery.confirmed = batch.rows_of_tables();
        for ((place, id), (table, row)) in refused {
            delivery.confirmed[place] -= 1;
            let attempts = attempts.get(&(place, id)).copied().unwrap_or(0).saturating_add(1);
            if row.retryable == Some(true) {
                // What is put off together comes again together.
                let due_ms = self.due_ms(self.setup.backoff.wait(attempts, answer.retry_after, random));
                delivery.later.push(Waiting { table, id, due_ms, attempts, alone: false });
            } else {
                let (code, message) = (row.code.map(|text| self.hide(&text)), row.message.map(|text| self.hide(&text)));
                delivery.dead.push(DeadLetter { table, id, status, code, message, attempts });
            }
        }
        let dead = delivery.dead.len() as u64;
        let refused_in_row = if dead == batch.rows { self.state.refused_in_row + dead } else { 0 };
        let too_many =
            refused_in_row > u64::from(SET_ASIDE_MAX) || (dead > u64::from(SET_ASIDE_MAX) && 2 * dead > batch.rows);
        let mut refuses_all = false;
        if too_many && (batch.again || self.ledger.waiting()?.len() + delivery.dead.len() <= WAITING_MAX) {
            // Not the rows are wrong, but one of the two programs: there is time to mend it, and nobody is held up. In the
            // end the remote has its way.
            let wait = self.setup.misconfigured.wait(u32::MAX, answer.retry_after, random);
            let due_ms = self.due_ms(wait);
            for row in std::mem::take(&mut delivery.dead) {
                let DeadLetter { table, id, attempts, .. } = row;
                if attempts < REFUSALS_MAX {
                    refuses_all = true;
                    delivery.later.push(Waiting { table, id, due_ms, attempts, alone: false });
                } else {
                    delivery.dead.push(row);
                }
            }
        }
        if batch.again {
            let stay: BTreeSet<(usize, i64)> = delivery.later.iter().map(|row| (row.table.index(), row.id)).collect();
            delivery.settled = batch.waited().filter(|(table, id)| !stay.contains(&(table.index(), *id))).collect();
        }
        if receipt.rejected.unnamed > 0
            && let Some(rows) = self.complaints.unnamed.again(receipt.rejected.unnamed, self.setup.clock.uptime())
        {
            log::warn!(rows, lane = self.lane.name; "the remote dropped rows and does not say which");
        }
        self.setup.stats.push().rows_unnamed += receipt.rejected.unnamed;
        // What the remote has is noted whether the next can be chosen now or not.
        let next = if refuses_all { None } else { self.next_after(batch, &delivery).unwrap_or(None) };
        delivery.open = next.as_ref().map(OpenBatch::freeze);
        let confirms = delivery.confirmed.iter().any(|rows| *rows > 0);
        self.settle(batch, delivery)?;
        (self.state.open, self.state.attempts) = (next, 0);
        self.state.refused_in_row = refused_in_row;
        self.state.taken += u64::from(confirms);
        self.state.errors = 0;
        if refuses_all {
            return Err(PushError::Misconfigured {
                after: answer.retry_after,
                cause: format!("the remote refuses most rows ({status}): do its version and ours fit together?"),
            });
        }
        let suspects = self.state.suspects(batch.again);
        *suspects = suspects.and_then(|suspects| suspects.checked_sub(batch.rows)).filter(|left| *left > 0);
        if let Some(bytes_max) = &mut self.state.bytes_max {
            *bytes_max += (*bytes_max / REGROWTH).max(1);
        }
        self.state.breaker.worked();
        self.state.recovered(self.lane.name);
        let mut push = self.setup.stats.push();
        push.circuit = Circuit::Closed;
        push.failures_in_row = 0;
        Ok(())
    }

    /// The batch after one of new rows that was taken, so that both are noted by one commit: events wait for fewer.
    /// `None` where more than the cursors decides what comes next.
    fn next_after(&mut self, batch: &OpenBatch, delivery: &Delivery) -> Result<Option<OpenBatch>, PushError> {
        let is_plain = !batch.again && delivery.later.is_empty() && self.state.suspects.is_none();
        if !is_plain || !self.state.breaker.is_closed() || !self.is_proven()? {
            return Ok(None);
        }
        let mut after = self.ledger.cursors()?;
        batch.last_ids().into_iter().for_each(|(table, id)| after[table.index()] = id);
        let limits = self.limits(None)?;
        Ok(OpenBatch::of_new(self.ledger.rows(), self.draft(), after, limits)?)
    }

    /// The remote will not take these rows together, or not this one.
    fn refused(&mut self, batch: &OpenBatch, answer: &Answer, cause: String) -> Result<(), PushError> {
        if batch.rows == 1 {
            return self.set_aside(batch, answer, cause, false);
        }
        log::debug!(rows = batch.rows, cause = cause.as_str(); "looking for the row that is refused");
        if self.state.suspects(batch.again).is_none() {
            self.state.hunting_since = self.state.taken;
        }
        *self.state.suspects(batch.again) = Some(batch.rows);
        Ok(())
    }

    /// A row that was refused alone waits for its next attempt, or is a dead letter: when it was refused often enough, or
    /// is `hopeless`, and the remote takes others.
    fn set_aside(
        &mut self,
        batch: &OpenBatch,
        answer: &Answer,
        cause: String,
        hopeless: bool,
    ) -> Result<(), PushError> {
        let misconfigured = |cause: String| Err(PushError::Misconfigured { after: answer.retry_after, cause });
        let Some((table, id)) = batch.last_ids().first().copied() else { return Ok(()) };
        let proven = self.is_proven()?;
        let waiting = self.ledger.waiting()?;
        if batch.again {
            self.refused_again += 1;
        } else {
            self.refused_alone += 1;
            if self.refused_alone > SET_ASIDE_MAX || waiting.len() >= WAITING_MAX {
                let never = self.never()?;
                return misconfigured(format!(
                    "{cause}; more than {SET_ASIDE_MAX} rows were refused one by one{never}"
                ));
            }
        }
        let attempts = attempts_in(&waiting, (table, id)).unwrap_or(0).saturating_add(1);
        let takes_others = self.takes_others(batch, (table, id), &waiting);
        let mut delivery = self.past(batch);
        if proven && takes_others && (hopeless || attempts >= REFUSALS_MAX) {
            let message = self.excerpt(&answer.body);
            let code = format::code(batch.draft.format, answer);
            delivery.dead.push(DeadLetter { table, id, status: answer.status, code, message, attempts });
        } else {
            let wait = self.setup.backoff.wait(attempts, answer.retry_after, fastrand::f64());
            let due_ms = self.due_ms(wait);
            delivery.later.push(Waiting { table, id, due_ms, attempts, alone: true });
        }
        self.settle(batch, delivery)?;
        *self.state.suspects(batch.again) = None;
        Ok(())
    }

    /// Whether it is the row, and not the remote that has begun to refuse everything: it took another since it first refused
    /// a batch with this one, or there are few that it refuses.
    fn takes_others(&mut self, batch: &OpenBatch, row: (Table, i64), waiting: &[Waiting]) -> bool {
        let hunting = self.state.suspects(batch.again).is_some();
        let since = if hunting { self.state.hunting_since } else { self.state.taken };
        if self.state.refused_since.len() >= WAITING_MAX {
            self.state.refused_since.clear();
        }
        let key = (row.0.index(), row.1);
        let since = *self.state.refused_since.entry(key).or_insert(since);
        let few = waiting.iter().filter(|waits| waits.alone).count() <= FEW_REFUSED;
        self.state.taken > since || few
    }

    fn due_ms(&self, wait: Duration) -> i64 {
        self.setup.clock.now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(LATER_MAX_MS))
    }

    /// Whether the remote fails at this batch again and again by a fault of its own. Those of a gateway, and that it has no
    /// room or time, are not of the rows.
    fn meets_errors(&mut self, answer: &Answer) -> bool {
        let own = answer.status >= 500 && !matches!(answer.status, 502..=504 | 507);
        self.state.errors = if own { self.state.errors + 1 } else { 0 };
        self.state.errors >= ERRORS_MAX
    }

    /// One row may make the remote fail: the next batch has half as many, and a row alone waits, so that others go on.
    fn look_for_the_row(&mut self, batch: &OpenBatch, answer: &Answer) -> Result<(), PushError> {
        let Some((table, id)) = batch.last_ids().first().copied() else { return Ok(()) };
        if batch.rows > 1 {
            return self.refused(batch, answer, "the remote fails at a batch again and again".to_owned());
        }
        let waiting = self.ledger.waiting()?;
        let known = attempts_in(&waiting, (table, id));
        if known.is_none() && waiting.len() >= WAITING_MAX {
            self.state.open = Some(batch.clone());
            return Ok(());
        }
        let attempts = known.unwrap_or(0);
        let wait = self.setup.misconfigured.wait(u32::MAX, answer.retry_after, fastrand::f64());
        let later = vec![Waiting { table, id, due_ms: self.due_ms(wait), attempts, alone: true }];
        self.settle(batch, Delivery { later, ..self.past(batch) })
    }

    /// The delivery of a batch that does not go again, before it says what became of the rows.
    fn past(&self, batch: &OpenBatch) -> Delivery {
        let (cursors, passed) = if batch.again { Default::default() } else { (batch.last_ids(), batch.passed()) };
        Delivery { lane: self.lane.name, cursors, passed, ..Delivery::default() }
    }

    /// Whether it may be the length of the batch that leaves it without an answer: there are receivers that close the
    /// connection on what is too long for them, and lines that are too slow for it.
    fn is_too_much(&self, batch: &OpenBatch) -> bool {
        let patience = if self.state.bytes_max.is_some() { 1 } else { UNANSWERED_MAX };
        self.state.unanswered >= patience && batch.rows > 1 && batch.bytes > UNANSWERED_BYTES
    }

    /// The remote takes less at once than was sent.
    fn shrink(&mut self, batch: &OpenBatch, cause: &str) {
        let bytes_max = batch.bytes / 2;
        self.state.bytes_max = Some(bytes_max);
        if self.complaints.shrunk.again(1, self.setup.clock.uptime()).is_some() {
            log::warn!(bytes = batch.bytes, bytes_max, cause; "the remote takes less at once, batches are smaller now");
        }
    }

    /// Notes what became of a batch. After that it is over.
    fn settle(&mut self, batch: &OpenBatch, delivery: Delivery) -> Result<(), PushError> {
        // Of a batch that waited all rows are among them already.
        let more = if batch.again { 0 } else { delivery.later.len() };
        if more > 1 && self.ledger.waiting()?.len() + more > WAITING_MAX {
            let cause = format!("the remote puts off more than {WAITING_MAX} rows");
            return Err(PushError::Retry { after: None, cause });
        }
        let (confirmed, later) = (delivery.confirmed.iter().sum::<i64>().unsigned_abs(), delivery.later.len() as u64);
        let dead = delivery.dead.len() as u64;
        let first = delivery.dead.first().cloned();
        if !deliver(self.setup, self.instance_id, delivery) {
            let cause = "the database could not note what the remote confirmed".to_owned();
            return Err(PushError::Down { cause });
        }
        self.settled = true;
        {
            let mut push = self.setup.stats.push();
            push.batches += u64::from(confirmed > 0);
            push.rows += confirmed;
            push.rows_rejected += dead;
            push.rows_put_off += later;
            if confirmed > 0 {
                push.last_success_ms = Some(self.setup.clock.now_ms());
            }
        }
        log::debug!(batch:% = batch.draft.id, confirmed, later, dead; "settled");
        if let Some(first) = first
            && let Some(rows) = self.complaints.dead.again(dead, self.setup.clock.uptime())
        {
            let (table, status, code) = (first.table.name(), first.status, first.code.as_deref().unwrap_or("none"));
            log::warn!(rows, table, id = first.id, status, code; "the remote will never take these rows: see openclaw-trace dead-letters");
        }
        Ok(())
    }

    /// How often the rows of a batch were refused or put off before.
    fn attempts_of(&self, batch: &OpenBatch) -> Result<BTreeMap<(usize, i64), u32>, PushError> {
        if !batch.again {
            return Ok(BTreeMap::new());
        }
        let waiting = self.ledger.waiting()?;
        Ok(waiting.into_iter().map(|row| ((row.table.index(), row.id), row.attempts)).collect())
    }

    fn find(&self, batch: &OpenBatch, row: &RejectedRow) -> Result<Option<(Table, i64)>, PushError> {
        let Some(trace_id) = &row.trace_id else { return Ok(None) };
        let named = row.table.as_deref().and_then(Table::named);
        for table in self.lane.tables.iter().filter(|table| named.is_none_or(|named| named == **table)) {
            if let Some(id) = self.ledger.row_id(*table, trace_id)?
                && batch.holds(*table, id)
            {
                return Ok(Some((*table, id)));
            }
        }
        Ok(None)
    }

    /// What the remote says of a refusal, for whoever reads the dead letter. Nothing that is secret.
    fn excerpt(&self, body: &[u8]) -> Option<String> {
        let text = self.hide(&String::from_utf8_lossy(&body[..body.len().min(EXCERPT_READ_MAX)]));
        (!text.is_empty()).then_some(text)
    }

    /// A text of the remote in a line, without what is secret, cut.
    fn hide(&self, text: &str) -> String {
        let token = self.setup.config.token.as_ref();
        let secrets = token.into_iter().chain(self.setup.config.headers.iter().map(|(_, value)| value));
        // Of a user and a password, the password alone is one too.
        let parts =
            secrets.flat_map(|secret| [secret.reveal(), secret.reveal().split_once(':').map_or("", |part| part.1)]);
        let hidden = parts.filter(|part| !part.is_empty());
        let text = hidden.fold(text.to_owned(), |text, part| text.replace(part, "***"));
        let text = redact(&text);
        let text: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        let text = text.trim();
        text[..text.floor_char_boundary(EXCERPT_BYTES_MAX)].to_owned()
    }
}

/// How often a row was refused or put off, if it waits.
fn attempts_in(waiting: &[Waiting], row: (Table, i64)) -> Option<u32> {
    waiting.iter().find(|waits| (waits.table, waits.id) == row).map(|waits| waits.attempts)
}

/// Of an answer that refuses a row.
const EXCERPT_BYTES_MAX: usize = 200;
/// Read of it, so that what is hidden is whole.
const EXCERPT_READ_MAX: usize = 64 << 10;
