//! Following the log of OpenClaw's gateway: what went wrong there, what its channels do, and when its configuration changes.
//!
//! Owns what a line of that log means. Promises: a line that is there to be read, and should be a row, is exactly one; how
//! far it was read is stored in the transaction of the rows that came before. Lines that could not be read are counted, and
//! so are files that were gone before anybody could. The executor never waits for the disk of the log.

mod apart;
mod disk;
mod files;
mod follower;
mod line;
mod lines;
mod place;
mod rules;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::{Event, Note};
use crate::logging::Repeats;
use crate::queue::{Offer, Outcome, Queue};
use crate::shutdown::{Token, stops_within};
use crate::stats::Stats;
use crate::store::{ReadError, Reader};

use apart::Apart;
use follower::Follower;

/// What is followed, and where it is stored how far it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `TRACE_OPENCLAW_LOG`: a directory, or a file in whose name a date may stand.
    pub path: PathBuf,
    /// The database.
    pub db_path: PathBuf,
}

/// Time between two looks. Nobody waits for a row of a log.
const POLL: Duration = Duration::from_millis(500);
/// The key in `meta`.
const POSITION: &str = "openclaw_log";

/// Reads on and on, until the other end of `stop` has been dropped; then what is there once more, and returns.
pub async fn run<C>(source: Source, queue: Queue<C>, stats: Arc<Stats>, clock: Clock, stop: Token) {
    log::info!(path:% = source.path.display(); "following the gateway's log");
    let apart = match Apart::start() {
        Ok(apart) => apart,
        Err(error) => {
            log::error!(error:%; "the gateway's log is not followed: no thread can be started");
            stats.openclaw_log.set_problem(Some(error.to_string()));
            return;
        }
    };
    follow(&apart, &source, &queue, &stats, clock, &stop).await;
    apart.end();
}

/// `None` = the thread has ended before.
async fn follow<C>(
    apart: &Apart,
    source: &Source,
    queue: &Queue<C>,
    stats: &Arc<Stats>,
    clock: Clock,
    stop: &Token,
) -> Option<()> {
    let position = stored_position(apart, source, stats, &clock, stop).await?;
    let mut follower = Follower::new(&source.path, position.as_deref(), Arc::clone(stats), clock);
    let mut is_stopping = false;
    loop {
        let step = move || {
            let found = follower.step();
            (follower, found)
        };
        let found;
        (follower, found) = apart.have_done(step).await?;
        let is_more = match found {
            None => false,
            // A commit for each second of a log that has nothing for us would be felt.
            Some(portion) if portion.events.is_empty() => {
                follower.passed(portion.counted(stats));
                true
            }
            Some(mut portion) => {
                let events = std::mem::take(&mut portion.events);
                let is_stored = store(queue, events, follower.position_after(&portion)).await;
                if is_stored {
                    follower.done(portion.counted(stats));
                }
                is_stored
            }
        };
        if let Some(position) = follower.to_remember(is_stopping && !is_more)
            && store(queue, Vec::new(), position).await
        {
            follower.remembered();
        }
        match (is_more, is_stopping) {
            (true, _) => {}
            (false, true) => return Some(()),
            (false, false) => is_stopping = stops_within(stop, POLL).await,
        }
    }
}

/// What was stored last. Waits until it can be read: whoever begins without it skips lines. `None` = told to stop before.
async fn stored_position(
    apart: &Apart,
    source: &Source,
    stats: &Stats,
    clock: &Clock,
    stop: &Token,
) -> Option<Option<String>> {
    let mut failures = Repeats::default();
    loop {
        let db_path = source.db_path.clone();
        let read = move || -> Result<_, ReadError> { Reader::open(&db_path)?.position(POSITION) };
        match apart.have_done(read).await? {
            Ok(position) => return Some(position),
            Err(error) => {
                if let Some(count) = failures.again(1, clock.uptime()) {
                    log::warn!(error:%, count; "the gateway's log waits for the database");
                }
                stats.openclaw_log.set_problem(Some(error.to_string()));
            }
        }
        if stops_within(stop, POLL).await {
            return None;
        }
    }
}

/// Whether these rows, and how far the log was read, are stored now. If not, nothing of them is.
async fn store<C>(queue: &Queue<C>, events: Vec<Event>, position: Box<str>) -> bool {
    let mut batch = queue.batch();
    events.into_iter().for_each(|event| batch.push(event));
    batch.note(Note::Position { key: POSITION, value: position });
    let outcome = match queue.offer(batch) {
        Offer::Queued(ticket) => ticket.settled().await,
        Offer::Refused(why) => Outcome::Refused(why),
        // A portion is a small part of what the queue holds when it is empty.
        Offer::TooLarge => {
            log::error!("lines of the gateway's log take more room than the queue has");
            return false;
        }
    };
    match outcome {
        Outcome::Stored { .. } => true,
        // The queue has counted it, and the writer said why.
        Outcome::Refused(why) => {
            log::debug!(reason = why.name(); "lines of the gateway's log wait to be stored");
            false
        }
    }
}
