//! Telemetry for an LLM agent, on the agent's own machine.
pub mod clock;
pub mod config;
pub mod event;
pub mod exchange;
pub mod logging;
pub mod queue;
pub mod shutdown;
pub mod stats;
pub mod store;
