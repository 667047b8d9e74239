//! Which request to the sidecar is let in, on its head alone, before a byte of the body is read; and who answers the
//! complete request. What other sites ask of a head as well is here too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;

use super::budget::{Budget, Hold};
use super::fault::{Dialect, Fault};
use super::head::{Expect, Framing, Head};
use super::ingest;
use super::limits::Limits;
use super::site::Site;
use super::{App, gzip, health, letters, metrics, signal, summary};
use crate::clock::Clock;
use crate::config::{Secret, is_localhost};
use crate::event::Table;
use crate::exchange::{Method, Request, Response, media_type};
use crate::otlp::{Encoding, Signal};
use crate::stats::Stats;

/// What a request that was let in may send, and who answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admitted<R> {
    /// What it asks for.
    pub(super) route: R,
    pub(super) gzip: bool,
    /// Without a `Content-Type` the body must look like JSON.
    pub(super) untyped: bool,
    /// The most bytes of the body as it comes.
    pub(super) body_bytes_max: usize,
    /// How a refusal is written.
    pub(super) dialect: Dialect,
}

/// What of the sidecar's is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Page(Page),
    Native(Table),
    Otlp(Signal, Encoding),
    /// JSON on /v1/traces: native or OTLP, which only the body tells.
    Traces,
    RetryLetters,
}

/// Which routes a listener has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// All of them.
    Everything,
    /// OTLP at the paths that OTLP gives it, and /health: what an exporter finds at the port that is OTLP's own.
    Otlp,
    /// /metrics and /health, for whoever comes: a scraper asks from elsewhere by whatever name it has for us, and has no
    /// token. It is no page in a browser.
    Metrics,
}

/// How a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// At what listener.
    pub(super) takes: Takes,
    /// Whether it asked for an address of this machine alone, as a browser here can.
    pub(super) is_loopback: bool,
}

/// What is behind a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Page(Page),
    Native(Table),
    Otlp(Signal),
    /// /v1/traces: native and OTLP.
    Traces,
    RetryLetters,
}

/// What is read, and has no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Health,
    Metrics,
    DebugStats,
    OpenApi,
    Summary,
}

/// A refusal, and how it is written.
pub(super) type Refused = (Fault, Dialect);

/// What `GET /openapi.json` answers.
const OPENAPI: &[u8] = include_bytes!("../../docs/openapi.json");

/// Media types of native bodies. The last three are NDJSON, whose name was never settled.
const NATIVE_TYPES: [&str; 4] = ["application/json", "application/x-ndjson", "application/ndjson", "application/jsonl"];

impl<C: 'static> Site for App<C> {
    type Route = Route;

    fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn admit(&self, limits: &Limits, budget: &Budget, way: Way, head: &Head) -> Result<Admitted<Route>, Refused> {
        let Way { takes, .. } = way;
        let place = match takes {
            Takes::Everything => place(head.path()),
            Takes::Otlp => otlp_place(head.path()),
            Takes::Metrics => metrics_place(head.path()),
        };
        let media = media_type(head.header("content-type").unwrap_or_default());
        let dialect = dialect(takes, place, &media);
        let refused = |fault| (fault, dialect);
        check_hosts(head, way, &self.config.allowed_hosts).map_err(refused)?;
        let place = place.ok_or_else(|| refused(nothing_here()))?;
        check_method(head.method, matches!(place, Place::Page(_))).map_err(refused)?;
        let is_open = place == Place::Page(Page::Health) || takes == Takes::Metrics;
        if !is_open {
            check_token(head, self.config.token.as_ref()).map_err(refused)?;
        }
        check_expectation(head).map_err(refused)?;
        let route = route(place, &media).map_err(refused)?;
        let gzip = is_gzip(head).map_err(refused)?;
        let body_bytes_max = match route {
            Route::Page(_) => 0,
            Route::Native(_) | Route::RetryLetters => limits.native_bytes_max,
            Route::Otlp(..) | Route::Traces => limits.otlp_bytes_max,
        };
        check_length(head, body_bytes_max, budget).map_err(refused)?;
        Ok(Admitted { route, gzip, untyped: media.is_empty(), body_bytes_max, dialect })
    }

    async fn answer(
        &self,
        limits: &Limits,
        budget: &Rc<Budget>,
        admitted: Admitted<Route>,
        mut request: Request,
        hold: &mut Hold,
    ) -> Response {
        let wire_bytes = request.body.len();
        if !matches!(admitted.route, Route::Page(_))
            && let Err(refusal) = unpack(limits, budget, admitted, &mut request, hold).await
        {
            return refusal;
        }
        match admitted.route {
            Route::Page(Page::Health) => health::answer(self, limits, budget),
            Route::Page(Page::Metrics) => metrics::metrics(self, limits, budget, hold),
            Route::Page(Page::DebugStats) => metrics::stats(self, limits, budget, hold),
            Route::Page(Page::OpenApi) => match hold.resize(OPENAPI.len()) {
                Ok(()) => Response::json(200, OPENAPI.to_vec()),
                Err(full) => Fault::from(full).response(Dialect::Native),
            },
            Route::Page(Page::Summary) => summary::answer(self, &request, hold).await,
            Route::Otlp(signal, Encoding::Json) if signal::is_of_another(&request.body, signal) => {
                ingest::wrong_signal(self, signal)
            }
            Route::Otlp(signal, encoding) => ingest::otlp(self, limits, signal, encoding, request.body, hold).await,
            Route::Native(table) => ingest::native(self, limits, table, request, hold).await,
            Route::RetryLetters => letters::retry(self, limits, request, hold).await,
            Route::Traces if crate::otlp::looks_like_otlp_json(&request.body) => {
                ingest::otlp(self, limits, Signal::Traces, Encoding::Json, request.body, hold).await
            }
            Route::Traces if wire_bytes > limits.native_bytes_max => {
                Fault::from(super::budget::Full::Body).response(Dialect::Native)
            }
            Route::Traces => ingest::native(self, limits, Table::LlmTraces, request, hold).await,
        }
    }
}

/// Inflates a body that came compressed, and looks at one whose type nobody told.
///
/// # Errors
/// The answer to a body that is not what it should be, or for which there is no room.
pub(super) async fn unpack<R>(
    limits: &Limits,
    budget: &Rc<Budget>,
    admitted: Admitted<R>,
    request: &mut Request,
    hold: &mut Hold,
) -> Result<(), Response> {
    if admitted.gzip {
        match gzip::inflate(&request.body, budget, limits.inflated_bytes_max).await {
            Ok(inflated) => (request.body, *hold) = inflated.into_parts(),
            Err(fault) => return Err(fault.response(admitted.dialect)),
        }
    }
    if admitted.untyped && !looks_like_json(&request.body) {
        let dialect = if admitted.dialect == Dialect::Native { Dialect::Native } else { Dialect::Plain };
        return Err(unsupported(dialect, "").response(dialect));
    }
    Ok(())
}

fn place(path: &str) -> Option<Place> {
    Some(match path {
        "/health" => Place::Page(Page::Health),
        "/metrics" => Place::Page(Page::Metrics),
        "/debug/stats" => Place::Page(Page::DebugStats),
        "/openapi.json" => Place::Page(Page::OpenApi),
        "/v1/summary" => Place::Page(Page::Summary),
        "/v1/traces" => Place::Traces,
        "/v1/dead-letters/retry" => Place::RetryLetters,
        "/v1/events" => Place::Native(Table::CustomEvents),
        "/v1/errors" => Place::Native(Table::ErrorEvents),
        "/v1/logs" | "/otlp/v1/logs" => Place::Otlp(Signal::Logs),
        "/v1/metrics" | "/otlp/v1/metrics" => Place::Otlp(Signal::Metrics),
        "/otlp/v1/traces" => Place::Otlp(Signal::Traces),
        _ => return None,
    })
}

/// The same at a listener that is OTLP's alone.
fn otlp_place(path: &str) -> Option<Place> {
    Some(match path {
        "/health" => Place::Page(Page::Health),
        "/v1/traces" => Place::Otlp(Signal::Traces),
        "/v1/logs" => Place::Otlp(Signal::Logs),
        "/v1/metrics" => Place::Otlp(Signal::Metrics),
        _ => return None,
    })
}

/// The same at a listener for scrapers.
fn metrics_place(path: &str) -> Option<Place> {
    Some(match path {
        "/health" => Place::Page(Page::Health),
        "/metrics" => Place::Page(Page::Metrics),
        _ => return None,
    })
}

fn dialect(takes: Takes, place: Option<Place>, media: &str) -> Dialect {
    let is_otlp = matches!(place, Some(Place::Otlp(_))) || (place.is_none() && takes == Takes::Otlp);
    match (place, otlp_encoding(media)) {
        (_, Some(encoding)) if is_otlp => Dialect::Otlp(encoding),
        (_, None) if is_otlp => Dialect::Plain,
        (Some(Place::Traces), Some(Encoding::Protobuf)) => Dialect::Otlp(Encoding::Protobuf),
        _ => Dialect::Native,
    }
}

fn otlp_encoding(media: &str) -> Option<Encoding> {
    match media {
        "application/x-protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

fn route(place: Place, media: &str) -> Result<Route, Fault> {
    let native = media.is_empty() || NATIVE_TYPES.contains(&media);
    match (place, otlp_encoding(media)) {
        (Place::Page(page), _) => Ok(Route::Page(page)),
        (Place::Native(table), _) if native => Ok(Route::Native(table)),
        (Place::Traces, Some(Encoding::Protobuf)) => Ok(Route::Otlp(Signal::Traces, Encoding::Protobuf)),
        (Place::Traces, _) if native => Ok(Route::Traces),
        (Place::Otlp(signal), Some(encoding)) => Ok(Route::Otlp(signal, encoding)),
        (Place::Otlp(signal), None) if media.is_empty() => Ok(Route::Otlp(signal, Encoding::Json)),
        (Place::Otlp(_), None) => Err(unsupported(Dialect::Plain, media)),
        (Place::RetryLetters, _) if media.is_empty() || media == "application/json" => Ok(Route::RetryLetters),
        (Place::Traces | Place::Native(_) | Place::RetryLetters, _) => Err(unsupported(Dialect::Native, media)),
    }
}

/// Says what was expected and what came: `media`, or nothing. To OTLP clients it is said in the words
/// of the OpenTelemetry Collector, which they know.
pub(super) fn unsupported(dialect: Dialect, media: &str) -> Fault {
    /// Longer than the name of any media type that is in use.
    const SHOWN_MAX: usize = 64;
    match dialect {
        Dialect::Native if media.is_empty() => {
            Fault::new(415, "expected Content-Type: application/json, got none, and a body that is not JSON")
        }
        Dialect::Native => {
            let shown: String = media.chars().filter(|c| matches!(c, ' '..='~')).take(SHOWN_MAX).collect();
            Fault::new(415, format!("expected Content-Type: application/json, got \"{shown}\""))
        }
        Dialect::Plain | Dialect::Otlp(_) => {
            Fault::new(415, "unsupported media type, supported: [application/json, application/x-protobuf]")
        }
    }
}

pub(super) fn check_method(method: Method, is_page: bool) -> Result<(), Fault> {
    let (allow, message) = match (is_page, method) {
        (true, Method::Get | Method::Head) => return Ok(()),
        (true, _) => ("GET, HEAD", "method not allowed, supported: [GET, HEAD]"),
        (false, Method::Post) => return Ok(()),
        (false, _) => ("POST", "method not allowed, supported: [POST]"),
    };
    Err(Fault { allow: Some(allow), ..Fault::new(405, message) })
}

pub(super) fn check_expectation(head: &Head) -> Result<(), Fault> {
    match head.expect {
        Expect::Unknown => Err(Fault::new(417, "the only expectation that is met is 100-continue")),
        Expect::Nothing | Expect::Continue => Ok(()),
    }
}

/// Refuses a body by what its client says of its length.
pub(super) fn check_length(head: &Head, body_bytes_max: usize, budget: &Budget) -> Result<(), Fault> {
    let Framing::Fixed(length) = head.framing else { return Ok(()) };
    if length > body_bytes_max as u64 {
        let message = format!("a body may have {body_bytes_max} bytes here, this one has {length}");
        return Err(Fault::new(413, message));
    }
    Ok(budget.check_room(length as usize)?)
}

pub(super) fn nothing_here() -> Fault {
    Fault::new(404, "there is nothing at this path")
}

pub(super) fn is_gzip(head: &Head) -> Result<bool, Fault> {
    let encoding = head.header("content-encoding").unwrap_or_default();
    match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => Err(Fault::new(415, "the only Content-Encoding that is taken is gzip")),
    }
}

fn looks_like_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

pub(super) fn check_token(head: &Head, token: Option<&Secret>) -> Result<(), Fault> {
    const SCHEME: &str = "bearer ";
    let Some(token) = token else { return Ok(()) };
    let sent = head.header("authorization").unwrap_or_default();
    let (scheme, sent) = sent.split_at_checked(SCHEME.len()).unwrap_or_default();
    let is_right = equal_in_constant_time(sent.trim().as_bytes(), token.reveal().as_bytes());
    if scheme.eq_ignore_ascii_case(SCHEME) && is_right {
        return Ok(());
    }
    Err(Fault::new(401, "expected the Authorization header \"Bearer <TRACE_TOKEN>\""))
}

/// Takes as long for a token that is nearly right as for one that is all wrong.
fn equal_in_constant_time(sent: &[u8], token: &[u8]) -> bool {
    let difference = sent.iter().zip(token).fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0 && sent.len() == token.len()
}

/// A web page must not reach us through its visitor's browser, neither under its own name (its DNS
/// may point here) nor from its own origin.
pub(super) fn check_hosts(head: &Head, way: Way, allowed: &[String]) -> Result<(), Fault> {
    let scrapes = way.takes == Takes::Metrics;
    if scrapes && head.header("origin").is_some() {
        return Err(Fault::new(403, "no page in a browser is answered here, and this request has an Origin"));
    }
    let any_host = scrapes && !way.is_loopback;
    if !any_host && head.authority.as_deref().is_some_and(|authority| !is_local(authority, allowed)) {
        return Err(Fault::new(403, "the Host is neither an IP address, localhost nor in TRACE_ALLOWED_HOSTS"));
    }
    match head.header("origin") {
        Some(origin) if !is_own_origin(origin, head.authority.as_deref(), allowed) => Err(Fault::new(
            403,
            "the Origin is neither this machine, the Host that was asked nor in TRACE_ALLOWED_HOSTS",
        )),
        _ => Ok(()),
    }
}

/// Whether a `Host` can only be meant for us: an address, this machine, or what the user says it may be.
fn is_local(authority: &str, allowed: &[String]) -> bool {
    match host_of(authority) {
        Some(Host::Address(_)) => true,
        Some(Host::Name(name)) => is_allowed(name, allowed),
        None => false,
    }
}

/// Whether a page of this origin may talk to us: one of this machine, one that we served ourselves, or
/// one that the user allows. An address alone says nothing: a foreign page may come from one too.
fn is_own_origin(origin: &str, asked: Option<&str>, allowed: &[String]) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let same = asked.is_some_and(|asked| asked.eq_ignore_ascii_case(authority));
    match host_of(authority) {
        Some(Host::Address(address)) => same || address.is_loopback(),
        Some(Host::Name(name)) => is_allowed(name, allowed),
        None => false,
    }
}

fn is_allowed(name: &str, allowed: &[String]) -> bool {
    is_localhost(name) || allowed.iter().any(|a| a.eq_ignore_ascii_case(name))
}

enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

/// The host of `host[:port]`; `None` if it is none.
fn host_of(authority: &str) -> Option<Host<'_>> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (Host::Address(address.parse::<Ipv6Addr>().ok()?.into()), port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            (host.parse::<Ipv4Addr>().map_or(Host::Name(host), |address| Host::Address(address.into())), port)
        }
    };
    let is_port = port.is_empty() || port.strip_prefix(':')?.bytes().all(|b| b.is_ascii_digit());
    is_port.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_allowed_names_are_local() {
        let allowed = ["trace.internal".to_owned()];
        for local in [
            "localhost",
            "LOCALHOST:9090",
            "localhost.:9090",
            "127.0.0.1",
            "10.1.2.3:80",
            "[::1]:9090",
            "[fdaa::1]",
            "Trace.Internal:1",
            "localhost:",
        ] {
            assert!(is_local(local, &allowed), "{local}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "localhost:80:80",
            "[::1",
            "[evil]",
            "127.0.0.1.nip.io",
            "a@localhost",
            "localhost:x",
            "",
            "[::1]x",
        ] {
            assert!(!is_local(foreign, &allowed), "{foreign}");
        }
    }

    #[test]
    fn a_scraper_may_call_us_what_it_likes_from_elsewhere_and_a_page_reads_nothing() {
        let check = |is_loopback, lines: &str| {
            let head = Head::parse(format!("GET /metrics HTTP/1.1\r\n{lines}\r\n").as_bytes()).ok().unwrap();
            check_hosts(&head, Way { takes: Takes::Metrics, is_loopback }, &[]).map_err(|fault| fault.status)
        };
        assert_eq!(check(false, "Host: app.internal:9091\r\n"), Ok(()));
        assert_eq!(check(true, "Host: 127.0.0.1:9091\r\n"), Ok(()));
        assert_eq!(check(true, "Host: rebound.example:9091\r\n"), Err(403), "its name may point to this machine");
        for origin in ["http://localhost", "https://evil.example", "null"] {
            for is_loopback in [true, false] {
                assert_eq!(check(is_loopback, &format!("Host: localhost\r\nOrigin: {origin}\r\n")), Err(403));
            }
        }
    }

    #[test]
    fn a_page_may_talk_to_us_only_from_this_machine_or_from_ourselves() {
        let allowed = ["trace.internal".to_owned()];
        let asked = Some("10.1.2.3:9090");
        for own in [
            "http://localhost:5173",
            "http://127.0.0.1",
            "http://[::1]:80",
            "https://trace.internal",
            "http://10.1.2.3:9090",
        ] {
            assert!(is_own_origin(own, asked, &allowed), "{own}");
        }
        for foreign in [
            "null",
            "",
            "https://evil.example",
            "http://203.0.113.7",
            "http://10.1.2.3:80",
            "http://[2001:db8::1]",
            "file://",
        ] {
            assert!(!is_own_origin(foreign, asked, &allowed), "{foreign}");
        }
    }

    #[test]
    fn a_token_is_equal_only_to_itself() {
        assert!(equal_in_constant_time(b"secret", b"secret"));
        for wrong in [&b""[..], b"secre", b"secrets", b"Secret"] {
            assert!(!equal_in_constant_time(wrong, b"secret"));
        }
    }

    #[test]
    fn the_media_type_decides_who_answers_on_the_shared_path() {
        let traces = |media| route(Place::Traces, media).map_err(|fault| fault.status);
        assert_eq!(traces("application/x-protobuf"), Ok(Route::Otlp(Signal::Traces, Encoding::Protobuf)));
        assert_eq!(traces("application/json"), Ok(Route::Traces));
        assert_eq!(traces(""), Ok(Route::Traces));
        assert_eq!(traces("text/xml"), Err(415));
        let logs = |media| route(Place::Otlp(Signal::Logs), media).map_err(|fault| fault.status);
        assert_eq!(logs("application/json"), Ok(Route::Otlp(Signal::Logs, Encoding::Json)));
        assert_eq!(logs("application/x-ndjson"), Err(415));
    }
}
