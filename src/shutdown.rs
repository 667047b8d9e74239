//! Stopping: the signals that ask for it, the [`Stop`] that tells the tasks, and the one
//! [`Deadline`] that bounds it all.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use smol::channel::{Receiver, Sender};
use smol::future::FutureExt;

/// Keeps SIGTERM and SIGINT for [`Signals`]. To be called before any thread is started, so that
/// every thread inherits it.
pub fn hold_signals() -> io::Result<()> {
    Ok(stopping().thread_block()?)
}

fn stopping() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
}

/// The signals that ask us to stop, as they come.
#[derive(Debug)]
pub struct Signals(Async<Held>);

#[derive(Debug)]
struct Held(SignalFd);

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Signals {
    /// Needs [`hold_signals`] before.
    pub fn new() -> io::Result<Signals> {
        let fd = SignalFd::with_flags(&stopping(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Signals(Async::new_nonblocking(Held(fd))?))
    }

    /// Waits for the next signal and says its name.
    pub async fn next(&self) -> io::Result<&'static str> {
        loop {
            self.0.readable().await?;
            if let Some(info) = self.0.get_ref().0.read_signal()? {
                return Ok(match i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok()) {
                    Some(signal) => signal.as_str(),
                    None => "unknown",
                });
            }
        }
    }
}

/// The same signals for a command that has no executor: it asks now and then.
#[derive(Debug)]
pub struct Interrupt(SignalFd);

impl Interrupt {
    /// Needs [`hold_signals`] before.
    pub fn new() -> io::Result<Interrupt> {
        Ok(Interrupt(SignalFd::with_flags(&stopping(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Whether a signal came since the last time. What cannot be read did not come.
    pub fn came(&self) -> bool {
        matches!(self.0.read_signal(), Ok(Some(_)))
    }
}

/// Tells any number of tasks to stop, once: closing the channel is the message.
#[derive(Debug)]
pub struct Stop {
    sender: Sender<Infallible>,
    token: Token,
}

/// What a task holds of a [`Stop`]: `recv` returns (with an error) when it is time.
pub type Token = Receiver<Infallible>;

impl Default for Stop {
    fn default() -> Stop {
        let (sender, token) = smol::channel::bounded(1);
        Stop { sender, token }
    }
}

impl Stop {
    /// For a task.
    pub fn token(&self) -> Token {
        self.token.clone()
    }

    /// Now. A second time changes nothing.
    pub fn now(&self) {
        self.sender.close();
    }
}

/// Returns when the [`Stop`] of this token says so.
pub async fn stopped(token: &Token) {
    match token.recv().await {
        Ok(never) => match never {},
        Err(_closed) => {}
    }
}

/// Waits so long, but no longer than until the [`Stop`] of this token says so: whether it does.
pub async fn stops_within(token: &Token, time: Duration) -> bool {
    let waited = async {
        Timer::after(time).await;
        false
    };
    let told = async {
        stopped(token).await;
        true
    };
    told.or(waited).await
}

/// An instant by which all of stopping must be done.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(time: Duration) -> Deadline {
        Deadline(Instant::now() + time)
    }

    /// The same deadline, `time` earlier.
    pub fn less(self, time: Duration) -> Deadline {
        Deadline(self.0.checked_sub(time).unwrap_or(self.0))
    }

    /// How long it is until then.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The instant itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Waits for `step`, but not past the deadline: then `None`, and the log names the step.
    pub async fn bound<T>(self, name: &str, step: impl Future<Output = T>) -> Option<T> {
        let started = Instant::now();
        let done = async { Some(step.await) }
            .or(async {
                Timer::at(self.0).await;
                None
            })
            .await;
        let took_ms = started.elapsed().as_millis() as u64;
        match done {
            Some(_) => log::info!(step = name, took_ms; "stopped"),
            None => log::warn!(step = name, took_ms; "out of time"),
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_ends_what_would_not_end() {
        let deadline = Deadline::after(Duration::from_millis(5));
        assert_eq!(smol::block_on(deadline.bound("never", smol::future::pending::<()>())), None);
        assert_eq!(smol::block_on(deadline.bound("at once", async { 7 })), Some(7));
    }

    #[test]
    fn everybody_hears_a_stop() {
        let stop = Stop::default();
        let tokens = [stop.token(), stop.token()];
        stop.now();
        stop.now();
        for token in &tokens {
            smol::block_on(stopped(token));
        }
        smol::block_on(stopped(&stop.token()));
    }
}
