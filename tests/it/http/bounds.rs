//! What a client may take of us, for how long, and how the listener ends.

use std::io::Write;

use openclaw_trace::queue;

use super::{
    FLOOD_BYTES, FLOOD_TAKEN_MAX, SHORT, assert_refused, assert_serves, chunked, event, otlp, post, post_event,
};
use crate::support::otlp::spans;
use crate::support::server::{Client, Server, Setup, until};

#[test]
fn d15_a_slow_head_is_answered_408() {
    let server = Server::with_limits(|limits| limits.head = SHORT);
    assert_refused(&server, "GET /health HTTP/1.1\r\n", 408);
}

#[test]
fn d15_a_slow_body_is_answered_408() {
    let server = Server::with_limits(|limits| limits.body = SHORT);
    let request = post_event();
    assert_refused(&server, &request[..request.len() - 1], 408);
    assert_refused(&server, chunked("5\r\nhel"), 408);
    assert_eq!(server.stored(), 0);
}

#[test]
fn a_body_that_stands_still_is_answered_408_however_much_of_it_came() {
    let server = Server::with_limits(|limits| limits.body_stall = SHORT);
    let request = post("/v1/traces", "", &" ".repeat(4 << 20));
    assert_refused(&server, &request[..request.len() - 1], 408);
    until("its memory is free", || server.stats.http.body_bytes.value() == 0);
}

#[test]
fn large_bodies_that_stand_still_do_not_shut_small_ones_out() {
    const LARGE_BYTES: usize = 1 << 20;
    let server = Server::start(Setup::default());
    let request = post("/v1/traces", "", &" ".repeat(LARGE_BYTES));
    let mut clients: Vec<Client> = (0..15).map(|_| server.client()).collect();
    for (n, client) in (1..).zip(&mut clients) {
        client.send(&request[..request.len() - 1]);
        until("it is there", || server.stats.http.body_bytes.value() >= n * (LARGE_BYTES as i64 - 1));
    }
    assert_eq!(server.ask(&request[..request.len() - LARGE_BYTES]).status, 503);
    for _ in 0..3 {
        assert_serves(&server);
    }
    assert_eq!(server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
}

#[test]
fn health_refuses_only_when_no_small_body_has_room() {
    const SMALL_BYTES: usize = 64 << 10;
    let server = Server::with_limits(|limits| {
        limits.bodies_bytes_max = 2 * SMALL_BYTES;
        limits.bodies_small_bytes = 2 * SMALL_BYTES;
    });
    let small = post("/v1/events", "", &" ".repeat(SMALL_BYTES));
    let mut clients: Vec<Client> = (0..2).map(|_| server.client()).collect();
    for (n, client) in (1..).zip(&mut clients) {
        let health = server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!((health.status, &health.json()["status"]), (200, &"ok".into()));
        client.send(&small[..small.len() - 1]);
        until("it is there", || server.stats.http.body_bytes.value() >= n * (SMALL_BYTES as i64 - 1));
    }
    let health = server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((health.status, &health.json()["refusing"]), (503, &"bodies_full".into()));
    assert_eq!(server.ask(post_event()).status, 503);
    drop(clients);
    until("all bodies are gone", || server.stats.http.body_bytes.value() == 0);
    assert_serves(&server);
}

#[test]
fn d15_an_idle_connection_is_closed_without_a_word() {
    let server = Server::with_limits(|limits| limits.idle = SHORT);
    server.client().assert_closed();
    let mut client = server.client();
    client.send(post_event());
    assert_eq!(client.answer().status, 202);
    client.assert_closed();
}

#[test]
fn d15_a_client_that_does_not_read_is_cut() {
    let server = Server::with_limits(|limits| limits.write = SHORT);
    let mut client = server.client();
    let taken = client.flood("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000).as_bytes(), FLOOD_BYTES);
    assert!(taken < FLOOD_TAKEN_MAX, "{taken}");
    until("the connection is gone", || server.stats.http.connections.value() == 0);
}

#[test]
fn a_full_queue_is_not_now_and_a_request_that_never_fits_is_too_large() {
    let queue = queue::Limits { events_max: 2, bytes_max: 1 << 20 };
    let server = Server::start(Setup { queue, ..Setup::default() });
    assert_eq!(server.ask(post("/v1/events", "", &format!("[{0},{0},{0}]", event()))).status, 413);
    server.let_writer_run(false);
    let mut waiting: Vec<Client> = (0..2).map(|_| server.client()).collect();
    waiting.iter_mut().for_each(|client| client.send(post_event()));
    until("both are queued", || server.stats.ledger().in_flight == 2);
    for request in [post_event().into_bytes(), otlp("/v1/traces", "application/x-protobuf", "", &spans("s"))] {
        let answer = server.ask(request);
        assert_eq!((answer.status, answer.header("retry-after"), answer.closes()), (503, Some("1"), false));
    }
    let health = server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((health.status, &health.json()["status"]), (503, &"refusing".into()));
    server.let_writer_run(true);
    waiting.iter_mut().for_each(|client| assert_eq!(client.answer().status, 202));
    assert_serves(&server);
}

#[test]
fn as_many_small_calls_as_one_request_may_have_fit_into_an_empty_queue() {
    const ITEMS_MAX: usize = 10_000;
    let server = Server::start(Setup::default());
    let calls = |count: usize| server.ask(post("/v1/traces", "", &r#"{"model":"gpt-5"}"#.repeat(count)));
    let answer = calls(ITEMS_MAX);
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &ITEMS_MAX.into()));
    until("the queue is empty", || server.stats.queue.events.value() == 0);
    let answer = server.ask(otlp("/v1/traces", "application/x-protobuf", "", &spans(&"s".repeat(ITEMS_MAX))));
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = calls(ITEMS_MAX + 1);
    assert_eq!((answer.status, answer.text().contains("may have 10000 items")), (413, true));
}

#[test]
fn health_answers_while_the_writer_is_stuck_and_a_request_does_not_wait_for_ever() {
    let server = Server::with_limits(|limits| limits.answer = SHORT);
    server.let_writer_run(false);
    let answer = server.ask(post_event());
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let health = server.ask("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!((&health["events"]["in_flight"], &health["events"]["offered"]), (&1.into(), &1.into()));
    assert!(health["signals"]["native_events"]["last_received"].as_str().unwrap().ends_with('Z'));
    assert_eq!(health["http"]["refused_by_status"]["503"], 1);
}

#[test]
fn a_connection_too_many_is_told_so() {
    let server = Server::with_limits(|limits| limits.connections_max = 2);
    let mut open: Vec<Client> = (0..2).map(|_| server.client()).collect();
    for client in &mut open {
        client.send(post_event());
        assert_eq!(client.answer().status, 202);
    }
    let mut third = server.client();
    third.send(post_event());
    let answer = third.answer();
    assert_eq!((answer.status, answer.header("retry-after"), answer.closes()), (503, Some("1"), true));
    third.assert_closed();
    assert_eq!(server.stats.http.connections_refused.total(), 1);
    drop(open);
    until("there is room again", || server.stats.http.connections.value() == 0);
    assert_serves(&server);
}

#[test]
fn many_large_bodies_at_once_stay_within_their_budget_and_some_get_through() {
    const BODY_BYTES: usize = 1 << 20;
    const BUDGET_BYTES: i64 = 16 << 20;
    let server = Server::start(Setup::default());
    let body = format!(r#"{{"name":"{}"}}"#, "a".repeat(BODY_BYTES - 11));
    let request = post("/v1/events", "", &body);
    let (first, second) = request.as_bytes().split_at(request.len() / 2);
    let mut clients: Vec<Client> = (0..256).map(|_| server.client()).collect();
    std::thread::scope(|scope| {
        for client in &mut clients {
            let mut stream = client.stream.try_clone().unwrap();
            // Who is refused may find its connection closed before all is sent.
            scope.spawn(move || stream.write_all(first).is_ok());
        }
        until("the budget is in use", || {
            let held = server.stats.http.body_bytes.value();
            assert!(held <= BUDGET_BYTES, "{held}");
            held >= BUDGET_BYTES / 2
        });
    });
    until("somebody was refused", || server.stats.http.refused_by_status().contains_key(&503));
    assert!(server.stats.http.body_bytes.value() <= BUDGET_BYTES);
    let sent = |client: &mut Client| client.stream.write_all(second).is_ok();
    let stored =
        clients.iter_mut().filter_map(|client| sent(client).then(|| client.answer().status)).collect::<Vec<_>>();
    assert!(stored.iter().all(|status| [202, 503].contains(status)), "{stored:?}");
    assert!(stored.contains(&202), "{stored:?}");
    drop(clients);
    until("all are gone", || server.stats.http.connections.value() == 0);
    assert_eq!(server.stats.http.body_bytes.value(), 0);
    assert_eq!(server.ask(&request).status, 202);
}

#[test]
fn stopping_closes_idle_connections_and_finishes_requests_in_flight() {
    let mut server = Server::start(Setup::default());
    let mut idle = server.client();
    idle.send(post_event());
    assert_eq!(idle.answer().status, 202);
    let mut half = server.client();
    let request = post_event();
    half.send(&request[..request.len() - 1]);
    server.let_writer_run(false);
    let mut waiting = server.client();
    waiting.send(post_event());
    until("it is queued", || server.stats.ledger().in_flight == 1);
    until("all are connected", || server.stats.http.connections.value() == 3);
    server.stop();
    idle.assert_closed();
    half.send(&request[request.len() - 1..]);
    server.let_writer_run(true);
    for client in [&mut waiting, &mut half] {
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (202, true));
        client.assert_closed();
    }
    server.join();
    assert!(std::net::TcpStream::connect(server.addr).is_err());
}

#[test]
fn no_bytes_take_the_listener_down() {
    const ROUNDS: usize = 400;
    let server = Server::with_limits(|limits| limits.linger = SHORT);
    let mut random = fastrand::Rng::with_seed(3);
    let seeds = [post_event(), chunked("c\r\n{\"name\":\"a\"}\r\n0\r\nA: b\r\n\r\n"), post_event().repeat(2)];
    for _ in 0..ROUNDS {
        let mut bytes = seeds[random.usize(..seeds.len())].clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        let mut client = server.client();
        client.send(&bytes);
        client.finish_sending();
        while client.read() > 0 {}
    }
    assert_serves(&server);
}
