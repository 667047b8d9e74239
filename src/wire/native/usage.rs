//! Token counts: whatever the producer's dialect, input includes the cache and output includes reasoning.

use super::Invalid;
use super::fields::{Fields, Found, each_field, each_item};
use super::names::{Column, Names};
use super::value::{self, INTEGER_MAX};
use crate::event::PicoUsd;

/// What a call used. `None` = not said.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) cache_read: Option<i64>,
    pub(super) cache_write: Option<i64>,
    pub(super) cache_write_1h: Option<i64>,
    pub(super) reasoning: Option<i64>,
    pub(super) cost: Option<PicoUsd>,
    /// Whether a count was corrected because its parts were more than the whole.
    pub(super) normalized: bool,
}

impl Tokens {
    /// Reads the counts of an item, from its own fields first, then from its `usage` object; what
    /// that has besides stays with the item's extras.
    pub(super) fn read(fields: &mut Fields<'_>, provider: Option<&str>) -> Result<Tokens, Invalid> {
        let nested = match fields.column(Column::Usage) {
            Some(usage) => Tokens::of_usage(fields, usage, provider)?,
            None => Tokens::default(),
        };
        let own = |column, nested: Option<i64>| match fields.column(column) {
            Some(found) => found.integer().map(Some),
            None => Ok(nested),
        };
        let tokens = Tokens {
            input: own(Column::InputTokens, nested.input)?,
            output: own(Column::OutputTokens, nested.output)?,
            cache_read: own(Column::CacheReadTokens, nested.cache_read)?,
            cache_write: own(Column::CacheWriteTokens, nested.cache_write)?,
            cache_write_1h: own(Column::CacheWrite1hTokens, nested.cache_write_1h)?,
            reasoning: own(Column::ReasoningTokens, nested.reasoning)?,
            cost: match fields.column(Column::Cost) {
                Some(found) => Some(found.usd()?),
                None => nested.cost,
            },
            normalized: false,
        };
        tokens.guarded()
    }

    /// Reads a `usage` object.
    fn of_usage<'a>(fields: &mut Fields<'a>, usage: Found<'a>, provider: Option<&str>) -> Result<Tokens, Invalid> {
        let mut inside = Fields::of_object(Names::usage(), usage.name, usage.raw)?;
        let within = |Invalid { field, message }| Invalid { field: format!("{}.{field}", usage.name).into(), message };
        let count = |column| inside.column(column).map(|found| found.integer()).transpose().map_err(within);
        let cache_write_1h = count(Column::CacheWrite1hTokens)?.or_else(|| bedrock_1h(&inside));
        let mut tokens = Tokens {
            input: count(Column::InputTokens)?,
            output: count(Column::OutputTokens)?,
            cache_read: count(Column::CacheReadTokens)?,
            // Anthropic's total of both kinds, or the kinds themselves.
            cache_write: count(Column::CacheWriteTokens)?.or(sum([cache_write_1h, count(Column::CacheWrite5mTokens)?])),
            cache_write_1h,
            reasoning: count(Column::ReasoningTokens)?,
            cost: None,
            normalized: false,
        };
        let total = count(Column::TotalTokens)?;
        let by_tools = count(Column::ToolInputTokens)?;
        let reasoning_is_apart = reasoning_counted_apart(&inside, provider, &tokens, total);
        if cache_counted_apart(&inside) {
            tokens.input = sum([tokens.input, tokens.cache_read, tokens.cache_write]);
        }
        if let Some(found) = inside.column(Column::ToolInputTokens) {
            tokens.input = sum([tokens.input, by_tools]);
            inside.keep_apart(found.name.into(), found.raw);
        }
        if reasoning_is_apart {
            tokens.output = sum([tokens.output, tokens.reasoning]);
        }
        // The total says nothing new when it is the sum.
        if let Some(found) = inside.column(Column::TotalTokens)
            && total != sum([tokens.input, tokens.output])
        {
            inside.keep_apart(found.name.into(), found.raw);
        }
        if let Some(found) = inside.column(Column::Cost) {
            tokens.cost = cost_of_usage(&mut inside, found).map_err(within)?;
        }
        for column in [Column::UsageServiceTier, Column::Speed] {
            if let Some(found) = inside.column(column) {
                fields.offer(column, found);
                inside.keep_apart(found.name.into(), found.raw);
            }
        }
        for column in COUNTS {
            if let Some(found) = inside.column(column).filter(|_| fields.column(column).is_some()) {
                inside.keep_apart(found.name.into(), found.raw);
            }
        }
        fields.keep_rest_of(usage.name, inside);
        Ok(tokens)
    }

    /// Holds the parts against the whole. A part that is larger was counted beside it.
    fn guarded(mut self) -> Result<Tokens, Invalid> {
        if let (Some(within), Some(write)) = (self.cache_write_1h, self.cache_write)
            && within > write
        {
            self.cache_write = Some(within);
            self.normalized = true;
        }
        let cached = sum([self.cache_read, self.cache_write]);
        if self.input.is_some() && cached > self.input {
            self.input = sum([self.input, cached]);
            self.normalized = true;
        }
        if self.output.is_some() && self.reasoning > self.output {
            self.output = sum([self.output, self.reasoning]);
            self.normalized = true;
        }
        for (field, count) in [("input_tokens", self.input), ("output_tokens", self.output)] {
            if let Some(count) = count.filter(|count| *count > INTEGER_MAX) {
                let wanted = format!("a sum of at most {INTEGER_MAX}");
                return Err(Invalid::new(field, &wanted, &count.to_string()));
            }
        }
        Ok(self)
    }
}

/// Counts that an item may have itself and in its `usage` object: its own wins, the other is kept.
const COUNTS: [Column; 6] = [
    Column::InputTokens,
    Column::OutputTokens,
    Column::CacheReadTokens,
    Column::CacheWriteTokens,
    Column::CacheWrite1hTokens,
    Column::ReasoningTokens,
];

/// Whether a `usage` object counts cached tokens beside its input (docs/wire.md): OpenClaw (`input`),
/// Anthropic and Bedrock (`input_tokens` with their own names for the cache) do. Everybody else, and
/// whoever says `prompt_tokens`, counts them in.
fn cache_counted_apart(usage: &Fields<'_>) -> bool {
    let name = |column| usage.column(column).map_or("", |found| found.name);
    let cache_names = [name(Column::CacheReadTokens), name(Column::CacheWriteTokens)];
    let split = [Column::CacheWrite5mTokens, Column::CacheWrite1hTokens].map(name);
    match name(Column::InputTokens) {
        "input_tokens" => {
            cache_names.iter().any(|n| matches!(*n, "cache_read_input_tokens" | "cache_creation_input_tokens"))
                || split.iter().any(|n| n.starts_with("cache_creation."))
        }
        "inputTokens" => cache_names.iter().any(|n| matches!(*n, "cacheReadInputTokens" | "cacheWriteInputTokens")),
        "input" => true,
        "" => cache_names.iter().any(|n| matches!(*n, "cacheRead" | "cacheWrite")),
        _ => false,
    }
}

/// Whether a `usage` object counts reasoning beside its output: Gemini and xAI do. Where there is a total it says so itself:
/// a gateway may have counted xAI's reasoning in, or hidden that it is xAI.
fn reasoning_counted_apart(usage: &Fields<'_>, provider: Option<&str>, tokens: &Tokens, total: Option<i64>) -> bool {
    let name = |column| usage.column(column).map_or("", |found| found.name);
    match name(Column::OutputTokens) {
        "candidatesTokenCount" | "candidates_token_count" => true,
        "completion_tokens" if total == sum([tokens.input, tokens.output]) => false,
        "completion_tokens" if total == sum([tokens.input, tokens.output, tokens.reasoning]) => true,
        "completion_tokens" => provider.is_some_and(is_xai),
        // A call of Gemini that ended while it was still thinking.
        "" => matches!(name(Column::ReasoningTokens), "thoughtsTokenCount" | "thoughts_token_count"),
        _ => false,
    }
}

fn is_xai(provider: &str) -> bool {
    let name = provider.split('.').next().unwrap_or_default();
    ["xai", "x_ai", "x-ai"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// What Bedrock wrote to its cache for an hour: `"cacheDetails": [{"ttl": "1h", "inputTokens": 20}]`.
fn bedrock_1h(usage: &Fields<'_>) -> Option<i64> {
    let list = usage.extras.iter().find(|extra| extra.key == "cacheDetails")?;
    let mut written = None;
    let read = each_item(list.raw, &mut |item| {
        let (mut is_1h, mut tokens) = (false, None);
        let read = each_field(item, &mut |key, raw| match &*key {
            "ttl" => is_1h = raw == "\"1h\"",
            "inputTokens" => tokens = value::integer(raw),
            _ => {}
        });
        if read.is_ok() && is_1h {
            written = sum([written, tokens]);
        }
    });
    written.filter(|_| read.is_ok())
}

/// The cost that stands in a `usage` object: a number, or an object with a `total` (OpenClaw) or `total_cost`
/// (Perplexity). OpenClaw writes a total of 0 also when it knows no price, so 0 counts as unknown there; it stays with the extras.
fn cost_of_usage<'a>(usage: &mut Fields<'a>, found: Found<'a>) -> Result<Option<PicoUsd>, Invalid> {
    if !found.raw.starts_with('{') {
        return found.usd().map(Some);
    }
    usage.keep_apart(found.name.into(), found.raw);
    let mut total = None;
    each_field(found.raw, &mut |key, raw| {
        if key == "total" || key == "total_cost" {
            total = value::text(raw).and_then(|dollars| PicoUsd::parse_usd(&dollars));
        }
    })
    .map_err(|e| Invalid { field: found.name.into(), message: e.to_string() })?;
    Ok(total.filter(|total| *total > PicoUsd(0)))
}

/// The sum of what is known. `None` when nothing is. Each part is at most three times 2^53: it cannot overflow.
fn sum<const N: usize>(parts: [Option<i64>; N]) -> Option<i64> {
    parts.into_iter().flatten().reduce(|a, b| a + b)
}
