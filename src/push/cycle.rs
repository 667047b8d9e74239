//! One cycle of the push: batch after batch until no row is left or one fails. It blocks, so it
//! runs on the push thread.
//!
//! A cursor moves after the remote has confirmed, and only then; the writer moves it. A batch that
//! was not confirmed stays open and is sent again as the same bytes under the same id.

use std::time::Duration;

use async_io::Timer;

use super::Setup;
use super::answer::judge;
use super::body::{Body, Limits, OpenBatch};
use super::rows::{Ids, ReadFault, Rows};
use crate::client::{self, Cancel, Client, ClientConfig};
use crate::config::Sender;
use crate::event::EventId;
use crate::logging::Repeats;
use crate::store::Command;
use crate::wire::push as wire;

/// What a cycle leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Carry {
    open: Option<OpenBatch>,
    /// How often the open batch was sent.
    attempts: u32,
    complaints: Complaints,
}

/// How a cycle ended: `Ok` when no row was left.
#[derive(Debug)]
pub(super) struct End {
    pub(super) carry: Carry,
    pub(super) result: Result<(), PushError>,
}

/// Why a cycle ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PushError {
    /// Try the same batch again, no sooner than `after`.
    Retry { after: Option<Duration>, cause: String },
    /// The rows that were chosen are not there any more: choose anew.
    Reselect { cause: String },
    /// We are stopping. Nothing is wrong.
    Cancelled,
}

impl PushError {
    pub(super) fn cause(&self) -> &str {
        match self {
            PushError::Retry { cause, .. } | PushError::Reselect { cause } => cause,
            PushError::Cancelled => "the deadline came first",
        }
    }

    pub(super) fn after(&self) -> Option<Duration> {
        match self {
            PushError::Retry { after, .. } => *after,
            PushError::Reselect { .. } | PushError::Cancelled => None,
        }
    }
}

/// Pushes until no row is left or a batch fails, and reports how it went. `timeout` is for one request.
pub(super) fn cycle(setup: &Setup, timeout: Duration, cancel: Cancel, mut carry: Carry) -> End {
    let result = push_all(setup, timeout, cancel, &mut carry);
    if let Err(PushError::Reselect { .. }) = result {
        carry.open = None;
    }
    report(setup, &result, &mut carry.complaints);
    End { carry, result }
}

fn push_all(setup: &Setup, timeout: Duration, cancel: Cancel, carry: &mut Carry) -> Result<(), PushError> {
    let client = connectable(setup, timeout, cancel)?;
    let rows = (setup.open)()?;
    let instance_id = rows.instance_id()?;
    let mut after = rows.cursors()?;
    loop {
        if carry.open.as_ref().is_none_or(|open| open.after != after || open.instance_id != instance_id) {
            carry.open = select(setup, rows.as_ref(), &instance_id, after)?;
            carry.attempts = 0;
        }
        let Some(batch) = &carry.open else { return Ok(()) };
        carry.attempts = carry.attempts.saturating_add(1);
        let receipt = send(setup, &client, rows.as_ref(), batch, carry.attempts)?;
        confirm(setup, batch)?;
        count(setup, batch, &receipt, &mut carry.complaints);
        after = batch.through;
        carry.open = None;
    }
}

/// A body of more rows is no faster, and its receipt would be longer.
const ROWS_MAX: u64 = 5000;
/// The writer is waited for as long as SQLite waits for a lock, and a little longer.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(12);

impl From<ReadFault> for PushError {
    fn from(fault: ReadFault) -> PushError {
        PushError::Retry { after: None, cause: fault.to_string() }
    }
}

impl From<client::Error> for PushError {
    fn from(error: client::Error) -> PushError {
        match error {
            client::Error::Unusable(cause) | client::Error::NoAnswer(cause) => PushError::Retry { after: None, cause },
            client::Error::Body(cause) => PushError::Reselect { cause: cause.to_string() },
            client::Error::Cancelled => PushError::Cancelled,
        }
    }
}

fn connectable(setup: &Setup, timeout: Duration, cancel: Cancel) -> Result<Client, PushError> {
    let ca_pem = match &setup.config.ca_file {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            let cause = format!("TRACE_PUSH_CA_FILE: cannot read {}: {error}", path.display());
            PushError::Retry { after: None, cause }
        })?),
    };
    let user_agent = format!("openclaw-trace/{}", setup.version);
    let config = ClientConfig { ca_pem: ca_pem.as_deref(), user_agent: &user_agent, timeout };
    Ok(Client::new(&config, cancel)?)
}

fn select(setup: &Setup, rows: &dyn Rows, instance_id: &str, after: Ids) -> Result<Option<OpenBatch>, ReadFault> {
    let id = EventId::new(setup.clock.now_ms()).to_string();
    let mut head = Vec::new();
    wire::head(&id, &Sender { instance_id, identity: &setup.identity, version: setup.version }, &mut head);
    let limits = Limits { bytes_max: setup.config.max_bytes as u64, rows_max: ROWS_MAX };
    OpenBatch::select(rows, id, instance_id.to_owned(), &head, after, limits)
}

fn send(
    setup: &Setup,
    client: &Client,
    rows: &dyn Rows,
    batch: &OpenBatch,
    attempt: u32,
) -> Result<wire::Receipt, PushError> {
    let attempt = attempt.to_string();
    let authorization = setup.config.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
    let mut headers =
        vec![("Content-Type", "application/json"), ("Idempotency-Key", &batch.id), ("X-Trace-Attempt", &attempt)];
    if let Some(authorization) = &authorization {
        headers.push(("Authorization", authorization));
    }
    let answer = client.post(&setup.config.endpoint, &headers, Body::new(rows, batch), batch.bytes)?;
    judge(&answer).map_err(|no| PushError::Retry { after: no.after, cause: no.cause })
}

/// Asks the writer to move the cursors, and waits until that is durable.
fn confirm(setup: &Setup, batch: &OpenBatch) -> Result<(), PushError> {
    let retry = |cause: &str| PushError::Retry { after: None, cause: cause.to_owned() };
    let (reply, durable) = smol::channel::bounded(1);
    let instance_id = batch.instance_id.clone();
    if !setup.queue.command(Command::Confirm { instance_id, cursors: batch.cursors(), reply }) {
        return Err(retry("the writer has ended, what the remote confirmed cannot be noted"));
    }
    let in_time = async { durable.recv().await.unwrap_or(false) };
    let too_late = async {
        Timer::after(CONFIRM_PATIENCE).await;
        false
    };
    if smol::block_on(smol::future::or(in_time, too_late)) {
        Ok(())
    } else {
        Err(retry("the database could not note what the remote confirmed"))
    }
}

fn count(setup: &Setup, batch: &OpenBatch, receipt: &wire::Receipt, complaints: &mut Complaints) {
    {
        let mut push = setup.stats.push();
        push.batches += 1;
        push.rows += batch.rows;
        push.rows_rejected += receipt.rejected;
        push.last_success_ms = Some(setup.clock.now_ms());
    }
    recovered(setup, complaints);
    log::debug!(batch:% = batch.id, rows = batch.rows, bytes = batch.bytes; "pushed");
    if receipt.rejected > 0
        && let Some(rejected) = complaints.rejections.again(receipt.rejected, setup.clock.uptime())
    {
        let none = wire::RejectedRow::default();
        let first = receipt.first.as_ref().unwrap_or(&none);
        let (table, trace_id, code) = (shown(&first.table), shown(&first.trace_id), shown(&first.code));
        log::warn!(rejected, table, trace_id, code; "the remote refused rows, they stay in the local file only");
    }
}

/// Enough for an id, and no more of what a stranger wrote.
const SHOWN_BYTES_MAX: usize = 64;

fn shown(text: &Option<String>) -> &str {
    let text = text.as_deref().unwrap_or_default();
    &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)]
}

fn report(setup: &Setup, result: &Result<(), PushError>, complaints: &mut Complaints) {
    match result {
        Ok(()) => recovered(setup, complaints),
        Err(PushError::Cancelled) => {}
        Err(error) => {
            {
                let mut push = setup.stats.push();
                push.failures += 1;
                push.failures_in_row = push.failures_in_row.saturating_add(1);
                push.last_failure_ms = Some(setup.clock.now_ms());
                push.last_error = Some(error.cause().to_owned());
            }
            if let Some(failures) = complaints.failures.again(1, setup.clock.uptime()) {
                complaints.told = true;
                log::warn!(failures, cause = error.cause(); "push failed, the rows stay");
            }
        }
    }
}

fn recovered(setup: &Setup, complaints: &mut Complaints) {
    setup.stats.push().failures_in_row = 0;
    if std::mem::take(&mut complaints.told) {
        log::info!("push works again");
    }
}

#[derive(Debug, Default)]
struct Complaints {
    failures: Repeats,
    /// Whether a failure was logged since it last worked.
    told: bool,
    rejections: Repeats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_is_cut() {
        assert_eq!(shown(&Some("t-1".to_owned())), "t-1");
        assert_eq!(shown(&Some("\u{20ac}".repeat(99))).len(), 63);
    }
}
