//! The push against a sink made by hand, over real sockets.

mod chaos;
mod fleet;
mod killed;
mod otlp;
mod refusals;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use openclaw_trace::client::{ANSWER_BYTES_MAX, Cancel, Client, ClientConfig, Error};
use openclaw_trace::clock::Clock;
use openclaw_trace::config::{Identity, PushConfig, PushFormat, Secret};
use openclaw_trace::event::Table;
use openclaw_trace::push::backoff::Backoff;
use openclaw_trace::push::{LastPush, Pusher, Setup};
use openclaw_trace::stats::Stats;

use self::store::Store;
use crate::support::PATIENCE;
use crate::support::sink::{Say, Seen, Sink, tls_file};

const BYTES_MAX: usize = 4000;

/// A store, and a pusher of its rows to `url`.
struct Side {
    store: Store,
    stats: Arc<Stats>,
    pusher: Arc<Pusher>,
}

impl Side {
    fn new(url: &str) -> Side {
        Side::with(url, |_| {})
    }

    fn with(url: &str, change: impl FnOnce(&mut Setup)) -> Side {
        let stats = Arc::new(Stats::default());
        Side::of(Store::start(&stats), stats, url, change)
    }

    fn of(store: Store, stats: Arc<Stats>, url: &str, change: impl FnOnce(&mut Setup)) -> Side {
        let pusher = Arc::new(Pusher::new(setup_of(&store, &stats, url, change)));
        Side { store, stats, pusher }
    }

    /// Runs the scheduler until the sender that it returns is dropped.
    fn run(&self) -> (smol::channel::Sender<Infallible>, JoinHandle<()>) {
        let (stopping, stop) = smol::channel::bounded(1);
        let pusher = Arc::clone(&self.pusher);
        (stopping, thread::spawn(move || smol::block_on(pusher.run(stop))))
    }

    fn push_once(&self, patience: Duration) -> LastPush {
        smol::block_on(self.pusher.push_once(Instant::now() + patience))
    }

    fn run_until_settled(&self) {
        let (stopping, running) = self.run();
        assert!(self.store.wait_all_settled(PATIENCE), "rows are left: {:?}", self.stats.push());
        drop(stopping);
        running.join().unwrap();
        // The cycle may still be counting what was confirmed.
        assert_eq!(self.push_once(PATIENCE).unfinished, None);
    }
}

/// A push of the rows of a store that loses no time.
fn setup_of(store: &Store, stats: &Arc<Stats>, url: &str, change: impl FnOnce(&mut Setup)) -> Setup {
    let soon = Backoff { least: Duration::from_millis(1), most: Duration::from_millis(2) };
    let mut setup = Setup {
        config: PushConfig {
            endpoint: url.to_owned(),
            token: Some(Secret::new("t0ken".to_owned())),
            interval: Duration::from_millis(1),
            ca_file: None,
            max_bytes: BYTES_MAX,
            format: PushFormat::Json,
            gzip: false,
            tables: Table::ALL.to_vec(),
            headers: Vec::new(),
            insecure: false,
        },
        identity: Identity { fly_region: Some("ams".to_owned()), ..Identity::default() },
        version: "1.2.3",
        open: store.open(),
        queue: store.queue.clone(),
        stats: Arc::clone(stats),
        clock: Clock::real(),
        backoff: soon,
        misconfigured: soon,
        // Longer than any test: what ends sooner was not ended by it.
        request_timeout: 2 * PATIENCE,
    };
    change(&mut setup);
    setup
}

/// Identities of the rows in a body.
fn ids(seen: &Seen) -> Vec<String> {
    seen.rows().into_iter().map(|(_, id)| id).collect()
}

/// Every row must be in the bodies that the sink took, in just one of them: bodies are told apart by their key.
fn assert_each_once(seen: &[Seen], stored: &BTreeSet<String>) {
    let taken: BTreeMap<&str, &Seen> =
        seen.iter().filter(|s| s.taken).map(|s| (s.header("idempotency-key").unwrap(), s)).collect();
    let mut rows: Vec<String> = taken.values().flat_map(|s| ids(s)).collect();
    rows.sort();
    assert_eq!(rows, stored.iter().cloned().collect::<Vec<_>>());
}

#[test]
fn every_row_arrives_once_after_every_kind_of_failure() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let script = (0..60).map(|_| match random.u8(0..14) {
            0 => Say::status([500, 502, 408, 409, 425, 429][random.usize(0..6)]),
            1 => Say::Status(503, "retry-after: 0\r\n", String::new()),
            2 => Say::Status(204, "", String::new()),
            3 => Say::Status(200, "content-type: text/html\r\n", "<html>".to_owned()),
            4 => Say::CloseEarly,
            5 => Say::TakeAndClose,
            6 => Say::Truncate,
            7 => Say::Status(307, "location: /elsewhere\r\n", String::new()),
            8 => Say::status(401),
            _ => Say::ok(),
        });
        let sink = Sink::start(script.collect());
        let side = Side::new(&sink.url());
        for table in Table::ALL {
            side.store.add(table, random.i64(0..250), random.usize(0..200));
        }
        side.store.add(Table::LlmTraces, 2, BYTES_MAX);
        side.store.fail_to_note(random.usize(0..3));
        side.run_until_settled();

        let seen = sink.seen();
        assert_each_once(&seen, &side.store.ids());
        let too_large = seen.iter().filter(|s| s.body.len() > BYTES_MAX);
        assert!(too_large.clone().all(|s| ids(s).len() == 1), "seed {seed}: only a row alone may be larger");
        assert!(too_large.count() >= 2, "seed {seed}");
        let push = side.stats.push().clone();
        assert_eq!(push.rows, side.store.ids().len() as u64);
        assert_eq!(push.failures_in_row, 0);
    }
}

#[test]
fn a_request_is_what_the_contract_says() {
    let sink = Sink::start(vec![Say::status(500), Say::TakeAndClose]);
    let side = Side::new(&sink.url());
    side.store.add(Table::ErrorEvents, 1, 3);
    for _ in 0..2 {
        assert!(side.push_once(PATIENCE).unfinished.is_some());
    }
    let seen = sink.wait(|seen| seen.len() == 2);
    let body = seen[0].json();
    let at: i64 = side.store.conn().query_row("SELECT timestamp FROM error_events", [], |row| row.get(0)).unwrap();
    let row = serde_json::json!({"trace_id": side.store.ids_of(Table::ErrorEvents)[0], "timestamp": at, "received_at": at,
        "message": "\u{e9}", "severity": "error", "text_truncated": 0, "source": "native"});
    let instance: String =
        side.store.conn().query_row("SELECT value FROM meta WHERE key = 'instance_id'", [], |row| row.get(0)).unwrap();
    let expected = serde_json::json!({
        "schema_version": 1, "batch_id": seen[0].header("idempotency-key").unwrap(),
        "agent": {"instance_id": instance, "hostname": null, "fly_app_name": null, "fly_machine_id": null,
                  "fly_region": "ams", "fly_image_ref": null, "fly_process_group": null, "version": "1.2.3"},
        "llm_traces": [], "error_events": [row], "custom_events": [], "system_metrics": []});
    assert_eq!(body, expected);
    assert!(seen[0].head.starts_with("POST /in?key=hush HTTP/1.1\r\n"));
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Bearer t0ken"),
        ("user-agent", "openclaw-trace/1.2.3"),
        ("x-trace-attempt", "1"),
    ] {
        assert_eq!(seen[0].header(name), Some(value), "{name}");
    }
    assert_eq!(seen[1].header("x-trace-attempt"), Some("2"));
    assert_eq!((&seen[1].body, seen[1].header("idempotency-key")), (&seen[0].body, seen[0].header("idempotency-key")));
    let report = side.stats.push().clone();
    let error = report.last_error.unwrap();
    assert!(!error.contains("t0ken") && !error.contains("hush"), "{error}");
}

#[test]
fn a_confirmation_that_the_writer_could_not_note_is_asked_for_again_under_the_same_id() {
    let sink = Sink::start(vec![]);
    let side = Side::new(&sink.url());
    side.store.add(Table::LlmTraces, 3, 9);
    // The first that is to be noted is the batch, before it is sent.
    side.store.fail_to_note(2);
    let first = side.push_once(PATIENCE);
    assert!(first.unfinished.unwrap().contains("could not note"));
    assert_eq!(side.store.cursors(), [0; 4]);
    assert_eq!(side.push_once(PATIENCE), LastPush { batches: 1, rows: 3, unfinished: None });
    let seen = sink.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].body, seen[1].body);
}

#[test]
fn rows_that_the_receiver_refuses_for_ever_are_dead_letters_and_the_others_are_confirmed() {
    let stats = Arc::new(Stats::default());
    let store = Store::start(&stats);
    store.add(Table::LlmTraces, 3, 9);
    let bad = store.ids_of(Table::LlmTraces)[1].clone();
    let refused = format!(
        r#"{{"rejected":[{{"table":"llm_traces","trace_id":"{bad}","code":"bad","message":"no","retryable":false}},
            {{"trace_id":"nobody","retryable":false}}]}}"#
    );
    let sink = Sink::start(vec![Say::Status(207, "", refused)]);
    let side = Side::of(store, stats, &sink.url(), |_| {});
    assert_eq!(side.push_once(PATIENCE), LastPush { batches: 1, rows: 2, unfinished: None });
    assert_eq!(side.stats.push().rows_rejected, 1);
    assert!(side.store.all_settled());
    assert_eq!(side.store.dead(), BTreeSet::from([bad]));
    let account = side.stats.store().rows[Table::LlmTraces.index()];
    assert_eq!((account.unsynced, account.waiting, account.dead), (0, 0, 1));
    let said: (i64, String, String, i64) = side
        .store
        .conn()
        .query_row("SELECT status, code, message, attempts FROM dead_letters", [], |row| row.try_into())
        .unwrap();
    assert_eq!(said, (207, "bad".to_owned(), "no".to_owned(), 1));
}

#[test]
fn the_deadline_cancels_a_push_that_hangs_and_the_rows_stay() {
    let sink = Sink::start(vec![Say::Hang]);
    let side = Side::new(&sink.url());
    side.store.add(Table::LlmTraces, 3, 9);
    // The sink hangs until the connection is closed: that this returns is the proof.
    let last = side.push_once(Duration::from_millis(100));
    assert_eq!(last, LastPush { batches: 0, rows: 0, unfinished: Some("the deadline came first".to_owned()) });
    assert_eq!(side.store.cursors(), [0; 4]);
    assert_eq!(side.stats.push().failures, 0, "stopping is no failure");
}

#[test]
fn a_request_without_an_answer_times_out_and_is_tried_again() {
    let sink = Sink::start(vec![Say::Hang]);
    let side = Side::with(&sink.url(), |setup| setup.request_timeout = Duration::from_millis(200));
    side.store.add(Table::LlmTraces, 3, 9);
    assert!(side.push_once(PATIENCE).unfinished.unwrap().contains("timeout"));
    side.run_until_settled();
    assert_eq!(side.stats.push().failures_in_row, 0);
}

#[test]
fn a_push_under_way_when_the_stop_comes_is_finished_by_the_last_push() {
    let (go, wait) = mpsc::channel();
    let sink = Sink::start(vec![Say::Wait(wait)]);
    let side = Side::new(&sink.url());
    side.store.add(Table::LlmTraces, 3, 9);
    let (stopping, running) = side.run();
    sink.wait(|seen| seen.len() == 1);
    drop(stopping);
    running.join().unwrap();
    // A row that is stored while the push is under way goes with the last push too.
    side.store.add(Table::CustomEvents, 1, 9);
    go.send(()).unwrap();
    let last = side.push_once(PATIENCE);
    assert_eq!(last, LastPush { batches: 2, rows: 4, unfinished: None });
    assert_each_once(&sink.seen(), &side.store.ids());
}

#[test]
fn there_are_never_two_pushes_at_once() {
    let (go, wait) = mpsc::channel();
    let sink = Sink::start(vec![Say::Wait(wait)]);
    let side = Side::new(&sink.url());
    side.store.add(Table::LlmTraces, 3, 9);
    let (stopping, running) = side.run();
    sink.wait(|seen| seen.len() == 1);
    let pusher = Arc::clone(&side.pusher);
    let last = thread::spawn(move || smol::block_on(pusher.push_once(Instant::now() + PATIENCE)));
    go.send(()).unwrap();
    assert_eq!(last.join().unwrap().unfinished, None);
    drop(stopping);
    running.join().unwrap();
    // A second push beside the first would have sent the same rows under another key.
    assert_each_once(&sink.seen(), &side.store.ids());
}

#[test]
fn a_receiver_that_asks_for_a_second_is_left_alone_for_it() {
    let sink = Sink::start(vec![Say::Status(503, "retry-after: 1\r\n", String::new())]);
    let side = Side::new(&sink.url());
    side.store.add(Table::LlmTraces, 3, 9);
    side.run_until_settled();
    let seen = sink.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1));
}

#[test]
fn a_push_under_way_that_hangs_is_cancelled_at_the_deadline() {
    let sink = Sink::start(vec![Say::Hang]);
    let side = Side::new(&sink.url());
    side.store.add(Table::LlmTraces, 3, 9);
    let (stopping, running) = side.run();
    sink.wait(|seen| seen.len() == 1);
    drop(stopping);
    running.join().unwrap();
    let last = side.push_once(Duration::from_millis(50));
    assert_eq!(last.unfinished.as_deref(), Some("the deadline came first"));
    sink.wait_hung_up();
    assert_eq!(sink.seen().len(), 1, "there is no second attempt");
}

#[test]
fn a_deadline_that_has_passed_sends_nothing() {
    let sink = Sink::start(vec![]);
    let side = Side::new(&sink.url());
    side.store.add(Table::LlmTraces, 3, 9);
    assert!(side.push_once(Duration::ZERO).unfinished.is_some());
    assert_eq!(sink.seen().len(), 0);
}

#[test]
fn a_remote_that_nobody_listens_at_is_a_failure_that_passes() {
    // An address of loopback that no other test uses, so that nobody takes the port.
    let closed = TcpListener::bind("127.0.0.77:0").unwrap().local_addr().unwrap();
    let side = Side::new(&format!("http://{closed}/"));
    side.store.add(Table::LlmTraces, 3, 9);
    assert!(side.push_once(PATIENCE).unfinished.is_some());
    assert_eq!(side.store.cursors(), [0; 4]);
    assert_eq!(side.stats.push().failures_in_row, 1);
}

#[test]
fn a_private_authority_is_trusted_only_when_its_file_is_named() {
    let sink = Sink::start_tls(vec![]);
    let url = format!("https://localhost:{}/in", sink.address.port());
    let push = |ca_file: Option<PathBuf>| {
        let side = Side::with(&url, |setup| setup.config.ca_file = ca_file);
        side.store.add(Table::LlmTraces, 50, 200);
        let last = side.push_once(PATIENCE);
        assert_eq!(side.store.all_settled(), last.unfinished.is_none());
        last
    };
    let stranger = push(None);
    assert_eq!(stranger.rows, 0);
    assert!(stranger.unfinished.unwrap().contains("certificate"));
    assert_eq!(sink.seen().len(), 0, "not even the token is shown to a stranger");
    let trusted = push(Some(tls_file("ca.pem")));
    assert_eq!((trusted.rows, trusted.unfinished), (50, None));
    assert_eq!(push(Some(tls_file("server.key"))).rows, 0, "a file without a certificate trusts nobody");
}

fn client() -> Client {
    let config = ClientConfig { ca_pem: None, user_agent: "test", timeout: PATIENCE, private_http: false };
    Client::new(&config, Cancel::default()).unwrap()
}

#[test]
fn a_fetch_returns_status_and_body_whatever_they_are() {
    let redirect = Say::Status(302, "location: /elsewhere\r\n", String::new());
    let busy = Say::Status(503, "retry-after: 7\r\n", "{\"status\":\"full\"}".to_owned());
    let sink = Sink::start(vec![busy, redirect]);
    let client = client();
    let answer = client.fetch(&sink.url(), &[]).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (503, b"{\"status\":\"full\"}".as_slice()));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(client.fetch(&sink.url(), &[]).unwrap().status, 302);
    assert_eq!(sink.seen().len(), 2, "a redirect is not followed");
}

#[test]
fn an_answer_of_any_size_takes_bounded_memory() {
    let sink = Sink::start(vec![Say::Status(200, "", " ".repeat(8 * ANSWER_BYTES_MAX))]);
    let answer = client().fetch(&sink.url(), &[]).unwrap();
    assert_eq!((answer.body.len(), answer.cut), (ANSWER_BYTES_MAX, true));
}

#[test]
fn a_body_shorter_than_announced_is_an_error_of_the_body() {
    let sink = Sink::start(vec![]);
    let error = client().post(&sink.url(), &[], &b"four"[..], 5, false).unwrap_err();
    assert!(matches!(error, Error::Body(_)), "{error}");
    assert_eq!(sink.seen().len(), 0);
}
