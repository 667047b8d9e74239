//! `report`: what the calls of some time came to, from the file, a copy of it, or a running sidecar.

mod table;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::{Answer, Cancel, Client, ClientConfig};
use crate::clock::Clock;
use crate::config::{Config, masked_url};
use crate::store::{self, LookError};
use crate::summary::{Question, Summary};

/// A question waits for four others, two seconds each, and takes two itself.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `--since`
    pub since: Option<String>,
    /// `--until`
    pub until: Option<String>,
    /// `--by`
    pub by: Option<String>,
    /// `--json`
    pub json: bool,
    /// A file, or the URL of a sidecar; without one the file of the configuration.
    pub from: Option<PathBuf>,
}

/// Why there is no report.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are wrong.
    Usage(String),
    /// The file cannot be read, or the sidecar does not answer.
    Failed(String),
}

/// The text to print.
///
/// # Errors
/// Any of [`Failure`].
pub fn make(config: &Config, call: &Call, clock: &Clock) -> Result<String, Failure> {
    let (since, until, by) = (call.since.as_deref(), call.until.as_deref(), call.by.as_deref());
    let question = Question::of(since, until, by, clock.now_ms());
    let question = question.map_err(|fault| Failure::Usage(format!("report: --{fault}")))?;
    let from = call.from.as_deref().unwrap_or(&config.db_path);
    let (json, source) = match from.to_str().filter(|from| is_url(from)) {
        Some(url) => (ask(config, url, &Question::query_of(since, until, by))?, masked_url(url)),
        None => {
            let question = Question { budget: config.budget_day, ..question };
            (look(from, &question, call.from.is_none())?, from.display().to_string())
        }
    };
    if call.json {
        return Ok(String::from_utf8_lossy(&json).into_owned() + "\n");
    }
    match serde_json::from_slice::<Summary>(&json) {
        Ok(summary) => Ok(table::text(&summary, &source)),
        Err(error) => Err(Failure::Failed(format!("{source}: expected a summary, got something else: {error}"))),
    }
}

pub(super) fn is_url(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
}

fn look(file: &Path, question: &Question, is_default: bool) -> Result<Vec<u8>, Failure> {
    store::look(file, question).map(|summary| summary.to_json()).map_err(|error| {
        let hint = match &error {
            LookError::Closed { cause, .. } if cause.kind() != ErrorKind::NotFound => "",
            LookError::Closed { .. } if is_default => {
                "; no sidecar has stored there yet, or it has another TRACE_DB_PATH (its first log line says where)"
            }
            LookError::Closed { .. } => "; the URL of a sidecar begins with http://",
            _ => "",
        };
        Failure::Failed(format!("{error}{hint}"))
    })
}

/// Asks a running sidecar. `url` may have a path, below which it is.
fn ask(config: &Config, url: &str, query: &str) -> Result<Vec<u8>, Failure> {
    if url.contains(['?', '#']) {
        return Err(Failure::Usage(format!("report: expected a URL without a query, got {}", masked_url(url))));
    }
    let mark = if query.is_empty() { "" } else { "?" };
    let url = format!("{}/v1/summary{mark}{query}", url.trim_end_matches('/'));
    let bearer = config.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
    let client_config =
        ClientConfig { ca_pem: None, user_agent: "openclaw-trace-report", timeout: TIMEOUT, private_http: false };
    let answer = Client::new(&client_config, Cancel::default()).and_then(|client| client.fetch(&url, &headers));
    let shown = masked_url(&url);
    let failed = |text: String| Err(Failure::Failed(text));
    match answer {
        Err(error) => failed(format!("{shown} does not answer: {error}")),
        Ok(Answer { status: 200, cut: true, .. }) => {
            failed(format!("{shown}: the answer is too long: ask --by something of which there are fewer"))
        }
        Ok(Answer { status: 200, body, .. }) => Ok(body),
        Ok(Answer { status, body, .. }) => {
            let hint = match status {
                401 if config.token.is_none() => "; TRACE_TOKEN is not set here",
                401 => "; TRACE_TOKEN is another one here",
                404 => "; is it a sidecar, of this version?",
                _ => "",
            };
            failed(format!("{shown} answered {status}: {}{hint}", message(&body)))
        }
    }
}

/// What a refusal says, or all of it.
pub(super) fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: Said,
    }
    #[derive(serde::Deserialize)]
    struct Said {
        message: String,
    }
    /// Of an answer that is none of ours.
    const SHOWN_MAX: usize = 200;
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.error.message,
        Err(_) => String::from_utf8_lossy(body).trim().chars().take(SHOWN_MAX).collect(),
    }
}
