//! `backup FILE`: what is in it, what is left behind when there is none, and that it can be put back.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use nix::sys::signal::Signal;
use openclaw_trace::shutdown::{Interrupt, hold_signals};
use openclaw_trace::store::{BackupError, GiveUp, backup};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cuts::found::{Found, sound, trace_ids};
use crate::cuts::load::Load;
use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::sidecar::{NO_SAMPLES, PROGRAM, Sidecar, check_laws, run};
use crate::support::sink::Sink;

/// Posts so many rows of about a kilobyte, and returns when they are stored. Says their ids.
fn post(sidecar: &Sidecar, rows: usize) -> HashSet<String> {
    let mut client = sidecar.client();
    let mut ids = HashSet::new();
    while ids.len() < rows {
        let some = (0..500.min(rows - ids.len())).map(|_| json!({"model": "m", "prompt": "x".repeat(1000)}));
        let answer =
            client.post("/v1/traces", "application/json", Value::from_iter(some).to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 202);
        ids.extend(answer.json()["trace_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
    }
    ids
}

/// A database of some megabytes, which nobody has open.
fn database(dir: &TempDir) -> PathBuf {
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    post(&sidecar, 4000);
    sidecar.stop();
    db
}

fn back_up(db: &Path, file: &Path) -> Output {
    run(&["backup", file.to_str().unwrap()], &[("TRACE_DB_PATH", db.to_str().unwrap())])
}

/// The facts of the line on stdout.
fn facts(done: &Output) -> HashMap<String, String> {
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let line = String::from_utf8(done.stdout.clone()).unwrap();
    line.split_whitespace().map(|fact| fact.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
}

fn complaint(done: &Output, code: i32) -> String {
    assert_eq!(done.status.code(), Some(code), "{done:?}");
    String::from_utf8(done.stderr.clone()).unwrap()
}

/// Names in a directory.
fn names(dir: &Path) -> HashSet<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn ids(db: &Path) -> HashSet<String> {
    trace_ids(db).into_iter().map(|(_, id)| id).collect()
}

fn never() -> GiveUp {
    Arc::new(|| false)
}

#[test]
fn a_backup_under_load_restores_to_every_row_that_was_acknowledged_before_it_began() {
    let dir = TempDir::new("backup");
    let (db, file) = (dir.join("trace.db"), dir.join("backup.db"));
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let before = post(&sidecar, 6000);
    let load = Load::start(sidecar.address(), &mut Rng::with_seed(6));
    load.wait_acknowledged(50);
    let made = facts(&back_up(&db, &file));
    sidecar.kill();
    let sent = load.end();

    assert_eq!(made["bytes"], fs::metadata(&file).unwrap().len().to_string());
    assert!(made["llm_traces"].parse::<usize>().unwrap() >= before.len(), "{made:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // What docs/operations.md says: the old file and what belongs to it go aside, the copy takes its place.
    for suffix in ["", "-wal", "-shm"] {
        let at = |name: &str| dir.join(&format!("{name}{suffix}"));
        drop(fs::rename(at("trace.db"), at("lost.db")));
    }
    fs::copy(&file, &db).unwrap();
    let restored = Sidecar::start(&db, &[NO_SAMPLES]);
    let (status, health) = restored.health();
    assert_eq!((status, &health["database"]["incidents"]), (200, &json!([])), "{health}");
    check_laws(&health);
    assert_eq!(health["database"]["rows"]["llm_traces"]["present"].to_string(), made["llm_traces"]);
    let after = post(&restored, 1);
    restored.stop();

    assert_eq!(sound(&db, "integrity_check"), "ok");
    let there = ids(&db);
    assert!(before.is_subset(&there) && after.is_subset(&there));
    // Of each request that was at work meanwhile, all or nothing.
    let found = Found::all(&db);
    assert!(sent.iter().filter(|request| found.has(request)).count() >= 50);
}

#[test]
fn a_restored_file_is_the_same_instance_and_pushes_what_was_pushed_after_it_again() {
    let dir = TempDir::new("restored");
    let (db, file) = (dir.join("trace.db"), dir.join("backup.db"));
    let sink = Sink::start(Vec::new());
    let endpoint = sink.url();
    let env = [NO_SAMPLES, ("TRACE_PUSH_ENDPOINT", endpoint.as_str()), ("TRACE_PUSH_INTERVAL", "1s")];
    let pushed = |sidecar: &Sidecar, count: usize| {
        let ids = post(sidecar, count);
        sink.wait(|seen| seen.iter().flat_map(|seen| seen.rows()).filter(|(_, id)| ids.contains(id)).count() == count);
        sidecar.wait_health("a confirmed push", |_, health| health["database"]["rows"]["llm_traces"]["unsynced"] == 0);
        ids
    };
    let sidecar = Sidecar::start(&db, &env);
    let first = pushed(&sidecar, 3);
    facts(&back_up(&db, &file));
    let second = pushed(&sidecar, 3);
    sidecar.stop();
    let instance = |db: &Path| -> String {
        read_only(db).query_row("SELECT value FROM meta WHERE key = 'instance_id'", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(instance(&file), instance(&db));

    fs::remove_file(&db).unwrap();
    fs::copy(&file, &db).unwrap();
    let restored = Sidecar::start(&db, &env);
    // Its ids in the file are those that the lost rows had: the remote must not care.
    let third = pushed(&restored, 4);
    restored.stop();
    let times = |wanted: &HashSet<String>| {
        let rows = sink.seen().iter().flat_map(|seen| seen.rows()).collect::<Vec<_>>();
        rows.iter().filter(|(_, id)| wanted.contains(id)).count()
    };
    assert_eq!((times(&first), times(&second), times(&third)), (3, 3, 4));
    assert_eq!(ids(&db), first.union(&third).cloned().collect());

    // One step older: the backup of a file whose rows were not pushed yet pushes them once more.
    let other = Sidecar::start(&dir.join("other.db"), &[NO_SAMPLES]);
    let early = post(&other, 2);
    facts(&back_up(&dir.join("other.db"), &dir.join("early.db")));
    other.kill();
    Sidecar::start(&dir.join("other.db"), &env).stop();
    Sidecar::start(&dir.join("early.db"), &env).stop();
    assert_eq!(times(&early), 4, "the same ids, twice: the receiver knows them");
}

#[test]
fn commits_meanwhile_neither_start_the_copy_again_nor_get_into_it() {
    let dir = TempDir::new("moment");
    let db = database(&dir);
    let writer = Mutex::new(Connection::open(&db).unwrap());
    /// Far more than this file has, and a check of it.
    const STEPS_MAX: usize = 1000;
    let steps = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&steps);
    let commit: GiveUp = Arc::new(move || {
        *counted.lock().unwrap() += 1;
        assert!(*counted.lock().unwrap() < STEPS_MAX, "it begins again and again");
        writer.lock().unwrap().execute("UPDATE row_counts SET pruned_foreign = pruned_foreign + 1", []).unwrap();
        false
    });
    let rows = read_only(&db).query_row("SELECT count(*) FROM llm_traces", [], |row| row.get::<_, i64>(0)).unwrap();
    let contents = backup(&db, &dir.join("backup.db"), &commit).unwrap();
    assert_eq!(contents.rows, [rows as u64, 0, 0, 0]);
    assert!(contents.bytes > 4 << 20, "{contents:?} has but a few steps");
    let copied = read_only(&dir.join("backup.db"));
    let foreign = copied.query_row("SELECT sum(pruned_foreign) FROM row_counts", [], |row| row.get::<_, i64>(0));
    assert_eq!(foreign, Ok(0), "a commit of later is in the copy");
    assert!(*steps.lock().unwrap() > 4);
}

#[test]
fn a_copy_that_keeps_the_log_from_starting_over_gives_up_before_events_are_refused() {
    let dir = TempDir::new("overtaken");
    let db = database(&dir);
    let before = names(dir.path());
    let writer = Connection::open(&db).unwrap();
    writer.execute_batch("CREATE TABLE stuff (x BLOB) STRICT").unwrap();
    let writer = Mutex::new((writer, 0));
    let grow: GiveUp = Arc::new(move || {
        let (writer, times) = &mut *writer.lock().unwrap();
        writer.execute("INSERT INTO stuff VALUES (zeroblob(20 << 20))", []).unwrap();
        *times += 1;
        // A backup that does not see it must not fill the disk.
        *times > 5
    });
    let refused = backup(&db, &dir.join("backup.db"), &grow).unwrap_err();
    assert!(matches!(refused, BackupError::Overtaken { log_mb: 33..=49 }), "{refused}");
    drop(grow);
    assert_eq!(names(dir.path()), before);
}

#[test]
fn what_is_only_in_the_log_of_a_killed_sidecar_is_in_the_backup_which_needs_no_log() {
    let dir = TempDir::new("log");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES]);
    let ids_sent = post(&sidecar, 20);
    sidecar.kill();
    assert!(fs::metadata(dir.join("trace.db-wal")).unwrap().len() > 0);
    let out = TempDir::new("log-out");
    facts(&back_up(&db, &out.join("backup.db")));
    assert_eq!(names(out.path()), HashSet::from(["backup.db".to_owned()]));
    // As from a medium that cannot be written.
    let mode = read_only(&out.join("backup.db")).query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
    assert_eq!(mode.as_deref(), Ok("delete"));
    assert_eq!(ids(&out.join("backup.db")), ids_sent);
    assert_eq!(names(out.path()), HashSet::from(["backup.db".to_owned()]));
}

#[test]
fn a_name_that_is_taken_is_refused_and_what_is_there_stays() {
    let dir = TempDir::new("taken");
    let db = database(&dir);
    let out = TempDir::new("taken-out");
    let file = out.join("backup.db");
    for (name, word) in [
        ("backup.db", "never overwrites"),
        ("backup.db-journal", "never overwrites"),
        ("backup.db.part", "another backup"),
    ] {
        fs::write(out.join(name), "mine").unwrap();
        let said = complaint(&back_up(&db, &file), 1);
        assert!(said.contains(&format!("/{name} is there")) && said.contains(word), "{said}");
        assert_eq!(names(out.path()), HashSet::from([name.to_owned()]));
        assert_eq!(fs::read(out.join(name)).unwrap(), b"mine");
        fs::remove_file(out.join(name)).unwrap();
    }
    facts(&back_up(&db, &file));
    let made = fs::read(&file).unwrap();
    complaint(&back_up(&db, &file), 1);
    assert!(fs::read(&file).unwrap() == made && names(out.path()).len() == 1);
    // The database itself is a name that is taken, too.
    complaint(&back_up(&db, &db), 1);
}

#[test]
fn what_is_no_sound_database_of_ours_gives_no_backup() {
    let dir = TempDir::new("unreadable");
    let (db, out) = (database(&dir), TempDir::new("unreadable-out"));
    let file = out.join("backup.db");
    let foreign = dir.join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE notes (x)").unwrap();
    fs::write(dir.join("text"), "no database\n".repeat(1000)).unwrap();
    // Some pages in the middle, as a bad disk would: the copy of them is faithful.
    let mut bytes = fs::read(&db).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 8 * 4096].fill(7);
    fs::write(dir.join("broken.db"), bytes).unwrap();
    for (source, said) in [
        ("missing.db", "cannot read"),
        ("text", "cannot read"),
        ("foreign.db", "is not a database of openclaw-trace"),
        ("broken.db", "SQLite finds it broken"),
    ] {
        let complaint = complaint(&back_up(&dir.join(source), &file), 1);
        assert!(complaint.contains(said), "{source}: {complaint}");
        assert!(names(out.path()).is_empty(), "{source}: {:?}", names(out.path()));
    }
    assert!(!dir.join("missing.db").exists());
    let nowhere = complaint(&back_up(&db, &out.join("no/such/backup.db")), 1);
    assert!(nowhere.contains("cannot copy to"), "{nowhere}");
    assert!(complaint(&run(&["backup"], &[]), 64).contains("missing FILE"));
    assert_eq!(run(&["backup", "x"], &[("TRACE_PORT", "x")]).status.code(), Some(78));
}

#[test]
fn a_volume_without_room_for_the_copy_and_its_neighbours_gets_none_of_it() {
    let dir = TempDir::new("no-room");
    let db = database(&dir);
    let Some(small) = TempDir::on_tmpfs("no-room-out", "20m") else { return };
    let said = complaint(&back_up(&db, &small.join("backup.db")), 1);
    assert!(said.contains("20 MB free"), "{said}");
    assert!(names(small.path()).is_empty());
}

#[test]
fn a_copy_that_cannot_be_written_to_its_end_leaves_nothing() {
    let dir = TempDir::new("cut-off");
    let (db, out) = (database(&dir), TempDir::new("cut-off-out"));
    // The largest file that may be written has 1 MiB.
    let script = "ulimit -f 2048; trap '' XFSZ; exec \"$0\" backup \"$1\"";
    let file = out.join("backup.db");
    let done = Command::new("sh").args(["-c", script, PROGRAM]).arg(&file).env("TRACE_DB_PATH", &db).output().unwrap();
    assert!(complaint(&done, 1).contains("cannot copy to"), "{done:?}");
    assert!(names(out.path()).is_empty(), "{:?}", names(out.path()));
}

#[test]
fn a_signal_ends_it_and_nothing_is_left() {
    let dir = TempDir::new("signal");
    let (db, out) = (database(&dir), TempDir::new("signal-out"));
    hold_signals().unwrap();
    let interrupt = Interrupt::new().unwrap();
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let give_up: GiveUp = Arc::new(move || {
        *counted.lock().unwrap() += 1;
        // In the middle, and to this thread alone.
        nix::sys::signal::raise(Signal::SIGTERM).unwrap();
        interrupt.came()
    });
    let stopped = backup(&db, &out.join("backup.db"), &give_up).unwrap_err();
    assert!(matches!(stopped, BackupError::Stopped), "{stopped}");
    assert_eq!(*asked.lock().unwrap(), 1, "it went on");
    assert!(names(out.path()).is_empty());
    backup(&db, &out.join("backup.db"), &never()).unwrap();
}
