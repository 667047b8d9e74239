//! Arguments to one command, and its exit code. Nothing else.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::{Arg, ValueExt as _};
use openclaw_trace::clock::Clock;
use openclaw_trace::cmd::{backup, check, dead_letters, health, help, report};
use openclaw_trace::config::{Config, Faults, LogFormat, Surroundings};
use openclaw_trace::notify::Notify;
use openclaw_trace::{logging, malloc, receive, run, serve, shutdown};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// sysexits.h: the command was used wrongly.
const EX_USAGE: u8 = 64;
/// sysexits.h: something was found in an unconfigured or misconfigured state.
const EX_CONFIG: u8 = 78;

enum Command {
    Serve { supervised: bool },
    Run { command: Vec<OsString> },
    Check,
    Health { url: Option<String> },
    Backup { file: Option<PathBuf> },
    Receive(Receive),
    Report(report::Call),
    DeadLetters(dead_letters::Call),
    Print(String),
}

#[derive(Default)]
struct Receive {
    #[cfg(feature = "faults")]
    faults: receive::Faults,
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
        Ok(Command::Serve { supervised }) => with_config(|config| serve(config, supervised)),
        Ok(Command::Run { command }) => run(command),
        Ok(Command::Check) => with_config(|config| say(&check::report(&config))),
        Ok(Command::Health { url: Some(url) }) => answer(health::ask(&url)),
        Ok(Command::Backup { file: Some(file) }) => with_config(|config| match backup::make(&config, &file) {
            Ok(text) => say(&text),
            Err(text) => complain(&text, 1),
        }),
        Ok(Command::Report(call)) => with_config(|config| match report::make(&config, &call, &Clock::real()) {
            Ok(text) => say(&text),
            Err(report::Failure::Usage(text)) => complain(&format!("{text}\nSee openclaw-trace --help."), EX_USAGE),
            Err(report::Failure::Failed(text)) => complain(&text, 1),
        }),
        Ok(Command::DeadLetters(call)) => {
            with_config(|config| match dead_letters::make(&config, &call, &mut std::io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(dead_letters::Failure::Usage(text)) => {
                    complain(&format!("{text}\nSee openclaw-trace --help."), EX_USAGE)
                }
                Err(dead_letters::Failure::Failed(text)) => complain(&text, 1),
            })
        }
        Ok(Command::Receive(call)) => with(config_of(Config::of_receiver), |config| receive(&config, call)),
        Ok(Command::Backup { file: None }) => complain("backup: missing FILE\nSee openclaw-trace --help.", EX_USAGE),
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
            (Arg::Value(value), None) if value == "serve" => Command::Serve { supervised: false },
            (Arg::Long("supervised"), Some(Command::Serve { .. })) => Command::Serve { supervised: true },
            (Arg::Value(value), None) if value == "run" => {
                return agents_command(parser.raw_args()?.collect());
            }
            (Arg::Value(value), None) if value == "check" => Command::Check,
            (Arg::Value(value), None) if value == "health" => Command::Health { url: None },
            (Arg::Value(value), Some(Command::Health { url: None })) => {
                Command::Health { url: Some(value.to_string_lossy().into_owned()) }
            }
            (Arg::Value(value), None) if value == "report" => return report_arguments(&mut parser),
            (Arg::Value(value), None) if value == "dead-letters" => return dead_letters_arguments(&mut parser),
            (Arg::Value(value), None) if value == "backup" => Command::Backup { file: None },
            (Arg::Value(value), Some(Command::Backup { file: None })) => {
                Command::Backup { file: Some(PathBuf::from(value)) }
            }
            (Arg::Value(value), None) if value == "receive" => Command::Receive(Receive::default()),
            #[cfg(feature = "faults")]
            (Arg::Long("fail"), Some(Command::Receive(_))) => {
                let faults = receive::Faults::parse(&parser.value()?.string()?)?;
                Command::Receive(Receive { faults })
            }
            (arg, _) => return Err(arg.unexpected()),
        });
    }
    Ok(command.unwrap_or(Command::Serve { supervised: false }))
}

fn report_arguments(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut call = report::Call::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Print(help::text(VERSION))),
            Arg::Long("since") => call.since = Some(parser.value()?.string()?),
            Arg::Long("until") => call.until = Some(parser.value()?.string()?),
            Arg::Long("by") => call.by = Some(parser.value()?.string()?),
            Arg::Long("json") => call.json = true,
            Arg::Value(from) if call.from.is_none() => call.from = Some(PathBuf::from(from)),
            arg => return Err(arg.unexpected()),
        }
    }
    Ok(Command::Report(call))
}

fn dead_letters_arguments(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    use dead_letters::Call;
    let mut call = None;
    while let Some(arg) = parser.next()? {
        call = Some(match (arg, call) {
            (Arg::Short('h') | Arg::Long("help"), _) => return Ok(Command::Print(help::text(VERSION))),
            (Arg::Value(word), None) if word == "list" => Call::List { from: None, json: false },
            (Arg::Value(word), None) if word == "export" => Call::Export { from: None },
            (Arg::Value(word), None) if word == "retry" => Call::Retry(dead_letters::Retry::default()),
            (Arg::Long("json"), None) => Call::List { from: None, json: true },
            (Arg::Long("json"), Some(Call::List { from, .. })) => Call::List { from, json: true },
            (Arg::Value(from), Some(Call::List { from: None, json })) => {
                Call::List { from: Some(PathBuf::from(from)), json }
            }
            (Arg::Value(from), Some(Call::Export { from: None })) => Call::Export { from: Some(PathBuf::from(from)) },
            (Arg::Long("all"), Some(Call::Retry(retry))) => Call::Retry(dead_letters::Retry { all: true, ..retry }),
            (Arg::Value(value), Some(Call::Retry(mut retry))) => {
                retry.take(value.string()?);
                Call::Retry(retry)
            }
            (arg, _) => return Err(arg.unexpected()),
        });
    }
    Ok(Command::DeadLetters(call.unwrap_or(Call::List { from: None, json: false })))
}

/// Whatever follows `run --` is the agent's. The dashes may be left out before a command that does not begin with one.
fn agents_command(mut command: Vec<OsString>) -> Result<Command, lexopt::Error> {
    match command.first().map(|first| first.to_string_lossy()).as_deref() {
        Some("--") => drop(command.remove(0)),
        Some("-h" | "--help") => return Ok(Command::Print(help::text(VERSION))),
        Some(option) if option.starts_with('-') => return Err(lexopt::Error::UnexpectedOption(option.to_owned())),
        _ => {}
    }
    if command.is_empty() {
        return Err("run: expected the agent's command, as in: openclaw-trace run -- node gateway.js".into());
    }
    Ok(Command::Run { command })
}

fn config_of(read: impl FnOnce(&Surroundings<'_>) -> Result<Config, Faults>) -> Result<Config, Faults> {
    let surroundings = Surroundings {
        vars: std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect(),
        read_file: &|path: &Path| std::fs::read_to_string(path),
        is_dir: &|path: &Path| path.is_dir(),
    };
    read(&surroundings)
}

fn config() -> Result<Config, Faults> {
    config_of(Config::from_vars)
}

fn log_faults(faults: &Faults) {
    logging::init(LogFormat::Logfmt, log::LevelFilter::Info);
    faults.0.iter().for_each(|fault| log::error!("{fault}"));
}

fn with_config(then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    with(config(), then)
}

fn with(config: Result<Config, Faults>, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match config {
        Ok(config) => then(config),
        Err(faults) => {
            log_faults(&faults);
            ExitCode::from(EX_CONFIG)
        }
    }
}

fn notify() -> Notify {
    Notify::to(std::env::var_os("NOTIFY_SOCKET").as_deref())
}

fn serve(config: Config, supervised: bool) -> ExitCode {
    let run = if supervised {
        // Standard input is the socket whose other end `run` has.
        let link = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
        match link.and_then(|link| link.peer_addr().map(|_| link)) {
            Ok(link) => Some(link),
            Err(_) => return complain("serve --supervised is what `run` starts, and nobody else", EX_USAGE),
        }
    } else {
        None
    };
    ExitCode::from(serve::serve(config, VERSION, serve::Surroundings { notify: notify(), run }))
}

fn receive(config: &Config, call: Receive) -> ExitCode {
    let Receive {
        #[cfg(feature = "faults")]
        faults,
    } = call;
    let options = receive::Options {
        #[cfg(feature = "faults")]
        faults,
        ..receive::Options::of(config)
    };
    ExitCode::from(receive::receive(config, options, &notify()))
}

fn run(command: Vec<OsString>) -> ExitCode {
    let config = match config() {
        Ok(config) => {
            logging::init(config.log_format, config.log);
            Some(config)
        }
        // The agent comes first: it runs, with or without us.
        Err(faults) => {
            log_faults(&faults);
            None
        }
    };
    let called_as = || std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let ourselves = std::env::current_exe().unwrap_or_else(|_| called_as());
    match run::run(run::Call { ourselves, command, vars: std::env::vars_os().collect(), config, notify: notify() }) {
        Ok(code) => ExitCode::from(code),
        Err(error) => complain(&format!("cannot supervise: {error}"), 1),
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
