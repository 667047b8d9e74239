//! `serve` as a child: started, listened to, started again when it dies.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::config::Config;
use crate::link::{Lines, Order, Report, line};

use super::child::Program;
use super::end::End;
use super::environment::{self, NOTIFY_SOCKET, Var};

/// The child and what is known of it.
pub(super) struct Serving {
    ourselves: PathBuf,
    vars: Vec<Var>,
    state: State,
    backoff: Backoff,
    /// Where it listens, or did when it was last heard.
    addresses: Option<Vec<SocketAddr>>,
    /// The same of the listener that is OTLP's alone.
    otlp_addresses: Vec<SocketAddr>,
    starts: u64,
    configured: Option<SocketAddr>,
    noting: Noting,
    /// Which process the agent is, once there is one.
    agent: Option<u32>,
}

enum State {
    Running { pid: Pid, link: Option<Link>, started: Instant, listens: bool },
    Waiting { until: Instant },
}

struct Link {
    stream: UnixStream,
    lines: Lines,
}

/// How far the end of the agent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noting {
    Unsaid,
    Said,
    Noted,
}

/// How this process is called in `ps`.
const NAME: &str = "openclaw-trace";
/// The variables whose ports, once they are known, hold for every later start as well.
const PORT: &str = "TRACE_PORT";
const OTLP_PORT: &str = "TRACE_OTLP_PORT";
/// The running program itself, even when its file has been replaced or removed. As a name in `ps` it says nothing.
const RUNNING_PROGRAM: &str = "/proc/self/exe";

impl Serving {
    /// Starts it.
    pub(super) fn new(ourselves: &Path, vars: &[Var], config: &Config, now: Instant) -> Serving {
        let known: Option<Vec<SocketAddr>> =
            config.bind.iter().map(|host| Some(SocketAddr::new(host.parse().ok()?, config.port))).collect();
        let mut serving = Serving {
            ourselves: ourselves.to_owned(),
            vars: vars.iter().filter(|(name, _)| name != NOTIFY_SOCKET).cloned().collect(),
            state: State::Waiting { until: now },
            backoff: Backoff::default(),
            addresses: None,
            otlp_addresses: Vec::new(),
            starts: 0,
            configured: known.filter(|_| config.port != 0).as_deref().and_then(environment::best),
            noting: Noting::Unsaid,
            agent: None,
        };
        serving.start(now);
        serving
    }

    /// Hears what it has said, and starts it when that is due and `wanted`.
    pub(super) fn step(&mut self, now: Instant, wanted: bool) {
        self.hear();
        if wanted && matches!(self.state, State::Waiting { until } if now >= until) {
            self.start(now);
        }
    }

    fn start(&mut self, now: Instant) {
        match self.spawn() {
            Ok((pid, stream)) => {
                let link = Some(Link { stream, lines: Lines::default() });
                self.state = State::Running { pid, link, started: now, listens: false };
            }
            Err(error) => {
                let wait = self.backoff.after(Duration::ZERO);
                log::error!(error:% = error, again_in_ms = wait.as_millis() as u64; "cannot start serve");
                self.state = State::Waiting { until: now + wait };
            }
        }
    }

    fn spawn(&mut self) -> io::Result<(Pid, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let listened = [(PORT, self.addresses.as_deref().unwrap_or_default()), (OTLP_PORT, &self.otlp_addresses)];
        for (variable, addresses) in listened {
            if let Some(address) = environment::best(addresses) {
                self.vars.retain(|(name, _)| name != variable);
                self.vars.push((variable.into(), address.port().to_string().into()));
            }
        }
        let args: [OsString; 3] = [NAME.into(), "serve".into(), "--supervised".into()];
        // The first is of the file that we were just started from. Those later must speak as we do.
        let running = Path::new(RUNNING_PROGRAM);
        let path = if self.starts > 0 && running.exists() { running.as_os_str() } else { self.ourselves.as_os_str() };
        self.starts += 1;
        let program = Program { path, args: &args, vars: &self.vars, stdin: Some(theirs.as_fd()), own_group: true };
        Ok((program.start()?, ours))
    }

    fn hear(&mut self) {
        let State::Running { link: running_link, listens, .. } = &mut self.state else { return };
        let Some(link) = running_link else { return };
        let mut bytes = [0; 1024];
        let gone = loop {
            match link.stream.read(&mut bytes) {
                Ok(0) => break true,
                Ok(read) if !link.lines.add(&bytes[..read]) => break true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        let mut has_begun = false;
        while let Some(report) = link.lines.take() {
            match report {
                Ok(Report::Listening { addresses, otlp_addresses }) => {
                    *listens = true;
                    has_begun = true;
                    self.addresses = Some(addresses);
                    self.otlp_addresses = otlp_addresses;
                }
                Ok(Report::Noted) => self.noting = Noting::Noted,
                Err(error) => log::warn!(error:% = error; "serve cannot be understood"),
            }
        }
        if gone {
            // Its end comes as a signal.
            *running_link = None;
        }
        if has_begun && let Some(pid) = self.agent {
            self.say(&Order::AgentStarted { pid });
        }
    }

    /// Tells it something. What does not arrive, because it has ended, is told again or not needed any more.
    pub(super) fn say(&mut self, order: &Order) {
        if let State::Running { link: Some(link), .. } = &mut self.state
            && let Err(error) = link.stream.write_all(&line(order))
        {
            log::debug!(error:% = error; "serve does not hear");
        }
    }

    /// Tells it which process the agent is, and every one that takes its place.
    pub(super) fn tell_agent(&mut self, pid: Pid) {
        self.agent = u32::try_from(pid.as_raw()).ok();
        if let Some(pid) = self.agent.filter(|_| self.listening().is_some()) {
            self.say(&Order::AgentStarted { pid });
        }
    }

    /// Has this order carried out, by whichever `serve` there is; `true` once it is.
    pub(super) fn have_noted(&mut self, order: &Order) -> bool {
        // Only one that listens has a store that works.
        if self.noting == Noting::Unsaid && self.listening().is_some() {
            self.say(order);
            self.noting = Noting::Said;
        }
        self.noting == Noting::Noted
    }

    /// It has ended. `expected`: it was to.
    pub(super) fn ended(&mut self, end: End, now: Instant, expected: bool) {
        self.hear();
        let State::Running { started, .. } = self.state else { return };
        if self.noting == Noting::Said {
            self.noting = Noting::Unsaid;
        }
        let lived = now.saturating_duration_since(started);
        let wait = self.backoff.after(lived);
        self.state = State::Waiting { until: now + wait };
        match (end, expected) {
            (End::Exited(0), true) => {}
            (_, true) => log::error!(code = end.exit_code(); "serve did not end well"),
            (_, false) => {
                let (lived_ms, again_in_ms) = (lived.as_millis() as u64, wait.as_millis() as u64);
                log::error!(code = end.exit_code(), lived_ms, again_in_ms; "serve has ended");
            }
        }
    }

    /// Ends it: its time is over.
    pub(super) fn kill(&mut self) {
        let State::Running { pid, .. } = self.state else { return };
        log::error!("serve did not stop in time and is killed; what is stored is safe");
        if let Err(error) = kill(pid, Signal::SIGKILL) {
            log::warn!(error:% = error; "cannot kill serve");
        }
    }

    /// Whether this is its process id.
    pub(super) fn is(&self, other: Pid) -> bool {
        matches!(self.state, State::Running { pid, .. } if pid == other)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Where it takes events. `None` while it does not.
    pub(super) fn listening(&self) -> Option<&[SocketAddr]> {
        self.addresses.as_deref().filter(|_| matches!(self.state, State::Running { listens: true, .. }))
    }

    /// Whether the first of them has ended, or could not be started.
    pub(super) fn has_failed(&self) -> bool {
        self.starts > 1 || !self.is_running()
    }

    /// Whether one of them has ever listened.
    pub(super) fn has_listened(&self) -> bool {
        self.addresses.is_some()
    }

    /// Where it will, by the configuration alone. `None` when only `serve` itself can tell.
    pub(super) fn configured(&self) -> Option<SocketAddr> {
        self.configured
    }

    /// When it is to be started again.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Running { .. } => None,
        }
    }

    /// What to watch for its words.
    pub(super) fn link(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Running { link, .. } => link.as_ref().map(|link| link.stream.as_fd()),
            State::Waiting { .. } => None,
        }
    }
}

/// How long to wait before it is started again. Pure.
#[derive(Debug, Default)]
struct Backoff {
    /// Short lives in a row.
    short_lives: u32,
}

/// Who lived so long did not die of how it was started, and comes back at once.
const LONG_LIFE: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Soon enough after the disk or the port is back, and no more than a line a minute in the log until then.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Backoff {
    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= LONG_LIFE {
            self.short_lives = 0;
            return Duration::ZERO;
        }
        let wait = FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.short_lives)).min(LONGEST_WAIT);
        self.short_lives = self.short_lives.saturating_add(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serve_that_lived_long_is_back_at_once_and_one_that_cannot_live_ever_later() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..11).map(|_| backoff.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000]);
        assert_eq!(backoff.after(LONG_LIFE), Duration::ZERO);
        assert_eq!(backoff.after(Duration::ZERO), FIRST_WAIT);
    }
}
