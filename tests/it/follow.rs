//! The gateway's log, followed by the real program: every line that should be a row is exactly one, whatever happens to the
//! files, to the store and to the program.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::store::fill;
use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::sidecar::{NO_SAMPLES, PROGRAM, Sidecar, check_laws, until};

const DAY: &str = "openclaw-2026-11-24.log";

/// A directory of logs as the gateway keeps it, and a database.
struct Gateway {
    dir: TempDir,
    /// What the rows must say, and how often.
    wanted: BTreeMap<String, usize>,
    written: usize,
}

impl Gateway {
    fn new(name: &str) -> Gateway {
        let dir = TempDir::new(name);
        fs::create_dir(dir.join("log")).unwrap();
        Gateway { dir, wanted: BTreeMap::new(), written: 0 }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join("log").join(name)
    }

    fn db(&self) -> PathBuf {
        self.dir.join("trace.db")
    }

    /// Starts the program, and returns when it is stored where it begins.
    fn follow(&self) -> Sidecar {
        let log = self.dir.join("log");
        let sidecar = Sidecar::start(&self.db(), &[NO_SAMPLES, ("TRACE_OPENCLAW_LOG", log.to_str().unwrap())]);
        until("the first position", || has_position(&self.db()));
        sidecar
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.file(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// A line that must become a row, with its end.
    fn error(&mut self) -> String {
        self.written += 1;
        let message = format!("failure {}", self.written);
        let line = line("ERROR", "gateway/reload", &message);
        *self.wanted.entry(message).or_default() += 1;
        line
    }

    fn append_error(&mut self, name: &str) {
        let line = self.error();
        self.append(name, line);
    }

    fn rotate(&self, from: &str, to: &str) {
        fs::rename(self.file(from), self.file(to)).unwrap();
    }

    /// What the rows say, and how often.
    fn rows(&self) -> BTreeMap<String, usize> {
        let conn = read_only(&self.db());
        let sql = "SELECT message FROM error_events WHERE source = 'openclaw_log'";
        let mut rows = BTreeMap::new();
        for message in conn.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap() {
            *rows.entry(message.unwrap()).or_default() += 1;
        }
        rows
    }

    /// Waits until there are as many rows as there must be, and compares them.
    fn check_rows(&self) {
        let count = |rows: &BTreeMap<String, usize>| rows.values().sum::<usize>();
        until("all rows", || count(&self.rows()) >= count(&self.wanted));
        assert_eq!(self.rows(), self.wanted);
    }
}

fn line(level: &str, subsystem: &str, message: &str) -> String {
    let line = json!({
        "0": json!({ "subsystem": subsystem }).to_string(),
        "1": message,
        "_meta": {"logLevelName": level, "date": "2026-11-24T14:08:37.933Z", "runtime": "node"},
        "time": "2026-11-24T15:08:37.934+01:00",
    });
    format!("{line}\n")
}

fn has_position(db: &Path) -> bool {
    read_only(db).query_row("SELECT count(*) FROM meta WHERE key = 'openclaw_log'", [], |row| row.get(0)).unwrap()
}

/// That every line that was read is counted as one thing.
fn check_lines(health: &Value) {
    let log = &health["openclaw_log"];
    let count = |name: &str| log[name].as_u64().unwrap();
    let skipped: u64 = log["skipped"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(count("lines"), count("rows") + skipped + count("unreadable") + count("too_long"), "{log}");
    check_laws(health);
}

#[test]
fn lines_become_rows_once_they_are_whole_and_every_other_line_is_counted() {
    let mut gateway = Gateway::new("follow");
    gateway.append(DAY, line("ERROR", "old", "written before anybody followed"));
    gateway.append(DAY, &line("ERROR", "old", "half of it written before")[..40]);
    let sidecar = gateway.follow();
    gateway.append(DAY, "…the other half\n");
    let whole = gateway.error();
    let (begin, end) = whole.split_at(77);
    gateway.append(DAY, begin);
    let after = line("INFO", "gateway/ws", "webchat connected") + "no JSON\n" + &"x".repeat(300 << 10) + "\n";
    // It is read up to the part of a line before that part has its other half.
    sidecar.wait_health("a look at the file", |_, health| health["openclaw_log"]["files"] == 1);
    gateway.append(DAY, end);
    gateway.append(DAY, after);
    gateway.append(DAY, line("INFO", "gateway/channels/telegram", "[default] starting provider (@bot)"));
    gateway.append(DAY, line("INFO", "gateway/reload", "config hot reload applied (models)"));
    gateway.append_error(DAY);
    gateway.check_rows();
    let health = sidecar.wait_health("all lines", |_, health| health["openclaw_log"]["lines"] == 7);
    check_lines(&health);
    let wanted = json!({"files": 1, "lines": 7, "rows": 4, "skipped": {"gateway/ws": 1}, "unreadable": 1, "too_long": 1,
        "files_truncated": 0, "files_lost": 0, "problem": null});
    assert_eq!(health["openclaw_log"], wanted);
    sidecar.stop();
    let conn = read_only(&gateway.db());
    let sql = "SELECT name || ' ' || body || ' ' || source || ' ' || timestamp FROM custom_events ORDER BY id";
    let rows: Vec<String> =
        conn.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(
        rows,
        [
            "openclaw.channel.started [default] starting provider (@bot) openclaw_log 1795529317934",
            "openclaw.config.reloaded config hot reload applied (models) openclaw_log 1795529317934",
        ]
    );
}

#[test]
fn without_the_variable_no_log_is_read_and_health_does_not_speak_of_one() {
    let dir = TempDir::new("follow-off");
    let sidecar = Sidecar::start(&dir.join("trace.db"), &[NO_SAMPLES, ("TRACE_OPENCLAW_LOG", "off")]);
    assert_eq!(sidecar.health().1.get("openclaw_log"), None);
    sidecar.stop();
    assert!(!has_position(&dir.join("trace.db")));
}

#[test]
fn a_log_that_is_not_there_yet_is_waited_for_and_read_from_its_beginning() {
    let mut gateway = Gateway::new("follow-later");
    fs::remove_dir(gateway.dir.join("log")).unwrap();
    let path = gateway.dir.join("log").join("gateway-YYYY-MM-DD.jsonl");
    let sidecar = Sidecar::start(&gateway.db(), &[NO_SAMPLES, ("TRACE_OPENCLAW_LOG", path.to_str().unwrap())]);
    sidecar.wait_line("is not there yet");
    until("the first position", || has_position(&gateway.db()));
    fs::create_dir(gateway.dir.join("log")).unwrap();
    gateway.append(DAY, line("ERROR", "a", "of another log"));
    for name in ["gateway-2026-11-24.jsonl", "gateway-2026-11-25.jsonl"] {
        gateway.append_error(name);
    }
    gateway.check_rows();
    assert_eq!(sidecar.log().matches("is not there yet").count(), 1, "{}", sidecar.log());
    sidecar.stop();
}

#[test]
fn a_new_day_a_rotation_and_other_names_lose_and_repeat_nothing() {
    let mut gateway = Gateway::new("follow-names");
    let sidecar = gateway.follow();
    gateway.append_error(DAY);
    gateway.append_error("openclaw-2026-11-25.log");
    // A logger that was made yesterday goes on with yesterday's file.
    gateway.append_error(DAY);
    gateway.check_rows();
    // What comes just before a file gets another name, and just after.
    for (from, to) in [(DAY, "openclaw-2026-11-24.1.log"), ("openclaw-2026-11-25.log", "out-of-the-way")] {
        gateway.append_error(from);
        gateway.rotate(from, to);
        gateway.append_error(from);
        gateway.append_error(to);
    }
    gateway.check_rows();
    gateway.rotate("openclaw-2026-11-24.1.log", "openclaw-2026-11-24.2.log");
    gateway.rotate(DAY, "openclaw-2026-11-24.1.log");
    for name in ["openclaw-2026-11-24.2.log", "openclaw-2026-11-24.1.log", DAY] {
        gateway.append_error(name);
    }
    gateway.check_rows();
    // A line without its end is one when nothing can follow it: the file was deleted.
    let error = gateway.error();
    gateway.append(DAY, error.trim_end());
    sidecar.wait_health("five files", |_, health| health["openclaw_log"]["files"] == 5);
    fs::remove_file(gateway.file(DAY)).unwrap();
    gateway.check_rows();
    let health = sidecar.wait_health("four files", |_, health| health["openclaw_log"]["files"] == 4);
    assert_eq!((&health["openclaw_log"]["files_lost"], &health["openclaw_log"]["unreadable"]), (&json!(0), &json!(0)));
    check_lines(&health);
    sidecar.stop();
}

#[test]
fn a_file_that_is_cut_short_is_read_from_its_beginning() {
    let mut gateway = Gateway::new("follow-cut");
    let sidecar = gateway.follow();
    for _ in 0..3 {
        gateway.append_error(DAY);
    }
    gateway.check_rows();
    let mut truncated = 0;
    // To less than was read, then to more than that.
    for lines in [1, 2, 5] {
        File::create(gateway.file(DAY)).unwrap();
        let text: String = (0..lines).map(|_| gateway.error()).collect();
        gateway.append(DAY, text);
        gateway.check_rows();
        truncated += 1;
        let health = sidecar.health().1;
        assert_eq!(health["openclaw_log"]["files_truncated"], truncated, "{health}");
        check_lines(&health);
    }
    sidecar.wait_line("was cut short or written anew");
    sidecar.stop();
    // While nobody looked.
    File::create(gateway.file(DAY)).unwrap();
    let text: String = (0..9).map(|_| gateway.error()).collect();
    gateway.append(DAY, text);
    let sidecar = gateway.follow();
    gateway.check_rows();
    sidecar.stop();
}

#[test]
fn a_copy_is_read_on_where_the_original_was_left() {
    let mut gateway = Gateway::new("follow-copy");
    gateway.append(DAY, line("ERROR", "old", "written before anybody followed"));
    let sidecar = gateway.follow();
    gateway.append_error(DAY);
    gateway.check_rows();
    // Rotated by copying, then cutting short.
    gateway.append_error(DAY);
    fs::copy(gateway.file(DAY), gateway.file("openclaw-2026-11-24.1.log")).unwrap();
    File::create(gateway.file(DAY)).unwrap();
    gateway.append_error(DAY);
    gateway.check_rows();
    let health = sidecar.wait_health("both files", |_, health| health["openclaw_log"]["files"] == 2);
    check_lines(&health);
    sidecar.stop();
    // The same files as other inodes, as after a move to another volume.
    for name in [DAY, "openclaw-2026-11-24.1.log"] {
        fs::copy(gateway.file(name), gateway.file("copy")).unwrap();
        gateway.rotate("copy", name);
        gateway.append_error(name);
    }
    let sidecar = gateway.follow();
    gateway.check_rows();
    let health = sidecar.health().1;
    check_lines(&health);
    let counts = ["lines", "files", "files_lost"].map(|name| health["openclaw_log"][name].as_u64().unwrap());
    assert_eq!((counts, &health["events"]["duplicate"]), ([2, 2, 0], &json!(0)), "{health}");
    sidecar.stop();
}

#[test]
fn a_restart_goes_on_where_the_last_run_has_stopped() {
    let mut gateway = Gateway::new("follow-restart");
    let sidecar = gateway.follow();
    gateway.append_error(DAY);
    gateway.append(DAY, line("INFO", "gateway/ws", "nothing"));
    gateway.check_rows();
    // The agent's last words: it ends before the sidecar does.
    gateway.append_error(DAY);
    sidecar.stop();
    assert_eq!(gateway.rows(), gateway.wanted);
    gateway.append_error(DAY);
    gateway.rotate(DAY, "openclaw-2026-11-24.1.log");
    gateway.append_error(DAY);
    gateway.append_error("openclaw-2026-11-25.log");
    let sidecar = gateway.follow();
    gateway.check_rows();
    let health = sidecar.health().1;
    check_lines(&health);
    assert_eq!(health["events"]["duplicate"], 0, "nothing was read twice: {health}");
    sidecar.stop();
    // Another log begins at its end.
    let other = gateway.dir.join("log").join("openclaw-2026-11-25.log");
    let sidecar = Sidecar::start(&gateway.db(), &[NO_SAMPLES, ("TRACE_OPENCLAW_LOG", other.to_str().unwrap())]);
    sidecar.wait_health("the other log", |_, health| health["openclaw_log"]["files"] == 1);
    gateway.append_error("openclaw-2026-11-25.log");
    gateway.check_rows();
    sidecar.stop();
}

#[test]
fn a_file_that_was_gone_before_it_was_read_is_counted_and_an_inode_that_is_used_again_is_another_file() {
    let mut gateway = Gateway::new("follow-gone");
    let sidecar = gateway.follow();
    for _ in 0..3 {
        gateway.append_error(DAY);
    }
    gateway.check_rows();
    sidecar.stop();
    fs::remove_file(gateway.file(DAY)).unwrap();
    // On many file systems this one gets the inode of the other.
    for _ in 0..5 {
        gateway.append_error("openclaw-2026-11-25.log");
    }
    let sidecar = gateway.follow();
    gateway.check_rows();
    let health = sidecar.wait_health("one file", |_, health| health["openclaw_log"]["files"] == 1);
    assert_eq!(health["openclaw_log"]["files_lost"], 1, "{health}");
    sidecar.wait_line("lines of the gateway's log may be lost");
    check_lines(&health);
    sidecar.stop();
}

#[test]
fn what_is_killed_at_any_moment_repeats_and_skips_nothing() {
    let seed = std::env::var("CUTS_SEED").map_or(2, |text| text.parse().unwrap());
    eprintln!("CUTS_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut gateway = Gateway::new("follow-kill");
    gateway.follow().stop();
    let mut day = 1;
    let mut name = format!("openclaw-2026-11-{day:02}.log");
    for round in 0..12 {
        let sidecar = gateway.follow();
        for _ in 0..random.usize(1..40) {
            match random.u8(0..12) {
                0 if day < 6 => {
                    day += 1;
                    name = format!("openclaw-2026-11-{day:02}.log");
                }
                1 if gateway.file(&name).exists() && !gateway.file(&name.replace(".log", ".1.log")).exists() => {
                    gateway.rotate(&name, &name.replace(".log", ".1.log"));
                }
                2 => gateway.append(&name, line("INFO", "gateway/ws", &"noise ".repeat(random.usize(1..500)))),
                3 => {
                    let lines: String = (0..random.usize(1..300)).map(|_| gateway.error()).collect();
                    gateway.append(&name, lines);
                }
                _ => {
                    let line = gateway.error();
                    let (begin, end) = line.split_at(random.usize(0..line.len()));
                    gateway.append(&name, begin);
                    // Not for luck: this is what makes the moment of a look, and of the end, a random one.
                    thread::sleep(Duration::from_micros(random.u64(0..20_000)));
                    gateway.append(&name, end);
                }
            }
        }
        if round % 4 == 3 {
            gateway.check_rows();
        }
        // The ids alone would keep a line that is read twice from being two rows.
        let health = sidecar.health().1;
        assert_eq!(health["events"]["duplicate"], 0, "round {round}: {health}");
        sidecar.kill();
        let (rows, wanted) = (gateway.rows(), &gateway.wanted);
        assert!(rows.iter().all(|(row, count)| *count == 1 && wanted.contains_key(row)), "round {round}");
    }
    assert!(gateway.wanted.len() > 500, "too few lines to prove anything: {}", gateway.wanted.len());
    let sidecar = gateway.follow();
    gateway.check_rows();
    let health = sidecar.health().1;
    check_lines(&health);
    assert_eq!(
        (&health["openclaw_log"]["files_lost"], &health["events"]["duplicate"]),
        (&json!(0), &json!(0)),
        "{health}"
    );
    sidecar.stop();
}

#[test]
fn lines_wait_for_a_store_that_is_full_and_none_is_lost() {
    let Some(volume) = TempDir::on_tmpfs("follow-full", "8m") else { return };
    let gateway = Gateway::new("follow-full-log");
    let (db, log) = (volume.join("trace.db"), gateway.dir.join("log"));
    // Nothing may be removed to make room: the remote has none of it.
    let closed = std::net::TcpListener::bind("127.0.0.80:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}/");
    let env = [NO_SAMPLES, ("TRACE_OPENCLAW_LOG", log.to_str().unwrap()), ("TRACE_PUSH_ENDPOINT", &endpoint)];
    let sidecar = Sidecar::start(&db, &env);
    until("the first position", || has_position(&db));
    let stranger = volume.join("stranger");
    fill(&stranger);
    let long = "x".repeat(1000);
    let mut lines = 0;
    until("a full store", || {
        let (status, health) = sidecar.health();
        if health["openclaw_log"]["rows"] == lines {
            let more: String = (lines..lines + 100).map(|n| line("ERROR", "a", &format!("{n} {long}"))).collect();
            gateway.append(DAY, more);
            lines += 100;
        }
        status == 503
    });
    // The file is gone before its lines are stored; they are read all the same.
    fs::remove_file(gateway.file(DAY)).unwrap();
    fs::remove_file(&stranger).unwrap();
    let health = sidecar.wait_health("the last line", |_, health| health["openclaw_log"]["rows"] == lines);
    check_lines(&health);
    assert!(health["events"]["refused"]["store_full"].as_u64() > Some(0), "{health}");
    let stored: i64 = read_only(&db).query_row("SELECT count(*) FROM error_events", [], |row| row.get(0)).unwrap();
    assert_eq!(
        (stored, &health["events"]["duplicate"], &health["openclaw_log"]["files_lost"]),
        (lines, &json!(0), &json!(0))
    );
    sidecar.stop();
}

#[test]
fn a_file_that_may_not_be_read_is_told_once_and_tried_again() {
    const NOBODY: u32 = 65_534;
    let mut gateway = Gateway::new("follow-forbidden");
    let anybody = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    anybody(gateway.dir.path(), 0o777);
    // To root nothing is forbidden.
    let program = gateway.dir.join("program");
    fs::copy(PROGRAM, &program).unwrap();
    let mut command = Command::new(&program);
    let is_root = fs::metadata(gateway.dir.path()).unwrap().uid() == 0;
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    gateway.append_error(DAY);
    gateway.wanted.clear();
    anybody(&gateway.file(DAY), 0o000);
    let log = gateway.dir.join("log");
    let sidecar = Sidecar::launch(command, &gateway.db(), &[NO_SAMPLES, ("TRACE_OPENCLAW_LOG", log.to_str().unwrap())]);
    sidecar.wait_line("log cannot be read");
    until("the first position", || has_position(&gateway.db()));
    // Another file is not kept from being read by this one.
    gateway.append_error("openclaw-2026-11-25.log");
    gateway.check_rows();
    let health = sidecar.wait_health("a problem", |_, health| !health["openclaw_log"]["problem"].is_null());
    assert!(health["openclaw_log"]["problem"].as_str().unwrap().contains(DAY), "{health}");
    anybody(&gateway.file(DAY), 0o600);
    if is_root {
        chown(gateway.file(DAY), Some(NOBODY), None).unwrap();
    }
    gateway.append_error(DAY);
    gateway.check_rows();
    sidecar.wait_health("no problem", |_, health| health["openclaw_log"]["problem"].is_null());
    assert_eq!(sidecar.log().matches("log cannot be read").count(), 1, "{}", sidecar.log());
    sidecar.stop();
}
