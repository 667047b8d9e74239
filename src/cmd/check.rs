//! `check`: the configuration as it takes effect, secrets masked.

use crate::config::Config;

/// One `NAME=value` a line, in the order of the table.
pub fn report(config: &Config) -> String {
    config.effective().iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}
