//! What becomes of rows.

use serde_json::{Value, json};

use super::{Client, counts, ids, new_dir, push, push_of, request, send, start, taken};
use crate::support::read_only;
use crate::support::sidecar::{NO_SAMPLES, Sidecar, until};

#[test]
fn a_row_is_stored_once_whoever_repeats_it_and_however_often() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    let first = push_of("a", &["1", "2", "2"]);
    assert_eq!(counts(&taken(receiver.address(), &first)), (2, 1, 0), "one body may repeat itself");
    assert_eq!(counts(&taken(receiver.address(), &first)), (0, 3, 0), "the same body");
    assert_eq!(
        counts(&taken(receiver.address(), &push_of("a", &["2", "3"]))),
        (1, 1, 0),
        "another with one of its rows"
    );
    receiver.stop();
    let receiver = start(&db, &[]);
    assert_eq!(counts(&taken(receiver.address(), &first)), (0, 3, 0), "after a restart");
    assert_eq!(
        counts(&taken(receiver.address(), &push_of("b", &["1"]))),
        (1, 0, 0),
        "another instance has rows of its own"
    );
    let other_table = push("a", json!({"error_events": [{"trace_id": "1", "timestamp": 1}]}));
    assert_eq!(counts(&taken(receiver.address(), &other_table)), (1, 0, 0), "and so has another table");
    let health = receiver.health().1;
    assert_eq!(health["rows"], json!({"llm_traces": 4, "error_events": 1}), "{health}");
    assert_eq!((&health["instances"], &health["duplicates"], &health["rejected"]), (&json!(2), &json!(8), &json!(0)));
    assert_eq!(health["requests"], 3, "since the start");
    receiver.stop();
    assert_eq!(ids(&db), ["1", "1", "2", "3", "1"]);
}

#[test]
fn the_first_of_an_id_stays_and_its_text_is_what_came() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    let row = r#"{"trace_id":"x","timestamp":5,"cost_picousd": 123456789012345678, "n":1.10e2,"later":[{"a":null}],"t":"\u00e9é"}"#;
    let head = r#"{"schema_version":1,"batch_id":"b","agent":{"instance_id":"i","later":1}"#;
    let mut client = receiver.client();
    for (body, accepted) in [
        (format!(r#"{head},"of_a_later_version":[{row}],"note":"no table"}}"#), 1),
        (format!(r#"{head},"of_a_later_version":[{{"trace_id":"x","timestamp":6}}]}}"#), 0),
    ] {
        client.send(&request("", body.as_bytes())).unwrap();
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, &answer.json()["accepted"]), (200, &json!(accepted)));
    }
    receiver.stop();
    let stored: (String, String, i64, String) = read_only(&db)
        .query_row("SELECT instance_id, table_name, timestamp, body FROM received", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    assert_eq!(stored, ("i".to_owned(), "of_a_later_version".to_owned(), 5, row.to_owned()));
}

#[test]
fn a_row_that_is_none_is_named_and_the_others_are_stored() {
    let dir = new_dir();
    let db = dir.join("r.db");
    let receiver = start(&db, &[]);
    let body = push(
        "i",
        json!({"llm_traces": [{"trace_id": "1", "timestamp": 1}, {"timestamp": 1}, 7],
               "custom_events": [{"trace_id": "2", "timestamp": "now"}, {"trace_id": "3", "timestamp": -1}]}),
    );
    let said = taken(receiver.address(), &body);
    assert_eq!(counts(&said), (2, 0, 3));
    let mut named: Vec<_> = said["rejected"].as_array().unwrap().iter().map(short).collect();
    named.sort();
    assert_eq!(
        named,
        ["custom_events 2 0 invalid_field", "llm_traces - 1 invalid_field", "llm_traces - 2 not_an_object"]
    );
    let health = receiver.health().1;
    assert_eq!(health["rejected"], 3, "{health}");
    receiver.stop();
    assert_eq!(ids(&db), ["1", "3"]);
}

fn short(row: &Value) -> String {
    assert_eq!(row["retryable"], false, "{row}");
    assert!(!row["message"].as_str().unwrap().is_empty());
    let id = row["trace_id"].as_str().unwrap_or("-");
    format!("{} {id} {} {}", row["table"].as_str().unwrap(), row["index"], row["code"].as_str().unwrap())
}

#[test]
fn strangers_cannot_invent_tables_for_ever() {
    let dir = new_dir();
    let receiver = start(&dir.join("r.db"), &[]);
    let name = |n: usize| format!("t_{}{}", char::from(b'a' + (n / 26) as u8), char::from(b'a' + (n % 26) as u8));
    let mut client = receiver.client();
    let mut said = Vec::new();
    for n in 0..66 {
        let answer = send(&mut client, &push("i", json!({name(n): [{"trace_id": "1", "timestamp": 1}]}))).unwrap();
        said.push(answer.json());
    }
    assert_eq!(said.iter().filter(|said| said["accepted"] == 1).count(), 64);
    assert_eq!(said[65]["rejected"][0]["code"], "too_many_tables", "{}", said[65]);
    assert_eq!(said[65]["rejected"][0]["retryable"], true, "it is not the row's fault");
    for table in [name(0), "llm_traces".to_owned(), "system_metrics".to_owned()] {
        let known = send(&mut client, &push("i", json!({table: [{"trace_id": "2", "timestamp": 1}]}))).unwrap();
        assert_eq!(known.json()["accepted"], 1);
    }
    let health = receiver.health().1;
    assert_eq!((health["rows"].as_object().unwrap().len(), &health["rejected"]), (66, &json!(2)), "{health}");
}

#[test]
fn a_table_of_which_no_row_is_stored_takes_no_place() {
    let dir = new_dir();
    let receiver = start(&dir.join("r.db"), &[]);
    let mut client = receiver.client();
    for n in 0..70 {
        let table = format!("t_{}{}", char::from(b'a' + n / 26), char::from(b'a' + n % 26));
        let answer = send(&mut client, &push("i", json!({table: [5]}))).unwrap();
        assert_eq!(answer.json()["rejected"][0]["code"], "not_an_object");
    }
    let answer = send(&mut client, &push("i", json!({"more": [{"trace_id": "1", "timestamp": 1}]}))).unwrap();
    assert_eq!(answer.json()["accepted"], 1);
}

#[test]
fn a_sidecar_pushes_and_money_and_rows_are_the_same_on_both_sides() {
    let dir = new_dir();
    let (db, far) = (dir.join("trace.db"), dir.join("r.db"));
    let receiver = start(&far, &[("TRACE_TOKEN", "s3cret")]);
    let endpoint = format!("http://{}/v1/push", receiver.address());
    let env = [("TRACE_PUSH_ENDPOINT", &*endpoint), ("TRACE_PUSH_TOKEN", "s3cret"), ("TRACE_PUSH_INTERVAL", "1s")];
    let sidecar = Sidecar::start(&db, &[&env[..], &[NO_SAMPLES]].concat());
    let mut client: Client = sidecar.client();
    let calls: Vec<Value> = (0..40)
        .map(|n| json!({"model": "m", "provider": "p", "input_tokens": n, "cost_usd": 0.000_001 * f64::from(n) + 9999.25}))
        .collect();
    client.post("/v1/traces", "application/json", json!(calls).to_string().as_bytes()).unwrap();
    client.post("/v1/errors", "application/json", br#"{"message":"boom","severity":"error"}"#).unwrap();
    client.post("/v1/events", "application/json", br#"{"name":"n","attributes":{"k":[1]}}"#).unwrap();
    until("all rows", || {
        receiver.health().1["rows"] == json!({"llm_traces": 40, "error_events": 1, "custom_events": 1})
    });
    sidecar.stop();
    receiver.stop();
    let all = "SELECT trace_id, timestamp, cost_picousd, cost_usd, provider, request_model, input_tokens, status, unit \
               FROM llm_traces ORDER BY trace_id";
    let rows = |db| {
        let conn = read_only(db);
        let mut statement = conn.prepare(all).unwrap();
        let row = |row: &rusqlite::Row<'_>| (0..9).map(|n| row.get::<_, rusqlite::types::Value>(n)).collect();
        let rows: Vec<Vec<_>> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
        rows
    };
    assert_eq!(rows(&db), rows(&far));
    let exact = "SELECT sum(cost_picousd), max(typeof(cost_picousd)) FROM llm_traces";
    let sum = |db| read_only(db).query_row(exact, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let (here, there): ((i64, String), (i64, String)) = (sum(&db), sum(&far));
    assert!(here.0 > 1 << 53, "no sum in floating point would show a difference");
    assert_eq!((here, "integer"), (there.clone(), &*there.1));
    let text = "SELECT (SELECT message FROM error_events), (SELECT attributes FROM custom_events), \
                (SELECT json_extract(agent, '$.version') FROM instances)";
    let text = read_only(&far).query_row(text, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    assert_eq!(text.unwrap(), ("boom".to_owned(), r#"{"k":[1]}"#.to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
}
