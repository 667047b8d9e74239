//! Clients that never pause, and remember what they were told about every request.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use fastrand::Rng;
use openclaw_trace::event::Table;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::otlp::spans_with_ids;

/// So many post at the same time: a commit has more than one request in it.
const CLIENTS: usize = 4;

/// A row by what its producer knows of it: the `trace_id`, or the span that it was made of.
pub type RowId = (Table, String);

/// A request that was sent, and the status of its answer; `None` when the connection ended first.
#[derive(Debug)]
pub struct Sent {
    pub rows: Vec<RowId>,
    pub status: Option<u16>,
}

impl Sent {
    pub fn acknowledged(&self) -> bool {
        matches!(self.status, Some(200 | 202))
    }
}

/// The clients at work.
pub struct Load {
    acknowledged: Arc<(Mutex<usize>, Condvar)>,
    clients: Vec<JoinHandle<Vec<Sent>>>,
}

impl Load {
    /// Posts until the connections are cut.
    pub fn start(address: SocketAddr, random: &mut Rng) -> Load {
        let acknowledged = Arc::<(Mutex<usize>, Condvar)>::default();
        let clients = (0..CLIENTS).map(|_| {
            let (random, acknowledged) = (random.fork(), Arc::clone(&acknowledged));
            thread::spawn(move || post_until_cut(address, random, &acknowledged))
        });
        Load { clients: clients.collect(), acknowledged }
    }

    /// Waits until so many requests were acknowledged.
    pub fn wait_acknowledged(&self, wanted: usize) {
        let count = self.acknowledged.0.lock().unwrap();
        let count = self.acknowledged.1.wait_timeout_while(count, PATIENCE, |count| *count < wanted).unwrap().0;
        assert!(*count >= wanted, "only {count} requests were acknowledged");
    }

    /// Everything that was sent, once all connections are cut.
    pub fn end(self) -> Vec<Sent> {
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

fn post_until_cut(address: SocketAddr, mut random: Rng, acknowledged: &(Mutex<usize>, Condvar)) -> Vec<Sent> {
    let mut sent = Vec::new();
    let Ok(mut client) = Client::connect(address) else { return sent };
    loop {
        let request = Request::any(&mut random);
        let status = client.post(request.path, request.media, &request.body).map(|answer| answer.status).ok();
        sent.push(Sent { rows: request.rows, status });
        if status.is_none() {
            return sent;
        }
        if sent.last().is_some_and(Sent::acknowledged) {
            *acknowledged.0.lock().unwrap() += 1;
            acknowledged.1.notify_all();
        }
    }
}

struct Request {
    path: &'static str,
    media: &'static str,
    body: Vec<u8>,
    rows: Vec<RowId>,
}

impl Request {
    /// One of each door, with a body that no other request has.
    fn any(random: &mut Rng) -> Request {
        let ids = |random: &mut Rng, count: usize| (0..count).map(|_| uuid(random)).collect::<Vec<_>>();
        match random.u8(0..6) {
            0 => Request::json("/v1/traces", Table::LlmTraces, ids(random, 1)),
            1 => Request::json("/v1/traces", Table::LlmTraces, ids(random, 10)),
            2 => Request::lines("/v1/events", Table::CustomEvents, ids(random, 3)),
            3 => Request::json("/v1/events", Table::CustomEvents, ids(random, 1)),
            4 => Request::json("/v1/errors", Table::ErrorEvents, ids(random, 1)),
            _ => Request::spans((0..random.usize(1..4)).map(|_| random.u64(1..)).collect()),
        }
    }

    fn json(path: &'static str, table: Table, ids: Vec<String>) -> Request {
        let items: Vec<Value> = ids.iter().map(|id| item(table, id)).collect();
        let body = if let [one] = &items[..] { one.to_string() } else { Value::from(items).to_string() };
        Request { path, media: "application/json", body: body.into(), rows: in_table(table, ids) }
    }

    fn lines(path: &'static str, table: Table, ids: Vec<String>) -> Request {
        let body: String = ids.iter().map(|id| format!("{}\n", item(table, id))).collect();
        Request { path, media: "application/x-ndjson", body: body.into(), rows: in_table(table, ids) }
    }

    fn spans(ids: Vec<u64>) -> Request {
        let body = spans_with_ids(&ids);
        let rows = ids.iter().map(|id| (Table::LlmTraces, format!("{id:016x}"))).collect();
        Request { path: "/v1/traces", media: "application/x-protobuf", body, rows }
    }
}

fn uuid(random: &mut Rng) -> String {
    uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid().to_string()
}

fn in_table(table: Table, ids: Vec<String>) -> Vec<RowId> {
    ids.into_iter().map(|id| (table, id)).collect()
}

fn item(table: Table, id: &str) -> Value {
    match table {
        Table::LlmTraces => json!({"trace_id": id, "model": "m", "input_tokens": 7, "prompt": "x".repeat(400)}),
        Table::CustomEvents => json!({"trace_id": id, "name": "n", "body": {"k": "v"}}),
        Table::ErrorEvents => json!({"trace_id": id, "message": "m"}),
        Table::SystemMetrics => unreachable!("nobody posts samples"),
    }
}
