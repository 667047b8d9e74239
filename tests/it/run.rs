//! `run -- CMD`: the agent, the sidecar, and who outlives whom.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::dir::TempDir;
use crate::support::sidecar::{self, NO_SAMPLES, PROGRAM, Sidecar, check_laws, wait_until};
use crate::support::{PATIENCE, read_only};

/// For SIGTERM: takes a while, posts a last event, and exits with 7. It appends its own process id to `$DIR/agent`
/// when it is ready for it.
const FLUSHING_AGENT: &str = r#"
    flush() {
        sleep 0.2
        curl -sf --retry 5 --retry-connrefused -o "$DIR/flushed" "$OTEL_EXPORTER_OTLP_ENDPOINT/v1/events" \
            -H 'Content-Type: application/json' -d '{"name": "last words"}'
        exit 7
    }
    trap flush TERM
    echo $$ >> "$DIR/agent"
    while :; do sleep 0.05; done"#;

fn run(dir: &TempDir, env: &[(&str, &str)], agent: &str) -> Sidecar {
    let env = [&[NO_SAMPLES, ("DIR", dir.path().to_str().unwrap())], env].concat();
    Sidecar::run(&dir.join("trace.db"), &env, &["sh", "-c", agent])
}

/// Returns when the agent has written this file.
fn wait_for(path: &Path) -> String {
    wait_until("a file of the agent", || fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')))
}

/// The process that [`FLUSHING_AGENT`] has named.
fn agent_of(dir: &TempDir) -> Pid {
    Pid::from_raw(wait_for(&dir.join("agent")).trim().parse().unwrap())
}

fn events(dir: &TempDir) -> Vec<String> {
    column(&dir.join("trace.db"), "SELECT name FROM custom_events ORDER BY id")
}

fn column(db: &Path, sql: &str) -> Vec<String> {
    let conn = read_only(db);
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn the_end_of_the_agent_is_the_exit_code_and_a_crash_is_a_row() {
    for (agent, code, row) in [
        ("exit 0", 0, None),
        ("exit 3", 3, Some(("agent.exit", "the agent exited with code 3", json!({"exit_code": 3})))),
        (
            "kill -35 $$",
            163,
            Some(("agent.signal", "the agent was ended by signal 35", json!({"signal": "signal 35"}))),
        ),
        ("kill -SEGV $$", 139, Some(("agent.signal", "the agent was ended by SIGSEGV", json!({"signal": "SIGSEGV"})))),
    ] {
        let dir = TempDir::new("run-end");
        let mut sidecar = run(&dir, &[], agent);
        assert_eq!(sidecar.exit_code(), code, "{}", sidecar.log());
        let rows = column(
            &dir.join("trace.db"),
            "SELECT json_array(error_type, message, severity, component, source, handled, attributes) FROM error_events",
        );
        let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        let Some((error_type, message, facts)) = row else {
            assert!(rows.is_empty(), "{rows:?}");
            continue;
        };
        let [row] = &rows[..] else { panic!("one row, not {rows:?}") };
        assert_eq!(
            row.as_array().unwrap()[..6],
            *json!([error_type, message, "fatal", "agent", "run", 0]).as_array().unwrap()
        );
        let attributes: Value = serde_json::from_str(row[6].as_str().unwrap()).unwrap();
        assert_eq!(attributes["program"], "sh");
        for (name, value) in facts.as_object().unwrap() {
            assert_eq!(attributes[name], *value);
        }
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let dir = TempDir::new("run-unread");
    let (unread, mut stderr) = std::io::pipe().unwrap();
    // As much as a pipe holds.
    stderr.write_all(&[b'x'; 64 << 10]).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--", "sh", "-c", FLUSHING_AGENT]).env("DIR", dir.path()).env("TRACE_PORT", "0");
    command.env("TRACE_DB_PATH", dir.join("trace.db")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let mut run = Run(command.spawn().unwrap());
    wait_for(&dir.join("agent"));
    kill(Pid::from_raw(run.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let ended = wait_until("an end", || run.0.try_wait().unwrap());
    drop(unread);
    assert_eq!(ended.code(), Some(7));
    assert_eq!(events(&dir), ["last words"]);
}

#[test]
fn an_end_that_somebody_asked_for_is_no_crash() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let dir = TempDir::new("run-asked");
        let mut sidecar = run(&dir, &[], r#"echo $$ > "$DIR/agent"; exec sleep 1000"#);
        wait_for(&dir.join("agent"));
        sidecar.signal(signal);
        assert_eq!(sidecar.exit_code(), code, "{}", sidecar.log());
        assert_eq!(column(&dir.join("trace.db"), "SELECT message FROM error_events"), [""; 0]);
    }
}

#[test]
fn an_agent_that_cannot_be_started_is_told_as_a_shell_would() {
    let dir = TempDir::new("run-none");
    let db = dir.join("trace.db");
    let not_executable = dir.join("text");
    fs::write(&not_executable, "no program").unwrap();
    // The kernel takes it for no program, and a shell for a script.
    let script = dir.join("script");
    fs::write(&script, "exit \"$1\"").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut sidecar = Sidecar::run(&db, &[NO_SAMPLES], &[script.to_str().unwrap(), "0"]);
    assert_eq!(sidecar.exit_code(), 0, "{}", sidecar.log());
    // Its row must still be a line that serve takes.
    let endless = "x".repeat(20_000);
    let not_executable = not_executable.to_str().unwrap();
    for (agent, code) in
        [("/no/such/program", 127), ("no-such-program", 127), (not_executable, 126), (endless.as_str(), 126)]
    {
        let mut sidecar = Sidecar::run(&db, &[NO_SAMPLES], &[agent]);
        assert_eq!(sidecar.exit_code(), code, "{}", sidecar.log());
    }
    assert_eq!(column(&db, "SELECT error_type FROM error_events"), ["agent.exit"; 4]);
    let wrong = sidecar::run(&["run"], &[]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("expected the agent's command"));
}

#[test]
fn the_agent_gets_clean_signals_an_endpoint_and_no_secret() {
    let dir = TempDir::new("run-env");
    let vars = [("TRACE_TOKEN", "to/ken"), ("TRACE_PUSH_TOKEN", "secret"), ("TRACE_LOG", "info"), ("OTHER", "kept")];
    let mut sidecar = run(&dir, &vars, r#"env > "$DIR/env"; ls -l /proc/self/fd > "$DIR/fds""#);
    assert_eq!(sidecar.exit_code(), 0, "{}", sidecar.log());
    let env = fs::read_to_string(dir.join("env")).unwrap();
    let value = |name: &str| env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
    assert_eq!(value("OTEL_EXPORTER_OTLP_ENDPOINT"), Some(format!("http://{}", sidecar.address())));
    assert_eq!(value("OTEL_EXPORTER_OTLP_PROTOCOL").as_deref(), Some("http/protobuf"));
    assert_eq!(value("OTEL_EXPORTER_OTLP_HEADERS").as_deref(), Some("Authorization=Bearer%20to%2Fken"));
    assert_eq!((value("OTHER").as_deref(), value("TRACE_LOG").as_deref()), (Some("kept"), Some("info")));
    assert_eq!((value("TRACE_TOKEN"), value("TRACE_PUSH_TOKEN")), (None, None));
    // A program that sets no signal itself, as shells do.
    let status = dir.join("status");
    let copy = ["cp", "/proc/self/status", status.to_str().unwrap()];
    assert_eq!(Sidecar::run(&dir.join("trace.db"), &vars, &copy).exit_code(), 0);
    let status = fs::read_to_string(status).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    // The signals of the C library's threads, 32 to 34, are its own business.
    let ours = !(0b111 << 31);
    assert_eq!((mask("SigBlk:"), mask("SigIgn:") & ours), (0, 0), "{status}");
    // The link to serve is a socket, and the signals come from an anonymous inode.
    let files = fs::read_to_string(dir.join("fds")).unwrap();
    assert!(files.contains("pipe:") && !files.contains("socket:") && !files.contains("anon_inode:"), "{files}");
}

#[test]
fn a_signal_stops_the_agent_first_and_its_last_words_are_stored() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let dir = TempDir::new("run-stop");
        // The shell knows SIGINT as well, and is told which one came.
        let agent = FLUSHING_AGENT.replace("trap flush TERM", &format!("trap flush {}", &signal.as_str()[3..]));
        let mut sidecar = run(&dir, &[], &agent);
        wait_for(&dir.join("agent"));
        sidecar.signal(signal);
        assert_eq!(sidecar.exit_code(), 7, "{}", sidecar.log());
        assert!(!dir.join("trace.db-wal").exists(), "the sidecar closed the file in order");
        assert_eq!(events(&dir), ["last words"]);
        assert_eq!(column(&dir.join("trace.db"), "SELECT message FROM error_events"), [""; 0], "it was asked to");
    }
}

#[test]
fn a_signal_to_everybody_at_once_does_not_end_the_sidecar_before_the_agent() {
    let dir = TempDir::new("run-all");
    let mut sidecar = run(&dir, &[], FLUSHING_AGENT);
    let agent = agent_of(&dir);
    // As systemd does to a control group, and `tini -g` to a process group.
    for serve in sidecar.serve_pids() {
        kill(serve, Signal::SIGTERM).unwrap();
    }
    kill(agent, Signal::SIGTERM).unwrap();
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_code(), 7, "{}", sidecar.log());
    assert_eq!(events(&dir), ["last words"]);
    assert_eq!(sidecar.serve_pids().len(), 1, "serve was not started again: {}", sidecar.log());
}

#[test]
fn other_signals_reach_the_agent_as_well() {
    let dir = TempDir::new("run-signals");
    let agent = r#"
        for s in HUP QUIT USR1 USR2 WINCH; do trap "echo $s >> \"$DIR/heard\"" $s; done
        trap 'exit 0' TERM
        echo $$ >> "$DIR/agent"
        while :; do sleep 0.05; done"#;
    let mut sidecar = run(&dir, &[], agent);
    wait_for(&dir.join("agent"));
    let signals = [Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGWINCH];
    for (number, signal) in (1..).zip(signals) {
        sidecar.signal(signal);
        let heard = wait_until("the agent to hear it", || {
            let heard = fs::read_to_string(dir.join("heard")).unwrap_or_default();
            (heard.lines().count() == number).then_some(heard)
        });
        assert_eq!(heard.lines().last(), Some(&signal.as_str()[3..]));
    }
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_code(), 0);
}

#[test]
fn a_dead_serve_is_back_on_its_port_and_the_agent_does_not_notice() {
    let dir = TempDir::new("run-killed");
    let mut sidecar = run(&dir, &[], FLUSHING_AGENT);
    let agent = wait_for(&dir.join("agent"));
    let mut acknowledged = Vec::new();
    const KILLS: usize = 3;
    for round in 0..=KILLS {
        let name = format!("event {round}");
        let posted = wait_until("a post that is taken", || {
            let mut client = crate::support::client::Client::connect(sidecar.address()).ok()?;
            let body = json!({"name": name}).to_string();
            client.post("/v1/events", "application/json", body.as_bytes()).ok().filter(|answer| answer.status == 202)
        });
        assert_eq!(posted.json()["accepted"], 1);
        acknowledged.push(name);
        if round < KILLS {
            kill(*sidecar.serve_pids().last().unwrap(), Signal::SIGKILL).unwrap();
            wait_until("serve to be started again", || (sidecar.serve_pids().len() == round + 2).then_some(()));
        }
    }
    check_laws(&sidecar.health().1);
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_code(), 7, "{}", sidecar.log());
    acknowledged.push("last words".to_owned());
    assert_eq!(events(&dir), acknowledged);
    assert_eq!(fs::read_to_string(dir.join("agent")).unwrap(), agent, "the agent is the one that was started first");
}

#[test]
fn a_wrong_variable_costs_the_telemetry_and_never_the_agent() {
    let dir = TempDir::new("run-wrong");
    let mut sidecar = run(&dir, &[("TRACE_RETENTION", "ever")], r#"env > "$DIR/env"; exit 5"#);
    assert_eq!(sidecar.exit_code(), 5, "{}", sidecar.log());
    sidecar.wait_line("TRACE_RETENTION: expected ");
    sidecar.wait_line("nothing is recorded");
    assert!(!fs::read_to_string(dir.join("env")).unwrap().contains("OTEL_"), "there is nobody to send to");
    assert!(!dir.join("trace.db").exists());
}

#[test]
fn a_serve_that_cannot_start_does_not_keep_the_agent_waiting_and_its_port_gets_no_token() {
    let dir = TempDir::new("run-cannot");
    let other = Sidecar::start(&dir.join("other.db"), &[NO_SAMPLES]);
    let port = other.address().port().to_string();
    let vars = [("TRACE_PORT", port.as_str()), ("TRACE_TOKEN", "hush")];
    let mut sidecar = run(&dir, &vars, r#"env > "$DIR/env"; exit 4"#);
    assert_eq!(sidecar.exit_code(), 4, "{}", sidecar.log());
    let env = fs::read_to_string(dir.join("env")).unwrap();
    assert!(env.contains(&format!("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{port}\n")) && !env.contains("hush"));
    sidecar.wait_line("serve does not listen yet");
    sidecar.wait_line("msg=\"serve has ended\"");
    sidecar.wait_line("the end of the agent is not stored");
    sidecar.wait_line("the agent is started without the token");
    assert_eq!(other.health().0, 200);
}

#[test]
fn a_serve_that_lived_long_is_not_started_again_at_the_end() {
    let dir = TempDir::new("run-long");
    // Longer than what makes a dead serve come back at once.
    let mut sidecar = run(&dir, &[], "sleep 10.2; exit 6");
    assert_eq!(sidecar.exit_code(), 6, "{}", sidecar.log());
    assert_eq!(sidecar.serve_pids().len(), 1, "{}", sidecar.log());
}

#[test]
fn a_serve_that_hangs_is_killed_when_its_time_to_stop_is_over() {
    let dir = TempDir::new("run-hangs");
    let mut sidecar = run(&dir, &[("TRACE_DRAIN_TIMEOUT", "100ms")], FLUSHING_AGENT);
    wait_for(&dir.join("agent"));
    kill(sidecar.serve_pids()[0], Signal::SIGSTOP).unwrap();
    kill(agent_of(&dir), Signal::SIGKILL).unwrap();
    assert_eq!(sidecar.exit_code(), 137, "{}", sidecar.log());
    sidecar.wait_line("the end of the agent is not stored");
    sidecar.wait_line("serve did not stop in time and is killed");
}

#[test]
fn the_end_of_an_agent_is_stored_once_by_the_serve_after_the_one_that_died_of_it() {
    let dir = TempDir::new("run-told-twice");
    let mut sidecar = run(&dir, &[], FLUSHING_AGENT);
    wait_for(&dir.join("agent"));
    let serve = sidecar.serve_pids()[0];
    kill(serve, Signal::SIGSTOP).unwrap();
    kill(agent_of(&dir), Signal::SIGKILL).unwrap();
    sidecar.wait_line("the agent was ended by SIGKILL");
    kill(serve, Signal::SIGKILL).unwrap();
    assert_eq!(sidecar.exit_code(), 137, "{}", sidecar.log());
    assert_eq!(column(&dir.join("trace.db"), "SELECT error_type FROM error_events"), ["agent.signal"]);
}

#[test]
fn whatever_we_were_started_to_ignore_the_end_of_a_child_is_seen_and_a_hang_up_is_not() {
    let dir = TempDir::new("run-ignored");
    let db = dir.join("trace.db");
    let ignoring = |signal: &str| {
        format!(
            "import os, signal, sys; signal.signal(signal.{signal}, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
        )
    };
    let above = ["python3", "-c", &ignoring("SIGCHLD")];
    let mut sidecar = Sidecar::run_below(&above, &db, &[NO_SAMPLES], &["sh", "-c", "exit 3"]);
    assert_eq!(sidecar.exit_code(), 3, "{}", sidecar.log());

    // A stop that was ignored before is meant all the same.
    let above = ["python3", "-c", &ignoring("SIGTERM")];
    let mut sidecar = Sidecar::run_below(&above, &db, &[NO_SAMPLES], &["sleep", "1000"]);
    sidecar.wait_line("agent started");
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_code(), 143, "{}", sidecar.log());

    // As nohup does it.
    let above = ["python3", "-c", &ignoring("SIGHUP")];
    let env = [NO_SAMPLES, ("DIR", dir.path().to_str().unwrap())];
    let mut sidecar = Sidecar::run_below(&above, &db, &env, &["sh", "-c", FLUSHING_AGENT]);
    wait_for(&dir.join("agent"));
    sidecar.signal(Signal::SIGHUP);
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_code(), 7, "{}", sidecar.log());
}

#[test]
fn an_agent_that_does_not_stop_is_killed_with_all_it_started_when_its_grace_is_over() {
    let dir = TempDir::new("run-grace");
    let agent = r#"trap "" TERM; sleep 1000 & echo $! >> "$DIR/agent"; while :; do sleep 0.05; done"#;
    let mut sidecar = run(&dir, &[("TRACE_AGENT_GRACE", "150ms")], agent);
    let child = wait_for(&dir.join("agent"));
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_code(), 128 + 9, "{}", sidecar.log());
    sidecar.wait_line("did not stop within TRACE_AGENT_GRACE");
    wait_until("its child to be gone", || {
        let status = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        status.map_or(true, |stat| stat.contains(") Z ")).then_some(())
    });
    assert_eq!(column(&dir.join("trace.db"), "SELECT message FROM error_events"), [""; 0]);
}

#[test]
fn an_agent_that_has_left_its_process_group_is_killed_all_the_same() {
    let dir = TempDir::new("run-left");
    let agent = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); \
                 os.setpgid(0, os.getpgid(os.getppid())); print(os.getpid(), file=open(os.environ['DIR'] + '/agent', 'w')); \
                 time.sleep(1000)";
    let env = [NO_SAMPLES, ("DIR", dir.path().to_str().unwrap()), ("TRACE_AGENT_GRACE", "100ms")];
    let mut sidecar = Sidecar::run(&dir.join("trace.db"), &env, &["python3", "-c", agent]);
    wait_for(&dir.join("agent"));
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_code(), 137, "{}", sidecar.log());
}

#[test]
fn when_run_itself_is_killed_serve_stores_what_it_has_and_stops() {
    let dir = TempDir::new("run-orphan");
    let sidecar = run(&dir, &[], FLUSHING_AGENT);
    wait_for(&dir.join("agent"));
    let agent = agent_of(&dir);
    let (serve, db) = (sidecar.serve_pids()[0], dir.join("trace.db"));
    let answer = sidecar.client().post("/v1/events", "application/json", br#"{"name": "before"}"#).unwrap();
    assert_eq!(answer.status, 202);
    kill(sidecar.pid(), Signal::SIGKILL).unwrap();
    sidecar.wait_line("`run` is gone");
    sidecar.wait_line("msg=stopped code=0");
    wait_until("serve to be gone", || (kill(serve, None) == Err(Errno::ESRCH)).then_some(()));
    kill(agent, Signal::SIGKILL).unwrap();
    assert_eq!(column(&db, "SELECT name FROM custom_events"), ["before"]);
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let dir = TempDir::new("run-notify");
    let path = dir.join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut state = [0; 64];
        let length = manager.recv(&mut state).unwrap();
        String::from_utf8_lossy(&state[..length]).into_owned()
    };
    let env = [NO_SAMPLES, ("NOTIFY_SOCKET", path.to_str().unwrap()), ("DIR", dir.path().to_str().unwrap())];
    let mut alone = Sidecar::spawn(&dir.join("alone.db"), &env);
    assert_eq!(heard(), "READY=1");
    assert_eq!(alone.health().0, 200);
    alone.signal(Signal::SIGTERM);
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(alone.exit_code(), 0);

    let mut both = Sidecar::run(&dir.join("both.db"), &env, &["sh", "-c", FLUSHING_AGENT]);
    assert_eq!(heard(), "READY=1");
    wait_for(&dir.join("agent"));
    both.signal(Signal::SIGTERM);
    assert_eq!(heard(), "STOPPING=1", "said once, by run");
    assert_eq!(both.exit_code(), 7);
    manager.set_nonblocking(true).unwrap();
    assert!(manager.recv(&mut [0; 64]).is_err(), "nothing else was said");
}

#[test]
fn an_agent_killed_for_want_of_memory_is_told_apart() {
    let Some(group) = MemoryGroup::new(64 << 20) else { return };
    let dir = TempDir::new("run-oom");
    // The shell that moves itself becomes `run`, so all of them are in the group.
    let above = ["sh", "-c", &format!(r#"echo $$ > {}/cgroup.procs; exec "$@""#, group.0), "sh"];
    let hungry = ["sh", "-c", "exec python3 -c 'x = bytearray(256 << 20)'"];
    let env = [NO_SAMPLES];
    let mut sidecar = Sidecar::run_below(&above, &dir.join("trace.db"), &env, &hungry);
    assert_eq!(sidecar.exit_code(), 137, "{}", sidecar.log());
    let rows =
        column(&dir.join("trace.db"), "SELECT error_type || ' ' || (attributes ->> 'oom_kills') FROM error_events");
    assert_eq!(rows, ["agent.oom_kill 1"]);
}

/// A process that does not outlive the test.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A memory cgroup of version 1, below our own, gone with the test.
struct MemoryGroup(String);

impl MemoryGroup {
    fn new(limit_bytes: u64) -> Option<MemoryGroup> {
        let path = format!("/sys/fs/cgroup/memory/octrace-{}", std::process::id());
        let made = fs::create_dir(&path)
            .and_then(|()| fs::write(format!("{path}/memory.limit_in_bytes"), limit_bytes.to_string()));
        match made {
            Ok(()) => Some(MemoryGroup(path)),
            Err(error) => {
                eprintln!("SKIPPED: this test needs a memory cgroup of version 1, and cannot make one: {error}");
                None
            }
        }
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        drop(Command::new("rmdir").arg(&self.0).status());
    }
}
