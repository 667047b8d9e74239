//! The listener over a real socket. `dN` names the defect of async-h1 2.3.4 that must not come back.

// What a test leans on may fail as the test does.
#![allow(clippy::unwrap_used)]

mod answers;
mod bounds;
mod framing;
mod openapi;
mod otlp;

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::server::Server;

/// More than the server throws away after its last answer, and all socket buffers between us.
const FLOOD_BYTES: usize = 160 << 20;

/// What a flood may lose in both before the server's close reaches it.
const FLOOD_TAKEN_MAX: usize = 96 << 20;

/// A deadline that a test waits out.
const SHORT: Duration = Duration::from_millis(60);

fn event() -> String {
    r#"{"name":"a"}"#.to_owned()
}

pub fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn post_event() -> String {
    post("/v1/events", "", &event())
}

fn chunked(chunks: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunks}"
    )
}

fn otlp(path: &str, media: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn assert_serves(server: &Server) {
    let answer = server.ask(post_event());
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Asserts that this request is refused so, and that the connection ends with it.
fn assert_refused(server: &Server, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let mut client = server.client();
    client.send(request);
    let answer = client.answer();
    assert_eq!(answer.status, status, "{:?}: {answer:?}", String::from_utf8_lossy(request));
    assert!(answer.closes(), "{answer:?}");
    assert!(answer.json()["error"]["message"].is_string(), "{answer:?}");
    client.assert_closed();
}
