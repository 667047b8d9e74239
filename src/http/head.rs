//! The head of a request: bytes in, a validated [`Head`] out. Pure.
//!
//! What passes here is ASCII, has one meaning to every reader of HTTP/1.1 (RFC 9112), and ends
//! exactly where [`Scan`] said. Everything else has a status: nothing is closed in silence.

use super::fault::Fault;
use crate::exchange::Method;

/// The most bytes of a head. What async-h1 takes; our largest real client sends 400.
pub(super) const HEAD_BYTES_MAX: usize = 8 << 10;

/// The most headers of a request: real clients send at most a dozen.
const HEADERS_MAX: usize = 64;

/// Empty lines before a request line that are skipped (RFC 9112, 2.2): some clients end a body so.
const EMPTY_LINES_MAX: usize = 2;

/// The headers that routes see. Each may come once.
const HEADERS_KEPT: [&str; 6] =
    ["host", "content-type", "content-encoding", "authorization", "origin", "idempotency-key"];

/// A request before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// What is asked. Methods are case-sensitive.
    pub(super) method: Method,
    /// Path and query as they were sent. Starts with `/`.
    pub(super) target: String,
    /// `host[:port]` that the client thinks it talks to: of the target if it has one, else of the
    /// Host header. `None` only in HTTP/1.0.
    pub(super) authority: Option<String>,
    /// How the body ends.
    pub(super) framing: Framing,
    /// Whether the client waits to be told to send the body.
    pub(super) expect: Expect,
    /// Whether the client may send another request after this one.
    pub(super) keep_alive: bool,
    /// Whether it is HTTP/1.0.
    pub(super) old: bool,
    headers: Vec<(&'static str, String)>,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many bytes; 0 without a body.
    Fixed(u64),
    /// After the last chunk.
    Chunked,
}

/// What the `Expect` header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    /// Nothing.
    Nothing,
    /// `100-continue`
    Continue,
    /// Something that we do not know.
    Unknown,
}

impl Head {
    /// The target without its query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The value of one of the headers that routes see; name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// The headers that routes see, names in lower case.
    pub(super) fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// Reads a head that [`Scan`] found.
    ///
    /// # Errors
    /// The request cannot be understood in one way only. Its end is not known: close.
    pub(super) fn parse(bytes: &[u8]) -> Result<Head, Fault> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
            Ok(_) => return Err(bad("the head does not end where its empty line is")),
            Err(error) => return Err(unparsed(error, bytes)),
        }
        let old = request.version == Some(0);
        let fields = Fields::read(request.headers)?;
        let (target, authority) = target(request.path.unwrap_or_default())?;
        let host = fields.kept.iter().find(|(name, _)| *name == "host").map(|(_, value)| value.as_str());
        if host.is_none() && !old {
            return Err(bad("the Host header is missing"));
        }
        let authority = authority.or(host).map(str::to_owned);
        if authority.as_deref() == Some("") {
            return Err(bad("the host is empty"));
        }
        Ok(Head {
            method: method(request.method.unwrap_or_default()),
            target,
            authority,
            framing: fields.framing(old)?,
            expect: if old { Expect::Nothing } else { fields.expect },
            keep_alive: !fields.close && (!old || fields.keep_alive),
            old,
            headers: fields.kept,
        })
    }
}

/// Looks for the end of a head in bytes that arrive in pieces, and stops at the first byte that no
/// head can have: garbage is not waited on.
#[derive(Debug, Default)]
pub(super) struct Scan {
    start: usize,
    seen: usize,
    line_start: usize,
    empty_lines: usize,
}

impl Scan {
    /// Takes all bytes since the end of the last request; those of the last call come again, with
    /// more behind them. `Some(start..end)` is where the head is.
    ///
    /// # Errors
    /// This is no head, or too large a one.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<Option<std::ops::Range<usize>>, Fault> {
        while self.seen < bytes.len() {
            let at = self.seen;
            let byte = bytes[at];
            if at - self.start >= HEAD_BYTES_MAX {
                return Err(too_large());
            }
            self.seen += 1;
            match byte {
                b'\n' if at == self.line_start || bytes[at - 1] != b'\r' => {
                    return Err(bad("a line of the head ends without a carriage return"));
                }
                b'\n' => {
                    let empty = at - self.line_start == 1;
                    let first = self.line_start == self.start;
                    self.line_start = self.seen;
                    if empty && !first {
                        return Ok(Some(self.start..self.seen));
                    }
                    if empty {
                        self.empty_lines += 1;
                        self.start = self.seen;
                        if self.empty_lines > EMPTY_LINES_MAX {
                            return Err(bad("empty lines before the request"));
                        }
                    }
                }
                b'\r' | b'\t' => {}
                0x20..=0x7e if at == self.start && !byte.is_ascii_alphabetic() => {
                    return Err(bad("a request starts with its method"));
                }
                0x20..=0x7e => {}
                _ => return Err(bad("the head has a byte that is not printable ASCII")),
            }
        }
        Ok(None)
    }
}

/// What the headers say, before the version is considered.
struct Fields {
    kept: Vec<(&'static str, String)>,
    content_length: Option<u64>,
    transfer_encodings: usize,
    chunked: bool,
    expect: Expect,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Fields, Fault> {
        let mut fields = Fields {
            kept: Vec::new(),
            content_length: None,
            transfer_encodings: 0,
            chunked: false,
            expect: Expect::Nothing,
            close: false,
            keep_alive: false,
        };
        for header in headers {
            // The scan let only ASCII through.
            let value = str::from_utf8(header.value).unwrap_or_default().trim_matches([' ', '\t']);
            fields.note(header.name, value)?;
        }
        Ok(fields)
    }

    fn note(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("content-length") {
            if self.content_length.is_some() {
                return Err(bad("Content-Length came twice"));
            }
            self.content_length = Some(content_length(value)?);
        } else if is("transfer-encoding") {
            self.transfer_encodings += 1;
            self.chunked = value.eq_ignore_ascii_case("chunked");
        } else if is("expect") {
            let known = self.expect != Expect::Unknown && value.eq_ignore_ascii_case("100-continue");
            self.expect = if known { Expect::Continue } else { Expect::Unknown };
        } else if is("connection") {
            for option in value.split(',').map(str::trim) {
                self.close |= option.eq_ignore_ascii_case("close");
                self.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
            }
        } else if let Some(kept) = HEADERS_KEPT.into_iter().find(|kept| is(kept)) {
            if self.kept.iter().any(|(known, _)| *known == kept) {
                return Err(Fault::new(400, format!("the header {kept} came twice")));
            }
            self.kept.push((kept, value.to_owned()));
        }
        Ok(())
    }

    fn framing(&self, old: bool) -> Result<Framing, Fault> {
        match (self.transfer_encodings, self.content_length) {
            (0, length) => Ok(Framing::Fixed(length.unwrap_or(0))),
            (_, Some(_)) => Err(bad("Transfer-Encoding and Content-Length exclude each other")),
            (_, None) if old => Err(bad("HTTP/1.0 has no Transfer-Encoding")),
            (1, None) if self.chunked => Ok(Framing::Chunked),
            _ => Err(Fault::new(501, "the only Transfer-Encoding that is taken is chunked")),
        }
    }
}

fn content_length(value: &str) -> Result<u64, Fault> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let length = value.parse().ok().filter(|_| digits);
    length.ok_or_else(|| bad("Content-Length must be one number of digits"))
}

/// Path and query, and the authority if the target names one (`http://host/path`).
fn target(sent: &str) -> Result<(String, Option<&str>), Fault> {
    const SCHEME: &str = "http://";
    if sent.starts_with('/') {
        return Ok((sent.to_owned(), None));
    }
    let absolute = sent.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    if !absolute {
        return Err(bad("the request target must be a path"));
    }
    let rest = &sent[SCHEME.len()..];
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((format!("{slash}{path}"), Some(authority)))
}

fn method(token: &str) -> Method {
    match token {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "OPTIONS" => Method::Options,
        _ => Method::Other,
    }
}

fn unparsed(error: httparse::Error, bytes: &[u8]) -> Fault {
    match error {
        httparse::Error::TooManyHeaders => too_large(),
        httparse::Error::Version if names_a_version(bytes) => {
            Fault::new(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        }
        error => Fault::new(400, format!("the head cannot be parsed: {error}")),
    }
}

/// Whether the request line ends like one of another HTTP.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let version = line.split(|byte| *byte == b' ').nth(2).unwrap_or_default();
    version.strip_prefix(b"HTTP/").is_some_and(|number| number.first().is_some_and(u8::is_ascii_digit))
}

fn too_large() -> Fault {
    Fault::new(431, "the head is larger than 8192 bytes or has more than 64 headers")
}

fn bad(message: &'static str) -> Fault {
    Fault::new(400, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Head>, Fault> {
        match Scan::default().advance(bytes)? {
            Some(range) => Head::parse(&bytes[range]).map(Some),
            None => Ok(None),
        }
    }

    fn head(lines: &str) -> Head {
        read(format!("{lines}\r\n\r\n").as_bytes()).unwrap().unwrap()
    }

    fn status(bytes: impl AsRef<[u8]>) -> u16 {
        read(bytes.as_ref()).unwrap_err().status
    }

    fn status_with(line: &str) -> u16 {
        status(format!("POST /v1/traces HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"))
    }

    #[test]
    fn a_head_is_read_whole() {
        let head = head(
            "POST /v1/traces?a=b HTTP/1.1\r\nHost: LocalHost:9090\r\nContent-Length: 12\r\nX-Other: 1\r\n\
             content-TYPE: application/json \r\nExpect: 100-Continue",
        );
        assert_eq!(head.method, Method::Post);
        assert_eq!(head.target, "/v1/traces?a=b");
        assert_eq!(head.path(), "/v1/traces");
        assert_eq!(head.authority.as_deref(), Some("LocalHost:9090"));
        assert_eq!(head.framing, Framing::Fixed(12));
        assert_eq!(head.expect, Expect::Continue);
        assert!(head.keep_alive && !head.old);
        assert_eq!(head.header("content-type"), Some("application/json"));
        assert_eq!(head.headers().len(), 2);
    }

    #[test]
    fn the_end_is_found_wherever_the_pieces_are_cut() {
        let bytes = b"\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\nGET ";
        for cut in 0..bytes.len() {
            let mut scan = Scan::default();
            let found = scan.advance(&bytes[..cut]).unwrap();
            let found = found.or_else(|| scan.advance(bytes).unwrap());
            assert_eq!(found, Some(2..bytes.len() - 4), "cut at {cut}");
        }
    }

    #[test]
    fn two_empty_lines_before_a_request_are_skipped_and_no_third() {
        assert!(read(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().is_some());
        assert_eq!(status("\r\n\r\n\r\n"), 400);
    }

    #[test]
    fn garbage_is_refused_at_its_first_byte() {
        assert_eq!(status(b"\x16\x03\x01"), 400);
        assert_eq!(status("{"), 400);
        assert_eq!(status("GET / HTTP/1.1\n"), 400);
        assert_eq!(status("\n"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}"), 400);
        assert_eq!(status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\n"), 400);
        assert_eq!(read(b"GET / HT").unwrap(), None);
    }

    #[test]
    fn a_head_has_a_most_of_bytes_and_of_headers() {
        assert_eq!(status([b'a'; HEAD_BYTES_MAX + 1]), 431);
        assert_eq!(read(&[b'a'; HEAD_BYTES_MAX]).unwrap(), None);
        let headers = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
        assert!(read(headers(HEADERS_MAX).as_bytes()).is_ok());
        assert_eq!(status(headers(HEADERS_MAX + 1)), 431);
    }

    #[test]
    fn the_length_of_a_body_has_one_meaning() {
        for line in [
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Content-Length: -1",
            "Content-Length: ",
            "Content-Length: 18446744073709551616",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity\r\nContent-Length: 0",
        ] {
            assert_eq!(status_with(line), 400, "{line}");
        }
        for line in [
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: ",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            assert_eq!(status_with(line), 501, "{line}");
        }
        assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        assert_eq!(head("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked").framing, Framing::Chunked);
        assert_eq!(head("POST / HTTP/1.1\r\nHost: a").framing, Framing::Fixed(0));
    }

    #[test]
    fn other_versions_and_other_protocols_are_told_apart() {
        assert_eq!(status("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505);
        assert_eq!(status("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505);
        assert_eq!(status("GET / RTSP/1.0\r\nHost: a\r\n\r\n"), 400);
        assert_eq!(status("GET /\r\n\r\n"), 400);
    }

    #[test]
    fn the_host_is_known() {
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nHost: \r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
        assert_eq!(head("GET /health HTTP/1.0").authority, None);
        let absolute = head("GET http://b:1?x=/y HTTP/1.1\r\nHost: a");
        assert_eq!((absolute.target.as_str(), absolute.authority.as_deref()), ("/?x=/y", Some("b:1")));
    }

    #[test]
    fn only_paths_are_targets() {
        for target in ["*", "a:443", "https://a/", "health"] {
            assert_eq!(status(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n")), 400, "{target}");
        }
        assert_eq!(head("get / HTTP/1.1\r\nHost: a").method, Method::Other);
    }

    #[test]
    fn connection_is_a_list() {
        let keep = |line: &str| head(line).keep_alive;
        assert!(!keep("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close, te"));
        assert!(!keep("GET / HTTP/1.1\r\nHost: a\r\nConnection: te\r\nConnection: keep-alive,close"));
        assert!(keep("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed"));
        assert!(!keep("GET / HTTP/1.0"));
        assert!(keep("GET / HTTP/1.0\r\nConnection: Keep-Alive"));
    }

    #[test]
    fn no_input_makes_it_panic_and_every_head_it_takes_is_plain() {
        const ROUNDS: usize = 60_000;
        const SEEDS: [&str; 4] = [
            "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            "GET http://a/health HTTP/1.0\r\nConnection: close, te\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            "\r\nHEAD /health HTTP/1.1\r\nHost: [::1]:9090\r\nOrigin: null\r\n\r\n",
        ];
        const TOKENS: [&str; 10] =
            ["\r\n", "\n", "\r", ": ", "Content-Length: ", "chunked", "HTTP/1.1", "http://", "\u{e9}", "\0"];
        let mut random = fastrand::Rng::with_seed(7);
        let mut taken = 0;
        for _ in 0..ROUNDS {
            let mut bytes = SEEDS[random.usize(..SEEDS.len())].as_bytes().to_vec();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes.insert(at, bytes[at]),
                    2 => bytes.truncate(at + 1),
                    _ => {
                        let token = TOKENS[random.usize(..TOKENS.len())];
                        bytes.splice(at..at, token.bytes());
                    }
                }
            }
            if let Ok(Some(head)) = read(&bytes) {
                taken += 1;
                assert!(head.target.starts_with('/') && head.target.is_ascii(), "{head:?}");
                assert!(head.headers().iter().all(|(_, value)| value.is_ascii()), "{head:?}");
            }
        }
        assert!(taken > ROUNDS / 10, "the mutations leave enough heads alive: {taken}");
    }
}
