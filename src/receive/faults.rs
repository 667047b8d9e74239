//! What goes wrong between a receiver and those who push, on demand: for tests of those who push, and in no release.
//!
//! The faults stand before the receiver as a proxy would: they read a request whole, hand it on or not, and hand its answer
//! back or not. So the receiver behind them is the one that everybody has. A client must tell the length of its body, and may
//! compress it for every fault but `later`.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use super::Options;

/// Bytes of a head, of either side.
const HEAD_BYTES_MAX: u64 = 16 << 10;

/// What happens to pushes, one after the other; those after the last are served.
#[derive(Debug, Clone, Default)]
pub struct Faults(VecDeque<(Fault, u32)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// None: it is served.
    Ok,
    /// It is answered with this status, and `Retry-After`; nothing is stored.
    Status { status: u16, retry_after: Option<u32> },
    /// The connection is closed before the body is read.
    CloseBefore,
    /// In the middle of the body.
    CloseIn,
    /// After the body; nothing is stored.
    CloseAfter,
    /// It is stored, and the connection closed without an answer.
    Drop,
    /// It is stored, and the connection closed in the middle of the answer.
    Truncate,
    /// It is read and never answered: the client has to go.
    Timeout,
    /// One of its rows is not stored and named in a 207, as one that may come again; the others are.
    Later,
}

impl Faults {
    /// Reads `what:count,…`, where what is `ok`, a status (`429`, or `429+2` with a `Retry-After` of two seconds),
    /// `close-before`, `close-in`, `close-after`, `drop`, `truncate`, `timeout` or `later`. Without a count it is one.
    ///
    /// # Errors
    /// The text names what is none.
    pub fn parse(list: &str) -> Result<Faults, String> {
        let wanted = |entry: &str| format!("expected a fault and how often, as 429:3 or timeout:1, got {entry:?}");
        let faults = list.split(',').map(|entry| {
            let (what, count) = entry.split_once(':').unwrap_or((entry, "1"));
            let count = count.parse().map_err(|_| wanted(entry))?;
            Ok((Fault::parse(what).ok_or_else(|| wanted(entry))?, count))
        });
        faults.collect::<Result<_, String>>().map(Faults)
    }

    /// Whether anything goes wrong.
    pub(super) fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Listens where the receiver should, and hands on to where it is.
    pub(super) fn stand_before(&self, inner: &[SocketAddr], options: &Options) -> io::Result<Standing> {
        let mut standing = Standing::default();
        let Some(to) = inner.first().copied().filter(|_| self.any()) else { return Ok(standing) };
        let faults = Arc::new(Mutex::new(self.clone()));
        for host in &options.bind {
            let listener = TcpListener::bind((host.as_str(), options.port))?;
            standing.addresses.push(listener.local_addr()?);
            let (faults, over) = (Arc::clone(&faults), Arc::clone(&standing.over));
            thread::Builder::new().name("faults".to_owned()).spawn(move || {
                for client in listener.incoming().map_while(Result::ok) {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let faults = Arc::clone(&faults);
                    let served = thread::Builder::new().spawn(move || {
                        if let Err(error) = serve(&client, to, &faults) {
                            log::debug!(error:% = error; "a connection ended");
                        }
                    });
                    if let Err(error) = served {
                        log::warn!(error:% = error; "no thread for a connection");
                    }
                }
            })?;
        }
        Ok(standing)
    }

    fn next(&mut self) -> Fault {
        while let Some((fault, left)) = self.0.front_mut() {
            if let Some(after) = left.checked_sub(1) {
                *left = after;
                return *fault;
            }
            self.0.pop_front();
        }
        Fault::Ok
    }
}

/// Faults that listen.
#[derive(Debug, Default)]
pub(super) struct Standing {
    addresses: Vec<SocketAddr>,
    over: Arc<AtomicBool>,
}

impl Standing {
    /// Where clients find us, if anything goes wrong here.
    pub(super) fn addresses(&self) -> Option<Vec<SocketAddr>> {
        (!self.addresses.is_empty()).then(|| self.addresses.clone())
    }

    /// Listens no more: another receiver may have the port.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes whoever waits for a connection; it may have ended by itself.
        self.addresses.iter().for_each(|address| drop(TcpStream::connect(address)));
    }
}

impl Fault {
    fn parse(what: &str) -> Option<Fault> {
        Some(match what {
            "ok" => Fault::Ok,
            "close-before" => Fault::CloseBefore,
            "close-in" => Fault::CloseIn,
            "close-after" => Fault::CloseAfter,
            "drop" => Fault::Drop,
            "truncate" => Fault::Truncate,
            "timeout" => Fault::Timeout,
            "later" => Fault::Later,
            _ => {
                let (status, retry_after) = match what.split_once('+') {
                    Some((status, seconds)) => (status, Some(seconds.parse().ok()?)),
                    None => (what, None),
                };
                let status = status.parse().ok().filter(|status| (200..600).contains(status))?;
                Fault::Status { status, retry_after }
            }
        })
    }
}

/// One connection, request after request.
fn serve(client: &TcpStream, to: SocketAddr, faults: &Mutex<Faults>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client);
    while let Some(head) = read_head(&mut reader)? {
        let is_push = head.lines.first().is_some_and(|line| line.starts_with("POST "));
        let fault = if is_push { faults.lock().unwrap_or_else(PoisonError::into_inner).next() } else { Fault::Ok };
        let length = head.length()?;
        if fault == Fault::CloseBefore {
            return Ok(());
        }
        if head.value("expect").is_some() {
            (&*client).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = vec![0; if fault == Fault::CloseIn { length / 2 } else { length }];
        reader.read_exact(&mut body)?;
        match fault {
            Fault::CloseBefore | Fault::CloseIn | Fault::CloseAfter => return Ok(()),
            Fault::Timeout => return io::copy(&mut reader, &mut io::sink()).map(drop),
            Fault::Status { status, retry_after } => {
                let retry_after = retry_after.map(|s| format!("retry-after: {s}\r\n")).unwrap_or_default();
                let answer = format!("HTTP/1.1 {status} Fault\r\n{retry_after}content-length: 2\r\n\r\n{{}}");
                (&*client).write_all(answer.as_bytes())?;
            }
            Fault::Ok => (&*client).write_all(&handed_on(to, &head, &body)?.bytes())?,
            Fault::Drop => return handed_on(to, &head, &body).map(drop),
            Fault::Truncate => {
                let answer = handed_on(to, &head, &body)?.bytes();
                return (&*client).write_all(&answer[..answer.len() - 3]);
            }
            Fault::Later => (&*client).write_all(&without_one(to, &head, &body)?.bytes())?,
        }
    }
    Ok(())
}

/// A request or an answer before its body.
struct Head {
    lines: Vec<String>,
}

impl Head {
    fn value(&self, name: &str) -> Option<&str> {
        let mut headers = self.lines.iter().filter_map(|line| line.split_once(':'));
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn length(&self) -> io::Result<usize> {
        match self.value("content-length") {
            Some(length) => length.parse().map_err(|_| strange("content-length")),
            None if self.value("transfer-encoding").is_some() => Err(strange("transfer-encoding")),
            None => Ok(0),
        }
    }

    /// With the length of another body.
    fn bytes(&self, body: &[u8]) -> Vec<u8> {
        let is_kept = |line: &&String| !line.to_ascii_lowercase().starts_with("content-length:");
        let lines = self.lines.iter().filter(is_kept).map(|line| format!("{line}\r\n")).collect::<String>();
        [format!("{lines}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    }
}

struct Answer {
    head: Head,
    body: Vec<u8>,
}

impl Answer {
    fn bytes(&self) -> Vec<u8> {
        self.head.bytes(&self.body)
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut lines = Vec::new();
    let mut reader = reader.take(HEAD_BYTES_MAX);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return if lines.is_empty() { Ok(None) } else { Err(strange("a head that ends early")) };
        }
        match line.trim_end() {
            "" => return Ok(Some(Head { lines })),
            line => lines.push(line.to_owned()),
        }
    }
}

fn handed_on(to: SocketAddr, head: &Head, body: &[u8]) -> io::Result<Answer> {
    let receiver = TcpStream::connect(to)?;
    receiver.set_nodelay(true)?;
    (&receiver).write_all(&head.bytes(body))?;
    let mut reader = BufReader::new(&receiver);
    let head = read_head(&mut reader)?.ok_or_else(|| strange("no answer"))?;
    let mut body = vec![0; head.length()?];
    reader.read_exact(&mut body)?;
    Ok(Answer { head, body })
}

/// Hands on all rows but one, and says in the answer that this one may come again.
fn without_one(to: SocketAddr, head: &Head, body: &[u8]) -> io::Result<Answer> {
    let mut push: Value = serde_json::from_slice(body)?;
    let tables = push.as_object_mut().into_iter().flatten();
    let mut lists = tables.filter_map(|(name, value)| value.as_array_mut().map(|rows| (name.clone(), rows)));
    let taken = lists.find(|(_, rows)| !rows.is_empty()).map(|(table, rows)| (table, rows.remove(0)));
    let mut answer = handed_on(to, head, push.to_string().as_bytes())?;
    let status = answer.head.lines.first_mut().filter(|line| line.contains(" 200 "));
    if let (Some(status), Some((table, row))) = (status, taken) {
        *status = "HTTP/1.1 207 Multi-Status".to_owned();
        let mut said: Value = serde_json::from_slice(&answer.body)?;
        if let Some(rejected) = said["rejected"].as_array_mut() {
            rejected.push(json!({"table": table, "trace_id": row["trace_id"], "index": 0, "code": "later",
                                 "message": "send it again", "retryable": true}));
        }
        answer.body = said.to_string().into_bytes();
    }
    Ok(answer)
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the faults cannot work with this: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_order_each_as_often_as_it_was_said() {
        let mut faults = Faults::parse("429+2:2,ok:0,timeout,later:1").unwrap();
        let slow = Fault::Status { status: 429, retry_after: Some(2) };
        let came: Vec<Fault> = (0..5).map(|_| faults.next()).collect();
        assert_eq!(came, [slow, slow, Fault::Timeout, Fault::Later, Fault::Ok]);
    }

    #[test]
    fn what_is_no_fault_is_said() {
        for list in ["", "x", "99", "600", "429:x", "429+x:1", "drop:-1", "ok,", "429:"] {
            assert!(Faults::parse(list).is_err(), "{list}");
        }
    }
}
