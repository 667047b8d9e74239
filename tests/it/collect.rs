//! Samples of whole machines: trees of /proc and /sys in `tests/data/machines`, and the machine we are on.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use openclaw_trace::clock::Clock;
use openclaw_trace::collect::{Collector, Sources, oom_kills, run};
use openclaw_trace::event::{Kind, Scope, SystemMetric};
use openclaw_trace::queue::{Limits, Window, queue};
use openclaw_trace::stats::Stats;

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
        Collector::new(Sources { root: self.root.clone(), disk: self.root.clone() })
    }

    /// Replaces a text in one of the machine's files.
    fn edit(&self, path: &str, old: &str, new: &str) {
        let path = self.root.join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{} has no {old}", path.display());
        fs::write(&path, text.replace(old, new)).unwrap();
    }
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
        scope,
        ..bare()
    }
}

#[test]
fn a_limited_container_is_seen_by_its_cgroup_of_either_version() {
    assert_eq!(first_sample("v2"), boxed(Scope::Cgroup2));
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
        process_count: Some(2),
        thread_count: Some(14),
        zombie_count: Some(0),
        load_1m: None,
        ..boxed(Scope::Cgroup2)
    };
    assert_eq!(sample, expected);
    let unreadable: Vec<_> = collector.unreadable().collect();
    assert_eq!(unreadable, ["cpu_percent", "load_1m", "memory_percent", "memory_rss_bytes", "net_rx_bytes"]);
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
    for name in ["v2-nested", "hybrid"] {
        let machine = Machine::new(name);
        let mut collector = machine.collector();
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
            ];
            let real = [sample.cpu_percent, sample.cpu_cores_used, sample.cpu_limit_cores, sample.memory_percent];
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
    let mut collector = Collector::new(Sources { root: nowhere.clone(), disk: nowhere.clone() });
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
    let mut collector = Collector::new(Sources { root: "/".into(), disk: std::env::temp_dir() });
    collector.sample(0, Duration::ZERO);
    let sample = collector.sample(0, INTERVAL);
    assert_eq!(collector.unreadable().count(), 0, "{:?}", collector.unreadable().collect::<Vec<_>>());
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
        fs::write(machine.root.join(file), text).unwrap();
        assert_eq!(oom_kills(&machine.root), expected, "{name}");
    }
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
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while stats.ledger().refused_total() < 3 {
        assert!(std::time::Instant::now() < deadline, "no sample was refused: {:?}", stats.ledger());
        std::thread::yield_now();
    }
    drop(keep_running);
    running.join().unwrap();
    assert_eq!(stats.ledger().in_flight, 1);
    drop(inbox);
}
