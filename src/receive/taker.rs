//! The two routes: a push is handed on and answered, and `/health` says how the receiver is.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::keeper::{Keeper, Told};
use crate::clock::Clock;
use crate::exchange::{Request, Response};
use crate::http::{TakesPushes, refusal};
use crate::stats::{Busy, Refusal, Stats, WRITER_STUCK};
use crate::wire::pushed::Fault;

/// Who takes pushes.
#[derive(Debug)]
pub(super) struct Taker {
    keeper: Keeper,
    stats: Arc<Stats>,
    clock: Clock,
    /// How long a push may wait for its answer.
    patience: Duration,
    path: PathBuf,
    requests: Cell<u64>,
    bytes: Cell<u64>,
}

impl Taker {
    pub(super) fn new(keeper: Keeper, stats: Arc<Stats>, clock: Clock, patience: Duration, path: PathBuf) -> Taker {
        Taker { keeper, stats, clock, patience, path, requests: Cell::new(0), bytes: Cell::new(0) }
    }

    /// Whether the thread has been at one thing for as long as a push may wait. Another one is refused at once then.
    fn keeps_waiting(&self) -> bool {
        let busy = self.busy();
        busy.is_stuck() && busy.time >= self.patience
    }

    fn busy(&self) -> Busy {
        self.stats.writer.busy(self.clock.uptime())
    }
}

impl TakesPushes for Taker {
    async fn push(&self, request: Request) -> Response {
        self.requests.set(self.requests.get() + 1);
        self.bytes.set(self.bytes.get() + request.body.len() as u64);
        if self.keeps_waiting() {
            return refusal(503, "the database has not answered for a while, send the same again later".to_owned());
        }
        let key = request.header("idempotency-key").map(str::to_owned);
        match self.keeper.store(request.body, key).await {
            Told::Taken(answer) => Response::json(200, answer),
            Told::Faulty(Fault::Malformed(message)) => refusal(400, message),
            Told::Faulty(Fault::TooMany(message)) => refusal(413, message),
            Told::NotNow(cause) => refusal(503, format!("nothing is stored, send the same again later: {cause}")),
        }
    }

    fn health(&self, refusing: Option<&'static str>) -> Response {
        let known = self.keeper.known();
        let failing = known.trouble.is_some().then(|| Refusal::StoreFailing.name());
        let refusing = failing.or_else(|| self.busy().is_stuck().then_some(WRITER_STUCK)).or(refusing);
        let tables = &known.totals.tables;
        let report = Report {
            status: if refusing.is_some() { "refusing" } else { "ok" },
            refusing,
            reason: known.trouble.as_deref(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: self.clock.uptime().as_secs(),
            path: self.path.display().to_string(),
            instances: known.totals.instances,
            rows: tables.iter().filter(|(_, t)| t.accepted > 0).map(|(name, t)| (name.as_str(), t.accepted)).collect(),
            duplicates: tables.values().map(|table| table.duplicates).sum(),
            rejected: tables.values().map(|table| table.rejected).sum(),
            requests: self.requests.get(),
            bytes: self.bytes.get(),
            refused: self.stats.http.refused_by_status(),
            store_errors: known.errors,
        };
        match serde_json::to_vec(&report) {
            Ok(body) => Response::json(if refusing.is_some() { 503 } else { 200 }, body),
            Err(error) => unreachable!("texts and numbers under text keys are always JSON: {error}"),
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusing: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    version: &'static str,
    uptime_s: u64,
    path: String,
    instances: u64,
    rows: BTreeMap<&'a str, u64>,
    duplicates: u64,
    rejected: u64,
    requests: u64,
    bytes: u64,
    refused: BTreeMap<u16, u64>,
    store_errors: u64,
}
