//! One cycle of the push: each lane that may be tried, batch after batch until no row is left or one fails. It blocks, so
//! it runs on the push thread.
//!
//! A batch is noted in the file before its first byte is sent, and what became of it before the next is chosen; the
//! writer does both. So it is sent as the same bytes under the same id until it is settled, after a restart too.

use std::time::Duration;

use async_io::Timer;

use super::Setup;
use super::breaker::Breaker;
use super::format::{Lane, lanes};
use super::lane::{LaneCarry, LanePush};
use super::rows::ReadFault;
use crate::client::{self, Cancel, Client, ClientConfig};
use crate::logging::Repeats;
use crate::stats::Circuit;
use crate::store::{Command, Delivery};

/// What a cycle leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Carry {
    /// In the order of the format's lanes.
    lanes: Vec<LaneCarry>,
    /// What is said once a minute at most.
    complaints: Complaints,
}

/// How a cycle ended: `Ok` when no row was left.
#[derive(Debug)]
pub(super) struct End {
    pub(super) carry: Carry,
    pub(super) result: Result<(), PushError>,
    /// How long the next cycle has time.
    pub(super) wait: Duration,
}

/// Why a lane, or the cycle, ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PushError {
    /// Try the same batch again, no sooner than `after`.
    Retry { after: Option<Duration>, cause: String },
    /// The rows that were chosen are not there any more: choose anew.
    Reselect { cause: String },
    /// Nothing is wrong with the rows: the endpoint or the token is.
    Misconfigured { after: Option<Duration>, cause: String },
    /// There is nobody, or the file cannot be read: another lane would see the same.
    Down { cause: String },
    /// We are stopping. Nothing is wrong.
    Cancelled,
}

impl PushError {
    pub(super) fn cause(&self) -> &str {
        match self {
            PushError::Retry { cause, .. }
            | PushError::Reselect { cause }
            | PushError::Misconfigured { cause, .. }
            | PushError::Down { cause } => cause,
            PushError::Cancelled => "the deadline came first",
        }
    }

    fn note(&self, breaker: &mut Breaker, setup: &Setup) {
        let (now, random) = (setup.clock.uptime(), fastrand::f64());
        match self {
            PushError::Misconfigured { after, .. } => breaker.misconfigured(now, &setup.misconfigured, *after, random),
            PushError::Retry { after, .. } => breaker.failed(now, &setup.backoff, *after, random),
            PushError::Reselect { .. } | PushError::Down { .. } => breaker.failed(now, &setup.backoff, None, random),
            PushError::Cancelled => {}
        }
    }
}

impl From<ReadFault> for PushError {
    fn from(fault: ReadFault) -> PushError {
        PushError::Down { cause: fault.to_string() }
    }
}

impl From<client::Error> for PushError {
    fn from(error: client::Error) -> PushError {
        match error {
            client::Error::Unusable(cause)
            | client::Error::Unreachable(cause)
            | client::Error::Untrusted(cause)
            | client::Error::NoAnswer(cause) => PushError::Down { cause },
            client::Error::Body(cause) => PushError::Reselect { cause: cause.to_string() },
            client::Error::Cancelled => PushError::Cancelled,
        }
    }
}

/// Pushes until no row is left or a batch fails, and reports how it went. `timeout` is for one request. What is `urgent`
/// waits for no breaker.
pub(super) fn cycle(setup: &Setup, timeout: Duration, cancel: Cancel, urgent: bool, mut carry: Carry) -> End {
    let lanes = lanes(setup.config.format);
    carry.lanes.resize_with(lanes.len(), LaneCarry::default);
    let result = push_all(setup, timeout, cancel, urgent, lanes, &mut carry);
    let wait = wait(setup, &carry);
    tell_breaker(setup, &carry, wait);
    End { carry, result, wait }
}

fn push_all(
    setup: &Setup,
    timeout: Duration,
    cancel: Cancel,
    urgent: bool,
    lanes: &[Lane],
    carry: &mut Carry,
) -> Result<(), PushError> {
    let shared = connectable(setup, timeout, cancel).and_then(|client| {
        let ledger = (setup.open)()?;
        let instance_id = ledger.instance_id()?;
        Ok((client, ledger, instance_id))
    });
    let (client, ledger, instance_id) = match shared {
        Ok(shared) => shared,
        Err(error) => {
            carry.lanes.iter_mut().for_each(|lane| error.note(&mut lane.breaker, setup));
            complain(setup, &error, lanes[0], &mut carry.lanes[0], &mut carry.complaints);
            return Err(error);
        }
    };
    let now = setup.clock.uptime();
    let mut result = Ok(());
    for (lane, state) in lanes.iter().zip(&mut carry.lanes) {
        if !urgent && now < state.breaker.due() {
            continue;
        }
        let (ledger, instance_id) = (ledger.as_ref(), instance_id.as_str());
        let complaints = &mut carry.complaints;
        let lane_push = LanePush {
            setup,
            client: &client,
            ledger,
            instance_id,
            lane: *lane,
            state,
            complaints,
            refused_alone: 0,
            refused_again: 0,
            settled: false,
        };
        let pushed = lane_push.push();
        match pushed {
            Ok(()) => {
                state.breaker.worked();
                state.recovered(lane.name);
            }
            Err(error) => {
                error.note(&mut state.breaker, setup);
                complain(setup, &error, *lane, state, &mut carry.complaints);
                let over = matches!(error, PushError::Down { .. } | PushError::Cancelled);
                result = Err(error);
                if over {
                    break;
                }
            }
        }
    }
    result
}

/// The writer is waited for as long as SQLite waits for a lock, and a little longer.
const DELIVER_PATIENCE: Duration = Duration::from_secs(12);

/// Asks the writer to note a delivery, and waits until it has. Whether the file knows it now.
pub(super) fn deliver(setup: &Setup, instance_id: &str, delivery: Delivery) -> bool {
    let (reply, noted) = smol::channel::bounded(1);
    let (instance_id, delivery) = (instance_id.to_owned(), Box::new(delivery));
    if !setup.queue.command(Command::Deliver { instance_id, delivery, reply }) {
        return false;
    }
    let in_time = async { noted.recv().await.unwrap_or(false) };
    let too_late = async {
        Timer::after(DELIVER_PATIENCE).await;
        false
    };
    smol::block_on(smol::future::or(in_time, too_late))
}

fn connectable(setup: &Setup, timeout: Duration, cancel: Cancel) -> Result<Client, PushError> {
    let ca_pem = match &setup.config.ca_file {
        None => None,
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            let cause = format!("TRACE_PUSH_CA_FILE: cannot read {}: {error}", path.display());
            PushError::Down { cause }
        })?),
    };
    let user_agent = format!("openclaw-trace/{}", setup.version);
    let config = ClientConfig { ca_pem: ca_pem.as_deref(), user_agent: &user_agent, timeout, private_http: true };
    Ok(Client::new(&config, cancel)?)
}

/// Until the next lane may be tried, or rows that wait are due, or the interval is over.
fn wait(setup: &Setup, carry: &Carry) -> Duration {
    let now = setup.clock.uptime();
    let interval = setup.config.interval;
    let of_lane = |lane: &LaneCarry| {
        let due = lane.breaker.due().saturating_sub(now);
        if !due.is_zero() { due } else { lane.due.map_or(interval, |due| interval.min(due.saturating_sub(now))) }
    };
    carry.lanes.iter().map(of_lane).min().unwrap_or(interval)
}

fn tell_breaker(setup: &Setup, carry: &Carry, wait: Duration) {
    let now = setup.clock.uptime();
    let mut push = setup.stats.push();
    let state_of = |lane: &LaneCarry| lane.breaker.circuit(now);
    push.circuit = match carry.lanes.iter().map(state_of).find(|state| *state != Circuit::Closed) {
        None => Circuit::Closed,
        Some(_) => Circuit::Open,
    };
    push.failures_in_row = carry.lanes.iter().map(|lane| lane.breaker.failures()).max().unwrap_or(0);
    push.next_attempt_ms = Some(setup.clock.now_ms() + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
}

/// Counts a failure, and says so once a minute at most.
fn complain(setup: &Setup, error: &PushError, lane: Lane, state: &mut LaneCarry, complaints: &mut Complaints) {
    if *error == PushError::Cancelled {
        return;
    }
    {
        let mut push = setup.stats.push();
        push.failures += 1;
        push.last_failure_ms = Some(setup.clock.now_ms());
        push.last_error = Some(error.cause().to_owned());
    }
    if let Some(failures) = complaints.failures.again(1, setup.clock.uptime()) {
        state.told = true;
        log::warn!(failures, lane = lane.name, cause = error.cause(); "push failed, the rows stay");
    }
}

/// What is said once a minute at most.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    failures: Repeats,
    pub(super) dead: Repeats,
    pub(super) shrunk: Repeats,
    pub(super) unnamed: Repeats,
}
