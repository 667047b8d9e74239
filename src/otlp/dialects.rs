//! How the dialects of telemetry for generative AI name things: tables to read and to extend.
//!
//! A new dialect is new lines in them. Names come from OTel's semantic conventions (old and new), OpenClaw, OpenLLMetry,
//! OpenInference, the Vercel AI SDK, Langfuse and Claude Code. Tokens are inclusive: input counts cached tokens, output
//! counts reasoning.

use super::reading::Reading::{
    self, AiOperation, AiStreaming, Content, Dollars, First, Flag, JsonModel, Millis, RequestType, Seconds, SpanKind,
    Text, ToDot, Tokens,
};
use crate::event::{Besides, Counted, Table};

/// A column of a table, or what one is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Operation,
    Provider,
    RequestModel,
    ResponseModel,
    /// Only whether it is there: the span is a call of this model, not something around one.
    CalledModel,
    InputTokens,
    /// Input without what was read from or written to a cache.
    UncachedInputTokens,
    OutputTokens,
    CacheReadTokens,
    CacheWriteTokens,
    ReasoningTokens,
    Cost,
    /// Milliseconds, where the span's own length says nothing.
    Latency,
    Ttft,
    Ttfb,
    ErrorType,
    ErrorMessage,
    FinishReason,
    ResponseId,
    ConversationId,
    AgentName,
    AgentId,
    UserId,
    Streaming,
    /// `request` or `turn`. Only OpenClaw's `model.call` has it.
    ObservationUnit,
    Channel,
    Trigger,
    /// It decides the price.
    ServiceTier,
    /// Only whether it is there: a tool was used.
    ToolName,
    /// Which part of a producer failed.
    Component,
    Stacktrace,
    InputText,
    /// The last one: see [`COLUMNS`].
    OutputText,
}

impl Column {
    /// Whether a row of this table says it, or leaves it out on purpose: spans around calls repeat the totals of these. What
    /// a row does not say goes into its `attributes`.
    pub(super) fn is_said_by(self, table: Table) -> bool {
        use Column::*;
        match (table, self) {
            (_, ConversationId | AgentId | InputText | OutputText) => true,
            (_, InputTokens | UncachedInputTokens | OutputTokens | CacheReadTokens | CacheWriteTokens) => true,
            (_, ReasoningTokens | Cost | Latency | Ttft | Ttfb | Streaming) => true,
            (Table::LlmTraces, ServiceTier | ToolName | Component | Stacktrace) => false,
            (Table::LlmTraces, _) => true,
            (Table::ErrorEvents, ErrorType | ErrorMessage | Stacktrace | Component) => true,
            (Table::CustomEvents, Operation) => true,
            _ => false,
        }
    }
}

/// A column, and the names of the attributes that fill it: the first one that holds a valid value wins.
pub(super) type Line = (Column, &'static [(&'static str, Reading)]);

/// What spans say, and log records that are no other dialect's.
#[rustfmt::skip]
pub(super) const TABLE: &[Line] = &[
    (Column::Operation, &[
        ("gen_ai.operation.name", Text),
        ("llm.request.type", RequestType),
        ("openinference.span.kind", SpanKind),
        ("ai.operationId", AiOperation),
    ]),
    (Column::Provider, &[
        ("gen_ai.provider.name", Text),
        // Before gen_ai.system, which the AI SDK fills with the same undotted name and kind of API.
        ("ai.model.provider", ToDot),
        ("gen_ai.system", Text),
        ("openclaw.provider", Text),
        ("llm.provider", Text),
        ("llm.system", Text),
    ]),
    (Column::RequestModel, &[
        ("gen_ai.request.model", Text),
        ("openclaw.model", Text),
        ("llm.request.model_name", Text),
        ("ai.model.id", Text),
        ("llm.invocation_parameters", JsonModel),
        ("embedding.invocation_parameters", JsonModel),
        ("langfuse.observation.model.name", Text),
        ("model", Text),
    ]),
    (Column::ResponseModel, &[
        ("gen_ai.response.model", Text),
        ("llm.response.model_name", Text),
        ("llm.response.model", Text),
        ("ai.response.model", Text),
        // Of OpenInference, which keeps the model that was asked for in its parameters.
        ("llm.model_name", Text),
        ("embedding.model_name", Text),
    ]),
    (Column::CalledModel, &[
        ("gen_ai.request.model", Text),
        ("gen_ai.response.model", Text),
        ("llm.request.model_name", Text),
        ("llm.response.model_name", Text),
    ]),
    (Column::InputTokens, &[
        // Never openclaw.model_call.usage.input_tokens: it stands on the same span and leaves out the cached ones.
        ("gen_ai.usage.input_tokens", Tokens),
        ("gen_ai.usage.prompt_tokens", Tokens),
        ("openclaw.model_call.usage.prompt_tokens", Tokens),
        ("llm.token_count.prompt", Tokens),
        ("ai.usage.inputTokens", Tokens),
        ("ai.usage.promptTokens", Tokens),
        // The AI SDK's embeddings have no other.
        ("ai.usage.tokens", Tokens),
    ]),
    (Column::UncachedInputTokens, &[
        ("openclaw.tokens.input", Tokens),
    ]),
    (Column::OutputTokens, &[
        ("gen_ai.usage.output_tokens", Tokens),
        ("gen_ai.usage.completion_tokens", Tokens),
        ("llm.token_count.completion", Tokens),
        ("ai.usage.outputTokens", Tokens),
        ("ai.usage.completionTokens", Tokens),
        ("openclaw.model_call.usage.output_tokens", Tokens),
        ("openclaw.tokens.output", Tokens),
    ]),
    (Column::CacheReadTokens, &[
        ("gen_ai.usage.cache_read.input_tokens", Tokens),
        ("gen_ai.usage.cache_read_input_tokens", Tokens),
        ("gen_ai.usage.details.cache_read_tokens", Tokens),
        ("gen_ai.usage.cache_read_tokens", Tokens),
        ("llm.token_count.prompt_details.cache_read", Tokens),
        ("ai.usage.inputTokenDetails.cacheReadTokens", Tokens),
        ("ai.usage.cachedInputTokens", Tokens),
        ("openclaw.model_call.usage.cache_read_input_tokens", Tokens),
        ("openclaw.tokens.cache_read", Tokens),
    ]),
    (Column::CacheWriteTokens, &[
        ("gen_ai.usage.cache_write.input_tokens", Tokens),
        ("gen_ai.usage.cache_creation.input_tokens", Tokens),
        ("gen_ai.usage.cache_creation_input_tokens", Tokens),
        ("gen_ai.usage.details.cache_write_tokens", Tokens),
        ("gen_ai.usage.cache_write_tokens", Tokens),
        ("llm.token_count.prompt_details.cache_write", Tokens),
        ("ai.usage.inputTokenDetails.cacheWriteTokens", Tokens),
        ("openclaw.model_call.usage.cache_creation_input_tokens", Tokens),
        ("openclaw.tokens.cache_write", Tokens),
    ]),
    (Column::ReasoningTokens, &[
        ("gen_ai.usage.reasoning.output_tokens", Tokens),
        ("gen_ai.usage.reasoning_tokens", Tokens),
        ("llm.usage.reasoning_tokens", Tokens),
        ("llm.token_count.completion_details.reasoning", Tokens),
        ("ai.usage.outputTokenDetails.reasoningTokens", Tokens),
        ("ai.usage.reasoningTokens", Tokens),
        ("openclaw.model_call.usage.reasoning_output_tokens", Tokens),
    ]),
    (Column::Cost, &[
        ("gen_ai.usage.cost", Dollars),
        ("llm.cost.total", Dollars),
        ("openclaw.cost.usd", Dollars),
    ]),
    (Column::Latency, &[
        ("ai.response.msToFinish", Millis),
    ]),
    (Column::Ttft, &[
        ("gen_ai.response.time_to_first_chunk", Seconds),
        ("ai.response.msToFirstChunk", Millis),
        ("ai.stream.msToFirstChunk", Millis),
    ]),
    (Column::Ttfb, &[
        ("openclaw.model_call.time_to_first_byte_ms", Millis),
    ]),
    (Column::ErrorType, &[
        ("error.type", Text),
        ("exception.type", Text),
        ("openclaw.errorCategory", Text),
        ("openclaw.failureKind", Text),
        ("openclaw.failoverReason", Text),
        ("openclaw.errorName", Text),
    ]),
    // After the message of the span's status.
    (Column::ErrorMessage, &[
        ("exception.message", Text),
        ("error.message", Text),
        ("openclaw.rawErrorPreview", Text),
        ("openclaw.errorPreview", Text),
        ("openclaw.error", Text),
    ]),
    (Column::FinishReason, &[
        ("gen_ai.response.finish_reasons", First),
        ("gen_ai.response.finish_reason", Text),
        ("llm.finish_reason", Text),
        ("ai.response.finishReason", Text),
        ("gen_ai.response.stop_reason", Text),
        ("gen_ai.finishReason", Text),
        ("anthropic.message.stop_reason", Text),
    ]),
    (Column::ResponseId, &[
        ("gen_ai.response.id", Text),
        ("ai.response.id", Text),
    ]),
    (Column::ConversationId, &[
        ("gen_ai.conversation.id", Text),
        ("session.id", Text),
        ("langfuse.session.id", Text),
        ("ai.telemetry.metadata.sessionId", Text),
        ("traceloop.association.properties.session_id", Text),
    ]),
    (Column::AgentName, &[
        ("gen_ai.agent.name", Text),
        ("agent.name", Text),
        ("openclaw.agent", Text),
    ]),
    (Column::AgentId, &[
        ("gen_ai.agent.id", Text),
    ]),
    (Column::UserId, &[
        ("user.id", Text),
        ("langfuse.user.id", Text),
        ("gen_ai.user", Text),
        ("llm.user", Text),
        ("ai.telemetry.metadata.userId", Text),
    ]),
    (Column::Streaming, &[
        ("gen_ai.request.stream", Flag),
        ("gen_ai.is_streaming", Flag),
        ("llm.is_streaming", Flag),
        ("ai.operationId", AiStreaming),
    ]),
    (Column::ObservationUnit, &[
        ("openclaw.model_call.observation_unit", Text),
    ]),
    (Column::Channel, &[
        ("openclaw.channel", Text),
    ]),
    (Column::Trigger, &[
        ("openclaw.trigger", Text),
    ]),
    (Column::ServiceTier, &[
        ("openai.response.service_tier", Text),
        ("gen_ai.openai.response.service_tier", Text),
        ("anthropic.response.service_tier", Text),
        ("openai.request.service_tier", Text),
        ("gen_ai.openai.request.service_tier", Text),
        ("gen_ai.request.service_tier", Text),
        ("service_tier", Text),
    ]),
    (Column::ToolName, &[
        ("gen_ai.tool.name", Text),
        ("openclaw.toolName", Text),
        ("ai.toolCall.name", Text),
    ]),
    (Column::Component, &[
        ("openclaw.subsystem", Text),
    ]),
    (Column::Stacktrace, &[
        ("exception.stacktrace", Text),
    ]),
    (Column::InputText, &[
        ("gen_ai.input.messages", Content),
        ("openclaw.content.input_messages", Content),
        ("input.value", Content),
        ("ai.prompt.messages", Content),
        ("traceloop.entity.input", Content),
    ]),
    (Column::OutputText, &[
        ("gen_ai.output.messages", Content),
        ("openclaw.content.output_messages", Content),
        ("output.value", Content),
        ("ai.response.text", Content),
        ("traceloop.entity.output", Content),
    ]),
];

/// What the log records of Claude Code say, which tells of its calls in no other way. Its input leaves the cached tokens out.
#[rustfmt::skip]
pub(super) const CLAUDE_CODE: &[Line] = &[
    (Column::RequestModel, &[("model", Text)]),
    (Column::UncachedInputTokens, &[("input_tokens", Tokens)]),
    (Column::OutputTokens, &[("output_tokens", Tokens)]),
    (Column::CacheReadTokens, &[("cache_read_tokens", Tokens)]),
    (Column::CacheWriteTokens, &[("cache_creation_tokens", Tokens)]),
    (Column::Cost, &[("cost_usd", Dollars)]),
    (Column::Latency, &[("duration_ms", Millis)]),
    (Column::ErrorType, &[("status_code", Text)]),
    (Column::ErrorMessage, &[("error", Text)]),
    (Column::ConversationId, &[("session.id", Text)]),
    (Column::UserId, &[("user.id", Text)]),
    (Column::AgentName, &[("query_source", Text)]),
    (Column::ToolName, &[("tool_name", Text)]),
];

/// Prompts and completions of which each message, or each part of one, is an attribute of its own.
pub(super) const INDEXED_INPUT: &[&str] = &["gen_ai.prompt.", "llm.input_messages."];
/// Likewise, of what the model said.
pub(super) const INDEXED_OUTPUT: &[&str] = &["gen_ai.completion.", "llm.output_messages."];

/// Starts of the names of attributes that hold what people and models said, or headers that hold
/// secrets: none of it is ever stored among the `attributes` of a row.
pub(super) const CONTENT: &[&str] = &[
    "ai.embedding",
    "ai.prompt",
    "ai.request.body",
    "ai.request.headers",
    "ai.response.body",
    "ai.response.files",
    "ai.response.headers",
    "ai.response.object",
    "ai.response.providerMetadata",
    "ai.response.reasoning",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.result",
    "ai.schema",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "ai.value",
    "embedding.embeddings",
    "embedding.invocation_parameters",
    "embedding.text",
    "exception.stacktrace",
    "gcp.vertex.agent.llm_",
    "gcp.vertex.agent.tool_",
    "gen_ai.completion",
    "gen_ai.content",
    "gen_ai.evaluation.explanation",
    "gen_ai.input.messages",
    "gen_ai.memory",
    "gen_ai.output.messages",
    "gen_ai.prompt",
    "gen_ai.retrieval.documents",
    "gen_ai.retrieval.query",
    "gen_ai.system_instructions",
    "gen_ai.tool.arguments",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.tool.result",
    "http.request.header",
    "http.response.header",
    "input.",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "llm.completions",
    "llm.input_messages",
    "llm.invocation_parameters",
    "llm.output_messages",
    "llm.prompt",
    "llm.request.functions",
    "llm.tools",
    "message.",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "openclaw.content",
    "output.",
    "process.command",
    "reranker.",
    "retrieval.",
    "tool.parameters",
    "tool_call.",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "traceloop.prompt",
];

/// Notes that a call has something besides text.
pub(super) type Noted = fn(&mut Besides);

/// Counts of tokens that are not of text and may be priced apart.
pub(super) const BESIDES: &[(&str, Noted)] = &[
    ("gen_ai.usage.audio.input_tokens", |besides| besides.audio = true),
    ("gen_ai.usage.audio.output_tokens", |besides| besides.audio = true),
    ("gen_ai.usage.image.input_tokens", |besides| besides.images = true),
    ("gen_ai.usage.image.output_tokens", |besides| besides.images = true),
    ("gen_ai.usage.video.input_tokens", |besides| besides.video = true),
    ("llm.token_count.prompt_details.audio", |besides| besides.audio = true),
    ("llm.token_count.completion_details.audio", |besides| besides.audio = true),
];

/// Starts of the names of attributes that count tokens: on a span around calls they are totals of what is in it.
pub(super) const TOTALS: &[&str] =
    &["ai.usage.", "gen_ai.usage.", "llm.token_count.", "llm.usage.", "openclaw.model_call.usage.", "openclaw.tokens."];

/// The operation of a call whose span does not name it.
pub(super) const CHAT: &str = "chat";

/// Who serves the models of Claude Code, which does not say it.
pub(super) const CLAUDE_CODE_PROVIDER: &str = "anthropic";
/// Start of the names of its log records.
pub(super) const CLAUDE_CODE_PREFIX: &[u8] = b"claude_code.";

pub(super) const MODEL_USAGE: &[u8] = b"openclaw.model.usage";
pub(super) const MODEL_CALL: &[u8] = b"openclaw.model.call";
pub(super) const TURN: &[u8] = b"turn";
/// Operations that are one call of a model.
pub(super) const INFERENCE: &[&[u8]] = &[CHAT.as_bytes(), b"generate_content", b"text_completion", b"embeddings"];
/// Operations (or their last words) that are no call, or hold several.
pub(super) const AROUND: &[&str] = &[
    "execute_tool",
    "create_agent",
    "invoke_agent",
    "invoke_workflow",
    "plan",
    "retrieval",
    "fetch_response",
    "memory",
    "memory_store",
];

/// The operation of a tool's use.
pub(super) const EXECUTE_TOOL: &str = "execute_tool";
/// Spans that are rows of `custom_events` although no attribute says so: name of the span, name of the event. The first two
/// are what the convention has another name for.
pub(super) const EVENTS: &[(&str, &str)] = &[
    ("openclaw.run", "invoke_agent"),
    ("openclaw.tool.execution", EXECUTE_TOOL),
    ("openclaw.model.failover", "openclaw.model.failover"),
    ("openclaw.session.stuck", "openclaw.session.stuck"),
    (LIVENESS_WARNING, LIVENESS_WARNING),
    ("openclaw.memory.pressure", "openclaw.memory.pressure"),
    ("openclaw.tool.loop", "openclaw.tool.loop"),
];
/// Its status is an error, and nothing has failed.
pub(super) const LIVENESS_WARNING: &str = "openclaw.liveness.warning";

/// Log records that tell of a call of a model again, with its usage: the span of it counts, if it is sent.
pub(super) const INFERENCE_DETAILS: &[u8] = b"gen_ai.client.inference.operation.details";
/// Log records that are errors whatever their severity is: names of events.
pub(super) const ERROR_LOGS: &[&str] = &["exception", "gen_ai.client.operation.exception"];
/// Where OpenClaw says why a run failed. Its spans say only that it did, and its trace ids are no spans'.
pub(super) const RUN_END_LOG: &str = "embedded_run_agent_end";
/// The attribute that names OpenClaw's log records.
pub(super) const OPENCLAW_EVENT: &[u8] = b"openclaw.event";
/// What OpenClaw writes for the text of a log record that it keeps to itself.
pub(super) const HIDDEN_BODY: &[u8] = b"log";

/// A metric that counts what rows count too.
pub(super) struct Counter {
    /// Its name.
    pub(super) metric: &'static str,
    /// What it counts: the value of a sum, the count of a histogram.
    pub(super) counted: Counted,
    /// The label that says of which kind, and the kinds that together are all there is.
    pub(super) kinds: Option<(&'static str, &'static [&'static str])>,
}

/// What agents count themselves (`coverage_hourly`).
pub(super) const COUNTERS: &[Counter] = &[
    Counter {
        metric: "openclaw.tokens",
        counted: Counted::Tokens,
        // `prompt` and `total` are sums of these.
        kinds: Some(("openclaw.token", &["input", "output", "cache_read", "cache_write"])),
    },
    Counter { metric: "openclaw.cost.usd", counted: Counted::PicoUsd, kinds: None },
    Counter { metric: "openclaw.model_call.duration_ms", counted: Counted::Calls, kinds: None },
    Counter {
        metric: "claude_code.token.usage",
        counted: Counted::Tokens,
        kinds: Some(("type", &["input", "output", "cacheRead", "cacheCreation"])),
    },
    Counter { metric: "claude_code.cost.usage", counted: Counted::PicoUsd, kinds: None },
];

/// Number of columns.
pub(super) const COLUMNS: usize = Column::OutputText as usize + 1;
