//! The HTTP client, and the only door to `ureq`: POST for the push, GET for `health` and `report`.
//!
//! It blocks, so it runs on a thread of its own. It promises that a call ends within its timeout,
//! or soon after [`Cancel::cancel`]; that an answer of any size takes bounded memory; that
//! redirects are not followed and no proxy is taken from the environment; and that none of its
//! errors shows a header or the query of a URL.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::GzEncoder;
use ureq::config::Config;
use ureq::http::uri::Scheme;
use ureq::http::{Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, SendBody};

use crate::config::{is_localhost, is_private};

/// What a client is made with.
#[derive(Debug, Clone, Copy)]
pub struct ClientConfig<'a> {
    /// The certificate authorities to trust, as PEM text. `None` = the compiled-in ones.
    pub ca_pem: Option<&'a str>,
    /// `User-Agent` of every request.
    pub user_agent: &'a str,
    /// The longest that a call takes, name resolution and the answer's body included.
    pub timeout: Duration,
    /// Whether plain http goes to this machine and to private addresses only, whatever a name stands for.
    pub private_http: bool,
}

/// Makes requests, one after the other. Dropping it closes its connection.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    cancel: Cancel,
}

/// One whole answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// `Retry-After`, a number of seconds or a date; at most an hour.
    pub retry_after: Option<Duration>,
    /// The body, at most [`ANSWER_BYTES_MAX`] of it.
    pub body: Vec<u8>,
    /// Whether the body was longer than that.
    pub cut: bool,
}

/// The most that is kept of an answer: 5 000 refused rows, named in 200 bytes each.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was sent, and nothing will be until the configuration is mended.
    #[error("{0}")]
    Unusable(String),
    /// The host has no address, or nobody takes a connection there: nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// Whoever is there is not whom we trust, or speaks no TLS: nothing was sent.
    #[error("{0}")]
    Untrusted(String),
    /// No whole answer came. Whether the request was carried out is not known.
    #[error("{0}")]
    NoAnswer(String),
    /// The body that was to be sent could not be read to its announced end: the request is void.
    #[error("the body could not be read: {0}")]
    Body(io::Error),
    /// [`Cancel::cancel`] was called. Whether the request was carried out is not known.
    #[error("cancelled")]
    Cancelled,
}

/// Ends the calls of a client from another thread. Made before the client, so that there is no
/// moment at which it cannot be cancelled. Clones are the same thing.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Mutex<Cancelled>>);

#[derive(Debug, Default)]
struct Cancelled {
    yes: bool,
    agent: Option<Agent>,
}

impl Cancel {
    /// Shuts the client's sockets down: a blocked call returns at once, later ones fail. Name
    /// resolution and a connect under way are not interrupted; the timeout bounds them.
    pub fn cancel(&self) {
        let agent = {
            let mut state = self.lock();
            state.yes = true;
            state.agent.take()
        };
        if let Some(agent) = agent {
            agent.shutdown();
        }
    }

    /// Whether it was called.
    pub fn is_cancelled(&self) -> bool {
        self.lock().yes
    }

    fn lock(&self) -> MutexGuard<'_, Cancelled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Makes a client that `cancel` can end. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Unusable`] when `ca_pem` holds no certificate, [`Error::Cancelled`].
    pub fn new(config: &ClientConfig<'_>, cancel: Cancel) -> Result<Client, Error> {
        let tls = TlsConfig::builder().root_certs(config.ca_pem.map_or(Ok(RootCerts::WebPki), roots)?).build();
        let names = Names { private_http: config.private_http, ..Names::default() };
        let config = Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(config.user_agent)
            .tls_config(tls)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_response_header_size(HEAD_BYTES_MAX)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), names);
        {
            let mut state = cancel.lock();
            if state.yes {
                return Err(Error::Cancelled);
            }
            state.agent = Some(agent.clone());
        }
        Ok(Client { agent, cancel })
    }

    /// Sends `length` bytes of `body` and waits for the answer. With `gzip` they are compressed on the way, and go out
    /// chunked: how many they will be is not known before.
    ///
    /// # Errors
    /// Any of [`Error`]. A `body` that ends before `length` bytes is an [`Error::Body`]; the
    /// receiver sees a request that breaks off.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Read,
        length: u64,
        gzip: bool,
    ) -> Result<Answer, Error> {
        let mut exact = Exact { from: body, left: length, fault: None };
        let request = headers.iter().fold(self.agent.post(url), |request, (name, value)| request.header(*name, *value));
        let response = if gzip {
            let mut packed = GzEncoder::new(&mut exact, Compression::fast());
            request.header("Content-Encoding", "gzip").send(SendBody::from_reader(&mut packed))
        } else {
            request.header("Content-Length", length.to_string()).send(SendBody::from_reader(&mut exact))
        };
        if let Some(fault) = exact.fault {
            return Err(Error::Body(fault));
        }
        let untouched = exact.left == length;
        self.read(response).map_err(|error| match error {
            // It cannot be for what was sent: nothing was.
            Error::NoAnswer(cause) if untouched => Error::Unreachable(cause),
            other => other,
        })
    }

    /// Fetches `url`.
    ///
    /// # Errors
    /// Any of [`Error`] but [`Error::Body`].
    pub fn fetch(&self, url: &str, headers: &[(&str, &str)]) -> Result<Answer, Error> {
        let request = headers.iter().fold(self.agent.get(url), |request, (name, value)| request.header(*name, *value));
        self.read(request.call())
    }

    fn read(&self, response: Result<Response<Body>, ureq::Error>) -> Result<Answer, Error> {
        let answer = response.map_err(sorted).and_then(read_answer);
        // A socket that we shut down ourselves can look like the end of an answer.
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { answer }
    }
}

/// One read or write of the socket. ureq's own 128 KiB each way would be most of our memory.
const BUFFER_BYTES: usize = 16 << 10;
/// Less than [`BUFFER_BYTES`]: the head of an answer must fit in the buffer.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// A receiver may not silence us for longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

fn roots(pem: &str) -> Result<RootCerts, Error> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(Error::Unusable(format!("the file of certificate authorities: {error}"))),
        }
    }
    if certificates.is_empty() {
        return Err(Error::Unusable("the file of certificate authorities holds no certificate".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// Looks names up, but for `localhost`: what goes there unencrypted must not leave the machine.
#[derive(Debug, Default)]
struct Names {
    asked: DefaultResolver,
    private_http: bool,
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if !uri.host().is_some_and(is_localhost) {
            // What cannot be looked up cannot be reached, whatever it is called.
            let found = self.asked.resolve(uri, config, timeout).map_err(|error| match error {
                ureq::Error::Io(error) => ureq::Error::Other(Box::new(NotFound(error))),
                other => other,
            })?;
            if !self.private_http || uri.scheme() == Some(&Scheme::HTTPS) {
                return Ok(found);
            }
            let mut addresses = self.empty();
            let may = |address: &&SocketAddr| address.ip().is_loopback() || is_private(address.ip());
            found.iter().filter(may).for_each(|address| addresses.push(*address));
            return if addresses.is_empty() { Err(ureq::Error::Other(Box::new(NotPrivate))) } else { Ok(addresses) };
        }
        let of_scheme = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(of_scheme);
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        addresses.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
        Ok(addresses)
    }
}

/// Nobody knows the name now.
#[derive(Debug, thiserror::Error)]
#[error("the host name cannot be looked up: {0}")]
struct NotFound(io::Error);

/// Why plain http does not go there.
#[derive(Debug, thiserror::Error)]
#[error("plain http goes to private addresses only, and this name has none: use https")]
struct NotPrivate;

fn read_answer(mut response: Response<Body>) -> Result<Answer, Error> {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| retry_after(text, SystemTime::now()));
    let mut body = Vec::new();
    let limit = ANSWER_BYTES_MAX as u64 + 1;
    response
        .body_mut()
        .as_reader()
        .take(limit)
        .read_to_end(&mut body)
        .map_err(|error| Error::NoAnswer(format!("the answer with status {status} broke off: {error}")))?;
    let cut = body.len() > ANSWER_BYTES_MAX;
    body.truncate(ANSWER_BYTES_MAX);
    Ok(Answer { status, retry_after, body, cut })
}

/// A date that has passed is no wait.
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = match httpdate::parse_http_date(text) {
        Ok(date) => date.duration_since(now).unwrap_or_default(),
        // More seconds than a number can hold are many.
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
        }
        Err(_) => return None,
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The texts of `BadUri` and `Http` may hold the URL or a header, so they are not shown.
fn sorted(error: ureq::Error) -> Error {
    use ureq::Timeout;
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Error::Unusable("the URL or a header cannot be sent".to_owned())
        }
        ureq::Error::HostNotFound => Error::Unreachable("the host name has no address".to_owned()),
        ureq::Error::Timeout(what @ (Timeout::Resolve | Timeout::Connect)) => {
            Error::Unreachable(format!("no connection: timeout ({what})"))
        }
        ureq::Error::Timeout(what) => Error::NoAnswer(format!("timeout ({what})")),
        ureq::Error::ConnectionFailed => Error::Unreachable("no connection".to_owned()),
        ureq::Error::Tls(what) => Error::Untrusted(format!("TLS: {what}")),
        ureq::Error::Rustls(error) => Error::Untrusted(format!("TLS: {error}")),
        ureq::Error::Io(error) => sorted_io(&error),
        ureq::Error::Other(error) => Error::Unreachable(error.to_string()),
        other => Error::NoAnswer(other.to_string()),
    }
}

fn sorted_io(error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable => {
            Error::Unreachable(format!("no connection: {error}"))
        }
        // What rustls finds wrong with the other side.
        Kind::InvalidData => Error::Untrusted(format!("TLS: {error}")),
        _ => Error::NoAnswer(format!("the connection broke: {error}")),
    }
}

/// Ends after exactly `left` bytes, or fails: a body that ends early would keep ureq asking.
struct Exact<R> {
    from: R,
    left: u64,
    fault: Option<io::Error>,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).map_or(into.len(), |left| left.min(into.len()));
        if room == 0 {
            return Ok(0);
        }
        let read = match self.from.read(&mut into[..room]) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than announced")),
            read => read,
        };
        match read {
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(fault) => {
                let kind = fault.kind();
                self.fault = Some(fault);
                Err(kind.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date_up_to_an_hour() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_792_567_680);
        let wait = |text| retry_after(text, now);
        assert_eq!(wait(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("Wed, 21 Oct 2026 07:27:59 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("Wednesday, 21-Oct-26 07:28:30 GMT"), Some(Duration::from_secs(30)));
        for text in ["86400", "99999999999999999999", "Thu, 22 Oct 2026 07:28:00 GMT"] {
            assert_eq!(wait(text), Some(RETRY_AFTER_MAX), "{text}");
        }
        for text in ["", "-1", "+1", "1.5", "soon", "Wed, 41 Oct 2026 07:28:00 GMT"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    #[test]
    fn localhost_is_this_machine_and_nobody_is_asked() {
        let resolve = |url: &str| {
            let never = NextTimeout {
                after: ureq::unversioned::transport::time::Duration::NotHappening,
                ..NextTimeout::default()
            };
            let addresses = Names::default().resolve(&url.parse().unwrap(), &Config::default(), never).unwrap();
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for (url, port) in [("http://LocalHost/x", 80), ("https://localhost.", 443), ("http://localhost:9090", 9090)] {
            assert_eq!(resolve(url), [format!("127.0.0.1:{port}"), format!("[::1]:{port}")], "{url}");
        }
        assert_eq!(resolve("http://192.0.2.1:8080"), ["192.0.2.1:8080"]);
    }

    #[test]
    fn plain_http_goes_nowhere_that_is_not_private_whatever_the_name_stands_for() {
        let resolve = |url: &str| {
            let never = NextTimeout {
                after: ureq::unversioned::transport::time::Duration::NotHappening,
                ..NextTimeout::default()
            };
            let names = Names { private_http: true, ..Names::default() };
            names.resolve(&url.parse().unwrap(), &Config::default(), never).map_err(sorted)
        };
        for url in
            ["http://10.0.0.7", "http://127.0.0.1:8080", "http://[fdaa::3]:1", "https://192.0.2.1", "http://localhost"]
        {
            assert!(resolve(url).is_ok(), "{url}");
        }
        for url in ["http://192.0.2.1", "http://[2001:db8::1]:80"] {
            assert!(matches!(resolve(url), Err(Error::Unreachable(why)) if why.contains("use https")), "{url}");
        }
    }

    #[test]
    fn a_file_without_certificates_makes_no_client() {
        for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n"] {
            let config = ClientConfig {
                ca_pem: Some(pem),
                user_agent: "test",
                timeout: Duration::from_secs(1),
                private_http: false,
            };
            assert!(matches!(Client::new(&config, Cancel::default()), Err(Error::Unusable(_))), "{pem}");
        }
    }

    #[test]
    fn a_client_cancelled_before_it_is_made_is_not_made() {
        let cancel = Cancel::default();
        cancel.cancel();
        let config =
            ClientConfig { ca_pem: None, user_agent: "test", timeout: Duration::from_secs(1), private_http: false };
        assert!(matches!(Client::new(&config, cancel), Err(Error::Cancelled)));
    }

    #[test]
    fn an_unusable_url_is_not_shown() {
        let config =
            ClientConfig { ca_pem: None, user_agent: "test", timeout: Duration::from_secs(1), private_http: false };
        let client = Client::new(&config, Cancel::default()).unwrap();
        let error = client.fetch("no-scheme?token=hush", &[]).unwrap_err();
        assert!(matches!(error, Error::Unusable(_)) && !error.to_string().contains("hush"), "{error}");
    }
}
