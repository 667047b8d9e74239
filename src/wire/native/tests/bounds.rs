//! What a hostile body can do.

use super::*;

#[test]
fn a_body_of_too_many_items_is_refused_whole() {
    let context = Context { items_max: 2, ..context() };
    let item = "{\"model\":\"m\"}";
    for body in [format!("[{item},{item},{item}]"), format!("{item}\n{item}\n{item}"), "[1,2,3]".into()] {
        let fault = read_in(Table::LlmTraces, body.as_bytes(), &context).unwrap_err();
        assert_eq!(fault, Fault::TooMany { items_max: 2 });
    }
    assert!(read_in(Table::LlmTraces, format!("[{item},{item}]").as_bytes(), &context).is_ok());
}

#[test]
fn texts_are_kept_as_configured_and_cut_on_a_character() {
    let body = r#"{"model":"m","prompt":"aéé","completion":"x"}"#;
    let with = |capture, max_bytes| {
        let context = Context { text: TextConfig { capture, max_bytes }, ..context() };
        let (events, _) = read_in(Table::LlmTraces, body.as_bytes(), &context).unwrap();
        let Kind::LlmTrace(trace) = events[0].kind.clone() else { panic!() };
        (trace.input_text, trace.output_text, trace.text_truncated, trace.attributes)
    };
    assert_eq!(with(Capture::Native, 5), (Some("aéé".into()), Some("x".into()), false, None));
    assert_eq!(with(Capture::All, 4), (Some("aé".into()), Some("x".into()), true, None));
    assert_eq!(with(Capture::Off, 4), (None, None, false, None));
    let off = Context { text: TextConfig { capture: Capture::Off, max_bytes: 9 }, ..context() };
    let body = r#"{"model":"m","input_text":"a","prompt":"b","attributes":{"completion":"c","gen_ai.input.messages":[],"d":1}}"#;
    let (events, _) = read_in(Table::LlmTraces, body.as_bytes(), &off).unwrap();
    let Kind::LlmTrace(trace) = &events[0].kind else { panic!() };
    assert_eq!((trace.input_text.as_deref(), trace.attributes.as_deref()), (None, Some(r#"{"d":1}"#)));
    let long = custom(&format!(r#"{{"name":"{}"}}"#, "n".repeat(5000)));
    assert_eq!((long.name.len(), long.text_truncated), (1024, true));
}

#[test]
fn a_secret_is_known_by_its_name_and_by_itself_wherever_it_stands() {
    let token = format!("ghp{}{}", "_", "a1B2c3D4e5F6".repeat(3));
    let event = custom(
        &r#"{"name":"n TOKEN","body":{"args":["--token","a1B2c3D4e5F6"]},"password":"hunter2xyz","TOKEN":"TOKEN",
             "data":{"inner":{"password":"hunter2xyz","n":1},"text":"{\"api_key\":\"a1B2c3D4e5F6\"}"}}"#
            .replace("TOKEN", &token),
    );
    assert_eq!(&*event.name, "n [redacted:github-token]");
    assert_eq!(event.body.as_deref(), Some(r#"{"args":["--token","[redacted:token]"]}"#));
    let attributes: serde_json::Value = serde_json::from_str(event.attributes.as_deref().unwrap()).unwrap();
    let expected = serde_json::json!({
        "password": "[redacted:password]",
        "[redacted:github-token]": "[redacted:github-token]",
        "inner": { "password": "[redacted:password]", "n": 1 },
        "text": "{\"api_key\":\"[redacted:api-key]\"}",
    });
    assert_eq!(attributes, expected);
    for max_bytes in 0..120 {
        let context = Context { text: TextConfig { capture: Capture::Native, max_bytes }, ..context() };
        let body = format!(r#"{{"model":"m","prompt":"use {token} now","completion":["{token}"]}}"#);
        let (events, _) = read_in(Table::LlmTraces, body.as_bytes(), &context).unwrap();
        let Kind::LlmTrace(trace) = &events[0].kind else { panic!() };
        for text in [&trace.input_text, &trace.output_text].into_iter().flatten() {
            assert!(!text.contains("a1B2c3D4") && text.len() <= max_bytes, "{max_bytes}: {text}");
        }
    }
}

#[test]
fn attributes_are_bounded_and_name_what_they_lost() {
    let many: String = (0..80).map(|n| format!(",\"k{n}\":{n}")).collect();
    let json =
        |event: &CustomEvent| serde_json::from_str::<serde_json::Value>(event.attributes.as_deref().unwrap()).unwrap();
    let event = custom(&format!("{{\"name\":\"n\"{many}}}"));
    let kept = json(&event);
    assert_eq!(kept.as_object().unwrap().len(), 65);
    assert_eq!((&kept["k63"], kept["_dropped"].as_array().unwrap().len()), (&63.into(), 16));

    let text = "é".repeat(3000);
    let event = custom(&format!("{{\"name\":\"n\",\"t\":\"{text}\"}}"));
    assert_eq!((json(&event)["t"].as_str().unwrap().len(), event.text_truncated), (4096, true));

    let event = custom(&format!("{{\"name\":\"n\",\"big\":[\"{text}\"],\"small\":1}}"));
    assert_eq!(event.attributes.as_deref(), Some(r#"{"small":1,"_dropped":["big"]}"#));
    assert!(!event.text_truncated);

    let nested = |depth: usize| format!("{{\"name\":\"n\",\"d\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(custom(&nested(32)).attributes.unwrap().starts_with(r#"{"d":[["#));
    assert_eq!(custom(&nested(33)).attributes.as_deref(), Some(r#"{"_dropped":["d"]}"#));
    assert_eq!(custom(&nested(100_000)).attributes.as_deref(), Some(r#"{"_dropped":["d"]}"#));

    let wide: String = (0..60).map(|n| format!(",\"{}{n}\":\"{}\"", "long".repeat(100), "v".repeat(4000))).collect();
    let event = custom(&format!("{{\"name\":\"n\"{wide}}}"));
    assert!(event.attributes.as_deref().unwrap().len() <= 16 << 10);
    let kept = json(&event);
    let dropped = kept["_dropped"].as_array().unwrap();
    let said: usize = dropped.last().unwrap().as_str().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(kept.as_object().unwrap().len() - 1 + dropped.len() - 1 + said, 60);

    let big: String = (0..40).map(|n| format!(",\"big{n}\":\"{}\"", "v".repeat(4000))).collect();
    let small: String = (0..50).map(|n| format!(",\"small{n}\":{n}")).collect();
    let kept = json(&custom(&format!("{{\"name\":\"n\"{big}{small}}}")));
    assert!((0..50).all(|n| kept[format!("small{n}")] == n), "{kept}");

    let forged = custom(r#"{"name":"n","_dropped":[]}"#);
    assert_eq!(forged.attributes.as_deref(), Some(r#"{"_dropped":["_dropped"]}"#));
}

#[test]
fn an_object_of_too_many_keys_is_rejected() {
    let many = |count: usize| (0..count).map(|n| format!("\"k{n}\":0,")).collect::<String>();
    for body in
        [format!("{{{}\"name\":\"n\"}}", many(256)), format!("{{\"data\":{{{}\"z\":0}},\"name\":\"n\"}}", many(254))]
    {
        let (field, message) = rejection(Table::CustomEvents, &body);
        assert_eq!((field.as_str(), message.as_str()), ("", "expected at most 256 keys, got 257"));
    }
    assert_eq!(custom(&format!("{{{}\"name\":\"n\"}}", many(255))).name, "n".into());
}

#[test]
fn nul_and_half_characters_never_reach_a_row() {
    let event = custom(r#"{"name":"a\u0000b","x":"\ud83d","y":["\u0000"],"k\u0000":1}"#);
    assert_eq!(&*event.name, "a\u{fffd}b");
    assert_eq!(event.attributes.as_deref(), Some("{\"x\":\"\u{fffd}\",\"y\":[\"\u{fffd}\"],\"k\u{fffd}\":1}"));
}

#[test]
fn no_mutation_of_a_body_panics_or_breaks_a_promise() {
    let seeds: [(Table, &str); 3] = [
        (
            Table::LlmTraces,
            r#"{"traces":[{"model":"m","usage":{"input":1,"cacheRead":2,"cost":{"total":0.5}},"error":{"type":"t"},"ts":"2026-11-23T18:32:12.5Z"},{"model":"é\u00e9","attributes":{"gen_ai.usage.input_tokens":"12","deep":[[{"a":[1e3]}]]},"finish_reasons":["stop","x"]}]}"#,
        ),
        (
            Table::CustomEvents,
            "{\"name\":\"n\",\"data\":{\"a\":\"\\ud83d\\ude00\\u0000\"}}\r\n{\"name\":\"o\",\"level\":\"warn\"}\n",
        ),
        (
            Table::ErrorEvents,
            r#"[{"error":{"message":"m","stack":"s"},"handled":true},{"message":"\\\"","code":1.0e0}]"#,
        ),
    ];
    let alphabet = b"{}[]\",:\\u0d8e19.-+eE tfn\xc3\xa9\x00\n";
    let mut random = fastrand::Rng::with_seed(0x0dd_5eed);
    let mut accepted = 0;
    for _ in 0..30_000 {
        let (table, seed) = seeds[random.usize(..seeds.len())];
        let mut body = seed.as_bytes().to_vec();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..body.len());
            let byte = alphabet[random.usize(..alphabet.len())];
            match random.u8(..4) {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                _ => body.copy_within(at..(at + 8).min(seed.len() - 5).max(at), random.usize(..seed.len() - 20)),
            }
        }
        let Ok((events, _)) = read_in(table, &body, &context()) else { continue };
        for event in events {
            accepted += 1;
            let attributes = match event.kind {
                Kind::LlmTrace(trace) => trace.attributes,
                Kind::CustomEvent(event) => event.attributes,
                Kind::ErrorEvent(event) => event.attributes,
                Kind::SystemMetric(_) => None,
            };
            if let Some(json) = attributes {
                assert!(!json.contains(['\0', '\n']), "{json}");
                assert!(serde_json::from_str::<serde_json::Map<_, _>>(&json).is_ok(), "{json}");
            }
        }
    }
    assert!(accepted > 3000, "only {accepted} items of mutated bodies were accepted: the mutations are too wild");
}
