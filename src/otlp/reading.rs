//! How the values of attributes are read: dialects disagree about types and words, a [`Cell`] does not.

use serde::Deserialize;

use super::proto::Any;
use crate::event::PicoUsd;

/// How the value of an attribute is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// A string; empty ones and `unknown` are nobody's name.
    Text,
    /// A string, or the first of a list of strings.
    First,
    /// A string up to its first dot: `openai.chat` is how the AI SDK names a provider.
    ToDot,
    /// A whole number from 0 to 2^53 - 1, or its decimal text. Zero is a value.
    Tokens,
    /// A number of milliseconds, or its decimal text.
    Millis,
    /// A number of seconds, or its decimal text, to milliseconds.
    Seconds,
    /// A number of dollars, or its decimal text.
    Dollars,
    /// true or false, or one of these words.
    Flag,
    /// Anything: text as it is, the rest as JSON.
    Content,
    /// Member `model` of a JSON object in a string.
    JsonModel,
    /// `llm.request.type` to an operation.
    RequestType,
    /// `openinference.span.kind` to an operation.
    SpanKind,
    /// `ai.operationId` to an operation.
    AiOperation,
    /// `ai.operationId` to whether it streamed.
    AiStreaming,
}

/// A value that a column can take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    /// UTF-8, not yet checked.
    Text(&'a [u8]),
    /// Tokens or milliseconds.
    Whole(i64),
    /// true or false
    Flag(bool),
    /// Money.
    Cost(PicoUsd),
    /// Content, in whatever form it came.
    Content(&'a Any),
}

impl Reading {
    /// What `value` says when it is read so. `None` = it is of another type, or says nothing.
    pub(super) fn read(self, value: &Any) -> Option<Cell<'_>> {
        match self {
            Reading::Text => word(value).map(Cell::Text),
            Reading::First => first(value).map(Cell::Text),
            Reading::ToDot => word(value)?.split(|byte| *byte == b'.').find(|part| !part.is_empty()).map(Cell::Text),
            Reading::Tokens => tokens(value).map(Cell::Whole),
            Reading::Millis => millis(value, 1.0).map(Cell::Whole),
            Reading::Seconds => millis(value, 1000.0).map(Cell::Whole),
            Reading::Dollars => dollars(value).map(Cell::Cost),
            Reading::Flag => flag(value).map(Cell::Flag),
            Reading::Content => Some(Cell::Content(value)),
            Reading::JsonModel => json_model(value).map(Cell::Text),
            Reading::RequestType => translate(value, REQUEST_TYPES),
            Reading::SpanKind => translate(value, SPAN_KINDS),
            Reading::AiOperation => ai_operation(value),
            Reading::AiStreaming => match ai_call(value)? {
                AiCall::Stream => Some(Cell::Flag(true)),
                AiCall::Generate => Some(Cell::Flag(false)),
                AiCall::Embed | AiCall::Tool | AiCall::Around => None,
            },
        }
    }
}

/// Whether a value is there only because its producer had to write something.
pub(super) fn says_nothing(value: &Any) -> bool {
    matches!(value, Any::Text(text) if matches!(text.trim_ascii(), b"" | b"unknown"))
}

fn word(value: &Any) -> Option<&[u8]> {
    let Any::Text(text) = value else { return None };
    (!says_nothing(value)).then(|| text.trim_ascii())
}

fn first(value: &Any) -> Option<&[u8]> {
    match value {
        Any::List(list) => list.values.first()?.value.as_ref().and_then(word),
        _ => word(value),
    }
}

/// JSON and JavaScript hold whole numbers exactly up to here.
const WHOLE_MAX: i64 = (1 << 53) - 1;

fn tokens(value: &Any) -> Option<i64> {
    match value {
        Any::Whole(count) => Some(*count),
        Any::Real(count) if count.fract() == 0.0 => Some(*count as i64),
        Any::Text(text) if text.iter().all(u8::is_ascii_digit) => str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
    .filter(|count| (0..=WHOLE_MAX).contains(count))
}

fn millis(value: &Any, scale: f64) -> Option<i64> {
    let millis = match value {
        Any::Whole(number) => *number as f64 * scale,
        Any::Real(number) => number * scale,
        // No signs, exponents or words, which Rust would read.
        Any::Text(text) if text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') => {
            str::from_utf8(text).ok()?.parse::<f64>().ok()? * scale
        }
        _ => return None,
    };
    (0.0..=WHOLE_MAX as f64).contains(&millis).then_some(millis.round() as i64)
}

fn flag(value: &Any) -> Option<bool> {
    match value {
        Any::Flag(flag) => Some(*flag),
        Any::Text(text) if text == "true" => Some(true),
        Any::Text(text) if text == "false" => Some(false),
        _ => None,
    }
}

fn dollars(value: &Any) -> Option<PicoUsd> {
    match value {
        Any::Whole(number) => PicoUsd::parse_usd(&number.to_string()),
        // The shortest decimal that means this number: what the producer wrote.
        Any::Real(number) => PicoUsd::parse_usd(&number.to_string()),
        Any::Text(text) => PicoUsd::parse_usd(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}

fn json_model(value: &Any) -> Option<&[u8]> {
    #[derive(Deserialize)]
    struct Parameters<'a> {
        model: Option<&'a str>,
    }
    let Any::Text(text) = value else { return None };
    let parameters: Parameters<'_> = serde_json::from_slice(text).ok()?;
    parameters.model.filter(|model| !model.is_empty()).map(str::as_bytes)
}

fn translate<'a>(value: &Any, words: &[(&str, &'static str)]) -> Option<Cell<'a>> {
    let theirs = word(value)?;
    let (_, ours) = words.iter().find(|(word, _)| word.as_bytes() == theirs)?;
    Some(Cell::Text(ours.as_bytes()))
}

/// OpenLLMetry's words.
const REQUEST_TYPES: &[(&str, &str)] =
    &[("chat", "chat"), ("completion", "text_completion"), ("embedding", "embeddings"), ("rerank", "retrieval")];

/// OpenInference's words.
const SPAN_KINDS: &[(&str, &str)] = &[
    ("LLM", "chat"),
    ("EMBEDDING", "embeddings"),
    ("TOOL", "execute_tool"),
    ("AGENT", "invoke_agent"),
    ("CHAIN", "invoke_workflow"),
    ("RETRIEVER", "retrieval"),
    ("RERANKER", "retrieval"),
];

/// What a span of the AI SDK is, by the end of its operation id.
enum AiCall {
    Generate,
    Stream,
    Embed,
    Tool,
    /// The outer span, which repeats the totals of the calls in it.
    Around,
}

fn ai_call(value: &Any) -> Option<AiCall> {
    let id = word(value)?;
    Some(match id {
        _ if id.ends_with(b".doGenerate") => AiCall::Generate,
        _ if id.ends_with(b".doStream") => AiCall::Stream,
        _ if id.ends_with(b".doEmbed") => AiCall::Embed,
        _ if id.ends_with(b".toolCall") => AiCall::Tool,
        _ => AiCall::Around,
    })
}

fn ai_operation<'a>(value: &Any) -> Option<Cell<'a>> {
    Some(Cell::Text(match ai_call(value)? {
        AiCall::Generate | AiCall::Stream => b"chat",
        AiCall::Embed => b"embeddings",
        AiCall::Tool => b"execute_tool",
        AiCall::Around => b"invoke_agent",
    }))
}
