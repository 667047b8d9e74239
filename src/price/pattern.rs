//! Patterns of names: `gpt-4o` itself, `gpt-4o*` what begins so, `*nova-lite*` what has it inside, `*-fast` what ends
//! so; `#` stands for one digit.

/// Whether the pattern says more than its own text.
pub(super) fn is_open(pattern: &str) -> bool {
    pattern.contains(['*', '#'])
}

/// Whether it is one: lower case, with stars at its ends alone, and more than stars.
pub(super) fn is_pattern(text: &str) -> bool {
    let body = body(text);
    !body.is_empty() && !body.contains(['*', '!', '"']) && !body.contains(char::is_uppercase)
}

/// Whether a name, in lower case, is of the pattern.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let body = body(pattern).as_bytes();
    let name = name.as_bytes();
    let Some(longer) = name.len().checked_sub(body.len()) else { return false };
    match (pattern.starts_with('*'), pattern.ends_with('*')) {
        (false, false) => longer == 0 && same(body, name),
        (false, true) => same(body, &name[..body.len()]),
        (true, false) => same(body, &name[longer..]),
        (true, true) => name.windows(body.len()).any(|part| same(body, part)),
    }
}

fn body(pattern: &str) -> &str {
    let rest = pattern.strip_prefix('*').unwrap_or(pattern);
    rest.strip_suffix('*').unwrap_or(rest)
}

fn same(body: &[u8], part: &[u8]) -> bool {
    body.iter().zip(part).all(|(wanted, found)| wanted == found || (*wanted == b'#' && found.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_an_end_and_a_hash_for_one_digit() {
        for (pattern, good, bad) in [
            ("gpt-4o", &["gpt-4o"][..], &["gpt-4", "gpt-4o-mini", "xgpt-4o", ""][..]),
            ("gpt-4o*", &["gpt-4o", "gpt-4o-mini"], &["gpt-4", "xgpt-4o"]),
            ("*-fast", &["-fast", "grok-fast"], &["grok-fast-1", "fast"]),
            ("*nova*", &["nova", "us.nova-lite", "nova-"], &["nov", "n.ova"]),
            ("x-####-##", &["x-2026-01"], &["x-2026-0", "x-2026-0a", "x-2026-011"]),
            ("x-#*", &["x-1", "x-12-b"], &["x-", "x-a1"]),
        ] {
            assert!(is_pattern(pattern), "{pattern}");
            good.iter().for_each(|name| assert!(matches(pattern, name), "{pattern} {name}"));
            bad.iter().for_each(|name| assert!(!matches(pattern, name), "{pattern} {name}"));
        }
        for text in ["", "*", "**", "a*b", "GPT-4", "!a", "\""] {
            assert!(!is_pattern(text), "{text}");
        }
        assert!(matches("a*", "aé") && !matches("aé", "a") && matches("*é*", "xéy"));
    }
}
