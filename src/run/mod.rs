//! `run -- CMD`: the supervisor of the agent and of `serve`. One thread, no HTTP, no SQLite.
//!
//! What is promised: the agent runs, whatever becomes of `serve`. `serve` comes back when it dies, and outlives the
//! agent until its last telemetry is stored. What ends the agent is what `run` exits with. As PID 1, orphans are
//! reaped.

mod child;
mod end;
mod environment;
mod serving;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, wait};

use crate::clock::Clock;
use crate::collect::oom_kills;
use crate::config::Config;
use crate::event::EventId;
use crate::link::{AgentEnded, AgentFacts, Order, PROGRAM_BYTES_MAX};
use crate::notify::Notify;
use crate::redact::redact_to;

use child::Program;
use end::{End, NOT_EXECUTABLE, NOT_FOUND};
use environment::Var;
use serving::Serving;

/// What `run` was called with.
#[derive(Debug)]
pub struct Call {
    /// This program, to be executed again as `serve`.
    pub ourselves: PathBuf,
    /// The agent and its arguments; never empty.
    pub command: Vec<OsString>,
    /// The environment.
    pub vars: Vec<Var>,
    /// `None`: the configuration is wrong and was complained about. The agent runs without `serve`.
    pub config: Option<Config>,
    /// The service manager.
    pub notify: Notify,
}

/// Runs the agent and `serve` until both have ended. Returns the agent's exit code, 128 + n for signal n.
///
/// # Errors
/// When signals cannot be waited for, before anything was started.
pub fn run(call: Call) -> io::Result<u8> {
    let hang_up_ignored = ignores_hang_up();
    // Whoever ignores it when we are started would have the kernel forget our children unseen.
    signal_hook::flag::register(Signal::SIGCHLD as i32, Arc::default())?;
    let held = SigSet::from_iter(FORWARDED.into_iter().chain([Signal::SIGCHLD]));
    held.thread_block()?;
    let signals = SignalFd::with_flags(&held, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let now = Instant::now();
    let serving = call.config.as_ref().map(|config| Serving::new(&call.ourselves, &call.vars, config, now));
    if serving.is_none() {
        log::error!("nothing is recorded: correct the configuration, then start again");
    }
    let phase = Phase::Starting { until: now + AGENT_WAIT_MAX };
    Ok(Run { call, signals, hang_up_ignored, serving, phase, told: SigSet::empty(), clock: Clock::real() }.live())
}

/// What a process supervisor hands on: whatever somebody outside may want to say to the agent.
const FORWARDED: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];
/// `serve` listens after some ten milliseconds, and after a crash with a long log to read, within a second. One that
/// takes longer must not keep the agent from its work.
const AGENT_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long the end of the agent may take to be stored: longer than `serve` tries, so that it is the one to say why not.
const NOTE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Past TRACE_DRAIN_TIMEOUT, how long `serve` may take to be gone.
const SERVE_GRACE: Duration = Duration::from_secs(2);
/// What stopping may take beyond TRACE_AGENT_GRACE and TRACE_DRAIN_TIMEOUT: whoever kills `run` waits longer than all three.
pub const STOPPING_ADDS: Duration = NOTE_WAIT_MAX.saturating_add(SERVE_GRACE);
/// signalfd(2): `ssi_code` of a signal that the kernel sent, as it does for Ctrl-C to all of a terminal's foreground.
const SI_KERNEL: i32 = 0x80;

struct Run {
    call: Call,
    signals: SignalFd,
    /// SIGHUP was ignored when we were started, as nohup does it: nobody means it for the agent then.
    hang_up_ignored: bool,
    serving: Option<Serving>,
    phase: Phase,
    /// What the agent was told from outside.
    told: SigSet,
    clock: Clock,
}

/// How far we are. Each comes after the one before it, and none comes twice.
enum Phase {
    /// The agent waits for `serve`.
    Starting { until: Instant },
    /// The agent runs.
    Running(Agent),
    /// The agent has ended, and `serve` is to store that.
    Noting { end: End, order: Order, until: Instant },
    /// The agent has ended, and `serve` is on its way out.
    Stopping { end: End, kill_at: Option<Instant> },
    /// All have ended.
    Done { end: End },
}

#[derive(Clone, Copy)]
struct Agent {
    pid: Pid,
    started: Instant,
    oom_kills_before: Option<i64>,
    /// Its own process group: it is not in ours.
    own_group: bool,
    /// When its time to stop is over.
    kill_at: Option<Instant>,
}

impl Run {
    fn live(mut self) -> u8 {
        loop {
            loop {
                let before = std::mem::discriminant(&self.phase);
                self.step(Instant::now());
                if std::mem::discriminant(&self.phase) == before {
                    break;
                }
            }
            if let Phase::Done { end } = self.phase {
                return end.exit_code();
            }
            self.wait();
            while let Ok(Some(info)) = self.signals.read_signal() {
                match i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                    Some(Signal::SIGCHLD) | None => {}
                    Some(signal) => self.signalled(signal, info.ssi_code == SI_KERNEL),
                }
            }
            self.reap();
        }
    }

    /// Does what is due.
    fn step(&mut self, now: Instant) {
        if let Some(serving) = &mut self.serving {
            let wanted = !matches!(self.phase, Phase::Stopping { .. } | Phase::Done { .. });
            serving.step(now, wanted);
        }
        let listens = self.serving.as_ref().is_none_or(|serving| serving.listening().is_some());
        match &mut self.phase {
            Phase::Starting { until } if listens || now >= *until => self.start_agent(now),
            Phase::Running(agent) => agent.step(now),
            Phase::Noting { end, order, until } => {
                let noted = self.serving.as_mut().is_none_or(|serving| serving.have_noted(order));
                let late = now >= *until;
                let end = *end;
                if late && !noted {
                    log::error!("the end of the agent is not stored");
                }
                if noted || late {
                    self.stop_serve(end, now);
                }
            }
            Phase::Stopping { end, kill_at } => {
                let end = *end;
                match &mut self.serving {
                    Some(serving) if serving.is_running() => {
                        if kill_at.is_some_and(|at| now >= at) {
                            *kill_at = None;
                            serving.kill();
                        }
                    }
                    _ => self.phase = Phase::Done { end },
                }
            }
            Phase::Starting { .. } | Phase::Done { .. } => {}
        }
    }

    fn start_agent(&mut self, now: Instant) {
        let listening = self.serving.as_ref().and_then(Serving::listening).and_then(environment::best);
        let serve = listening.or_else(|| self.expected_serve());
        // One that has failed may have found a stranger on its port, who must not get the token.
        let hopeful = listening.is_some() || self.serving.as_ref().is_some_and(|serving| !serving.has_failed());
        let token = self.call.config.as_ref().and_then(|config| config.token.as_ref());
        if token.is_some() && serve.is_some() && !hopeful {
            log::warn!(
                "the agent is started without the token, and its events will be refused until it is started again"
            );
        }
        let token = token.filter(|_| hopeful);
        let otlp_port = self.call.config.as_ref().and_then(|config| config.otlp_port);
        let vars = environment::of_agent(&self.call.vars, serve, otlp_port, token);
        // On a terminal it stays in our group, which is the one that may read from it.
        let own_group = !io::stdin().is_terminal();
        let oom_kills_before = oom_kills("/");
        let command = &self.call.command;
        let program = Program { path: &command[0], args: command, vars: &vars, stdin: None, own_group };
        match program.start_as_a_shell_would() {
            Ok(pid) => {
                let endpoint = serve.map_or("none".to_owned(), environment::url);
                log::info!(pid = pid.as_raw(), endpoint; "agent started");
                if let Some(serving) = &mut self.serving {
                    serving.tell_agent(pid);
                }
                self.phase = Phase::Running(Agent { pid, started: now, oom_kills_before, own_group, kill_at: None });
                self.call.notify.ready();
            }
            Err(error) => {
                log::error!(error:% = error, program = self.program().as_str(); "cannot start the agent");
                let code = if error == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE };
                self.agent_ended(None, End::NotStarted(code), now);
            }
        }
    }

    /// Where `serve` will listen if it comes up after all. The log says that it does not yet.
    fn expected_serve(&self) -> Option<SocketAddr> {
        let serving = self.serving.as_ref()?;
        let waited_ms = AGENT_WAIT_MAX.as_millis() as u64;
        log::warn!(waited_ms; "serve does not listen yet, starting the agent without waiting any longer");
        if serving.configured().is_none() {
            log::warn!("OTEL_EXPORTER_OTLP_ENDPOINT is not set for the agent: nobody knows the port yet");
        }
        serving.configured()
    }

    /// `agent`: what ran, unless it could not be started.
    fn agent_ended(&mut self, agent: Option<Agent>, end: End, now: Instant) {
        self.call.notify.stopping();
        let kills_before = agent.and_then(|agent| agent.oom_kills_before);
        let oom_kills = kills_before.zip(oom_kills("/")).map(|(before, after)| after.saturating_sub(before));
        let lived = agent.map_or(Duration::ZERO, |agent| now.saturating_duration_since(agent.started));
        let lived_ms = u64::try_from(lived.as_millis()).unwrap_or(u64::MAX);
        // To stop, or by the very signal that ended it.
        let asked = |signal: Signal| stops(signal) || end == End::Killed(signal as i32);
        let asked = self.told.iter().any(asked);
        let Some(error_type) = end.error_type(asked, oom_kills) else {
            log::info!(code = end.exit_code(), lived_ms; "agent ended");
            return self.stop_serve(end, now);
        };
        let message = end.message(error_type);
        log::error!(error_type, code = end.exit_code(), lived_ms, oom_kills = oom_kills.unwrap_or(0); "{message}");
        let exit_code = match end {
            End::Exited(code) => Some(code),
            End::Killed(_) => None,
            End::NotStarted(code) => Some(code.into()),
        };
        let facts = AgentFacts {
            program: self.program(),
            pid: agent.map(|agent| agent.pid.as_raw()),
            lived_ms,
            exit_code,
            signal: end.signal(),
            oom_kills,
        };
        let timestamp_ms = self.clock.now_ms();
        let trace_id = EventId::new(timestamp_ms).to_string();
        let ended = AgentEnded { trace_id, timestamp_ms, error_type: error_type.to_owned(), message, facts };
        // One that never came up will not in the next seconds either.
        let hopeless = self.serving.as_ref().is_some_and(|serving| !serving.is_running() && !serving.has_listened());
        let until = if hopeless { now } else { now + NOTE_WAIT_MAX };
        self.phase = Phase::Noting { end, order: Order::AgentEnded(ended), until };
    }

    fn stop_serve(&mut self, end: End, now: Instant) {
        let drain = self.call.config.as_ref().map_or(Duration::ZERO, |config| config.drain_timeout);
        self.phase = Phase::Stopping { end, kill_at: Some(now + drain + SERVE_GRACE) };
        if let Some(serving) = &mut self.serving {
            serving.say(&Order::Stop);
        }
    }

    /// `from_terminal`: the terminal has sent it to all of its foreground, the agent in our group included.
    fn signalled(&mut self, signal: Signal, from_terminal: bool) {
        if signal == Signal::SIGHUP && self.hang_up_ignored {
            return;
        }
        let stops = stops(signal);
        match &mut self.phase {
            Phase::Starting { .. } if stops => {
                log::info!(signal = signal.as_str(); "stopping before the agent has started");
                self.stop_serve(End::Killed(signal as i32), Instant::now());
            }
            Phase::Running(agent) => {
                self.told.add(signal);
                // Of a terminal that hangs up, the kernel tells only us if we lead its session.
                if agent.own_group || !from_terminal || signal == Signal::SIGHUP {
                    agent.signal(signal);
                }
                if stops {
                    log::info!(signal = signal.as_str(); "stopping: the agent is told");
                    let grace = self.call.config.as_ref().and_then(|config| config.agent_grace);
                    agent.kill_at = agent.kill_at.or(grace.map(|grace| Instant::now() + grace));
                }
            }
            Phase::Noting { end, .. } if stops => {
                let end = *end;
                self.stop_serve(end, Instant::now());
            }
            Phase::Stopping { .. } if stops => {
                if let Some(serving) = &mut self.serving {
                    serving.say(&Order::Stop);
                }
            }
            Phase::Starting { .. } | Phase::Noting { .. } | Phase::Stopping { .. } | Phase::Done { .. } => {
                log::info!(signal = signal.as_str(); "there is no agent to tell");
            }
        }
    }

    /// Every child that has ended: the agent, `serve`, and as PID 1 whatever lost its parent.
    fn reap(&mut self) {
        // An error means that there is no child, or none any more.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = Pid::from_raw(pid.as_raw_nonzero().get());
            let Some(end) = End::of(status) else { continue };
            let now = Instant::now();
            if let Some(serving) = &mut self.serving
                && serving.is(pid)
            {
                serving.ended(end, now, matches!(self.phase, Phase::Stopping { .. }));
            } else if let Phase::Running(agent) = self.phase
                && agent.pid == pid
            {
                self.agent_ended(Some(agent), end, now);
            }
        }
    }

    /// Returns when there is a signal or something from `serve`, or when something is due.
    fn wait(&self) {
        let due = [self.due(), self.serving.as_ref().and_then(Serving::due)].into_iter().flatten().min();
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            // Rounded up, so that it is due then.
            let ms = due.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
        });
        let mut watched = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(link) = self.serving.as_ref().and_then(Serving::link) {
            watched.push(PollFd::new(link, PollFlags::POLLIN));
        }
        match poll(&mut watched, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => unreachable!("poll of two descriptors of ours: {error}"),
        }
    }

    fn due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Starting { until } | Phase::Noting { until, .. } => Some(*until),
            Phase::Running(agent) => agent.kill_at,
            Phase::Stopping { kill_at, .. } => *kill_at,
            Phase::Done { .. } => None,
        }
    }

    /// The agent's program without its arguments, and without what is no name: those may hold secrets.
    fn program(&self) -> String {
        let program = self.call.command[0].to_string_lossy();
        redact_to(&program, PROGRAM_BYTES_MAX).0.into_owned()
    }
}

/// Whether somebody who sends this wants an end.
fn stops(signal: Signal) -> bool {
    matches!(signal, Signal::SIGTERM | Signal::SIGINT)
}

/// Whether this process was started to ignore SIGHUP. Not where /proc does not tell.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (Signal::SIGHUP as u32 - 1) & 1 == 1)
}

impl Agent {
    fn step(&mut self, now: Instant) {
        if self.kill_at.is_some_and(|at| now >= at) {
            self.kill_at = None;
            // With all that it started, where that can be told from what is ours and it has not gone elsewhere.
            if self.own_group && killpg(self.pid, Signal::SIGKILL).is_err() {
                log::info!("the agent has left its process group: what it started is not killed");
            }
            self.signal(Signal::SIGKILL);
            log::warn!("the agent did not stop within TRACE_AGENT_GRACE and is killed");
        }
    }

    /// To the process that was started, as if it ran without us.
    fn signal(&self, signal: Signal) {
        if let Err(error) = kill(self.pid, signal) {
            log::warn!(signal = signal.as_str(), error:% = error; "cannot tell the agent");
        }
    }
}
