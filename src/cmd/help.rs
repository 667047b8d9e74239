//! `--help`: made from the same table of variables as the README's.

use std::fmt::Write as _;

use crate::config::{VARIABLES, Variable};

/// The commands, and what each does.
pub const COMMANDS: &[(&str, &str)] = &[
    ("serve", "take, store and push telemetry until SIGTERM or SIGINT (also without any command)"),
    (
        "run -- CMD [ARG]...",
        "start the agent CMD beside serve, hand signals on to it, stop serve after it, exit as it did",
    ),
    ("check", "print the effective configuration, or everything that is wrong with it"),
    ("health [URL]", "ask a running sidecar how it is; exit 0 when it takes events"),
    (
        "report [FILE | URL]",
        "print what calls cost: from the database, a copy of it, or a running sidecar; [--since 7d] [--until TIME] \
         [--by model|provider|agent|channel|day|hour|status, two at most] [--json]",
    ),
    (
        "dead-letters [list]",
        "print the rows that the remote will never take, and why; [--json] [FILE]. `export [FILE]` prints them whole, a line \
         of JSON each; `retry [--all | ID...] [URL]` asks a running sidecar to send them again",
    ),
    ("backup FILE", "copy the database to a new file, while a sidecar runs or not"),
    (
        "receive",
        "take what sidecars push, each row once, until SIGTERM or SIGINT: on port 9095, in openclaw-receive.db, \
         where TRACE_PORT and TRACE_DB_PATH do not say otherwise",
    ),
];

/// Column at which descriptions start.
const INDENT: usize = 27;
/// Where lines are broken.
const WIDTH: usize = 100;

/// The whole text.
pub fn text(version: &str) -> String {
    let mut text = format!(
        "openclaw-trace {version}: telemetry for an LLM agent, on the agent's own machine\n\n\
         Usage: openclaw-trace [COMMAND]\n\nCommands:\n"
    );
    for (command, meaning) in COMMANDS {
        entry(&mut text, command, meaning);
    }
    text.push_str("\nOptions:\n");
    entry(&mut text, "-h, --help", "print this");
    entry(&mut text, "-V, --version", "print the version");
    text.push_str("\nVariables (set but empty is as good as not set; durations need a unit: 500ms, 5m, 1h30m, 7d):\n");
    for variable in VARIABLES {
        entry(&mut text, variable.name, &described(variable));
    }
    text.push_str(
        "\nExit codes: 0 all that was accepted is stored, 1 it is not or could not start, 64 wrong arguments,\n",
    );
    text.push_str("78 wrong configuration\n");
    text
}

/// Meaning and default of a variable, as `--help` and the docs say them.
pub fn described(variable: &Variable) -> String {
    let file = if variable.secret { format!("; also from the file in {}_FILE", variable.name) } else { String::new() };
    format!("{}{file} [{}]", variable.meaning, variable.default)
}

fn entry(text: &mut String, name: &str, meaning: &str) {
    let mut line = format!("  {name:<width$}", width = INDENT - 3);
    for word in meaning.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat(INDENT - 1);
        }
        let written = write!(line, " {word}");
        debug_assert!(written.is_ok(), "a String takes what is written");
    }
    text.push_str(&line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_variable_and_command_and_fits_a_terminal() {
        let text = text("1.2.3");
        for name in VARIABLES.iter().map(|v| v.name).chain(COMMANDS.iter().map(|(name, _)| *name)) {
            assert!(text.contains(&format!("\n  {name}")), "{name}");
        }
        for line in text.lines() {
            assert!(line.len() <= 110, "{line}");
        }
    }
}
