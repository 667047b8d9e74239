//! Who may ask `serve` to stop: the signals, or the `run` that started it, which also tells how its agent ended.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use async_io::{Async, Timer};
use smol::LocalExecutor;
use smol::channel::{Receiver, Sender};
use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::clock::Clock;
use crate::collect::ChildPid;
use crate::event::{ErrorEvent, Event, EventId, Kind, Severity, Source};
use crate::link::{AgentEnded, Lines, Order, Report, line};
use crate::queue::{Offer, Outcome, Queue};
use crate::shutdown::Signals;
use crate::store::Command;

/// Who is obeyed.
pub(super) enum Asked {
    /// Whoever sends SIGTERM or SIGINT.
    BySignals(Signals),
    /// `run` alone: a signal to everybody at once must not end the sidecar before its agent.
    ByRun { stops: Receiver<&'static str>, signals: Signals },
}

impl Asked {
    /// Returns when somebody asks (again), and says who.
    pub(super) async fn next(&self) -> &'static str {
        match self {
            Asked::BySignals(signals) => next_signal(signals).await,
            Asked::ByRun { stops, signals } => {
                let order = async {
                    match stops.recv().await {
                        Ok(why) => why,
                        // `run` is gone, and this was said before.
                        Err(_closed) => smol::future::pending().await,
                    }
                };
                order.or(ignored(signals)).await
            }
        }
    }
}

async fn next_signal(signals: &Signals) -> &'static str {
    match signals.next().await {
        Ok(signal) => signal,
        Err(error) => {
            log::error!(error:% = error; "cannot wait for signals, stopping");
            "none"
        }
    }
}

async fn ignored<T>(signals: &Signals) -> T {
    loop {
        match signals.next().await {
            Ok(signal) => {
                log::info!(signal, run = std::os::unix::process::parent_id(); "ignored: `run` stops this process")
            }
            Err(error) => {
                log::error!(error:% = error; "cannot wait for signals");
                return smol::future::pending().await;
            }
        }
    }
}

/// The side of `serve` of the link to `run`.
pub(super) struct Supervised {
    link: Rc<Async<UnixStream>>,
    queue: Queue<Command>,
    clock: Clock,
    executor: Rc<LocalExecutor<'static>>,
    stops: Sender<&'static str>,
    agent: ChildPid,
}

/// `run` asks to stop once, and once more when it is in a hurry; what it says beyond that changes nothing.
const STOPS_MAX: usize = 2;
/// How long the end of an agent is offered to a store that refuses it, and how often. `run` waits a little longer.
const NOTE_PATIENCE: Duration = Duration::from_secs(3);
const NOTE_PAUSE: Duration = Duration::from_millis(100);

impl Supervised {
    /// With what [`Asked::ByRun`] listens to.
    pub(super) fn new(
        link: UnixStream,
        queue: Queue<Command>,
        clock: Clock,
        executor: Rc<LocalExecutor<'static>>,
        agent: ChildPid,
    ) -> io::Result<(Supervised, Receiver<&'static str>)> {
        let (stops, asked) = smol::channel::bounded(STOPS_MAX);
        Ok((Supervised { link: Rc::new(Async::new(link)?), queue, clock, executor, stops, agent }, asked))
    }

    /// Tells `run` where we listen, and obeys it until it is gone.
    pub(super) async fn obey(self, addresses: Vec<SocketAddr>, otlp_addresses: Vec<SocketAddr>) {
        let how = match tell(&self.link, &Report::Listening { addresses, otlp_addresses }).await {
            Ok(()) => self.orders().await,
            Err(error) => Err(error),
        };
        match how {
            Ok(()) => log::warn!("`run` is gone"),
            Err(error) => log::warn!(error:% = error; "`run` cannot be heard any more"),
        }
        self.stop("run is gone");
    }

    async fn orders(&self) -> io::Result<()> {
        let (mut lines, mut bytes) = (Lines::default(), [0; 1024]);
        // Beside the reading: a store that takes its time must not keep an order to stop from being heard.
        let mut noting = Vec::new();
        loop {
            let read = (&*self.link).read(&mut bytes).await?;
            if read == 0 {
                return Ok(());
            }
            if !lines.add(&bytes[..read]) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            while let Some(order) = lines.take() {
                match order? {
                    Order::AgentStarted { pid } => self.agent.set(pid),
                    Order::Stop => self.stop("run"),
                    Order::AgentEnded(ended) => {
                        let event = event(ended, self.clock.now_ms()).ok_or(io::ErrorKind::InvalidData)?;
                        noting.push(self.executor.spawn(note(event, self.queue.clone(), Rc::clone(&self.link))));
                    }
                }
            }
        }
    }

    fn stop(&self, why: &'static str) {
        if self.stops.try_send(why).is_err() {
            log::debug!(by = why; "asked to stop more often than makes a difference");
        }
    }
}

/// Stores the end of an agent, and says so.
async fn note(event: Event, queue: Queue<Command>, link: Rc<Async<UnixStream>>) {
    let late = async {
        Timer::after(NOTE_PATIENCE).await;
        false
    };
    let done = match stored(event, &queue).or(late).await {
        true => tell(&link, &Report::Noted).await,
        false => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = done {
        log::error!(error:% = error; "the end of the agent cannot be stored");
    }
}

/// Offers the event until it is taken and stored.
async fn stored(event: Event, queue: &Queue<Command>) -> bool {
    loop {
        let mut batch = queue.batch();
        batch.push(event.clone());
        if let Offer::Queued(ticket) = queue.offer(batch)
            && let Outcome::Stored { .. } = ticket.settled().await
        {
            return true;
        }
        Timer::after(NOTE_PAUSE).await;
    }
}

async fn tell(link: &Async<UnixStream>, report: &Report) -> io::Result<()> {
    let mut link = link;
    link.write_all(&line(report)).await
}

/// The row of an agent's end. `None` when its id is none.
fn event(ended: AgentEnded, now_ms: i64) -> Option<Event> {
    let AgentEnded { trace_id, timestamp_ms, error_type, message, facts } = ended;
    let error = ErrorEvent {
        timestamp_ms,
        error_type: Some(error_type.into()),
        message: message.into(),
        severity: Severity::Fatal,
        handled: Some(false),
        component: Some("agent".into()),
        source: Source::Run,
        attributes: serde_json::to_string(&facts).ok().map(Into::into),
        ..ErrorEvent::default()
    };
    Some(Event { id: EventId::parse(&trace_id)?, received_at_ms: now_ms, kind: Kind::ErrorEvent(Box::new(error)) })
}
