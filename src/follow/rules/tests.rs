use super::*;

const NOW_MS: i64 = 1_795_600_000_000;

/// A line as the gateway writes it.
fn line(level: &str, subsystem: &str, rest: &str) -> String {
    let logger = serde_json::json!({ "subsystem": subsystem }).to_string();
    let logger = serde_json::Value::from(logger);
    format!(
        r#"{{"0":{logger},{rest},"_meta":{{"logLevelName":"{level}","date":"2026-11-24T14:08:37.933Z"}},"time":"2026-11-24T14:08:37.934Z"}}"#
    )
}

fn said(level: &str, subsystem: &str, message: &str) -> Became {
    let message = serde_json::Value::from(message);
    read(line(level, subsystem, &format!("\"1\":{message}")).as_bytes(), 7, NOW_MS)
}

fn custom_of(became: Became) -> Option<CustomEvent> {
    match became {
        Became::Row(event) => match event.kind {
            Kind::CustomEvent(custom) => Some(*custom),
            other => panic!("{other:?}"),
        },
        _ => None,
    }
}

fn error_of(became: Became) -> ErrorEvent {
    match became {
        Became::Row(event) => match event.kind {
            Kind::ErrorEvent(error) => *error,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_happens_to_channels_and_to_the_configuration_becomes_events() {
    for (subsystem, message, name, channel) in [
        ("gateway/channels/telegram", "[default] starting provider (@bot)", "channel.started", Some("telegram")),
        ("whatsapp", "Listening for personal WhatsApp inbound messages.", "channel.started", Some("whatsapp")),
        ("gateway/channels/feishu", "feishu[default]: ws client ready", "channel.connected", Some("feishu")),
        ("discord/gateway", "client initialized, connected as bot", "channel.connected", Some("discord")),
        ("gateway/channels/slack", "socket mode disconnected", "channel.disconnected", Some("slack")),
        ("gateway/channels/whatsapp", "Session logged out. Run login", "channel.logged_out", Some("whatsapp")),
        (
            "gateway/channels/whatsapp",
            "connection closed; reconnecting in 2s",
            "channel.disconnected",
            Some("whatsapp"),
        ),
        ("gateway/channels/whatsapp", "Reconnecting (attempt 2/12)", "channel.reconnect", Some("whatsapp")),
        ("gateway/channels/telegram", "[default] auto-restart attempt 1/10 in 5s", "channel.restart", Some("telegram")),
        ("gateway/channels", "restarting telegram channel", "channel.restart", None),
        ("gateway/health-monitor", "[telegram:default] health-monitor: restarting", "channel.restart", None),
        (
            "gateway/channels/telegram",
            "webhook registered at https://example.test",
            "channel.webhook",
            Some("telegram"),
        ),
        ("gateway/channels/telegram", "webhook local listener on :8787, stopped", "channel.stopped", Some("telegram")),
        ("gateway/reload", "config change detected; evaluating reload (gateway.bind)", "config.changed", None),
        ("gateway/reload", "config hot reload applied (models)", "config.reloaded", None),
        ("gateway/reload", "config change applied (dynamic reads: a.b)", "config.reloaded", None),
        ("gateway/reload", "config change requires gateway restart (a.b)", "config.restart_required", None),
        ("gateway/reload", "config reload skipped (invalid config): a.b", "config.reload_skipped", None),
        ("anything", "Config overwrite: /home/x/openclaw.json (sha256 a -> b)", "config.written", None),
    ] {
        for level in ["INFO", "WARN"] {
            let custom = custom_of(said(level, subsystem, message)).unwrap_or_else(|| panic!("{message}"));
            assert_eq!(*custom.name, *format!("openclaw.{name}"), "{message}");
            assert_eq!(custom.body.as_deref(), Some(message));
            assert_eq!((custom.timestamp_ms, custom.source), (1_795_529_317_934, Source::OpenclawLog));
            assert_eq!(custom.severity.map(Severity::as_str), Some(&*level.to_lowercase()));
            let attributes: serde_json::Value = serde_json::from_str(&custom.attributes.unwrap()).unwrap();
            assert_eq!(attributes["subsystem"], subsystem);
            assert_eq!(attributes["channel"].as_str(), channel, "{message}");
        }
        assert_eq!(said("DEBUG", subsystem, message), Became::Nothing(subsystem.to_owned()));
    }
}

#[test]
fn lines_about_somebodys_message_and_other_subsystems_become_nothing() {
    for (subsystem, message) in [
        ("gateway/channels/feishu", "feishu[default]: DM from ou_1: my router disconnected and was restarted"),
        ("gateway/channels/feishu", "received message from ou_1: it is not connected"),
        ("gateway/channels/telegram", "webhook processed chatId=1 duration=2340ms, logged out"),
        ("gateway/channels/feishu", "dispatch complete (queuedFinal=false, replies=0), connected"),
        ("gateway/channels/telegram", "nothing of note"),
        ("gateway/ws", "webchat connected conn=1"),
        ("gateway/heartbeat", "heartbeat: started"),
        ("cron", "change detected; reload applied"),
        ("gateway/reload", "restart required"),
        ("", "disconnected"),
    ] {
        let counted_under = if subsystem.is_empty() { NO_SUBSYSTEM } else { subsystem };
        assert_eq!(said("WARN", subsystem, message), Became::Nothing(counted_under.to_owned()), "{message}");
    }
}

#[test]
fn errors_become_rows_with_their_class_and_their_cause() {
    let plain = error_of(said("ERROR", "gateway/reload", "config reload failed: nonsense"));
    assert_eq!((&*plain.message, plain.severity), ("config reload failed: nonsense", Severity::Error));
    assert_eq!(
        (plain.error_type.as_deref(), plain.component.as_deref()),
        (Some("gateway/reload"), Some("gateway/reload"))
    );
    assert_eq!((plain.attributes, plain.text_truncated, plain.source), (None, false, Source::OpenclawLog));

    let thrown = r#""1":{"nativeError":{},"name":"TypeError","message":"x is no function","stack":[{"method":"f","filePathWithLine":"a.js:1"}]}"#;
    let thrown = error_of(read(line("FATAL", "plugins", thrown).as_bytes(), 0, NOW_MS));
    assert_eq!((thrown.error_type.as_deref(), &*thrown.message), (Some("TypeError"), "x is no function"));
    assert_eq!((thrown.stacktrace.as_deref(), thrown.severity), (Some("at f a.js:1"), Severity::Fatal));

    let ended = r#""1":{"event":"embedded_run_agent_end","runId":"r1","isError":true,"error":"try later","failoverReason":"rate_limit","model":"m","provider":"p","rawErrorPreview":"429 limit","sessionId":"s1","secretThing":"no"},"2":"embedded run agent end","agent_id":"main","traceId":"0123456789ABCDEF0123456789abcdef","spanId":"0000000000000000""#;
    let cause = error_of(read(line("WARN", "agent/embedded", ended).as_bytes(), 0, NOW_MS));
    assert_eq!((cause.error_type.as_deref(), &*cause.message), (Some("rate_limit"), "429 limit"));
    assert_eq!((cause.severity, cause.conversation_id.as_deref()), (Severity::Warn, Some("s1")));
    assert_eq!((cause.agent_id.as_deref(), cause.component.as_deref()), (Some("main"), Some("agent/embedded")));
    assert_eq!((cause.otel_trace_id.as_deref(), cause.otel_span_id), (Some("0123456789abcdef0123456789abcdef"), None));
    let attributes: serde_json::Value = serde_json::from_str(&cause.attributes.unwrap()).unwrap();
    let wanted = serde_json::json!({"event": "embedded_run_agent_end", "runId": "r1", "model": "m", "provider": "p",
        "failoverReason": "rate_limit"});
    assert_eq!(attributes, wanted);

    let good = ended.replace("\"isError\":true", "\"isError\":false");
    assert_eq!(
        read(line("WARN", "agent/embedded", &good).as_bytes(), 0, NOW_MS),
        Became::Nothing("agent/embedded".into())
    );
}

#[test]
fn an_error_that_says_nothing_and_has_no_time_is_a_row_all_the_same() {
    let error = error_of(read(br#"{"_meta":{"logLevelName":"ERROR"}}"#, 0, NOW_MS));
    assert_eq!((&*error.message, error.timestamp_ms, error.error_type), (NO_MESSAGE, NOW_MS, None));
}

#[test]
fn the_same_line_at_the_same_place_is_the_same_row_whenever_it_is_read() {
    let id = |bytes: &[u8], offset, now_ms| match read(bytes, offset, now_ms) {
        Became::Row(event) => event.id,
        other => panic!("{other:?}"),
    };
    for text in [line("ERROR", "a", "\"1\":\"x\""), r#"{"_meta":{"logLevelName":"ERROR"}}"#.to_owned()] {
        let first = id(text.as_bytes(), 9, NOW_MS);
        assert_eq!(first, id(text.as_bytes(), 9, NOW_MS + 60_000));
        assert_ne!(first, id(text.as_bytes(), 10, NOW_MS), "the same text twice in one file is two rows");
    }
}

#[test]
fn texts_are_cut_between_two_characters_and_marked() {
    let long = "\u{1f600}".repeat(10_000);
    let error = error_of(said("ERROR", &long, &format!("a{long}")));
    assert!(error.text_truncated);
    assert_eq!(error.message.len(), MESSAGE_BYTES_MAX - 3);
    assert_eq!(error.component.unwrap().len(), LABEL_BYTES_MAX);
    let nul = error_of(said("ERROR", "a", "x\0y"));
    assert_eq!((&*nul.message, nul.text_truncated), ("x\u{fffd}y", false));
}

#[test]
fn no_line_makes_it_panic() {
    let whole = line(
        "ERROR",
        "gateway/channels/telegram",
        r#""1":{"name":"Error","message":"m\ud83d","stack":[{"method":"f"}],"isError":true},"2":"config é 😀 changed","traceId":"x""#,
    );
    for end in 0..whole.len() {
        read(&whole.as_bytes()[..end], 0, NOW_MS);
        read(&whole.as_bytes()[end..], u64::MAX, NOW_MS);
    }
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20_000 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.choice(*b"\"\\{}[],:u0\xff\xed").unwrap()),
            }
        }
        read(&bytes, 0, NOW_MS);
    }
    let deep =
        format!("{{\"0\":{}1{},\"_meta\":{{\"logLevelName\":\"ERROR\"}}}}", "[".repeat(50_000), "]".repeat(50_000));
    error_of(read(deep.as_bytes(), 0, NOW_MS));
}

#[test]
fn no_secret_of_a_line_is_in_its_row() {
    let token = format!("ghp{}{}", "_", "a1B2c3D4e5F6".repeat(3));
    let error =
        error_of(said("ERROR", "gateway", &format!("push failed with {token}\n    at url https://u:hunter2xyz@h/")));
    let custom =
        custom_of(said("INFO", "gateway/reload", &format!("config change detected; evaluating reload ({token})")));
    let rows = format!("{error:?} {custom:?}");
    assert!(!rows.contains("a1B2c3D4") && !rows.contains("hunter2xyz"), "{rows}");
    assert_eq!(rows.matches("[redacted:github-token]").count(), 2, "{rows}");
}
