//! A store made by hand: rows in memory, and a writer that moves its cursors.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use openclaw_trace::event::{Table, Value};
use openclaw_trace::push::rows::{Ids, OpenRows, ReadFault, Rows};
use openclaw_trace::queue::{Inbox, Limits, Queue, Window, queue};
use openclaw_trace::stats::Stats;
use openclaw_trace::store::Command;
use openclaw_trace::store::EachRow;

#[derive(Default)]
struct State {
    /// Id and text of each row.
    tables: [Vec<(i64, String)>; 4],
    cursors: Ids,
    /// How many confirmations the writer will still fail to note.
    failing: usize,
}

impl State {
    fn all_confirmed(&self) -> bool {
        self.tables.iter().zip(self.cursors).all(|(rows, cursor)| rows.last().map_or(0, |row| row.0) == cursor)
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

pub struct Store {
    shared: Arc<Shared>,
    pub queue: Queue<Command>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    pub fn start(stats: &Arc<Stats>) -> Store {
        let (queue, inbox) = queue(Limits::default(), Window::AtOnce, Arc::clone(stats));
        let shared = Arc::new(Shared::default());
        let written = Arc::clone(&shared);
        let writer = thread::spawn(move || write(&inbox, &written));
        Store { shared, queue, writer: Some(writer) }
    }

    /// Stores `count` rows more in `table`, each with a text of `length` bytes.
    pub fn add(&self, table: Table, count: i64, length: usize) {
        let mut state = self.shared.state.lock().unwrap();
        let rows = &mut state.tables[table.index()];
        let last = rows.last().map_or(0, |row| row.0);
        rows.extend((last + 1..=last + count).map(|id| (id, "\u{e9}".repeat(length / 2))));
    }

    pub fn fail_to_confirm(&self, times: usize) {
        self.shared.state.lock().unwrap().failing = times;
    }

    /// Identities of all rows.
    pub fn ids(&self) -> BTreeSet<String> {
        let state = self.shared.state.lock().unwrap();
        let ids = |table: Table| state.tables[table.index()].iter().map(move |row| trace_id(table, row.0));
        Table::ALL.into_iter().flat_map(ids).collect()
    }

    /// Whether every row is confirmed.
    pub fn all_confirmed(&self) -> bool {
        self.shared.state.lock().unwrap().all_confirmed()
    }

    /// Waits until every row is confirmed. Whether that came within `patience`.
    pub fn wait_all_confirmed(&self, patience: Duration) -> bool {
        let state = self.shared.state.lock().unwrap();
        let waited = self.shared.moved.wait_timeout_while(state, patience, |state| !state.all_confirmed());
        !waited.unwrap().1.timed_out()
    }

    pub fn cursors(&self) -> Ids {
        self.shared.state.lock().unwrap().cursors
    }

    pub fn open(&self) -> Box<OpenRows> {
        let shared = Arc::clone(&self.shared);
        Box::new(move || Ok(Box::new(Reading(Arc::clone(&shared)))))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            writer.join().unwrap();
        }
    }
}

fn write(inbox: &Inbox<Command>, shared: &Shared) {
    loop {
        let next = inbox.next(None);
        for command in next.commands {
            if let Command::Confirm { cursors, reply, .. } = command {
                let mut state = shared.state.lock().unwrap();
                let durable = state.failing == 0;
                if durable {
                    for (table, id) in cursors {
                        assert!(id > state.cursors[table.index()], "a cursor only moves forward");
                        state.cursors[table.index()] = id;
                    }
                } else {
                    state.failing -= 1;
                }
                shared.moved.notify_all();
                reply.try_send(durable).unwrap();
            }
        }
        if next.drained {
            return;
        }
    }
}

fn trace_id(table: Table, id: i64) -> String {
    format!("{}/{id}", table.name())
}

struct Reading(Arc<Shared>);

impl Rows for Reading {
    fn instance_id(&self) -> Result<String, ReadFault> {
        Ok("instance-1".to_owned())
    }

    fn cursors(&self) -> Result<Ids, ReadFault> {
        Ok(self.0.state.lock().unwrap().cursors)
    }

    fn rows(&self, table: Table, after: i64, limit: usize, each: &mut EachRow<'_>) -> Result<usize, ReadFault> {
        let state = self.0.state.lock().unwrap();
        let rows = state.tables[table.index()].iter().filter(|row| row.0 > after).take(limit);
        let mut count = 0;
        for (id, text) in rows {
            let name = trace_id(table, *id);
            let columns = [
                ("trace_id", Value::Text(&name)),
                ("timestamp", Value::Integer(1_790_000_000_000 + id)),
                ("provider", Value::Null),
                ("body", Value::Text(text)),
                ("attributes", Value::Json("{\"a\":[1]}")),
                ("received_at", Value::Integer(1_790_000_000_000 + id)),
            ];
            each(*id, &columns);
            count += 1;
        }
        Ok(count)
    }
}
