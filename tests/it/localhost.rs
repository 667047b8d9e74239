//! `localhost` where nobody knows the name: no `/etc/hosts`, as in an image with nothing but the program, and no DNS.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::PATIENCE;
use crate::support::dir::TempDir;
use crate::support::sidecar::{NO_SAMPLES, PROGRAM, Sidecar};
use crate::support::sink::Sink;

/// Runs its further arguments where both files are those of the directory.
const WITHOUT_NAMES: &str = r#"
    mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@""#;

fn without_names(dir: &TempDir, args: &[&str]) -> Command {
    fs::write(dir.join("hosts"), "").unwrap();
    // Nobody listens there, and the refusal comes at once.
    fs::write(dir.join("resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", WITHOUT_NAMES]).arg(dir.path()).args(args);
    command
}

#[test]
fn localhost_needs_no_hosts_file_to_be_listened_on_pushed_to_and_asked() {
    let dir = TempDir::new("localhost");
    match without_names(&dir, &["true"]).output() {
        Ok(done) if done.status.success() => {}
        refused => return eprintln!("SKIPPED: no mount namespace can be made here: {refused:?}"),
    }
    let sink = Sink::start(Vec::new());
    let endpoint = sink.url().replace("127.0.0.1", "LocalHost");
    assert!(endpoint.contains("LocalHost"), "{endpoint}");
    let env = [
        ("TRACE_BIND", "Localhost."),
        ("TRACE_PUSH_ENDPOINT", endpoint.as_str()),
        ("TRACE_PUSH_INTERVAL", "1s"),
        NO_SAMPLES,
    ];
    let mut sidecar = Sidecar::launch(without_names(&dir, &[PROGRAM]), &dir.join("trace.db"), &env);
    let address = sidecar.address();
    assert_eq!(address.ip().to_string(), "127.0.0.1");
    let body = json!({"name": "deploy"}).to_string();
    let stored = sidecar.client().post("/v1/events", "application/json", body.as_bytes()).unwrap();
    assert_eq!(stored.status, 202);
    sink.wait(|seen| seen.iter().any(|seen| seen.rows().len() == 1));

    let url = format!("http://localhost.:{}", address.port());
    let asked = without_names(&dir, &[PROGRAM, "health", &url]).output().unwrap();
    assert!(asked.status.success(), "{asked:?}");
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_within(PATIENCE), Some(0), "{}", sidecar.log());
}
