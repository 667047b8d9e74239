//! OTLP/HTTP to the letter: the rows of its specification (1.11.0) and what the OpenTelemetry Collector answers, one
//! after the other, over a socket.

use openclaw_trace::http::Limits;
use openclaw_trace::queue;

use super::{gzip, otlp, post};
use crate::support::otlp::spans;
use crate::support::server::{Answer, Server, Setup, until};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const ENCODINGS: [&str; 2] = [PROTOBUF, JSON];
const SIGNALS: [&str; 3] = ["traces", "logs", "metrics"];

/// Every path at which OTLP is taken on the main port.
fn paths() -> impl Iterator<Item = String> {
    ["/v1/", "/otlp/v1/"].into_iter().flat_map(|base| SIGNALS.map(|signal| format!("{base}{signal}")))
}

/// JSON on /v1/traces could be native, and a refusal before its body is read is native then.
fn is_shared(path: &str, media: &str) -> bool {
    path == "/v1/traces" && media == JSON
}

/// Asserts that this is a google.rpc.Status in that encoding.
fn assert_status(answer: &Answer, status: u16, code: u8, media: &str, what: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (status, Some(media)), "{what}: {answer:?}");
    if media == JSON {
        let body = answer.json();
        assert_eq!(body["code"], code, "{what}: {body}");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {body}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{what}: {body}");
    } else {
        // Field 1: the code, a varint. Field 2: the message, its length and its bytes.
        let message = &answer.body[3..];
        let length = if message[0] < 0x80 { 1 } else { 2 };
        assert_eq!(answer.body[..3], [0x08, code, 0x12], "{what}: {answer:?}");
        assert!(str::from_utf8(&message[length..]).is_ok_and(|text| !text.is_empty()), "{what}: {answer:?}");
    }
}

#[test]
fn a_full_success_and_an_empty_request_are_the_empty_response() {
    let server = Server::start(Setup::default());
    for path in paths() {
        for media in
            ["application/x-protobuf", "Application/X-Protobuf", "application/json", "application/json; charset=utf-8"]
        {
            let is_json = media.contains("json");
            let (empty, expected) = if is_json { (&b"{}"[..], &b"{}"[..]) } else { (&b""[..], &b""[..]) };
            let answers = [
                server.ask(otlp(&path, media, "", empty)),
                server.ask(otlp(&path, media, "Content-Encoding: gzip\r\n", &gzip(empty))),
                server.ask(otlp(&path, media, "Content-Encoding: identity\r\nAccept-Encoding: gzip\r\n", empty)),
            ];
            for answer in answers {
                let wanted = if is_json { JSON } else { PROTOBUF };
                assert_eq!((answer.status, answer.header("content-type")), (200, Some(wanted)), "{path} {media}");
                assert_eq!(answer.body, expected, "{path} {media}");
                assert_eq!(answer.header("content-encoding"), None);
            }
        }
    }
    let stored = server.ask(otlp("/v1/traces", PROTOBUF, "", &spans("ss")));
    assert_eq!((stored.status, stored.body.len(), server.stored()), (200, 0, 2));
    let ledger = server.stats.ledger();
    assert_eq!((ledger.offered, ledger.stored, ledger.invalid), (2, 2, 0), "an empty request is of nothing");
}

#[test]
fn bad_data_is_a_400_with_a_status_in_the_type_of_the_request() {
    let server = Server::start(Setup::default());
    for path in paths() {
        for media in ENCODINGS {
            let what = format!("{path} {media}");
            let shared = is_shared(&path, media);
            if !shared {
                assert_status(&server.ask(otlp(&path, media, "", b"\xff!")), 400, 3, media, &what);
                // No JSON at all is no empty request.
                if media == JSON {
                    assert_status(&server.ask(otlp(&path, media, "", b"")), 400, 3, media, &what);
                }
                let answer = server.ask(otlp(&path, media, "Content-Encoding: gzip\r\n", b"this is no gzip"));
                assert_status(&answer, 400, 3, media, &what);
                if media == JSON {
                    assert_eq!(answer.text(), r#"{"code":3,"message":"gzip: invalid header"}"#, "{what}");
                }
                let cut = &gzip(b"{}")[..12];
                assert_status(&server.ask(otlp(&path, media, "Content-Encoding: gzip\r\n", cut)), 400, 3, media, &what);
                let answer = server.ask(otlp(&path, media, "Content-Encoding: br\r\n", b"{}"));
                assert_status(&answer, 415, 3, media, &what);
            }
            if media == JSON {
                let snake = server.ask(otlp(&path, media, "", br#"{"resource_spans":[{}]}"#));
                assert_status(&snake, 400, 3, media, &what);
                assert!(snake.text().contains("lowerCamelCase"), "{what}: {}", snake.text());
            }
        }
    }
    assert_eq!(server.stored(), 0);
}

#[test]
fn a_body_past_its_limit_is_a_413_on_the_wire_and_after_inflating() {
    let server = Server::with_limits(|limits| {
        limits.native_bytes_max = 1 << 10;
        limits.otlp_bytes_max = 2 << 10;
        limits.inflated_bytes_max = 64 << 10;
    });
    let large = vec![b' '; (2 << 10) + 1];
    let bomb = gzip(&vec![b' '; (64 << 10) + 1]);
    assert!(bomb.len() < 1 << 10);
    for path in paths() {
        for media in ENCODINGS.into_iter().filter(|media| !is_shared(&path, media)) {
            let what = format!("{path} {media}");
            let known = server.ask(otlp(&path, media, "", &large));
            assert_status(&known, 413, 8, media, &what);
            let chunked = [
                format!(
                    "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\n\
                     Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                    large.len()
                )
                .as_bytes(),
                &large,
                b"\r\n0\r\n\r\n",
            ]
            .concat();
            assert_status(&server.ask(chunked), 413, 8, media, &what);
            let inflated = server.ask(otlp(&path, media, "Content-Encoding: gzip\r\n", &bomb));
            assert_status(&inflated, 413, 8, media, &what);
        }
    }
    assert_eq!(server.stored(), 0);
}

#[test]
fn who_may_not_ask_is_told_so_with_a_status() {
    let server = Server::start(Setup { vars: &[("TRACE_TOKEN", "secret")], ..Setup::default() });
    for path in paths() {
        for media in ENCODINGS.into_iter().filter(|media| !is_shared(&path, media)) {
            let what = format!("{path} {media}");
            let answer = server.ask(otlp(&path, media, "", b""));
            assert_status(&answer, 401, 16, media, &what);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{what}");
            let foreign = "Origin: http://evil.example\r\nAuthorization: Bearer secret\r\n";
            assert_status(&server.ask(otlp(&path, media, foreign, b"")), 403, 7, media, &what);
        }
    }
}

#[test]
fn no_room_is_a_503_that_says_when_and_nothing_of_it_is_stored() {
    let limits = queue::Limits { events_max: 2, ..queue::Limits::default() };
    let server = Server::start(Setup { queue: limits, ..Setup::default() });
    server.let_writer_run(false);
    let mut waiting = server.client();
    waiting.send(otlp("/v1/traces", PROTOBUF, "", &spans("ss")));
    until("the queue is full", || server.stats.queue.events.value() == 2);
    let body = spans("s");
    let json = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101",
        "spanId":"0202020202020202","name":"openclaw.model.call"}]}]}]}"#;
    for path in ["/v1/traces", "/otlp/v1/traces"] {
        for (media, body) in [(PROTOBUF, &body[..]), (JSON, &json[..])] {
            let answer = server.ask(otlp(path, media, "", body));
            assert_status(&answer, 503, 14, media, path);
            assert_eq!(answer.header("retry-after"), Some("1"), "{path} {media}");
        }
    }
    let refused = server.stats.ledger().refused.iter().sum::<u64>();
    assert_eq!(refused, 4);
    server.let_writer_run(true);
    assert_eq!(waiting.answer().status, 200);
    assert_eq!(server.stored(), 2, "nothing of what was refused");
    assert_eq!(server.ask(otlp("/v1/traces", PROTOBUF, "", &body)).status, 200, "the same again is taken");
}

#[test]
fn another_type_or_method_is_answered_in_the_words_of_the_collector() {
    const TYPES: &str = "415 unsupported media type, supported: [application/json, application/x-protobuf]";
    const METHODS: &str = "405 method not allowed, supported: [POST]";
    let server = Server::start(Setup::default());
    for path in paths().filter(|path| path != "/v1/traces") {
        for media in ["text/plain", "application/x-protobuf-x", "application/json-seq"] {
            let answer = server.ask(otlp(&path, media, "", b"{}"));
            assert_eq!((answer.status, answer.text()), (415, TYPES), "{path} {media}");
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        }
        let untyped = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n\n\x0b");
        assert_eq!((server.ask(&untyped).status, server.ask(&untyped).text()), (415, TYPES), "{path}");
        for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
            let answer = server.ask(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            assert_eq!((answer.status, answer.text(), answer.header("allow")), (405, METHODS, Some("POST")), "{path}");
        }
        let put = server.ask(format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {JSON}\r\n\r\n"));
        assert_status(&put, 405, 12, JSON, &path);
    }
}

#[test]
fn json_of_another_signal_is_an_empty_request_with_a_warning_where_the_path_is_otlps_alone() {
    let server = Server::start(Setup::default());
    let shared = server.ask(otlp("/v1/traces", JSON, "", br#"{"resourceLogs":[{}]}"#));
    assert_status(&shared, 400, 3, JSON, "native JSON comes to that path too");
    let mut warned = 0;
    for path in paths().filter(|path| path != "/v1/traces") {
        for other in ["resourceSpans", "resourceLogs", "resourceMetrics"] {
            let own = path.contains(&other["resource".len()..].to_ascii_lowercase())
                || (path.ends_with("traces") && other == "resourceSpans");
            let answer = server.ask(otlp(&path, JSON, "", format!(r#"{{"{other}":[]}}"#).as_bytes()));
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(JSON)), "{path} {other}");
            let body = answer.json();
            let partial = &body["partialSuccess"];
            assert_eq!(own, partial.is_null(), "{path} {other}: {body}");
            if !own {
                warned += 1;
                assert!(
                    partial["errorMessage"].as_str().is_some_and(|text| text.contains("nothing is taken")),
                    "{body}"
                );
                assert!(partial["rejectedSpans"].is_null(), "a warning, and no rejection: {body}");
            }
        }
    }
    assert_eq!(server.stats.ignored_names().get("otlp.wrong_signal"), Some(&warned));
    assert_eq!(warned, 10);
}

#[test]
fn logs_and_metrics_that_come_as_protobuf_to_the_traces_path_never_become_rows() {
    let server = Server::start(Setup::default());
    // LogRecord: time_unix_nano, severity_number, body; as bytes, a span without ids.
    let log = b"\x0a\x15\x12\x13\x12\x11\x09\x01\0\0\0\0\0\0\0\x10\x09\x2a\x04\x0a\x02hi";
    // Metric: its name is where a span has its trace id.
    let metric = b"\x0a\x17\x12\x15\x12\x13\x0a\x0fopenclaw.tokens\x3a\0";
    for body in [&log[..], metric] {
        assert_status(&server.ask(otlp("/v1/traces", PROTOBUF, "", body)), 400, 3, PROTOBUF, "no row");
    }
    assert_eq!((server.stored(), server.stats.ledger().invalid), (0, 2));
}

#[test]
fn the_second_port_takes_otlp_and_health_and_nothing_else() {
    let server = Server::start(Setup::default());
    for signal in SIGNALS {
        let path = format!("/v1/{signal}");
        assert_eq!(server.ask_otlp(otlp(&path, PROTOBUF, "", b"")).status, 200);
        assert_eq!(server.ask_otlp(otlp(&path, JSON, "", b"{}")).text(), "{}");
    }
    assert_eq!(server.ask_otlp(otlp("/v1/traces", PROTOBUF, "", &spans("s"))).status, 200);
    assert_eq!(server.stored(), 1);
    // A native body there is an OTLP request of unknown names, which is an empty one: who sends it is warned.
    let native = server.ask_otlp(post("/v1/traces", "", r#"{"model":"m"}"#));
    assert_eq!((native.status, server.stored()), (200, 1));
    assert!(native.json()["partialSuccess"]["errorMessage"].is_string(), "{}", native.text());
    assert_status(&server.ask_otlp(post("/v1/traces", "", r#"[{"model":"m"}]"#)), 400, 3, JSON, "an array");
    let warned = server.ask_otlp(otlp("/v1/traces", JSON, "", br#"{"resourceLogs":[{}]}"#));
    assert!(warned.json()["partialSuccess"]["errorMessage"].is_string(), "{}", warned.text());
    let text = server.ask_otlp(otlp("/v1/traces", "text/plain", "", b"a"));
    assert_eq!((text.status, text.text().starts_with("415 ")), (415, true));
    for path in ["/v1/events", "/v1/errors", "/otlp/v1/traces", "/", "/openapi.json"] {
        assert_status(&server.ask_otlp(post(path, "", "{}")), 404, 5, JSON, path);
        let plain = server.ask_otlp(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!((plain.status, plain.text()), (404, "404 there is nothing at this path"));
    }
    let health = server.ask_otlp("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((health.status, &health.json()["status"]), (200, &"ok".into()));
}

#[test]
fn the_second_port_has_the_rules_and_the_limits_of_the_first() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let server = Server::start(Setup { limits, vars: &[("TRACE_TOKEN", "secret")], ..Setup::default() });
    let alone = || until("nobody is there", || server.stats.http.connections.value() == 0);
    assert_status(&server.ask_otlp(otlp("/v1/traces", JSON, "", b"{}")), 401, 16, JSON, "the token");
    alone();
    let foreign = "Origin: http://evil.example\r\nAuthorization: Bearer secret\r\n";
    assert_status(&server.ask_otlp(otlp("/v1/traces", JSON, foreign, b"{}")), 403, 7, JSON, "the origin");
    alone();
    let mut first = server.client();
    first.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(first.answer().status, 200);
    let refused = server.ask_otlp(otlp("/v1/traces", JSON, "Authorization: Bearer secret\r\n", b"{}"));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "one connection over both ports");
}
