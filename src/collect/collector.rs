//! Takes samples: each figure of its source, each against the sample before.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Sources;
use super::agent::Follower;
use super::cgroup::{self, Groups};
use super::disks::{self, Transferred};
use super::files::Files;
use super::pressure::Stalled;
use super::proc::{self, Interface, MachineCpu, Memory};
use super::process::cpus_allowed;
use super::processes::Processes;
use super::rates::{Counter, CpuTimes, Owner, cores_used, rise, traffic};
use super::tcp::States;
use crate::event::{Scope, SystemMetric};
use crate::space::Space;

/// Takes samples, each against the one before.
#[derive(Debug)]
pub struct Collector {
    files: Files,
    disk: PathBuf,
    page_bytes: Option<i64>,
    agent: Follower,
    /// /proc/PID/cgroup of the agent, as it was last read: who was killed in its group is told when it is dead.
    agent_cgroup: Option<String>,
    processes: Processes,
    before: Option<Before>,
    next_seldom: Duration,
    /// [`cgroup::mounts`], as they were when last looked at.
    mounts: String,
    sockets_cost_much: bool,
    next_sockets: Duration,
    kills_are_of_machine: bool,
    unreadable: BTreeSet<&'static str>,
}

/// The counters of the last sample.
#[derive(Debug)]
struct Before {
    uptime: Duration,
    cpu: Option<Counter<CpuTimes>>,
    stolen_us: Option<i64>,
    interfaces: Option<Vec<Interface>>,
    counters: Counters,
    transferred: Option<Counter<Transferred>>,
}

/// Processes that the kernel has killed for want of memory.
#[derive(Debug, Clone, Copy)]
struct Kills {
    count: i64,
    /// Whoever they were.
    of_machine: bool,
}

/// What only rises, and whose it is.
#[derive(Debug, Default)]
struct Counters {
    oom_kills: Option<Counter>,
    oom_kills_of_machine: Option<Counter>,
    cpu_stalled_us: Option<Counter>,
    memory_stalled_us: Option<Counter>,
    memory_stalled_full_us: Option<Counter>,
    io_stalled_us: Option<Counter>,
    io_stalled_full_us: Option<Counter>,
}

/// How often that is read which costs more, or says less.
const SELDOM: Duration = Duration::from_secs(300);
/// What it may take to read the sockets at every sample. Where it takes longer they are read every [`SOCKETS_SELDOM`]: the kernel
/// walks the whole of its table, which on a machine of 24 GB takes 2.4 ms for each of the two files, on one of 1 GB 0.1 ms.
const SOCKETS_TIME_MAX: Duration = Duration::from_micros(250);
const SOCKETS_SELDOM: Duration = Duration::from_secs(900);
const US_PER_MS: i64 = 1000;

impl Collector {
    /// A collector that has taken no sample yet.
    pub fn new(sources: Sources) -> Collector {
        let Sources { root, disk, page_bytes, agent } = sources;
        Collector {
            files: Files::under(root),
            disk,
            page_bytes,
            agent: Follower::new(agent),
            agent_cgroup: None,
            processes: Processes::default(),
            before: None,
            next_seldom: Duration::ZERO,
            mounts: String::new(),
            sockets_cost_much: false,
            next_sockets: Duration::ZERO,
            kills_are_of_machine: false,
            unreadable: BTreeSet::new(),
        }
    }

    /// Takes a sample at `now_ms` (Unix milliseconds); `uptime` is a clock that never goes back.
    pub fn sample(&mut self, now_ms: i64, uptime: Duration) -> SystemMetric {
        let before = self.before.take();
        let interval = before.as_ref().and_then(|b| uptime.checked_sub(b.uptime)).filter(|i| !i.is_zero());
        let is_seldom = uptime >= self.next_seldom;
        if is_seldom {
            self.next_seldom = uptime + SELDOM;
            self.mounts = cgroup::mounts(&self.files);
            self.agent.look_anew();
        }
        let mut sample = SystemMetric {
            timestamp_ms: now_ms,
            interval_ms: interval.and_then(|i| i64::try_from(i.as_millis()).ok()),
            load_1m: self.files.parse("proc/loadavg", proc::load_1m),
            ..SystemMetric::default()
        };
        self.processes.look(&self.files, is_seldom);
        let agent = self.agent.fill(&mut sample, &self.processes, &self.files, uptime, self.page_bytes);
        let cgroup = agent.and_then(|pid| self.files.text(format!("proc/{pid}/cgroup")));
        self.agent_cgroup = cgroup.or(self.agent_cgroup.take());
        let groups = Groups::find(&self.files, &self.mounts, self.agent_cgroup.as_deref(), &self.processes);
        sample.scope = groups.scope;
        let machine = self.files.parse("proc/stat", proc::machine_cpu);
        let pid = agent.map_or("self".to_owned(), |pid| pid.to_string());
        let cpus_allowed = self.files.parse(format!("proc/{pid}/status"), cpus_allowed);
        let cpu = self.cpu(&groups, machine, cpus_allowed, &mut sample);
        self.memory(&groups, &mut sample);
        let mut now = Before {
            uptime,
            cpu,
            stolen_us: machine.and_then(|machine| machine.stolen_us),
            interfaces: self.files.parse("proc/net/dev", |text| {
                proc::interfaces(text, |name| self.files.exists(format!("sys/class/net/{name}/device")))
            }),
            counters: self.counters(&groups),
            transferred: self.transferred(&groups),
        };
        if let Some(before) = &before {
            // However short the time was: each is told once.
            let kills = self.kills(before, &now);
            sample.oom_kills = kills.map(|kills| kills.count);
            self.kills_are_of_machine = kills.is_some_and(|kills| kills.of_machine);
            if let Some(interval) = interval {
                now.fill(before, interval, &mut sample);
            }
        }
        self.count_processes(is_seldom, &mut sample);
        self.count_sockets(uptime, &mut sample);
        self.disk(&mut sample);
        self.tell_unreadable(&sample, &now);
        // Not read this once is no reason to miss a kill.
        now.counters.oom_kills = now.counters.oom_kills.or(before.and_then(|before| before.counters.oom_kills));
        self.before = Some(now);
        sample
    }

    /// Whether the kills that the last sample tells are those of the machine, and not of the group whose memory it tells.
    pub fn kills_are_of_machine(&self) -> bool {
        self.kills_are_of_machine
    }

    /// Kills for want of memory between two samples. A group that is gone, or was made anew, has taken its count with it; then
    /// it is known only that somebody on the machine was killed.
    fn kills(&self, before: &Before, now: &Before) -> Option<Kills> {
        let (was, is) = (before.counters.oom_kills.as_ref()?, now.counters.oom_kills.as_ref());
        let is_gone = was.of != Owner::default() && self.files.owner(&was.of.dir) != was.of;
        let of_machine = now.risen(before, |counters| &counters.oom_kills_of_machine).filter(|kills| *kills > 0);
        if let Some(count) = of_machine.filter(|_| is_gone) {
            return Some(Kills { count, of_machine: true });
        }
        let is = is?;
        let count = if is.of == was.of {
            rise(was.value, is.value)?
        } else if is.of.dir == was.of.dir {
            is.value
        } else {
            return None;
        };
        Some(Kills { count, of_machine: is.of == Owner::default() })
    }

    /// Fields that could not be read so far.
    pub fn unreadable(&self) -> impl Iterator<Item = &'static str> {
        self.unreadable.iter().copied()
    }

    /// The limit, and the counters to compare with the next sample's.
    fn cpu(
        &self,
        groups: &Groups,
        machine: Option<MachineCpu>,
        cpus_allowed: Option<f64>,
        sample: &mut SystemMetric,
    ) -> Option<Counter<CpuTimes>> {
        let cores = machine.map(|m| m.cores);
        let quota = groups.cpu.as_ref().and_then(|group| group.limit_cores);
        sample.cpu_limit_cores = [quota, cores, cpus_allowed].into_iter().flatten().reduce(f64::min);
        match &groups.cpu {
            Some(group) => group.counters(&self.files),
            None if groups.scope == Scope::Host => machine
                .map(|m| Counter { value: CpuTimes { used_us: m.used_us, throttled_us: None }, of: Owner::default() }),
            // Its memory is in a group, its CPU in none: what the machine used is not what it used.
            None => None,
        }
    }

    fn memory(&self, groups: &Groups, sample: &mut SystemMetric) {
        let machine = self.files.parse("proc/meminfo", proc::machine_memory);
        let memory = match &groups.memory {
            Some(group) => group.memory(&self.files, machine.and_then(|m| m.limit_bytes)),
            None if groups.scope == Scope::Host => machine.unwrap_or_default(),
            None => Memory { limit_bytes: machine.and_then(|m| m.limit_bytes), ..Memory::default() },
        };
        let Memory { used_bytes, reclaimable_bytes, limit_bytes, rss_bytes, swap_bytes } = memory;
        sample.memory_used_bytes = used_bytes;
        sample.memory_limit_bytes = limit_bytes;
        sample.memory_rss_bytes = rss_bytes;
        sample.swap_used_bytes = swap_bytes;
        sample.memory_working_set_bytes =
            used_bytes.zip(reclaimable_bytes).map(|(used, reclaimable)| (used - reclaimable).max(0));
        sample.memory_percent = sample
            .memory_working_set_bytes
            .zip(limit_bytes)
            .and_then(|(used, limit)| (limit > 0).then(|| percent(used as f64, limit as f64)));
    }

    /// Of the container, or where there is none, of the machine.
    fn counters(&self, groups: &Groups) -> Counters {
        let files = &self.files;
        let counter = |value: Option<i64>, of: Owner| value.map(|value| Counter { value, of });
        let machine = |value| counter(value, Owner::default());
        let oom_kills_of_machine = machine(files.parse("proc/vmstat", proc::oom_kills));
        if groups.scope == Scope::Host {
            let stalled = |path: &str| files.parse(path, Stalled::read).unwrap_or_default();
            let (memory, io) = (stalled("proc/pressure/memory"), stalled("proc/pressure/io"));
            return Counters {
                oom_kills: oom_kills_of_machine.clone(),
                oom_kills_of_machine,
                cpu_stalled_us: machine(stalled("proc/pressure/cpu").some_us),
                memory_stalled_us: machine(memory.some_us),
                memory_stalled_full_us: machine(memory.full_us),
                io_stalled_us: machine(io.some_us),
                io_stalled_full_us: machine(io.full_us),
            };
        }
        let Groups { memory, cpu, io, .. } = groups;
        let oom_kills = match memory {
            Some(group) => group.oom_kills(files).map(|(value, dir)| Counter { value, of: files.owner(dir) }),
            None => oom_kills_of_machine.clone(),
        };
        let of_group = |stalled: Option<(Stalled, &PathBuf)>| {
            let (stalled, dir) = stalled.unzip();
            let Stalled { some_us, full_us } = stalled.unwrap_or_default();
            let of = dir.map(|dir| files.owner(dir)).unwrap_or_default();
            (counter(some_us, of.clone()), counter(full_us, of))
        };
        let (cpu_stalled_us, _) = of_group(cpu.as_ref().map(|group| (group.stalled(files), &group.dir)));
        let (memory_stalled_us, memory_stalled_full_us) =
            of_group(memory.as_ref().map(|group| (group.stalled(files), &group.dir)));
        let (io_stalled_us, io_stalled_full_us) = of_group(io.as_ref().map(|group| (group.stalled(files), &group.dir)));
        Counters {
            oom_kills,
            oom_kills_of_machine,
            cpu_stalled_us,
            memory_stalled_us,
            memory_stalled_full_us,
            io_stalled_us,
            io_stalled_full_us,
        }
    }

    /// Of the container, or where there is none, of the machine's disks.
    fn transferred(&self, groups: &Groups) -> Option<Counter<Transferred>> {
        if groups.scope == Scope::Host {
            let is_disk = |name: &str| {
                // A part of a disk has no entry of its own there, and what is made of other devices is none itself. In a
                // name, `!` stands for the `/` of a path.
                self.files.exists(format!("sys/block/{}/device", name.replace('/', "!")))
            };
            let value = self.files.parse("proc/diskstats", |text| disks::diskstats(text, is_disk))?;
            return Some(Counter { value, of: Owner::default() });
        }
        let group = groups.io.as_ref()?;
        Some(Counter { value: group.transferred(&self.files)?, of: self.files.owner(&group.dir) })
    }

    fn count_processes(&self, is_seldom: bool, sample: &mut SystemMetric) {
        sample.process_count = self.processes.count();
        (sample.thread_count, sample.zombie_count) = self.processes.threads_and_zombies().unzip();
        if is_seldom {
            sample.processes_top = self.page_bytes.and_then(|page_bytes| self.processes.top(page_bytes));
        }
    }

    fn count_sockets(&mut self, uptime: Duration, sample: &mut SystemMetric) {
        if self.sockets_cost_much && uptime < self.next_sockets {
            return;
        }
        self.next_sockets = uptime + SOCKETS_SELDOM;
        let started = Instant::now();
        // Cut short, it would tell less than there is.
        let whole = |text: &str, states: States| states.and(text).filter(|_| self.files.is_whole(text));
        let count = |path: &str, states: States| self.files.parse(path, |text| whole(text, states));
        let states = count("proc/net/tcp", States::default()).and_then(|states| {
            // Where there is no IPv6, there is no such file.
            if self.files.exists("proc/net/tcp6") { count("proc/net/tcp6", states) } else { Some(states) }
        });
        self.sockets_cost_much = states.is_some() && started.elapsed() > SOCKETS_TIME_MAX;
        let Some(states) = states else { return };
        sample.tcp_established = Some(states.established);
        sample.tcp_listen = Some(states.listen);
        sample.tcp_time_wait = Some(states.time_wait);
        sample.tcp_close_wait = Some(states.close_wait);
        sample.tcp_other = Some(states.other);
    }

    fn disk(&self, sample: &mut SystemMetric) {
        sample.disk_path = Some(self.disk.to_string_lossy().into());
        let Some(space) = Space::of(&self.disk) else { return };
        sample.disk_total_bytes = i64::try_from(space.total_bytes).ok();
        sample.disk_used_bytes = i64::try_from(space.used_bytes).ok();
        sample.disk_free_bytes = i64::try_from(space.free_bytes).ok();
        sample.disk_percent = space.used_percent();
        sample.disk_inodes_total = space.inodes.and_then(|inodes| i64::try_from(inodes.total).ok());
        sample.disk_inodes_free = space.inodes.and_then(|inodes| i64::try_from(inodes.free).ok());
    }

    /// Names each field once. Left out is what there may be nothing of: a quota that throttles, inodes, an agent.
    fn tell_unreadable(&mut self, sample: &SystemMetric, now: &Before) {
        let Counters {
            oom_kills,
            oom_kills_of_machine: _,
            cpu_stalled_us,
            memory_stalled_us,
            memory_stalled_full_us,
            io_stalled_us,
            io_stalled_full_us,
        } = &now.counters;
        let read = [
            ("cpu_percent", now.cpu.is_some()),
            ("cpu_limit_cores", sample.cpu_limit_cores.is_some()),
            ("cpu_steal_ms", now.stolen_us.is_some()),
            ("cpu_pressure_ms", cpu_stalled_us.is_some()),
            ("memory_used_bytes", sample.memory_used_bytes.is_some()),
            ("memory_limit_bytes", sample.memory_limit_bytes.is_some()),
            ("memory_working_set_bytes", sample.memory_working_set_bytes.is_some()),
            ("memory_rss_bytes", sample.memory_rss_bytes.is_some()),
            ("swap_used_bytes", sample.swap_used_bytes.is_some()),
            ("memory_pressure_ms", memory_stalled_us.is_some()),
            ("memory_pressure_full_ms", memory_stalled_full_us.is_some()),
            ("oom_kills", oom_kills.is_some()),
            ("io_read_bytes", now.transferred.is_some()),
            ("io_pressure_ms", io_stalled_us.is_some()),
            ("io_pressure_full_ms", io_stalled_full_us.is_some()),
            ("disk_total_bytes", sample.disk_total_bytes.is_some()),
            ("net_rx_bytes", now.interfaces.is_some()),
            ("tcp_established", sample.tcp_established.is_some() || self.sockets_cost_much),
            ("process_count", sample.process_count.is_some()),
            ("thread_count", sample.thread_count.is_some() || !self.processes.is_complete()),
            ("agent_alive", self.processes.are_all_shown() || sample.agent_alive.is_some() || !self.agent.is_told()),
            ("load_1m", sample.load_1m.is_some()),
            ("agent_rss_bytes", sample.agent_alive != Some(true) || sample.agent_rss_bytes.is_some()),
            ("agent_fds", sample.agent_alive != Some(true) || sample.agent_fds.is_some()),
        ];
        let unreadable = read.into_iter().filter(|(_, read)| !read).map(|(field, _)| field);
        let new: Vec<&str> = unreadable.filter(|field| self.unreadable.insert(field)).collect();
        if !new.is_empty() {
            let fields = new.join(",");
            log::warn!(fields, scope = sample.scope.as_str(); "fields of the samples cannot be read and stay empty");
        }
    }
}

impl Before {
    fn risen(&self, before: &Before, of: fn(&Counters) -> &Option<Counter>) -> Option<i64> {
        let (before, now) = (of(&before.counters).as_ref(), of(&self.counters).as_ref());
        Counter::since(now, before, |before, now| rise(*before, *now))
    }

    /// Fills what happened since `before`.
    fn fill(&self, before: &Before, interval: Duration, sample: &mut SystemMetric) {
        let cpu = Counter::since(self.cpu.as_ref(), before.cpu.as_ref(), |before, now| {
            let throttled_us = before.throttled_us.zip(now.throttled_us).and_then(|(before, now)| rise(before, now));
            Some((cores_used(before.used_us, now.used_us, interval), throttled_us))
        });
        let (cores_used, throttled_us) = cpu.unwrap_or_default();
        sample.cpu_cores_used = cores_used;
        sample.cpu_percent = cores_used
            .zip(sample.cpu_limit_cores)
            .and_then(|(used, limit)| (limit > 0.0).then(|| percent(used, limit)));
        sample.cpu_throttled_ms = throttled_us.map(|us| us / US_PER_MS);
        let stolen = before.stolen_us.zip(self.stolen_us).and_then(|(before, now)| rise(before, now));
        sample.cpu_steal_ms = stolen.map(|us| us / US_PER_MS);
        if let (Some(before), Some(now)) = (&before.interfaces, &self.interfaces)
            && let Some(traffic) = traffic(before, now)
        {
            sample.net_rx_bytes = Some(traffic.rx_bytes);
            sample.net_rx_errors = Some(traffic.rx_errors);
            sample.net_tx_bytes = Some(traffic.tx_bytes);
            sample.net_tx_errors = Some(traffic.tx_errors);
        }
        let stalled_ms = |of| self.risen(before, of).map(|us| us / US_PER_MS);
        sample.cpu_pressure_ms = stalled_ms(|c| &c.cpu_stalled_us);
        sample.memory_pressure_ms = stalled_ms(|c| &c.memory_stalled_us);
        sample.memory_pressure_full_ms = stalled_ms(|c| &c.memory_stalled_full_us);
        sample.io_pressure_ms = stalled_ms(|c| &c.io_stalled_us);
        sample.io_pressure_full_ms = stalled_ms(|c| &c.io_stalled_full_us);
        let transferred = Counter::since(self.transferred.as_ref(), before.transferred.as_ref(), |before, now| {
            Some((rise(before.read_bytes, now.read_bytes)?, rise(before.written_bytes, now.written_bytes)?))
        });
        (sample.io_read_bytes, sample.io_write_bytes) = transferred.unzip();
    }
}

fn percent(part: f64, whole: f64) -> f64 {
    part * 100.0 / whole
}
