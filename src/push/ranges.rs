//! Which rows a batch holds, as the file remembers it: `[["llm_traces",1,500],["error_events",3,9]]`.

use crate::event::Table;

/// Rows of one table whose ids follow each other without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The table.
    pub table: Table,
    /// Id of the first row.
    pub first: i64,
    /// Id of the last row.
    pub last: i64,
}

/// The ranges as JSON.
pub fn write(ranges: &[Range]) -> String {
    let list: Vec<(&str, i64, i64)> =
        ranges.iter().map(|range| (range.table.name(), range.first, range.last)).collect();
    serde_json::json!(list).to_string()
}

/// The ranges of a JSON text. `None` when it is not what [`write`] writes.
pub fn parse(text: &str) -> Option<Vec<Range>> {
    let list: Vec<(String, i64, i64)> = serde_json::from_str(text).ok()?;
    let range = |(name, first, last): (String, i64, i64)| {
        let table = Table::named(&name)?;
        (0 < first && first <= last).then_some(Range { table, first, last })
    };
    list.into_iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let ranges = [
            Range { table: Table::LlmTraces, first: 1, last: 500 },
            Range { table: Table::SystemMetrics, first: 7, last: 7 },
        ];
        assert_eq!(write(&ranges), r#"[["llm_traces",1,500],["system_metrics",7,7]]"#);
        assert_eq!(parse(&write(&ranges)), Some(ranges.to_vec()));
        for text in
            ["", "{}", r#"[["nothing",1,2]]"#, r#"[["llm_traces",2,1]]"#, r#"[["llm_traces",0,1]]"#, "[[1,2,3]]"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
