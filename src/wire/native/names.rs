//! Which names a field may have: one table for each kind of object, column <- names in order.
//!
//! The canonical name stands first, the full OTel keys and what producers call it after it. Of several that
//! an item has, the one that stands first here wins.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a field is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Not a column: an object whose fields are read as `name.field`.
    Details,
    /// Not a column: an object whose fields are attributes.
    Attributes,
    /// Not a column: an object of token counts.
    Usage,
    /// Not a column: a text, or an object with a type and a message.
    Error,
    TraceId,
    Timestamp,
    Provider,
    RequestModel,
    ResponseModel,
    Operation,
    InputTokens,
    OutputTokens,
    CacheReadTokens,
    CacheWriteTokens,
    CacheWrite5mTokens,
    CacheWrite1hTokens,
    ReasoningTokens,
    /// Tokens of the prompt that a tool put there.
    ToolInputTokens,
    TotalTokens,
    Cost,
    ServiceTier,
    /// The same in a `usage` object.
    UsageServiceTier,
    /// What Anthropic calls a tier of service beside the others.
    Speed,
    LatencyMs,
    TtftMs,
    TtftSeconds,
    TtfbMs,
    Status,
    Success,
    ErrorType,
    Message,
    FinishReason,
    ResponseId,
    ConversationId,
    AgentId,
    AgentName,
    UserId,
    Streaming,
    Unit,
    OtelTraceId,
    OtelSpanId,
    OtelParentSpanId,
    InputText,
    OutputText,
    ServiceName,
    Channel,
    Trigger,
    Name,
    Severity,
    Body,
    Stacktrace,
    Handled,
    Component,
    Fingerprint,
}

impl Column {
    /// How many there are.
    pub(super) const COUNT: usize = Column::Fingerprint as usize + 1;
}

/// One line of a table.
pub(super) type Line = (Column, &'static [&'static str]);

const TRACE_ID: Line = (Column::TraceId, &["trace_id", "id", "event_id"]);
const TIMESTAMP: Line = (Column::Timestamp, &["timestamp", "ts", "start_time", "started_at"]);
const CONVERSATION_ID: Line = (
    Column::ConversationId,
    &["conversation_id", "gen_ai.conversation.id", "session_id", "sessionId", "conversationId", "session.id"],
);
const AGENT_ID: Line = (Column::AgentId, &["agent_id", "gen_ai.agent.id", "agentId"]);
const OTEL_TRACE_ID: Line = (Column::OtelTraceId, &["otel_trace_id", "traceId"]);
const OTEL_SPAN_ID: Line = (Column::OtelSpanId, &["otel_span_id", "spanId", "span_id"]);
const SERVICE_NAME: Line = (Column::ServiceName, &["service_name", "service.name", "serviceName"]);
const SEVERITY: Line = (Column::Severity, &["severity", "level"]);

/// Objects that OpenAI, Anthropic and the AI SDK put beside their counts.
const DETAILS: Line = (
    Column::Details,
    &[
        "prompt_tokens_details",
        "completion_tokens_details",
        "input_tokens_details",
        "output_tokens_details",
        "inputTokenDetails",
        "outputTokenDetails",
        "cache_creation",
    ],
);

/// The same inside a `usage` object, and what Cohere, Anthropic and OpenRouter put there.
const USAGE_DETAILS: Line = (
    Column::Details,
    &[
        "prompt_tokens_details",
        "completion_tokens_details",
        "input_tokens_details",
        "output_tokens_details",
        "inputTokenDetails",
        "outputTokenDetails",
        "cache_creation",
        "server_tool_use",
        "billed_units",
        "tokens",
    ],
);

const TRACES: &[Line] = &[
    TRACE_ID,
    TIMESTAMP,
    (Column::Provider, &["provider", "gen_ai.provider.name", "gen_ai.system", "system"]),
    (Column::RequestModel, &["request_model", "model", "gen_ai.request.model"]),
    (Column::ResponseModel, &["response_model", "gen_ai.response.model", "responseModel", "modelVersion"]),
    (Column::Operation, &["operation", "gen_ai.operation.name", "operation_name", "type"]),
    (
        Column::InputTokens,
        &["input_tokens", "prompt_tokens", "promptTokens", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"],
    ),
    (
        Column::OutputTokens,
        &[
            "output_tokens",
            "completion_tokens",
            "completionTokens",
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
        ],
    ),
    (
        Column::CacheReadTokens,
        &[
            "cache_read_tokens",
            "cached_tokens",
            "cacheRead",
            "cache_read_input_tokens",
            "prompt_tokens_details.cached_tokens",
            "input_tokens_details.cached_tokens",
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
        ],
    ),
    (
        Column::CacheWriteTokens,
        &[
            "cache_write_tokens",
            "cacheWrite",
            "cache_creation_input_tokens",
            "cache_write_input_tokens",
            "prompt_tokens_details.cache_write_tokens",
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
        ],
    ),
    (
        Column::CacheWrite1hTokens,
        &["cache_write_1h_tokens", "cacheWrite1h", "cache_creation.ephemeral_1h_input_tokens"],
    ),
    (
        Column::ReasoningTokens,
        &[
            "reasoning_tokens",
            "completion_tokens_details.reasoning_tokens",
            "output_tokens_details.reasoning_tokens",
            "thoughtsTokenCount",
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
        ],
    ),
    (Column::Cost, &["cost_usd", "costUsd", "cost", "gen_ai.usage.cost"]),
    (
        Column::ServiceTier,
        &[
            "service_tier",
            "serviceTier",
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
            "openai.request.service_tier",
            "gen_ai.openai.request.service_tier",
        ],
    ),
    (Column::LatencyMs, &["latency_ms", "durationMs", "duration_ms", "latency", "latencyMs"]),
    (Column::TtftMs, &["ttft_ms", "time_to_first_token_ms", "ttftMs", "timeToFirstTokenMs"]),
    (Column::TtftSeconds, &["gen_ai.response.time_to_first_chunk"]),
    // OpenClaw's timeToFirstByteMs is the first event of the stream, which comes before any token.
    (
        Column::TtfbMs,
        &["ttfb_ms", "time_to_first_byte_ms", "timeToFirstByteMs", "openclaw.model_call.time_to_first_byte_ms"],
    ),
    (Column::Status, &["status", "outcome"]),
    (Column::Success, &["success"]),
    (Column::ErrorType, &["error_type", "error.type", "errorType"]),
    (Column::Message, &["error_message", "error.message", "errorMessage"]),
    (Column::Error, &["error"]),
    (
        Column::FinishReason,
        &[
            "finish_reason",
            "finish_reasons",
            "stop_reason",
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "finishReason",
            "stopReason",
        ],
    ),
    (Column::ResponseId, &["response_id", "gen_ai.response.id", "responseId"]),
    CONVERSATION_ID,
    AGENT_ID,
    (Column::AgentName, &["agent_name", "gen_ai.agent.name", "agentName"]),
    (Column::UserId, &["user_id", "user.id", "userId"]),
    (Column::Streaming, &["streaming", "stream", "gen_ai.request.stream"]),
    (Column::Unit, &["unit", "openclaw.model_call.observation_unit"]),
    OTEL_TRACE_ID,
    OTEL_SPAN_ID,
    (Column::OtelParentSpanId, &["otel_parent_span_id", "parentSpanId", "parent_span_id"]),
    (Column::InputText, &["input_text", "input", "prompt", "gen_ai.input.messages"]),
    (Column::OutputText, &["output_text", "output", "completion", "gen_ai.output.messages"]),
    SERVICE_NAME,
    (Column::Channel, &["channel", "openclaw.channel"]),
    (Column::Trigger, &["trigger", "openclaw.trigger"]),
    (Column::Usage, &["usage", "usageMetadata", "usage_metadata"]),
    DETAILS,
    (Column::Attributes, &["attributes", "metadata"]),
];

const EVENTS: &[Line] = &[
    TRACE_ID,
    TIMESTAMP,
    (Column::Name, &["name", "event", "event_name", "type", "event.name"]),
    SEVERITY,
    CONVERSATION_ID,
    AGENT_ID,
    OTEL_TRACE_ID,
    OTEL_SPAN_ID,
    (Column::Body, &["body"]),
    SERVICE_NAME,
    (Column::Attributes, &["attributes", "data", "properties", "payload", "metadata"]),
];

const ERRORS: &[Line] = &[
    TRACE_ID,
    TIMESTAMP,
    (Column::ErrorType, &["error_type", "exception.type", "error.type", "name", "code"]),
    (Column::Message, &["message", "exception.message", "error.message"]),
    (Column::Error, &["error"]),
    (Column::Stacktrace, &["stacktrace", "exception.stacktrace", "stack"]),
    SEVERITY,
    (Column::Handled, &["handled"]),
    (Column::Component, &["component", "source", "module"]),
    CONVERSATION_ID,
    AGENT_ID,
    OTEL_TRACE_ID,
    OTEL_SPAN_ID,
    (Column::Fingerprint, &["fingerprint"]),
    SERVICE_NAME,
    (Column::Attributes, &["attributes", "metadata"]),
];

/// What stands inside a `usage` object: OpenAI, Responses, Anthropic, OpenClaw, Gemini, Bedrock and the
/// AI SDK. Which of them count the cache apart is said in `usage.rs`.
const USAGE: &[Line] = &[
    (
        Column::InputTokens,
        &[
            "prompt_tokens",
            "promptTokens",
            "promptTokenCount",
            "prompt_token_count",
            "input_tokens",
            "inputTokens",
            "input",
            "billed_units.input_tokens",
            "tokens.input_tokens",
        ],
    ),
    (
        Column::OutputTokens,
        &[
            "completion_tokens",
            "completionTokens",
            "candidatesTokenCount",
            "candidates_token_count",
            "output_tokens",
            "outputTokens",
            "output",
            "billed_units.output_tokens",
            "tokens.output_tokens",
        ],
    ),
    (
        Column::CacheReadTokens,
        &[
            "prompt_tokens_details.cached_tokens",
            "input_tokens_details.cached_tokens",
            "inputTokenDetails.cacheReadTokens",
            "cachedContentTokenCount",
            "cached_content_token_count",
            "cachedInputTokens",
            "prompt_cache_hit_tokens",
            "cached_prompt_text_tokens",
            "cached_tokens",
            "cache_read_tokens",
            "cache_read_input_tokens",
            "cacheReadInputTokens",
            "cacheRead",
        ],
    ),
    (
        Column::CacheWriteTokens,
        &[
            "prompt_tokens_details.cache_write_tokens",
            "input_tokens_details.cache_write_tokens",
            "inputTokenDetails.cacheWriteTokens",
            "cache_write_tokens",
            "cache_creation_input_tokens",
            "cacheWriteInputTokens",
            "cacheWrite",
        ],
    ),
    (Column::CacheWrite5mTokens, &["cache_creation.ephemeral_5m_input_tokens", "cacheWrite5m"]),
    (
        Column::CacheWrite1hTokens,
        &["cache_write_1h_tokens", "cache_creation.ephemeral_1h_input_tokens", "cacheWrite1h"],
    ),
    (
        Column::ReasoningTokens,
        &[
            "completion_tokens_details.reasoning_tokens",
            "output_tokens_details.reasoning_tokens",
            "output_tokens_details.thinking_tokens",
            "outputTokenDetails.reasoningTokens",
            "thoughtsTokenCount",
            "thoughts_token_count",
            "reasoningTokens",
            "reasoning_tokens",
            "reasoning",
        ],
    ),
    (Column::ToolInputTokens, &["toolUsePromptTokenCount", "tool_use_prompt_token_count"]),
    (Column::TotalTokens, &["total_tokens", "totalTokens", "totalTokenCount", "total_token_count", "total"]),
    (Column::Cost, &["cost"]),
    (Column::UsageServiceTier, &["service_tier", "serviceTier", "trafficType", "traffic_type"]),
    (Column::Speed, &["speed"]),
    USAGE_DETAILS,
];

/// What stands inside an `error` object.
const ERROR: &[Line] = &[
    (Column::ErrorType, &["type", "name", "code"]),
    (Column::Message, &["message"]),
    (Column::Stacktrace, &["stacktrace", "stack"]),
];

/// A table, ready to be asked.
#[derive(Debug)]
pub(super) struct Names {
    by_name: HashMap<&'static str, Known>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) column: Column,
    pub(super) name: &'static str,
    /// Position among the names of the column: the lowest wins.
    pub(super) rank: u8,
}

impl Names {
    /// Of one call of a model.
    pub(super) fn traces() -> &'static Names {
        static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(TRACES));
        &NAMES
    }

    /// Of one event.
    pub(super) fn events() -> &'static Names {
        static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(EVENTS));
        &NAMES
    }

    /// Of one error.
    pub(super) fn errors() -> &'static Names {
        static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(ERRORS));
        &NAMES
    }

    /// Of a `usage` object.
    pub(super) fn usage() -> &'static Names {
        static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(USAGE));
        &NAMES
    }

    /// Of an `error` object.
    pub(super) fn error() -> &'static Names {
        static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(ERROR));
        &NAMES
    }

    /// What `name` stands for, if it is one of the table's.
    pub(super) fn find(&self, name: &str) -> Option<Known> {
        self.by_name.get(name).copied()
    }

    fn new(table: &'static [Line]) -> Names {
        let ranked =
            |&(column, names): &Line| (0u8..).zip(names).map(move |(rank, &name)| (name, Known { column, name, rank }));
        Names { by_name: table.iter().flat_map(ranked).collect() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The tables, for tests that walk them.
    pub(in super::super) const TABLES: [(crate::event::Table, &[Line]); 3] = [
        (crate::event::Table::LlmTraces, TRACES),
        (crate::event::Table::CustomEvents, EVENTS),
        (crate::event::Table::ErrorEvents, ERRORS),
    ];

    #[test]
    fn no_name_stands_for_two_columns() {
        for table in [TRACES, EVENTS, ERRORS, USAGE, ERROR] {
            let names: usize = table.iter().map(|(_, names)| names.len()).sum();
            assert_eq!(Names::new(table).by_name.len(), names);
        }
    }
}
