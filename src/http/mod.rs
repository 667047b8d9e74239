//! The listener: connections in, requests to the routes, answers out.
//!
//! It owns the framing of HTTP/1.1, every limit on what a client may take of us, and the routes for
//! ingest and health. Behind the framing, `async_h1::server::decode` and `Encoder` do the rest of
//! HTTP; `async_h1::accept` is never used: it loses pipelined requests, has no limits, and panics on
//! some input.

mod body;
mod bridge;
mod budget;
mod conn;
mod fault;
mod gzip;
mod head;
mod health;
mod ingest;
mod letters;
mod limits;
mod listen;
mod metrics;
mod pushes;
mod routes;
mod signal;
mod site;
mod summary;
mod watch;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use async_io::Timer;
use async_net::{Incoming, TcpListener, TcpStream};
use smol::channel::Receiver;
use smol::future::{FutureExt, yield_now};
use smol::stream::{Stream, StreamExt};
use smol::{LocalExecutor, Task};

pub use self::limits::Limits;
pub use self::listen::{addresses, listen};
pub use self::pushes::{Pushes, TakesPushes, refusal, serve_pushes};
pub use self::routes::Takes;

use self::budget::Budget;
use self::conn::Conn;
use self::site::Site;
use self::watch::Watch;
use crate::clock::Clock;
use crate::config::Config;
use crate::logging::Repeats;
use crate::queue::Queue;
use crate::redact::redact;
use crate::stats::Stats;
use crate::store::{DeadLetters, Queries};

/// What routes work with. `C` is what can be asked of the writer besides storing; no route asks it of the queue.
#[derive(Debug)]
pub struct App<C> {
    /// Where events go.
    pub queue: Queue<C>,
    /// Where everything is counted.
    pub stats: Arc<Stats>,
    /// What time it is.
    pub clock: Clock,
    /// Where questions to the file are asked.
    pub queries: Queries,
    /// Where dead letters are asked to be sent again.
    pub letters: DeadLetters,
    /// Who may come in, what is kept of texts, and when a request is acknowledged.
    pub config: Arc<Config>,
}

/// A listener and what it is for.
#[derive(Debug)]
pub struct Door {
    /// Where connections arrive.
    pub listener: TcpListener,
    /// Which routes they find behind it.
    pub takes: Takes,
}

/// Serves the doors until the last sender of `stop` is dropped. Then nothing new is accepted,
/// connections without a request are closed, and it returns when the requests in flight have been
/// answered: the caller bounds that by its deadline. To drop the future ends every connection.
///
/// The connections run as tasks on `executor`, which the caller runs.
pub async fn serve<C: 'static>(
    doors: Vec<Door>,
    app: Rc<App<C>>,
    limits: Limits,
    executor: Rc<LocalExecutor<'static>>,
    stop: Receiver<Infallible>,
) {
    serve_site(doors, app, limits, executor, stop).await;
}

async fn serve_site<S: Site>(
    doors: Vec<Door>,
    site: Rc<S>,
    limits: Limits,
    executor: Rc<LocalExecutor<'static>>,
    stop: Receiver<Infallible>,
) {
    let budget = Budget::new(limits.bodies_bytes_max, limits.bodies_small_bytes, Arc::clone(site.stats()));
    site.stats().http.connections_max.set(limits.connections_max as i64);
    site.stats().http.body_bytes_max.set(limits.bodies_bytes_max as i64);
    let scraped = Budget::apart(limits.scraped_bytes_max);
    let scratch = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
    let server = Rc::new(Server { site, limits, budget, scraped, scratch, refusals: RefCell::default() });
    let mut connections = Connections { server, executor, served: Vec::new(), turned_away: Vec::new() };
    accept_until(&stop, &doors, &mut connections).await;
    drop(doors);
    connections.drained().await;
}

/// What a read takes at once. One buffer for all connections: a read is never left half-way.
const SCRATCH_BYTES: usize = 64 << 10;

/// What all connections share.
struct Server<S> {
    site: Rc<S>,
    limits: Limits,
    budget: Rc<Budget>,
    /// Of what scrapers read at their own listeners.
    scraped: Rc<Budget>,
    scratch: RefCell<Box<[u8]>>,
    refusals: RefCell<Repeats>,
}

impl<S: Site> Server<S> {
    /// Counts an answer, and logs the first refusal and then one a minute: never what was sent.
    fn note_answer(&self, status: u16, path: &str) {
        self.site.stats().http.count_answer(status);
        if status < 400 {
            return;
        }
        if let Some(count) = self.refusals.borrow_mut().again(1, self.site.clock().uptime()) {
            log::warn!(status, path:% = redact(path), count; "a request was refused");
        }
    }
}

/// What the accept loop waits for.
enum Happening {
    Stop,
    Sweep,
    Arrival(io::Result<TcpStream>, Takes),
}

async fn accept_until<S: Site>(stop: &Receiver<Infallible>, doors: &[Door], connections: &mut Connections<S>) {
    let mut doors: Vec<_> = doors.iter().map(|door| (door.listener.incoming(), door.takes)).collect();
    let mut failures = Repeats::default();
    let mut sweep = Timer::never();
    let mut sweeping = false;
    loop {
        let stopped = async {
            match stop.recv().await {
                Ok(never) => match never {},
                Err(_) => Happening::Stop,
            }
        };
        let due = async {
            sweep.next().await;
            Happening::Sweep
        };
        let arrival = arrival(&mut doors);
        match stopped.or(due).or(arrival).await {
            Happening::Stop => return,
            Happening::Sweep => connections.sweep(),
            Happening::Arrival(Ok(stream), takes) => connections.take(stream, takes),
            Happening::Arrival(Err(error), _) => {
                let uptime = connections.server.site.clock().uptime();
                if let Some(count) = failures.again(1, uptime) {
                    log::warn!(error:% = error, count; "cannot accept connections");
                }
                Timer::after(connections.server.limits.accept_pause).await;
            }
        }
        if sweeping != connections.any() {
            sweeping = !sweeping;
            sweep = if sweeping { Timer::interval(connections.server.limits.sweep) } else { Timer::never() };
        }
        yield_now().await;
    }
}

/// The next connection at any of the doors.
async fn arrival(doors: &mut [(Incoming<'_>, Takes)]) -> Happening {
    poll_fn(|cx| {
        for (door, takes) in doors.iter_mut() {
            if let Poll::Ready(Some(arrival)) = Pin::new(door).poll_next(cx) {
                return Poll::Ready(Happening::Arrival(arrival, *takes));
            }
        }
        Poll::Pending
    })
    .await
}

/// Every connection, so that none outlives the listener.
struct Connections<S> {
    server: Rc<Server<S>>,
    executor: Rc<LocalExecutor<'static>>,
    served: Vec<Connection>,
    turned_away: Vec<Connection>,
}

struct Connection {
    task: Task<()>,
    watch: Rc<Watch>,
    takes: Takes,
}

/// How many of these came in where scrapers do.
fn scrapers(connections: &[Connection]) -> usize {
    connections.iter().filter(|connection| connection.takes == Takes::Metrics).count()
}

impl<S: Site> Connections<S> {
    fn take(&mut self, stream: TcpStream, takes: Takes) {
        self.reap();
        let limits = &self.server.limits;
        let http = &self.server.site.stats().http;
        if let Err(error) = stream.set_nodelay(true) {
            log::debug!(error:% = error; "a connection ended before it was served");
            return;
        }
        let watch = Rc::new(Watch::default());
        let conn = Conn::new(stream, takes, Rc::clone(&watch), Rc::clone(&self.server));
        let has_room = |connections: &[Connection], most: usize| {
            connections.len() < most && (takes != Takes::Metrics || scrapers(connections) < limits.scrapers_max)
        };
        if has_room(&self.served, limits.connections_max) {
            http.connections_total.add(1);
            http.connections.add(1);
            let stats = Arc::clone(self.server.site.stats());
            let task = self.executor.spawn(async move {
                conn.run().await;
                stats.http.connections.add(-1);
            });
            self.served.push(Connection { task, watch, takes });
            return;
        }
        http.connections_refused.add(1);
        if has_room(&self.turned_away, limits.turned_away_max) {
            let task = self.executor.spawn(conn.turn_away());
            self.turned_away.push(Connection { task, watch, takes });
        }
    }

    fn any(&self) -> bool {
        !self.served.is_empty() || !self.turned_away.is_empty()
    }

    fn reap(&mut self) {
        self.served.retain(|connection| !connection.task.is_finished());
        self.turned_away.retain(|connection| !connection.task.is_finished());
    }

    fn sweep(&mut self) {
        self.reap();
        let now = Instant::now();
        self.served.iter().chain(&self.turned_away).for_each(|connection| connection.watch.sweep(now));
    }

    /// Closes the connections that are idle, and waits for the others.
    async fn drained(self) {
        let all = self.served.into_iter().chain(self.turned_away);
        let (tasks, watches): (Vec<_>, Vec<_>) = all.map(|connection| (connection.task, connection.watch)).unzip();
        watches.iter().for_each(|watch| watch.stop());
        let ended = async {
            for task in tasks {
                task.await;
            }
        };
        let mut due = Timer::interval(self.server.limits.sweep);
        let sweeping = async {
            while let Some(now) = due.next().await {
                watches.iter().for_each(|watch| watch.sweep(now));
            }
        };
        ended.or(sweeping).await;
    }
}
