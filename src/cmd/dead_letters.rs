//! `dead-letters`: the rows that the remote will never take, from the file or a copy of it; and a wish to a running sidecar
//! to send them again.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::health::own_base;
use super::report::{is_url, message};
use super::width::{cut, plain};
use crate::client::{Answer, Cancel, Client, ClientConfig};
use crate::clock::rfc3339_utc;
use crate::config::{Config, masked_url};
use crate::event::Value;
use crate::store::{Letter, letters, rows_of_letters};
use crate::wire::push;

/// Letters read at once.
const PAGE: usize = 500;
/// Rows in memory at once: each may be some ten kB.
const ROWS_PAGE: usize = 50;
/// What a terminal has, and a mail.
const WIDTH: usize = 80;
/// The file notes it within half a minute or not at all.
const TIMEOUT: Duration = Duration::from_secs(35);

/// What of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `list`: which there are.
    List {
        /// A file; without one that of the configuration.
        from: Option<PathBuf>,
        /// `--json`
        json: bool,
    },
    /// `export`: their rows.
    Export {
        /// Likewise.
        from: Option<PathBuf>,
    },
    /// `retry`: send them again.
    Retry(Retry),
}

/// Which are sent again, and who is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// `--all`
    pub all: bool,
    /// Those of these rows.
    pub trace_ids: Vec<String>,
    /// A running sidecar; without one that of the configuration.
    pub url: Option<String>,
}

impl Retry {
    /// Takes an argument: the URL of a sidecar, or an id.
    pub fn take(&mut self, argument: String) {
        if is_url(&argument) { self.url = Some(argument) } else { self.trace_ids.push(argument) }
    }
}

/// Why it was not done.
#[derive(Debug)]
pub enum Failure {
    /// The arguments are wrong.
    Usage(String),
    /// The file cannot be read, or the sidecar does not do it.
    Failed(String),
}

/// Does it, and writes what there is to say.
///
/// # Errors
/// Any of [`Failure`].
pub fn make(config: &Config, call: &Call, out: &mut dyn Write) -> Result<(), Failure> {
    let file = |from: &Option<PathBuf>| from.clone().unwrap_or_else(|| config.db_path.clone());
    match call {
        Call::List { from, json } => list(&file(from), *json, out),
        Call::Export { from } => export(&file(from), out),
        Call::Retry(retry) => ask(config, retry, out),
    }
}

/// A letter as JSON has it.
#[derive(Serialize)]
struct Shown<'a> {
    table: &'static str,
    trace_id: &'a str,
    died_at: String,
    status: u16,
    code: Option<&'a str>,
    message: Option<&'a str>,
    attempts: u32,
    destination: String,
}

impl Shown<'_> {
    fn of(letter: &Letter) -> Shown<'_> {
        Shown {
            table: letter.table.name(),
            trace_id: &letter.trace_id,
            died_at: rfc3339_utc(letter.died_ms),
            status: letter.status,
            code: letter.code.as_deref(),
            message: letter.message.as_deref(),
            attempts: letter.attempts,
            destination: masked_url(&letter.destination),
        }
    }
}

fn list(file: &Path, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut text = String::new();
    let (mut count, mut destination) = (0, None);
    each_page(file, PAGE, &mut |page| {
        for letter in page {
            if json {
                text.push_str(if count == 0 { "[" } else { ",\n " });
                text.push_str(&json_of(&Shown::of(letter)));
            } else {
                if destination.as_ref() != Some(&letter.destination) {
                    let gap = if count == 0 { "" } else { "\n" };
                    text.push_str(&format!("{gap}{}\n", plain(&masked_url(&letter.destination))));
                    destination = Some(letter.destination.clone());
                }
                lines(letter, &mut text);
            }
            count += 1;
        }
        let written = write(out, text.as_bytes());
        text.clear();
        written
    })?;
    let end = match (json, count) {
        (true, 0) => "[]\n".to_owned(),
        (true, _) => "]\n".to_owned(),
        (false, 0) => "There are no dead letters: the remote has refused no row for good.\n".to_owned(),
        (false, 1) => "\n1 dead letter. It is sent again only by: openclaw-trace dead-letters retry\n".to_owned(),
        (false, _) => {
            format!("\n{count} dead letters. They are sent again only by: openclaw-trace dead-letters retry\n")
        }
    };
    write(out, end.as_bytes()).map(|_| ())
}

/// Two lines for people: which row, and why.
fn lines(letter: &Letter, text: &mut String) {
    let died = rfc3339_utc(letter.died_ms);
    let (day, time) = died.split_once('T').unwrap_or((&died, ""));
    let minute = time.get(..5).unwrap_or_default();
    let (table, trace_id, status) = (letter.table.name(), plain(&letter.trace_id), letter.status);
    let attempts = if letter.attempts == 1 { String::new() } else { format!(" ({} attempts)", letter.attempts) };
    let said = [letter.code.as_deref(), letter.message.as_deref()];
    let said: Vec<_> = said.into_iter().flatten().map(plain).collect();
    let said = if said.is_empty() { "no reason was given".to_owned() } else { said.join(": ") };
    let why = format!("{status} {said}{attempts}");
    let written = writeln!(text, "{day} {minute}  {table:<14}  {trace_id}\n    {}", cut(&why, WIDTH - 4));
    debug_assert!(written.is_ok(), "a String takes what is written");
}

fn export(file: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    each_page(file, ROWS_PAGE, &mut |page| {
        let rows = rows_of_letters(file, page, &mut |letter, columns, line| export_line(letter, columns, line));
        write(out, &rows.map_err(|error| Failure::Failed(error.to_string()))?)
    })
}

/// A line of JSON: the letter, and under `row` the row as a push has it.
fn export_line(letter: &Letter, columns: &[(&'static str, Value<'_>)], line: &mut Vec<u8>) {
    let cause = json_of(&Shown::of(letter));
    line.extend_from_slice(cause.strip_suffix('}').unwrap_or(&cause).as_bytes());
    line.extend_from_slice(b",\"row\":");
    push::row(columns, line);
    line.extend_from_slice(b"}\n");
}

/// Reads the letters page after page, until there are no more or `each` has enough.
fn each_page(file: &Path, size: usize, each: &mut dyn FnMut(&[Letter]) -> Result<Go, Failure>) -> Result<(), Failure> {
    let mut last: Option<Letter> = None;
    loop {
        let page = letters(file, last.as_ref(), size).map_err(|error| Failure::Failed(error.to_string()))?;
        let is_last = page.len() < size;
        if !page.is_empty() && each(&page)? == Go::Away || is_last {
            return Ok(());
        }
        last = page.last().cloned();
    }
}

/// Whether somebody still reads what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    Away,
}

/// Nobody reads it any more: no fault of ours.
fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<Go, Failure> {
    match out.write_all(bytes) {
        Ok(()) => Ok(Go::On),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Go::Away),
        Err(error) => Err(Failure::Failed(format!("cannot write: {error}"))),
    }
}

fn json_of(shown: &impl Serialize) -> String {
    match serde_json::to_string(shown) {
        Ok(text) => text,
        Err(error) => unreachable!("texts and numbers are always JSON: {error}"),
    }
}

#[derive(Serialize)]
struct Wish<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    all: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    trace_ids: &'a [String],
}

#[derive(Deserialize)]
struct Done {
    retried: u64,
    unknown: Vec<String>,
}

fn ask(config: &Config, retry: &Retry, out: &mut dyn Write) -> Result<(), Failure> {
    if retry.all != retry.trace_ids.is_empty() {
        return Err(Failure::Usage("dead-letters retry: expected --all, or the trace_id of each row".to_owned()));
    }
    let failed = |text: String| Err(Failure::Failed(text));
    let Some(base) = retry.url.clone().or_else(|| own_base(config)) else {
        return failed(
            "TRACE_PORT is 0, so only the log of the sidecar says where it listens: give its URL".to_owned(),
        );
    };
    if base.contains(['?', '#']) {
        let shown = masked_url(&base);
        return Err(Failure::Usage(format!("dead-letters retry: expected a URL without a query, got {shown}")));
    }
    let url = format!("{}/v1/dead-letters/retry", base.trim_end_matches('/'));
    let shown = masked_url(&url);
    match post(config, &url, &json_of(&Wish { all: retry.all, trace_ids: &retry.trace_ids })) {
        Err(error) => failed(format!(
            "{shown} does not answer: {error}. Dead letters are sent again by a sidecar that runs: start it, then ask it"
        )),
        Ok(Answer { status: 202, body, .. }) => match serde_json::from_slice(&body) {
            Ok(done) => tell(&done, out),
            Err(error) => {
                failed(format!("{shown}: expected what becomes of dead letters, got something else: {error}"))
            }
        },
        Ok(Answer { status, body, .. }) => {
            let hint = match status {
                401 if config.token.is_none() => "; TRACE_TOKEN is not set here",
                401 => "; TRACE_TOKEN is another one here",
                404 => "; is it a sidecar, of this version?",
                _ => "",
            };
            failed(format!("{shown} answered {status}: {}{hint}", plain(&message(&body))))
        }
    }
}

fn post(config: &Config, url: &str, body: &str) -> Result<Answer, crate::client::Error> {
    let bearer = config.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(bearer.iter().map(|bearer| ("Authorization", bearer.as_str())));
    let client_config =
        ClientConfig { ca_pem: None, user_agent: "openclaw-trace-dead-letters", timeout: TIMEOUT, private_http: false };
    let client = Client::new(&client_config, Cancel::default())?;
    client.post(url, &headers, body.as_bytes(), body.len() as u64, false)
}

fn tell(done: &Done, out: &mut dyn Write) -> Result<(), Failure> {
    let rows = if done.retried == 1 { "row goes" } else { "rows go" };
    write(out, format!("{} {rows} out again with the next push\n", done.retried).as_bytes())?;
    match done.unknown.as_slice() {
        [] => Ok(()),
        unknown => {
            let unknown: Vec<_> = unknown.iter().map(|id| plain(id)).collect();
            Err(Failure::Failed(format!("no dead letter has the trace_id {}", unknown.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Table;

    fn letter() -> Letter {
        Letter {
            destination: "https://trace.example/in".to_owned(),
            died_ms: 1_795_776_656_588,
            table: Table::LlmTraces,
            row_id: 7,
            trace_id: "0192f0c1-7d4e-7abc-8def-0123456789ab".to_owned(),
            status: 422,
            code: Some("invalid_field".to_owned()),
            message: Some("line\nline \u{1b}[31m".to_owned() + &"x".repeat(100)),
            attempts: 3,
        }
    }

    #[test]
    fn a_letter_is_two_lines_of_a_terminal_and_moves_no_cursor() {
        let mut text = String::new();
        lines(&letter(), &mut text);
        lines(&Letter { code: None, message: None, attempts: 1, ..letter() }, &mut text);
        assert!(
            text.starts_with("2026-11-27 10:50  llm_traces      0192f0c1-7d4e-7abc-8def-0123456789ab\n    422 inv")
        );
        assert!(text.ends_with("\n    422 no reason was given\n"));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH) && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn an_exported_letter_is_one_line_of_json_with_the_whole_row() {
        let mut line = Vec::new();
        let columns = [("trace_id", Value::Text("t")), ("attributes", Value::Json("{\"k\":1}"))];
        export_line(&Letter { code: None, message: Some("a\nb".to_owned()), ..letter() }, &columns, &mut line);
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text.find('\n'), Some(text.len() - 1));
        let expected = serde_json::json!({
            "table": "llm_traces", "trace_id": "0192f0c1-7d4e-7abc-8def-0123456789ab",
            "died_at": "2026-11-27T10:50:56.588Z", "status": 422, "code": null, "message": "a\nb", "attempts": 3,
            "destination": "https://trace.example/in", "row": {"trace_id": "t", "attributes": {"k": 1}}});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
    }

    #[test]
    fn a_url_among_the_ids_is_the_sidecar() {
        let mut retry = Retry::default();
        ["a", "http://127.0.0.1:1", "b"].into_iter().for_each(|argument| retry.take(argument.to_owned()));
        let expected =
            Retry { all: false, trace_ids: vec!["a".into(), "b".into()], url: Some("http://127.0.0.1:1".into()) };
        assert_eq!(retry, expected);
    }
}
