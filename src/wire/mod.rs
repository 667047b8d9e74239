//! JSON at the borders that is ours: what producers post.

pub mod native;
