//! What is posted becomes a batch in the queue, and what became of it an answer.

use serde::Serialize;

use super::App;
use super::budget::Hold;
use super::fault::{self, Dialect, Fault, NativeError};
use super::health;
use super::limits::Limits;
use crate::config::Ack;
use crate::event::{Event, EventId, Kind, Table};
use crate::exchange::{Request, Response};
use crate::otlp::{self, Encoding, Signal, Told};
use crate::price::Filled;
use crate::queue::{Batch, Offer, Outcome};
use crate::stats;
use crate::wire::native;

/// Answers a native request: 202 once its valid items are stored (or queued, by `TRACE_ACK`).
pub(super) async fn native<C>(
    app: &App<C>,
    limits: &Limits,
    table: Table,
    request: Request,
    hold: &mut Hold,
) -> Response {
    let now_ms = app.clock.now_ms();
    let context = native::Context {
        now_ms,
        text: app.config.text,
        idempotency_key: request.header("idempotency-key").filter(|key| !key.is_empty()),
        items_max: limits.items_max,
    };
    let mut batch = app.queue.batch();
    let parsed = native::parse(table, &request.body, &context, &mut |event| batch.push(priced(app, event)));
    drop(request);
    let report = match parsed {
        Ok(report) => report,
        Err(fault) => {
            // How many records are in it cannot be known: it counts as one.
            app.stats.count_invalid(1);
            return native_fault(fault).response(Dialect::Native);
        }
    };
    native_signal(app, table).received((report.ids.len() + report.rejected.len()) as u64, now_ms);
    app.stats.count_invalid(report.rejected.len() as u64);
    if let Err(full) = hold.resize(receipt_bytes(&report)) {
        app.stats.count_refused(stats::Refusal::QueueFull, batch.len() as u64);
        return Fault::from(full).response(Dialect::Native);
    }
    if report.ids.is_empty() && !report.rejected.is_empty() {
        return all_invalid(&report.rejected);
    }
    match store(app, limits, batch).await {
        Ok(duplicates) => fault::json(202, &Receipt::new(&report, duplicates)),
        Err(fault) => fault.response(Dialect::Native),
    }
}

/// Answers an OTLP request: 200 once what it tells is stored (or queued, by `TRACE_ACK`).
pub(super) async fn otlp<C>(
    app: &App<C>,
    limits: &Limits,
    signal: Signal,
    encoding: Encoding,
    body: Vec<u8>,
    hold: &mut Hold,
) -> Response {
    match records(app, limits, signal, encoding, body, hold).await {
        Ok(body) => Response { content_type: Some(fault::content_type(encoding)), ..Response::json(200, body) },
        Err(fault) => fault.response(Dialect::Otlp(encoding)),
    }
}

/// Answers JSON of another signal, or native JSON, on a path that is one signal's alone: an empty request, as OTLP has it,
/// with a warning. On /v1/traces, which native JSON shares, another signal is refused.
pub(super) fn wrong_signal<C>(app: &App<C>, signal: Signal) -> Response {
    // One for the request: nobody has counted what is in it.
    app.stats.count_ignored("otlp.wrong_signal", 1);
    let warning = "nothing is taken: expected resourceSpans, resourceLogs or resourceMetrics, as the path is of traces, \
                   logs or metrics, found other names";
    Response::json(200, otlp::success(signal, Encoding::Json, Some((0, warning))))
}

async fn records<C>(
    app: &App<C>,
    limits: &Limits,
    signal: Signal,
    encoding: Encoding,
    body: Vec<u8>,
    hold: &mut Hold,
) -> Result<Vec<u8>, Fault> {
    let now_ms = app.clock.now_ms();
    let context = otlp::Context { now_ms, text: app.config.text, records_max: limits.items_max };
    let mut batch = app.queue.batch();
    let parsed = otlp::read(signal, encoding, body.into(), &context, &mut |told| match told {
        Told::Event(event) => batch.push(priced(app, event)),
        Told::Note(note) => batch.note(note),
    });
    hold.release();
    let report = parsed.map_err(|fault| {
        app.stats.count_invalid(1);
        otlp_fault(fault)
    })?;
    otlp_signal(app, signal).received(report.records, now_ms);
    app.stats.count_invalid(report.rejected);
    for (name, count) in &report.ignored {
        app.stats.count_ignored(name, *count);
    }
    if report.rejected > 0 && report.rejected == report.records {
        return Err(Fault::new(400, report.rejected_message));
    }
    store(app, limits, batch).await?;
    let partial = (report.rejected > 0).then_some((report.rejected, report.rejected_message.as_str()));
    Ok(otlp::success(signal, encoding, partial))
}

/// The event, with what the table of prices knows of its cost. A model that is not in it is told of once.
fn priced<C>(app: &App<C>, mut event: Event) -> Event {
    let Kind::LlmTrace(trace) = &mut event.kind else { return event };
    if app.config.prices.table.fill(trace) == Filled::Unpriced {
        let model = match &trace.provider {
            Some(provider) => format!("{provider}/{}", trace.request_model),
            None => trace.request_model.to_string(),
        };
        if let Some(model) = app.stats.count_unpriced(&model) {
            log::info!(model; "a model without a price: its calls have no cost");
        }
    }
    event
}

/// Offers the batch and waits for the commit if the acknowledgement promises one. Gives back how
/// many events were stored before, as far as that is known.
async fn store<C>(app: &App<C>, limits: &Limits, batch: Batch) -> Result<u32, Fault> {
    if health::keeps_waiting(app, limits) {
        app.stats.count_refused(stats::Refusal::StoreFailing, batch.len() as u64);
        return Err(Fault::new(503, "the database has not answered for a while, send the same again later"));
    }
    match app.config.ack {
        Ack::Queued => queued(app.queue.give(batch)).map(|()| 0),
        Ack::Stored => match queued(app.queue.offer(batch))?.settled().await {
            Outcome::Stored { duplicates, .. } => Ok(duplicates),
            Outcome::Refused(refusal) => Err(refusal.into()),
        },
    }
}

fn queued<T>(offer: Offer<T>) -> Result<T, Fault> {
    match offer {
        Offer::Queued(queued) => Ok(queued),
        Offer::Refused(refusal) => Err(refusal.into()),
        Offer::TooLarge => Err(Fault::new(413, "too many records for one request, send fewer at a time")),
    }
}

/// What a native client is told of its items.
#[derive(Debug, Serialize)]
struct Receipt<'a> {
    /// Items stored as new rows; with `TRACE_ACK=queued`, items queued.
    accepted: usize,
    /// Items whose id was stored before: a success too.
    duplicates: usize,
    rejected: Vec<RejectedItem<'a>>,
    #[serde(serialize_with = "ids_as_text")]
    trace_ids: &'a [EventId],
}

#[derive(Debug, Serialize)]
struct RejectedItem<'a> {
    index: usize,
    field: &'a str,
    message: &'a str,
}

/// About as many bytes as the answer will have. A client that does not read it must not make us keep
/// more than all bodies may have together.
fn receipt_bytes(report: &native::Report) -> usize {
    /// A UUID, two quotes and a comma.
    const ID_BYTES: usize = 39;
    /// `{"index":9999,"field":"","message":""},`
    const ITEM_BYTES: usize = 40;
    let rejected = report.rejected.iter().map(|item| ITEM_BYTES + item.field.len() + item.message.len());
    report.ids.len() * ID_BYTES + rejected.sum::<usize>()
}

impl<'a> Receipt<'a> {
    fn new(report: &'a native::Report, duplicates: u32) -> Receipt<'a> {
        let rejected = items(&report.rejected);
        let duplicates = duplicates as usize;
        Receipt { accepted: report.ids.len() - duplicates, duplicates, rejected, trace_ids: &report.ids }
    }
}

fn items(rejected: &[native::Rejected]) -> Vec<RejectedItem<'_>> {
    rejected.iter().map(|r| RejectedItem { index: r.index, field: &r.field, message: &r.message }).collect()
}

fn ids_as_text<S: serde::Serializer>(ids: &[EventId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ids.iter().map(EventId::to_string))
}

fn all_invalid(rejected: &[native::Rejected]) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        error: NativeError<'a>,
        rejected: Vec<RejectedItem<'a>>,
    }
    let rejected = items(rejected);
    let first = rejected.first();
    let error = NativeError {
        code: "invalid",
        message: first.map_or("no item is valid", |item| item.message),
        field: first.map(|item| item.field),
    };
    fault::json(400, &Body { error, rejected })
}

fn otlp_signal<C>(app: &App<C>, signal: Signal) -> &stats::Signal {
    match signal {
        Signal::Traces => &app.stats.signals.otlp_traces,
        Signal::Logs => &app.stats.signals.otlp_logs,
        Signal::Metrics => &app.stats.signals.otlp_metrics,
    }
}

fn native_signal<C>(app: &App<C>, table: Table) -> &stats::Signal {
    match table {
        Table::LlmTraces => &app.stats.signals.native_traces,
        Table::ErrorEvents => &app.stats.signals.native_errors,
        Table::CustomEvents | Table::SystemMetrics => &app.stats.signals.native_events,
    }
}

fn native_fault(fault: native::Fault) -> Fault {
    match fault {
        native::Fault::Syntax { message } | native::Fault::NotNative { message } => Fault::new(400, message),
        native::Fault::TooMany { items_max } => {
            Fault::new(413, format!("one request may have {items_max} items, send fewer at a time"))
        }
    }
}

fn otlp_fault(fault: otlp::Fault) -> Fault {
    match fault {
        otlp::Fault::Malformed { message } => Fault::new(400, message),
        otlp::Fault::TooLarge { message } => Fault::new(413, message),
    }
}
