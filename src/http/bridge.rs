//! The passage through async-h1: a validated head goes through its `decode`, an answer through its
//! `Encoder`, both over memory.
//!
//! `decode` sees only what routes need, so that nothing of the connection (framing, `Expect`) can
//! start anything in it. The body does not pass through it: it is complete already.

use std::fmt::Write;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_h1::server::{Encoder, decode};
use http_types::{Body, StatusCode};
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::fault::Fault;
use super::head::Head;
use crate::exchange::{Method, Request, Response};

/// Room for the head of an answer, so that it is not allocated in steps.
const ANSWER_HEAD_BYTES: usize = 256;

/// The request that routes see, made of its head and its complete body.
///
/// # Errors
/// async-h1 does not understand the head (400).
pub(super) async fn request(head: &Head, body: Vec<u8>) -> Result<Request, Fault> {
    let bytes = Memory { bytes: rewritten(head, body.len()).into_bytes().into(), position: 0 };
    // The error is not shown: it may quote the request.
    let Ok(Some((decoded, _))) = decode(bytes).await else {
        return Err(Fault::new(400, "the request cannot be parsed"));
    };
    let method = match decoded.method() {
        http_types::Method::Get => Method::Get,
        http_types::Method::Head => Method::Head,
        http_types::Method::Post => Method::Post,
        http_types::Method::Options => Method::Options,
        _ => Method::Other,
    };
    Ok(Request {
        method,
        path: decoded.url().path().to_owned(),
        query: decoded.url().query().unwrap_or_default().to_owned(),
        headers: decoded.iter().map(|(name, values)| (name.to_string(), values.last().to_string())).collect(),
        body,
    })
}

/// The bytes of an answer, head and body in one piece. To HEAD the body is left out.
pub(super) async fn encode(response: Response, method: Method, connection: Option<&'static str>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ANSWER_HEAD_BYTES + response.body.len());
    let status = StatusCode::try_from(response.status).unwrap_or(StatusCode::InternalServerError);
    let mut answer = http_types::Response::new(status);
    if let Some(content_type) = response.content_type {
        answer.insert_header("content-type", content_type);
    }
    for (name, value) in response.headers {
        answer.insert_header(name, value);
    }
    if let Some(connection) = connection {
        answer.insert_header("connection", connection);
    }
    answer.set_body(Body::from_bytes(response.body));
    let method = if method == Method::Head { http_types::Method::Head } else { http_types::Method::Get };
    match Encoder::new(answer, method).read_to_end(&mut bytes).await {
        Ok(_) => bytes,
        Err(error) => unreachable!("the encoder reads from memory: {error}"),
    }
}

fn rewritten(head: &Head, body_len: usize) -> String {
    let method = match head.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        // Admission has refused every other method.
        Method::Options | Method::Other => "OPTIONS",
    };
    let mut text = format!("{method} {} HTTP/1.1\r\nhost: localhost\r\n", head.target);
    for (name, value) in head.headers().iter().filter(|(name, _)| *name != "host") {
        push_line(&mut text, name, value);
    }
    push_line(&mut text, "content-length", body_len);
    text.push_str("\r\n");
    text
}

fn push_line(text: &mut String, name: &str, value: impl std::fmt::Display) {
    if write!(text, "{name}: {value}\r\n").is_err() {
        unreachable!("a String takes whatever is written to it");
    }
}

/// What `decode` reads from, and never writes to.
#[derive(Debug, Clone)]
struct Memory {
    bytes: Arc<[u8]>,
    position: usize,
}

impl AsyncRead for Memory {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let rest = &self.bytes[self.position..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.position += len;
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use smol::future::block_on;

    use super::*;

    #[test]
    fn a_request_passes_with_the_headers_that_routes_need_and_no_others() {
        let head = Head::parse(
            b"POST /v1/traces?a=b%20c HTTP/1.1\r\nHost: 127.0.0.1:9090\r\nContent-Type: application/json\r\n\
              Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nCookie: a\r\nIdempotency-Key: k\r\n\r\n",
        )
        .unwrap();
        let request = block_on(request(&head, b"{}".to_vec())).unwrap();
        assert_eq!(request.method, Method::Post);
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/v1/traces", "a=b%20c"));
        assert_eq!(request.header("idempotency-key"), Some("k"));
        assert_eq!(request.header("content-length"), Some("2"));
        for gone in ["transfer-encoding", "expect", "cookie"] {
            assert_eq!(request.header(gone), None);
        }
        assert_eq!(request.body, b"{}");
    }

    #[test]
    fn an_answer_is_one_piece_with_a_date() {
        let response = Response::json(503, b"{}".to_vec()).with("retry-after", "1");
        let text = String::from_utf8(block_on(encode(response.clone(), Method::Post, Some("close")))).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
        for line in ["connection: close\r\n", "content-length: 2\r\n", "retry-after: 1\r\n", "\r\ndate: "] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        assert!(text.contains("content-type: application/json\r\n") && text.ends_with("\r\n\r\n{}"), "{text}");
        let text = String::from_utf8(block_on(encode(response, Method::Head, None))).unwrap();
        assert!(text.contains("content-length: 2\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }
}
