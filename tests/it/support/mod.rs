//! What the integration tests share.

pub mod client;
pub mod dir;
pub mod otlp;
pub mod receiver;
pub mod schema;
pub mod server;
pub mod sidecar;
pub mod sink;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// No test waits longer than this for anything: then it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a database that changes nothing in it.
pub fn read_only(db: &Path) -> Connection {
    Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}
