//! What the integration tests share.

pub mod dir;
pub mod otlp;
pub mod server;
