//! One connection: heads and bodies in, answers out, one request after the other.
//!
//! What it promises: an incomplete request is never handed on; every request that is refused gets an
//! answer that its client can read; nothing is waited for without a deadline; and between two
//! requests it holds no buffer.

use std::future::poll_fn;
use std::mem;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use async_net::TcpStream;
use smol::future::{poll_once, yield_now};
use smol::io::{AsyncRead, AsyncWriteExt};

use super::Server;
use super::body::{Decoder, Piece};
use super::bridge;
use super::budget::{Charged, Hold};
use super::fault::{Dialect, Fault};
use super::head::{Expect, Framing, HEAD_BYTES_MAX, Head, Scan};
use super::routes::{Takes, Way};
use super::site::Site;
use super::watch::{Cut, Watch};
use crate::exchange::{Method, Response};

/// Bytes that are read past the end of what is certainly the body: enough for a small chunk or the
/// next head, and all that a connection may hold of requests whose turn has not come.
const READ_AHEAD_BYTES: usize = 4 << 10;

/// Empty lines may stand before a head, and one byte past the most shows that it is too large.
const HEAD_READ_BYTES: usize = HEAD_BYTES_MAX + 8;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection and what has arrived on it for the next request.
pub(super) struct Conn<S> {
    stream: TcpStream,
    way: Way,
    watch: Rc<Watch>,
    server: Rc<Server<S>>,
    pending: Vec<u8>,
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    Close,
}

/// Why no more bytes come, or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Cut(Cut),
    Gone,
}

/// Why there is no head.
enum NoHead {
    Refused(Fault),
    Closed,
}

/// Why a body was not read to its end.
enum Unread {
    /// It is refused; where it ends is known.
    Refused(Fault),
    /// Where it ends is not known, or it does not come: the connection has no use any more.
    Broken(Fault),
    /// The client has gone.
    Gone,
}

impl<S: Site> Conn<S> {
    pub(super) fn new(stream: TcpStream, takes: Takes, watch: Rc<Watch>, server: Rc<Server<S>>) -> Conn<S> {
        let is_loopback = stream.local_addr().is_ok_and(|addr| addr.ip().to_canonical().is_loopback());
        Conn { stream, way: Way { takes, is_loopback }, watch, server, pending: Vec::new() }
    }

    /// Answers requests until either side has had enough.
    pub(super) async fn run(mut self) {
        loop {
            // What a request needs is boxed, so that a connection without one is small.
            let next = match self.head().await {
                Ok(head) => Box::pin(self.exchange(head)).await,
                Err(NoHead::Refused(fault)) => Box::pin(self.refuse(&fault)).await,
                Err(NoHead::Closed) => Next::Close,
            };
            if next == Next::Close {
                return;
            }
            // A client that never pauses leaves the others their turn.
            yield_now().await;
        }
    }

    /// Tells the client that there are too many connections.
    pub(super) async fn turn_away(mut self) {
        let fault = Fault::new(503, "too many connections are open, send the same again later");
        self.refuse(&fault).await;
    }

    async fn head(&mut self) -> Result<Head, NoHead> {
        let mut scan = Scan::default();
        let mut idle = self.pending.is_empty();
        let limits = &self.server.limits;
        self.watch.set_idle(idle);
        self.watch.arm(if idle { limits.idle } else { limits.head });
        loop {
            if let Some(range) = scan.advance(&self.pending).map_err(NoHead::Refused)? {
                let end = range.end;
                let head = Head::parse(&self.pending[range]).map_err(NoHead::Refused)?;
                self.pending = if end == self.pending.len() { Vec::new() } else { self.pending.split_off(end) };
                return Ok(head);
            }
            let most = HEAD_READ_BYTES.saturating_sub(self.pending.len()).max(1);
            let pending = &mut self.pending;
            let take = |bytes: &[u8]| pending.extend_from_slice(bytes);
            match read(&mut self.stream, &self.watch, &self.server, most, take).await {
                Ok(()) if idle => {
                    idle = false;
                    self.watch.set_idle(false);
                    self.watch.arm(self.server.limits.head);
                }
                Ok(()) => {}
                Err(Lost::Cut(Cut::Deadline)) if !idle => return Err(NoHead::Refused(slow("head"))),
                Err(_) => return Err(NoHead::Closed),
            }
        }
    }

    async fn exchange(&mut self, head: Head) -> Next {
        let server = Rc::clone(&self.server);
        let mut decoder = Decoder::new(head.framing);
        let admitted = match server.site.admit(&server.limits, &server.budget, self.way, &head) {
            Ok(admitted) => admitted,
            Err((fault, dialect)) => return self.answer_early(&head, decoder, fault.response(dialect), false).await,
        };
        let told = head.expect == Expect::Continue && head.framing != Framing::Fixed(0);
        if told && self.write(CONTINUE).await.is_err() {
            return Next::Close;
        }
        let body = match self.body(&mut decoder, admitted.body_bytes_max).await {
            Ok(body) => body,
            Err(Unread::Refused(fault)) => {
                return self.answer_early(&head, decoder, fault.response(admitted.dialect), told).await;
            }
            Err(Unread::Broken(fault)) => {
                return self.answer_last(Some(&head), fault.response(admitted.dialect), true).await;
            }
            Err(Unread::Gone) => {
                server.site.stats().http.bodies_truncated.add(1);
                return Next::Close;
            }
        };
        let (bytes, mut hold) = body.into_parts();
        if self.way.takes == Takes::Metrics {
            hold = Hold::of(&server.scraped);
        }
        let response = match Box::pin(bridge::request(&head, bytes)).await {
            Ok(request) => {
                self.watch.arm(server.limits.answer);
                let answer = server.site.answer(&server.limits, &server.budget, admitted, request, &mut hold);
                let late = || Fault::new(503, "the store has not answered in time, send the same again later");
                self.watch.bound(answer).await.unwrap_or_else(|_| late().response(admitted.dialect))
            }
            Err(fault) => fault.response(admitted.dialect),
        };
        if head.keep_alive && !self.watch.stopping() {
            self.answer(&head, response).await
        } else {
            self.answer_last(Some(&head), response, false).await
        }
    }

    /// Reads the body to its end. What came after it stays for the next request.
    async fn body(&mut self, decoder: &mut Decoder, bytes_max: usize) -> Result<Charged, Unread> {
        let limits = &self.server.limits;
        let length = decoder.missing().and_then(|missing| usize::try_from(missing).ok());
        let mut body = Charged::new(&self.server.budget, bytes_max, length);
        let until = Instant::now() + limits.body;
        let arrived = mem::take(&mut self.pending);
        let mut rest = arrived.as_slice();
        let collected = collect(decoder, &mut rest, &mut body);
        self.pending = rest.to_vec();
        let mut complete = collected?;
        while !complete {
            let earned = Duration::from_secs((body.bytes().len() / limits.body_rate_min) as u64);
            self.watch.arm_at((until + earned).min(Instant::now() + limits.body_stall));
            let most = most_to_read(decoder);
            let pending = &mut self.pending;
            let take = |mut bytes: &[u8]| {
                let collected = collect(decoder, &mut bytes, &mut body);
                pending.extend_from_slice(bytes);
                collected
            };
            complete = match read(&mut self.stream, &self.watch, &self.server, most, take).await {
                Ok(collected) => collected?,
                Err(Lost::Cut(_)) => return Err(Unread::Broken(slow("body"))),
                Err(Lost::Gone) => return Err(Unread::Gone),
            };
        }
        Ok(body)
    }

    /// Answers before the body was read. What is left of it is read too when it is little and sure
    /// to come; else the connection ends.
    async fn answer_early(&mut self, head: &Head, mut decoder: Decoder, response: Response, told: bool) -> Next {
        let arrived = mem::take(&mut self.pending);
        let mut rest = arrived.as_slice();
        let skipped = skip(&mut decoder, &mut rest);
        self.pending = rest.to_vec();
        let little = decoder.missing().is_some_and(|missing| missing <= self.server.limits.drain_bytes_max);
        let waits = head.expect != Expect::Nothing && !told;
        let complete = skipped == Ok(true);
        let usable = complete || (skipped.is_ok() && little && !waits);
        if !usable || !head.keep_alive || self.watch.stopping() {
            return self.answer_last(Some(head), response, !complete).await;
        }
        match self.answer(head, response).await {
            Next::Request if !complete => self.drain(decoder).await,
            next => next,
        }
    }

    async fn drain(&mut self, mut decoder: Decoder) -> Next {
        self.watch.arm(self.server.limits.body);
        loop {
            let most = most_to_read(&decoder);
            let pending = &mut self.pending;
            let take = |mut bytes: &[u8]| {
                let skipped = skip(&mut decoder, &mut bytes);
                pending.extend_from_slice(bytes);
                skipped
            };
            match read(&mut self.stream, &self.watch, &self.server, most, take).await {
                Ok(Ok(true)) => return Next::Request,
                Ok(Ok(false)) => {}
                Ok(Err(_)) | Err(_) => return Next::Close,
            }
        }
    }

    /// Refuses bytes that are no request that could be understood.
    async fn refuse(&mut self, fault: &Fault) -> Next {
        self.answer_last(None, fault.response(Dialect::Native), true).await
    }

    /// Answers, and keeps the connection.
    async fn answer(&mut self, head: &Head, response: Response) -> Next {
        self.server.note_answer(response.status, head.path());
        let bytes = bridge::encode(response, head.method, head.old.then_some("keep-alive")).await;
        match self.write(&bytes).await {
            Ok(()) => Next::Request,
            Err(_) => Next::Close,
        }
    }

    /// Answers, says that this was the last answer, and closes. `unread`: the client may still be
    /// sending. To close on it at once would reset the connection and could take the answer away.
    async fn answer_last(&mut self, head: Option<&Head>, response: Response, unread: bool) -> Next {
        let method = head.map_or(Method::Other, |head| head.method);
        self.server.note_answer(response.status, head.map_or("", Head::path));
        let bytes = bridge::encode(response, method, Some("close")).await;
        let said = self.write(&bytes).await.is_ok() && self.stream.shutdown(Shutdown::Write).is_ok();
        if said {
            self.linger(unread).await;
        }
        Next::Close
    }

    async fn linger(&mut self, unread: bool) {
        let mut left = self.server.limits.linger_bytes_max;
        self.watch.arm(self.server.limits.linger);
        while left > 0 {
            let reading = read(&mut self.stream, &self.watch, &self.server, left, <[u8]>::len);
            let read = if unread { Some(reading.await) } else { poll_once(reading).await };
            match read {
                Some(Ok(len)) => left -= len,
                Some(Err(_)) | None => return,
            }
            // It may never have to wait: the others have their turn all the same.
            yield_now().await;
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        self.watch.arm(self.server.limits.write);
        match self.watch.bound(self.stream.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Lost::Gone),
            Err(cut) => Err(Lost::Cut(cut)),
        }
    }
}

/// Reads once, at most `most` bytes, through the buffer that all connections share, and gives them
/// to `take`.
async fn read<S, T>(
    stream: &mut TcpStream,
    watch: &Watch,
    server: &Server<S>,
    most: usize,
    mut take: impl FnMut(&[u8]) -> T,
) -> Result<T, Lost> {
    let reading = poll_fn(|cx| {
        let mut scratch = server.scratch.borrow_mut();
        let most = most.min(scratch.len());
        let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut scratch[..most]));
        Poll::Ready(match read {
            Ok(0) | Err(_) => Err(Lost::Gone),
            Ok(len) => Ok(take(&scratch[..len])),
        })
    });
    watch.bound(reading).await.unwrap_or_else(|cut| Err(Lost::Cut(cut)))
}

/// Moves what `input` has of the body into it. `true`: it is complete.
fn collect(decoder: &mut Decoder, input: &mut &[u8], body: &mut Charged) -> Result<bool, Unread> {
    loop {
        match decoder.next(input).map_err(Unread::Broken)? {
            Piece::Data(data) => body.push(data).map_err(|full| Unread::Refused(full.into()))?,
            Piece::More => return Ok(false),
            Piece::End => return Ok(true),
        }
    }
}

/// Passes over what `input` has of the body. `true`: that was its end.
fn skip(decoder: &mut Decoder, input: &mut &[u8]) -> Result<bool, Fault> {
    loop {
        match decoder.next(input)? {
            Piece::Data(_) => {}
            Piece::More => return Ok(false),
            Piece::End => return Ok(true),
        }
    }
}

fn most_to_read(decoder: &Decoder) -> usize {
    usize::try_from(decoder.wanted()).unwrap_or(usize::MAX).saturating_add(READ_AHEAD_BYTES)
}

fn slow(part: &str) -> Fault {
    Fault::new(408, format!("the {part} of the request did not arrive in time"))
}
