//! The JSON that is ours: what producers post, and what is pushed.

pub mod clickhouse;
pub mod native;
pub mod push;
