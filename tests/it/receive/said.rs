//! What the docs say of the contract is what both sides do: docs/push.schema.json and the SQL of docs/wire.md.

use std::fs;

use openclaw_trace::event::Table;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Client, new_dir, push, push_of, request, running, send, start};
use crate::support::schema::Schemas;
use crate::support::sidecar::Sidecar;
use crate::support::sink::Sink;
use crate::tidy::docs::{page, section};

fn contract() -> Value {
    serde_json::from_str(&page("docs/push.schema.json")).unwrap()
}

fn faults(file: &Value, name: &str, value: &Value) -> Vec<String> {
    Schemas { file }.faults(&file["$defs"][name], value)
}

/// What a real sidecar sends of every table.
fn pushed() -> Value {
    let dir = new_dir();
    let sink = Sink::start(Vec::new());
    let env = [("TRACE_PUSH_ENDPOINT", &*sink.url()), ("TRACE_METRICS_INTERVAL", "1s")];
    let sidecar = Sidecar::start(&dir.join("trace.db"), &env);
    let mut client = sidecar.client();
    let call = json!({"model": "m", "provider": "p", "input_tokens": 5, "output_tokens": 7, "cost_usd": 9999.25,
                      "latency_ms": 4, "input": "a", "output": "b", "error_type": "e", "attributes": {"k": [1]}});
    for (path, body) in [
        ("/v1/traces", call),
        ("/v1/errors", json!({"message": "boom", "stacktrace": "at", "attributes": {"k": 1}})),
        ("/v1/events", json!({"name": "n", "body": {"x": 1}, "attributes": {"k": null}})),
    ] {
        let answer = client.post(path, "application/json", body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.json());
    }
    sidecar
        .wait_health("samples", |_, health| health["database"]["rows"]["system_metrics"]["stored"].as_i64() > Some(1));
    sidecar.stop();
    let seen = sink.wait(|seen| !seen.is_empty());
    let mut all = seen[0].json();
    for table in Table::ALL {
        let rows = seen.iter().flat_map(|seen| seen.json()[table.name()].as_array().unwrap().clone()).collect();
        all[table.name()] = Value::Array(rows);
    }
    all
}

#[test]
fn what_a_sidecar_pushes_and_what_the_receiver_answers_is_what_the_schema_says() {
    let file = contract();
    assert_eq!(file["$ref"], "#/$defs/push");
    let body = pushed();
    assert_eq!(faults(&file, "push", &body), [""; 0]);
    for table in Table::ALL {
        let columns = file["$defs"][table.name()]["properties"].as_object().unwrap();
        let rows = body[table.name()].as_array().unwrap();
        assert!(!rows.is_empty(), "no row of {}", table.name());
        let names = rows.iter().flat_map(|row| row.as_object().unwrap().keys());
        for name in names {
            assert!(columns.contains_key(name), "{}: {name} is not in the schema", table.name());
        }
    }
    let dir = new_dir();
    let receiver = start(&dir.join("r.db"), &[("TRACE_TOKEN", "t")]);
    let mut client = receiver.client();
    let mut ask = |headers: &str, body: &Value| {
        client.send(&request(headers, body.to_string().as_bytes())).unwrap();
        let answer = client.answer().unwrap();
        (answer.status, answer.json())
    };
    let token = "Authorization: Bearer t\r\n";
    let strange = push("i", json!({"llm_traces": [{"trace_id": "1"}, 5]}));
    for body in [&body, &body, &strange] {
        let (status, said) = ask(token, body);
        assert_eq!((status, faults(&file, "answer", &said)), (200, Vec::new()), "{said}");
    }
    for (headers, body, status) in [(token, &json!({}), 400), ("", &body, 401)] {
        let (answered, said) = ask(headers, body);
        assert_eq!((answered, faults(&file, "error", &said)), (status, Vec::new()), "{said}");
    }
    assert_eq!(faults(&file, "health", &receiver.health().1), [""; 0]);
    let later = running(&dir.join("later.db"), "later", None);
    let answer = send(&mut Client::connect(later.addresses()[0]).unwrap(), &push_of("i", &["1"])).unwrap();
    assert_eq!((answer.status, faults(&file, "answer", &answer.json())), (207, Vec::new()));
    assert_eq!(later.stop(), 0);
}

#[test]
fn the_schema_refuses_what_the_receiver_refuses() {
    let file = contract();
    let good = push_of("i", &["1"]);
    for (name, value) in [
        ("schema_version", json!(2)),
        ("batch_id", json!("")),
        ("batch_id", json!(5)),
        ("agent", json!({})),
        ("agent", json!({"instance_id": "x".repeat(201)})),
        ("llm_traces", json!([5])),
        ("llm_traces", json!([{"trace_id": "1", "timestamp": "now"}])),
    ] {
        let mut body = good.clone();
        body[name] = value.clone();
        assert!(!faults(&file, "push", &body).is_empty(), "{name}: {value}");
    }
}

#[test]
fn every_column_of_the_tables_is_in_the_schema() {
    let file = contract();
    let conn = Connection::open_in_memory().unwrap();
    for schema in ["schema.sql", "schema2.sql", "schema3.sql"] {
        conn.execute_batch(&page(&format!("src/store/{schema}"))).unwrap();
    }
    for table in Table::ALL {
        let found = &file["$defs"][table.name()];
        let sql = "SELECT name, \"notnull\" FROM pragma_table_xinfo(?1) WHERE name <> 'id'";
        let mut statement = conn.prepare(sql).unwrap();
        let columns = statement.query_map([table.name()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let columns: Vec<(String, bool)> = columns.map(Result::unwrap).collect();
        let listed: Vec<&String> = found["properties"].as_object().unwrap().keys().collect();
        let mut names: Vec<&String> = columns.iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(listed, names, "{}", table.name());
        let always: Vec<&str> =
            found["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let never_null: Vec<&str> = columns.iter().filter(|(_, never)| *never).map(|(name, _)| name.as_str()).collect();
        assert_eq!(always, never_null, "{}", table.name());
    }
}

/// The statements of the block that is labelled so.
fn block(label: &str) -> String {
    let wire = page("docs/wire.md");
    let after =
        wire.split_once(&format!("<!-- {label} -->\n```sql\n")).unwrap_or_else(|| panic!("there is no {label}")).1;
    after.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_sql_for_sqlite_tells_new_rows_from_known_ones() {
    let sql = block("receiver on SQLite");
    let (table, insert) = sql.split_once("\n\n").unwrap();
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(table).unwrap();
    let mut statement = conn.prepare(insert).unwrap();
    let mut take = |instance: &str, rows: Value| {
        let rows = statement.query_map((instance, "llm_traces", rows.to_string()), |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect::<Vec<String>>()
    };
    let row = |id: &str| json!({"trace_id": id, "timestamp": 5, "cost_picousd": 9_007_199_254_740_993_i64});
    assert_eq!(take("i", json!([row("1"), row("2"), row("3"), row("3")])), ["1", "2", "3"]);
    assert_eq!(take("i", json!([row("1"), row("2"), row("3"), row("4")])), ["4"], "three of them are known");
    assert_eq!(take("other", json!([row("1")])), ["1"]);
    drop(statement);
    let sum: i64 = conn.query_row("SELECT sum(body ->> 'cost_picousd') FROM rows", [], |row| row.get(0)).unwrap();
    assert_eq!(sum, 5 * 9_007_199_254_740_993);
}

#[test]
fn the_file_and_its_questions_are_as_the_docs_say() {
    let wire = page("docs/wire.md");
    let part = section(&wire, "### The file");
    let schema = page("src/store/received.sql");
    for (kind, column) in schema.lines().scan("", |kind, line| {
        if let Some(rest) = line.strip_prefix("CREATE TABLE ").or_else(|| line.strip_prefix("CREATE VIEW ")) {
            *kind = rest.split(' ').next().unwrap();
        }
        Some((*kind, line.strip_prefix("    ").filter(|_| line.contains(" NOT NULL"))))
    }) {
        assert!(kind.is_empty() || part.contains(&format!("`{kind}`")), "docs/wire.md does not say what {kind} is");
        let name = column.and_then(|column| column.split(' ').next());
        assert!(
            name.is_none_or(|name| part.contains(&format!("`{name}`"))),
            "docs/wire.md does not say what {name:?} is"
        );
    }
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    let body = pushed();
    super::taken(receiver.address(), &body);
    receiver.stop();
    let conn = Connection::open(&db).unwrap();
    let mut asked = 0;
    for question in block("questions to a receiver").split_terminator(';').filter(|sql| !sql.trim().is_empty()) {
        let rows = conn.prepare(question).unwrap().query_map([], |_| Ok(())).unwrap().count();
        assert!(rows > 0, "{question}");
        asked += 1;
    }
    assert!(asked > 1);
    for table in Table::ALL {
        let all = format!("SELECT * FROM {}", table.name());
        let rows = conn.prepare(&all).unwrap().query_map([], |_| Ok(())).unwrap().count();
        assert_eq!(rows, body[table.name()].as_array().unwrap().len(), "{}", table.name());
    }
}

#[test]
fn every_field_of_the_receivers_health_is_documented() {
    let wire = page("docs/wire.md");
    let part = section(&wire, "## Receiving");
    let source = fs::read_to_string(crate::tidy::source::root().join("src/receive/taker.rs")).unwrap();
    let report = source.split_once("struct Report<'a> {\n").unwrap().1.split_once("\n}").unwrap().0;
    let fields: Vec<&str> =
        report.lines().filter_map(|line| line.trim().split_once(": ")).map(|field| field.0).collect();
    assert!(fields.len() > 12, "these are not the fields: {fields:?}");
    for field in fields {
        assert!(part.contains(&format!("| `{field}` |")), "docs/wire.md does not say what {field} is");
    }
}
