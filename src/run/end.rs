//! How a process ended, and what that means. Pure.

use nix::sys::signal::Signal;
use rustix::process::WaitStatus;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It exited with this code.
    Exited(i32),
    /// The signal of this number ended it; the real-time ones have no name.
    Killed(i32),
    /// It never began: [`NOT_FOUND`] or [`NOT_EXECUTABLE`].
    NotStarted(u8),
}

/// What a shell exits with when there is no such program.
pub(super) const NOT_FOUND: u8 = 127;
/// What it exits with when the program cannot be executed.
pub(super) const NOT_EXECUTABLE: u8 = 126;
/// What it adds to the number of the signal that ended a program.
const BY_SIGNAL: i32 = 128;
/// The kernel keeps so much of an exit code.
const CODE_MASK: i32 = 0xff;

impl End {
    /// `None` when the process goes on.
    pub(super) fn of(status: WaitStatus) -> Option<End> {
        let exited = status.exit_status().map(End::Exited);
        exited.or_else(|| status.terminating_signal().map(End::Killed))
    }

    /// What a shell would say: the code, 128 and the signal, 126 or 127.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            End::Exited(code) => (code & CODE_MASK) as u8,
            End::Killed(signal) => ((BY_SIGNAL + signal) & CODE_MASK) as u8,
            End::NotStarted(code) => code,
        }
    }

    /// The signal that ended it, by its name if it has one.
    pub(super) fn signal(self) -> Option<String> {
        let End::Killed(signal) = self else { return None };
        Some(Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |known| known.as_str().to_owned()))
    }

    /// Class of the error, when it is one. `asked`: it had been told to stop before, and then only a kill for want of
    /// memory is news. `oom_kills`: kills for want of memory while it lived.
    pub(super) fn error_type(self, asked: bool, oom_kills: Option<i64>) -> Option<&'static str> {
        match self {
            End::Killed(KILL) if oom_kills.is_some_and(|kills| kills > 0) => Some("agent.oom_kill"),
            _ if asked => None,
            End::Exited(0) => None,
            End::Exited(_) | End::NotStarted(_) => Some("agent.exit"),
            End::Killed(_) => Some("agent.signal"),
        }
    }

    /// For a person.
    pub(super) fn message(self, error_type: &str) -> String {
        match self {
            _ if error_type == "agent.oom_kill" => "the agent was killed: out of memory".to_owned(),
            End::Exited(code) => format!("the agent exited with code {code}"),
            End::Killed(_) => format!("the agent was ended by {}", self.signal().unwrap_or_default()),
            End::NotStarted(NOT_FOUND) => "the agent cannot be started: there is no such program".to_owned(),
            End::NotStarted(_) => "the agent cannot be started".to_owned(),
        }
    }
}

const KILL: i32 = Signal::SIGKILL as i32;

#[cfg(test)]
mod tests {
    use super::*;

    const SEGV: i32 = Signal::SIGSEGV as i32;
    const TERM: i32 = Signal::SIGTERM as i32;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        let ends = [End::Exited(0), End::Exited(3), End::Exited(256 + 7), End::Killed(TERM), End::NotStarted(127)];
        assert_eq!(ends.map(End::exit_code), [0, 3, 7, 143, 127]);
    }

    #[test]
    fn a_signal_without_a_name_has_its_number() {
        assert_eq!(End::Killed(35).exit_code(), 163);
        assert_eq!(End::Killed(35).message("agent.signal"), "the agent was ended by signal 35");
    }

    #[test]
    fn only_what_nobody_asked_for_is_an_error_and_a_kill_for_memory_always_is() {
        let kill = End::Killed(KILL);
        for (end, asked, oom_kills, expected) in [
            (End::Exited(0), false, Some(0), None),
            (End::Exited(1), false, None, Some("agent.exit")),
            (End::Exited(1), true, None, None),
            (End::Killed(SEGV), false, Some(1), Some("agent.signal")),
            (End::Killed(TERM), true, Some(1), None),
            (kill, false, None, Some("agent.signal")),
            (kill, false, Some(0), Some("agent.signal")),
            (kill, false, Some(2), Some("agent.oom_kill")),
            (kill, true, Some(2), Some("agent.oom_kill")),
            (End::NotStarted(127), false, None, Some("agent.exit")),
        ] {
            assert_eq!(end.error_type(asked, oom_kills), expected, "{end:?} {asked} {oom_kills:?}");
        }
    }
}
