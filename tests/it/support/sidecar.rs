//! The real program as a child process, which does not outlive the test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::PATIENCE;
use super::client::Client;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_openclaw-trace");

/// A variable that makes no rows but those that a test asks for.
pub const NO_SAMPLES: (&str, &str) = ("TRACE_METRICS_INTERVAL", "off");

/// `openclaw-trace serve` on a free port of loopback, or `run` with such a one below it.
pub struct Sidecar {
    child: Child,
    log: Arc<(Mutex<Log>, Condvar)>,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    /// Nobody writes to it any more: the process has ended.
    closed: bool,
}

/// Runs a command that ends by itself.
pub fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(PROGRAM).args(args).env_clear().envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

impl Sidecar {
    /// Starts it on a database with these further variables, and returns when it listens.
    pub fn start(db: &Path, env: &[(&str, &str)]) -> Sidecar {
        let sidecar = Sidecar::spawn(db, env);
        sidecar.address();
        sidecar
    }

    /// The same, but returns at once.
    pub fn spawn(db: &Path, env: &[(&str, &str)]) -> Sidecar {
        Sidecar::launch(Command::new(PROGRAM), db, env)
    }

    /// `run` with this agent, likewise at once.
    pub fn run(db: &Path, env: &[(&str, &str)], agent: &[&str]) -> Sidecar {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--"]).args(agent);
        Sidecar::launch(command, db, env)
    }

    /// The same below another program, which is given ours and the agent as its last arguments.
    pub fn run_below(above: &[&str], db: &Path, env: &[(&str, &str)], agent: &[&str]) -> Sidecar {
        let mut command = Command::new(above[0]);
        command.args(&above[1..]).args([PROGRAM, "run", "--"]).args(agent);
        Sidecar::launch(command, db, env)
    }

    /// Any command that starts one, with the variables that every one gets.
    pub fn launch(mut command: Command, db: &Path, env: &[(&str, &str)]) -> Sidecar {
        hand_down_no_ignored_signal();
        // The tools of an agent are not below /usr on every machine.
        let path = std::env::var_os("PATH").map(|path| ("PATH", path));
        command.env_clear().envs(path).env("TRACE_PORT", "0").env("TRACE_DB_PATH", db).envs(env.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::<(Mutex<Log>, Condvar)>::default();
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                shared.0.lock().unwrap().lines.push(line);
                shared.1.notify_all();
            }
            shared.0.lock().unwrap().closed = true;
            shared.1.notify_all();
        });
        Sidecar { child, log }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let line = self.wait_line("msg=listening ");
        line.split_once("addr=").and_then(|(_, address)| address.parse().ok()).unwrap()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address()).unwrap()
    }

    /// Status and body of `/health`.
    pub fn health(&self) -> (u16, Value) {
        let answer = self.client().fetch("/health").unwrap();
        (answer.status, answer.json())
    }

    /// Asks for `/health` until it is as wanted.
    pub fn wait_health(&self, what: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        wait_until(what, || Some(self.health()).filter(|(status, health)| wanted(*status, health))).1
    }

    /// Waits for a line of the log with `part` in it.
    pub fn wait_line(&self, part: &str) -> String {
        let found = |log: &Log| log.lines.iter().find(|line| line.contains(part)).cloned();
        let log = self.log.0.lock().unwrap();
        let waiting = |log: &mut Log| found(log).is_none() && !log.closed;
        let log = self.log.1.wait_timeout_while(log, PATIENCE, waiting).unwrap().0;
        let (line, log) = (found(&log), log.lines.join("\n"));
        line.unwrap_or_else(|| panic!("{part:?} is not in the log:\n{log}"))
    }

    pub fn log(&self) -> String {
        self.log.0.lock().unwrap().lines.join("\n")
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// kill -9, and returns when the process is gone.
    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// The exit code, if it exits by itself within this time.
    pub fn exit_within(&mut self, time: Duration) -> Option<i32> {
        let log = self.log.0.lock().unwrap();
        let closed = self.log.1.wait_timeout_while(log, time, |log| !log.closed).unwrap().0.closed;
        if closed { self.child.wait().unwrap().code() } else { None }
    }

    /// The exit code, when it exits by itself.
    pub fn exit_code(&mut self) -> i32 {
        self.exit_within(PATIENCE).unwrap_or_else(|| panic!("it does not end:\n{}", self.log()))
    }

    /// SIGTERM, and a good end.
    pub fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.exit_code(), 0, "{}", self.log());
    }

    /// The most memory that it ever had, in bytes. Of its own code no more is counted than the optimised program has: that of
    /// the one under test may be twice as long.
    pub fn memory_high_water_bytes(&self) -> u64 {
        /// Pages of files after a storm, as `cargo build --release` makes it: 6.5 to 6.9 MB.
        const CODE_BYTES_MAX: u64 = 7_000_000;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
        };
        bytes("VmHWM:") - bytes("RssFile:").saturating_sub(CODE_BYTES_MAX)
    }

    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().count()
    }

    /// Process ids of every `serve` that the log tells of, in the order of their starts.
    pub fn serve_pids(&self) -> Vec<Pid> {
        let starts = self.log();
        let starts = starts.lines().filter(|line| line.contains("msg=starting "));
        starts.map(|line| Pid::from_raw(line.rsplit_once("pid=").unwrap().1.parse().unwrap())).collect()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended before.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whoever starts the tests may have them ignore signals (nohup does, and so does a shell's `&`), and every child would
/// inherit that. A handler it does not inherit.
fn hand_down_no_ignored_signal() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            if ignored >> (signal as u32 - 1) & 1 == 1 {
                signal_hook::flag::register(signal as i32, Arc::default()).unwrap();
            }
        }
    });
}

/// Both laws of nothing vanishing uncounted, as `/health` tells them.
pub fn check_laws(health: &Value) {
    let sum = |counts: &Value| counts.as_object().unwrap().values().map(|n| n.as_i64().unwrap()).sum::<i64>();
    let events = &health["events"];
    let count = |name: &str| events[name].as_i64().unwrap();
    let settled = ["stored", "duplicate", "invalid", "ignored", "in_flight"].map(count).iter().sum::<i64>();
    assert_eq!(count("offered"), settled + sum(&events["refused"]), "{events}");
    for (table, rows) in health["database"]["rows"].as_object().unwrap() {
        let count = |name: &str| rows[name].as_i64().unwrap();
        assert_eq!(count("stored"), count("present") + sum(&rows["pruned"]), "{table}: {rows}");
        assert_eq!(rows["pruned"]["foreign"], 0, "{table}: rows were lost, and found out by counting");
    }
}

/// Asks again and again until it is so.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_until(what, || condition().then_some(()));
}

/// Whether a condition holds before `patience` is over.
pub fn is_so_within(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = std::time::Instant::now() + patience;
    while !condition() {
        if std::time::Instant::now() >= deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer.
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(PAUSE);
    }
}
