//! A listener in a thread of this process with a real queue and a small writer, and a client that
//! speaks bytes.

// What a test leans on may fail as the test does.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use openclaw_trace::clock::Clock;
use openclaw_trace::config::{Config, Surroundings};
use openclaw_trace::event::EventId;
use openclaw_trace::http::{App, Door, Limits, Takes, serve};
use openclaw_trace::queue::{self, Inbox, Outcome, Queue, Window, queue};
use openclaw_trace::stats::Stats;
use openclaw_trace::store::{DeadLetters, Queries};
use smol::LocalExecutor;
use smol::channel::Sender;

/// How long a test waits for what must happen: a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a test starts with.
#[derive(Default)]
pub struct Setup {
    pub limits: Limits,
    pub queue: queue::Limits,
    pub vars: &'static [(&'static str, &'static str)],
    /// The machine's, unless a test sets it by hand.
    pub clock: Option<Clock>,
}

/// A running listener.
pub struct Server {
    pub addr: SocketAddr,
    /// Of the listener that is OTLP's alone.
    pub otlp_addr: SocketAddr,
    /// Of the listener for scrapers.
    pub metrics_addr: SocketAddr,
    pub stats: Arc<Stats>,
    stored: Arc<Mutex<HashSet<EventId>>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    queue: Queue<()>,
    stop: Option<Sender<Infallible>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub fn start(setup: Setup) -> Server {
        let listeners = [Takes::Everything, Takes::Otlp, Takes::Metrics]
            .map(|takes| (TcpListener::bind("127.0.0.1:0").unwrap(), takes));
        let [addr, otlp_addr, metrics_addr] = [0, 1, 2].map(|n: usize| listeners[n].0.local_addr().unwrap());
        let stats = Arc::new(Stats::default());
        let (queue, inbox) = queue::<()>(setup.queue, Window::AtOnce, Arc::clone(&stats));
        let stored = Arc::default();
        let gate = Arc::new((Mutex::new(true), Condvar::new()));
        let (stop, stopped) = smol::channel::bounded(1);
        let config = Arc::new(config(setup.vars));
        let app = (queue.clone(), Arc::clone(&stats));
        let clock = setup.clock.unwrap_or_else(Clock::real);
        let serving = thread::spawn(move || {
            let executor = Rc::new(LocalExecutor::new());
            let door = |(listener, takes)| Door { listener: smol::Async::try_from(listener).unwrap().into(), takes };
            let doors = listeners.into_iter().map(door).collect();
            let queries = Queries::new("/unused.db".into());
            let letters = DeadLetters::new(None);
            let app = Rc::new(App { queue: app.0, stats: app.1, clock, queries, letters, config });
            let served = serve(doors, app, setup.limits, Rc::clone(&executor), stopped);
            smol::block_on(executor.run(served));
        });
        let writing = {
            let (stored, gate) = (Arc::clone(&stored), Arc::clone(&gate));
            thread::spawn(move || write(&inbox, &stored, &gate))
        };
        Server {
            addr,
            otlp_addr,
            metrics_addr,
            stats,
            stored,
            gate,
            queue,
            stop: Some(stop),
            threads: vec![writing, serving],
        }
    }

    pub fn with_limits(change: impl FnOnce(&mut Limits)) -> Server {
        let mut limits = Limits { sweep: Duration::from_millis(5), ..Limits::default() };
        change(&mut limits);
        Server::start(Setup { limits, ..Setup::default() })
    }

    pub fn client(&self) -> Client {
        Server::client_of(self.addr)
    }

    fn client_of(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, arrived: Vec::new() }
    }

    /// One request on a connection of its own; the connection must end when the answer says so.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.client();
        client.send(request);
        client.answer()
    }

    /// The same at the listener that is OTLP's alone.
    pub fn ask_otlp(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = Server::client_of(self.otlp_addr);
        client.send(request);
        client.answer()
    }

    /// The same at the listener for scrapers.
    pub fn ask_metrics(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.metrics_client();
        client.send(request);
        client.answer()
    }

    /// A connection to the listener for scrapers.
    pub fn metrics_client(&self) -> Client {
        Server::client_of(self.metrics_addr)
    }

    /// How many different events are stored.
    pub fn stored(&self) -> usize {
        self.stored.lock().unwrap().len()
    }

    /// Stops the writer before its next commit, or lets it go on.
    pub fn let_writer_run(&self, run: bool) {
        *self.gate.0.lock().unwrap() = run;
        self.gate.1.notify_all();
    }

    /// Asks the listener to stop, and does not wait.
    pub fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits until the listener has returned.
    pub fn join(&mut self) {
        self.stop = None;
        self.threads.pop().unwrap().join().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.let_writer_run(true);
        self.stop = None;
        self.queue.close();
        for thread in self.threads.drain(..).rev() {
            if thread.join().is_err() && !thread::panicking() {
                panic!("a thread of the server panicked");
            }
        }
    }
}

fn write(inbox: &Inbox<()>, stored: &Mutex<HashSet<EventId>>, gate: &(Mutex<bool>, Condvar)) {
    loop {
        let next = inbox.next(None);
        drop(gate.1.wait_while(gate.0.lock().unwrap(), |run| !*run).unwrap());
        let mut known = stored.lock().unwrap();
        let mut settled = Vec::new();
        for entry in next.entries {
            let new = entry.events.iter().filter(|event| known.insert(event.id)).count() as u32;
            let duplicates = entry.events.len() as u32 - new;
            settled.push((entry, Outcome::Stored { stored: new, duplicates, ignored: 0 }));
        }
        drop(known);
        inbox.settle(settled);
        if next.drained {
            return;
        }
    }
}

fn config(vars: &[(&str, &str)]) -> Config {
    let mut all = HashMap::from([("TRACE_DB_PATH".to_owned(), "/unused.db".to_owned())]);
    all.extend(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let read_file = |_: &Path| Err(ErrorKind::NotFound.into());
    Config::from_vars(&Surroundings { vars: all, read_file: &read_file, is_dir: &|_| false }).unwrap()
}

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    arrived: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Client {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends the same again and again, until the server takes no more or `most` bytes are sent.
    pub fn flood(&mut self, bytes: &[u8], most: usize) -> usize {
        let mut sent = 0;
        while sent < most {
            match self.stream.write(bytes) {
                Ok(len) => sent += len,
                Err(error) => {
                    assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "the server hangs");
                    break;
                }
            }
        }
        sent
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer, which is not a reply to HEAD.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.arrived.len() < length {
            assert!(self.read() > 0, "the connection ended in a body, after {answer:?}");
        }
        answer.body = self.arrived.drain(..length).collect();
        answer
    }

    /// The next head.
    pub fn head(&mut self) -> Answer {
        loop {
            if let Some(end) = self.arrived.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.arrived.drain(..end + 4).collect();
                let head = String::from_utf8(head).unwrap();
                let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
                return Answer { status, head, body: Vec::new() };
            }
            assert!(self.read() > 0, "the connection ended, after {:?}", String::from_utf8_lossy(&self.arrived));
        }
    }

    /// Asserts that nothing more comes and the connection has ended.
    pub fn assert_closed(&mut self) {
        assert_eq!((self.read(), self.arrived.as_slice()), (0, &b""[..]));
    }

    /// One read; 0 at the end of the connection.
    pub fn read(&mut self) -> usize {
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(len) => {
                self.arrived.extend_from_slice(&buffer[..len]);
                len
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("the server hangs: {error}"),
        }
    }
}

impl Answer {
    /// The value of a header; name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = |line: &str| -> Option<usize> { line.strip_prefix(name)?.strip_prefix(": ").map(str::len) };
        self.head.split("\r\n").find_map(|line| value(line).map(|len| &line[line.len() - len..]))
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// Waits for a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still waiting until {what}");
        thread::yield_now();
    }
}
