//! What the samples say of a real process on the machine we are on, against what the kernel tells that process itself, and
//! what the test had it do. No figure is compared with the time that passed: a loaded machine may take as long as it likes.

mod agent;
mod group;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nix::sys::stat::{major, minor};
use nix::unistd::{SysconfVar, sysconf};
use openclaw_trace::collect::{Agent, Collector, Sources};
use openclaw_trace::event::{Scope, SystemMetric};
use rusqlite::types::ValueRef;
use serde_json::{Map, Value, json};

use self::agent::Door;
use self::group::Group;
use crate::support::read_only;
use crate::support::sidecar::{PROGRAM, Sidecar, until, wait_until};

const MIB: i64 = 1 << 20;
/// The kernel tells each of the four CPU times of a process in whole hundredths of a second, rounded down.
const TICK: f64 = 0.01;
/// What an interpreter takes and does besides what it is told: to read the command, and to answer.
const BESIDES: f64 = 0.02;
const BESIDES_BYTES: i64 = 4 * MIB;

/// A collector with the clock of the machine.
struct Watch {
    collector: Collector,
    started: Instant,
}

impl Watch {
    fn of(agent: Agent) -> Watch {
        let page_bytes = sysconf(SysconfVar::PAGE_SIZE).unwrap();
        let sources = Sources { root: "/".into(), disk: std::env::temp_dir(), page_bytes, agent };
        Watch { collector: Collector::new(sources), started: Instant::now() }
    }

    fn sample(&mut self) -> SystemMetric {
        self.collector.sample(0, self.started.elapsed())
    }
}

/// Seconds of CPU that a sample tells.
fn seconds(cores: Option<f64>, sample: &SystemMetric) -> f64 {
    cores.unwrap() * sample.interval_ms.unwrap() as f64 / 1000.0
}

fn assert_near(what: &str, told: f64, is: f64, tolerance: f64) {
    assert!((told - is).abs() < tolerance, "{what}: {told} is told, it is {is}, within {tolerance}");
}

/// A directory on a disk, and the disk's number. `None` where there is none: then the reason is printed.
fn on_a_disk() -> Option<(PathBuf, String)> {
    let disk_of = |dir: &Path| {
        let device = std::fs::metadata(dir).ok()?.dev();
        let device = format!("/sys/dev/block/{}:{}", major(device), minor(device));
        let device = std::fs::canonicalize(device).ok()?;
        let disk = if device.join("partition").exists() { device.parent()? } else { &device };
        std::fs::read_to_string(disk.join("dev")).ok()
    };
    let places = [std::env::temp_dir(), env!("CARGO_TARGET_TMPDIR").into()];
    let found = places.into_iter().find_map(|dir| disk_of(&dir).map(|disk| (dir, disk.trim().to_owned())));
    if found.is_none() {
        eprintln!("SKIPPED: this test needs a directory on a disk, and the temporary ones are on none");
    }
    found
}

/// A file that is gone with this.
struct Written(PathBuf);

impl Written {
    fn new(dir: &Path) -> Written {
        Written(dir.join(format!("octrace-written-{}-{:08x}", std::process::id(), fastrand::u32(..))))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn cpu_of_an_agent_and_of_all_it_started_is_what_getrusage_says() {
    let door = Door::new();
    let mut agent = door.start("truth", &[]);
    let mut watch = Watch::of(Agent::Pid(agent.pid()));
    let before = agent.tell(json!(["usage"])).cpu();
    assert_eq!(watch.sample().agent_cpu_cores_used, None);
    agent.tell(json!(["burn", 0.4]));
    let after = agent.tell(json!(["burn_in_children", 0.2]));
    let sample = watch.sample();
    let burnt = after.cpu() - before + after.cpu_of_child();
    assert!(burnt >= 0.8, "{burnt}");
    let told = seconds(sample.agent_cpu_cores_used, &sample);
    // Four times of the agent, twice read, and two of its child.
    assert_near("CPU of the agent", told, burnt, 6.0 * TICK + BESIDES);
    // Only the ticks in which somebody was seen at work make up the machine's.
    let machine = seconds(sample.cpu_cores_used, &sample);
    assert!(sample.scope != Scope::Host || machine > told / 2.0, "{machine} of the machine, {told} of the agent");
    agent.tell(json!(["reap"]));
    let idle = agent.tell(json!(["usage"])).cpu();
    watch.sample();
    let spent = agent.tell(json!(["usage"])).cpu() - idle;
    let sample = watch.sample();
    assert_near("CPU of an idle agent", seconds(sample.agent_cpu_cores_used, &sample), spent, 4.0 * TICK + BESIDES);
}

#[test]
fn memory_and_open_files_of_an_agent_rise_by_what_it_takes() {
    let door = Door::new();
    let mut agent = door.start("truth", &[]);
    let mut watch = Watch::of(Agent::Pid(agent.pid()));
    let before = watch.sample();
    let held = agent.tell(json!(["hold", 64])).rss_bytes();
    agent.tell(json!(["open_files", 37]));
    let after = watch.sample();
    let told = after.agent_rss_bytes.unwrap();
    assert!((told - held).abs() < BESIDES_BYTES, "{told} is told, VmRSS is {held}");
    let risen = told - before.agent_rss_bytes.unwrap();
    assert!((64 * MIB..64 * MIB + BESIDES_BYTES).contains(&risen), "{risen}");
    assert_eq!(after.agent_fds.unwrap() - before.agent_fds.unwrap(), 37);
}

#[test]
fn an_agent_is_known_by_name_through_another_program_a_kill_and_a_restart() {
    let door = Door::new();
    let name = format!("truth{:08x}", fastrand::u32(..));
    let mut watch = Watch::of(Agent::Named(name.as_str().into()));
    let mut told = || {
        let sample = watch.sample();
        (sample.agent_alive, sample.agent_restarts, sample.agent_cpu_cores_used.is_some())
    };
    assert_eq!(told(), (Some(false), Some(0), false));
    let mut agent = door.start(&name, &[]);
    assert_eq!(told(), (Some(true), Some(0), false));
    agent.replace(&door);
    assert_eq!(told(), (Some(true), Some(0), true), "the same process");
    agent.kill();
    assert_eq!(told(), (Some(false), Some(0), false));
    let agent = door.start(&name, &[]);
    assert_eq!(told(), (Some(true), Some(1), false));
    agent.kill();
    let _agent = door.start(&name, &[]);
    assert_eq!(told(), (Some(true), Some(1), false), "nobody has looked while it was away");
    assert_eq!(told(), (Some(true), Some(0), true));
}

#[test]
fn bytes_for_a_disk_are_counted_where_nothing_limits_the_agent_as_the_machines() {
    let Some((dir, _)) = on_a_disk() else { return };
    let (door, file) = (Door::new(), Written::new(&dir));
    let mut agent = door.start("truth", &[]);
    let mut watch = Watch::of(Agent::Pid(agent.pid()));
    watch.sample();
    agent.tell(json!(["write", file.0, 8]));
    let sample = watch.sample();
    if sample.scope != Scope::Host {
        eprintln!("SKIPPED: this test needs a machine that limits us by no cgroup");
        return;
    }
    assert!(sample.io_write_bytes.unwrap() >= 8 * MIB, "{sample:?}");
}

#[test]
fn limits_and_use_are_those_of_the_group_of_the_agent_and_the_tightest_above_it() {
    let Some((dir, disk)) = on_a_disk() else { return };
    let Some(group) = Group::new() else { return };
    group.limit("memory.limit_in_bytes", 192 * MIB);
    group.limit_inner("memory.limit_in_bytes", 512 * MIB);
    group.limit("cpu.cfs_quota_us", 30_000);
    // More than any disk does; without a limit this kernel may count nothing.
    group.limit("blkio.throttle.write_bps_device", format!("{disk} {}", 1u64 << 40));
    let (door, file) = (Door::new(), Written::new(&dir));
    let mut agent = door.start("truth", &["sh", "-c", &group.enter(), "sh"]);
    let mut watch = Watch::of(Agent::Pid(agent.pid()));
    let before = agent.tell(json!(["usage"]));
    let throttled_ms = || group.number("cpu.stat", "throttled_time ") / 1_000_000;
    let before_first_ms = throttled_ms();
    let first = watch.sample();
    assert_eq!(
        (first.scope, first.memory_limit_bytes, first.cpu_limit_cores),
        (Scope::Cgroup1, Some(192 * MIB), Some(0.3))
    );
    let after_first_ms = throttled_ms();
    agent.tell(json!(["hold", 64]));
    agent.tell(json!(["write", file.0, 8]));
    let after = agent.tell(json!(["burn", 0.4]));
    let before_second_ms = throttled_ms();
    let sample = watch.sample();

    let burnt = after.cpu() - before.cpu();
    assert_near("CPU of the group", seconds(sample.cpu_cores_used, &sample), burnt, BESIDES);
    assert_near("CPU of the agent", seconds(sample.agent_cpu_cores_used, &sample), burnt, 4.0 * TICK + BESIDES);
    let percent = sample.cpu_cores_used.unwrap() / 0.3 * 100.0;
    assert_near("percent of the quota", sample.cpu_percent.unwrap(), percent, 0.01);
    let (least, most) = (before_second_ms - after_first_ms, throttled_ms() - before_first_ms);
    assert!(least > 0, "the quota has kept nobody waiting");
    let told = sample.cpu_throttled_ms.unwrap();
    assert!((least - 1..=most + 1).contains(&told), "{told} is told, it is {least} to {most}");

    // Each CPU charges a group a little ahead.
    let is_risen =
        |now: Option<i64>, then: Option<i64>| (now.unwrap() - then.unwrap() - 64 * MIB).abs() < BESIDES_BYTES;
    assert!(is_risen(sample.memory_used_bytes, first.memory_used_bytes), "{first:?} {sample:?}");
    let used = group.number("memory.usage_in_bytes", "");
    assert!((sample.memory_used_bytes.unwrap() - used).abs() < BESIDES_BYTES, "{used} {sample:?}");

    let written = after.written_bytes() - before.written_bytes();
    let told = sample.io_write_bytes.unwrap();
    assert!((8 * MIB..8 * MIB + BESIDES_BYTES).contains(&written), "{written} by getrusage");
    // The block of the inode goes along with the fsync.
    assert!(told >= 8 * MIB && (told - written).abs() <= MIB / 16, "{written} by getrusage, {told} is told");
    assert_eq!((sample.oom_kills, sample.cpu_pressure_ms), (Some(0), None));
    // The kernel adds up what is anonymous every other second, so the first figure may be older than the agent's own.
    until("the anonymous memory to be told", || {
        let sample = watch.sample();
        sample.memory_rss_bytes >= Some(64 * MIB) && sample.memory_rss_bytes <= sample.memory_used_bytes
    });
}

#[test]
fn an_agent_that_the_kernel_kills_in_a_group_of_its_own_is_told() {
    let Some(group) = Group::new() else { return };
    group.limit("memory.limit_in_bytes", 64 * MIB);
    group.limit_inner("memory.swappiness", 0);
    let door = Door::new();
    let mut agent = door.start("truth", &["sh", "-c", &group.enter(), "sh"]);
    let mut watch = Watch::of(Agent::Pid(agent.pid()));
    watch.sample();
    agent.tell_last(json!(["take_all"]));
    let sample = watch.sample();
    assert_eq!((sample.agent_alive, sample.oom_kills), (Some(false), Some(1)), "{sample:?}");
    assert_eq!((sample.scope, sample.memory_limit_bytes), (Scope::Cgroup1, Some(64 * MIB)));
    assert_eq!(watch.sample().oom_kills, Some(0));
}

#[test]
fn a_child_of_the_agent_killed_for_want_of_memory_is_a_row_and_so_is_the_agent() {
    let Some(group) = Group::new() else { return };
    group.limit("memory.limit_in_bytes", 128 * MIB);
    group.limit_inner("memory.swappiness", 0);
    let door = Door::new();
    let db = door.dir().join("trace.db");
    let (enter, command) = (group.enter(), door.command("truth"));
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let every_second = [("TRACE_METRICS_INTERVAL", "1s")];
    let mut sidecar = Sidecar::run_below(&["sh", "-c", &enter, "sh"], &db, &every_second, &command);
    let mut agent = door.wait();
    wait_until("a sample with the agent", || rows(&db).last().filter(|row| row["agent_alive"] == 1).map(|_| ()));
    assert_eq!(agent.tell(json!(["lose_child"])).status(), 9, "SIGKILL");
    let before = rows(&db).len();
    let samples = wait_until("two more samples", || Some(rows(&db)).filter(|rows| rows.len() >= before + 2));
    let of = |name: &str| samples.iter().map(|row| row[name].as_i64().unwrap_or(0)).collect::<Vec<_>>();
    assert_eq!(of("oom_kills").iter().sum::<i64>(), 1);
    assert!(of("memory_limit_bytes").iter().all(|limit| *limit == 128 * MIB), "{samples:?}");
    assert!(samples.iter().all(|row| row["scope"] == "cgroup1"), "{samples:?}");
    assert_eq!(errors(&db), [r#"container.oom_kill 1 cgroup1 134217728"#]);

    agent.tell_last(json!(["take_all"]));
    assert_eq!(sidecar.exit_code(), 137, "{}", sidecar.log());
    let of_agent = errors(&db).iter().filter(|error| error.starts_with("agent.oom_kill ")).count();
    assert_eq!(of_agent, 1, "{:?}", errors(&db));
}

/// What a container is made with: its own processes, and two interfaces that are each other's ends.
const CONTAINER: [&str; 9] =
    ["unshare", "--pid", "--fork", "--mount-proc", "--net", "--kill-child", "sh", "-c", INTERFACES];
const INTERFACES: &str = r#"
    set -e
    ! test -e /proc/sys/net/ipv6 || echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
    ip link set lo up
    ip link add truth0 type veth peer name truth1
    ip addr add 192.0.2.1/30 dev truth0
    ip link set truth0 up
    ip link set truth1 up
    exec "$@""#;

/// If not, the reason is printed.
fn may_make_containers() -> bool {
    let Ok(tried) = Command::new(CONTAINER[0]).args(&CONTAINER[1..]).args(["sh", "true"]).output() else {
        eprintln!("SKIPPED: this test needs a container, and there is no {}", CONTAINER[0]);
        return false;
    };
    let said = String::from_utf8_lossy(&tried.stderr);
    if !tried.status.success() {
        let why = ["not permitted", "ermission denied", "ead-only", "not found"];
        assert!(why.iter().any(|why| said.contains(why)), "{said}");
        eprintln!("SKIPPED: this test needs a container with interfaces in it, and cannot make one: {said}");
    }
    tried.status.success()
}

#[test]
fn processes_sockets_and_bytes_of_a_container_are_those_that_are_in_it() {
    if !may_make_containers() {
        return;
    }
    let door = Door::new();
    let mut agent = door.start("truth", &[&CONTAINER[..], &["sh"]].concat());
    agent.tell(json!(["hold", 96]));
    agent.tell(json!(["connect", 3, 2, 1]));
    let db = door.dir().join("trace.db");
    let namespace = |kind: &str, name: &str| format!("--{kind}=/proc/{}/ns/{name}", agent.pid());
    let mut beside = Command::new("nsenter");
    beside.args([namespace("pid", "pid_for_children"), namespace("net", "net"), namespace("mount", "mnt")]);
    beside.args([PROGRAM, "serve"]);
    let every_second = [("TRACE_METRICS_INTERVAL", "1s"), ("TRACE_AGENT_PROCESS", "truth")];
    let _sidecar = Sidecar::launch(beside, &db, &every_second);
    let first = wait_until("two samples", || Some(rows(&db)).filter(|rows| rows.len() >= 2));
    let [.., before] = &first[..] else { panic!() };
    let count = |row: &Map<String, Value>, name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name}: {row:?}"));
    let top: Vec<(String, i64)> = serde_json::from_str(first[0]["processes_top"].as_str().unwrap()).unwrap();
    assert_eq!((top.len(), top[0].0.as_str()), (2, "truth"), "{top:?}");
    assert!((96..96 + 40).contains(&top[0].1), "{top:?}");
    assert_eq!((count(before, "process_count"), count(before, "zombie_count")), (2, 0));
    assert_eq!(count(before, "agent_alive"), 1);
    // In the first, as a machine of much memory reads them seldom. Two listen, and of each pair both ends are there; of
    // those that one side has closed, the other has its half still open.
    let states = ["tcp_established", "tcp_listen", "tcp_close_wait", "tcp_time_wait", "tcp_other"];
    assert_eq!(states.map(|state| count(&first[0], state)), [2 * 3, 2, 2, 1, 2]);

    let began = agent.tell(json!(["usage"])).cpu();
    agent.tell(json!(["send", "truth0", 200, 1000]));
    agent.tell(json!(["leave_dead", 2]));
    agent.tell(json!(["have", 3, 4]));
    let burnt = agent.tell(json!(["burn", 0.4])).cpu() - began;
    let done = rows(&db).len();
    let all = wait_until("two more samples", || Some(rows(&db)).filter(|rows| rows.len() >= done + 2));
    let (since, [.., after]) = (&all[first.len()..], &all[..]) else { panic!() };
    let risen = |name: &str| count(after, name) - count(before, name);
    assert_eq!(["process_count", "zombie_count"].map(risen), [3 + 2, 2]);
    assert_eq!(risen("thread_count"), 3 + 2 + 4);
    let sum = |name: &str| since.iter().map(|row| count(row, name)).sum::<i64>();
    // With the heads of UDP, IP and Ethernet; out of one interface and into the other.
    let sent = 200 * (1000 + 8 + 20 + 14);
    assert_eq!(["net_tx_bytes", "net_rx_bytes"].map(sum), [sent, sent]);
    assert_eq!(["net_tx_errors", "net_rx_errors", "agent_restarts"].map(sum), [0, 0, 0]);
    let cpu =
        |row: &Map<String, Value>| row["agent_cpu_cores_used"].as_f64().unwrap() * count(row, "interval_ms") as f64;
    let told = since.iter().map(cpu).sum::<f64>() / 1000.0;
    // What the children took to start is theirs: until they are waited for, getrusage of the agent does not tell of it.
    assert_near("CPU of the agent", told, burnt, 6.0 * TICK + BESIDES);
}

/// Every sample of a database that is being written, in order.
fn rows(db: &Path) -> Vec<Map<String, Value>> {
    if !db.exists() {
        return Vec::new();
    }
    let conn = read_only(db);
    let Ok(mut statement) = conn.prepare("SELECT * FROM system_metrics ORDER BY id") else { return Vec::new() };
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let value = |value: ValueRef<'_>| match value {
        ValueRef::Integer(whole) => json!(whole),
        ValueRef::Real(real) => json!(real),
        ValueRef::Text(text) => json!(str::from_utf8(text).unwrap()),
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
    };
    let row = |row: &rusqlite::Row<'_>| {
        names.iter().enumerate().map(|(at, name)| Ok((name.clone(), value(row.get_ref(at)?)))).collect()
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// What the rows of errors say: their type, how many were killed, whose, and what limited them.
fn errors(db: &Path) -> Vec<String> {
    let conn = read_only(db);
    let sql = "SELECT concat_ws(' ', error_type, attributes ->> 'oom_kills', attributes ->> 'scope', \
               attributes ->> 'memory_limit_bytes') FROM error_events ORDER BY id";
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
