//! What the attributes of one record say ([`Columns`]), by the tables of [`super::dialects`], and what makes a span a call of
//! a model or another row.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::dialects::{
    AROUND, CLAUDE_CODE, COLUMNS, CONTENT, Column, EVENTS, EXECUTE_TOOL, INFERENCE, Line, MODEL_CALL, MODEL_USAGE,
    TABLE, TOTALS, TURN,
};
use super::proto::{Any, AnyValue, KeyValue};
use super::reading::{self, Cell, Reading};
use crate::event::{Table, Unit};

/// The names of one dialect, ready to be asked.
pub(super) struct Dialect {
    /// A name may serve several columns.
    places: HashMap<&'static [u8], Vec<Place>>,
}

/// Where a name stands in the table.
struct Place {
    column: Column,
    rank: usize,
    reading: Reading,
}

impl Dialect {
    /// That of spans, and of log records that are no other's.
    pub(super) fn spans() -> &'static Dialect {
        static SPANS: LazyLock<Dialect> = LazyLock::new(|| Dialect::new(&[TABLE]));
        &SPANS
    }

    /// That of Claude Code's log records.
    pub(super) fn claude_code() -> &'static Dialect {
        static CLAUDE: LazyLock<Dialect> = LazyLock::new(|| Dialect::new(&[CLAUDE_CODE]));
        &CLAUDE
    }

    fn new(tables: &[&[Line]]) -> Dialect {
        let mut places: HashMap<&[u8], Vec<Place>> = HashMap::new();
        for (column, names) in tables.iter().copied().flatten() {
            for (rank, (name, reading)) in names.iter().enumerate() {
                let place = Place { column: *column, rank, reading: *reading };
                places.entry(name.as_bytes()).or_default().push(place);
            }
        }
        Dialect { places }
    }

    /// Whether an attribute may be stored among the `attributes` of a row: the row has no column for it, or the
    /// value is one that no column of its name could take, and it is no content.
    pub(super) fn is_leftover(&self, key: &[u8], value: &Any, table: Table) -> bool {
        let is_homeless = self.places.get(key).is_none_or(|places| {
            let is_kept = |place: &Place| place.column.is_said_by(table) && place.reading.read(value).is_some();
            !reading::says_nothing(value) && !places.iter().any(is_kept)
        });
        is_homeless && !is_content(key) && (table == Table::LlmTraces || !is_one_of(key, TOTALS))
    }

    /// Whether a name says something of a row of this table, whatever its value, or may be no attribute of it.
    pub(super) fn claims(&self, key: &[u8], table: Table) -> bool {
        let places = self.places.get(key).map(Vec::as_slice).unwrap_or_default();
        places.iter().any(|place| place.column.is_said_by(table))
            || is_content(key)
            || (table != Table::LlmTraces && is_one_of(key, TOTALS))
    }
}

/// Whether an attribute of this name holds what people and models said, or secrets.
pub(super) fn is_content(key: &[u8]) -> bool {
    is_one_of(key, CONTENT)
}

fn is_one_of(key: &[u8], starts: &[&str]) -> bool {
    starts.iter().any(|start| key.starts_with(start.as_bytes()))
}

/// What the attributes of one record say, column by column.
pub(super) struct Columns<'a> {
    dialect: &'static Dialect,
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
    pub(super) fn new(dialect: &'static Dialect) -> Columns<'a> {
        Columns { dialect, found: [None; COLUMNS] }
    }

    /// By whose names they are read.
    pub(super) fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// Takes attributes.
    pub(super) fn offer_all(&mut self, attributes: &'a [KeyValue]) {
        for attribute in attributes {
            if let Some(value) = &attribute.value {
                self.offer(&attribute.key, value);
            }
        }
    }

    /// Takes an attribute, if the table knows its name and the value is of the right type.
    pub(super) fn offer(&mut self, key: &[u8], value: &'a AnyValue) {
        let (Some(places), Some(value)) = (self.dialect.places.get(key), &value.value) else { return };
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

/// What a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class<'a> {
    /// A call of a model, or the sum of a turn's calls.
    Call(Unit),
    /// Something else worth a row, under this name.
    Event(&'a [u8]),
    /// No row.
    Nothing,
}

/// What a span of this name is. `instant` = it ended when it started.
///
/// OpenClaw reports the usage of a turn a second time as `openclaw.model.usage`; where no other span
/// tells of the call, that one has no length. Spans around calls (agents, workflows, the outer spans of
/// the AI SDK) repeat the totals of what is in them.
pub(super) fn class_of<'a>(name: &[u8], instant: bool, columns: &Columns<'a>) -> Class<'a> {
    if name == MODEL_USAGE {
        return Class::Call(if instant { Unit::UsageOnly } else { Unit::TurnSum });
    }
    match columns.text(Column::ObservationUnit) {
        Some(TURN) => return Class::Call(Unit::Turn),
        Some(_) => return Class::Call(Unit::Request),
        None if name == MODEL_CALL => return Class::Call(Unit::Request),
        None => {}
    }
    match columns.text(Column::Operation) {
        Some(operation) if INFERENCE.contains(&operation) => return Class::Call(Unit::Request),
        Some(operation) if is_around(operation) => return Class::Event(operation),
        _ => {}
    }
    if columns.has(Column::CalledModel) {
        return Class::Call(Unit::Request);
    }
    let known = EVENTS.iter().find(|(span, _)| span.as_bytes() == name);
    match known.map(|(_, event)| event.as_bytes()) {
        Some(event) => Class::Event(event),
        None if columns.has(Column::ToolName) => Class::Event(EXECUTE_TOOL.as_bytes()),
        None => Class::Nothing,
    }
}

/// Whether an operation is one of [`AROUND`], or ends in one as a word of its own.
fn is_around(operation: &[u8]) -> bool {
    AROUND.iter().any(|around| {
        let before = operation.strip_suffix(around.as_bytes());
        before.is_some_and(|before| before.last().is_none_or(|end| matches!(end, b'_' | b'.')))
    })
}

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
        let mut columns = Columns::new(Dialect::spans());
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
    fn every_name_of_the_tables_fills_its_column_and_is_a_leftover_only_where_no_column_is() {
        for (dialect, table) in [(Dialect::spans(), TABLE), (Dialect::claude_code(), CLAUDE_CODE)] {
            for (column, names) in table {
                for (name, reading) in *names {
                    let value = sample(*reading);
                    let mut columns = Columns::new(dialect);
                    columns.offer(name.as_bytes(), &value);
                    assert!(columns.has(*column), "{name}");
                    let is_leftover =
                        |table| dialect.is_leftover(name.as_bytes(), value.value.as_ref().unwrap(), table);
                    let is_homeless = matches!(column, Column::ServiceTier | Column::ToolName | Column::Component);
                    assert_eq!(is_leftover(Table::LlmTraces), is_homeless, "{name}");
                    let is_provider = matches!(column, Column::Provider);
                    assert!(!is_provider || is_leftover(Table::CustomEvents) && is_leftover(Table::ErrorEvents));
                }
            }
        }
    }

    #[test]
    fn no_name_stands_in_two_lines_unless_both_want_it() {
        let shared = [Column::CalledModel, Column::Operation, Column::Streaming];
        for (column, names) in TABLE.iter().filter(|(column, _)| !shared.contains(column)) {
            for (name, _) in *names {
                let lines = TABLE.iter().filter(|(_, names)| names.iter().any(|(other, _)| other == name));
                let others: Vec<Column> =
                    lines.map(|(other, _)| *other).filter(|other| other != column && !shared.contains(other)).collect();
                assert!(others.is_empty(), "{name} fills {column:?} and {others:?}");
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
    fn a_span_is_a_call_or_an_event_by_its_name_its_unit_or_its_operation() {
        let model = ("gen_ai.request.model", text("m"));
        let operation = |name: &str| ("gen_ai.operation.name", text(name));
        let unit = |word: &str| ("openclaw.model_call.observation_unit", text(word));
        let tool = ("openclaw.toolName", text("exec"));
        let (request, event) = (Class::Call(Unit::Request), |name: &'static str| Class::Event(name.as_bytes()));
        for (name, instant, attributes, expected) in [
            ("openclaw.model.usage", true, vec![model.clone(), operation("chat")], Class::Call(Unit::UsageOnly)),
            ("openclaw.model.usage", false, vec![model.clone(), operation("chat")], Class::Call(Unit::TurnSum)),
            ("openclaw.model.call", false, vec![], request),
            ("chat m", false, vec![unit("request")], request),
            (
                "invoke_agent",
                false,
                vec![unit("turn"), operation("invoke_agent"), model.clone()],
                Class::Call(Unit::Turn),
            ),
            ("a", false, vec![operation("invoke_agent"), model.clone()], event("invoke_agent")),
            ("a", false, vec![operation("execute_tool"), model.clone()], event("execute_tool")),
            ("memory", false, vec![operation("search_memory"), model.clone()], event("search_memory")),
            ("plan", false, vec![operation("plan"), model.clone()], event("plan")),
            ("plan", false, vec![operation("agent.plan"), model.clone()], event("agent.plan")),
            ("floorplan", false, vec![operation("floorplan"), model.clone()], request),
            ("a", false, vec![model.clone()], request),
            ("a", false, vec![("gen_ai.response.model", text("m"))], request),
            ("a", false, vec![operation("text_to_speech"), model.clone()], request),
            ("a", false, vec![operation("embeddings")], request),
            ("openclaw.run", false, vec![("openclaw.model", text("m"))], event("invoke_agent")),
            ("openclaw.harness.run", false, vec![("openclaw.model", text("m"))], Class::Nothing),
            ("openclaw.tool.execution", false, vec![tool.clone()], event("execute_tool")),
            ("running exec", false, vec![tool], event("execute_tool")),
            ("openai.chat", false, vec![("llm.request.type", text("chat"))], request),
            ("ChatCompletion", false, vec![("openinference.span.kind", text("LLM"))], request),
            ("agent", false, vec![("openinference.span.kind", text("AGENT")), model], event("invoke_agent")),
            (
                "ai.embed",
                false,
                vec![("ai.operationId", text("ai.embed")), ("ai.model.id", text("m"))],
                event("invoke_agent"),
            ),
            ("ai.embed.doEmbed", false, vec![("ai.operationId", text("ai.embed.doEmbed"))], request),
            ("GET /", false, vec![("http.method", text("GET"))], Class::Nothing),
        ] {
            assert_eq!(class_of(name.as_bytes(), instant, &columns(&attributes)), expected, "{name} {attributes:?}");
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
