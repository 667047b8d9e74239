//! GET /metrics and GET /debug/stats: all that is counted, for Prometheus and for people.

use super::App;
use super::budget::{Budget, Hold};
use super::fault::{Dialect, Fault};
use super::health;
use super::limits::Limits;
use crate::exchange::Response;
use crate::metrics::{Facts, Process, TEXT_TYPE, json, text};

/// The text that Prometheus reads.
pub(super) fn metrics<C>(app: &App<C>, limits: &Limits, budget: &Budget, hold: &mut Hold) -> Response {
    held(text(&facts(app, limits, budget)), TEXT_TYPE, hold)
}

/// The same families as JSON.
pub(super) fn stats<C>(app: &App<C>, limits: &Limits, budget: &Budget, hold: &mut Hold) -> Response {
    held(json(&facts(app, limits, budget)), "application/json", hold)
}

fn facts<'a, C>(app: &'a App<C>, limits: &Limits, budget: &Budget) -> Facts<'a> {
    Facts {
        stats: &app.stats,
        version: env!("CARGO_PKG_VERSION"),
        now_ms: app.clock.now_ms(),
        uptime: app.clock.uptime(),
        refusing: health::refusing(app, limits, budget),
        file_bytes_max: app.config.retention.db_max_bytes,
        budget_day: app.config.budget_day,
        follows_log: app.config.openclaw_log.is_some(),
        process: Process::read(),
    }
}

/// 200, if there is room for it until its client has read it.
fn held(mut body: Vec<u8>, media: &'static str, hold: &mut Hold) -> Response {
    // What is counted is what is held.
    body.shrink_to_fit();
    match hold.resize(body.len()) {
        Ok(()) => Response { content_type: Some(media), ..Response::json(200, body) },
        Err(full) => Fault::from(full).response(Dialect::Native),
    }
}
