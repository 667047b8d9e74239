//! `/metrics` and `/debug/stats`: the format, what stands in them, and who may ask.

mod backlog;
mod format;
mod served;
pub mod shown;
mod stuck;
