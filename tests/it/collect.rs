//! Samples of whole machines: trees of /proc and /sys in `tests/data/machines`, and the machine we are on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use openclaw_trace::clock::Clock;
use openclaw_trace::collect::{Agent, ChildPid, Collector, Sources, oom_kills, run};
use openclaw_trace::event::{Kind, Scope, SystemMetric};
use openclaw_trace::queue::{Limits, Outcome, Window, queue};
use openclaw_trace::stats::Stats;

use crate::support::sidecar::until;

const MIB: i64 = 1 << 20;
const INTERVAL: Duration = Duration::from_secs(10);

/// A copy of a machine that a test may change.
struct Machine {
    root: PathBuf,
}

impl Machine {
    fn new(name: &str) -> Machine {
        static COPIES: AtomicU32 = AtomicU32::new(0);
        let copy = COPIES.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("openclaw-trace-machine-{}-{copy}", std::process::id()));
        copy_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/machines").join(name), &root);
        Machine { root }
    }

    fn collector(&self) -> Collector {
        self.collector_of(Agent::Unknown)
    }

    fn collector_of(&self, agent: Agent) -> Collector {
        Collector::new(sources(&self.root, &self.root, agent))
    }

    /// Replaces a text in one of the machine's files, which whoever reads it finds old or new.
    fn edit(&self, path: &str, old: &str, new: &str) {
        let path = self.root.join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{} has no {old}", path.display());
        let new_file = self.root.join("new");
        fs::write(&new_file, text.replace(old, new)).unwrap();
        fs::rename(new_file, path).unwrap();
    }
}

/// With pages of the size that all of `tests/data/machines` have.
fn sources(root: &Path, disk: &Path, agent: Agent) -> Sources {
    Sources { root: root.to_owned(), disk: disk.to_owned(), page_bytes: Some(4096), agent }
}

impl Drop for Machine {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).unwrap();
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The first sample of a machine, without the disk: that is the disk of the machine we are on.
fn first_sample(name: &str) -> SystemMetric {
    without_disk(Machine::new(name).collector().sample(5, Duration::from_secs(1)))
}

fn without_disk(sample: SystemMetric) -> SystemMetric {
    SystemMetric {
        disk_path: None,
        disk_total_bytes: None,
        disk_used_bytes: None,
        disk_free_bytes: None,
        disk_percent: None,
        disk_inodes_total: None,
        disk_inodes_free: None,
        ..sample
    }
}

/// What all machines have in common, and all there is to say about one without cgroups.
fn bare() -> SystemMetric {
    SystemMetric {
        timestamp_ms: 5,
        cpu_limit_cores: Some(4.0),
        memory_used_bytes: Some(256 * MIB),
        memory_limit_bytes: Some(1024 * MIB),
        memory_percent: Some(25.0),
        memory_rss_bytes: Some(64 * MIB),
        swap_used_bytes: Some(MIB),
        memory_working_set_bytes: Some(256 * MIB),
        tcp_established: Some(2),
        tcp_listen: Some(2),
        tcp_time_wait: Some(1),
        tcp_close_wait: Some(1),
        tcp_other: Some(1),
        processes_top: Some(r#"[["node",2],["openclaw-trace",2],["a) Z 1 (b",2]]"#.into()),
        process_count: Some(3),
        thread_count: Some(15),
        zombie_count: Some(1),
        load_1m: Some(0.45),
        scope: Scope::Host,
        ..SystemMetric::default()
    }
}

/// A container of 64 MiB and half a core.
fn boxed(scope: Scope) -> SystemMetric {
    SystemMetric {
        cpu_limit_cores: Some(0.5),
        memory_used_bytes: Some(40 * MIB),
        memory_limit_bytes: Some(64 * MIB),
        memory_percent: Some(50.0),
        memory_rss_bytes: Some(20 * MIB),
        swap_used_bytes: Some(4096),
        memory_working_set_bytes: Some(32 * MIB),
        scope,
        ..bare()
    }
}

#[test]
fn a_limited_container_is_seen_by_its_cgroup_of_either_version() {
    assert_eq!(first_sample("v2"), boxed(Scope::Cgroup2));
    assert_eq!(first_sample("v2-host-namespace"), boxed(Scope::Cgroup2));
    assert_eq!(first_sample("v1"), boxed(Scope::Cgroup1));
    assert_eq!(first_sample("hybrid"), boxed(Scope::Cgroup1));
}

#[test]
fn the_tightest_limit_above_us_counts_with_what_is_used_there() {
    let expected = SystemMetric {
        cpu_limit_cores: Some(1.5),
        memory_used_bytes: Some(128 * MIB),
        memory_limit_bytes: Some(256 * MIB),
        memory_percent: Some(46.875),
        memory_working_set_bytes: Some(120 * MIB),
        ..boxed(Scope::Cgroup2)
    };
    assert_eq!(first_sample("v2-nested"), expected);
    let machine = Machine::new("v2-nested");
    let mut collector = machine.collector();
    collector.sample(0, Duration::from_secs(1));
    machine.edit("sys/fs/cgroup/agents.slice/openclaw.service/cpu.stat", "usage_usec 7000000", "usage_usec 10000000");
    let sample = collector.sample(0, Duration::from_secs(1) + INTERVAL);
    assert_eq!((sample.cpu_cores_used, sample.cpu_percent), (Some(0.3), Some(20.0)));
}

#[test]
fn a_limit_above_what_the_machine_has_is_none() {
    let machine = Machine::new("v2");
    machine.edit("sys/fs/cgroup/cpu.max", "50000 ", "800000 ");
    machine.edit("sys/fs/cgroup/memory.max", "67108864", "8796093022208");
    let sample = machine.collector().sample(5, INTERVAL);
    assert_eq!((sample.cpu_limit_cores, sample.memory_limit_bytes), (Some(4.0), Some(1024 * MIB)));
}

#[test]
fn a_container_without_limits_is_not_the_machine_but_may_use_all_of_it() {
    let expected = SystemMetric {
        cpu_limit_cores: Some(4.0),
        memory_limit_bytes: Some(1024 * MIB),
        memory_percent: Some(3.125),
        ..boxed(Scope::Cgroup2)
    };
    assert_eq!(first_sample("v2-unlimited"), expected);
}

#[test]
fn where_nothing_limits_us_the_figures_are_the_machines() {
    for name in ["none", "v2-laptop", "v1-root"] {
        assert_eq!(first_sample(name), bare(), "{name}");
    }
}

#[test]
fn what_cannot_be_read_is_absent_and_named_once() {
    let machine = Machine::new("half-readable");
    let mut collector = machine.collector();
    collector.sample(5, Duration::from_secs(1));
    let sample = without_disk(collector.sample(5, Duration::from_secs(1) + INTERVAL));
    let expected = SystemMetric {
        interval_ms: Some(10_000),
        memory_percent: None,
        memory_rss_bytes: None,
        swap_used_bytes: None,
        cpu_steal_ms: Some(0),
        memory_working_set_bytes: None,
        tcp_established: None,
        tcp_listen: None,
        tcp_time_wait: None,
        tcp_close_wait: None,
        tcp_other: None,
        processes_top: None,
        process_count: Some(2),
        thread_count: Some(14),
        zombie_count: Some(0),
        load_1m: None,
        ..boxed(Scope::Cgroup2)
    };
    assert_eq!(sample, expected);
    let unreadable: Vec<_> = collector.unreadable().collect();
    let expected = [
        "cpu_percent",
        "cpu_pressure_ms",
        "io_pressure_full_ms",
        "io_pressure_ms",
        "io_read_bytes",
        "load_1m",
        "memory_pressure_full_ms",
        "memory_pressure_ms",
        "memory_rss_bytes",
        "memory_working_set_bytes",
        "net_rx_bytes",
        "oom_kills",
        "swap_used_bytes",
        "tcp_established",
    ];
    assert_eq!(unreadable, expected);
}

#[test]
fn garbage_gives_no_figures_at_all() {
    let machine = Machine::new("garbage");
    let mut collector = machine.collector();
    collector.sample(5, Duration::from_secs(1));
    let sample = without_disk(collector.sample(5, Duration::from_secs(1) + INTERVAL));
    let expected =
        SystemMetric { timestamp_ms: 5, interval_ms: Some(10_000), scope: Scope::Cgroup2, ..SystemMetric::default() };
    assert_eq!(sample, expected);
}

#[test]
fn no_change_to_any_file_makes_a_sample_panic_or_a_figure_negative() {
    let mut random = fastrand::Rng::with_seed(0xc011ec7);
    for (name, agent) in [("v2-nested", "node"), ("hybrid", "node"), ("v2-systemd", "openclaw"), ("none", "node")] {
        let machine = Machine::new(name);
        let mut collector = machine.collector_of(Agent::Named(agent.into()));
        let files = files_below(&machine.root);
        for round in 1..400 {
            let file = &files[random.usize(..files.len())];
            let before = fs::read(file).unwrap();
            let mut text = before.clone();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..=text.len());
                match random.u8(..3) {
                    0 => text.truncate(at),
                    1 => text.splice(at..at, *b"9999999999999999999").for_each(drop),
                    _ => text.insert(at, *random.choice(b"-0 9:/.\n\xff").unwrap()),
                }
            }
            fs::write(file, &text).unwrap();
            let sample = collector.sample(0, INTERVAL * round);
            let whole = [
                sample.cpu_throttled_ms,
                sample.memory_used_bytes,
                sample.memory_limit_bytes,
                sample.memory_rss_bytes,
                sample.swap_used_bytes,
                sample.net_rx_bytes,
                sample.net_tx_bytes,
                sample.process_count,
                sample.thread_count,
                sample.zombie_count,
                sample.memory_working_set_bytes,
                sample.oom_kills,
                sample.cpu_pressure_ms,
                sample.memory_pressure_ms,
                sample.memory_pressure_full_ms,
                sample.io_pressure_ms,
                sample.io_pressure_full_ms,
                sample.cpu_steal_ms,
                sample.io_read_bytes,
                sample.io_write_bytes,
                sample.net_rx_errors,
                sample.net_tx_errors,
                sample.tcp_established,
                sample.tcp_listen,
                sample.tcp_time_wait,
                sample.tcp_close_wait,
                sample.tcp_other,
                sample.agent_rss_bytes,
                sample.agent_fds,
                sample.agent_restarts,
            ];
            let real = [
                sample.cpu_percent,
                sample.cpu_cores_used,
                sample.cpu_limit_cores,
                sample.memory_percent,
                sample.agent_cpu_cores_used,
            ];
            let top = sample.processes_top.as_deref().map(serde_json::from_str::<Vec<(String, u64)>>);
            assert!(top.is_none_or(|top| top.is_ok_and(|top| top.len() <= 3)), "{file:?}: {sample:?}");
            assert!(whole.into_iter().flatten().all(|n| n >= 0), "{file:?}: {sample:?}");
            assert!(real.into_iter().flatten().all(|n| n >= 0.0 && n.is_finite()), "{file:?}: {sample:?}");
            fs::write(file, before).unwrap();
        }
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

#[test]
fn a_tree_that_is_not_there_gives_no_figures_and_no_panic() {
    let nowhere = std::env::temp_dir().join("openclaw-trace-no-such-machine");
    let mut collector = Collector::new(sources(&nowhere, &nowhere, Agent::Unknown));
    let sample = collector.sample(5, Duration::from_secs(1));
    let disk_path = Some(nowhere.to_string_lossy().into());
    assert_eq!(sample, SystemMetric { timestamp_ms: 5, disk_path, ..SystemMetric::default() });
}

#[test]
fn the_second_sample_tells_what_happened_since_the_first() {
    for (name, file, old, new) in [
        ("v2", "sys/fs/cgroup/cpu.stat", "usage_usec 5000000", "usage_usec 7500000"),
        ("v1", "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage", "5000000000", "7500000000"),
        ("hybrid", "sys/fs/cgroup/cpu,cpuacct/box/cpuacct.usage", "5000000000", "7500000000"),
        ("none", "proc/stat", "cpu  1000 0 500", "cpu  1150 0 600"),
    ] {
        let machine = Machine::new(name);
        let mut collector = machine.collector();
        let first = collector.sample(0, Duration::from_secs(1));
        assert_eq!((first.interval_ms, first.cpu_percent, first.net_rx_bytes), (None, None, None), "{name}");
        machine.edit(file, old, new);
        machine.edit("proc/net/dev", "1000000 ", "1000700 ");
        machine.edit("proc/net/dev", " 200000 ", " 200300 ");
        let second = collector.sample(0, Duration::from_secs(1) + INTERVAL);
        let limit = second.cpu_limit_cores.unwrap();
        assert_eq!((second.interval_ms, second.cpu_cores_used), (Some(10_000), Some(0.25)), "{name}");
        assert_eq!(second.cpu_percent, Some(25.0 / limit), "{name}");
        assert_eq!((second.net_rx_bytes, second.net_tx_bytes), (Some(700), Some(300)), "{name}");
        let throttled = (name != "none").then_some(0);
        assert_eq!(second.cpu_throttled_ms, throttled, "{name}");
    }
}

#[test]
fn what_is_counted_of_the_container_is_told_of_the_interval() {
    let of_v2 = "sys/fs/cgroup/agents.slice";
    for (name, edits) in [
        (
            "v2-nested",
            vec![
                (format!("{of_v2}/memory.events"), "oom_kill 2", "oom_kill 3"),
                (format!("{of_v2}/openclaw.service/cpu.pressure"), "total=4000000", "total=4100000"),
                (format!("{of_v2}/memory.pressure"), "total=2000000", "total=2200000"),
                (format!("{of_v2}/memory.pressure"), "total=1000000", "total=1050000"),
                (format!("{of_v2}/io.pressure"), "total=6000000", "total=6300000"),
                (format!("{of_v2}/io.pressure"), "total=3000000", "total=3070999"),
                (format!("{of_v2}/io.stat"), "rbytes=1024000 wbytes=2048000", "rbytes=1024100 wbytes=2052096"),
            ],
        ),
        (
            "none",
            vec![
                ("proc/vmstat".to_owned(), "oom_kill 5", "oom_kill 6"),
                ("proc/pressure/cpu".to_owned(), "total=40000000", "total=40100000"),
                ("proc/pressure/memory".to_owned(), "total=20000000", "total=20200000"),
                ("proc/pressure/memory".to_owned(), "total=10000000", "total=10050000"),
                ("proc/pressure/io".to_owned(), "total=60000000", "total=60300000"),
                ("proc/pressure/io".to_owned(), "total=30000000", "total=30070999"),
                ("proc/diskstats".to_owned(), " 2000 15730 1775 19177 4000 ", " 2001 15730 1775 19177 4008 "),
            ],
        ),
        (
            "v1",
            vec![
                ("sys/fs/cgroup/memory/memory.oom_control".to_owned(), "oom_kill 2", "oom_kill 3"),
                ("sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes".to_owned(), "Read 1024000", "Read 1024100"),
                ("sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes".to_owned(), "Write 2048000", "Write 2052096"),
            ],
        ),
        (
            "hybrid",
            vec![
                ("sys/fs/cgroup/memory/box/inner/memory.oom_control".to_owned(), "oom_kill 2", "oom_kill 3"),
                (
                    "sys/fs/cgroup/blkio/box/blkio.throttle.io_service_bytes_recursive".to_owned(),
                    "Read 1024000",
                    "Read 1024100",
                ),
                (
                    "sys/fs/cgroup/blkio/box/blkio.throttle.io_service_bytes_recursive".to_owned(),
                    "Write 2048000",
                    "Write 2052096",
                ),
            ],
        ),
    ] {
        let machine = Machine::new(name);
        let mut collector = machine.collector();
        let first = collector.sample(0, INTERVAL);
        assert_eq!((first.oom_kills, first.io_read_bytes, first.cpu_steal_ms), (None, None, None), "{name}");
        for (file, old, new) in &edits {
            machine.edit(file, old, new);
        }
        machine.edit("proc/stat", " 7 0 0\ncpu0", " 12 0 0\ncpu0");
        let sample = collector.sample(0, INTERVAL * 2);
        let read = if name == "none" { 512 } else { 100 };
        assert_eq!((sample.io_read_bytes, sample.io_write_bytes), (Some(read), Some(4096)), "{name}");
        assert_eq!((sample.oom_kills, sample.cpu_steal_ms), (Some(1), Some(50)), "{name}");
        let pressure = [
            sample.cpu_pressure_ms,
            sample.memory_pressure_ms,
            sample.memory_pressure_full_ms,
            sample.io_pressure_ms,
            sample.io_pressure_full_ms,
        ];
        // Version 1 knows none, and the machine's would be a lie about the container.
        let known = name == "v2-nested" || name == "none";
        assert_eq!(pressure, [100, 200, 50, 300, 70].map(|ms| known.then_some(ms)), "{name}");
    }
}

#[test]
fn packets_that_failed_are_counted_apart() {
    let machine = Machine::new("none");
    let mut collector = machine.collector();
    collector.sample(0, INTERVAL);
    let path = machine.root.join("proc/net/dev");
    let text = fs::read_to_string(&path).unwrap();
    let eth0 = text.lines().find(|line| line.trim_start().starts_with("eth0:")).unwrap();
    let mut fields: Vec<String> = eth0.split_ascii_whitespace().map(str::to_owned).collect();
    (fields[3], fields[11]) = ("2".to_owned(), "3".to_owned());
    fs::write(&path, text.replace(eth0, &fields.join(" "))).unwrap();
    let sample = collector.sample(0, INTERVAL * 2);
    assert_eq!((sample.net_rx_errors, sample.net_tx_errors, sample.net_rx_bytes), (Some(2), Some(3), Some(0)));
}

#[test]
fn an_agent_in_another_group_is_seen_by_its_own_and_without_one_nobody_is_told_ours() {
    let machine = Machine::new("v2-systemd");
    let sample = machine.collector().sample(0, INTERVAL);
    assert_eq!((sample.scope, sample.memory_limit_bytes), (Scope::Own, Some(64 * MIB)));
    assert_eq!(sample.agent_alive, None);
    for agent in [Agent::Named("openclaw".into()), Agent::Pid(20)] {
        let sample = machine.collector_of(agent).sample(0, INTERVAL);
        assert_eq!((sample.scope, sample.memory_limit_bytes), (Scope::Cgroup2, Some(512 * MIB)));
        assert_eq!((sample.memory_used_bytes, sample.cpu_limit_cores), (Some(160 * MIB), Some(1.5)));
        assert_eq!((sample.agent_alive, sample.agent_restarts), (Some(true), Some(0)));
        assert_eq!((sample.agent_rss_bytes, sample.agent_fds), (Some(300 * MIB), Some(10)));
    }
    // Seen from a container beside the agent's.
    machine.edit("proc/self/cgroup", "0::/system.slice/openclaw-trace.service", "0::/");
    machine.edit("proc/self/mountinfo", "0:28 / /sys", "0:28 /system.slice/openclaw-trace.service /sys");
    fs::write(machine.root.join("proc/20/cgroup"), "0::/../openclaw.service\n").unwrap();
    let own = machine.root.join("sys/fs/cgroup/system.slice/openclaw-trace.service");
    copy_tree(&own, &machine.root.join("sys/fs/cgroup"));
    let sample = machine.collector_of(Agent::Pid(20)).sample(0, INTERVAL);
    assert_eq!((sample.scope, sample.memory_limit_bytes), (Scope::Own, Some(64 * MIB)));
    assert_eq!((sample.agent_alive, sample.agent_rss_bytes), (Some(true), Some(300 * MIB)));
}

#[test]
fn an_agent_is_followed_by_name_over_its_restarts() {
    let machine = Machine::new("v2-systemd");
    let mut collector = machine.collector_of(Agent::Named("openclaw".into()));
    collector.sample(0, INTERVAL);
    machine.edit("proc/20/stat", " 300 100 ", " 400 150 ");
    machine.edit("proc/21/stat", " 50 50 ", " 60 90 ");
    let sample = collector.sample(0, INTERVAL * 2);
    assert_eq!(sample.agent_cpu_cores_used, Some(0.2), "150 and 50 ticks in 10 s");
    assert_eq!(sample.agent_restarts, Some(0));
    machine.edit("proc/20/stat", ") S ", ") Z ");
    let dead = collector.sample(0, INTERVAL * 3);
    assert_eq!((dead.agent_alive, dead.agent_rss_bytes, dead.agent_restarts), (Some(false), None, Some(0)));
    // Another process, under the same id.
    machine.edit("proc/20/stat", ") Z ", ") S ");
    machine.edit("proc/20/stat", " 5000 ", " 9000 ");
    machine.edit("proc/20/stat", " 400 150 ", " 1 1 ");
    let back = collector.sample(0, INTERVAL * 4);
    assert_eq!((back.agent_alive, back.agent_restarts, back.agent_cpu_cores_used), (Some(true), Some(1), None));
    assert_eq!(collector.sample(0, INTERVAL * 5).agent_restarts, Some(0));
}

#[test]
fn a_group_that_was_made_anew_is_not_compared_and_whoever_was_killed_in_it_is_told_of_the_machine() {
    let machine = Machine::new("v2-systemd");
    let unit = machine.root.join("sys/fs/cgroup/system.slice/openclaw.service");
    let make_anew = || {
        let (new, old) = (machine.root.join("anew"), machine.root.join("old"));
        copy_tree(&unit, &new);
        fs::rename(&unit, &old).unwrap();
        fs::rename(&new, &unit).unwrap();
        fs::remove_dir_all(old).unwrap();
    };
    let mut collector = machine.collector_of(Agent::Named("openclaw".into()));
    collector.sample(0, INTERVAL);
    machine.edit("proc/vmstat", "oom_kill 5", "oom_kill 6");
    machine.edit("sys/fs/cgroup/system.slice/openclaw.service/memory.events", "oom_kill 2", "oom_kill 0");
    make_anew();
    let killed = collector.sample(0, INTERVAL * 2);
    assert_eq!((killed.oom_kills, collector.kills_are_of_machine()), (Some(1), true));
    assert_eq!((killed.cpu_cores_used, killed.io_read_bytes, killed.cpu_pressure_ms), (None, None, None));
    let quiet = collector.sample(0, INTERVAL * 3);
    assert_eq!((quiet.oom_kills, quiet.cpu_cores_used, quiet.io_read_bytes), (Some(0), Some(0.0), Some(0)));
    // Nobody on the machine is known to have been killed, but the new group has counted one of its own.
    machine.edit("sys/fs/cgroup/system.slice/openclaw.service/memory.events", "oom_kill 0", "oom_kill 1");
    make_anew();
    assert_eq!(collector.sample(0, INTERVAL * 4).oom_kills, Some(1));
    assert!(!collector.kills_are_of_machine());
}

#[test]
fn an_agent_that_may_be_hidden_is_not_called_dead() {
    let machine = Machine::new("v2-systemd");
    let hide = |pid: u32| fs::rename(machine.root.join(format!("proc/{pid}")), machine.root.join(format!("{pid}")));
    let show = |pid: u32| fs::rename(machine.root.join(format!("{pid}")), machine.root.join(format!("proc/{pid}")));
    hide(1).unwrap();
    hide(20).unwrap();
    let mut collector = machine.collector_of(Agent::Named("openclaw".into()));
    assert_eq!(collector.sample(0, INTERVAL).agent_alive, None);
    assert!(collector.unreadable().any(|field| field == "agent_alive"));
    show(20).unwrap();
    assert_eq!(collector.sample(0, INTERVAL * 2).agent_alive, Some(true));
    hide(20).unwrap();
    assert_eq!(collector.sample(0, INTERVAL * 3).agent_alive, Some(false), "it was there");
    show(1).unwrap();
    let mut collector = machine.collector_of(Agent::Named("openclaw".into()));
    assert_eq!(collector.sample(0, INTERVAL).agent_alive, Some(false), "nobody is hidden");
}

#[test]
fn an_id_that_was_given_again_is_no_agent() {
    let machine = Machine::new("v2-systemd");
    let mut collector = machine.collector_of(Agent::Pid(20));
    assert_eq!(collector.sample(0, INTERVAL).agent_alive, Some(true));
    machine.edit("proc/20/stat", " 5000 ", " 9000 ");
    let other = collector.sample(0, INTERVAL * 2);
    assert_eq!((other.agent_alive, other.agent_rss_bytes, other.agent_restarts), (Some(false), None, Some(0)));
}

#[test]
fn cpus_that_may_not_be_used_are_none() {
    let machine = Machine::new("v2-unlimited");
    fs::write(machine.root.join("proc/self/status"), "Cpus_allowed:\t3\nCpus_allowed_list:\t0-1\n").unwrap();
    assert_eq!(machine.collector().sample(0, INTERVAL).cpu_limit_cores, Some(2.0));
}

#[test]
fn a_sidecar_below_an_init_of_its_own_is_alone() {
    let machine = Machine::new("v2-systemd");
    let procs = machine.root.join("sys/fs/cgroup/system.slice/openclaw-trace.service/cgroup.procs");
    machine.edit("proc/7/stat", "(openclaw-trace) R 0 ", "(openclaw-trace) R 1 ");
    for (pids, scope) in
        [("1\n7\n", Scope::Own), ("7\n1\n9\n", Scope::Cgroup2), ("0\n7\n", Scope::Cgroup2), ("", Scope::Cgroup2)]
    {
        fs::write(&procs, pids).unwrap();
        assert_eq!(machine.collector().sample(0, INTERVAL).scope, scope, "{pids:?}");
    }
}

#[test]
fn the_child_of_run_is_the_agent_once_run_has_said_so() {
    let machine = Machine::new("v2-systemd");
    let child = ChildPid::default();
    let mut collector = machine.collector_of(Agent::Child(child.clone()));
    assert_eq!(collector.sample(0, INTERVAL).agent_alive, None);
    child.set(20);
    assert_eq!(collector.sample(0, INTERVAL * 2).agent_alive, Some(true));
    child.set(99);
    assert_eq!(collector.sample(0, INTERVAL * 3).agent_alive, Some(false));
}

#[test]
fn the_biggest_processes_are_told_every_five_minutes() {
    let machine = Machine::new("v2");
    let mut collector = machine.collector();
    let told =
        |collector: &mut Collector, seconds| collector.sample(0, Duration::from_secs(seconds)).processes_top.is_some();
    assert_eq!([7, 22, 306, 307, 322].map(|seconds| told(&mut collector, seconds)), [true, false, false, true, false]);
}

#[test]
fn a_kill_is_told_also_when_nobody_could_read_it_once() {
    let machine = Machine::new("v2");
    let mut collector = machine.collector();
    collector.sample(0, INTERVAL);
    let file = machine.root.join("sys/fs/cgroup/memory.events");
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(collector.sample(0, INTERVAL * 2).oom_kills, None);
    fs::write(&file, text.replace("oom_kill 2", "oom_kill 4")).unwrap();
    assert_eq!(collector.sample(0, INTERVAL * 3).oom_kills, Some(2));
}

#[test]
fn counters_that_went_back_give_nothing_and_the_sample_after_gives_the_rest() {
    let machine = Machine::new("v2");
    let mut collector = machine.collector();
    let at = |n: u32| Duration::from_secs(1) + INTERVAL * n;
    collector.sample(0, at(0));
    machine.edit("sys/fs/cgroup/cpu.stat", "usage_usec 5000000", "usage_usec 1000");
    machine.edit("proc/net/dev", "1000000 ", "7 ");
    let reset = collector.sample(0, at(1));
    assert_eq!((reset.cpu_cores_used, reset.cpu_percent), (None, None));
    assert_eq!((reset.net_rx_bytes, reset.net_tx_bytes), (None, None));
    machine.edit("sys/fs/cgroup/cpu.stat", "usage_usec 1000", "usage_usec 5001000");
    let after = collector.sample(0, at(2));
    assert_eq!((after.cpu_cores_used, after.cpu_percent, after.net_rx_bytes), (Some(0.5), Some(100.0), Some(0)));
}

#[test]
fn a_quota_that_moves_to_another_group_tells_no_rate_across_the_two() {
    let machine = Machine::new("v2-nested");
    let mut collector = machine.collector();
    collector.sample(0, INTERVAL);
    machine.edit("sys/fs/cgroup/agents.slice/cpu.max", "max 100000", "100000 100000");
    let moved = collector.sample(0, INTERVAL * 2);
    assert_eq!((moved.cpu_limit_cores, moved.cpu_cores_used, moved.cpu_percent), (Some(1.0), None, None));
    assert_eq!(collector.sample(0, INTERVAL * 3).cpu_cores_used, Some(0.0));
}

#[test]
fn two_samples_of_one_instant_tell_no_rate() {
    let machine = Machine::new("v2");
    let mut collector = machine.collector();
    collector.sample(0, INTERVAL);
    let second = collector.sample(0, INTERVAL);
    assert_eq!((second.interval_ms, second.cpu_percent, second.net_rx_bytes), (None, None, None));
}

#[test]
fn this_machine_gives_every_figure_that_it_must_have() {
    let mut collector = Collector::new(sources(Path::new("/"), &std::env::temp_dir(), Agent::Pid(std::process::id())));
    collector.sample(0, Duration::ZERO);
    let sample = collector.sample(0, INTERVAL);
    // Version 1 of cgroups knows no pressure, and no bytes of disks since Linux 6.10; a kernel may be told to count neither
    // pressure nor swap; and where the first process is hidden there may be others.
    let may_be = |field: &str| field.contains("pressure") || ["io_read_bytes", "swap_used_bytes"].contains(&field);
    let unreadable: Vec<_> = collector.unreadable().filter(|field| !may_be(field)).collect();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    let cpu_percent = sample.cpu_percent.unwrap();
    assert!((0.0..=110.0).contains(&cpu_percent), "{sample:?}");
    assert!(sample.cpu_limit_cores.unwrap() > 0.0);
    assert!(sample.memory_used_bytes.unwrap() > 0);
    assert!(sample.memory_used_bytes <= sample.memory_limit_bytes, "{sample:?}");
    let (total, used, free) = (sample.disk_total_bytes, sample.disk_used_bytes, sample.disk_free_bytes);
    assert!(used.unwrap() >= 0 && free.unwrap() >= 0 && used.unwrap() + free.unwrap() <= total.unwrap(), "{sample:?}");
    assert!((0.0..=100.0).contains(&sample.disk_percent.unwrap()), "{sample:?}");
    assert!(sample.process_count.unwrap() >= 1 && sample.thread_count >= sample.process_count, "{sample:?}");
}

#[test]
fn samples_are_offered_at_once_and_at_every_tick_until_the_end() {
    let machine = Machine::new("v2");
    let stats = Arc::new(Stats::default());
    let (samples, inbox) = queue::<()>(Limits::default(), Window::AtOnce, Arc::clone(&stats));
    let (keep_running, stop) = smol::channel::bounded(1);
    let clock = Clock::by_hand(1_795_458_732_000);
    let running = std::thread::spawn({
        let (collector, stats) = (machine.collector(), Arc::clone(&stats));
        move || smol::block_on(run(collector, Duration::from_millis(1), samples, stats, clock, stop))
    });
    let mut taken = Vec::new();
    while taken.len() < 3 {
        taken.extend(inbox.next(Some(Duration::from_secs(30))).entries.into_iter().flat_map(|entry| entry.events));
    }
    drop(keep_running);
    running.join().unwrap();
    for event in &taken {
        let Kind::SystemMetric(sample) = &event.kind else { panic!("{event:?}") };
        assert_eq!((event.received_at_ms, sample.timestamp_ms), (1_795_458_732_000, 1_795_458_732_000));
        assert_eq!(sample.scope, Scope::Cgroup2);
    }
    let Kind::SystemMetric(first) = &taken[0].kind else { panic!() };
    assert_eq!(first.cpu_percent, None);
    assert!(taken[0].id != taken[1].id);
    assert!(stats.signals.system_metrics.records.total() >= 3);
}

#[test]
fn a_kill_for_want_of_memory_is_a_row_of_errors_once() {
    for (name, file, error_type) in
        [("v2", "sys/fs/cgroup/memory.events", "container.oom_kill"), ("none", "proc/vmstat", "host.oom_kill")]
    {
        let machine = Machine::new(name);
        let stats = Arc::new(Stats::default());
        let (samples, inbox) = queue::<()>(Limits::default(), Window::AtOnce, Arc::clone(&stats));
        let (keep_running, stop) = smol::channel::bounded(1);
        let clock = Clock::by_hand(1_795_458_732_000);
        let running = std::thread::spawn({
            let collector = machine.collector();
            move || smol::block_on(run(collector, Duration::from_millis(1), samples, stats, clock, stop))
        });
        let next = || -> Vec<Kind> {
            let entries = inbox.next(Some(Duration::from_secs(30))).entries;
            entries.into_iter().flat_map(|entry| entry.events).map(|event| event.kind).collect()
        };
        assert!(next().iter().all(|kind| matches!(kind, Kind::SystemMetric(_))));
        machine.edit(file, if name == "v2" { "oom_kill 2" } else { "oom_kill 5" }, "oom_kill 7");
        let (mut errors, mut kills) = (Vec::new(), 0);
        let mut samples_after = 0;
        let deadline = Instant::now() + Duration::from_secs(30);
        while samples_after < 3 {
            assert!(Instant::now() < deadline, "{name}: no kill was told");
            for kind in next() {
                match kind {
                    Kind::SystemMetric(sample) => {
                        kills += sample.oom_kills.unwrap_or(0);
                        samples_after += i32::from(kills > 0);
                    }
                    Kind::ErrorEvent(error) => errors.push(error),
                    other => panic!("{other:?}"),
                }
            }
        }
        drop(keep_running);
        running.join().unwrap();
        let [error] = &errors[..] else { panic!("{errors:?}") };
        assert_eq!(error.error_type.as_deref(), Some(error_type));
        assert!(error.message.contains("out of memory"), "{}", error.message);
        let attributes: serde_json::Value = serde_json::from_str(error.attributes.as_deref().unwrap()).unwrap();
        assert_eq!(attributes["oom_kills"], kills);
    }
}

#[test]
fn kills_for_want_of_memory_are_those_of_our_group_or_else_of_the_machine() {
    for (name, file, text, expected) in [
        (
            "v2-nested",
            "sys/fs/cgroup/agents.slice/openclaw.service/trace/memory.events",
            "oom 9\noom_kill 3\n",
            Some(3),
        ),
        ("v1", "sys/fs/cgroup/memory/memory.oom_control", "under_oom 0\noom_kill 4\n", Some(4)),
        // The root of version 2 has no such file, a Fly.io machine for one.
        ("v2", "proc/vmstat", "nr_free_pages 1\noom_kill 5\n", Some(5)),
        ("none", "proc/vmstat", "oom_kill_not 5\n", None),
    ] {
        let machine = Machine::new(name);
        fs::write(machine.root.join("proc/vmstat"), "oom_kill 99\n").unwrap();
        if name == "v2" {
            fs::remove_file(machine.root.join("sys/fs/cgroup/memory.events")).unwrap();
        }
        fs::write(machine.root.join(file), text).unwrap();
        assert_eq!(oom_kills(&machine.root), expected, "{name}");
    }
}

#[test]
fn a_kill_that_the_queue_has_no_room_for_is_told_when_it_has() {
    let machine = Machine::new("v2");
    let stats = Arc::new(Stats::default());
    let limits = Limits { events_max: 2, ..Limits::default() };
    let (samples, inbox) = queue::<()>(limits, Window::AtOnce, Arc::clone(&stats));
    let (keep_running, stop) = smol::channel::bounded(1);
    let (collector, own) = (machine.collector(), Arc::clone(&stats));
    let running = std::thread::spawn(move || {
        smol::block_on(run(collector, Duration::from_millis(1), samples, own, Clock::by_hand(0), stop));
    });
    let refused_more_than = |count| until("samples are refused", || stats.ledger().refused_total() > count);
    refused_more_than(0);
    machine.edit("sys/fs/cgroup/memory.events", "oom_kill 2", "oom_kill 3");
    // At least one of them was the one that found the kill.
    refused_more_than(stats.ledger().refused_total() + 3);
    let deadline = Instant::now() + Duration::from_secs(30);
    let told = loop {
        assert!(Instant::now() < deadline, "the kill was never told");
        let entries = inbox.next(Some(Duration::from_secs(30))).entries;
        let is_error = |event: &openclaw_trace::event::Event| matches!(event.kind, Kind::ErrorEvent(_));
        let errors = entries.iter().flat_map(|entry| &entry.events).filter(|event| is_error(event)).count();
        inbox.settle(entries.into_iter().map(|entry| {
            let stored = entry.events.len() as u32;
            (entry, Outcome::Stored { stored, duplicates: 0, ignored: 0 })
        }));
        if errors > 0 {
            break errors;
        }
    };
    drop(keep_running);
    running.join().unwrap();
    assert_eq!(told, 1);
}

#[test]
fn a_full_queue_costs_the_sample_and_not_the_collector() {
    let machine = Machine::new("none");
    let stats = Arc::new(Stats::default());
    let limits = Limits { events_max: 1, ..Limits::default() };
    let (samples, inbox) = queue::<()>(limits, Window::AtOnce, Arc::clone(&stats));
    let (keep_running, stop) = smol::channel::bounded(1);
    let (collector, own) = (machine.collector(), Arc::clone(&stats));
    let running = std::thread::spawn(move || {
        smol::block_on(run(collector, Duration::from_millis(1), samples, own, Clock::by_hand(0), stop));
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while stats.ledger().refused_total() < 3 {
        assert!(Instant::now() < deadline, "no sample was refused: {:?}", stats.ledger());
        std::thread::yield_now();
    }
    drop(keep_running);
    running.join().unwrap();
    assert_eq!(stats.ledger().in_flight, 1);
    drop(inbox);
}
