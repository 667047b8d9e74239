//! Every capture becomes exactly the rows that its `rows.jsonl` says, in every column but the order and time of arrival; and
//! sent again, no further row.
//!
//! `UPDATE_EXPECTED=1 cargo test --test it captures` writes the files anew: read what changed before you keep it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};

use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::sidecar::{NO_SAMPLES, Sidecar, check_laws};
use crate::tidy::source::{files_below, root};

/// What is compared of each table: what a reader sees. `llm_calls` is `llm_traces` and what was learnt later.
const TABLES: [(&str, &str); 5] = [
    ("llm_calls", "ORDER BY trace_id"),
    ("custom_events", "ORDER BY trace_id"),
    ("error_events", "ORDER BY trace_id"),
    ("usage_hourly", "ORDER BY 1, 2, 3, 4, 5, 6"),
    ("coverage_hourly", "ORDER BY 1, 2"),
];
/// Columns that depend on when it was sent, or that no eye can read.
const LEFT_OUT: [&str; 4] = ["id", "received_at", "latency_buckets", "ttft_buckets"];

/// The folders that hold bodies, and the headers of their bodies, in order.
fn folders() -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut found = BTreeMap::<PathBuf, Vec<PathBuf>>::new();
    for path in files_below(&root().join("tests/data/captures"), "json") {
        if path.to_str().unwrap().ends_with(".headers.json") {
            found.entry(path.parent().unwrap().to_owned()).or_default().push(path);
        }
    }
    found
}

/// Sends one body with its own media type and encoding; it must be taken whole.
fn send(sidecar: &Sidecar, headers: &Path) {
    let capture: Value = serde_json::from_slice(&fs::read(headers).unwrap()).unwrap();
    let body = fs::read(headers.with_file_name(capture["body_file"].as_str().unwrap())).unwrap();
    let line = capture["request_line"].as_str().unwrap();
    let mut request = format!("{line}\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
    for pair in capture["headers"].as_array().unwrap() {
        let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        if ["content-type", "content-encoding"].contains(&name.to_ascii_lowercase().as_str()) {
            request += &format!("{name}: {value}\r\n");
        }
    }
    let mut client = sidecar.client();
    client.send(&[request.as_bytes(), b"\r\n", &body].concat()).unwrap();
    let answer = client.answer().unwrap();
    let whole = matches!(&answer.body[..], b"" | b"{}");
    assert!(answer.status == 200 && whole, "{}: {answer:?}", headers.display());
}

/// All rows, one a line.
fn rows(db: &Path) -> String {
    let conn = read_only(db);
    let mut lines = String::new();
    for (table, order) in TABLES {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table} {order}")).unwrap();
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let mut said = Map::new();
            for (place, name) in names.iter().enumerate().filter(|(_, name)| !LEFT_OUT.contains(&name.as_str())) {
                let value = match row.get_ref(place).unwrap() {
                    ValueRef::Null => continue,
                    ValueRef::Integer(number) => json!(number),
                    ValueRef::Real(number) => json!(number),
                    ValueRef::Text(text) => json!(std::str::from_utf8(text).unwrap()),
                    ValueRef::Blob(_) => panic!("{table}.{name} is not readable"),
                };
                let parsed =
                    value.as_str().filter(|_| name == "attributes").map(|text| serde_json::from_str(text).unwrap());
                said.insert(name.clone(), parsed.unwrap_or(value));
            }
            lines += &format!("{}\n", json!({ table: said }));
        }
    }
    lines
}

#[test]
fn every_capture_becomes_exactly_its_rows_and_again_no_row() {
    let folders = folders();
    assert!(folders.len() >= 11, "{folders:?}");
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for (folder, files) in &folders {
        let dir = TempDir::new("captures");
        let db = dir.join("trace.db");
        let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
        files.iter().for_each(|file| send(&sidecar, file));
        let found = rows(&db);
        files.iter().for_each(|file| send(&sidecar, file));
        assert_eq!(rows(&db), found, "{}: the same again changed something", folder.display());
        check_laws(&sidecar.health().1);
        let expected = folder.join("rows.jsonl");
        if update {
            fs::write(&expected, &found).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "these are not the expected rows:\n{}", wrong.join("\n"));
}
