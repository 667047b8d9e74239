//! The commands that are not `serve`, one file each, and what `--help` prints.

pub mod backup;
pub mod check;
pub mod dead_letters;
pub mod health;
pub mod help;
pub mod report;
mod width;
