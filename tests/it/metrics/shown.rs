//! Counters with something in every one of them, and the text format as a strict reader sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use openclaw_trace::event::{Coverage, ErrorEvent, PicoUsd, Scope, SystemMetric};
use openclaw_trace::metrics::{Facts, Process};
use openclaw_trace::stats::{Gains, LATENCY_MS, Refusal, Stats, TTFT_MS};

/// 2026-11-23T18:32:12Z
pub const NOW_MS: i64 = 1_795_458_732_000;

/// A family of the text.
#[derive(Debug, PartialEq)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug, PartialEq)]
pub struct Sample {
    pub suffix: String,
    pub labels: BTreeMap<String, String>,
    /// As it is written.
    pub value: String,
}

/// Counters of which every family has a sample, told apart by these names of models.
pub fn filled(models: &[String]) -> Stats {
    let stats = Stats::default();
    stats.started_ms.set(NOW_MS - 60_000);
    stats.count_queued(9);
    stats.count_settled(3, 1);
    stats.count_settled_ignored("openclaw.run", 2);
    stats.count_given_back(Refusal::StoreFull, 1);
    stats.count_invalid(4);
    stats.signals.native_events.received(3, NOW_MS);
    stats.http.count_answer(202);
    stats.openclaw_log.count_skipped("gateway", 2);
    let mut gains = Gains::default();
    for model in models {
        let counts = gains.of_model(model, model, &stats);
        counts.calls = [1, 2, 3, 4];
        counts.tokens = [10, 20, 30, 40, 50];
        (counts.cost, counts.unpriced) = (PicoUsd(1_575_000_000), 5);
        [0, 700, 400_000].iter().for_each(|ms| counts.latency.record(&LATENCY_MS, *ms));
        [230, 900].iter().for_each(|ms| counts.ttft.record(&TTFT_MS, *ms));
        gains.count_error(&ErrorEvent { component: Some(model.as_str().into()), ..ErrorEvent::default() }, &stats);
        assert!(stats.count_unpriced(model).is_some());
        stats.count_ignored(model, 1);
        stats.openclaw_log.count_skipped(model, 1);
    }
    stats.gained(&gains);
    let sample = SystemMetric {
        timestamp_ms: NOW_MS,
        interval_ms: Some(15_000),
        cpu_percent: Some(12.5),
        cpu_cores_used: Some(0.25),
        cpu_limit_cores: Some(2.0),
        cpu_throttled_ms: Some(1500),
        memory_used_bytes: Some(1),
        memory_limit_bytes: Some(2),
        memory_percent: Some(50.0),
        memory_rss_bytes: Some(3),
        swap_used_bytes: Some(4),
        disk_path: Some("/data".into()),
        disk_total_bytes: Some(5),
        disk_used_bytes: Some(6),
        disk_free_bytes: Some(7),
        disk_percent: Some(25.0),
        net_rx_bytes: Some(100),
        net_tx_bytes: Some(10),
        process_count: Some(8),
        thread_count: Some(9),
        zombie_count: Some(1),
        load_1m: Some(0.5),
        scope: Scope::Cgroup2,
        memory_working_set_bytes: Some(10),
        oom_kills: Some(1),
        cpu_pressure_ms: Some(100),
        memory_pressure_ms: Some(200),
        memory_pressure_full_ms: Some(300),
        io_pressure_ms: Some(400),
        io_pressure_full_ms: Some(500),
        cpu_steal_ms: Some(600),
        io_read_bytes: Some(11),
        io_write_bytes: Some(12),
        disk_inodes_total: Some(13),
        disk_inodes_free: Some(14),
        net_rx_errors: Some(15),
        net_tx_errors: Some(16),
        tcp_established: Some(17),
        tcp_listen: Some(18),
        tcp_time_wait: Some(19),
        tcp_close_wait: Some(20),
        tcp_other: Some(21),
        processes_top: None,
        agent_alive: Some(true),
        agent_rss_bytes: Some(22),
        agent_cpu_cores_used: Some(0.5),
        agent_fds: Some(23),
        agent_restarts: Some(1),
    };
    stats.sampled(&SystemMetric { net_tx_bytes: None, load_1m: None, ..sample.clone() });
    stats.sampled(&sample);
    {
        let mut push = stats.push();
        (push.enabled, push.last_success_ms, push.last_failure_ms) = (true, Some(NOW_MS), Some(NOW_MS - 1));
        push.next_attempt_ms = Some(NOW_MS + 1);
    }
    let mut store = stats.store();
    store.backlog_from_ms = Some(NOW_MS - 90_500);
    let mut coverage = Coverage { service_name: "openclaw".into(), ..Coverage::default() };
    coverage.add([1, 50, 3], [2, 100, 4]);
    store.usage.coverage = vec![coverage, Coverage::default()];
    drop(store);
    stats
}

pub fn facts(stats: &Stats) -> Facts<'_> {
    let process = Process {
        cpu_seconds: Some(1.5),
        resident_bytes: Some(1),
        virtual_bytes: Some(2),
        threads: Some(3),
        open_files: Some(4),
        open_files_max: Some(5),
    };
    Facts {
        stats,
        version: "1.2.3",
        now_ms: NOW_MS,
        uptime: Duration::from_secs(60),
        refusing: None,
        file_bytes_max: 50 << 20,
        budget_day: Some(PicoUsd(12_500_000_000_000)),
        follows_log: true,
        process,
    }
}

/// Reads the text, and accepts nothing that is not as it must be: HELP, TYPE and samples of each family together, once.
pub fn read(text: &str) -> Vec<Family> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut families: Vec<Family> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let (name, help) = line.strip_prefix("# HELP ").expect(line).split_once(' ').expect(line);
        let kind = lines.next().unwrap().strip_prefix("# TYPE ").expect(line).strip_prefix(name).expect(line).trim();
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{name}: {kind}");
        assert!(families.iter().all(|family| family.name != name), "{name} comes twice");
        let mut samples: Vec<Sample> = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let rest = line.strip_prefix(name).expect(line);
            let sample = read_sample(rest);
            let value: f64 = sample.value.parse().expect(line);
            assert!(value.is_finite(), "{line}");
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.contains(&&*sample.suffix), "{line}");
            let is_again = |other: &Sample| (&other.suffix, &other.labels) == (&sample.suffix, &sample.labels);
            assert!(!samples.iter().any(is_again), "{line} comes twice");
            samples.push(sample);
        }
        families.push(Family { name: name.to_owned(), kind: kind.to_owned(), help: help.to_owned(), samples });
    }
    families
}

/// What follows the name of the family.
fn read_sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect(line);
    let (suffix, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    while let Some(inside) = rest.strip_prefix(['{', ',']) {
        let (label, value) = inside.split_once("=\"").expect(line);
        let (mut text, mut chars) = (String::new(), value.char_indices());
        let end = loop {
            match chars.next().expect(line) {
                (at, '"') => break at,
                (_, '\\') => match chars.next().expect(line).1 {
                    'n' => text.push('\n'),
                    escaped @ ('\\' | '"') => text.push(escaped),
                    other => panic!("\\{other} in {line}"),
                },
                (_, plain) => text.push(plain),
            }
        };
        assert!(labels.insert(label.to_owned(), text).is_none(), "{line}");
        rest = &value[end + 1..];
    }
    let value = if labels.is_empty() { rest } else { rest.strip_prefix('}').expect(line) };
    let value = value.strip_prefix(' ').expect(line).to_owned();
    Sample { suffix: suffix.to_owned(), labels, value }
}
