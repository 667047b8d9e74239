//! What a request tells besides its events: it becomes no row of its own, but decides how rows count.

use std::sync::Arc;

/// One fact that the writer keeps in the transaction of the request that told it.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Whether this exporter (one process of an agent) puts token counts on its calls. One that does not
    /// reports them in sums of turns (`Unit::TurnSum`), which count for it alone.
    Exporter {
        /// Its name, as in [`super::LlmTrace::exporter`].
        exporter: Arc<str>,
        /// Whether a call of it had token counts; `false` = a call that answered had none.
        tokens_on_calls: bool,
    },
    /// A span around calls that says on which channel they were made, and why.
    Run {
        /// 32 hex digits.
        otel_trace_id: Box<str>,
        /// 16 hex digits: the parent of the calls.
        otel_span_id: Box<str>,
        /// Channel of the agent (`webchat`, `cron`, ...).
        channel: Option<Box<str>>,
        /// What started the run.
        trigger: Option<Box<str>>,
    },
    /// Which agent made the calls of a trace.
    Agent {
        /// 32 hex digits.
        otel_trace_id: Box<str>,
        /// Its name.
        agent_name: Box<str>,
    },
    /// One point of a counter of the agent's own.
    Counter(Box<CounterPoint>),
    /// How far something was read whose events came before it: kept in `meta` as it is.
    Position {
        /// The key in `meta`.
        key: &'static str,
        /// What only its reader understands.
        value: Box<str>,
    },
}

/// What an agent itself counts of its calls: never added to what rows say, only compared with it.
#[derive(Debug, Clone, PartialEq)]
pub struct CounterPoint {
    /// `service.name`; empty where it is not said.
    pub service_name: Box<str>,
    /// Identity of the series: a hash of the process that counts, the metric and the labels of the point.
    pub series: [u8; 16],
    /// When the counter began, Unix milliseconds; 0 = not said. Another start is another count from 0.
    pub start_ms: i64,
    /// When it was read, Unix milliseconds.
    pub timestamp_ms: i64,
    /// Whether `value` counts since the start, or since the point before.
    pub is_cumulative: bool,
    /// What is counted.
    pub counted: Counted,
    /// At least 0.
    pub value: i64,
}

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Tokens of one kind. The kinds of one call add up to its input and output.
    Tokens,
    /// Money, 1e-12 US dollars.
    PicoUsd,
    /// Calls of a model.
    Calls,
}

impl Note {
    /// Bytes that this note holds on the heap: what the queue's limit counts.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Note>()
            + match self {
                // The name is shared by all notes and events of its request.
                Note::Exporter { .. } => 0,
                Note::Run { channel, trigger, .. } => {
                    RUN_IDS_BYTES + [channel, trigger].into_iter().flatten().map(|text| text.len()).sum::<usize>()
                }
                Note::Agent { agent_name, .. } => RUN_IDS_BYTES + agent_name.len(),
                Note::Counter(point) => size_of::<CounterPoint>() + point.service_name.len(),
                Note::Position { value, .. } => value.len(),
            }
    }
}

/// 32 and 16 hex digits, and what two allocations cost.
const RUN_IDS_BYTES: usize = 80;
