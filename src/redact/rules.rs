//! The table: keys that tell what they are by how they begin, and names whose values are secrets.

use super::Secret;
use super::look::is_random;
use super::text::{ALNUM, BASE64, Bytes, DASH, DIGIT, DOT, HEX, Set, UNDERSCORE, UPPER, WORD, is_in};

/// Keys that begin alike.
#[derive(Debug)]
pub(super) struct Rule {
    kind: &'static str,
    prefix: &'static str,
    /// Place in the prefix of the byte that tells of it.
    tell: usize,
    /// What may follow.
    chars: Set,
    /// How many of these at least. Where `exact`: and at most.
    min: usize,
    exact: bool,
    /// Whether other words begin like that, so that what follows must look random.
    judged: bool,
}

/// What follows is as long as it likes, from `min` bytes on, whatever they are.
const fn open(kind: &'static str, prefix: &'static str, chars: Set, min: usize) -> Rule {
    let bytes = prefix.as_bytes();
    let mut tell = 0;
    while tell + 1 < bytes.len() && !matches!(bytes[tell], b'-' | b'_' | b'.') {
        tell += 1;
    }
    Rule { kind, prefix, tell, chars, min, exact: false, judged: false }
}

/// The same, but it must look random.
const fn judged(kind: &'static str, prefix: &'static str, chars: Set, min: usize) -> Rule {
    Rule { judged: true, ..open(kind, prefix, chars, min) }
}

/// Exactly `length` bytes follow a prefix without a sign; the byte at `tell` tells of it.
const fn exact(kind: &'static str, prefix: &'static str, tell: usize, chars: Set, length: usize) -> Rule {
    Rule { tell, exact: true, ..open(kind, prefix, chars, length) }
}

/// Rules of which the same bytes tell.
#[derive(Debug)]
pub(super) struct Rules {
    rules: &'static [Rule],
    /// The bytes that stand before these in one of the prefixes.
    befores: [bool; 256],
}

impl Rules {
    const fn of(rules: &'static [Rule]) -> Rules {
        let mut befores = [false; 256];
        let mut at = 0;
        while at < rules.len() {
            befores[rules[at].before() as usize] = true;
            at += 1;
        }
        Rules { rules, befores }
    }
}

impl Rule {
    /// The byte before the one that tells of it.
    const fn before(&self) -> u8 {
        self.prefix.as_bytes()[self.tell - 1]
    }
}

/// Prefixes whose first sign is a dash. Of two that fit, the first counts.
pub(super) static WITH_DASH: Rules = Rules::of(&[
    judged("anthropic-key", "sk-ant-", WORD, 16),
    judged("openrouter-key", "sk-or-", WORD, 24),
    judged("langfuse-key", "sk-lf-", WORD, 24),
    judged("openai-key", "sk-", WORD, 20),
    open("xai-key", "xai-", ALNUM, 40),
    open("perplexity-key", "pplx-", ALNUM, 32),
    open("cerebras-key", "csk-", ALNUM, 32),
    open("nvidia-key", "nvapi-", WORD, 40),
    judged("tavily-key", "tvly-", WORD, 20),
    judged("gitlab-token", "glpat-", WORD | DOT, 16),
    judged("gitlab-token", "gldt-", WORD | DOT, 16),
    judged("gitlab-token", "glrt-", WORD | DOT, 16),
    judged("gitlab-token", "glptt-", WORD | DOT, 16),
    judged("slack-token", "xoxb-", ALNUM | DASH, 16),
    judged("slack-token", "xoxp-", ALNUM | DASH, 16),
    judged("slack-token", "xoxa-", ALNUM | DASH, 16),
    judged("slack-token", "xoxr-", ALNUM | DASH, 16),
    judged("slack-token", "xoxs-", ALNUM | DASH, 16),
    judged("slack-token", "xoxe-", ALNUM | DASH, 16),
    judged("slack-token", "xapp-", ALNUM | DASH, 16),
    open("pypi-token", "pypi-AgE", WORD, 40),
    open("age-key", "AGE-SECRET-KEY-1", UPPER | DIGIT, 40),
    judged("google-oauth", "GOCSPX-", WORD, 20),
]);

/// Prefixes whose first sign is an underscore.
pub(super) static WITH_UNDERSCORE: Rules = Rules::of(&[
    judged("github-token", "ghp_", ALNUM | UNDERSCORE, 20),
    judged("github-token", "gho_", ALNUM | UNDERSCORE, 20),
    judged("github-token", "ghu_", ALNUM | UNDERSCORE, 20),
    judged("github-token", "ghs_", WORD | DOT, 20),
    judged("github-token", "ghr_", ALNUM | UNDERSCORE, 20),
    judged("github-token", "github_pat_", ALNUM | UNDERSCORE, 30),
    judged("stripe-key", "sk_live_", ALNUM, 16),
    judged("stripe-key", "sk_test_", ALNUM, 16),
    judged("stripe-key", "rk_live_", ALNUM, 16),
    judged("stripe-key", "rk_test_", ALNUM, 16),
    judged("stripe-key", "whsec_", ALNUM | BASE64, 24),
    open("npm-token", "npm_", ALNUM, 36),
    open("huggingface-token", "hf_", ALNUM, 30),
    open("groq-key", "gsk_", ALNUM, 40),
    open("replicate-token", "r8_", ALNUM, 30),
    judged("fireworks-key", "fw_", ALNUM, 20),
    judged("fly-token", "fm2_", WORD | BASE64, 40),
    judged("fly-token", "fo1_", WORD, 20),
    open("digitalocean-token", "dop_v1_", HEX, 32),
    open("digitalocean-token", "doo_v1_", HEX, 32),
    open("digitalocean-token", "dor_v1_", HEX, 32),
    judged("pinecone-key", "pcsk_", ALNUM | UNDERSCORE, 40),
    judged("langsmith-key", "lsv2_pt_", ALNUM | UNDERSCORE, 32),
    judged("langsmith-key", "lsv2_sk_", ALNUM | UNDERSCORE, 32),
    judged("docker-token", "dckr_pat_", WORD, 20),
]);

/// Prefixes whose first sign is a dot.
pub(super) static WITH_DOT: Rules = Rules::of(&[
    judged("sendgrid-key", "SG.", WORD | DOT, 40),
    judged("vault-token", "hvs.", WORD, 20),
    judged("vault-token", "hvb.", WORD, 20),
    judged("google-oauth", "ya29.", WORD, 20),
]);

/// Prefixes without a sign.
pub(super) static WITH_LETTER: Rules = Rules::of(&[
    exact("aws-key-id", "AKIA", 2, UPPER | DIGIT, 16),
    exact("aws-key-id", "ASIA", 2, UPPER | DIGIT, 16),
    Rule { exact: false, ..exact("google-key", "AIza", 1, WORD, 30) },
    exact("twilio-key", "SK", 1, HEX, 32),
    exact("databricks-token", "dapi", 2, HEX, 32),
]);

impl Bytes<'_> {
    /// The key that begins with one of these prefixes, which has a byte that tells of it at `tell`.
    pub(super) fn by_prefix(self, rules: &'static Rules, tell: usize, done: usize) -> Option<Secret> {
        let before = self.before(tell);
        if !rules.befores[usize::from(before)] {
            return None;
        }
        rules.rules.iter().find_map(|rule| {
            if rule.before() != before {
                return None;
            }
            let start = tell.checked_sub(rule.tell).filter(|start| *start >= done)?;
            self.has(start, rule.prefix.as_bytes()).then(|| self.by_rule(rule, start)).flatten()
        })
    }

    fn by_rule(self, rule: &'static Rule, start: usize) -> Option<Secret> {
        if !self.begins_word(start) {
            return None;
        }
        let body = start + rule.prefix.len();
        if !self.has_run(body, rule.min, rule.chars) {
            return None;
        }
        if rule.judged && !self.is_judged_random(body, rule.chars) {
            return None;
        }
        let mut end = if rule.exact { body + rule.min } else { self.run(body, rule.chars) };
        if is_in(self.at(end), ALNUM) {
            return None;
        }
        while self.before(end) == b'.' {
            end -= 1;
        }
        Some(Secret { start, end, kind: rule.kind })
    }

    /// Whether the bytes of this set from `start` on look random, as far as that must be known.
    pub(super) fn is_judged_random(self, start: usize, set: Set) -> bool {
        let head = self.end_of(start, JUDGED_BYTES_MAX, |byte| is_in(byte, set));
        is_random(self.slice(start, head)) && !self.is_marked(head)
    }
}

/// So many bytes of a key are judged.
const JUDGED_BYTES_MAX: usize = 64;

/// Names that end alike, in lower case and without `_`, `-` and `.`.
#[derive(Debug)]
pub(super) struct Name {
    ending: &'static str,
    /// What their values are; `None` = no secret after all.
    kind: Option<&'static str>,
    /// Whether there may be more before the ending.
    is_ending: bool,
    /// Whether people choose the values, so that these need not look random.
    pub(super) is_chosen: bool,
}

const fn value(kind: &'static str, ending: &'static str) -> Name {
    Name { ending, kind: Some(kind), is_ending: true, is_chosen: false }
}

const fn chosen(kind: &'static str, ending: &'static str) -> Name {
    Name { is_chosen: true, ..value(kind, ending) }
}

const fn harmless(ending: &'static str) -> Name {
    Name { ending, kind: None, is_ending: true, is_chosen: false }
}

/// Names whose values are secrets. Of two that fit, the first counts.
const NAMES: &[Name] = &[
    harmless("pagetoken"),
    harmless("nexttoken"),
    harmless("continuationtoken"),
    harmless("synctoken"),
    value("aws-secret-key", "secretaccesskey"),
    value("azure-key", "sharedaccesskey"),
    value("azure-key", "accountkey"),
    Name { is_ending: false, ..value("signature", "sig") },
    value("signature", "xamzsignature"),
    value("signature", "xgoogsignature"),
    value("api-key", "apikey"),
    value("api-key", "subscriptionkey"),
    value("token", "token"),
    value("secret", "secret"),
    value("secret", "secretkey"),
    value("secret", "privatekey"),
    value("secret", "accesskey"),
    value("secret", "authkey"),
    value("secret", "signingkey"),
    value("secret", "encryptionkey"),
    value("secret", "masterkey"),
    value("secret", "credential"),
    value("secret", "credentials"),
    chosen("password", "password"),
    chosen("password", "passwd"),
    chosen("password", "pwd"),
    chosen("password", "passphrase"),
];

impl Name {
    /// The name that this one is, and the kind of its value, if that is a secret.
    pub(super) fn of(name: &[u8]) -> Option<(&'static Name, &'static str)> {
        let end = name.last_chunk::<2>()?.map(|byte| byte.to_ascii_lowercase());
        // Most names end here.
        if !matches!(&end, b"ey" | b"en" | b"et" | b"rd" | b"wd" | b"se" | b"re" | b"ig" | b"al" | b"ls") {
            return None;
        }
        let found = NAMES.iter().find(|known| known.fits(name))?;
        found.kind.map(|kind| (found, kind))
    }

    fn fits(&self, name: &[u8]) -> bool {
        let mut letters = name.iter().rev().filter(|byte| !is_in(**byte, UNDERSCORE | DASH | DOT));
        let mut ending = self.ending.bytes().rev();
        ending.all(|byte| letters.next().is_some_and(|letter| letter.eq_ignore_ascii_case(&byte)))
            && (self.is_ending || letters.next().is_none())
    }
}

/// Every kind of secret, as its mark names it, in the order of the table in docs/wire.md.
pub fn kinds() -> Vec<&'static str> {
    let prefixed =
        [&WITH_DASH, &WITH_UNDERSCORE, &WITH_DOT, &WITH_LETTER].map(|rules| rules.rules).into_iter().flatten();
    let prefixed = prefixed.map(|rule| rule.kind);
    let named = NAMES.iter().filter_map(|name| name.kind);
    let mut kinds: Vec<&str> = Vec::new();
    for kind in prefixed.chain(super::shapes::KINDS.iter().copied()).chain(named) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}
