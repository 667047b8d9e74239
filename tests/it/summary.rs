//! What calls cost, as it is asked of the real program: `/v1/summary`, and `report` from a file, a copy and a URL.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use openclaw_trace::clock::{Clock, hour_start};
use openclaw_trace::event::Histogram;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::dir::TempDir;
use crate::support::sidecar::{NO_SAMPLES, PROGRAM, Sidecar, run};

const HOUR: i64 = 3_600_000;
/// 2026-11-23T18:00:00Z
const SIX: i64 = 1_795_456_800_000;

/// A database as the program makes it, with nothing in it.
fn database(db: &Path) {
    Sidecar::start(db, &[NO_SAMPLES]).stop();
}

fn this_hour() -> i64 {
    hour_start(Clock::real().now_ms())
}

/// Sums of one hour: names (provider, model, agent, channel, status), calls, input and output tokens, part of the input
/// from the cache, cost in dollars, rows without a price, and how long calls took.
type Sums<'a> = (i64, [&'a str; 5], [i64; 4], f64, i64, &'a [i64]);

fn put(db: &Path, (hour, names, [calls, input, output, cached], cost, unpriced, times): Sums<'_>) {
    let (mut latency, mut ttft) = (Histogram::default(), Histogram::default());
    times.iter().for_each(|ms| latency.record(*ms));
    times.iter().for_each(|ms| ttft.record(*ms / 4));
    let sql = "INSERT INTO usage_hourly VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, 0, 0, ?11, ?12, ?13, ?14)";
    let [provider, model, agent, channel, status] = names;
    let cost = (cost * 1e12) as i64;
    let params = rusqlite::params![
        hour,
        provider,
        model,
        agent,
        channel,
        status,
        calls,
        input,
        output,
        cached,
        cost,
        unpriced,
        latency.encode(),
        ttft.encode()
    ];
    Connection::open(db).unwrap().execute(sql, params).unwrap();
}

fn put_coverage(db: &Path, hour: i64, service: &str, rows: i64, reported: i64) {
    let sql = "INSERT INTO coverage_hourly VALUES (?1, ?2, 1, ?3, 0, 1, ?4, 0, 0)";
    Connection::open(db).unwrap().execute(sql, (hour, service, rows, reported)).unwrap();
}

/// A few calls of two hours, the second of which begins at `hour`.
fn fill(db: &Path, hour: i64) {
    let dear = ["anthropic", "claude-sonnet-4-5", "main", "webchat", "ok"];
    put(db, (hour - HOUR, dear, [800, 12_000_000, 401_000, 10_000_000], 10.2, 0, &[900, 2100, 4100, 4100, 31_000]));
    put(db, (hour, dear, [12, 300_000, 9000, 0], 0.9, 0, &[700, 1200]));
    put(db, (hour, ["anthropic", "claude-sonnet-4-5", "main", "cron", "error"], [3, 0, 0, 0], 0.0, 0, &[30_000]));
    put(db, (hour, ["openai", "gpt-5-mini", "helper", "cron", "ok"], [40, 90_000, 7000, 0], 0.0123, 2, &[450]));
    put(db, (hour, ["", "modell-\u{6a21}\u{578b}-with-a-long-name", "", "", "ok"], [5, 1500, 300, 0], 0.0, 5, &[]));
    put_coverage(db, hour, "openclaw-gateway", 2_000_000, 10_000_000);
    put_coverage(db, hour, "worker", 990, 1000);
}

fn report(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("report").args(args).current_dir(directory).env_clear().env("TRACE_DB_PATH", "trace.db");
    command.env("TRACE_BUDGET_DAY_USD", "12.5").output().unwrap()
}

/// What it printed, if it did.
fn printed(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_report_of_a_file_is_what_a_person_should_read() {
    let dir = TempDir::new("report");
    let db = dir.join("trace.db");
    database(&db);
    fill(&db, SIX);
    let since = ["--since", "2026-11-20T00:00:00Z", "--until", "2026-11-23T19:00:00Z"];
    // A day that is not in the file: what today is changes, and what it has cost does not.
    for (args, expected) in [(&["--by", "model"][..], "by-model.txt"), (&["--by", "hour,agent"], "by-hour-agent.txt")] {
        let text = printed(report(dir.path(), &[&since[..], args].concat()));
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let budget = lines.iter().position(|line| line.starts_with("budget ")).unwrap();
        assert!(lines.remove(budget).starts_with("budget    $0 of $12.50 on 2"), "{text}");
        let text = lines.join("\n") + "\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report").join(expected);
        assert_eq!(text, fs::read_to_string(&path).unwrap(), "{}:\n{text}", path.display());
    }
}

#[test]
fn the_route_a_file_and_a_url_have_the_same_answer() {
    let dir = TempDir::new("summary");
    let db = dir.join("trace.db");
    database(&db);
    let hour = this_hour();
    fill(&db, hour);
    let (since, until) = ((hour - 24 * HOUR).to_string(), (hour + HOUR).to_string());
    let budget = ("TRACE_BUDGET_DAY_USD", "12.5");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES, budget, ("TRACE_TOKEN", "s3cret"), ("TRACE_OTLP_PORT", "0")]);
    // Whoever has answered has started all that it starts by itself.
    let (status, health) = sidecar.health();
    assert_eq!((status, &health["budget"]["limit_usd"]), (200, &json!(12.5)), "{health}");
    let threads = sidecar.threads();
    let args = ["--json", "--since", &since, "--until", &until, "--by", "model,day"];
    let url = format!("http://{}", sidecar.address());
    let ask = |from: &str, token: &str| {
        let db = ("TRACE_DB_PATH", db.to_str().unwrap());
        run(&[&["report"], &args[..], &[from][..]].concat(), &[db, budget, ("TRACE_TOKEN", token)])
    };
    let path = format!("/v1/summary?since={since}&until={until}&by=model,day");
    let mut client = sidecar.client();
    let get = |client: &mut Client, method: &str, path: &str, token: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        client.send(head.as_bytes()).unwrap();
        client.answer().unwrap()
    };
    let answer = get(&mut client, "GET", &path, "s3cret");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let route = String::from_utf8(answer.body).unwrap() + "\n";
    assert_eq!(printed(ask(&url, "s3cret")), route, "from a URL");
    assert_eq!(printed(ask(db.to_str().unwrap(), "")), route, "from the live file");
    assert!(sidecar.threads() <= threads + 1, "one thread answers them all");

    let summary: Value = serde_json::from_str(&route).unwrap();
    let total = &summary["total"];
    assert_eq!((&total["calls"], &total["errors"], &total["unpriced"]), (&json!(860), &json!(3), &json!(7)));
    assert_eq!((&total["cost_usd"], &total["cost_picousd"]), (&json!(11.1123), &json!(11_112_300_000_000_i64)));
    assert_eq!(summary["unpriced_models"], json!(["modell-\u{6a21}\u{578b}-with-a-long-name", "gpt-5-mini"]));
    assert_eq!(summary["rows"][0]["latency_ms"].as_object().unwrap().len(), 3);
    let verdicts: Vec<_> = summary["coverage"].as_array().unwrap().iter().map(|c| &c["verdict"]).collect();
    assert_eq!(verdicts, ["incomplete", "complete"]);
    assert_eq!((&summary["budget"]["limit_usd"], &summary["budget"]["crossed"]), (&json!(12.5), &json!(false)));

    let wrong = ask(&url, "wrong");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(1) && said.contains("answered 401") && !said.contains("s3cret"), "{said}");
    assert_eq!(get(&mut sidecar.client(), "GET", &path, "").status, 401);
    let otlp = sidecar.wait_line("listening for OTLP alone");
    let otlp = otlp.split_once("addr=").unwrap().1.parse().unwrap();
    assert_eq!(get(&mut Client::connect(otlp).unwrap(), "GET", &path, "s3cret").status, 404);
    drop(client);
    sidecar.stop();
    assert!(!dir.join("trace.db-wal").exists(), "the reader has let go of the log");
}

#[test]
fn what_is_asked_wrongly_is_refused_by_name_and_storing_goes_on() {
    let dir = TempDir::new("summary-faults");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let mut client = sidecar.client();
    for (query, field, message) in [
        ("since=soon", "since", "expected a time"),
        ("until=9d", "until", "expected a time after since"),
        ("by=cost", "by", "expected one or two of model, provider, agent, channel, day, hour, status"),
        ("by=day,hour,model", "by", "got 3"),
        ("limit=5", "limit", "expected one of since, until, by"),
    ] {
        let answer = client.fetch(&format!("/v1/summary?{query}")).unwrap();
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"], &error["field"]), (400, &json!("bad_request"), &json!(field)));
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    }
    let answer = client.fetch("/v1/summary").unwrap();
    assert_eq!((answer.status, &answer.json()["recorded_since"]), (200, &Value::Null));
    client
        .send(b"HEAD /v1/summary HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    // The answer to HEAD has a length and no body: the next answer follows at once.
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains("\"status\":\"ok\"") {
        bytes.extend(client.read_some().unwrap());
    }
    assert_eq!(String::from_utf8_lossy(&bytes).matches("HTTP/1.1 200 OK").count(), 2);
    assert!(!String::from_utf8_lossy(&bytes).contains("recorded_since"));
    let answer = client.post("/v1/summary", "application/json", b"{}").unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(sidecar.client().post("/v1/events", "application/json", br#"{"name":"a"}"#).unwrap().status, 202);
    let health = sidecar.health().1;
    assert_eq!((&health["spend"]["cost_usd"], health.get("budget")), (&json!(0.0), None), "{health}");
    sidecar.stop();

    for (args, code, said) in [
        (&["--since", "soon"][..], 64, "report: --since: expected a time"),
        (&["--by", "cost"], 64, "report: --by: expected one or two of"),
        (&["--csv"], 64, "--csv"),
        (&["a", "b"], 64, "\"b\""),
        (&["--since"], 64, "--since"),
        (&["http://127.0.0.1:1/?x=1"], 64, "without a query"),
        (&["http://127.0.0.1:1"], 1, "http://127.0.0.1:1/v1/summary does not answer"),
        (&["not-there.db"], 1, "the URL of a sidecar begins with http://"),
    ] {
        let output = report(dir.path(), args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && stderr.contains(said), "{args:?}: {stderr}");
    }
    assert!(printed(report(dir.path(), &[])).contains("Nothing was recorded yet."));
}

#[test]
fn a_file_that_was_replaced_is_read_anew() {
    let dir = TempDir::new("summary-replaced");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    fill(&db, this_hour());
    let calls = |sidecar: &Sidecar| sidecar.client().fetch("/v1/summary").unwrap().json()["total"]["calls"].clone();
    assert_eq!(calls(&sidecar), json!(860));
    fs::rename(&db, dir.join("taken-away.db")).unwrap();
    // The writer notices with the next request, and begins a new one.
    assert_eq!(sidecar.client().post("/v1/events", "application/json", br#"{"name":"a"}"#).unwrap().status, 202);
    assert_eq!(calls(&sidecar), json!(0));
    sidecar.stop();
}

/// Runs its further arguments in a directory, of which it may change nothing.
const READ_ONLY: &str = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$0" && exec "$@""#;

/// `None` where that cannot be arranged: then the reason is printed.
fn read_only(directory: &Path, file: &str) -> Option<Output> {
    let run = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", READ_ONLY]).arg(directory).args(args);
        command.env("TRACE_DB_PATH", "unused.db").env_remove("TRACE_BUDGET_DAY_USD").output()
    };
    match run(&["true"]) {
        Ok(done) if done.status.success() => Some(run(&[PROGRAM, "report", "--json", file]).unwrap()),
        refused => {
            eprintln!("SKIPPED: no mount namespace can be made here: {refused:?}");
            None
        }
    }
}

#[test]
fn a_copy_is_read_where_nothing_can_be_written_and_nothing_is_left_beside_it() {
    let dir = TempDir::new("report-copy");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    fill(&db, this_hour());
    let original: Value = serde_json::from_str(&printed(report(dir.path(), &["--json"]))).unwrap();
    sidecar.stop();

    // The file of a stopped sidecar says that it is a WAL database, and its log is gone.
    let copies = dir.join("copies #1?");
    fs::create_dir(&copies).unwrap();
    fs::copy(&db, copies.join("copy.db")).unwrap();
    let total = |output: Output| -> Value {
        let summary: Value = serde_json::from_str(&printed(output)).unwrap();
        summary["total"].clone()
    };
    assert_eq!(total(report(&copies, &["--json", "copy.db"])), original["total"]);
    let names = || fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names(), ["copy.db"], "nothing is left beside it");

    let found = read_only(&copies, "copy.db");
    // Somebody had it open: an empty log says nothing, and one with something in it must not be passed over.
    fs::write(copies.join("copy.db-wal"), "").unwrap();
    let beside_empty = read_only(&copies, "copy.db");
    fs::write(copies.join("copy.db-wal"), "x".repeat(5000)).unwrap();
    let beside_full = read_only(&copies, "copy.db");
    let (Some(found), Some(beside_empty), Some(beside_full)) = (found, beside_empty, beside_full) else { return };
    assert_eq!(total(found), original["total"]);
    assert_eq!(total(beside_empty), original["total"]);
    let said = String::from_utf8_lossy(&beside_full.stderr).into_owned();
    assert!(
        beside_full.status.code() == Some(1) && said.contains("copy.db-wal holds a part of the database"),
        "{said}"
    );
}

#[test]
fn a_file_that_has_no_sums_says_so() {
    let dir = TempDir::new("report-strangers");
    database(&dir.join("old.db"));
    let old = Connection::open(dir.join("old.db")).unwrap();
    old.execute_batch(
        "DROP TABLE usage_hourly; DROP TABLE coverage_hourly; UPDATE meta SET value = '1' WHERE key = 'schema_version';",
    )
    .unwrap();
    drop(old);
    database(&dir.join("new.db"));
    let new = Connection::open(dir.join("new.db")).unwrap();
    new.execute("UPDATE meta SET value = '99' WHERE key = 'minimum_reader'", []).unwrap();
    drop(new);
    Connection::open(dir.join("other.db")).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    fs::write(dir.join("text.db"), "no database at all, but a text that is long enough").unwrap();
    for (file, said) in [
        ("old.db", "old.db has schema 1, and the sums by the hour (usage_hourly, coverage_hourly) came with schema 2"),
        ("new.db", "new.db is from a newer version"),
        ("other.db", "other.db is no database of openclaw-trace"),
        ("text.db", "text.db is no database of openclaw-trace"),
        ("trace.db", "cannot read trace.db"),
    ] {
        let output = report(dir.path(), &[file]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && stderr.contains(said), "{file}: {stderr}");
    }
}

#[test]
fn a_day_over_its_budget_is_one_event_however_often_it_starts() {
    let dir = TempDir::new("budget");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES, ("TRACE_BUDGET_DAY_USD", "0.02")]);
    let post = |cost: f64| {
        let body = json!({ "model": "m", "input_tokens": 5, "cost_usd": cost }).to_string();
        let answer = sidecar.client().post("/v1/traces", "application/json", body.as_bytes()).unwrap();
        assert_eq!(answer.status, 202);
    };
    post(0.015);
    assert_eq!(
        sidecar.wait_health("75 %", |_, health| health["budget"]["percent"] == 75.0)["budget"]["crossed"],
        false
    );
    post(0.015);
    // Nothing is refused when it is spent.
    let stored = |sidecar: &Sidecar, what: &str, field: &str, count: u64| {
        sidecar.wait_health(what, |_, health| health["events"][field] == count)
    };
    let health = stored(&sidecar, "two calls and the event", "stored", 3);
    assert_eq!(health["budget"]["crossed"], true);
    post(0.015);
    sidecar.stop();
    // The next start finds the day spent, and that it was told of.
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES, ("TRACE_BUDGET_DAY_USD", "0.02")]);
    stored(&sidecar, "the same event", "duplicate", 1);
    sidecar.stop();
    let (name, severity, limit): (String, String, f64) = Connection::open(&db)
        .unwrap()
        .query_row("SELECT name, severity, attributes ->> 'limit_usd' FROM custom_events", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!((name.as_str(), severity.as_str(), limit), ("openclaw_trace.budget.crossed", "warn", 0.02));
    let events: i64 =
        Connection::open(&db).unwrap().query_row("SELECT count(*) FROM custom_events", [], |row| row.get(0)).unwrap();
    assert_eq!(events, 1);
}
