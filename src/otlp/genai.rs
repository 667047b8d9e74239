//! What the attributes of one span say ([`Columns`]), by the tables of [`super::dialects`], and what makes a span a call of
//! a model.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::dialects::{AROUND, COLUMNS, CONTENT, Column, INFERENCE, MODEL_CALL, MODEL_USAGE, TABLE, TURN};
use super::proto::{Any, AnyValue};
use super::reading::{self, Cell, Reading};
use crate::event::Unit;

/// Whether an attribute may be stored among the `attributes` of a row: it has no column, or a value that
/// no column of its name could take, and is no content.
pub(super) fn is_leftover(key: &[u8], value: &Any) -> bool {
    let is_unread = INDEX.get(key).is_none_or(|places| {
        !reading::says_nothing(value) && places.iter().all(|place| place.reading.read(value).is_none())
    });
    is_unread && !CONTENT.iter().any(|start| key.starts_with(start.as_bytes()))
}

/// What the attributes of one span say, column by column.
pub(super) struct Columns<'a> {
    found: [Option<Found<'a>>; COLUMNS],
}

/// A cell, and the place of its name in the column's list: a lower one wins.
#[derive(Clone, Copy)]
struct Found<'a> {
    rank: usize,
    cell: Cell<'a>,
}

impl<'a> Columns<'a> {
    /// Nothing said yet.
    pub(super) fn new() -> Columns<'a> {
        Columns { found: [None; COLUMNS] }
    }

    /// Takes an attribute, if the table knows its name and the value is of the right type.
    pub(super) fn offer(&mut self, key: &[u8], value: &'a AnyValue) {
        let (Some(places), Some(value)) = (INDEX.get(key), &value.value) else { return };
        for place in places {
            let found = &mut self.found[place.column as usize];
            if found.is_none_or(|known| place.rank < known.rank)
                && let Some(cell) = place.reading.read(value)
            {
                *found = Some(Found { rank: place.rank, cell });
            }
        }
    }

    /// Whether anything valid was said for the column.
    pub(super) fn has(&self, column: Column) -> bool {
        self.cell(column).is_some()
    }

    /// The column's cell.
    pub(super) fn cell(&self, column: Column) -> Option<Cell<'a>> {
        self.found[column as usize].map(|found| found.cell)
    }

    /// A column of text.
    pub(super) fn text(&self, column: Column) -> Option<&'a [u8]> {
        if let Some(Cell::Text(text)) = self.cell(column) { Some(text) } else { None }
    }

    /// A column of tokens or milliseconds.
    pub(super) fn whole(&self, column: Column) -> Option<i64> {
        if let Some(Cell::Whole(whole)) = self.cell(column) { Some(whole) } else { None }
    }

    /// A column of true and false.
    pub(super) fn flag(&self, column: Column) -> Option<bool> {
        if let Some(Cell::Flag(flag)) = self.cell(column) { Some(flag) } else { None }
    }

    /// Input tokens, cached ones included, and whether they came under an inclusive name without them:
    /// more tokens cached than there are. Then, and where only an exclusive name was said, those are added.
    pub(super) fn input_tokens(&self) -> (Option<i64>, bool) {
        let cached =
            self.whole(Column::CacheReadTokens).unwrap_or(0) + self.whole(Column::CacheWriteTokens).unwrap_or(0);
        match self.whole(Column::InputTokens) {
            Some(input) if cached > input => (Some(input + cached), true),
            Some(input) => (Some(input), false),
            None => (self.whole(Column::UncachedInputTokens).map(|input| input + cached), false),
        }
    }

    /// Output tokens, reasoning included, and whether they came without it: more reasoning than there is
    /// output. Then it is added.
    pub(super) fn output_tokens(&self) -> (Option<i64>, bool) {
        let reasoning = self.whole(Column::ReasoningTokens).unwrap_or(0);
        match self.whole(Column::OutputTokens) {
            Some(output) if reasoning > output => (Some(output + reasoning), true),
            output => (output, false),
        }
    }
}

/// What a span of this name is as a row of `llm_traces`; `None` = no call of a model. `instant` = it
/// ended when it started.
///
/// OpenClaw reports the usage of a turn a second time as `openclaw.model.usage`; where no other span
/// tells of the call, that one has no length. Spans around calls (agents, workflows, the outer spans of
/// the AI SDK) repeat the totals of what is in them.
pub(super) fn unit_of(name: &[u8], instant: bool, columns: &Columns<'_>) -> Option<Unit> {
    if name == MODEL_USAGE {
        return instant.then_some(Unit::UsageOnly);
    }
    match columns.text(Column::ObservationUnit) {
        Some(TURN) => return Some(Unit::Turn),
        Some(_) => return Some(Unit::Request),
        None if name == MODEL_CALL => return Some(Unit::Request),
        None => {}
    }
    let is_call = match columns.text(Column::Operation) {
        Some(operation) if INFERENCE.contains(&operation) => true,
        Some(operation) if is_around(operation) => false,
        _ => columns.has(Column::CalledModel),
    };
    is_call.then_some(Unit::Request)
}

/// Whether an operation is one of [`AROUND`], or ends in one as a word of its own.
fn is_around(operation: &[u8]) -> bool {
    AROUND.iter().any(|around| {
        let before = operation.strip_suffix(around.as_bytes());
        before.is_some_and(|before| before.last().is_none_or(|end| matches!(end, b'_' | b'.')))
    })
}

/// Where a name stands in the table.
struct Place {
    column: Column,
    rank: usize,
    reading: Reading,
}

/// The table by name. A name may serve several columns.
static INDEX: LazyLock<HashMap<&'static [u8], Vec<Place>>> = LazyLock::new(|| {
    let mut index: HashMap<&[u8], Vec<Place>> = HashMap::new();
    for (column, names) in TABLE {
        for (rank, (name, reading)) in names.iter().enumerate() {
            let place = Place { column: *column, rank, reading: *reading };
            index.entry(name.as_bytes()).or_default().push(place);
        }
    }
    index
});

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::otlp::reading::Reading::*;

    fn text(text: &str) -> AnyValue {
        AnyValue { value: Some(Any::Text(Bytes::copy_from_slice(text.as_bytes()))) }
    }

    fn whole(number: i64) -> AnyValue {
        AnyValue { value: Some(Any::Whole(number)) }
    }

    fn columns<'a>(attributes: &'a [(&str, AnyValue)]) -> Columns<'a> {
        let mut columns = Columns::new();
        for (key, value) in attributes {
            columns.offer(key.as_bytes(), value);
        }
        columns
    }

    /// A value that every reading takes, one for each.
    fn sample(reading: Reading) -> AnyValue {
        match reading {
            Text | First | ToDot | Content => text("word"),
            Tokens | Millis | Seconds | Dollars => whole(7),
            Flag => AnyValue { value: Some(Any::Flag(true)) },
            JsonModel => text(r#"{"temperature":1,"model":"word"}"#),
            RequestType => text("completion"),
            SpanKind => text("LLM"),
            AiOperation | AiStreaming => text("ai.streamText.doStream"),
        }
    }

    #[test]
    fn every_name_of_the_table_fills_its_column_and_is_no_leftover() {
        for (column, names) in TABLE {
            for (name, reading) in *names {
                let value = sample(*reading);
                let mut columns = Columns::new();
                columns.offer(name.as_bytes(), &value);
                assert!(columns.has(*column), "{name}");
                assert!(!is_leftover(name.as_bytes(), value.value.as_ref().unwrap()), "{name}");
            }
        }
    }

    #[test]
    fn every_column_stands_in_the_table_once_and_no_name_twice_in_one() {
        let mut seen = [false; COLUMNS];
        for (column, names) in TABLE {
            assert!(!std::mem::replace(&mut seen[*column as usize], true), "{column:?}");
            for (rank, (name, _)) in names.iter().enumerate() {
                assert!(names[..rank].iter().all(|(earlier, _)| earlier != name), "{name}");
            }
        }
        assert_eq!(seen, [true; COLUMNS]);
    }

    #[test]
    fn the_earlier_name_wins_wherever_it_stands_in_the_span() {
        let early = ("gen_ai.usage.input_tokens", whole(5));
        let late = ("llm.token_count.prompt", whole(9));
        for attributes in [[early.clone(), late.clone()], [late, early]] {
            assert_eq!(columns(&attributes).whole(Column::InputTokens), Some(5));
        }
    }

    #[test]
    fn zero_is_a_value_and_what_says_nothing_is_passed_over() {
        for nothing in [text(""), text("  "), text("unknown"), whole(3), AnyValue { value: None }] {
            let attributes = [("gen_ai.provider.name", nothing), ("openclaw.provider", text("mockai"))];
            assert_eq!(columns(&attributes).text(Column::Provider), Some(&b"mockai"[..]));
        }
        for nothing in [whole(-1), whole(i64::MAX), text("1.2"), AnyValue { value: Some(Any::Real(f64::NAN)) }] {
            let attributes = [("gen_ai.usage.input_tokens", nothing), ("gen_ai.usage.prompt_tokens", whole(0))];
            assert_eq!(columns(&attributes).whole(Column::InputTokens), Some(0));
        }
    }

    #[test]
    fn the_tokens_of_an_embedding_are_input() {
        let embedding = [("ai.usage.tokens", whole(8))];
        assert_eq!(columns(&embedding).input_tokens(), (Some(8), false));
    }

    #[test]
    fn input_without_cached_tokens_becomes_input_with_them() {
        let openclaw = [
            ("openclaw.tokens.input", whole(200)),
            ("openclaw.tokens.cache_read", whole(1000)),
            ("openclaw.tokens.cache_write", whole(50)),
        ];
        assert_eq!(columns(&openclaw).input_tokens(), (Some(1250), false));
        let anthropic =
            [("gen_ai.usage.input_tokens", whole(200)), ("gen_ai.usage.cache_read.input_tokens", whole(1000))];
        assert_eq!(columns(&anthropic).input_tokens(), (Some(1200), true));
        let inclusive =
            [("gen_ai.usage.input_tokens", whole(1200)), ("gen_ai.usage.cache_read.input_tokens", whole(1000))];
        assert_eq!(columns(&inclusive).input_tokens(), (Some(1200), false));
        let exclusive_only = [("openclaw.model_call.usage.input_tokens", whole(200))];
        assert_eq!(columns(&exclusive_only).input_tokens(), (None, false));
    }

    #[test]
    fn a_span_is_a_call_by_its_name_its_unit_or_its_operation() {
        let model = ("gen_ai.request.model", text("m"));
        let operation = |name: &str| ("gen_ai.operation.name", text(name));
        let unit = |word: &str| ("openclaw.model_call.observation_unit", text(word));
        let request = Some(Unit::Request);
        for (name, instant, attributes, expected) in [
            ("openclaw.model.usage", true, vec![model.clone(), operation("chat")], Some(Unit::UsageOnly)),
            ("openclaw.model.usage", false, vec![model.clone(), operation("chat")], None),
            ("openclaw.model.call", false, vec![], request),
            ("chat m", false, vec![unit("request")], request),
            ("invoke_agent", false, vec![unit("turn"), operation("invoke_agent"), model.clone()], Some(Unit::Turn)),
            ("invoke_agent", false, vec![operation("invoke_agent"), model.clone()], None),
            ("execute_tool", false, vec![operation("execute_tool"), model.clone()], None),
            ("memory", false, vec![operation("search_memory"), model.clone()], None),
            ("plan", false, vec![operation("plan"), model.clone()], None),
            ("plan", false, vec![operation("agent.plan"), model.clone()], None),
            ("floorplan", false, vec![operation("floorplan"), model.clone()], request),
            ("a", false, vec![model.clone()], request),
            ("a", false, vec![("gen_ai.response.model", text("m"))], request),
            ("a", false, vec![operation("text_to_speech"), model.clone()], request),
            ("a", false, vec![operation("embeddings")], request),
            ("openclaw.run", false, vec![("openclaw.model", text("m"))], None),
            ("openai.chat", false, vec![("llm.request.type", text("chat"))], request),
            ("ChatCompletion", false, vec![("openinference.span.kind", text("LLM"))], request),
            ("agent", false, vec![("openinference.span.kind", text("AGENT")), model], None),
            ("ai.embed", false, vec![("ai.operationId", text("ai.embed")), ("ai.model.id", text("m"))], None),
            ("ai.embed.doEmbed", false, vec![("ai.operationId", text("ai.embed.doEmbed"))], request),
            ("GET /", false, vec![("http.method", text("GET"))], None),
        ] {
            assert_eq!(unit_of(name.as_bytes(), instant, &columns(&attributes)), expected, "{name} {attributes:?}");
        }
    }

    #[test]
    fn money_is_read_as_the_decimal_that_was_written() {
        let cost = |value: Any| {
            let attributes = [("gen_ai.usage.cost", AnyValue { value: Some(value) })];
            match columns(&attributes).cell(Column::Cost) {
                Some(Cell::Cost(cost)) => Some(cost.0),
                _ => None,
            }
        };
        assert_eq!(cost(Any::Real(0.001575)), Some(1_575_000_000));
        assert_eq!(cost(Any::Real(1.5e-7)), Some(150_000));
        assert_eq!(cost(Any::Whole(2)), Some(2_000_000_000_000));
        assert_eq!(cost(Any::Text(Bytes::from("0.25"))), Some(250_000_000_000));
        for none in [Any::Real(-1.0), Any::Real(f64::INFINITY), Any::Whole(-1), Any::Text(Bytes::from("free"))] {
            assert_eq!(cost(none), None);
        }
    }
}
