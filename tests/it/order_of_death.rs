//! Who stops whom, and in which order, with real shells, tini and PID namespaces: whatever the main process is, the
//! agent's last words are stored, the exit code is the agent's, and no zombie is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::sidecar::{NO_SAMPLES, PROGRAM, Sidecar, wait_until};
use crate::support::sink::{Say, Sink};

/// The agent's exit code after a stop that went as it should.
const FLUSHED: i32 = 7;
/// The agent. It leaves an orphan behind, whose process id is the line in `$DIR/orphan`, and writes a line to `$DIR/agent`.
/// Upon SIGTERM it takes far longer than a sidecar needs to stop, posts to what `$DIR/endpoint` names, and exits with
/// [`FLUSHED`].
const AGENT: &str = r#"
    flush() {
        sleep 0.5
        curl -sf -o /dev/null "$(cat "$DIR/endpoint")/v1/events" \
            -H 'Content-Type: application/json' -d '{"name": "last words"}' || exit 9
        exit 7
    }
    trap flush TERM
    (sh -c 'echo $$ > "$DIR/orphan"; sleep 0.1' &)
    echo ready > "$DIR/agent"
    while :; do sleep 0.05; done"#;

/// The main process and whatever is above it. Each is given our program and the agent, in this way:
#[derive(Clone, Copy)]
enum Main {
    /// `openclaw-trace run -- AGENT`
    Run,
    /// `SHELL start.sh AGENT`, with our program on the path.
    StartSh(&'static [&'static str]),
}

const RUN: Main = Main::Run;
const DASH: Main = Main::StartSh(&["dash"]);
const BASH: Main = Main::StartSh(&["bash"]);
const BUSYBOX: Main = Main::StartSh(&["busybox", "sh"]);

/// In a PID namespace, where the first program is PID 1.
const NAMESPACE: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc"];
const TINI: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc", "tini", "--"];

struct House {
    dir: TempDir,
    sidecar: Sidecar,
    in_namespace: bool,
}

impl House {
    /// Starts it, and waits until the agent is ready and knows where the sidecar listens.
    fn start(above: &[&str], main: Main, env: &[(&str, &str)]) -> House {
        let house = House::spawn(above, main, env, AGENT);
        house.wait_for("agent");
        fs::write(house.dir.join("new"), format!("http://{}", house.sidecar.address())).unwrap();
        fs::rename(house.dir.join("new"), house.dir.join("endpoint")).unwrap();
        house
    }

    fn spawn(above: &[&str], main: Main, env: &[(&str, &str)], agent: &str) -> House {
        let dir = TempDir::new("order");
        let ours = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
        let path = format!("{ours}:{}", std::env::var("PATH").unwrap());
        let env = [&[NO_SAMPLES, ("DIR", dir.path().to_str().unwrap()), ("PATH", &path)], env].concat();
        let script = start_sh();
        let main = match main {
            Main::Run => vec![PROGRAM, "run", "--"],
            Main::StartSh(shell) => [shell, &[script.to_str().unwrap()]].concat(),
        };
        let words = [above, &main, &["sh", "-c", agent]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let sidecar = Sidecar::launch(command, &dir.join("trace.db"), &env);
        House { dir, sidecar, in_namespace: above.first() == Some(&"unshare") }
    }

    /// The line in a file of this name.
    fn wait_for(&self, name: &str) -> String {
        let line = || Some(fs::read_to_string(self.dir.join(name)).ok()?.strip_suffix('\n')?.to_owned());
        wait_until(name, line)
    }

    /// The main process; in a namespace, its PID 1.
    fn main(&self) -> Pid {
        let outermost = self.sidecar.pid();
        if !self.in_namespace {
            return outermost;
        }
        wait_until("the first process of the namespace", || {
            let children = fs::read_to_string(format!("/proc/{outermost}/task/{outermost}/children")).unwrap();
            children.split_whitespace().next().map(|pid| Pid::from_raw(pid.parse().unwrap()))
        })
    }

    fn signal(&self, signal: Signal) {
        kill(self.main(), signal).unwrap();
    }

    fn exit_code(&mut self) -> i32 {
        self.sidecar.exit_code()
    }

    fn check_last_words(&self) {
        // It was the sidecar's own end, and no cut.
        assert!(!self.dir.join("trace.db-wal").exists(), "{}", self.sidecar.log());
        let conn = read_only(&self.dir.join("trace.db"));
        let words = conn.query_row("SELECT group_concat(name) FROM custom_events", [], |row| row.get(0));
        assert_eq!(words, Ok(Some("last words".to_owned())), "{}", self.sidecar.log());
    }

    /// Waits until the orphan has ended and been reaped. Until somebody does that, a dead process keeps its entry.
    fn wait_orphan_gone(&self) {
        let orphan = self.wait_for("orphan");
        // Its number is one of the namespace, and so is this view of its processes.
        let processes = PathBuf::from(format!("/proc/{}/root/proc", self.main()));
        assert!(processes.join("1").exists(), "{} shows nothing", processes.display());
        let of_it = processes.join(orphan);
        wait_until("an end without zombies", || (!of_it.exists()).then_some(()));
    }
}

fn start_sh() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("images/fly/start.sh")
}

/// Whether this machine has what the test needs; else says what is missing.
fn can(above: &[&str], main: Main) -> bool {
    let shell = match main {
        Main::Run => "sh",
        Main::StartSh(shell) => shell[0],
    };
    let tried = [above, &[shell, "-c", "true"]].concat();
    let tried = if shell == "busybox" { [above, &["busybox", "true"]].concat() } else { tried };
    match Command::new(tried[0]).args(&tried[1..]).output() {
        Ok(done) if done.status.success() => true,
        refused => {
            eprintln!("SKIPPED: {tried:?} cannot be run here: {refused:?}");
            false
        }
    }
}

#[test]
fn the_agents_last_words_are_stored_whatever_the_main_process_is() {
    for (above, main) in [
        (&[][..], DASH),
        (&[], BASH),
        (&[], BUSYBOX),
        (NAMESPACE, DASH),
        (NAMESPACE, BASH),
        (NAMESPACE, BUSYBOX),
        (NAMESPACE, RUN),
        (TINI, DASH),
        (TINI, RUN),
    ] {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            // The agent knows SIGTERM alone, and `run` hands on what it gets.
            if !can(above, main) || (signal == Signal::SIGINT && matches!(main, Main::Run)) {
                continue;
            }
            let mut house = House::start(above, main, &[]);
            if house.in_namespace {
                house.wait_orphan_gone();
            }
            house.signal(signal);
            assert_eq!(house.exit_code(), FLUSHED, "{signal} {}", house.sidecar.log());
            house.check_last_words();
        }
    }
}

#[test]
fn an_agent_that_ends_by_itself_ends_the_sidecar_and_gives_the_exit_code() {
    for main in [DASH, BASH, BUSYBOX] {
        for (agent, code) in
            [("exit 0", 0), ("exit 3", 3), ("exit 127", 127), ("kill -KILL $$", 137), ("exit 143", 143)]
        {
            if !can(&[], main) {
                continue;
            }
            // It listens by then, so that it is its own end that we see.
            let waiting = format!("while [ ! -e \"$DIR/endpoint\" ]; do sleep 0.01; done; {agent}");
            let mut house = House::spawn(&[], main, &[], &waiting);
            house.sidecar.address();
            fs::write(house.dir.join("endpoint"), "").unwrap();
            assert_eq!(house.exit_code(), code, "{}", house.sidecar.log());
            assert!(house.sidecar.log().contains("msg=stopped"), "{}", house.sidecar.log());
            assert!(!house.dir.join("trace.db-wal").exists());
        }
    }
}

#[test]
fn a_sidecar_that_cannot_start_or_dies_does_not_end_the_agent_of_a_script() {
    if !can(&[], DASH) {
        return;
    }
    let mut house = House::spawn(&[], DASH, &[("TRACE_PORT", "ninety")], "sleep 0.3; exit 5");
    assert_eq!(house.exit_code(), 5);
    assert!(house.sidecar.log().contains("TRACE_PORT: expected"), "{}", house.sidecar.log());

    let mut house = House::spawn(&[], DASH, &[], r#"while [ ! -e "$DIR/endpoint" ]; do sleep 0.01; done; exit 6"#);
    let starting = house.sidecar.wait_line("msg=starting");
    let pid = starting.split("pid=").nth(1).and_then(|pid| pid.split_whitespace().next()?.parse().ok()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_until("the end of the sidecar", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    fs::write(house.dir.join("endpoint"), "").unwrap();
    assert_eq!(house.exit_code(), 6, "{}", house.sidecar.log());
}

#[test]
fn a_second_signal_to_a_script_skips_the_last_push_and_the_exit_code_stays_the_agents() {
    for main in [DASH, BASH, BUSYBOX] {
        if !can(&[], main) {
            continue;
        }
        let sink = Sink::always(|| Say::Hang);
        let endpoint = sink.url();
        let env =
            [("TRACE_PUSH_ENDPOINT", endpoint.as_str()), ("TRACE_PUSH_INTERVAL", "1d"), ("TRACE_DRAIN_TIMEOUT", "10m")];
        let mut house = House::start(&[], main, &env);
        house.signal(Signal::SIGTERM);
        // The agent has ended, and its last words are on their way.
        sink.wait(|seen| !seen.is_empty());
        assert_eq!(house.sidecar.exit_within(Duration::ZERO), None, "it did not wait for the sidecar");
        house.signal(Signal::SIGTERM);
        assert_eq!(house.exit_code(), FLUSHED, "{}", house.sidecar.log());
        house.check_last_words();
    }
}

#[test]
fn an_agent_that_is_signalled_while_it_stops_is_waited_for() {
    for main in [DASH, BASH, BUSYBOX] {
        if !can(&[], main) {
            continue;
        }
        let mut house = House::start(&[], main, &[]);
        for _ in 0..3 {
            house.signal(Signal::SIGTERM);
        }
        assert_eq!(house.exit_code(), FLUSHED, "{}", house.sidecar.log());
        house.check_last_words();
    }
}

#[test]
fn an_agent_that_ends_in_the_moment_of_the_signal_gives_its_exit_code() {
    /// Without a second `wait`, one to five of these are wrong in each shell.
    const ROUNDS: usize = 20;
    const QUICK: &str = r#"exec python3 -c '
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
print("ready", file=open(os.environ["DIR"] + "/agent", "w"), flush=True)
while True: signal.pause()'"#;
    for main in [DASH, BASH, BUSYBOX] {
        for round in 0..ROUNDS {
            if !can(&[], main) {
                break;
            }
            let mut house = House::spawn(&[], main, &[], QUICK);
            house.wait_for("agent");
            house.signal(Signal::SIGTERM);
            assert_eq!(house.exit_code(), 5, "round {round}: {}", house.sidecar.log());
        }
    }
}

#[test]
fn a_script_whose_agents_number_is_somebody_elses_by_now_ends_all_the_same() {
    /// As far as `kill -0` can tell, every number is a process that lives.
    const REUSED: &str = r#"kill() { [ "$1" = -0 ] || command kill "$@"; }; . "$0""#;
    for main in [
        Main::StartSh(&["dash", "-c", REUSED]),
        Main::StartSh(&["bash", "-c", REUSED]),
        Main::StartSh(&["busybox", "sh", "-c", REUSED]),
    ] {
        if can(&[], main) {
            let mut house = House::spawn(&[], main, &[], "exit 5");
            assert_eq!(house.exit_code(), 5, "{}", house.sidecar.log());
        }
    }
}
