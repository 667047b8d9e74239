//! What a secret looks like: the table of those that begin with a prefix of their own, and the names that stand before others.

use Class::{Alnum, Base64, Dotted, Hex, Path, Upper, Word};

/// Characters that a secret is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Letters and digits.
    Alnum,
    /// Capital letters and digits.
    Upper,
    /// Digits and a to f.
    Hex,
    /// Letters, digits, `_` and `-`.
    Word,
    /// The same and `.`
    Dotted,
    /// The same and `/`
    Path,
    /// Letters, digits, and what base64 in either alphabet and HTTP's token68 have besides.
    Base64,
    /// What a value may be made of that stands behind a name: no white space, quote, backslash, bracket or separator.
    Value,
    /// What a value in quotes may be made of.
    Quoted,
}

impl Class {
    /// How many there are.
    pub(super) const COUNT: usize = Class::Quoted as usize + 1;

    /// Whether words that are joined by something are not made of it.
    pub(super) fn is_one_word(self) -> bool {
        matches!(self, Class::Alnum | Class::Upper | Class::Hex)
    }

    /// Whether a byte is of it.
    pub(super) fn has(self, byte: u8) -> bool {
        match self {
            Class::Alnum => byte.is_ascii_alphanumeric(),
            Class::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Class::Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Class::Word => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Class::Dotted => Class::Word.has(byte) || byte == b'.',
            Class::Path => Class::Dotted.has(byte) || byte == b'/',
            Class::Base64 => Class::Dotted.has(byte) || matches!(byte, b'+' | b'/' | b'=' | b'~'),
            Class::Value => !byte.is_ascii_whitespace() && !b"\"'`\\,;&|()[]{}<>".contains(&byte),
            Class::Quoted => byte >= b' ' && !b"\"'`\\".contains(&byte),
        }
    }
}

/// Secrets that begin with a prefix of their own.
pub(super) struct Rule {
    /// What the mark calls it.
    pub(super) kind: &'static str,
    /// How it begins.
    pub(super) prefix: &'static str,
    /// What follows the prefix.
    pub(super) class: Class,
    /// How many of these at least.
    pub(super) min: usize,
    /// How many at most.
    pub(super) max: usize,
}

const fn rule(kind: &'static str, prefix: &'static str, class: Class, min: usize) -> Rule {
    Rule { kind, prefix, class, min, max: usize::MAX }
}

const fn exact(kind: &'static str, prefix: &'static str, class: Class, length: usize) -> Rule {
    Rule { kind, prefix, class, min: length, max: length }
}

/// Of two prefixes of which one begins the other, the longer stands first.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    // Models.
    rule("anthropic-key", "sk-ant-", Word, 16),
    rule("openrouter-key", "sk-or-", Word, 16),
    rule("langfuse-key", "sk-lf-", Word, 16),
    rule("openai-key", "sk-proj-", Word, 20),
    rule("openai-key", "sk-svcacct-", Word, 20),
    rule("openai-key", "sk-admin-", Word, 20),
    rule("openai-key", "sk-None-", Word, 20),
    // OpenAI's own of old, DeepSeek's, Moonshot's and others'.
    rule("openai-key", "sk-", Alnum, 20),
    rule("openai-key", "sess-", Alnum, 40),
    rule("elevenlabs-key", "sk_", Hex, 40),
    rule("cerebras-key", "csk-", Alnum, 30),
    rule("groq-key", "gsk_", Alnum, 30),
    rule("xai-key", "xai-", Alnum, 30),
    rule("perplexity-key", "pplx-", Alnum, 30),
    rule("replicate-key", "r8_", Alnum, 30),
    rule("fireworks-key", "fw_", Alnum, 20),
    rule("huggingface-key", "hf_", Alnum, 30),
    rule("huggingface-key", "api_org_", Alnum, 30),
    rule("nvidia-key", "nvapi-", Word, 40),
    rule("langsmith-key", "lsv2_pt_", Word, 30),
    rule("langsmith-key", "lsv2_sk_", Word, 30),
    rule("pinecone-key", "pcsk_", Word, 30),
    rule("tavily-key", "tvly-", Word, 20),
    // Clouds.
    exact("aws-key-id", "AKIA", Upper, 16),
    exact("aws-key-id", "ASIA", Upper, 16),
    rule("google-key", "AIza", Word, 33),
    rule("google-token", "ya29.", Word, 20),
    rule("google-secret", "GOCSPX-", Word, 20),
    rule("fly-token", "fo1_", Word, 30),
    rule("fly-token", "fm1_", Base64, 40),
    rule("fly-token", "fm1r_", Base64, 40),
    rule("fly-token", "fm2_", Base64, 40),
    rule("digitalocean-token", "dop_v1_", Alnum, 40),
    rule("digitalocean-token", "doo_v1_", Alnum, 40),
    rule("digitalocean-token", "dor_v1_", Alnum, 40),
    rule("databricks-token", "dapi", Hex, 32),
    rule("vault-token", "hvs.", Word, 20),
    rule("vault-token", "hvb.", Word, 20),
    rule("supabase-token", "sbp_", Hex, 40),
    rule("planetscale-token", "pscale_tkn_", Dotted, 30),
    // Code.
    rule("github-token", "ghp_", Alnum, 30),
    rule("github-token", "gho_", Alnum, 30),
    rule("github-token", "ghu_", Alnum, 30),
    rule("github-token", "ghs_", Alnum, 30),
    rule("github-token", "ghr_", Alnum, 30),
    rule("github-token", "github_pat_", Word, 30),
    rule("gitlab-token", "glpat-", Dotted, 18),
    rule("npm-token", "npm_", Alnum, 30),
    rule("pypi-token", "pypi-", Word, 40),
    rule("docker-token", "dckr_pat_", Word, 20),
    rule("sentry-token", "sntrys_", Base64, 40),
    rule("linear-key", "lin_api_", Alnum, 30),
    rule("notion-token", "ntn_", Alnum, 40),
    exact("notion-token", "secret_", Alnum, 43),
    rule("figma-token", "figd_", Word, 30),
    rule("postman-key", "PMAK-", Word, 30),
    rule("age-key", "AGE-SECRET-KEY-1", Alnum, 50),
    // Messages and money.
    rule("slack-token", "xoxb-", Word, 16),
    rule("slack-token", "xoxp-", Word, 16),
    rule("slack-token", "xoxa-", Word, 16),
    rule("slack-token", "xoxr-", Word, 16),
    rule("slack-token", "xoxs-", Word, 16),
    rule("slack-token", "xapp-", Word, 16),
    rule("slack-webhook", "hooks.slack.com/services/", Path, 20),
    rule("discord-webhook", "discord.com/api/webhooks/", Path, 40),
    rule("stripe-key", "sk_live_", Alnum, 16),
    rule("stripe-key", "sk_test_", Alnum, 16),
    rule("stripe-key", "rk_live_", Alnum, 16),
    rule("stripe-key", "rk_test_", Alnum, 16),
    rule("stripe-secret", "whsec_", Base64, 20),
    exact("twilio-key", "SK", Hex, 32),
    rule("sendgrid-key", "SG.", Dotted, 40),
    exact("mailgun-key", "key-", Hex, 32),
    rule("shopify-token", "shpat_", Hex, 32),
    rule("shopify-token", "shpss_", Hex, 32),
    rule("newrelic-key", "NRAK-", Alnum, 20),
];

/// Ends of names whose value is a secret, in lower case and without `_`, `-` and `.`, if it looks like one.
pub(super) const SECRET_NAMES: &[&str] = &[
    "apikey",
    "secretkey",
    "accesskey",
    "secretaccesskey",
    "clientsecret",
    "appsecret",
    "webhooksecret",
    "signingsecret",
    "signingkey",
    "encryptionkey",
    "accesstoken",
    "authtoken",
    "refreshtoken",
    "bearertoken",
    "sessiontoken",
    "idtoken",
    "bottoken",
    "apitoken",
    "privatekey",
    "accountkey",
    "sharedaccesskey",
    "credential",
    "credentials",
];
/// Names, or last words of names, of which the same holds. Ends of other words they are not.
pub(super) const SECRET_WORDS: &[&str] = &["secret", "token", "sig", "jwt", "authorization"];
/// Likewise, and their value need look like nothing.
pub(super) const PASSWORD_WORDS: &[&str] = &["password", "passwd", "passphrase", "pwd"];

/// Starts of values that stand for a secret that is not there.
pub(super) const PLACEHOLDERS: &[&str] = &[
    "${",
    "$(",
    "<",
    "[",
    "{",
    "(",
    "%(",
    "*",
    "...",
    "process.env",
    "os.environ",
    "os.getenv",
    "env.",
    "env:",
    "secrets.",
    "vault:",
    "your",
    "xxx",
    "example",
    "placeholder",
    "changeme",
    "redacted",
    "undefined",
    "null",
    "none",
    "true",
    "false",
];
