//! `/metrics` and `/debug/stats`: the format, what stands in them, and who may ask.

mod format;
mod served;
pub mod shown;
