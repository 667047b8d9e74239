//! How a process ended, and what that means. Pure.

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Killed(Signal),
    /// It never began: there is no such program (127), or it is none that can be run (126).
    NotStarted(u8),
}

impl End {
    /// `None` when the process goes on.
    pub(super) fn of(status: WaitStatus) -> Option<End> {
        match status {
            WaitStatus::Exited(_, code) => Some(End::Exited(code)),
            WaitStatus::Signaled(_, signal, _) => Some(End::Killed(signal)),
            _ => None,
        }
    }

    /// What a shell would say: the code, 128 and the signal, 126 or 127.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            // The kernel keeps the lower eight bits only.
            End::Exited(code) => (code & 0xff) as u8,
            End::Killed(signal) => 128 + signal as u8,
            End::NotStarted(code) => code,
        }
    }

    /// Class of the error, when it is one. `asked`: it had been told to stop before, and then only a kill for want of
    /// memory is news. `oom_kills`: kills for want of memory while it lived.
    pub(super) fn error_type(self, asked: bool, oom_kills: Option<i64>) -> Option<&'static str> {
        match self {
            End::Killed(Signal::SIGKILL) if oom_kills.is_some_and(|kills| kills > 0) => Some("agent.oom_kill"),
            _ if asked => None,
            End::Exited(0) => None,
            End::Exited(_) | End::NotStarted(_) => Some("agent.exit"),
            End::Killed(_) => Some("agent.signal"),
        }
    }

    /// For a person.
    pub(super) fn told(self, error_type: &str) -> String {
        match self {
            _ if error_type == "agent.oom_kill" => "the agent was killed: out of memory".to_owned(),
            End::Exited(code) => format!("the agent exited with code {code}"),
            End::Killed(signal) => format!("the agent was ended by {signal}"),
            End::NotStarted(127) => "the agent cannot be started: there is no such program".to_owned(),
            End::NotStarted(_) => "the agent cannot be started".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        let ends =
            [End::Exited(0), End::Exited(3), End::Exited(256 + 7), End::Killed(Signal::SIGTERM), End::NotStarted(127)];
        assert_eq!(ends.map(End::exit_code), [0, 3, 7, 143, 127]);
    }

    #[test]
    fn only_what_nobody_asked_for_is_an_error_and_a_kill_for_memory_always_is() {
        let kill = End::Killed(Signal::SIGKILL);
        for (end, asked, oom_kills, expected) in [
            (End::Exited(0), false, Some(0), None),
            (End::Exited(1), false, None, Some("agent.exit")),
            (End::Exited(1), true, None, None),
            (End::Killed(Signal::SIGSEGV), false, Some(1), Some("agent.signal")),
            (End::Killed(Signal::SIGTERM), true, Some(1), None),
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
