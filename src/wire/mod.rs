//! The JSON that is ours: what producers post, what is pushed, and how a receiver reads that.

pub mod clickhouse;
pub mod native;
pub mod push;
pub mod pushed;
