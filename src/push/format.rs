//! What is different from one kind of remote to another: which rows go together, how they look in a body, where a body
//! goes, and what an answer of 200 means. All of it pure.

use crate::client::Answer;
use crate::config::{PushConfig, PushFormat, Sender};
use crate::event::{Table, Value};
use crate::wire::push as json;
use crate::wire::push::Receipt;

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
    }
}

/// Appends one row as it stands in a body, without what stands between two.
pub fn row(
    format: PushFormat,
    _sender: &Sender<'_>,
    _table: Table,
    columns: &[(&'static str, Value<'_>)],
    out: &mut Vec<u8>,
) {
    match format {
        PushFormat::Json => json::row(columns, out),
    }
}

/// What stands between two rows of a table.
pub fn separator(format: PushFormat) -> &'static [u8] {
    match format {
        PushFormat::Json => b",",
    }
}

/// What stands around the rows: one text before each table of the lane, and one after the last. `rows_bytes` is the
/// length of all rows together.
pub fn frame(format: PushFormat, lane: Lane, batch_id: &str, sender: &Sender<'_>, _rows_bytes: u64) -> Vec<Vec<u8>> {
    match format {
        PushFormat::Json => json_frame(lane, batch_id, sender),
    }
}

/// Where a batch goes, and with which headers.
pub fn request(config: &PushConfig, _lane: Lane, _batch_id: &str) -> Request {
    let bearer = config.token.as_ref().map(|token| ("Authorization".to_owned(), format!("Bearer {}", token.reveal())));
    match config.format {
        PushFormat::Json => Request {
            url: config.endpoint.clone(),
            content_type: "application/json",
            headers: bearer.into_iter().collect(),
        },
    }
}

/// Whether an answer with this status may confirm rows.
pub fn may_confirm(format: PushFormat, status: u16) -> bool {
    match format {
        PushFormat::Json => matches!(status, 200 | 207),
    }
}

/// What an answer that may confirm says of the rows. `None` when it is none that such a remote gives.
pub fn receipt(format: PushFormat, _lane: Lane, answer: &Answer) -> Option<Receipt> {
    match format {
        PushFormat::Json => json::receipt(&answer.body),
    }
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
