//! The push: every stored row to the remote, oldest first, at least once. What the remote will never take becomes a dead
//! letter, and holds up nothing.
//!
//! [`Pusher`] is the scheduler. It wakes every interval, and sooner after a failure; the work of a
//! cycle is done on a thread that lives as long as the cycle, so nothing is held in between. There
//! are never two cycles at once.

pub mod answer;
pub mod backoff;
pub mod body;
pub mod breaker;
mod cycle;
pub mod envelope;
pub mod format;
mod lane;
pub mod ranges;
pub mod rows;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::channel::{Receiver, RecvError};
use smol::future::or;

use self::backoff::Backoff;
use self::cycle::{Carry, End, PushError, cycle};
use self::rows::{Ledger, OpenRows, Stored};
use crate::client::Cancel;
use crate::clock::Clock;
use crate::config::{Identity, PushConfig};
use crate::queue::Queue;
use crate::stats::Stats;
use crate::store::Command;

/// What a push works with.
pub struct Setup {
    /// Where rows go.
    pub config: PushConfig,
    /// Who we are.
    pub identity: Identity,
    /// Version of the program.
    pub version: &'static str,
    /// Where rows come from.
    pub open: Box<OpenRows>,
    /// The writer, which moves the cursors.
    pub queue: Queue<Command>,
    /// Where it is told how it goes.
    pub stats: Arc<Stats>,
    /// The time.
    pub clock: Clock,
    /// The waits after failures, and before a row that was put off or refused goes again.
    pub backoff: Backoff,
    /// The waits while the configuration is wrong.
    pub misconfigured: Backoff,
    /// The longest that one request takes.
    pub request_timeout: Duration,
}

/// The longest that one request takes. A remote that needs longer for 5 MB is as good as down.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Pushes: [`Pusher::run`] while the program runs, [`Pusher::push_once`] when it stops.
pub struct Pusher {
    setup: Arc<Setup>,
    state: Mutex<State>,
}

/// What the last push, while stopping, came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastPush {
    /// Batches confirmed.
    pub batches: u64,
    /// Rows in them.
    pub rows: u64,
    /// Why rows may be left for the next start; `None` when every stored row is confirmed.
    pub unfinished: Option<String>,
}

impl Pusher {
    /// A push of the rows in the database at `db_path`. Does nothing until it is run.
    pub fn start(
        config: &PushConfig,
        identity: &Identity,
        version: &'static str,
        db_path: PathBuf,
        queue: Queue<Command>,
        stats: Arc<Stats>,
        clock: Clock,
    ) -> Pusher {
        let destination = config.destination();
        let (writer, tables) = (queue.clone(), config.tables.clone());
        let open = move || -> Result<Box<dyn Ledger>, _> {
            Ok(Box::new(Stored::open(&db_path, &destination, &tables, &writer)?))
        };
        Pusher::new(Setup {
            config: config.clone(),
            identity: identity.clone(),
            version,
            open: Box::new(open),
            queue,
            stats,
            clock,
            backoff: Backoff::default(),
            misconfigured: breaker::MISCONFIGURED,
            request_timeout: REQUEST_TIMEOUT,
        })
    }

    /// A push with everything set by hand.
    pub fn new(setup: Setup) -> Pusher {
        setup.stats.push().enabled = true;
        Pusher { setup: Arc::new(setup), state: Mutex::default() }
    }

    /// Pushes every interval until `stop` is closed. The first push comes after a random part of
    /// the interval, so that a fleet started at once does not push at once. A cycle that is under
    /// way at the end goes on: [`Pusher::push_once`] waits for it.
    pub async fn run(&self, stop: Receiver<Infallible>) {
        let interval = self.setup.config.interval;
        let mut wait = interval.mul_f64(fastrand::f64());
        while !or(closed(&stop), passed(wait)).await {
            let landed = match self.fly(self.setup.request_timeout, false) {
                Err(_) => {
                    wait = interval.min(NO_THREAD_WAIT);
                    continue;
                }
                Ok(landed) => landed,
            };
            let Some(end) = or(landing(&landed), none_after(closed(&stop))).await else { return };
            wait = match end {
                Ok(ref end) => end.wait,
                Err(RecvError) => interval,
            };
            if let Err(error) = self.land(&landed, end) {
                log::debug!(cause = error.cause(); "a push ended early");
            }
        }
    }

    /// The last push: each batch once, without waits between them, until no row is left, one fails,
    /// or it is `until`. A cycle that is under way is part of it. Returns soon after `until` at the
    /// latest: what is in flight is cancelled then, and its rows stay.
    pub async fn push_once(&self, until: Instant) -> LastPush {
        let (batches, rows) = self.confirmed();
        let under_way = self.state().flight.as_ref().map(|flight| flight.landed.clone());
        let mut result = match under_way {
            Some(landed) => self.land_until(landed, until).await,
            None => Ok(()),
        };
        // What has ended may have begun before the last row was stored, and one lane's trouble is not another's.
        if !matches!(result, Err(PushError::Down { .. } | PushError::Cancelled)) {
            result = self.last_cycle(until).await;
        }
        let (batches_now, rows_now) = self.confirmed();
        let unfinished = result.err().map(|error| error.cause().to_owned());
        LastPush { batches: batches_now - batches, rows: rows_now - rows, unfinished }
    }
}

/// A cancelled call returns as soon as its thread is scheduled; only name resolution and a connect
/// take longer, and the process does not wait for those.
const CANCEL_GRACE: Duration = Duration::from_millis(100);
/// Before a thread for the push is asked for again.
const NO_THREAD_WAIT: Duration = Duration::from_secs(60);
/// Eight times what a push over TLS needed in a debug build, because SQLite reads on this stack too.
/// Only touched pages count as memory.
const STACK_BYTES: usize = 512 << 10;

#[derive(Default)]
struct State {
    flight: Option<Flight>,
    carry: Carry,
}

/// The cycle that is under way.
struct Flight {
    cancel: Cancel,
    landed: Receiver<End>,
    thread: JoinHandle<()>,
}

impl Pusher {
    /// Starts a cycle on a thread of its own, unless one is under way. What is returned yields its end.
    fn fly(&self, timeout: Duration, urgent: bool) -> Result<Receiver<End>, PushError> {
        let mut state = self.state();
        if let Some(flight) = &state.flight {
            return Ok(flight.landed.clone());
        }
        let (land, landed) = smol::channel::bounded(1);
        let cancel = Cancel::default();
        let carry = std::mem::take(&mut state.carry);
        let work = {
            let (setup, cancel) = (Arc::clone(&self.setup), cancel.clone());
            move || {
                give_way();
                if land.try_send(cycle(&setup, timeout, cancel, urgent, carry)).is_err() {
                    log::debug!("a push ended after everybody had gone");
                }
            }
        };
        let thread = thread::Builder::new().name("push".to_owned()).stack_size(STACK_BYTES).spawn(work);
        let thread = thread.map_err(|error| self.failed(format!("no thread for the push: {error}")))?;
        state.flight = Some(Flight { cancel, landed: landed.clone(), thread });
        Ok(landed)
    }

    /// Takes in the cycle that `landed` was waited on for.
    fn land(&self, landed: &Receiver<End>, end: Result<End, RecvError>) -> Result<(), PushError> {
        let flight = self.state().flight.take_if(|flight| flight.landed.same_channel(landed));
        // The end was the last thing that the thread did: joining it does not wait.
        let panicked = flight.is_some_and(|flight| flight.thread.join().is_err());
        match end {
            Ok(End { carry, result, .. }) => {
                self.state().carry = carry;
                result
            }
            Err(RecvError) if panicked => Err(self.failed("the push thread panicked".to_owned())),
            // Somebody else who waited took it in.
            Err(RecvError) => Ok(()),
        }
    }

    async fn last_cycle(&self, until: Instant) -> Result<(), PushError> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PushError::Cancelled);
        }
        // The cancellation comes first; the timeout ends what cannot be cancelled.
        let landed = self.fly(self.setup.request_timeout.min(left + CANCEL_GRACE), true)?;
        self.land_until(landed, until).await
    }

    async fn land_until(&self, landed: Receiver<End>, until: Instant) -> Result<(), PushError> {
        if let Some(end) = or(landing(&landed), none_after(Timer::at(until))).await {
            return self.land(&landed, end);
        }
        if let Some(flight) = &self.state().flight {
            flight.cancel.cancel();
        }
        match or(landing(&landed), none_after(Timer::after(CANCEL_GRACE))).await {
            Some(end) => self.land(&landed, end),
            None => Err(PushError::Cancelled),
        }
    }

    fn failed(&self, cause: String) -> PushError {
        log::warn!(cause = cause.as_str(); "push cannot run");
        let mut push = self.setup.stats.push();
        push.failures += 1;
        push.failures_in_row = push.failures_in_row.saturating_add(1);
        push.last_failure_ms = Some(self.setup.clock.now_ms());
        push.last_error = Some(cause.clone());
        PushError::Down { cause }
    }

    fn confirmed(&self) -> (u64, u64) {
        let push = self.setup.stats.push();
        (push.batches, push.rows)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets everything else on the machine go first: a backlog can wait, an event cannot. On Linux this is of the thread alone.
fn give_way() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        log::debug!(error:% = error; "the push goes at the priority of the others");
    }
}

/// About a tenth of the time that another thread gets, where both want all of it.
const NICENESS: i32 = 10;

/// `true` once it is closed.
async fn closed(stop: &Receiver<Infallible>) -> bool {
    match stop.recv().await {
        Err(RecvError) => true,
        Ok(never) => match never {},
    }
}

async fn passed(wait: Duration) -> bool {
    Timer::after(wait).await;
    false
}

async fn landing(landed: &Receiver<End>) -> Option<Result<End, RecvError>> {
    Some(landed.recv().await)
}

async fn none_after<T>(event: impl Future) -> Option<T> {
    event.await;
    None
}
