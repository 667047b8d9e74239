//! A receiver of pushes made by hand: it keeps the contract (rows once, by their ids), and breaks it where a test wants to
//! see what becomes of that.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use flate2::read::GzDecoder;
use openclaw_trace::event::Table;
use serde_json::{Value, json};

use super::PATIENCE;

/// What the receiver does with one request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Takes every row, and says so.
    Take,
    /// Takes every row, and closes the connection without an answer.
    TakeAndDrop,
    /// Takes every row, and closes the connection in the middle of the answer.
    TakeAndTruncate,
    /// Answers this, with these further header lines (each with its CRLF), and takes nothing.
    Answer(u16, String, String),
    /// Takes what it does not name, and says of these rows what is to become of them.
    Name(u16, Vec<Value>),
    /// Closes the connection before it has read the body.
    CloseBefore,
    /// Closes it in the middle of the body.
    CloseWithin,
    /// Closes it after the body, and takes nothing.
    CloseAfter,
    /// Says nothing until the client has gone.
    Hang,
}

impl Act {
    pub fn status(status: u16) -> Act {
        Act::Answer(status, String::new(), String::new())
    }
}

/// One request that came whole.
#[derive(Debug, Clone)]
pub struct Request {
    pub head: String,
    /// As it was before it was compressed.
    pub body: Vec<u8>,
    /// Table and id of every row, in the order of the body.
    pub rows: Vec<(Table, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub fn has(&self, id: &str) -> bool {
        self.rows.iter().any(|(_, row)| row == id)
    }
}

/// Decides by the head what happens to the body, and by the whole what is answered.
pub trait Policy: Send {
    /// Asked when the head has come: something else than [`Act::Take`] only where the body is not to be read.
    fn before(&mut self, _head: &str) -> Act {
        Act::Take
    }

    /// Asked when the request has come whole.
    fn after(&mut self, request: &Request) -> Act;
}

impl<F: FnMut(&Request) -> Act + Send> Policy for F {
    fn after(&mut self, request: &Request) -> Act {
        self(request)
    }
}

struct State {
    policy: Box<dyn Policy>,
    /// Every row that was taken, by its id and cost; never the same twice, unless the deduplication is broken.
    taken: Vec<(String, i64)>,
    ids: BTreeSet<String>,
    /// Rows that came although they were there.
    repeats: u64,
    requests: Vec<Request>,
    stopping: bool,
}

pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Receiver {
    pub fn start(policy: impl Policy + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            policy: Box::new(policy),
            taken: Vec::new(),
            ids: BTreeSet::new(),
            repeats: 0,
            requests: Vec::new(),
            stopping: false,
        };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.0.lock().unwrap().stopping {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                // What breaks a connection is the policy's, or the client's own doing.
                thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        Receiver { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.0.lock().unwrap().requests.clone()
    }

    /// Waits until so many requests have come.
    pub fn wait_requests(&self, count: usize) {
        let state = self.state.0.lock().unwrap();
        let (state, waited) =
            self.state.1.wait_timeout_while(state, PATIENCE, |state| state.requests.len() < count).unwrap();
        let came = state.requests.len();
        drop(state);
        assert!(!waited.timed_out(), "waited in vain for {count} requests: {came} came");
    }

    /// Identities of all rows that were taken, each as often as it was.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.state.0.lock().unwrap().taken.iter().map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids
    }

    /// What the calls among them came to, in pico-dollars.
    pub fn spent(&self) -> i64 {
        self.state.0.lock().unwrap().taken.iter().map(|(_, cost)| cost).sum()
    }

    /// How many batches came again under their key from a push that knew of them from the file alone.
    pub fn resumed(&self) -> usize {
        let mut known = BTreeSet::new();
        let again = |request: &&Request| {
            let new = known.insert(request.header("idempotency-key").unwrap().to_owned());
            !new && request.header("x-trace-attempt") == Some("1")
        };
        self.requests().iter().filter(again).count()
    }

    /// Takes everything from now on.
    pub fn calm(&self) {
        self.turn(|_: &Request| Act::Take);
    }

    /// How often a row came that was there.
    pub fn repeats(&self) -> u64 {
        self.state.0.lock().unwrap().repeats
    }

    /// Does something else from now on.
    pub fn turn(&self, policy: impl Policy + 'static) {
        self.state.0.lock().unwrap().policy = Box::new(policy);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.state.0.lock().unwrap().stopping = true;
        drop(TcpStream::connect(self.address));
    }
}

/// A header of a head, by its name in any case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn serve(stream: TcpStream, shared: &(Mutex<State>, Condvar)) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let before = shared.0.lock().unwrap().policy.before(&head);
        match before {
            Act::CloseBefore => return Ok(()),
            Act::CloseWithin => {
                stream.read_exact(&mut [0; 16])?;
                return Ok(());
            }
            _ => {}
        }
        let body = read_body(&mut stream, &head)?;
        let parsed = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let request = Request { rows: rows(&parsed), head, body };
        let act = {
            let mut state = shared.0.lock().unwrap();
            let act = state.policy.after(&request);
            state.requests.push(request.clone());
            shared.1.notify_all();
            act
        };
        let taken = |but: &BTreeSet<String>| take(&mut shared.0.lock().unwrap(), &parsed, but);
        let (status, headers, answer) = match act {
            Act::Take => (200, String::new(), taken(&BTreeSet::new())),
            Act::TakeAndDrop => {
                taken(&BTreeSet::new());
                return Ok(());
            }
            Act::TakeAndTruncate => {
                taken(&BTreeSet::new());
                return stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"acc");
            }
            Act::Answer(status, headers, body) => (status, headers, body),
            Act::Name(status, named) => {
                let but = named.iter().filter_map(|row| row["trace_id"].as_str().map(str::to_owned)).collect();
                let mut answer: Value = serde_json::from_str(&taken(&but)).unwrap();
                answer["rejected"] = Value::Array(named);
                (status, String::new(), answer.to_string())
            }
            Act::CloseBefore | Act::CloseWithin | Act::CloseAfter => return Ok(()),
            Act::Hang => {
                while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
                return Ok(());
            }
        };
        let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n{headers}\r\n{answer}", answer.len());
        stream.get_mut().write_all(answer.as_bytes())?;
    }
}

fn read_body(stream: &mut BufReader<TcpStream>, head: &str) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = header(head, "content-length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body)?;
    } else {
        assert_eq!(header(head, "transfer-encoding"), Some("chunked"));
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            // A client that goes in the middle of its body.
            let Ok(length) = usize::from_str_radix(line.trim(), 16) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let mut chunk = vec![0; length + 2];
            stream.read_exact(&mut chunk)?;
            body.extend_from_slice(&chunk[..length]);
            if length == 0 {
                break;
            }
        }
    }
    if header(head, "content-encoding") == Some("gzip") {
        let mut plain = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut plain)?;
        return Ok(plain);
    }
    Ok(body)
}

fn rows(body: &Value) -> Vec<(Table, String)> {
    let of_table = |table: Table| {
        let rows = body[table.name()].as_array().cloned().unwrap_or_default();
        rows.into_iter().map(move |row| (table, row["trace_id"].as_str().unwrap_or_default().to_owned()))
    };
    Table::ALL.into_iter().flat_map(of_table).collect()
}

/// Takes the rows of a body but some, and says what became of them.
fn take(state: &mut State, body: &Value, but: &BTreeSet<String>) -> String {
    let mut counts: BTreeMap<bool, u64> = BTreeMap::new();
    for table in Table::ALL {
        for row in body[table.name()].as_array().into_iter().flatten() {
            let id = row["trace_id"].as_str().unwrap();
            if but.contains(id) {
                continue;
            }
            let new = state.ids.insert(id.to_owned());
            *counts.entry(new).or_default() += 1;
            if new {
                state.taken.push((id.to_owned(), row["cost_picousd"].as_i64().unwrap_or(0)));
            }
        }
    }
    state.repeats += counts.get(&false).copied().unwrap_or(0);
    let of = |new| counts.get(&new).copied().unwrap_or(0);
    json!({"schema_version": 1, "batch_id": body["batch_id"], "accepted": of(true), "duplicates": of(false), "rejected": []})
        .to_string()
}
