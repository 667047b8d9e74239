//! Telemetry for an LLM agent, on the agent's own machine.
//!
//! ```text
//!  OpenClaw, OTel clients, curl
//!        │ HTTP
//!        ▼
//!  http ── wire, otlp ──┐                                  ┌─> push ── client ──> remote
//!  collect, follow ─────┴─> queue ──> store::Writer ──> SQLite ──> store::Reader
//!                                         ▲ Command: confirm (push)
//! ```
//!
//! Events flow to the right; requests to change the database flow to the one writer; nothing flows
//! back. Bytes become an [`event::Event`] in `wire` or `otlp`, and past that border nothing checks
//! again. `serve` starts all of it and stops it in order. `run` is another process: it starts the agent and `serve`,
//! and keeps the one going when the other does not. `receive` is the
//! other end of a push: the reference of what a remote does.
//!
//! A module may use those of the lines above its own, and none of its own line (`tests/it/tidy.rs`
//! holds us to it):
//!
//! | line | modules |
//! |---|---|
//! | 0 | `event` `clock` |
//! | 1 | `stats` `shutdown` `exchange` `space` `malloc` `jsontext` `notify` `link` `price` `redact` |
//! | 2 | `config` |
//! | 3 | `logging` `client` `summary` `metrics` |
//! | 4 | `queue` `wire` `otlp` |
//! | 5 | `store` |
//! | 6 | `http` `collect` `push` `follow` |
//! | 7 | `receive` |
//! | 8 | `serve` `run` `cmd` |

pub mod client;
pub mod clock;
pub mod cmd;
pub mod collect;
pub mod config;
pub mod event;
pub mod exchange;
pub mod follow;
pub mod http;
pub mod jsontext;
pub mod link;
pub mod logging;
#[allow(unsafe_code)]
pub mod malloc;
pub mod metrics;
pub mod notify;
pub mod otlp;
pub mod price;
pub mod push;
pub mod queue;
pub mod receive;
pub mod redact;
pub mod run;
pub mod serve;
pub mod shutdown;
pub mod space;
pub mod stats;
pub mod store;
pub mod summary;
pub mod wire;
