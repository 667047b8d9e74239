//! A sink made by hand: takes pushes, records them, and answers as its script says.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use openclaw_trace::event::Table;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;
use super::receiver::header;

/// What the sink does with one request.
pub enum Say {
    /// Answers with this status, these further header lines (each with its CRLF), and this body.
    Status(u16, &'static str, String),
    /// Answers nothing, and keeps the connection until the client closes it.
    Hang,
    /// Closes the connection once it has the head.
    CloseEarly,
    /// Takes the request, and closes the connection without an answer.
    TakeAndClose,
    /// Takes the request, and closes the connection in the middle of the answer.
    Truncate,
    /// Answers 200 when told to.
    Wait(Receiver<()>),
    /// Answers 200 after this time.
    Late(Duration),
}

impl Say {
    pub fn ok() -> Say {
        Say::Status(200, "", "{}".to_owned())
    }

    pub fn status(status: u16) -> Say {
        Say::Status(status, "", "{}".to_owned())
    }
}

/// One request that came whole.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
    pub at: Instant,
    /// Whether it was answered with 200 and a receipt, or taken and not answered.
    pub taken: bool,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Table and id of every row in the body.
    pub fn rows(&self) -> Vec<(Table, String)> {
        let body = self.json();
        let rows_of = |table: Table| {
            let rows = body[table.name()].as_array().unwrap();
            rows.iter().map(|row| (table, row["trace_id"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
        };
        Table::ALL.into_iter().flat_map(rows_of).collect()
    }
}

struct State {
    script: VecDeque<Say>,
    /// What is said when the script is over.
    after: fn() -> Say,
    seen: Vec<Seen>,
    /// Connections that a hanging client has closed.
    hung_up: usize,
    stopping: bool,
}

impl State {
    fn next(&mut self) -> Say {
        self.script.pop_front().unwrap_or_else(self.after)
    }
}

/// One connection is served at a time.
pub struct Sink {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Sink {
    /// Answers as `script` says, and then 200 to everything.
    pub fn start(script: Vec<Say>) -> Sink {
        Sink::with(script, Say::ok, None)
    }

    /// Answers the same to everything.
    pub fn always(say: fn() -> Say) -> Sink {
        Sink::with(Vec::new(), say, None)
    }

    /// The same over TLS, with the certificate in `tests/data/tls`.
    pub fn start_tls(script: Vec<Say>) -> Sink {
        let chain = CertificateDer::pem_file_iter(tls_file("server.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(tls_file("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        Sink::with(script, Say::ok, Some(Arc::new(tls)))
    }

    fn with(script: Vec<Say>, after: fn() -> Say, tls: Option<Arc<ServerConfig>>) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { script: script.into(), after, seen: Vec::new(), hung_up: 0, stopping: false };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                if shared.0.lock().unwrap().stopping {
                    return;
                }
                // What breaks a connection is in the script, or the client's own doing.
                let served = match &tls {
                    None => serve(stream, &shared),
                    Some(config) => {
                        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(StreamOwned::new(connection, stream), &shared)
                    }
                };
                drop(served);
            }
        });
        Sink { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/in?key=hush", self.address)
    }

    /// Waits until what was seen is as wanted, and returns it.
    pub fn wait(&self, wanted: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        self.wait_state("requests", |state| wanted(&state.seen)).seen.clone()
    }

    /// Waits until the client has closed a connection on which nothing was answered.
    pub fn wait_hung_up(&self) {
        drop(self.wait_state("a hang-up", |state| state.hung_up > 0));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.0.lock().unwrap().seen.clone()
    }

    fn wait_state(&self, what: &str, wanted: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.state.0.lock().unwrap();
        let (state, waited) = self.state.1.wait_timeout_while(state, PATIENCE, |state| !wanted(state)).unwrap();
        if waited.timed_out() {
            let came = state.seen.len();
            drop(state);
            panic!("waited in vain for {what}: {came} requests came");
        }
        state
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.state.0.lock().unwrap().stopping = true;
        drop(TcpStream::connect(self.address));
    }
}

pub fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

fn serve(stream: impl Read + Write, shared: &(Mutex<State>, Condvar)) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let say = shared.0.lock().unwrap().next();
        if matches!(say, Say::CloseEarly) {
            return Ok(());
        }
        let mut seen = Seen { head, body: Vec::new(), at: Instant::now(), taken: false };
        assert_eq!(seen.header("transfer-encoding"), None);
        let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
        seen.body.resize(length, 0);
        stream.read_exact(&mut seen.body)?;
        seen.taken = match &say {
            Say::Status(status, _, body) => *status == 200 && body.starts_with('{'),
            Say::TakeAndClose | Say::Truncate | Say::Wait(_) | Say::Late(_) => true,
            Say::Hang | Say::CloseEarly => false,
        };
        shared.0.lock().unwrap().seen.push(seen);
        shared.1.notify_all();
        if !answer(&mut stream, say, shared)? {
            return Ok(());
        }
    }
}

/// Whether the connection can take another request.
fn answer<S: Read + Write>(stream: &mut BufReader<S>, say: Say, shared: &(Mutex<State>, Condvar)) -> io::Result<bool> {
    let (status, headers, body) = match say {
        Say::Status(status, headers, body) => (status, headers, body),
        Say::Wait(go) => {
            go.recv().unwrap();
            (200, "", String::new())
        }
        Say::Late(time) => {
            thread::sleep(time);
            (200, "", String::new())
        }
        Say::Hang => {
            while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
            shared.0.lock().unwrap().hung_up += 1;
            shared.1.notify_all();
            return Ok(false);
        }
        Say::Truncate => {
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"acc")?;
            return Ok(false);
        }
        Say::CloseEarly | Say::TakeAndClose => return Ok(false),
    };
    // In one write: two would wait for each other (Nagle, and the delayed acknowledgement).
    let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len());
    stream.get_mut().write_all(answer.as_bytes())?;
    stream.get_mut().flush()?;
    Ok(true)
}
