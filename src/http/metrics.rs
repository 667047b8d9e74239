//! GET /metrics and GET /debug/stats: all that is counted, for Prometheus and for people.

use super::App;
use super::budget::{Budget, Hold, SMALL_BODY_BYTES};
use super::fault::{Dialect, Fault};
use super::health;
use super::limits::Limits;
use crate::exchange::Response;
use crate::metrics::{Facts, Process, TEXT_TYPE, json, text};

/// The text that Prometheus reads.
pub(super) fn metrics<C>(app: &App<C>, limits: &Limits, budget: &Budget, hold: &mut Hold) -> Response {
    held(|| text(&facts(app, limits, budget)), TEXT_TYPE, hold)
}

/// The same families as JSON.
pub(super) fn stats<C>(app: &App<C>, limits: &Limits, budget: &Budget, hold: &mut Hold) -> Response {
    held(|| json(&facts(app, limits, budget)), "application/json", hold)
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

/// Nothing is written where there is no room for as much: what the figures come to with some models and components.
/// More are counted once they are written, one page at a time, and never past [`BYTES_MAX`](crate::metrics::BYTES_MAX).
const WRITTEN_BYTES: usize = SMALL_BODY_BYTES;

/// 200, if there is room for it until its client has read it.
fn held(write: impl FnOnce() -> Vec<u8>, media: &'static str, hold: &mut Hold) -> Response {
    let written = hold.resize(WRITTEN_BYTES).and_then(|()| {
        let mut body = write();
        // What is counted is what is held.
        body.shrink_to_fit();
        hold.resize(body.len()).map(|()| body)
    });
    match written {
        Ok(body) => Response { content_type: Some(media), ..Response::json(200, body) },
        Err(full) => Fault::from(full).response(Dialect::Native),
    }
}
