//! The second port, of the real program: taken with the first, kept over a restart, and a fault where it cannot be.

use nix::sys::signal::{Signal, kill};

use crate::support::client::Client;
use crate::support::dir::TempDir;
use crate::support::otlp::spans;
use crate::support::read_only;
use crate::support::sidecar::{NO_SAMPLES, Sidecar, check_laws, run, wait_until};

const PROTOBUF: &str = "application/x-protobuf";

/// Where the log says that OTLP alone is taken, in the order of the starts.
fn otlp_addresses(sidecar: &Sidecar) -> Vec<std::net::SocketAddr> {
    let log = sidecar.log();
    let lines = log.lines().filter(|line| line.contains("listening for OTLP alone"));
    lines.map(|line| line.split_once("addr=").unwrap().1.parse().unwrap()).collect()
}

#[test]
fn what_comes_to_the_second_port_is_stored_with_the_rest_and_it_drains_with_the_first() {
    let dir = TempDir::new("otlp-port");
    let db = dir.join("trace.db");
    let sidecar = Sidecar::start(&db, &[NO_SAMPLES, ("TRACE_OTLP_PORT", "0")]);
    sidecar.wait_line("listening for OTLP alone");
    let address = otlp_addresses(&sidecar)[0];
    assert_ne!(address, sidecar.address());
    let mut client = Client::connect(address).unwrap();
    assert_eq!(client.post("/v1/traces", PROTOBUF, &spans("sis")).unwrap().status, 200);
    assert_eq!(client.post("/v1/events", "application/json", br#"{"name":"a"}"#).unwrap().status, 404);
    assert_eq!(sidecar.client().post("/v1/traces", PROTOBUF, &spans("s")).unwrap().status, 200);
    let health = sidecar.health().1;
    check_laws(&health);
    assert_eq!((&health["events"]["stored"], &health["events"]["ignored"]), (&3.into(), &1.into()), "{health}");
    drop(client);
    sidecar.stop();
    assert!(Client::connect(address).is_err(), "closed with the first");
    let rows: i64 = read_only(&db).query_row("SELECT count(*) FROM llm_traces", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
}

#[test]
fn run_keeps_the_second_port_when_serve_comes_back() {
    let dir = TempDir::new("otlp-port-run");
    let mut sidecar = Sidecar::run(&dir.join("trace.db"), &[NO_SAMPLES, ("TRACE_OTLP_PORT", "0")], &["sleep", "600"]);
    sidecar.wait_line("listening for OTLP alone");
    // `run` has heard of the ports once it has started the agent.
    sidecar.wait_line("agent started");
    kill(sidecar.serve_pids()[0], Signal::SIGKILL).unwrap();
    let addresses = wait_until("the second serve", || Some(otlp_addresses(&sidecar)).filter(|all| all.len() == 2));
    assert_eq!(addresses[0], addresses[1]);
    assert_eq!(Client::connect(addresses[1]).unwrap().post("/v1/traces", PROTOBUF, &spans("s")).unwrap().status, 200);
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.exit_code(), 128 + Signal::SIGTERM as i32);
}

#[test]
fn a_second_port_that_is_the_first_or_taken_is_a_fault_that_names_it() {
    let dir = TempDir::new("otlp-port-faults");
    let db = dir.join("trace.db");
    let db = ("TRACE_DB_PATH", db.to_str().unwrap());
    let same = run(&["serve"], &[db, ("TRACE_PORT", "4318"), ("TRACE_OTLP_PORT", "4318")]);
    assert_eq!(same.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&same.stderr).contains("expected another port than TRACE_PORT"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = run(&["serve"], &[db, ("TRACE_PORT", "0"), ("TRACE_OTLP_PORT", &port)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("set TRACE_OTLP_PORT to a free port"), "{refused:?}");
}
