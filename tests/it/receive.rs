//! `receive`, over real sockets and a real file: what a remote promises to those who push.

mod cuts;
mod doors;
mod faults;
mod rows;
mod said;
mod trouble;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use openclaw_trace::config::Secret;
use openclaw_trace::receive::{Faults, Options, Running};
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::dir::TempDir;
use crate::support::sidecar::{PROGRAM, Sidecar};
use crate::support::{PATIENCE, read_only};

/// The program on a free port of loopback.
fn start(db: &Path, env: &[(&str, &str)]) -> Sidecar {
    let receiver = launch(db, env);
    receiver.address();
    receiver
}

/// The same, but returns at once.
fn launch(db: &Path, env: &[(&str, &str)]) -> Sidecar {
    let mut command = Command::new(PROGRAM);
    command.arg("receive");
    Sidecar::launch(command, db, env)
}

/// A receiver inside of the test, with what goes wrong.
pub fn running(db: &Path, faults: &str, token: Option<&str>) -> Running {
    Running::start(options(0, db, faults, token)).unwrap()
}

fn options(port: u16, db: &Path, faults: &str, token: Option<&str>) -> Options {
    Options {
        bind: vec!["127.0.0.1".to_owned()],
        port,
        path: db.to_owned(),
        token: token.map(|token| Secret::new(token.to_owned())),
        allowed_hosts: Vec::new(),
        drain_timeout: PATIENCE,
        faults: if faults.is_empty() { Faults::default() } else { Faults::parse(faults).unwrap() },
    }
}

/// A body as the contract has it, of rows of `llm_traces` with these ids.
fn push_of(instance: &str, ids: &[&str]) -> Value {
    let rows = ids.iter().map(|id| json!({"trace_id": id, "timestamp": 1_795_458_732_000_i64, "cost_picousd": 3}));
    push(instance, json!({"llm_traces": rows.collect::<Vec<_>>()}))
}

/// A body with these tables.
fn push(instance: &str, tables: Value) -> Value {
    let batch_id = format!("batch-{:016x}", fastrand::u64(..));
    let mut body = json!({"schema_version": 1, "batch_id": batch_id,
                          "agent": {"instance_id": instance, "hostname": "h", "fly_app_name": null, "version": "0.1.0"}});
    body.as_object_mut().unwrap().extend(tables.as_object().unwrap().clone());
    body
}

fn request(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /v1/push HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// As the sidecar pushes.
fn send(client: &mut Client, body: &Value) -> io::Result<Answer> {
    let key = format!("Idempotency-Key: {}\r\n", body["batch_id"].as_str().unwrap());
    client.send(&request(&key, body.to_string().as_bytes()))?;
    client.answer()
}

/// Sends it on a connection of its own, and wants it taken.
fn taken(address: SocketAddr, body: &Value) -> Value {
    let answer = send(&mut Client::connect(address).unwrap(), body).unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let said = answer.json();
    let rejected = said["rejected"].as_array().unwrap().len() as u64;
    let sum = said["accepted"].as_u64().unwrap() + said["duplicates"].as_u64().unwrap() + rejected;
    assert_eq!(sum, rows_in(body), "{said}");
    assert_eq!(said["batch_id"], body["batch_id"]);
    said
}

fn rows_in(body: &Value) -> u64 {
    body.as_object().unwrap().values().filter_map(Value::as_array).map(|rows| rows.len() as u64).sum()
}

fn counts(said: &Value) -> (u64, u64, usize) {
    let count = |name: &str| said[name].as_u64().unwrap();
    (count("accepted"), count("duplicates"), said["rejected"].as_array().unwrap().len())
}

/// The ids of all rows in the file, in order.
fn ids(db: &Path) -> Vec<String> {
    let conn = read_only(db);
    let mut statement = conn.prepare("SELECT trace_id FROM received ORDER BY instance_id, trace_id").unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(statement);
    ids
}

fn new_dir() -> TempDir {
    TempDir::new("receive")
}
