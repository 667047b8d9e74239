//! Where a request ends, and what becomes of bytes that are none.

use std::time::Duration;

use super::{FLOOD_BYTES, FLOOD_TAKEN_MAX, assert_refused, assert_serves, chunked, event, post, post_event};
use crate::support::server::{Server, Setup, until};

#[test]
fn d1_bytes_that_are_not_ascii_are_refused_and_the_listener_lives() {
    let server = Server::start(Setup::default());
    for name in ["X-Name", "Host", "Cookie"] {
        assert_refused(&server, format!("POST /v1/events HTTP/1.1\r\n{name}: caf\u{e9}\r\n\r\n"), 400);
    }
    assert_refused(&server, b"POST /v1/events HTTP/1.1\r\nX-Name: caf\xe9\r\n\r\n", 400);
    assert_refused(&server, chunked("c\r\n{\"name\":\"a\"}\r\n0\r\nA: \u{e9}\r\n\r\n"), 400);
    assert_serves(&server);
    assert_eq!(server.stored(), 1);
}

#[test]
fn d2_pipelined_requests_are_all_answered_wherever_the_segments_are_cut() {
    let server = Server::start(Setup::default());
    let three = post_event().repeat(3);
    let mut client = server.client();
    client.send(&three);
    for _ in 0..3 {
        assert_eq!(client.answer().status, 202);
    }
    for cut in 1..three.len() {
        client.send(&three[..cut]);
        client.send(&three[cut..]);
        for _ in 0..3 {
            assert_eq!(client.answer().status, 202, "cut at {cut}");
        }
    }
    assert_eq!(server.stored(), 3 * three.len());
}

#[test]
fn d3_garbage_without_a_line_end_is_refused_after_8_kib() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    client.send([b'a'; 16 << 10]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (431, true));
    let taken = client.flood(&[b'a'; 64 << 10], FLOOD_BYTES);
    assert!(taken < FLOOD_TAKEN_MAX, "{taken}");
    assert_serves(&server);
}

#[test]
fn d4_a_body_past_its_limit_is_refused_before_it_is_read() {
    let server = Server::start(Setup::default());
    let head = |length| {
        format!(
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        )
    };
    for length in [(1 << 20) + 1, 1_000_000_000] {
        let answer = server.ask(head(length));
        assert_eq!((answer.status, answer.closes()), (413, true));
    }
    let mut client = server.client();
    client.send(chunked(""));
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    for _ in 0..17 {
        client.send(&chunk);
    }
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (413, true));
    assert_eq!(server.stats.http.body_bytes.value(), 0);
}

#[test]
fn d5_an_endless_body_after_an_early_answer_is_cut() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    client.send("POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (404, true));
    let taken = client.flood(&[b'a'; 64 << 10], FLOOD_BYTES);
    assert!(taken < FLOOD_TAKEN_MAX, "{taken}");
}

#[test]
fn d6_a_truncated_body_is_counted_and_never_stored() {
    let server = Server::start(Setup::default());
    let whole = post_event();
    for request in [whole[..whole.len() - 1].to_owned(), chunked("c\r\n{\"name\":\"a\"}\r\n0\r\n")] {
        let mut client = server.client();
        client.send(request);
        client.finish_sending();
        client.assert_closed();
    }
    assert_eq!(server.stats.http.bodies_truncated.total(), 2);
    assert_serves(&server);
    assert_eq!(server.stored(), 1);
}

#[test]
fn d7_chunks_and_trailers_are_read_wherever_the_segments_are_cut() {
    let server = Server::start(Setup::default());
    let request = chunked("5;ext=1\r\n{\"nam\r\n7\r\ne\":\"a\"}\r\n0\r\nA: b\r\nX-Sum: 1\r\n\r\n");
    let mut client = server.client();
    for cut in 1..request.len() {
        client.send(&request[..cut]);
        client.send(&request[cut..]);
        assert_eq!(client.answer().status, 202, "cut at {cut}");
    }
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.answer().status, 202);
    assert_eq!(server.stored(), request.len());
}

#[test]
fn d8_a_request_behind_the_last_chunk_is_answered() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    let one = chunked("c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n");
    client.send(format!("{one}{one}{}", post_event()));
    for _ in 0..3 {
        assert_eq!(client.answer().status, 202);
    }
}

#[test]
fn d9_an_unknown_transfer_encoding_smuggles_nothing() {
    let server = Server::start(Setup::default());
    let smuggled = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let with = |headers: &str| format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{smuggled}");
    assert_refused(&server, with("Transfer-Encoding: identity"), 501);
    assert_refused(&server, with("Transfer-Encoding: gzip, chunked"), 501);
    assert_refused(&server, with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 501);
    assert_refused(&server, with("Transfer-Encoding: chunked\r\nContent-Length: 5"), 400);
}

#[test]
fn d10_a_length_with_two_meanings_is_refused() {
    let server = Server::start(Setup::default());
    for length in ["5\r\nContent-Length: 3", "5\r\nContent-Length: 5", "+5", "5, 5", "-1", "18446744073709551616", "5a"]
    {
        let request = format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\nhello");
        assert_refused(&server, request, 400);
    }
}

#[test]
fn d11_a_head_does_not_end_at_two_line_feeds() {
    let server = Server::start(Setup::default());
    let request = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\n\nhelloGET /health HTTP/1.1\r\n\
                   Host: localhost\r\n\r\n";
    assert_refused(&server, request, 400);
}

#[test]
fn d12_every_request_that_cannot_be_read_has_its_status() {
    let server = Server::start(Setup::default());
    let many = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(64));
    let long = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nA: {}\r\n\r\n", "b".repeat(9000));
    for (request, status) in [
        ("GET /health\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nA: \0\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (many.as_str(), 431),
        (long.as_str(), 431),
    ] {
        assert_refused(&server, request, status);
    }
    assert_refused(&server, chunked("5\nhello"), 400);
}

#[test]
fn d13_http_1_0_is_answered() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    client.send("GET /health HTTP/1.0\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (200, true));
    client.assert_closed();
    let mut client = server.client();
    for _ in 0..2 {
        client.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (200, Some("keep-alive")));
    }
}

#[test]
fn d14_what_is_no_http_is_refused_at_once() {
    let server = Server::start(Setup::default());
    assert_refused(&server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400);
    assert_refused(&server, "GET / HTTP/1.1\nHost: a\n\n", 400);
}

#[test]
fn d16_d17_no_thread_is_started_by_a_request() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    client.send(post("/v1/events", "Expect: 100-continue\r\n", &event()));
    assert_eq!((client.head().status, client.answer().status), (100, 202));
    let mut names = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        // A thread of another test may end while we look.
        if let Ok(name) = std::fs::read_to_string(task.unwrap().path().join("comm")) {
            names.push(name.trim().to_owned());
        }
    }
    let count = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
    assert_eq!((count("async-io"), count("async-global"), count("blocking")), (1, 0, 0), "{names:?}");
}

#[test]
fn d17_a_client_that_waits_is_told_to_go_on_however_it_spells_it() {
    let server = Server::start(Setup::default());
    for expect in ["100-continue", "100-Continue"] {
        let mut client = server.client();
        let request = post("/v1/events", &format!("Expect: {expect}\r\n"), &event());
        let (head, body) = request.split_at(request.len() - event().len());
        client.send(head);
        assert_eq!(client.head().status, 100);
        client.send(body);
        assert_eq!(client.answer().status, 202);
    }
    let refused = server.ask(post("/v1/events", "Expect: a-miracle\r\n", &event()));
    assert_eq!(refused.status, 417);
}

#[test]
fn d18_an_early_answer_to_a_client_that_waits_ends_the_connection() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    client.send("POST /nothing HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 60\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (404, true));
    client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.assert_closed();
}

#[test]
fn d19_an_answer_comes_in_one_piece() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    for _ in 0..200 {
        client.send(post_event());
        client.read();
        // The whole answer is there after one read, so this does not read again.
        client.stream.set_nonblocking(true).unwrap();
        let answer = client.answer();
        client.stream.set_nonblocking(false).unwrap();
        assert_eq!((answer.status, answer.body.is_empty()), (202, false));
    }
}

#[test]
fn d20_connection_is_a_list_and_a_close_is_announced() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    client.send(post("/v1/events", "Connection: close, te\r\n", &event()));
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (202, true));
    client.assert_closed();
}

#[test]
fn an_early_answer_keeps_the_connection_when_little_is_left_to_read() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    let request = post("/nothing", "", &"a".repeat(60_000));
    let (first, second) = request.split_at(30_000);
    client.send(first);
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (404, false));
    client.send(second);
    client.send(post_event());
    assert_eq!(client.answer().status, 202);
}

#[test]
fn a_request_that_came_with_the_end_of_a_body_is_answered() {
    let server = Server::start(Setup::default());
    let mut client = server.client();
    for first in [post_event(), chunked("c\r\n{\"name\":\"a\"}\r\n0\r\n\r\n")] {
        let half = first.find("name").unwrap();
        client.send(&first[..half]);
        until("half of the body is there", || server.stats.http.body_bytes.value() > 0);
        client.send(format!("{}{}", &first[half..], post_event()));
        assert_eq!((client.answer().status, client.answer().status), (202, 202));
        until("no body is left", || server.stats.http.body_bytes.value() == 0);
    }
}

#[test]
fn a_client_that_sends_a_large_body_to_its_end_can_read_why_it_was_refused() {
    const BODY_BYTES: usize = 20 << 20;
    let server = Server::with_limits(|limits| limits.linger = Duration::from_secs(20));
    for path in ["/v1/events", "/nothing"] {
        let mut client = server.client();
        client.send(post(path, "", &" ".repeat(BODY_BYTES)));
        let answer = client.answer();
        assert_eq!((answer.status, answer.closes()), (if path == "/nothing" { 404 } else { 413 }, true));
    }
}

#[test]
fn a_client_that_sends_on_after_an_early_answer_can_still_read_it() {
    let server = Server::with_limits(|limits| limits.linger = Duration::from_secs(20));
    let mut client = server.client();
    let request = post("/nothing", "", &"a".repeat(200_000));
    let (head, body) = request.split_at(request.len() - 200_000);
    client.send(head);
    until("it is answered", || server.stats.http.requests.total() == 1);
    // Many pieces: the first would be answered by a reset if nobody read.
    body.as_bytes().chunks(1000).for_each(|piece| client.send(piece));
    client.finish_sending();
    let answer = client.answer();
    assert_eq!((answer.status, answer.closes()), (404, true));
}
