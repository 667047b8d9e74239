//! The tests that need a socket, a file or a child process: one binary, one file an area.

// clippy.toml allows these in tests, but takes the helpers of a test binary for something else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod backup;
mod bad_days;
mod captures;
mod collect;
mod cuts;
mod dead_letters;
mod delivery;
mod follow;
mod http;
mod localhost;
mod metrics;
mod order_of_death;
mod otlp_differential;
mod otlp_port;
mod prices;
mod push;
mod receive;
mod redaction;
mod replay;
mod retention;
mod run;
mod store;
mod summary;
mod sums;
mod support;
mod tidy;
mod truth;
