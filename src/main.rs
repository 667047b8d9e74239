//! Arguments to one command, and its exit code. Nothing else.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use lexopt::Arg;
use openclaw_trace::cmd::{check, health, help};
use openclaw_trace::config::{Config, LogFormat, Surroundings};
use openclaw_trace::{logging, malloc, serve, shutdown};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// sysexits.h: the command was used wrongly.
const EX_USAGE: u8 = 64;
/// sysexits.h: something was found in an unconfigured or misconfigured state.
const EX_CONFIG: u8 = 78;

enum Command {
    Serve,
    Check,
    Health { url: Option<String> },
    Print(String),
}

fn main() -> ExitCode {
    malloc::give_back();
    // Before any thread: the writer and the reactor must not get the signals.
    if let Err(error) = shutdown::hold_signals() {
        return complain(&format!("cannot hold back signals: {error}"), 1);
    }
    match arguments() {
        Err(error) => complain(&format!("{error}\nSee openclaw-trace --help."), EX_USAGE),
        Ok(Command::Print(text)) => say(&text),
        Ok(Command::Serve) => with_config(|config| ExitCode::from(serve::serve(config, VERSION))),
        Ok(Command::Check) => with_config(|config| say(&check::report(&config))),
        Ok(Command::Health { url: Some(url) }) => answer(health::ask(&url)),
        Ok(Command::Health { url: None }) => with_config(|config| answer(health::ask_own(&config))),
    }
}

fn arguments() -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let mut command = None;
    while let Some(arg) = parser.next()? {
        command = Some(match (arg, command) {
            (Arg::Short('h') | Arg::Long("help"), _) => return Ok(Command::Print(help::text(VERSION))),
            (Arg::Short('V') | Arg::Long("version"), _) => {
                return Ok(Command::Print(format!("openclaw-trace {VERSION}\n")));
            }
            (Arg::Value(value), None) if value == "serve" => Command::Serve,
            (Arg::Value(value), None) if value == "check" => Command::Check,
            (Arg::Value(value), None) if value == "health" => Command::Health { url: None },
            (Arg::Value(value), Some(Command::Health { url: None })) => {
                Command::Health { url: Some(value.to_string_lossy().into_owned()) }
            }
            (arg, _) => return Err(arg.unexpected()),
        });
    }
    Ok(command.unwrap_or(Command::Serve))
}

fn with_config(then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    let surroundings = Surroundings {
        vars: std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect(),
        read_file: &|path: &Path| std::fs::read_to_string(path),
        is_dir: &|path: &Path| path.is_dir(),
    };
    match Config::from_vars(&surroundings) {
        Ok(config) => then(config),
        Err(faults) => {
            logging::init(LogFormat::Logfmt, log::LevelFilter::Info);
            faults.0.iter().for_each(|fault| log::error!("{fault}"));
            ExitCode::from(EX_CONFIG)
        }
    }
}

fn answer(answer: health::Answer) -> ExitCode {
    match answer {
        health::Answer::Well(text) => say(&text),
        health::Answer::Unwell(text) => complain(&text, 1),
    }
}

/// Prints to stdout. Nobody reads it: no fault of ours.
fn say(text: &str) -> ExitCode {
    drop(std::io::stdout().write_all(text.as_bytes()));
    ExitCode::SUCCESS
}

fn complain(text: &str, code: u8) -> ExitCode {
    drop(writeln!(std::io::stderr(), "openclaw-trace: {text}"));
    ExitCode::from(code)
}
