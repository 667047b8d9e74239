//! How the dialects of telemetry for generative AI name things: tables to read and to extend, and no code.
//!
//! A new dialect is new lines in them. Names come from OTel's semantic conventions (old and new), OpenClaw, OpenLLMetry,
//! OpenInference, the Vercel AI SDK and Langfuse. Tokens are inclusive: input counts cached tokens, output
//! counts reasoning.

use super::reading::Reading::{
    self, AiOperation, AiStreaming, Content, Dollars, First, Flag, JsonModel, Millis, RequestType, Seconds, SpanKind,
    Text, ToDot, Tokens,
};

/// A column of `llm_traces`, or what one is made from.
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
    InputText,
    /// The last one: see [`COLUMNS`].
    OutputText,
}

/// Column <- attribute names, the first one that holds a valid value wins.
#[rustfmt::skip]
pub(super) const TABLE: &[(Column, &[(&str, Reading)])] = &[
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
        ("llm.model_name", Text),
        ("embedding.model_name", Text),
        ("langfuse.observation.model.name", Text),
        ("model", Text),
    ]),
    (Column::ResponseModel, &[
        ("gen_ai.response.model", Text),
        ("llm.response.model_name", Text),
        ("llm.response.model", Text),
        ("ai.response.model", Text),
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
    ]),
    // After the message of the span's status.
    (Column::ErrorMessage, &[
        ("exception.message", Text),
    ]),
    (Column::FinishReason, &[
        ("gen_ai.response.finish_reasons", First),
        ("gen_ai.response.finish_reason", Text),
        ("llm.finish_reason", Text),
        ("ai.response.finishReason", Text),
        ("gen_ai.response.stop_reason", Text),
        ("gen_ai.finishReason", Text),
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

/// The operation of a call whose span does not name it.
pub(super) const CHAT: &str = "chat";

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

/// Number of columns.
pub(super) const COLUMNS: usize = Column::OutputText as usize + 1;
