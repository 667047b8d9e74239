//! `serve`: opens the store, starts the tasks, waits for the signal, and stops them in order.
//!
//! One thread runs the executor with listener, tickers and signals; the writer has a thread of its
//! own, the collector of samples too, a push one while it runs, and questions to the file one while somebody asks.

mod asked;
mod budget;
mod watchdog;

use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::LocalExecutor;
use smol::channel::Receiver;
use smol::future::FutureExt;

use crate::clock::Clock;
use crate::collect::{self, Agent, ChildPid, Collector, Sources};
use crate::config::{Ack, AgentProcess, Config, masked_url};
use crate::event::PicoUsd;
use crate::follow;
use crate::http::{self, App, Door, Takes, addresses, listen};
use crate::logging;
use crate::notify::Notify;
use crate::push::Pusher;
use crate::queue::{self, Queue, Window};
use crate::shutdown::{Deadline, Signals, Stop, Token, stopped};
use crate::space::{directory_of, page_bytes};
use crate::stats::Stats;
use crate::store::{Command, DeadLetters, Ended, Options, Queries, Remote, Writer};

use asked::{Asked, Supervised};

/// Everything accepted is stored.
const EXIT_OK: u8 = 0;
/// It is not, or the sidecar could not start.
const EXIT_LOST: u8 = 1;

/// What a queued acknowledgement waits for at most, in events and in time: the seed's batch.
const GATHER: Window = Window::Gather { events: 50, longest: Duration::from_millis(500) };
/// The writer's stack: its deepest call is SQLite's, which keeps its own data on the heap.
const WRITER_STACK_BYTES: usize = 512 << 10;
/// Kept of the time to stop for the file alone, after everything else: an eighth, and no more than this.
const STORE_RESERVE_MAX: Duration = Duration::from_secs(2);

/// Who started us, and whom we tell how far we are.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// The service manager.
    pub notify: Notify,
    /// The `run` whose child we are: it alone stops us then, and signals do not.
    pub run: Option<UnixStream>,
}

/// Runs until a signal, the `run` above it or an error ends it. Returns the exit code.
pub fn serve(config: Config, version: &'static str, surroundings: Surroundings) -> u8 {
    logging::init(config.log_format, config.log);
    log::info!(version, db:% = config.db_path.display(), pid = std::process::id(); "starting");
    match start(config, version, surroundings) {
        Ok(code) => code,
        Err(error) => {
            log::error!(error:% = error; "cannot start");
            EXIT_LOST
        }
    }
}

fn start(config: Config, version: &'static str, surroundings: Surroundings) -> Result<u8, Box<dyn std::error::Error>> {
    let signals = Signals::new()?;
    let clock = Clock::real();
    let stats = Arc::new(Stats::default());
    stats.started_ms.set(clock.now_ms());
    let at = |port: u16| config.bind.iter().map(move |host| (&**host, port));
    let listeners = listen(at(config.port), "TRACE_PORT")?;
    let otlp_listeners = listen(config.otlp_port.into_iter().flat_map(at), "TRACE_OTLP_PORT")?;
    let of_metrics = config.metrics_bind.iter().map(|(host, port)| (&**host, *port));
    let metrics_listeners = listen(of_metrics, "TRACE_METRICS_BIND")?;

    let writer = Writer::open(store_options(&config), Arc::clone(&stats), clock.clone())?;
    let window = if config.ack == Ack::Stored { Window::AtOnce } else { GATHER };
    let (queue, inbox) = queue::queue(queue::Limits::default(), window, Arc::clone(&stats));
    let (ending, ended) = smol::channel::bounded(1);
    let thread =
        std::thread::Builder::new().name("writer".to_owned()).stack_size(WRITER_STACK_BYTES).spawn(move || {
            let how = writer.run(inbox);
            if ending.try_send(how).is_err() {
                log::warn!("the store was closed after its time was over");
            }
        })?;
    let addresses = addresses(&listeners)?;
    for addr in &addresses {
        log::info!(addr:%; "listening");
    }
    let otlp_addresses = http::addresses(&otlp_listeners)?;
    for addr in &otlp_addresses {
        log::info!(addr:%; "listening for OTLP alone");
    }
    for addr in http::addresses(&metrics_listeners)? {
        log::info!(addr:%; "listening for scrapers alone");
    }
    let door = |takes| move |listener| Door { listener, takes };
    let doors = listeners.into_iter().map(door(Takes::Everything));
    let doors = doors.chain(otlp_listeners.into_iter().map(door(Takes::Otlp)));
    let doors = doors.chain(metrics_listeners.into_iter().map(door(Takes::Metrics))).collect();

    let executor = Rc::new(LocalExecutor::new());
    let Surroundings { notify, run } = surroundings;
    let mut agent = match &config.agent_process {
        None => Agent::Unknown,
        Some(AgentProcess::Pid(pid)) => Agent::Pid(*pid),
        Some(AgentProcess::Name(name)) => Agent::Named(name.as_str().into()),
    };
    let (asked, obeying) = match run {
        None => (Asked::BySignals(signals), None),
        Some(link) => {
            let child = ChildPid::default();
            if config.agent_process.is_none() {
                agent = Agent::Child(child.clone());
            }
            let (supervised, stops) = Supervised::new(link, queue.clone(), clock.clone(), Rc::clone(&executor), child)?;
            (Asked::ByRun { stops, signals }, Some(executor.spawn(supervised.obey(addresses, otlp_addresses))))
        }
    };
    let sidecar = Sidecar {
        config: Arc::new(config),
        version,
        clock,
        stats,
        queue,
        agent,
        executor: Rc::clone(&executor),
        asked,
        notify,
    };
    let code = smol::block_on(executor.run(sidecar.live(doors, WriterThread { thread, ended })));
    drop(obeying);
    Ok(code)
}

struct Sidecar {
    config: Arc<Config>,
    version: &'static str,
    clock: Clock,
    stats: Arc<Stats>,
    queue: Queue<Command>,
    agent: Agent,
    executor: Rc<LocalExecutor<'static>>,
    asked: Asked,
    notify: Notify,
}

/// The writer's thread, and what it says when it ends.
struct WriterThread {
    thread: JoinHandle<()>,
    ended: Receiver<Ended>,
}

impl Sidecar {
    async fn live(self, doors: Vec<Door>, writer: WriterThread) -> u8 {
        let (http_stop, collect_stop, push_stop) = (Stop::default(), Stop::default(), Stop::default());
        let queries = Queries::new(self.config.db_path.clone());
        let follow_stop = Stop::default();
        let app = App {
            queue: self.queue.clone(),
            stats: Arc::clone(&self.stats),
            clock: self.clock.clone(),
            queries: queries.clone(),
            letters: DeadLetters::new(self.config.push.is_some().then(|| self.queue.clone())),
            config: Arc::clone(&self.config),
        };
        let limits = http::Limits::default();
        let http = http::serve(doors, Rc::new(app), limits, Rc::clone(&self.executor), http_stop.token());
        let http = self.executor.spawn(http);
        let collecting = self.executor.spawn(self.collect(collect_stop.token()));
        let budget = self.config.budget_day.map(|limit| self.executor.spawn(self.watch(limit, collect_stop.token())));
        let watching =
            self.executor.spawn(watchdog::run(Arc::clone(&self.stats), self.clock.clone(), collect_stop.token()));
        let following = self.executor.spawn(self.follow(follow_stop.token()));
        let pusher = self.pusher();
        let pushing = self.executor.spawn(push(pusher.clone(), push_stop.token()));

        self.notify.ready();
        let asked = async { Some(self.asked.next().await) };
        let died = async {
            // The writer ends only when it is told to: this is a panic, and its message is in the log.
            writer.ended.recv().await.map_or(None, |_| None)
        };
        match asked.or(died).await {
            Some(by) => log::info!(by, timeout_ms = self.config.drain_timeout.as_millis() as u64; "stopping"),
            None => {
                log::error!("the writer has ended, nothing can be stored any more");
                return EXIT_LOST;
            }
        }

        self.notify.stopping();
        // From here on: the inputs first, then what they brought, then the remote, then the file.
        let deadline = Deadline::after(self.config.drain_timeout);
        let hurry = Stop::default();
        let asked_again = self.hurry_when_asked_again(&hurry);
        let stopping = async {
            self.linger(&hurry.token()).await;
            // Requests in flight may be slow: they get half of the time. Then the queue must be stored,
            // and the last of it is for the file alone.
            let left = deadline.left();
            let for_requests = deadline.less(left / 2);
            let for_queue = deadline.less((left / 8).min(STORE_RESERVE_MAX));
            http_stop.now();
            for_requests.bound("http", http).await;
            // Nobody waits for an answer any more; a question at work would keep the log from being deleted.
            for_queue.bound("queries", queries.close()).await;
            collect_stop.now();
            for_queue.bound("collect", collecting).await;
            if let Some(budget) = budget {
                for_queue.bound("budget", budget).await;
            }
            for_queue.bound("watchdog", watching).await;
            follow_stop.now();
            for_queue.less(for_queue.left() / 2).bound("gateway log", following).await;
            push_stop.now();
            for_queue.bound("push schedule", pushing).await;
            for_queue.bound("queue", self.drain()).await;
            if let Some(pusher) = &pusher {
                self.push_last(pusher, for_queue, &hurry.token()).await;
            }
            self.queue.command(Command::Close);
            deadline.bound("store", writer.ended.recv()).await
        };
        let end = stopping.or(asked_again).await;
        self.report(end.and_then(Result::ok), writer.thread)
    }

    /// Never returns: it only tells `hurry` when somebody asks again.
    async fn hurry_when_asked_again<T>(&self, hurry: &Stop) -> T {
        let by = self.asked.next().await;
        log::warn!(by; "asked again: stopping without lingering and without the push");
        hurry.now();
        smol::future::pending().await
    }

    async fn linger(&self, hurry: &Token) {
        let linger = self.config.drain_linger;
        if linger.is_zero() {
            return;
        }
        log::info!(linger_ms = linger.as_millis() as u64; "still taking events");
        let wait = async {
            Timer::after(linger).await;
        };
        wait.or(stopped(hurry)).await;
    }

    /// Closes the queue, and returns when all of it is stored.
    async fn drain(&self) {
        self.queue.close();
        let (reply, drained) = smol::channel::bounded(1);
        if !self.queue.command(Command::Drain { reply }) || drained.recv().await.is_err() {
            log::error!("the writer ended before the queue was stored");
        }
    }

    async fn push_last(&self, pusher: &Pusher, deadline: Deadline, hurry: &Token) {
        let push = async { Some(pusher.push_once(deadline.instant()).await) };
        let hurried = async {
            stopped(hurry).await;
            None
        };
        match hurried.or(push).await {
            None => {
                // What is in flight is cancelled: its connection to the file would keep the log alive.
                pusher.push_once(Instant::now()).await;
                log::info!("the last push is skipped, unsent rows wait in the file");
            }
            Some(last) => {
                let unfinished = last.unfinished.as_deref().unwrap_or("none");
                log::info!(batches = last.batches, rows = last.rows, unfinished; "pushed a last time");
            }
        }
    }

    fn pusher(&self) -> Option<Rc<Pusher>> {
        let config = self.config.push.as_ref()?;
        log::info!(endpoint = masked_url(&config.endpoint).as_str(); "pushing");
        Some(Rc::new(Pusher::start(
            config,
            &self.config.identity,
            self.version,
            self.config.db_path.clone(),
            self.queue.clone(),
            Arc::clone(&self.stats),
            self.clock.clone(),
        )))
    }

    fn collect(&self, stop: Token) -> impl Future<Output = ()> + 'static {
        let disk = directory_of(&self.config.db_path).to_owned();
        let sources = Sources { root: "/".into(), disk, page_bytes: page_bytes(), agent: self.agent.clone() };
        let collector = Collector::new(sources);
        let interval = self.config.metrics_interval;
        let (queue, stats, clock) = (self.queue.clone(), Arc::clone(&self.stats), self.clock.clone());
        async move {
            match interval {
                Some(interval) => collect::run(collector, interval, queue, stats, clock, stop).await,
                None => stopped(&stop).await,
            }
        }
    }

    fn watch(&self, limit: PicoUsd, stop: Token) -> impl Future<Output = ()> + 'static {
        budget::watch(limit, self.queue.clone(), Arc::clone(&self.stats), self.clock.clone(), stop)
    }

    fn follow(&self, stop: Token) -> impl Future<Output = ()> + 'static {
        let log = self.config.openclaw_log.clone();
        let db_path = self.config.db_path.clone();
        let (queue, stats, clock) = (self.queue.clone(), Arc::clone(&self.stats), self.clock.clone());
        async move {
            match log {
                Some(path) => follow::run(follow::Source { path, db_path }, queue, stats, clock, stop).await,
                None => stopped(&stop).await,
            }
        }
    }

    /// Says how it ended, and what that is worth as an exit code.
    fn report(&self, ended: Option<Ended>, writer: JoinHandle<()>) -> u8 {
        let ledger = self.stats.ledger();
        let early = self.config.ack == Ack::Queued;
        let code = match ended {
            Some(ended) if ended.lost > 0 => EXIT_LOST,
            // Not stored in time. Who waits for a commit was not told that it is; who does not, was.
            None if early && ledger.in_flight > 0 => EXIT_LOST,
            _ => EXIT_OK,
        };
        if ended.is_some() && writer.join().is_err() {
            log::error!("the writer panicked");
        }
        let (stored, in_flight) = (ledger.stored, ledger.in_flight);
        let log_is_empty = ended.is_some_and(|ended| ended.log_is_empty);
        let lost = ended.map_or(0, |ended| ended.lost);
        log::info!(code, stored, duplicate = ledger.duplicate, in_flight, lost, log_is_empty; "stopped");
        code
    }
}

async fn push(pusher: Option<Rc<Pusher>>, stop: Token) {
    match pusher {
        Some(pusher) => pusher.run(stop).await,
        None => stopped(&stop).await,
    }
}

fn store_options(config: &Config) -> Options {
    Options {
        path: config.db_path.clone(),
        sync: config.sync,
        retention: config.retention,
        remote: config
            .push
            .as_ref()
            .map(|push| Remote { destination: push.destination(), tables: push.tables.clone() }),
        acknowledged_early: config.ack == Ack::Queued,
    }
}
