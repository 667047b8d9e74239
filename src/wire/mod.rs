//! The JSON that is ours: what producers post, and what is pushed.

pub mod native;
pub mod push;
