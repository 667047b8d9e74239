//! Secrets and what looks like them: tests/data/redaction.

use super::*;

/// Lines of a file of the corpus. A `~` is there so that nobody takes a made-up secret for a real one: it is left out.
fn corpus(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| line.replace('~', ""))
}

/// Kind, what stands before it, the secret, what stands behind it.
fn secrets() -> Vec<(String, String, String, String)> {
    let lines = corpus(include_str!("../../tests/data/redaction/secrets.txt")).map(|line| {
        let line = line.replace("\\n", "\n");
        let (kind, text) = line.split_once('\t').unwrap();
        let (before, rest) = text.split_once('⟦').unwrap_or_else(|| panic!("{text}"));
        let (secret, behind) = rest.split_once('⟧').unwrap();
        (kind.to_owned(), before.to_owned(), secret.to_owned(), behind.to_owned())
    });
    lines.collect()
}

fn look_alikes() -> Vec<String> {
    corpus(include_str!("../../tests/data/redaction/look-alikes.txt")).map(|line| line.replace("\\n", "\n")).collect()
}

/// Whether eight characters of the secret, or all of a shorter one, are in the text.
fn leaks(text: &str, secret: &str) -> bool {
    // The prefix is no secret; neither are the lines around a key.
    let body = secret.trim_start_matches("-----BEGIN").as_bytes();
    let length = body.len().min(8);
    let skipped = body.len().saturating_sub(length).min(16);
    body[skipped..].windows(length).any(|part| find(text.as_bytes(), part).is_some())
}

#[test]
fn every_secret_is_replaced_wherever_it_stands_and_nothing_else() {
    let secrets = secrets();
    assert!(secrets.len() >= 60, "{}", secrets.len());
    for (kind, before, secret, behind) in secrets {
        let mark = format!("[redacted:{kind}]");
        for (left, right) in [("", ""), ("see ", " please"), ("\"", "\""), ("(", ")."), ("\n", "\n"), ("x=1, ", ", y")]
        {
            let text = format!("{left}{before}{secret}{behind}{right}");
            assert_eq!(redact(&text), format!("{left}{before}{mark}{behind}{right}"), "{text}");
        }
    }
}

#[test]
fn what_looks_like_a_secret_and_is_none_stays_as_it_is() {
    let look_alikes = look_alikes();
    assert!(look_alikes.len() >= 60, "{}", look_alikes.len());
    for text in look_alikes {
        assert_eq!(redact(&text), text);
        let quoted = serde_json::json!({ "text": text }).to_string();
        assert_eq!(redact(&quoted), quoted);
    }
}

#[test]
fn nothing_of_a_secret_is_left_wherever_a_text_is_cut() {
    for (_, before, secret, behind) in secrets() {
        let text = format!("lead {before}{secret}{behind} {}", "tail ".repeat(400));
        for max in 0..text.len().min(before.len() + secret.len() + 40) {
            let (short, was_cut) = head(&text, max);
            assert!(short.len() <= max && was_cut, "{max}: {short}");
            assert!(!leaks(&short, &secret), "{max}: {short}");
        }
    }
}

#[test]
fn a_text_is_cut_between_characters_and_says_so() {
    for (text, max, short, was_cut) in [
        ("abc", 3, "abc", false),
        ("abc", 2, "ab", true),
        ("aé", 2, "a", true),
        ("\u{1f600}", 3, "", true),
        ("x", 0, "", true),
    ] {
        assert_eq!(head(text, max), (Cow::Borrowed(short), was_cut));
    }
    let secret = format!("ghp_{}", "a1".repeat(18));
    assert_eq!(head(&secret, 40), (Cow::Owned("[redacted:github-token]".to_owned()), false));
}

#[test]
fn what_was_redacted_once_stays_as_it_is() {
    for (kind, before, _, behind) in secrets() {
        let text = format!("{before}[redacted:{kind}]{behind}");
        assert_eq!(redact(&text), text);
    }
}

#[test]
fn json_stays_json_and_a_member_is_known_by_its_name() {
    for (_, before, secret, behind) in secrets() {
        let text = format!("{before}{secret}{behind}");
        let json =
            serde_json::json!({ "a": [text, { "b": format!("{{\"c\":{}}}", serde_json::json!(text)) }] }).to_string();
        let redacted = redact(&json);
        serde_json::from_str::<serde_json::Value>(&redacted).unwrap_or_else(|e| panic!("{e}: {redacted}"));
        assert!(!leaks(&redacted, &secret), "{redacted}");
    }
    let json = r#"{"user":"u","password":"correct horse","nested":"{\"api_key\":\"abcd1234efgh5678\"}"}"#;
    let wanted = r#"{"user":"u","password":"[redacted:password]","nested":"{\"api_key\":\"[redacted:secret]\"}"}"#;
    assert_eq!(redact(json), wanted);
    let number = r#"{"password":12345678,"token": 1e23456789012345,"secret":[1]}"#;
    assert_eq!(redact(number), number);
}

#[test]
fn any_text_is_looked_at_once_and_never_panics() {
    for part in [
        "sk-",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "Bearer ",
        "token=",
        "eyJ.",
        "a://",
        "1234567890:",
        "SG.",
        "--token ",
        "M.",
        "é=",
        "\"",
    ] {
        let text = part.repeat((2 << 20) / part.len());
        // A text of two million bytes that were looked at for each other would not end within a test.
        let _redacted = redact(&text);
    }
    let mut random = fastrand::Rng::with_seed(7);
    let secrets = secrets();
    for _ in 0..20_000 {
        let (_, before, secret, behind) = &secrets[random.usize(..secrets.len())];
        let mut text: Vec<char> = format!("{before}{secret}{behind}").chars().collect();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..text.len());
            text[at] = *random.choice(&['"', '\\', '-', '.', '=', ':', ' ', 'é', '\u{1f600}', 'A', '7']).unwrap();
        }
        let text: String = text.into_iter().collect();
        let once = redact(&text).into_owned();
        let json = serde_json::json!({ "k": text }).to_string();
        serde_json::from_str::<serde_json::Value>(&redact(&json)).unwrap_or_else(|e| panic!("{e}: {json}"));
        assert_eq!(redact(&once), once, "{text}");
    }
}
