//! One fact that somebody told us, or that we measured: an [`Event`], in four kinds.
//!
//! Pure data. Whoever makes an `Event` has checked it: past this border nothing is checked again.
//! Column names and units are those of `docs/wire.md`.

mod coverage;
mod histogram;
mod id;
mod money;
mod note;
mod sample;

use std::sync::Arc;

pub use coverage::{Coverage, Verdict};
pub use histogram::{Histogram, Merged};
pub use id::EventId;
pub use money::PicoUsd;
pub use note::{Counted, CounterPoint, Note};
pub use sample::SystemMetric;

/// One row to be: its identity, when it came, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Identity of the row. The same id a second time is a duplicate, and no second row.
    pub id: EventId,
    /// When the sidecar received or measured it, Unix milliseconds UTC.
    pub received_at_ms: i64,
    /// What it says.
    pub kind: Kind,
}

/// The four kinds, one for each table. Boxed, so that an `Event` in a queue stays small.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// One call of a language model.
    LlmTrace(Box<LlmTrace>),
    /// One sample of the container.
    SystemMetric(Box<SystemMetric>),
    /// Anything a producer found worth keeping.
    CustomEvent(Box<CustomEvent>),
    /// Something that went wrong.
    ErrorEvent(Box<ErrorEvent>),
}

/// The table that a kind is stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// `llm_traces`
    LlmTraces,
    /// `system_metrics`
    SystemMetrics,
    /// `custom_events`
    CustomEvents,
    /// `error_events`
    ErrorEvents,
}

impl Event {
    /// The table that this event belongs in.
    pub fn table(&self) -> Table {
        match self.kind {
            Kind::LlmTrace(_) => Table::LlmTraces,
            Kind::SystemMetric(_) => Table::SystemMetrics,
            Kind::CustomEvent(_) => Table::CustomEvents,
            Kind::ErrorEvent(_) => Table::ErrorEvents,
        }
    }

    /// Bytes that this event holds on the heap, its box included: what the queue's limit counts.
    pub fn heap_bytes(&self) -> usize {
        let inside = match &self.kind {
            Kind::LlmTrace(t) => size_of::<LlmTrace>() + t.text_bytes(),
            Kind::SystemMetric(m) => size_of::<SystemMetric>() + m.text_bytes(),
            Kind::CustomEvent(e) => size_of::<CustomEvent>() + e.text_bytes(),
            Kind::ErrorEvent(e) => size_of::<ErrorEvent>() + e.text_bytes(),
        };
        size_of::<Event>() + inside
    }
}

impl Table {
    /// All tables, in the order in which a push sends them.
    pub const ALL: [Table; 4] = [Table::LlmTraces, Table::ErrorEvents, Table::CustomEvents, Table::SystemMetrics];

    /// The name in SQL, in JSON and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Table::LlmTraces => "llm_traces",
            Table::SystemMetrics => "system_metrics",
            Table::CustomEvents => "custom_events",
            Table::ErrorEvents => "error_events",
        }
    }

    /// The table of this name.
    pub fn named(name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.name() == name)
    }

    /// Position in [`Table::ALL`], for arrays that hold one thing for each table.
    pub fn index(self) -> usize {
        match self {
            Table::LlmTraces => 0,
            Table::ErrorEvents => 1,
            Table::CustomEvents => 2,
            Table::SystemMetrics => 3,
        }
    }
}

/// One call of a language model (or, by [`Unit`], what stands for several).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LlmTrace {
    /// Start of the call, Unix milliseconds UTC.
    pub timestamp_ms: i64,
    /// Who served the model, as the producer wrote it.
    pub provider: Option<Box<str>>,
    /// The model that was asked for. Where only the answering model is known, that one.
    pub request_model: Box<str>,
    /// The model that answered.
    pub response_model: Option<Box<str>>,
    /// `chat`, `text_completion`, `embeddings`, ...: `gen_ai.operation.name`.
    pub operation: Box<str>,
    /// Prompt tokens, cached ones included.
    pub input_tokens: Option<i64>,
    /// Completion tokens, reasoning included.
    pub output_tokens: Option<i64>,
    /// Part of `input_tokens` that was read from a cache.
    pub cache_read_tokens: Option<i64>,
    /// Part of `input_tokens` that was written to a cache.
    pub cache_write_tokens: Option<i64>,
    /// Part of `cache_write_tokens` that was written to live for an hour.
    pub cache_write_1h_tokens: Option<i64>,
    /// Part of `output_tokens` that was reasoning.
    pub reasoning_tokens: Option<i64>,
    /// What the call cost, where it is known. Unknown is not zero.
    pub cost: Option<PicoUsd>,
    /// Who said what it cost.
    pub cost_source: CostSource,
    /// Version of the price table, where the cost comes from it.
    pub price_version: Option<Arc<str>>,
    /// From start to end, milliseconds.
    pub latency_ms: Option<i64>,
    /// From start to the first token, milliseconds.
    pub ttft_ms: Option<i64>,
    /// From start to the first event of the stream, milliseconds. Earlier than the first token.
    pub ttfb_ms: Option<i64>,
    /// How it ended.
    pub status: Status,
    /// Class of the error, where there was one.
    pub error_type: Option<Box<str>>,
    /// Text of the error.
    pub error_message: Option<Box<str>>,
    /// Why the model stopped.
    pub finish_reason: Option<Box<str>>,
    /// The provider's id of the answer.
    pub response_id: Option<Box<str>>,
    /// Session or conversation.
    pub conversation_id: Option<Box<str>>,
    /// Which agent.
    pub agent_id: Option<Box<str>>,
    /// Its name.
    pub agent_name: Option<Box<str>>,
    /// For whom.
    pub user_id: Option<Box<str>>,
    /// Whether the answer was streamed.
    pub streaming: Option<bool>,
    /// What the row counts.
    pub unit: Unit,
    /// OTel trace id, 32 hex digits.
    pub otel_trace_id: Option<Box<str>>,
    /// OTel span id, 16 hex digits.
    pub otel_span_id: Option<Box<str>>,
    /// OTel id of the parent span, 16 hex digits.
    pub otel_parent_span_id: Option<Box<str>>,
    /// The prompt, cut at `TRACE_MAX_TEXT_BYTES`.
    pub input_text: Option<Box<str>>,
    /// The completion, cut likewise.
    pub output_text: Option<Box<str>>,
    /// Whether any text of the row was cut.
    pub text_truncated: bool,
    /// `service.name`.
    pub service_name: Option<Box<str>>,
    /// By which door it came.
    pub source: Source,
    /// What had no column of its own: a JSON object.
    pub attributes: Option<Box<str>>,
    /// Channel of the agent (`webchat`, `cron`, ...).
    pub channel: Option<Box<str>>,
    /// What started the run.
    pub trigger: Option<Box<str>>,
    /// Which process of an agent exported it, where that decides how it counts. Not stored.
    pub exporter: Option<Arc<str>>,
    /// `batch`, `flex`, `priority`, ...: what the provider calls the tier of service. It decides the price, and is stored
    /// among `attributes` only.
    pub service_tier: Option<Box<str>>,
    /// What it used besides tokens of text. It decides whether tokens have the whole price. Not stored.
    pub besides: Besides,
}

/// What a call used besides tokens of text, where its usage tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Besides {
    /// Tokens of sound.
    pub audio: bool,
    /// Tokens of pictures.
    pub images: bool,
    /// Searches of the web or of files.
    pub searches: bool,
    /// Tokens of moving pictures.
    pub video: bool,
}

impl Besides {
    /// Whether any of it is among these words of a table of prices.
    pub fn is_any_of<'a>(self, words: impl Iterator<Item = &'a str>) -> bool {
        words.into_iter().any(|word| match word {
            "audio" => self.audio,
            "image" => self.images,
            "search" => self.searches,
            "video" => self.video,
            _ => false,
        })
    }
}

/// Anything a producer found worth keeping.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CustomEvent {
    /// When it happened, Unix milliseconds UTC.
    pub timestamp_ms: i64,
    /// What happened.
    pub name: Box<str>,
    /// How much it matters.
    pub severity: Option<Severity>,
    /// Session or conversation.
    pub conversation_id: Option<Box<str>>,
    /// Which agent.
    pub agent_id: Option<Box<str>>,
    /// OTel trace id, 32 hex digits.
    pub otel_trace_id: Option<Box<str>>,
    /// OTel span id, 16 hex digits.
    pub otel_span_id: Option<Box<str>>,
    /// Free text.
    pub body: Option<Box<str>>,
    /// Whether any text of the row was cut.
    pub text_truncated: bool,
    /// `service.name`.
    pub service_name: Option<Box<str>>,
    /// By which door it came.
    pub source: Source,
    /// What had no column of its own: a JSON object.
    pub attributes: Option<Box<str>>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ErrorEvent {
    /// When it happened, Unix milliseconds UTC.
    pub timestamp_ms: i64,
    /// Class of the error.
    pub error_type: Option<Box<str>>,
    /// What it said.
    pub message: Box<str>,
    /// Where it came from, as the producer's runtime prints it.
    pub stacktrace: Option<Box<str>>,
    /// How much it matters.
    pub severity: Severity,
    /// Whether the producer dealt with it.
    pub handled: Option<bool>,
    /// Which part of the producer.
    pub component: Option<Box<str>>,
    /// Session or conversation.
    pub conversation_id: Option<Box<str>>,
    /// Which agent.
    pub agent_id: Option<Box<str>>,
    /// OTel trace id, 32 hex digits.
    pub otel_trace_id: Option<Box<str>>,
    /// OTel span id, 16 hex digits.
    pub otel_span_id: Option<Box<str>>,
    /// What makes two errors the same one.
    pub fingerprint: Option<Box<str>>,
    /// Whether any text of the row was cut.
    pub text_truncated: bool,
    /// `service.name`.
    pub service_name: Option<Box<str>>,
    /// By which door it came.
    pub source: Source,
    /// What had no column of its own: a JSON object.
    pub attributes: Option<Box<str>>,
}

/// Declares a closed set of words: the enum, and the word that SQL, JSON and logs use for each.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// The value that a word stands for.
            pub fn parse(word: &str) -> Option<$name> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// How a call ended.
    Status {
        /// It answered.
        #[default]
        Ok = "ok",
        /// It failed.
        Error = "error",
        /// Nobody answered in time.
        Timeout = "timeout",
        /// Somebody stopped it.
        Cancelled = "cancelled",
    }
}

words! {
    /// What a row of `llm_traces` counts (docs/wire.md). Rows of different units are not summed blindly.
    Unit {
        /// One request to a provider.
        #[default]
        Request = "request",
        /// One turn of an agent whose requests nobody can see (a CLI behind the agent).
        Turn = "turn",
        /// The sum of a turn whose requests are rows of their own, without tokens.
        TurnSum = "turn_sum",
        /// A call that is known only by the usage that was reported for it.
        UsageOnly = "usage_only",
    }
}

words! {
    /// Who said what a call cost.
    CostSource {
        /// Nobody.
        #[default]
        None = "none",
        /// The producer.
        Client = "client",
        /// Our table of prices.
        Table = "table",
    }
}

words! {
    /// By which door an event came.
    Source {
        /// Native JSON.
        #[default]
        Native = "native",
        /// OTLP, protobuf.
        OtlpPb = "otlp_pb",
        /// OTLP, JSON.
        OtlpJson = "otlp_json",
        /// The supervisor above us saw it.
        Run = "run",
        /// The sidecar itself.
        Serve = "serve",
        /// A line of the gateway's log.
        OpenclawLog = "openclaw_log",
    }
}

words! {
    /// How much an event matters.
    Severity {
        /// For those who look closely.
        Debug = "debug",
        /// Good to know.
        Info = "info",
        /// Somebody should look.
        Warn = "warn",
        /// Something failed.
        #[default]
        Error = "error",
        /// Something ended that should not have.
        Fatal = "fatal",
    }
}

words! {
    /// Whose CPU and memory a sample shows.
    Scope {
        /// The whole machine: there is no container that limits us.
        #[default]
        Host = "host",
        /// The agent's cgroup, version 2.
        Cgroup2 = "cgroup2",
        /// The agent's cgroup, version 1.
        Cgroup1 = "cgroup1",
        /// The cgroup of the sidecar, in which the agent is not.
        Own = "self",
    }
}

/// One column of a stored row, as a reader hands it on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL
    Null,
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(&'a str),
    /// A text that is JSON, checked when it was stored.
    Json(&'a str),
}

fn text(value: &Option<Box<str>>) -> usize {
    value.as_deref().map_or(0, |text| text.len() + ALLOCATION_BYTES)
}

/// What an allocation costs besides its bytes: a header, and rounding up. (glibc: 8 and up to 15.)
const ALLOCATION_BYTES: usize = 16;

impl LlmTrace {
    fn text_bytes(&self) -> usize {
        self.request_model.len()
            + self.operation.len()
            + [
                &self.provider,
                &self.response_model,
                &self.error_type,
                &self.error_message,
                &self.finish_reason,
                &self.response_id,
                &self.conversation_id,
                &self.agent_id,
                &self.agent_name,
                &self.user_id,
                &self.otel_trace_id,
                &self.otel_span_id,
                &self.otel_parent_span_id,
                &self.input_text,
                &self.output_text,
                &self.service_name,
                &self.attributes,
                &self.channel,
                &self.trigger,
                &self.service_tier,
            ]
            .into_iter()
            .map(text)
            .sum::<usize>()
    }
}

impl CustomEvent {
    fn text_bytes(&self) -> usize {
        self.name.len()
            + [
                &self.conversation_id,
                &self.agent_id,
                &self.otel_trace_id,
                &self.otel_span_id,
                &self.body,
                &self.service_name,
                &self.attributes,
            ]
            .into_iter()
            .map(text)
            .sum::<usize>()
    }
}

impl ErrorEvent {
    fn text_bytes(&self) -> usize {
        self.message.len()
            + [
                &self.error_type,
                &self.stacktrace,
                &self.component,
                &self.conversation_id,
                &self.agent_id,
                &self.otel_trace_id,
                &self.otel_span_id,
                &self.fingerprint,
                &self.service_name,
                &self.attributes,
            ]
            .into_iter()
            .map(text)
            .sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_own_place() {
        for (place, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.index(), place);
        }
    }
}
