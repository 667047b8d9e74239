//! The program is cut off, at random moments and under load: what it acknowledged is in the file.

pub mod found;
pub mod load;

use std::path::Path;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use openclaw_trace::event::Table;

use self::found::{Found, check_sums, sound, trace_ids};
use self::load::{Load, Sent};
use crate::support::dir::TempDir;
use crate::support::sidecar::{NO_SAMPLES, Sidecar, check_laws};
use crate::support::sink::{Say, Sink};
use crate::support::{PATIENCE, read_only};

/// A cut with fewer acknowledgements before it proves nothing.
const ACKNOWLEDGED_MIN: usize = 20;
/// What a process may take to be gone after its own deadline, on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(3);

/// The size of a loop, or its seed, from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Prints the seed if the test fails.
struct Seed(u64);

impl Seed {
    fn of_test() -> Seed {
        Seed(setting("CUTS_SEED", 2))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was CUTS_SEED={}", self.0);
        }
    }
}

/// Nothing is pruned in these: a row that is missing is lost.
const KEEP_ALL: [(&str, &str); 2] = [("TRACE_DB_MAX_MB", "4096"), ("TRACE_METRICS_INTERVAL", "1s")];

#[test]
fn what_was_acknowledged_survives_two_hundred_cuts_by_kill() {
    let seed = Seed::of_test();
    let rounds = setting("CUTS_KILL", 200);
    let dir = TempDir::new("kill");
    let db = dir.join("trace.db");
    let mut random = Rng::with_seed(seed.0);
    let (mut found, mut sent) = (Found::default(), Vec::new());
    let (mut kept, mut lost) = (0, 0);
    for round in 0..rounds {
        let cut = kill_under_load(&db, &mut random);
        assert!(cut.iter().all(|request| request.status.is_none() || request.acknowledged()), "round {round}");
        found.read_on(&db);
        found.check_acknowledged(&cut);
        check_sums(&db);
        for request in cut.iter().filter(|request| request.status.is_none()) {
            *(if found.has(request) { &mut kept } else { &mut lost }) += 1;
        }
        if round % 10 == 0 {
            assert_eq!(sound(&db, "quick_check"), "ok", "round {round}");
        }
        sent.extend(cut);
    }
    eprintln!("{} requests, {kept} cut off after their rows were safe, {lost} before", sent.len());
    assert!(kept > 0 && lost > 0, "no cut fell inside a commit: {kept} kept, {lost} lost");

    // Without samples of its own, so that the accounts stay as they are.
    let mut sidecar = Sidecar::start(&db, &[KEEP_ALL[0], NO_SAMPLES]);
    let (status, health) = sidecar.health();
    assert_eq!(status, 200, "{health}");
    check_laws(&health);
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_within(PATIENCE), Some(0), "{}", sidecar.log());
    Found::all(&db).check_acknowledged(&sent);
    assert_eq!(sound(&db, "integrity_check"), "ok");
    let rows = health["database"]["rows"].as_object().unwrap();
    assert_eq!(rows.values().map(|rows| rows["present"].as_u64().unwrap()).sum::<u64>(), trace_ids(&db).len() as u64);
}

/// One round: up, under load, dead.
fn kill_under_load(db: &Path, random: &mut Rng) -> Vec<Sent> {
    /// A few commits.
    const DELAY_MAX_US: u64 = 30_000;
    /// Recovery of the log, and the first steps after it.
    const START_MAX_US: u64 = 20_000;
    if random.u8(0..4) == 0 {
        let starting = Sidecar::spawn(db, &KEEP_ALL);
        thread::sleep(Duration::from_micros(random.u64(0..START_MAX_US)));
        starting.kill();
    }
    let sync = random.choice([("TRACE_SYNC", "full"), ("TRACE_SYNC", "normal")]).unwrap();
    let sidecar = Sidecar::start(db, &[KEEP_ALL[0], KEEP_ALL[1], sync]);
    let load = Load::start(sidecar.address(), random);
    load.wait_acknowledged(ACKNOWLEDGED_MIN);
    // Not for luck: this is what makes the moment of the cut a random one.
    thread::sleep(Duration::from_micros(random.u64(0..DELAY_MAX_US)));
    sidecar.kill();
    load.end()
}

/// One run that was asked to stop under load.
struct Stopped {
    dir: TempDir,
    sent: Vec<Sent>,
}

impl Stopped {
    /// Starts, waits for load, asks for the end, and holds it against what must be true of every end.
    fn under_load(endpoint: &str, timeout: &str, within: Duration, signal: Signal, random: &mut Rng) -> Stopped {
        let dir = TempDir::new("stop");
        let db = dir.join("trace.db");
        let env = [
            ("TRACE_PUSH_ENDPOINT", endpoint),
            ("TRACE_PUSH_INTERVAL", "1s"),
            ("TRACE_METRICS_INTERVAL", "1s"),
            ("TRACE_DRAIN_TIMEOUT", timeout),
        ];
        let mut sidecar = Sidecar::start(&db, &env);
        let load = Load::start(sidecar.address(), random);
        load.wait_acknowledged(ACKNOWLEDGED_MIN + random.usize(0..200));
        sidecar.signal(signal);
        assert_eq!(sidecar.exit_within(within), Some(0), "{}", sidecar.log());
        let sent = load.end();
        let stopped = Stopped { dir, sent };
        stopped.check();
        stopped
    }

    fn check(&self) {
        let db = self.dir.join("trace.db");
        assert!(!self.dir.join("trace.db-wal").exists(), "the log is still there");
        Found::all(&db).check_acknowledged(&self.sent);
        check_sums(&db);
        assert_eq!(sound(&db, "quick_check"), "ok");
    }

    /// Every row of every table must have reached the sink, and the cursors must say so.
    fn check_pushed(&self, sink: &Sink) {
        let db = self.dir.join("trace.db");
        let stored = trace_ids(&db);
        let pushed = sink.seen().iter().filter(|seen| seen.taken).flat_map(|seen| seen.rows()).collect();
        assert_eq!(stored, pushed);
        for table in Table::ALL {
            let (last, cursor) = ids(&db, table);
            assert!(last > Some(0), "{} has no row", table.name());
            assert_eq!(last, cursor, "{}", table.name());
        }
    }
}

/// The last id of a table, and the last that the remote has.
fn ids(db: &Path, table: Table) -> (Option<i64>, Option<i64>) {
    let conn = read_only(db);
    let name = table.name();
    let last = conn.query_row(&format!("SELECT max(id) FROM {name}"), [], |row| row.get(0)).unwrap();
    let cursor = "SELECT max(last_id) FROM push_cursor WHERE table_name = ?1";
    (last, conn.query_row(cursor, [name], |row| row.get(0)).unwrap())
}

/// The rounds of one kind of remote: a quarter of all, by both signals in turn.
fn stop_again_and_again(round: impl Fn(Signal, &mut Rng)) {
    let seed = Seed::of_test();
    let mut random = Rng::with_seed(seed.0);
    let signals = [Signal::SIGTERM, Signal::SIGINT].into_iter().cycle();
    for signal in signals.take(setting("CUTS_TERM", 50).div_ceil(4) as usize) {
        round(signal, &mut random);
    }
}

#[test]
fn stopping_with_the_remote_up_stores_and_pushes_everything() {
    stop_again_and_again(|signal, random| {
        let sink = Sink::always(Say::ok);
        let within = Duration::from_secs(20) + SLACK;
        Stopped::under_load(&sink.url(), "20s", within, signal, random).check_pushed(&sink);
    });
}

#[test]
fn stopping_with_a_slow_remote_stores_and_pushes_everything() {
    stop_again_and_again(|signal, random| {
        let sink = Sink::always(|| Say::Late(Duration::from_millis(300)));
        let within = Duration::from_secs(20) + SLACK;
        Stopped::under_load(&sink.url(), "20s", within, signal, random).check_pushed(&sink);
    });
}

#[test]
fn stopping_with_the_remote_down_stores_everything_and_ends_in_time() {
    stop_again_and_again(|signal, random| {
        // An address of loopback that no other test uses, so that nobody takes the port.
        let closed = std::net::TcpListener::bind("127.0.0.78:0").unwrap().local_addr().unwrap();
        let within = Duration::from_secs(20) + SLACK;
        Stopped::under_load(&format!("http://{closed}/"), "20s", within, signal, random);
    });
}

#[test]
fn stopping_with_a_remote_that_hangs_stores_everything_and_ends_in_time() {
    stop_again_and_again(|signal, random| {
        let sink = Sink::always(|| Say::Hang);
        let within = Duration::from_secs(2) + SLACK;
        let stopped = Stopped::under_load(&sink.url(), "2s", within, signal, random);
        for table in Table::ALL {
            assert_eq!(ids(&stopped.dir.join("trace.db"), table).1, None, "the remote confirmed nothing");
        }
    });
}

/// Longer than any of these tests waits: what ends sooner was not ended by it.
const DRAIN_FOREVER: [(&str, &str); 1] = [("TRACE_DRAIN_TIMEOUT", "10m")];

#[test]
fn requests_are_taken_and_stored_while_it_lingers_and_a_second_signal_ends_that() {
    let dir = TempDir::new("linger");
    let db = dir.join("trace.db");
    let sink = Sink::always(|| Say::Hang);
    let endpoint = sink.url();
    let env = [DRAIN_FOREVER[0], ("TRACE_DRAIN_LINGER", "9m"), ("TRACE_PUSH_ENDPOINT", endpoint.as_str())];
    let mut sidecar = Sidecar::start(&db, &env);
    sidecar.signal(Signal::SIGTERM);
    sidecar.wait_line("still taking events");
    let load = Load::start(sidecar.address(), &mut Rng::with_seed(3));
    load.wait_acknowledged(ACKNOWLEDGED_MIN);
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_within(PATIENCE), Some(0), "{}", sidecar.log());
    Stopped { dir, sent: load.end() }.check();
}

#[test]
fn a_second_signal_skips_the_push_and_never_the_storing() {
    let dir = TempDir::new("hurry");
    let db = dir.join("trace.db");
    let sink = Sink::always(|| Say::Hang);
    let endpoint = sink.url();
    // The only push within the life of this process is the last one.
    let env = [DRAIN_FOREVER[0], ("TRACE_PUSH_INTERVAL", "1d"), ("TRACE_PUSH_ENDPOINT", endpoint.as_str())];
    let mut sidecar = Sidecar::start(&db, &env);
    let load = Load::start(sidecar.address(), &mut Rng::with_seed(4));
    load.wait_acknowledged(ACKNOWLEDGED_MIN);
    sidecar.signal(Signal::SIGINT);
    sink.wait(|seen| !seen.is_empty());
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_within(PATIENCE), Some(0), "{}", sidecar.log());
    Stopped { dir, sent: load.end() }.check();
}

#[test]
fn what_was_acknowledged_in_the_queue_is_stored_before_it_ends() {
    let dir = TempDir::new("queued");
    let db = dir.join("trace.db");
    let mut sidecar = Sidecar::start(&db, &[("TRACE_ACK", "queued")]);
    let load = Load::start(sidecar.address(), &mut Rng::with_seed(5));
    load.wait_acknowledged(10 * ACKNOWLEDGED_MIN);
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_within(PATIENCE), Some(0), "{}", sidecar.log());
    Stopped { dir, sent: load.end() }.check();
}
