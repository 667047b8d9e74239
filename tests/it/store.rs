//! The writer through its public doors: a real queue, a real file, a real thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use openclaw_trace::clock::Clock;
use openclaw_trace::config::{RetentionConfig, Sync};
use openclaw_trace::event::{CustomEvent, Event, EventId, Kind, Note, Severity, Table};
use openclaw_trace::queue::{Inbox, Limits, Offer, Outcome, Queue, Ticket, Window, queue};
use openclaw_trace::stats::{Pruned, Refusal, Stats, StoreState};
use openclaw_trace::store::{Command, Delivery, Ended, OpenError, Options, Reader, Remote, Writer};
use rusqlite::Connection;

use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::sidecar::until;

pub const DAY: Duration = Duration::from_secs(86_400);
pub const NOW: i64 = 1_795_000_000_000;

pub struct Store {
    pub queue: Queue<Command>,
    pub stats: Arc<Stats>,
    pub clock: Clock,
    path: PathBuf,
    idle: Option<(Writer, Inbox<Command>)>,
    thread: Option<JoinHandle<Ended>>,
}

pub fn options(path: &Path) -> Options {
    let retention = RetentionConfig {
        events: 7 * DAY,
        metrics: 2 * DAY,
        db_max_bytes: 50 << 20,
        disk_max_percent: 100,
        drop_oldest: false,
    };
    Options { path: path.to_owned(), sync: Sync::Normal, retention, remote: None, acknowledged_early: false }
}

/// Whom the rows of a test go to.
pub fn remote() -> Remote {
    Remote { destination: "d".to_owned(), tables: Table::ALL.to_vec() }
}

impl Store {
    pub fn open(options: Options) -> Store {
        Store::try_open(options).unwrap()
    }

    fn try_open(options: Options) -> Result<Store, OpenError> {
        let mut store = Store::idle(options)?;
        store.start();
        Ok(store)
    }

    /// A store whose writer has not begun to work.
    fn idle(options: Options) -> Result<Store, OpenError> {
        let stats = Arc::new(Stats::default());
        let clock = Clock::by_hand(NOW);
        let path = options.path.clone();
        let writer = Writer::open(options, Arc::clone(&stats), clock.clone())?;
        let (queue, inbox) = queue(Limits::default(), Window::AtOnce, Arc::clone(&stats));
        Ok(Store { queue, stats, clock, path, idle: Some((writer, inbox)), thread: None })
    }

    fn start(&mut self) {
        let (writer, inbox) = self.idle.take().unwrap();
        self.thread = Some(std::thread::spawn(move || writer.run(inbox)));
    }

    fn offer(&self, events: Vec<Event>) -> Result<Ticket, Refusal> {
        self.offer_with(events, Vec::new())
    }

    fn offer_with(&self, events: Vec<Event>, notes: Vec<Note>) -> Result<Ticket, Refusal> {
        let mut batch = self.queue.batch();
        events.into_iter().for_each(|event| batch.push(event));
        notes.into_iter().for_each(|note| batch.note(note));
        match self.queue.offer(batch) {
            Offer::Queued(ticket) => Ok(ticket),
            Offer::Refused(why) => Err(why),
            Offer::TooLarge => panic!("too large"),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn store(&self, events: Vec<Event>) -> Outcome {
        self.store_with(events, Vec::new())
    }

    pub fn store_with(&self, events: Vec<Event>, notes: Vec<Note>) -> Outcome {
        match self.offer_with(events, notes) {
            Ok(ticket) => smol::block_on(ticket.settled()),
            Err(why) => Outcome::Refused(why),
        }
    }

    pub fn confirm(&self, cursors: Vec<(Table, i64)>) -> bool {
        let instance_id = Reader::open(&self.path).unwrap().instance_id().unwrap();
        self.confirm_for(instance_id, cursors)
    }

    pub fn confirm_for(&self, instance_id: String, cursors: Vec<(Table, i64)>) -> bool {
        self.deliver_for(instance_id, Delivery { cursors, ..Delivery::default() })
    }

    pub fn deliver(&self, delivery: Delivery) -> bool {
        let instance_id = Reader::open(&self.path).unwrap().instance_id().unwrap();
        self.deliver_for(instance_id, delivery)
    }

    pub fn conn(&self) -> Connection {
        read_only(&self.path)
    }

    fn deliver_for(&self, instance_id: String, delivery: Delivery) -> bool {
        let (reply, answer) = smol::channel::bounded(1);
        let delivery = Box::new(delivery);
        assert!(self.queue.command(Command::Deliver { instance_id, delivery, reply }));
        answer.recv_blocking().unwrap()
    }

    /// Makes the writer go round once, and returns when it has.
    pub fn nudge(&self) {
        for _ in 0..2 {
            self.confirm(Vec::new());
        }
    }

    pub fn close(&mut self) -> Ended {
        self.queue.close();
        let (reply, drained) = smol::channel::bounded(1);
        assert!(self.queue.command(Command::Drain { reply }));
        drained.recv_blocking().unwrap();
        assert!(self.queue.command(Command::Close));
        self.thread.take().unwrap().join().unwrap()
    }

    fn count(&self, table: Table) -> i64 {
        let conn = Connection::open(&self.path).unwrap();
        conn.query_row(&format!("SELECT count(*) FROM {}", table.name()), [], |row| row.get(0)).unwrap()
    }

    fn has(&self, id: EventId) -> bool {
        let conn = Connection::open(&self.path).unwrap();
        let sql = "SELECT count(*) FROM custom_events WHERE trace_id = ?1";
        conn.query_row(sql, [id.to_string()], |row| row.get::<_, i64>(0)).unwrap() == 1
    }

    /// Both laws: every event offered is accounted for, and every row ever stored.
    pub fn check_laws(&self) {
        let l = self.stats.ledger();
        assert_eq!(
            l.offered,
            l.stored + l.duplicate + l.refused_total() + l.invalid + l.ignored + l.in_flight,
            "{l:?}"
        );
        for table in Table::ALL {
            let account = || self.stats.store().rows[table.index()];
            // A commit is seen in the file a moment before it is booked.
            until("what is in the file is booked", || account().present == self.count(table));
            let account = account();
            assert_eq!(account.stored, account.present + account.pruned.iter().sum::<i64>(), "{account:?}");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.queue.close();
            self.queue.command(Command::Close);
            if thread.join().is_err() {
                eprintln!("the writer had panicked");
            }
        }
    }
}

pub fn event_at(received_at_ms: i64, body_bytes: usize) -> Event {
    let custom = CustomEvent { name: "n".into(), body: Some("x".repeat(body_bytes).into()), ..Default::default() };
    Event { id: EventId::new(received_at_ms), received_at_ms, kind: Kind::CustomEvent(Box::new(custom)) }
}

pub fn event() -> Event {
    event_at(NOW, 0)
}

pub fn metric_at(received_at_ms: i64) -> Event {
    Event { id: EventId::new(received_at_ms), received_at_ms, kind: Kind::SystemMetric(Box::default()) }
}

/// Takes all the room that a volume has, to the last page.
pub fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
}

#[test]
fn what_is_acknowledged_is_in_the_file_once() {
    let dir = TempDir::new("once");
    let mut store = Store::open(options(&dir.join("t.db")));
    let (a, b) = (event(), event());
    let twice = vec![a.clone(), b.clone(), a.clone()];
    assert_eq!(store.store(twice), Outcome::Stored { stored: 2, duplicates: 1, ignored: 0 });
    assert!(store.has(a.id) && store.has(b.id));
    assert_eq!(store.store(vec![b]), Outcome::Stored { stored: 0, duplicates: 1, ignored: 0 });
    store.check_laws();
    let tickets: Vec<Ticket> = (0..50).map(|_| store.offer(vec![event(), event()]).unwrap()).collect();
    let ended = store.close();
    assert_eq!(ended, Ended { lost: 0, log_is_empty: true });
    for ticket in tickets {
        assert_eq!(smol::block_on(ticket.settled()), Outcome::Stored { stored: 2, duplicates: 0, ignored: 0 });
    }
    assert_eq!(store.count(Table::CustomEvents), 102);
    assert!(!dir.join("t.db-wal").exists(), "the log is gone after a clean end");
}

#[test]
fn the_file_is_for_nobody_elses_eyes() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new("mode");
    let path = dir.join("below/t.db");
    let store = Store::open(options(&path));
    assert_eq!(store.store(vec![event()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    for name in ["t.db", "t.db-wal", "t.db-shm", "t.db.lock", "t.db.ballast"] {
        let mode = std::fs::metadata(dir.join("below").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_second_instance_is_refused_and_harms_nothing() {
    let dir = TempDir::new("second");
    let path = dir.join("t.db");
    let store = Store::open(options(&path));
    assert_eq!(store.store(vec![event()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    let refused = Store::try_open(options(&path)).err().unwrap();
    let said = refused.to_string();
    assert!(matches!(refused, OpenError::Lock(_)) && said.contains(&std::process::id().to_string()), "{said}");
    assert_eq!(store.store(vec![event()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    store.check_laws();
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let dir = TempDir::new("stranger");
    let path = dir.join("t.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::try_open(options(&path)).err().unwrap(), OpenError::SomebodyElses { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_broken_file_is_moved_aside_and_the_request_is_stored_in_a_new_one() {
    let dir = TempDir::new("broken");
    let path = dir.join("t.db");
    std::fs::write(&path, "this is no database, and long enough to look like one".repeat(100)).unwrap();
    let store = Store::open(options(&path));
    assert_eq!(store.store(vec![event()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    let incidents = store.stats.store().incidents.clone();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    let kept = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("t.db.corrupt-20261118T"));
    assert_eq!(kept.count(), 1);
    store.check_laws();
}

#[test]
fn a_file_that_breaks_while_it_is_open_is_moved_aside_too() {
    let dir = TempDir::new("breaks");
    let path = dir.join("t.db");
    let mut store = Store::open(options(&path));
    for _ in 0..400 {
        store.store(vec![event_at(NOW, 2000)]);
    }
    store.close();
    // Every page but the first becomes noise: the header is fine, the trees are not.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(options(&path));
    let last = event();
    let id = last.id;
    assert_eq!(store.store(vec![last]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    assert!(store.has(id));
    assert!(store.stats.store().incidents[0].contains("broken"), "{:?}", store.stats.store().incidents);
}

#[test]
fn a_file_deleted_or_replaced_under_us_is_noticed_before_anything_is_acknowledged() {
    let dir = TempDir::new("vanishes");
    let path = dir.join("t.db");
    let store = Store::open(options(&path));
    store.store(vec![event()]);
    std::fs::remove_file(&path).unwrap();
    let a = event();
    assert_eq!(store.store(vec![a.clone()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    assert!(store.has(a.id));
    let other = dir.join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    std::fs::rename(&other, &path).unwrap();
    let b = event();
    assert_eq!(store.store(vec![b.clone()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    assert!(store.has(b.id));
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE others (x)").unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(store.store(vec![event()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    assert_eq!(store.stats.store().incidents.len(), 3);
    let names: Vec<PathBuf> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let theirs = names.iter().filter(|path| {
        let name = path.to_string_lossy();
        let aside = name.contains(".replaced-") && !name.contains(".lost-");
        aside && Connection::open(path).unwrap().prepare("SELECT * FROM theirs").is_ok()
    });
    assert_eq!(theirs.count(), 1, "what lay in our place is kept, each under its own name");
    store.check_laws();
}

#[test]
fn rows_that_somebody_deletes_by_hand_are_booked() {
    let dir = TempDir::new("foreign");
    let path = dir.join("t.db");
    let mut store = Store::open(options(&path));
    store.store((0..10).map(|_| event()).collect());
    store.close();
    Connection::open(&path).unwrap().execute("DELETE FROM custom_events WHERE id <= 4", []).unwrap();
    let store = Store::open(options(&path));
    store.check_laws();
    assert_eq!(store.stats.store().rows[Table::CustomEvents.index()].pruned[Pruned::Foreign as usize], 4);
}

#[test]
fn ids_never_fall_below_a_cursor_again() {
    let dir = TempDir::new("ids");
    let path = dir.join("t.db");
    let mut store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    store.store((0..5).map(|_| event()).collect());
    assert!(store.confirm(vec![(Table::CustomEvents, 5)]));
    store.close();
    Connection::open(&path).unwrap().execute("DELETE FROM custom_events", []).unwrap();
    let store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    store.store(vec![event()]);
    let reader = Reader::open(&path).unwrap();
    let after = reader.cursors("d").unwrap()[Table::CustomEvents.index()];
    let mut seen = Vec::new();
    reader.rows(Table::CustomEvents, after, 10, &mut |id, _| seen.push(id)).unwrap();
    assert_eq!((after, seen.len()), (5, 1));
    assert!(seen[0] > 5);
}

#[test]
fn old_rows_go_once_the_remote_has_them_and_a_jumping_clock_takes_none() {
    let dir = TempDir::new("age");
    let path = dir.join("t.db");
    let store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    store.store((0..1200).map(|_| event()).collect());
    store.store((0..700).map(|_| metric_at(NOW)).collect());
    assert!(store.confirm(vec![(Table::CustomEvents, 700), (Table::SystemMetrics, 700)]));

    store.clock.jump(NOW + 400 * DAY.as_millis() as i64);
    store.clock.advance(Duration::from_secs(120));
    store.store(vec![event_at(store.clock.now_ms(), 0)]);
    store.nudge();
    assert_eq!((store.count(Table::CustomEvents), store.count(Table::SystemMetrics)), (1201, 700));

    store.clock.jump(NOW);
    store.clock.advance(3 * DAY);
    store.nudge();
    until("the samples are gone", || store.count(Table::SystemMetrics) == 0);
    assert_eq!(store.count(Table::CustomEvents), 1201, "events live longer");
    store.clock.advance(5 * DAY);
    store.nudge();
    until("the events that the remote has are gone", || store.count(Table::CustomEvents) == 501);
    store.check_laws();
    let rows = store.stats.store().rows;
    assert_eq!(rows[Table::CustomEvents.index()].pruned[Pruned::Age as usize], 700);
    assert_eq!(rows[Table::CustomEvents.index()].unsynced, 501);
}

#[test]
fn a_full_file_gives_up_synced_rows_then_samples_then_refuses_until_the_push_is_through() {
    let dir = TempDir::new("size");
    let path = dir.join("t.db");
    let mut options = Options { remote: Some(remote()), ..options(&path) };
    options.retention.db_max_bytes = 4 << 20;
    let store = Store::open(options);
    store.store((0..300).map(|_| metric_at(NOW)).collect());
    let mut accepted = 0i64;
    let refused = loop {
        match store.store((0..10).map(|_| event_at(NOW, 4000)).collect()) {
            Outcome::Stored { stored, .. } => accepted += i64::from(stored),
            Outcome::Refused(why) => break why,
        }
        assert!(accepted < 5000, "never refused");
    };
    assert_eq!(refused, Refusal::StoreFull);
    assert_eq!(store.count(Table::SystemMetrics), 0, "samples go before anything is refused");
    assert_eq!(store.count(Table::CustomEvents), accepted, "no event goes that the remote lacks");
    let StoreState::Refusing { reason, .. } = store.stats.store().state.clone() else { panic!("not refusing") };
    assert!(reason.contains("TRACE_DB_MAX_MB=4"), "{reason}");
    store.check_laws();

    assert!(store.confirm(vec![(Table::CustomEvents, accepted / 2)]));
    until("events are taken again", || store.queue.refusing().is_none());
    assert!(matches!(store.store(vec![event()]), Outcome::Stored { .. }));
    for _ in 0..200 {
        store.store((0..10).map(|_| event_at(NOW, 4000)).collect());
        let cursor = store.stats.store().rows[Table::CustomEvents.index()].stored;
        store.confirm(vec![(Table::CustomEvents, cursor)]);
        assert!(store.stats.store().file_bytes <= (5 << 20), "{}", store.stats.store().file_bytes);
    }
    store.check_laws();
}

#[test]
fn a_full_disk_is_left_by_ballast_and_pruning_with_nobody_freeing_space() {
    let Some(dir) = TempDir::on_tmpfs("full", "8m") else { return };
    let path = dir.join("t.db");
    let store = Store::open(options(&path));
    let mut rounds = 0;
    // Everything counts as synced: without an endpoint the oldest rows make room for the newest.
    while store.stats.store().rows[Table::CustomEvents.index()].pruned[Pruned::Disk as usize] < 2000 {
        let outcome = store.store((0..50).map(|_| event_at(NOW, 1000)).collect());
        assert_eq!(outcome, Outcome::Stored { stored: 50, duplicates: 0, ignored: 0 }, "round {rounds}");
        rounds += 1;
        assert!(rounds < 2000, "the disk was never full");
    }
    fill(&dir.join("stranger"));
    for _ in 0..20 {
        assert_eq!(
            store.store((0..50).map(|_| event_at(NOW, 1000)).collect()),
            Outcome::Stored { stored: 50, duplicates: 0, ignored: 0 }
        );
    }
    store.check_laws();
}

#[test]
fn a_full_disk_without_anything_to_prune_refuses_says_why_and_recovers_when_there_is_room() {
    let Some(dir) = TempDir::on_tmpfs("brim", "8m") else { return };
    let path = dir.join("t.db");
    let store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    let first = event();
    store.store(vec![first.clone()]);
    // The stranger takes all there is, to the last page.
    let stranger = dir.join("stranger");
    fill(&stranger);
    let mut refused = None;
    for _ in 0..500 {
        if let Outcome::Refused(why) = store.store((0..20).map(|_| event_at(NOW, 3000)).collect()) {
            refused = Some(why);
            break;
        }
    }
    assert_eq!(refused, Some(Refusal::StoreFull));
    let StoreState::Refusing { reason, .. } = store.stats.store().state.clone() else { panic!("not refusing") };
    assert!(reason.contains("is full"), "{reason}");
    assert!(store.has(first.id));
    store.check_laws();
    std::fs::remove_file(&stranger).unwrap();
    until("events are taken again", || store.queue.refusing().is_none());
    assert!(matches!(store.store(vec![event()]), Outcome::Stored { stored: 1, .. }));
    store.check_laws();
}

#[test]
fn stopping_on_a_full_disk_moves_the_log_into_the_file_with_the_ballasts_room() {
    let Some(dir) = TempDir::on_tmpfs("stop", "8m") else { return };
    let path = dir.join("t.db");
    let mut store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    store.store((0..50).map(|_| event_at(NOW, 3000)).collect());
    fill(&dir.join("stranger"));
    let mut stored = 50;
    while let Outcome::Stored { stored: more, .. } = store.store((0..20).map(|_| event_at(NOW, 3000)).collect()) {
        stored += i64::from(more);
    }
    assert_eq!(store.close(), Ended { lost: 0, log_is_empty: true });
    assert!(!dir.join("t.db-wal").exists());
    assert_eq!(store.count(Table::CustomEvents), stored);
}

#[test]
fn a_confirmation_for_another_file_moves_no_cursor() {
    let dir = TempDir::new("another");
    let path = dir.join("t.db");
    let store = Store::open(Options { remote: Some(remote()), ..options(&path) });
    store.store((0..50).map(|_| event()).collect());
    let old = Reader::open(&path).unwrap().instance_id().unwrap();
    std::fs::remove_file(&path).unwrap();
    store.store((0..10).map(|_| event()).collect());
    assert!(!store.confirm_for(old, vec![(Table::CustomEvents, 50)]));
    assert_eq!(Reader::open(&path).unwrap().cursors("d").unwrap(), [0; 4]);
    assert_eq!(store.stats.store().rows[Table::CustomEvents.index()].unsynced, 10);
    assert!(store.confirm(vec![(Table::CustomEvents, 10)]));
    assert_eq!(store.stats.store().rows[Table::CustomEvents.index()].unsynced, 0);
}

#[test]
fn what_is_queued_is_stored_even_when_the_writer_is_told_to_close_at_once() {
    let dir = TempDir::new("close");
    let mut store = Store::open(Options { acknowledged_early: true, ..options(&dir.join("t.db")) });
    for _ in 0..100 {
        let mut batch = store.queue.batch();
        (0..100).for_each(|_| batch.push(event()));
        assert!(matches!(store.queue.give(batch), Offer::Queued(())));
    }
    assert!(store.queue.command(Command::Close));
    let ended = store.thread.take().unwrap().join().unwrap();
    assert_eq!(ended, Ended { lost: 0, log_is_empty: true });
    assert_eq!(store.count(Table::CustomEvents), 10_000);
    assert_eq!(store.stats.ledger().in_flight, 0);
}

#[test]
fn a_request_whose_client_has_given_up_is_not_stored_behind_its_back() {
    let dir = TempDir::new("gave-up");
    let mut store = Store::idle(options(&dir.join("t.db"))).unwrap();
    let (kept, gone) = (event(), event());
    let ticket = store.offer(vec![kept.clone()]).unwrap();
    drop(store.offer(vec![gone.clone()]).unwrap());
    store.start();
    assert_eq!(smol::block_on(ticket.settled()), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    until("both are settled", || store.stats.ledger().in_flight == 0);
    assert!(store.has(kept.id) && !store.has(gone.id));
    store.check_laws();
}

#[test]
fn a_volume_that_gives_no_ballast_can_be_full_and_recovers_all_the_same() {
    let Some(dir) = TempDir::on_tmpfs("no-ballast", "8m") else { return };
    let path = dir.join("t.db");
    // Nothing can be written where the ballast should be.
    std::fs::create_dir(dir.join("t.db.ballast")).unwrap();
    let store = Store::open(options(&path));
    for _ in 0..40 {
        store.store((0..50).map(|_| event_at(NOW, 1000)).collect());
    }
    fill(&dir.join("stranger"));
    while matches!(store.store((0..50).map(|_| event_at(NOW, 1000)).collect()), Outcome::Stored { .. }) {}
    std::fs::remove_file(dir.join("stranger")).unwrap();
    until("events are taken again", || store.queue.refusing().is_none());
    let before = store.count(Table::CustomEvents);
    assert!(matches!(store.store(vec![event()]), Outcome::Stored { stored: 1, .. }));
    assert_eq!(store.count(Table::CustomEvents), before + 1, "with room there is nothing to remove");
    store.check_laws();
}

#[test]
fn for_a_large_request_on_a_full_disk_as_many_small_rows_go_as_must() {
    let Some(dir) = TempDir::on_tmpfs("small-rows", "32m") else { return };
    let mut store = Store::open(options(&dir.join("t.db")));
    for _ in 0..40 {
        store.store((0..2000).map(|_| event()).collect());
    }
    // Else the log alone, which is emptied first, might be as long as the room that is wanted.
    store.close();
    let store = Store::open(options(&dir.join("t.db")));
    fill(&dir.join("stranger"));
    let outcome = store.store((0..1000).map(|_| event_at(NOW, 3000)).collect());
    let account = store.stats.store().rows[Table::CustomEvents.index()];
    assert_eq!(outcome, Outcome::Stored { stored: 1000, duplicates: 0, ignored: 0 });
    // More than 64 steps of 500 rows, none of which was all that must go.
    assert!(account.pruned[Pruned::Disk as usize] > 32_000, "{account:?}");
    assert!(store.stats.store().ballast);
    store.check_laws();
}

#[test]
fn a_file_that_only_a_reader_finds_broken_is_moved_aside_when_it_says_so() {
    let dir = TempDir::new("examine");
    let path = dir.join("t.db");
    let mut store = Store::open(options(&path));
    for _ in 0..400 {
        store.store(vec![event_at(NOW, 8000)]);
    }
    store.close();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 20 * 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(options(&path));
    assert!(store.stats.store().incidents.is_empty(), "the writer has no reason to look there");
    let reader = Reader::open(&path).unwrap();
    assert!(reader.rows(Table::CustomEvents, 0, 1000, &mut |_, _| {}).unwrap_err().is_corrupt());
    assert!(store.queue.command(Command::Examine));
    until("it is moved aside", || store.stats.store().incidents.len() == 1);
    assert!(matches!(store.store(vec![event()]), Outcome::Stored { stored: 1, .. }));
    assert_eq!(store.count(Table::CustomEvents), 1);
}

#[test]
fn a_row_from_the_future_hides_no_row_that_is_old() {
    let dir = TempDir::new("future");
    let store = Store::open(options(&dir.join("t.db")));
    let year = 365 * DAY.as_millis() as i64;
    store.store((0..20).map(|_| event_at(NOW + year, 0)).collect());
    store.store((0..100).map(|_| event()).collect());
    store.clock.advance(8 * DAY);
    store.store(vec![event_at(store.clock.now_ms(), 0)]);
    until("what is old is gone", || {
        store.queue.command(Command::Examine);
        store.count(Table::CustomEvents) == 21
    });
    store.check_laws();
}

#[test]
fn a_reader_that_keeps_the_log_from_starting_over_is_named_and_events_are_taken_again_when_it_goes() {
    let dir = TempDir::new("log");
    let path = dir.join("t.db");
    let mut options = options(&path);
    options.retention.db_max_bytes = 500 << 20;
    let store = Store::open(options);
    store.store(vec![event()]);
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM custom_events").unwrap();
    let mut stored = 1;
    while let Outcome::Stored { stored: more, .. } = store.store((0..20).map(|_| event_at(NOW, 60_000)).collect()) {
        stored += i64::from(more);
        assert!(stored < 3000, "never refused: the log has {} bytes", store.stats.store().wal_bytes);
    }
    let StoreState::Refusing { reason, .. } = store.stats.store().state.clone() else { panic!("not refusing") };
    assert!(reason.contains("a reader keeps an old read transaction open"), "{reason}");
    assert_eq!(store.count(Table::CustomEvents), stored);
    reader.execute_batch("COMMIT").unwrap();
    until("events are taken again", || store.queue.refusing().is_none());
    assert!(matches!(store.store(vec![event()]), Outcome::Stored { stored: 1, .. }));
    store.check_laws();
}

#[test]
fn a_log_that_is_deleted_under_us_costs_nothing_that_was_acknowledged() {
    let dir = TempDir::new("no-log");
    let path = dir.join("t.db");
    let store = Store::open(options(&path));
    store.store((0..50).map(|_| event()).collect());
    std::fs::remove_file(dir.join("t.db-wal")).unwrap();
    let last = event();
    assert_eq!(store.store(vec![last.clone()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    // What a process that is killed now leaves behind: the files as they are.
    let left = dir.join("left.db");
    std::fs::copy(&path, &left).unwrap();
    let there = Connection::open(&left).unwrap();
    assert_eq!(there.query_row("SELECT count(*) FROM custom_events", [], |row| row.get::<_, i64>(0)).unwrap(), 51);
    assert_eq!(store.stats.store().incidents.len(), 1);
    assert!(matches!(store.store(vec![event()]), Outcome::Stored { stored: 1, .. }));
    store.check_laws();
}

#[test]
fn a_directory_that_is_removed_is_made_again_and_locked_again() {
    let dir = TempDir::new("gone");
    let path = dir.join("below/t.db");
    let store = Store::open(options(&path));
    store.store(vec![event()]);
    // Renamed, not removed: the writer may be making files in it at this moment.
    std::fs::rename(dir.join("below"), dir.join("elsewhere")).unwrap();
    let kept = event();
    assert_eq!(store.store(vec![kept.clone()]), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    assert!(store.has(kept.id));
    assert!(matches!(Store::try_open(options(&path)).err().unwrap(), OpenError::Lock(_)), "a second one is kept out");
    store.check_laws();
}

#[test]
fn the_log_is_moved_into_the_file_while_much_is_removed_from_it() {
    let dir = TempDir::new("ratchet");
    let path = dir.join("t.db");
    let mut options = options(&path);
    options.retention.db_max_bytes = 2 << 20;
    let store = Store::open(options);
    let mut longest = 0;
    for _ in 0..600 {
        store.store((0..20).map(|_| event_at(NOW, 3000)).collect());
        longest = longest.max(std::fs::metadata(dir.join("t.db-wal")).unwrap().len());
    }
    assert!(longest < 12 << 20, "{longest} bytes of log");
    store.check_laws();
}

#[test]
fn a_position_is_stored_with_its_rows_or_not_at_all() {
    let dir = TempDir::new("position");
    let path = dir.join("t.db");
    let store = Store::open(options(&path));
    let offer = |events: Vec<Event>, value: &str| {
        let position = Note::Position { key: "a_log", value: value.into() };
        smol::block_on(store.offer_with(events, vec![position]).unwrap().settled())
    };
    let stored = || Reader::open(&path).unwrap().position("a_log").unwrap();
    assert_eq!(stored(), None);
    assert_eq!(offer(vec![event()], "one"), Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    assert_eq!(stored().as_deref(), Some("one"));
    assert_eq!(offer(Vec::new(), "two"), Outcome::Stored { stored: 0, duplicates: 0, ignored: 0 });
    assert_eq!(stored().as_deref(), Some("two"));

    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON custom_events WHEN NEW.severity = 'fatal' BEGIN SELECT RAISE(ABORT, 'no'); END";
    Connection::open(&path).unwrap().execute_batch(refuse).unwrap();
    let severity = Some(Severity::Fatal);
    let bad =
        Event { kind: Kind::CustomEvent(Box::new(CustomEvent { severity, ..CustomEvent::default() })), ..event() };
    let before = store.count(Table::CustomEvents);
    for events in [vec![bad.clone()], vec![event(), bad]] {
        assert_eq!(offer(events, "three"), Outcome::Refused(Refusal::StoreFailing));
        assert_eq!((stored().as_deref(), store.count(Table::CustomEvents)), (Some("two"), before));
    }
    store.check_laws();
}

/// What one step gives back, and what the log may be that is not in the file yet.
const STEP_BYTES: u64 = 1 << 20;

#[test]
fn a_burst_of_large_requests_neither_outgrows_the_limit_nor_is_refused() {
    let dir = TempDir::new("burst");
    let path = dir.join("t.db");
    let mut options = options(&path);
    options.retention.db_max_bytes = 16 << 20;
    let store = Store::open(options);
    // Each as large as a request may be, and another waits whenever one is stored.
    const REQUEST_BYTES: usize = 2 << 20;
    let mut longest_log = 0;
    let mut waiting = std::collections::VecDeque::new();
    for _ in 0..60 {
        waiting.push_back(store.offer((0..REQUEST_BYTES / 3000).map(|_| event_at(NOW, 2900)).collect()).unwrap());
        if waiting.len() == 2 {
            let outcome = smol::block_on(waiting.pop_front().unwrap().settled());
            assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
        }
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length <= (16 << 20) + STEP_BYTES, "{length} bytes");
        longest_log = longest_log.max(std::fs::metadata(dir.join("t.db-wal")).unwrap().len());
    }
    store.nudge();
    until("the file is within its limit", || std::fs::metadata(&path).unwrap().len() <= 16 << 20);
    assert!(longest_log <= 24 << 20, "{longest_log} bytes of log");
    assert_eq!(store.stats.ledger().refused_total(), 0);
    store.check_laws();
}

#[test]
fn a_row_that_a_stranger_puts_in_counts_as_stored_and_no_count_falls() {
    let dir = TempDir::new("stranger");
    let path = dir.join("t.db");
    let mut store = Store::open(options(&path));
    store.store((0..10).map(|_| event()).collect());
    store.close();
    let change = |sql: &str| {
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let mut store = Store::open(options(&path));
        let account = store.stats.store().rows[Table::CustomEvents.index()];
        store.close();
        (account.stored, account.present, account.pruned[Pruned::Foreign as usize])
    };
    assert_eq!(
        change("CREATE TABLE kept AS SELECT * FROM custom_events; DELETE FROM custom_events WHERE id <= 4"),
        (10, 6, 4)
    );
    assert_eq!(change("INSERT INTO custom_events SELECT * FROM kept WHERE id <= 3"), (13, 9, 4));
    assert_eq!(change("SELECT 1"), (13, 9, 4), "it is in the file");
}

#[test]
fn rows_of_any_size_go_one_step_at_a_time() {
    let dir = TempDir::new("large-rows");
    let mut options = options(&dir.join("t.db"));
    options.retention.db_max_bytes = 8 << 20;
    let store = Store::open(options);
    let mut least = u64::MAX;
    for round in 0..200 {
        assert!(matches!(store.store(vec![event_at(NOW, 200_000)]), Outcome::Stored { .. }));
        store.nudge();
        let report = store.stats.store().clone();
        assert!(report.file_bytes <= (8 << 20) + STEP_BYTES, "{} bytes", report.file_bytes);
        if round > 50 {
            least = least.min(report.file_bytes - report.free_bytes);
        }
    }
    assert!(least >= (8 << 20) - 2 * STEP_BYTES, "only {least} bytes were kept");
    store.check_laws();
}

#[test]
fn a_limit_that_is_lowered_is_reached_in_steps_while_events_are_taken() {
    let dir = TempDir::new("lower");
    let path = dir.join("t.db");
    let mut store = Store::open(options(&path));
    for _ in 0..80 {
        store.store((0..100).map(|_| event_at(NOW, 3000)).collect());
    }
    store.close();
    let before = std::fs::metadata(&path).unwrap().len();
    assert!(before > 24 << 20);
    let mut options = options(&path);
    options.retention.db_max_bytes = 4 << 20;
    let mut store = Store::idle(options).unwrap();
    let tickets: Vec<Ticket> =
        (0..20).map(|_| store.offer((0..100).map(|_| event_at(NOW, 3000)).collect()).unwrap()).collect();
    store.start();
    let mut last = Vec::new();
    for ticket in tickets {
        assert_eq!(smol::block_on(ticket.settled()), Outcome::Stored { stored: 100, duplicates: 0, ignored: 0 });
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length <= before + 2 * STEP_BYTES, "{length} bytes");
        last.push(length);
    }
    assert!(last.iter().any(|length| *length > 4 << 20), "it was shortened at once: {last:?}");
    until("the file is within its limit", || std::fs::metadata(&path).unwrap().len() <= 4 << 20);
    let report = store.stats.store().clone();
    let used = report.file_bytes - report.free_bytes;
    assert!(used >= 3 << 20, "only {used} bytes were kept");
    store.check_laws();
}

#[test]
fn many_rows_from_the_future_hide_no_row_that_is_old_and_the_file_stays_within_its_limit() {
    let dir = TempDir::new("wrong-clock");
    let path = dir.join("t.db");
    let mut options = options(&path);
    options.retention.db_max_bytes = 8 << 20;
    let store = Store::open(options);
    let year = 365 * DAY.as_millis() as i64;
    for _ in 0..10 {
        store.store((0..600).map(|_| event_at(NOW + year, 0)).collect());
    }
    store.store((0..100).map(|_| event()).collect());
    store.clock.advance(8 * DAY);
    until("what is old is gone", || {
        store.nudge();
        store.count(Table::CustomEvents) == 6000
    });
    let later = store.clock.now_ms();
    for _ in 0..60 {
        assert!(matches!(store.store((0..100).map(|_| event_at(later, 3000)).collect()), Outcome::Stored { .. }));
        assert!(std::fs::metadata(&path).unwrap().len() <= (8 << 20) + STEP_BYTES);
    }
    // Those from the future were stored first, whatever they say.
    let account = store.stats.store().rows[Table::CustomEvents.index()];
    assert!(account.pruned[Pruned::Size as usize] > 6000, "{account:?}");
    store.check_laws();
}

#[test]
fn a_reader_of_an_old_state_costs_the_log_room_and_the_file_is_short_when_it_goes() {
    let dir = TempDir::new("old-state");
    let path = dir.join("t.db");
    let mut options = options(&path);
    options.retention.db_max_bytes = 8 << 20;
    let store = Store::open(options);
    for _ in 0..25 {
        store.store((0..100).map(|_| event_at(NOW, 3000)).collect());
    }
    store.nudge();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = "SELECT count(*) FROM custom_events";
    let seen: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    for _ in 0..40 {
        let outcome = store.store((0..100).map(|_| event_at(NOW, 3000)).collect());
        assert_eq!(outcome, Outcome::Stored { stored: 100, duplicates: 0, ignored: 0 });
        let length = |name: &str| std::fs::metadata(dir.join(name)).unwrap().len();
        assert!(length("t.db") <= (8 << 20) + STEP_BYTES && length("t.db-wal") <= 51 << 20);
    }
    assert_eq!(reader.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), seen);
    reader.execute_batch("COMMIT").unwrap();
    store.clock.advance(8 * DAY);
    until("the file and its log are short", || {
        store.nudge();
        store.store(vec![event_at(store.clock.now_ms(), 0)]);
        let length = |name: &str| std::fs::metadata(dir.join(name)).unwrap().len();
        length("t.db") <= 3 << 20 && length("t.db-wal") <= 2 << 20
    });
    store.check_laws();
}

#[test]
fn a_file_that_was_full_takes_events_as_soon_as_the_remote_has_a_row() {
    let dir = TempDir::new("one-row");
    let mut options = Options { remote: Some(remote()), ..options(&dir.join("t.db")) };
    options.retention.db_max_bytes = 4 << 20;
    let store = Store::open(options);
    let fill = || store.store((0..10).map(|_| event_at(NOW, 4000)).collect());
    while matches!(fill(), Outcome::Stored { .. }) {}
    assert_eq!(store.queue.refusing(), Some(Refusal::StoreFull));
    let StoreState::Refusing { reason, .. } = store.stats.store().state.clone() else { panic!("not refusing") };
    assert!(reason.ends_with("waits for the push; let the push through, or raise the limit"), "{reason}");
    assert!(!reason.contains("  "), "{reason}");
    // Much more than what must go for one request: never refused again while there is a row to remove.
    let all = store.stats.store().rows[Table::CustomEvents.index()].stored;
    assert!(store.confirm(vec![(Table::CustomEvents, all)]));
    until("events are taken again", || store.queue.refusing().is_none());
    let mut stored = 0;
    while let Outcome::Stored { .. } = fill() {
        stored += 10;
        assert!(store.stats.store().file_bytes <= (4 << 20) + STEP_BYTES);
    }
    let account = store.stats.store().rows[Table::CustomEvents.index()];
    assert_eq!(account.present, account.unsynced, "it refused while there was a row to remove");
    assert!(stored >= 600, "{stored}");
    store.check_laws();
}
