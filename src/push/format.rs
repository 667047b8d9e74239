//! What is different from one kind of remote to another: which rows go together, how they look in a body, where a body
//! goes, and what an answer of 200 means. All of it pure.

use crate::client::Answer;
use crate::config::{PushConfig, PushFormat, Sender};
use crate::event::{Table, Value};
use crate::otlp::Signal;
use crate::otlp::export::{self, Partial};
use crate::wire::clickhouse;
use crate::wire::push as json;
use crate::wire::push::{Receipt, Rejected};

/// Rows that are pushed together, apart from those of other lanes: a lane has an address of its own, and its trouble is
/// its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Its name, in the file and in the log.
    pub name: &'static str,
    /// Whose rows it sends, in this order.
    pub tables: &'static [Table],
}

/// A request but for its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where it goes. May hold what nobody should read.
    pub url: String,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further headers. Likewise.
    pub headers: Vec<(String, String)>,
}

/// The lanes of a format.
pub fn lanes(format: PushFormat) -> &'static [Lane] {
    match format {
        PushFormat::Json => &[Lane { name: "rows", tables: &Table::ALL }],
        PushFormat::Otlp => &[
            Lane { name: "traces", tables: &[Table::LlmTraces] },
            Lane { name: "logs", tables: &[Table::ErrorEvents, Table::CustomEvents] },
            Lane { name: "metrics", tables: &[Table::SystemMetrics] },
        ],
        PushFormat::ClickHouse => &[
            Lane { name: "llm_traces", tables: &[Table::LlmTraces] },
            Lane { name: "error_events", tables: &[Table::ErrorEvents] },
            Lane { name: "custom_events", tables: &[Table::CustomEvents] },
            Lane { name: "system_metrics", tables: &[Table::SystemMetrics] },
        ],
    }
}

/// Appends one row as it stands in a body, without what stands between two.
pub fn row(
    format: PushFormat,
    sender: &Sender<'_>,
    table: Table,
    columns: &[(&'static str, Value<'_>)],
    out: &mut Vec<u8>,
) {
    match format {
        PushFormat::Json => json::row(columns, out),
        PushFormat::Otlp => export::row(table, columns, out),
        PushFormat::ClickHouse => clickhouse::row(sender, columns, out),
    }
}

/// What stands between two rows of a table.
pub fn separator(format: PushFormat) -> &'static [u8] {
    match format {
        PushFormat::Json => b",",
        PushFormat::Otlp | PushFormat::ClickHouse => b"",
    }
}

/// What stands around the rows: one text before each table of the lane, and one after the last. `rows_bytes` is the
/// length of all rows together.
pub fn frame(format: PushFormat, lane: Lane, batch_id: &str, sender: &Sender<'_>, rows_bytes: u64) -> Vec<Vec<u8>> {
    match format {
        PushFormat::Json => json_frame(lane, batch_id, sender),
        PushFormat::Otlp => vec![export::head(signal(lane), sender, rows_bytes)],
        PushFormat::ClickHouse => Vec::new(),
    }
}

/// Where a batch goes, and with which headers.
pub fn request(config: &PushConfig, lane: Lane, batch_id: &str) -> Request {
    let token = config.token.as_ref();
    let bearer = || token.map(|token| ("Authorization".to_owned(), format!("Bearer {}", token.reveal())));
    match config.format {
        PushFormat::Json => Request {
            url: config.endpoint.clone(),
            content_type: "application/json",
            headers: bearer().into_iter().collect(),
        },
        PushFormat::Otlp => Request {
            url: below(&config.endpoint, signal(lane).path()),
            content_type: "application/x-protobuf",
            headers: bearer().into_iter().collect(),
        },
        PushFormat::ClickHouse => {
            let mut headers = Vec::new();
            if let Some((user, key)) = token.map(|token| clickhouse::credentials(token.reveal())) {
                headers.push((clickhouse::USER_HEADER.to_owned(), user.to_owned()));
                headers.push((clickhouse::KEY_HEADER.to_owned(), key.to_owned()));
            }
            let table = lane.tables.first().copied().unwrap_or(Table::LlmTraces);
            Request { url: clickhouse::url(&config.endpoint, table, batch_id), content_type: "text/plain", headers }
        }
    }
}

/// Whether an answer with this status may confirm rows.
pub fn may_confirm(format: PushFormat, status: u16) -> bool {
    match format {
        PushFormat::Json => matches!(status, 200 | 207),
        // Some backends answer 202: in OTLP neither says that anything is durable.
        PushFormat::Otlp => matches!(status, 200 | 202),
        PushFormat::ClickHouse => status == 200,
    }
}

/// What an answer that may confirm says of the rows. `None` when it is none that such a remote gives.
pub fn receipt(format: PushFormat, lane: Lane, answer: &Answer) -> Option<Receipt> {
    match format {
        PushFormat::Json => json::receipt(&answer.body),
        PushFormat::Otlp => {
            let Partial { rejected, .. } = export::partial_success(signal(lane), &answer.body)?;
            // Of metrics it counts points, of which a row is many.
            let unnamed = if signal(lane) == Signal::Metrics { rejected.min(1) } else { rejected };
            Some(Receipt { rejected: Rejected { rows: Vec::new(), unnamed }, ..Receipt::default() })
        }
        PushFormat::ClickHouse => clickhouse::confirms(&answer.body).then(Receipt::default),
    }
}

/// Whether the rows that a remote refused without naming them must be found, by sending a batch of so many rows again in
/// parts. Whoever does not know a row by its id must not be sent one twice because of another: then only where none of them
/// was taken. A receiver of metrics may refuse those of one kind in every row (deltas, most often) and have all others.
pub fn must_find(format: PushFormat, lane: Lane, unnamed: u64, rows: u64) -> bool {
    match format {
        PushFormat::Json => unnamed > 0,
        PushFormat::Otlp if signal(lane) == Signal::Metrics => false,
        PushFormat::Otlp | PushFormat::ClickHouse => unnamed >= rows,
    }
}

/// The remote's own word for what was wrong with a request, if it has one.
pub fn code(format: PushFormat, answer: &Answer) -> Option<String> {
    match format {
        PushFormat::Json | PushFormat::Otlp => None,
        PushFormat::ClickHouse => clickhouse::exception_code(&answer.body).map(|code| code.to_string()),
    }
}

/// What an answer says of a batch where its status says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// A row is wrong.
    Rows,
    /// The configuration of either side is.
    Configuration,
}

/// Whom an answer blames that by its status blames nobody.
pub fn blame(format: PushFormat, answer: &Answer) -> Option<Blame> {
    match (format, clickhouse::exception_code(&answer.body)) {
        (PushFormat::ClickHouse, Some(code)) if clickhouse::ROW_CODES.contains(&code) => Some(Blame::Rows),
        (PushFormat::ClickHouse, Some(code)) if clickhouse::SETUP_CODES.contains(&code) => Some(Blame::Configuration),
        _ => None,
    }
}

fn signal(lane: Lane) -> Signal {
    match lane.tables.first() {
        Some(Table::SystemMetrics) => Signal::Metrics,
        Some(Table::ErrorEvents | Table::CustomEvents) => Signal::Logs,
        Some(Table::LlmTraces) | None => Signal::Traces,
    }
}

/// A path below an endpoint, which may have a query.
fn below(endpoint: &str, path: &str) -> String {
    let (base, query) = match endpoint.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (endpoint, None),
    };
    let base = base.strip_suffix('/').unwrap_or(base);
    query.map_or_else(|| format!("{base}{path}"), |query| format!("{base}{path}?{query}"))
}

fn json_frame(lane: Lane, batch_id: &str, sender: &Sender<'_>) -> Vec<Vec<u8>> {
    let mut texts = Vec::with_capacity(lane.tables.len() + 1);
    let mut text = Vec::new();
    json::head(batch_id, sender, &mut text);
    for table in lane.tables {
        json::table_start(*table, &mut text);
        texts.push(std::mem::take(&mut text));
        text.extend_from_slice(json::TABLE_END);
    }
    text.extend_from_slice(json::TAIL);
    texts.push(text);
    texts
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Secret;

    fn config(format: PushFormat, endpoint: &str, token: &str) -> PushConfig {
        PushConfig {
            endpoint: endpoint.to_owned(),
            token: Some(Secret::new(token.to_owned())),
            interval: Duration::from_secs(1),
            ca_file: None,
            max_bytes: 1,
            format,
            gzip: false,
            tables: Table::ALL.to_vec(),
            headers: Vec::new(),
            insecure: false,
        }
    }

    #[test]
    fn every_table_goes_by_one_lane_of_each_format() {
        for format in PushFormat::ALL {
            for table in Table::ALL {
                let of_table = lanes(format).iter().filter(|lane| lane.tables.contains(&table));
                assert_eq!(of_table.count(), 1, "{format:?} {table:?}");
            }
        }
    }

    #[test]
    fn signals_of_otlp_go_below_the_endpoint_whatever_its_end() {
        let url = |endpoint, lane| request(&config(PushFormat::Otlp, endpoint, "t"), lane, "b").url;
        let [traces, logs, metrics] = lanes(PushFormat::Otlp) else { panic!("three signals") };
        assert_eq!(url("https://h", *traces), "https://h/v1/traces");
        assert_eq!(url("https://h/", *logs), "https://h/v1/logs");
        assert_eq!(url("https://h/api/otel/?k=v", *metrics), "https://h/api/otel/v1/metrics?k=v");
    }

    #[test]
    fn a_token_goes_where_the_remote_looks_for_it() {
        let headers = |format, token| request(&config(format, "https://h", token), lanes(format)[0], "b").headers;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for format in [PushFormat::Json, PushFormat::Otlp] {
            assert_eq!(headers(format, "t"), [pair("Authorization", "Bearer t")]);
        }
        let clickhouse = headers(PushFormat::ClickHouse, "me:secret");
        assert_eq!(clickhouse, [pair("X-ClickHouse-User", "me"), pair("X-ClickHouse-Key", "secret")]);
    }

    #[test]
    fn only_what_such_a_remote_answers_is_a_receipt() {
        let answer = |status, body: &[u8]| Answer { status, retry_after: None, body: body.to_vec(), cut: false };
        for format in PushFormat::ALL {
            for lane in lanes(format) {
                assert_eq!(receipt(format, *lane, &answer(200, b"")), Some(Receipt::default()));
                assert_eq!(receipt(format, *lane, &answer(200, b"<html>")), None, "{format:?}");
                assert!(may_confirm(format, 200) && !may_confirm(format, 204) && !may_confirm(format, 500));
            }
        }
        let exception = b"Code: 252. DB::Exception: Too many parts.";
        assert_eq!(receipt(PushFormat::ClickHouse, lanes(PushFormat::ClickHouse)[0], &answer(200, exception)), None);
        // partial_success { rejected: 3 }
        let partial = [0x0a, 0x02, 0x08, 0x03];
        let rejected = |lane| receipt(PushFormat::Otlp, lane, &answer(200, &partial)).unwrap().rejected.unnamed;
        let [traces, _, metrics] = lanes(PushFormat::Otlp) else { panic!("three signals") };
        assert_eq!((rejected(*traces), rejected(*metrics)), (3, 1));
    }
}
