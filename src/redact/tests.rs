//! What the redaction is held to: the texts of tests/data/redaction.

use std::borrow::Cow;

use super::text::STEPS;
use super::*;

/// One line of the corpus of secrets.
struct Sample {
    kind: &'static str,
    text: String,
    /// What must not survive.
    parts: Vec<String>,
}

fn samples() -> Vec<Sample> {
    let lines = include_str!("../../tests/data/redaction/secrets").lines();
    let samples: Vec<Sample> = lines
        .map(|line| {
            let (kind, text) = line.split_once('\t').unwrap();
            assert!(text.contains("{}"), "this one would be found in the repository: {text}");
            let text = text.replace("{}", "").replace('⏎', "\n");
            let parts = text.split("<<").skip(1).map(|rest| rest.split_once(">>").unwrap().0.to_owned()).collect();
            Sample { kind, text: text.replace("<<", "").replace(">>", ""), parts }
        })
        .collect();
    assert!(samples.len() >= 60);
    samples
}

fn lookalikes() -> Vec<String> {
    let lines = include_str!("../../tests/data/redaction/lookalikes").lines();
    let lookalikes: Vec<String> = lines.map(|line| line.replace('⏎', "\n")).collect();
    assert!(lookalikes.len() >= 60);
    lookalikes
}

/// Asserts that no 8 characters of a secret are in `text`.
fn assert_gone(sample: &Sample, text: &str, what: &str) {
    for part in &sample.parts {
        let part: Vec<char> = part.chars().collect();
        for piece in part.windows(8.min(part.len())) {
            let piece: String = piece.iter().collect();
            assert!(!text.contains(&piece), "{}, {what}: {piece} is left in {text}", sample.kind);
        }
    }
}

fn in_json(text: &str) -> String {
    serde_json::json!({ "messages": [{ "role": "user", "content": text }], "n": 1 }).to_string()
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[test]
fn every_secret_is_gone_wherever_it_stands_and_its_mark_names_its_kind() {
    for sample in samples() {
        let text = &sample.text;
        let mark = format!("[redacted:{}]", sample.kind);
        for (what, around) in [
            ("alone", text.clone()),
            ("in prose", format!("Please use this one: {text} and tell nobody.")),
            ("at the end", format!("first line\nsecond line\t{text}")),
            ("on lines of its own", format!("a\n{text}\nb")),
            ("twice", format!("{text} {text}")),
        ] {
            let redacted = redact(&around);
            assert_gone(&sample, &redacted, what);
            assert!(redacted.contains(&mark), "{what}: {redacted} lacks {mark}");
            for (what, json) in [("in JSON", in_json(&around)), ("in JSON in JSON", in_json(&in_json(&around)))] {
                let redacted = redact(&json);
                assert_gone(&sample, &redacted, what);
                assert!(redacted.contains(&mark), "{what}: {redacted} lacks {mark}");
                assert!(is_json(&redacted), "{what}: {redacted}");
            }
        }
    }
}

#[test]
fn no_lookalike_is_touched() {
    let all = lookalikes();
    for text in all.iter().chain([&all.join("\n"), &all.join(" ")]) {
        assert_eq!(redact(text), *text);
        assert!(matches!(redact(text), Cow::Borrowed(_)));
        let json = in_json(text);
        assert_eq!(redact(&json), json);
    }
}

#[test]
fn a_cut_leaves_nothing_of_a_secret_and_is_the_cut_of_the_whole() {
    for sample in samples() {
        for text in [sample.text.clone(), format!("für {} danach, und mehr Text", sample.text), in_json(&sample.text)]
        {
            let whole = redact(&text);
            for bytes_max in 0..text.len() + 20 {
                let (cut, is_cut) = redact_to(&text, bytes_max);
                assert_gone(&sample, &cut, &format!("cut at {bytes_max}"));
                assert_eq!(cut, whole[..whole.floor_char_boundary(bytes_max)], "{} at {bytes_max}", sample.kind);
                assert_eq!(is_cut, cut.len() < whole.len(), "{} at {bytes_max}", sample.kind);
            }
        }
    }
}

#[test]
fn to_redact_twice_is_to_redact_once() {
    for sample in samples() {
        for text in [sample.text.clone(), in_json(&sample.text)] {
            let once = redact(&text).into_owned();
            assert_eq!(redact(&once), once);
        }
    }
    // As a whole too dull to be a key; what is left of it before the mark would not be.
    let dull = format!("sk-aaaa1bbbb2cccc3dddd4-xai{}{}", "-", "a".repeat(44));
    let once = redact(&dull).into_owned();
    assert_eq!(once, "sk-aaaa1bbbb2cccc3dddd4-[redacted:xai-key]");
    assert_eq!(redact(&once), once);
}

#[test]
fn a_field_whose_name_tells_a_secret_is_one_as_a_whole() {
    for (name, value, expected) in [
        ("password", "hunter2xyz", "[redacted:password]"),
        ("db.password", "Tr0ub4dor&3 \"x\"", "Tr0ub4dor&3 \"x\""),
        ("Api-Key", "a1b2c3d4e5f6g7h8", "[redacted:api-key]"),
        ("error.access_token", "a1b2c3d4e5f6g7h8", "[redacted:token]"),
        ("password", "required", "required"),
        ("token", "1200", "1200"),
        ("tokens", "a1b2c3d4e5f6g7h8", "a1b2c3d4e5f6g7h8"),
        ("note", "a1b2c3d4e5f6g7h8", "a1b2c3d4e5f6g7h8"),
        ("note", "password=hunter2xyz", "password=[redacted:password]"),
        ("password", "[redacted:password]", "[redacted:password]"),
    ] {
        assert_eq!(redact_value(name, value, 100), (expected.into(), false), "{name}: {value}");
    }
    assert_eq!(redact_value("password", "hunter2xyz", 5), ("[reda".into(), true));
    assert_eq!(redact_value("password", &"hunter2xyz".repeat(100), 100).0, "[redacted:password]");
}

#[test]
fn a_secret_behind_an_escape_is_found_and_the_escape_stays() {
    let token = format!("npm{}{}", "_", "a1B2c3D4e5F6".repeat(3));
    for (before, kept) in [
        ("\\n", "\\n"),
        ("\\u0022", "\\u0022"),
        ("key%3D", "key%3D"),
        ("\u{1b}[1;32m", "\u{1b}[1;32m"),
        ("\\\\", "\\\\"),
    ] {
        assert_eq!(redact(&format!("{before}{token}")), format!("{kept}[redacted:npm-token]"));
    }
    // The line feed stays, and so does the JSON.
    assert_eq!(redact(&format!("\"x\\{token}\"")), "\"x\\n[redacted:npm-token]\"");
    assert_eq!(redact(&format!("x{token}")), format!("x{token}"), "a word of its own that ends so");
}

/// The worst there is of each kind.
const MEGABYTES: [&str; 5] = ["sk-", "-----BEGIN", "Bearer ", "token=", "eyJhbGciOiJIUzI1NiJ9."];

#[test]
fn the_work_is_in_proportion_to_the_text_whatever_it_is() {
    for unit in [
        "sk-",
        "-----BEGIN",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\"",
        "-",
        "Bearer ",
        "bearer Bearer",
        "Basic ",
        "basic dXNlcjpwYXNz",
        "eyJ.",
        "eyJ-",
        "eyJ",
        "eyJhbGciOiJIUzI1NiJ9.",
        "eyJhbGciOiJIUzI1NiJ9_.x.",
        "token=",
        "token='",
        "token=`'",
        "token=\"",
        "\"token\":",
        "token = A1b2C3d4E5f6G7(",
        "token=A1b2C3d4E5f6G7",
        "=",
        ":",
        "--token ",
        "--token --",
        "--token=",
        "a://b:c",
        "://u:p@",
        "a://u@",
        "@",
        "://",
        "\\",
        "\\\\n",
        "\\\"token\\\":",
        "ghp_",
        "_",
        "1234567890:AA",
        "M.",
        "MTA5ODc2NTQzMjEwOTg3NjU0Mw.",
        "....",
        "AKIA",
        "SK",
        "dapi",
        "AIza",
        "xoxb-1-",
        "hooks.slack.com/services/",
        "[redacted:",
        "token=[redacted:",
        "é",
        "a1B2-c3D4_",
        "m[1;1m",
        "%3D",
        "p",
        "b",
        "api_key.",
    ] {
        let bytes = if MEGABYTES.contains(&unit) { 1 << 20 } else { 1 << 15 };
        for text in [unit.repeat(bytes / unit.len()), format!("{}{unit}", "A1b2".repeat(1 << 13))] {
            let steps = steps_of(|| drop(redact(&text)));
            assert!(steps <= 200 * text.len(), "{unit:?}: {} steps a byte", steps / text.len());
        }
    }
}

#[test]
fn of_a_long_text_only_what_is_kept_is_looked_at() {
    let text = "The quick brown fox; key: value. ".repeat(1 << 16);
    assert!(steps_of(|| drop(redact_to(&text, 1000))) < 10_000);
}

fn steps_of(work: impl FnOnce()) -> usize {
    STEPS.set(0);
    work();
    STEPS.get()
}

#[test]
fn whatever_the_text_nothing_panics_json_stays_json_and_twice_is_once() {
    let pieces: Vec<String> =
        samples().into_iter().flat_map(|sample| [sample.text.clone(), sample.parts[0].clone()]).collect();
    let glue = [
        "",
        " ",
        "\n",
        "\"",
        "'",
        "`",
        "\\",
        "=",
        ":",
        ": \"",
        "://",
        "@",
        "-",
        "--",
        "_",
        ".",
        "[",
        "(",
        "&",
        "%3D",
        "ü",
        "token",
        "password",
        "api_key",
        "Bearer ",
        "basic ",
        "sk-",
        "ghp_",
        "eyJ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END",
        "[redacted:x]",
        "A1b2C3d4E5f6",
        "1234567890",
        "\u{1b}[1m",
        "null",
        "true",
        "\u{1}",
        "n",
        "m",
    ];
    let mut random = fastrand::Rng::with_seed(0x5ec_2e7);
    for round in 0..20_000 {
        let mut text = String::new();
        for _ in 0..random.usize(1..8) {
            let piece = &pieces[random.usize(..pieces.len())];
            let from = piece.floor_char_boundary(random.usize(..=piece.len()));
            let to = piece.floor_char_boundary(random.usize(from..=piece.len())).max(from);
            match random.u8(..4) {
                0 => text.push_str(piece),
                1 => text.push_str(&piece[from..to]),
                _ => text.push_str(glue[random.usize(..glue.len())]),
            }
        }
        let once = redact(&text).into_owned();
        assert_eq!(redact(&once), once, "round {round}: {text:?}");
        let max = random.usize(..=text.len());
        assert_eq!(redact_to(&text, max).0, once[..once.floor_char_boundary(max)], "round {round}: {text:?} at {max}");
        let json = serde_json::json!({ "a": [text], &text: text }).to_string();
        let redacted = redact(&json);
        assert!(is_json(&redacted), "round {round}: {json} became {redacted}");
        assert_eq!(redact(&redacted), redacted, "round {round}: {json}");
    }
}
