//! What a sample costs: CPU, and memory over many of them.
//!
//! `cargo bench --bench collect -- [ROOT [SAMPLES]]`: of the machine (`/`), or of a copy of another
//! (`tests/data/machines/v2`). Prints both; fails when memory grew, and never for being slow.
#![allow(clippy::print_stdout, missing_docs)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use openclaw_trace::collect::{Agent, Collector, Sources};
use openclaw_trace::space::page_bytes;

/// Samples before the first look at memory: by then every buffer has its size.
const WARM_UP: u32 = 1000;
/// What the allocator may take more without anything having grown.
const GROWTH_KIB_MAX: i64 = 256;
const INTERVAL: Duration = Duration::from_secs(15);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // `cargo bench` adds --bench.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let root = args.next().unwrap_or_else(|| "/".to_owned());
    let samples: u32 = args.next().map_or(Ok(10_000), |text| text.parse())?;
    let agent = Agent::Pid(1);
    let sources =
        Sources { root: Path::new(&root).into(), disk: std::env::temp_dir(), page_bytes: page_bytes(), agent };
    let mut collector = Collector::new(sources);
    let mut take = |from: u32, to: u32| {
        for n in from..to {
            collector.sample(0, INTERVAL * n);
        }
    };
    take(0, WARM_UP);
    let (ticks_before, kib_before) = (cpu_ticks()?, rss_kib()?);
    take(WARM_UP, WARM_UP + samples);
    let (ticks, grown_kib) = (cpu_ticks()? - ticks_before, rss_kib()? - kib_before);
    // A tick is 10 ms.
    let us = ticks * 10_000 / i64::from(samples);
    println!("{samples} samples of {root}: {us} us of CPU each, memory grew by {grown_kib} KiB from {kib_before} KiB");
    let grew = grown_kib > GROWTH_KIB_MAX;
    Ok(if grew { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn cpu_ticks() -> Result<i64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').ok_or("no /proc/self/stat")?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next().ok_or("no CPU time");
    Ok(next()?.parse::<i64>()? + next()?.parse::<i64>()?)
}

fn rss_kib() -> Result<i64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse()?)
}
