//! What `run` and `serve` say to each other: one JSON object a line, over a socket that is the standard input
//! of `serve`. The end of it means that the other side is gone.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What `run` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Store that the agent ended, and answer [`Report::Noted`].
    AgentEnded(AgentEnded),
    /// The agent runs, as this process.
    AgentStarted {
        /// Its process id.
        pid: u32,
    },
    /// Stop, as if by SIGTERM; a second time, skip the lingering and the push.
    Stop,
}

/// What `serve` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// It takes events at these addresses.
    Listening {
        /// All of `TRACE_BIND`, with the port that it got.
        addresses: Vec<SocketAddr>,
        /// The same with `TRACE_OTLP_PORT`; empty when that is off.
        otlp_addresses: Vec<SocketAddr>,
    },
    /// The end of the agent is stored.
    Noted,
}

/// How an agent ended that should not have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentEnded {
    /// Id of the row: the same however often it is told.
    pub trace_id: String,
    /// When it ended, Unix milliseconds UTC.
    pub timestamp_ms: i64,
    /// `agent.exit`, `agent.signal` or `agent.oom_kill`.
    pub error_type: String,
    /// What happened, for a person.
    pub message: String,
    /// The facts.
    pub facts: AgentFacts,
}

/// What is known of the end of an agent: the attributes of the row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// Name of the program, at most [`PROGRAM_BYTES_MAX`] of it, without its arguments: those may hold secrets.
    pub program: String,
    /// Its process id, if it was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How long it lived.
    pub lived_ms: u64,
    /// Its exit code, if it exited by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Processes of its cgroup (without one: of the machine) that the kernel killed for want of memory while it
    /// lived; absent where nobody counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<i64>,
}

/// The longest path that the kernel takes.
pub const PROGRAM_BYTES_MAX: usize = 4096;

/// One line for the wire.
pub fn line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).unwrap_or_else(|_| unreachable!("no map in it has keys but text"));
    line.push(b'\n');
    line
}

/// Bytes as they come, taken apart into lines.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

/// Both sides are ours and say less than this: a longer line is somebody else's. The longest has a program's name of
/// which every byte is escaped (`\u001b`), or the addresses of some dozen interfaces.
const LINE_BYTES_MAX: usize = 8 * PROGRAM_BYTES_MAX;

impl Lines {
    /// Adds what was read. `false` when this is nothing that we would say.
    #[must_use]
    pub fn add(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() <= LINE_BYTES_MAX
    }

    /// The next whole line, if there is one.
    pub fn take<T: DeserializeOwned>(&mut self) -> Option<serde_json::Result<T>> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let said = serde_json::from_slice(&self.0[..end]);
        self.0.drain(..=end);
        Some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_however_it_is_cut() {
        let ended = Order::AgentEnded(AgentEnded {
            trace_id: "t".into(),
            timestamp_ms: 7,
            error_type: "agent.exit".into(),
            message: "line\nbreak".into(),
            facts: AgentFacts {
                program: "node".into(),
                pid: Some(1),
                lived_ms: 2,
                exit_code: Some(3),
                signal: None,
                oom_kills: None,
            },
        });
        let started = Order::AgentStarted { pid: 7 };
        let bytes = [line(&started), line(&ended), line(&Order::Stop)].concat();
        let (mut lines, mut heard) = (Lines::default(), Vec::new());
        for byte in bytes {
            assert!(lines.add(&[byte]));
            heard.extend(lines.take::<Order>().map(Result::unwrap));
        }
        assert_eq!(heard, [started, ended, Order::Stop]);
    }

    #[test]
    fn a_stranger_is_not_listened_to_for_ever() {
        let mut lines = Lines::default();
        assert!(lines.add(b"GET / HTTP/1.1\r\n"));
        assert!(lines.take::<Report>().unwrap().is_err());
        assert!(!lines.add(&[b'x'; LINE_BYTES_MAX + 1]));
    }
}
