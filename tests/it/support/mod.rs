//! What the integration tests share.

pub mod client;
pub mod dir;

pub mod sidecar;
pub mod sink;
use std::time::Duration;

/// No test waits longer than this for anything: then it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);
pub mod otlp;
pub mod server;
pub mod sink;
use std::time::Duration;
