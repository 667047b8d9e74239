//! A real store with rows to push, whose writer can be made to fail at noting what a push tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use openclaw_trace::clock::Clock;
use openclaw_trace::config::{RetentionConfig, Sync};
use openclaw_trace::event::{CustomEvent, ErrorEvent, Event, EventId, Kind, LlmTrace, PicoUsd, SystemMetric, Table};
use openclaw_trace::push::rows::{Ids, Ledger, OpenRows, Stored};
use openclaw_trace::queue::{Inbox, Limits, Offer, Outcome, Queue, Window, queue};
use openclaw_trace::stats::{Stats, TableRows};
use openclaw_trace::store::{Command, Options, Reader, Remote, Writer};
use rusqlite::Connection;

use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::sidecar::is_so_within;

/// The name that the destination has in the file.
pub const DESTINATION: &str = "https://remote.example/in";

pub struct Store {
    dir: TempDir,
    /// To the writer.
    writer: Queue<Command>,
    /// To whoever stands before it, which is what a push talks to.
    pub queue: Queue<Command>,
    stats: Arc<Stats>,
    failing: Arc<AtomicUsize>,
    tables: Vec<Table>,
    threads: Vec<JoinHandle<()>>,
    /// Identity and cost of each row.
    stored: Mutex<BTreeMap<String, i64>>,
}

impl Store {
    pub fn start(stats: &Arc<Stats>) -> Store {
        Store::of_tables(stats, &Table::ALL)
    }

    /// A store of which only these tables are pushed.
    pub fn of_tables(stats: &Arc<Stats>, tables: &[Table]) -> Store {
        let dir = TempDir::new("push");
        let day = Duration::from_secs(86_400);
        let retention = RetentionConfig {
            events: 7 * day,
            metrics: 7 * day,
            db_max_bytes: 200 << 20,
            disk_max_percent: 100,
            drop_oldest: false,
        };
        let options = Options {
            path: dir.path().join("push.db"),
            sync: Sync::Normal,
            retention,
            remote: Some(Remote { destination: DESTINATION.to_owned(), tables: tables.to_vec() }),
            acknowledged_early: false,
        };
        let writer = Writer::open(options, Arc::clone(stats), Clock::real()).unwrap();
        let (to_writer, inbox) = queue(Limits::default(), Window::AtOnce, Arc::clone(stats));
        let writing = thread::spawn(move || {
            writer.run(inbox);
        });
        let (before, standing) = queue(Limits::default(), Window::AtOnce, Arc::new(Stats::default()));
        let failing = Arc::new(AtomicUsize::new(0));
        let (fails, forwards_to) = (Arc::clone(&failing), to_writer.clone());
        let forwarding = thread::spawn(move || forward(&standing, &forwards_to, &fails));
        Store {
            dir,
            writer: to_writer,
            queue: before,
            stats: Arc::clone(stats),
            failing,
            tables: tables.to_vec(),
            threads: vec![forwarding, writing],
            stored: Mutex::default(),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("push.db")
    }

    /// Stores `count` rows more in `table`, each with a text of `length` bytes.
    pub fn add(&self, table: Table, count: i64, length: usize) {
        for _ in 0..count.div_euclid(500) {
            self.add_few(table, 500, length);
        }
        self.add_few(table, count.rem_euclid(500), length);
    }

    fn add_few(&self, table: Table, count: i64, length: usize) {
        if count == 0 {
            return;
        }
        let mut batch = self.writer.batch();
        for _ in 0..count {
            let event = event(table, length);
            let cost = match &event.kind {
                Kind::LlmTrace(trace) => trace.cost.map_or(0, |cost| cost.0),
                _ => 0,
            };
            self.stored.lock().unwrap().insert(event.id.to_string(), cost);
            batch.push(event);
        }
        let Offer::Queued(ticket) = self.writer.offer(batch) else { panic!("the queue is full") };
        assert!(matches!(smol::block_on(ticket.settled()), Outcome::Stored { duplicates: 0, .. }));
    }

    /// So many of the next deliveries are not noted, whatever they are.
    pub fn fail_to_note(&self, times: usize) {
        self.failing.store(times, Ordering::SeqCst);
    }

    /// Identities of all rows.
    pub fn ids(&self) -> BTreeSet<String> {
        self.stored.lock().unwrap().keys().cloned().collect()
    }

    /// What the calls of these rows came to, in pico-dollars.
    pub fn spent(&self, ids: &[String]) -> i64 {
        let stored = self.stored.lock().unwrap();
        ids.iter().map(|id| stored[id]).sum()
    }

    /// Rows of a table that the file says are confirmed.
    pub fn confirmed(&self, table: Table) -> i64 {
        let sql = "SELECT coalesce(sum(confirmed), 0) FROM push_cursor WHERE table_name = ?1";
        self.conn().query_row(sql, [table.name()], |row| row.get(0)).unwrap()
    }

    /// Identities of the rows of a table in the order of storing.
    pub fn ids_of(&self, table: Table) -> Vec<String> {
        let sql = format!("SELECT trace_id FROM {} ORDER BY id", table.name());
        self.texts(&sql)
    }

    /// Identities of the dead letters.
    pub fn dead(&self) -> BTreeSet<String> {
        self.texts("SELECT trace_id FROM dead_letters").into_iter().collect()
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        let conn = self.conn();
        let mut statement = conn.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    pub fn instance_id(&self) -> String {
        Reader::open(&self.path()).unwrap().instance_id().unwrap()
    }

    pub fn conn(&self) -> Connection {
        read_only(&self.path())
    }

    fn accounts(&self) -> [TableRows; 4] {
        self.stats.store().rows
    }

    /// Whether the remote has every row that it will ever take.
    pub fn all_settled(&self) -> bool {
        self.accounts().iter().all(|account| account.unsynced == 0)
    }

    /// Waits until that is so. Whether that came within `patience`.
    pub fn wait_all_settled(&self, patience: Duration) -> bool {
        is_so_within(patience, || self.all_settled())
    }

    pub fn cursors(&self) -> Ids {
        Reader::open(&self.path()).unwrap().cursors(DESTINATION).unwrap()
    }

    pub fn open(&self) -> Box<OpenRows> {
        let (path, queue, tables) = (self.path(), self.queue.clone(), self.tables.clone());
        Box::new(move || Ok(Box::new(Stored::open(&path, DESTINATION, &tables, &queue)?) as Box<dyn Ledger>))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue.close();
        self.queue.command(Command::Close);
        self.writer.close();
        self.writer.command(Command::Close);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() && !thread::panicking() {
                panic!("a thread of the store has panicked");
            }
        }
    }
}

fn forward(inbox: &Inbox<Command>, writer: &Queue<Command>, failing: &AtomicUsize) {
    loop {
        let next = inbox.next(None);
        for command in next.commands {
            match command {
                Command::Close => return,
                Command::Deliver { reply, .. }
                    if failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() =>
                {
                    reply.try_send(false).unwrap();
                }
                other => assert!(writer.command(other)),
            }
        }
    }
}

fn event(table: Table, length: usize) -> Event {
    let at_ms = Clock::real().now_ms();
    let text = "\u{e9}".repeat(length / 2);
    let boxed = || Some(text.clone().into_boxed_str());
    let kind = match table {
        Table::LlmTraces => Kind::LlmTrace(Box::new(LlmTrace {
            timestamp_ms: at_ms,
            request_model: "m".into(),
            operation: "chat".into(),
            cost: Some(PicoUsd(fastrand::i64(0..1_000_000_000_000))),
            input_text: boxed(),
            attributes: Some("{\"a\":[1]}".into()),
            ..LlmTrace::default()
        })),
        Table::ErrorEvents => Kind::ErrorEvent(Box::new(ErrorEvent {
            timestamp_ms: at_ms,
            message: text.clone().into_boxed_str(),
            ..ErrorEvent::default()
        })),
        Table::CustomEvents => Kind::CustomEvent(Box::new(CustomEvent {
            timestamp_ms: at_ms,
            name: "n".into(),
            body: boxed(),
            ..CustomEvent::default()
        })),
        Table::SystemMetrics => Kind::SystemMetric(Box::new(SystemMetric {
            timestamp_ms: at_ms,
            processes_top: Some(format!("\"{text}\"").into_boxed_str()),
            ..SystemMetric::default()
        })),
    };
    Event { id: EventId::new(at_ms), received_at_ms: at_ms, kind }
}
