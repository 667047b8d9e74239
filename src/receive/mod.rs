//! `receive`: a receiver of pushes, and the contract of docs/wire.md running: what a remote must do, in as little as it takes.
//!
//! It promises that a push is answered 200 only once every row that the answer does not name is durable, that a row which comes
//! again changes nothing, and that nothing is stored of a push that is refused. It listens as the sidecar does, with the same
//! limits on what a client may take of us.

#[cfg(feature = "faults")]
mod faults;
mod keeper;
mod taker;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_net::TcpListener;
use smol::LocalExecutor;
use smol::channel::Receiver;
use smol::future::FutureExt;

use crate::clock::Clock;
use crate::config::{Config, Secret};
use crate::http::{self, Limits, Pushes};
use crate::logging;
use crate::notify::Notify;
use crate::shutdown::{Deadline, Signals, Stop, stopped};
use crate::stats::Stats;
use crate::store::ReceivedFile;

#[cfg(feature = "faults")]
pub use faults::Faults;
use keeper::Keeper;
use taker::Taker;

/// Everything that was answered is stored, and nobody was left without an answer.
const EXIT_OK: u8 = 0;
/// Somebody was, or the receiver could not start.
const EXIT_FAILED: u8 = 1;

/// Bytes of a body, as it comes and inflated: the sidecar's largest of 5 MB with room to spare.
const BODY_BYTES_MAX: usize = 8 << 20;
/// Bytes of all bodies in flight: five of the largest, and small ones beside them.
const BODIES_BYTES_MAX: usize = 48 << 20;

/// What a receiver runs with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Addresses or host names of the listener.
    pub bind: Vec<String>,
    /// Its port; 0 = any free one.
    pub port: u16,
    /// The file.
    pub path: PathBuf,
    /// Bearer token that clients must send, if any.
    pub token: Option<Secret>,
    /// Names that a Host header may have.
    pub allowed_hosts: Vec<String>,
    /// How long stopping may take.
    pub drain_timeout: Duration,
    /// What goes wrong, for tests of those who push.
    #[cfg(feature = "faults")]
    pub faults: Faults,
}

impl Options {
    /// What the variables say.
    pub fn of(config: &Config) -> Options {
        Options {
            bind: config.bind.clone(),
            port: config.port,
            path: config.db_path.clone(),
            token: config.token.clone(),
            allowed_hosts: config.allowed_hosts.clone(),
            drain_timeout: config.drain_timeout,
            #[cfg(feature = "faults")]
            faults: Faults::default(),
        }
    }
}

/// Receives until a signal ends it. Returns the exit code. Needs [`hold_signals`](crate::shutdown::hold_signals) before.
pub fn receive(config: &Config, options: Options, notify: &Notify) -> u8 {
    logging::init(config.log_format, config.log);
    let version = env!("CARGO_PKG_VERSION");
    log::info!(version, db:% = options.path.display(), pid = std::process::id(); "starting to receive");
    let received = Signals::new().map_err(Into::into).and_then(|signals| {
        let receiver = Receiving::start(options)?;
        notify.ready();
        let asked = async {
            let by = signals.next().await.unwrap_or_else(|error| {
                log::error!(error:% = error; "cannot wait for signals, stopping");
                "none"
            });
            notify.stopping();
            by
        };
        Ok(receiver.run(asked))
    });
    received.unwrap_or_else(|error: Box<dyn Error>| {
        log::error!(error:% = error; "cannot start");
        EXIT_FAILED
    })
}

/// A receiver on a thread of this process: for whoever has a receiver in a program, or several in a test.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    stop: Stop,
    thread: JoinHandle<u8>,
}

impl Running {
    /// Starts it, and returns when it listens.
    ///
    /// # Errors
    /// The text says why it cannot start.
    pub fn start(options: Options) -> Result<Running, String> {
        let stop = Stop::default();
        let token = stop.token();
        let (tell, told) = smol::channel::bounded(1);
        let thread = thread::Builder::new().name("receive".to_owned()).spawn(move || {
            let receiver = match Receiving::start(options) {
                Ok(receiver) => receiver,
                Err(error) => {
                    drop(tell.try_send(Err(error.to_string())));
                    return EXIT_FAILED;
                }
            };
            drop(tell.try_send(Ok(receiver.addresses.clone())));
            receiver.run(async {
                stopped(&token).await;
                "its owner"
            })
        });
        let thread = thread.map_err(|error| error.to_string())?;
        let addresses = told.recv_blocking().map_err(|_| "the receiver ended before it listened".to_owned())??;
        Ok(Running { addresses, stop, thread })
    }

    /// Where it listens: one for each address of each name that it was to bind.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers what has come, and stops. Returns what would be the exit code.
    pub fn stop(self) -> u8 {
        self.stop.now();
        self.thread.join().unwrap_or(EXIT_FAILED)
    }
}

/// Everything is open, and nothing runs but the thread that stores.
struct Receiving {
    listeners: Vec<TcpListener>,
    /// Where clients find us.
    addresses: Vec<SocketAddr>,
    taker: Taker,
    /// Is closed when that thread has ended.
    ended: Receiver<Infallible>,
    stats: Arc<Stats>,
    clock: Clock,
    #[cfg(feature = "faults")]
    faults: faults::Standing,
    options: Options,
}

impl Receiving {
    fn start(options: Options) -> Result<Receiving, Box<dyn Error>> {
        let file = ReceivedFile::open(&options.path)?;
        let listeners = listen(&options)?;
        let addresses = http::addresses(&listeners)?;
        #[cfg(feature = "faults")]
        let faults = options.faults.stand_before(&addresses, &options)?;
        #[cfg(feature = "faults")]
        let addresses = faults.addresses().unwrap_or(addresses);
        let (stats, clock) = (Arc::new(Stats::default()), Clock::real());
        stats.started_ms.set(clock.now_ms());
        let (keeper, ended) = Keeper::start(file, Arc::clone(&stats), clock.clone())?;
        let taker = Taker::new(keeper, Arc::clone(&stats), clock.clone(), limits().answer, options.path.clone());
        for addr in &addresses {
            log::info!(addr:%; "listening");
        }
        Ok(Receiving {
            listeners,
            addresses,
            taker,
            ended,
            stats,
            clock,
            #[cfg(feature = "faults")]
            faults,
            options,
        })
    }

    /// Until somebody asks to stop: `asked` says who.
    fn run(self, asked: impl Future<Output = &'static str>) -> u8 {
        let executor = Rc::new(LocalExecutor::new());
        smol::block_on(executor.run(self.live(Rc::clone(&executor), asked)))
    }

    async fn live(self, executor: Rc<LocalExecutor<'static>>, asked: impl Future<Output = &'static str>) -> u8 {
        let Receiving { listeners, taker, ended, stats, clock, options, .. } = self;
        let http_stop = Stop::default();
        let pushes = Pushes {
            taker,
            stats: Arc::clone(&stats),
            clock,
            token: options.token,
            allowed_hosts: options.allowed_hosts,
        };
        let serving = http::serve_pushes(listeners, Rc::new(pushes), limits(), Rc::clone(&executor), http_stop.token());
        let serving = executor.spawn(serving);
        let died = async {
            stopped(&ended).await;
            None
        };
        match async { Some(asked.await) }.or(died).await {
            Some(by) => log::info!(by, timeout_ms = options.drain_timeout.as_millis() as u64; "stopping"),
            None => {
                log::error!("the thread that stores has ended, nothing can be stored any more");
                return EXIT_FAILED;
            }
        }
        let deadline = Deadline::after(options.drain_timeout);
        #[cfg(feature = "faults")]
        self.faults.end();
        http_stop.now();
        // With the listener goes the last of those who hand pushes to the thread: it stores what it has, and ends.
        let answered = deadline.bound("http", serving).await;
        let closed = deadline.bound("store", stopped(&ended)).await;
        let code = if answered.and(closed).is_some() { EXIT_OK } else { EXIT_FAILED };
        log::info!(code, requests = stats.http.requests.total(); "stopped receiving");
        code
    }
}

fn limits() -> Limits {
    Limits {
        native_bytes_max: BODY_BYTES_MAX,
        inflated_bytes_max: BODY_BYTES_MAX,
        bodies_bytes_max: BODIES_BYTES_MAX,
        ..Limits::default()
    }
}

fn listen(options: &Options) -> std::io::Result<Vec<TcpListener>> {
    #[cfg(feature = "faults")]
    if options.faults.any() {
        return http::listen([("127.0.0.1", 0)].into_iter(), "TRACE_PORT");
    }
    http::listen(options.bind.iter().map(|host| (&**host, options.port)), "TRACE_PORT")
}
