//! Telemetry for an LLM agent, on the agent's own machine.
pub mod client;
pub mod clock;
pub mod cmd;
pub mod collect;
pub mod config;
pub mod event;
pub mod exchange;
pub mod http;
pub mod logging;
pub mod otlp;
pub mod push;
pub mod queue;
pub mod serve;
pub mod shutdown;
pub mod stats;
pub mod store;
pub mod wire;
