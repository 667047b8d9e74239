//! The bounded queue between the doors and the one writer: [`Queue`] (many producers) and
//! [`Inbox`] (the writer).
//!
//! A request goes in whole or not at all. What it holds counts against the limits until the writer
//! has settled it, so the memory of events is bounded wherever they are. Commands to the writer
//! travel beside the events and are never dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smol::channel::{Receiver, Sender};

use crate::event::{Event, Note};
use crate::stats::{Refusal, Stats};

/// What the queue may hold, what is in the writer's open transaction included.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Events.
    pub events_max: usize,
    /// Bytes of events on the heap.
    pub bytes_max: usize,
}

impl Default for Limits {
    /// 16 384 events and 8 MiB: two seconds of the fastest producer measured, a quarter of the
    /// memory that we promise never to exceed.
    fn default() -> Limits {
        Limits { events_max: 16_384, bytes_max: 8 << 20 }
    }
}

/// When the writer is given what has gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// As soon as it is free: somebody waits for the commit.
    AtOnce,
    /// When `events` have gathered, or the first has waited for `longest`: nobody waits.
    Gather {
        /// Enough events to go at once.
        events: usize,
        /// The longest that an event waits.
        longest: Duration,
    },
}

/// Makes a queue. `C` is what can be asked of the writer besides storing.
pub fn queue<C>(limits: Limits, window: Window, stats: Arc<Stats>) -> (Queue<C>, Inbox<C>) {
    stats.queue.events_max.set(limits.events_max as i64);
    stats.queue.bytes_max.set(limits.bytes_max as i64);
    let state = State {
        entries: VecDeque::new(),
        commands: VecDeque::new(),
        events_queued: 0,
        events_held: 0,
        bytes_held: 0,
        first_queued: None,
        refusing: None,
        open: true,
        writer_gone: false,
        drain_told: false,
    };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), limits, window, stats });
    (Queue { shared: Arc::clone(&shared) }, Inbox { shared })
}

/// The producers' end. Cheap to clone.
#[derive(Debug)]
pub struct Queue<C> {
    shared: Arc<Shared<C>>,
}

impl<C> Clone for Queue<C> {
    fn clone(&self) -> Self {
        Queue { shared: Arc::clone(&self.shared) }
    }
}

/// The events of one request, while it is being read. Past the queue's room it keeps none of them,
/// only their number.
#[derive(Debug, Default)]
pub struct Batch {
    events: Vec<Event>,
    notes: Vec<Note>,
    bytes: usize,
    offered: usize,
    room: Option<Limits>,
}

/// What became of an offer.
#[must_use]
#[derive(Debug)]
pub enum Offer<T = Ticket> {
    /// In the queue. A ticket tells when it is stored.
    Queued(T),
    /// Nothing of it was taken, and it was counted. It may come again.
    Refused(Refusal),
    /// Nothing of it was taken: it can never fit.
    TooLarge,
}

/// Waits for the commit of one request.
#[derive(Debug)]
pub struct Ticket {
    settled: Receiver<Outcome>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every event of it is stored, or known to be no row.
    Stored {
        /// As new rows.
        stored: u32,
        /// Under an id that was there already.
        duplicates: u32,
        /// As no row: sums of turns whose calls are rows with tokens of their own.
        ignored: u32,
    },
    /// No event of it is stored.
    Refused(Refusal),
}

impl Ticket {
    /// Returns when the request is stored or refused.
    pub async fn settled(self) -> Outcome {
        // The sender is dropped unsent only when the writer has ended without storing.
        self.settled.recv().await.unwrap_or(Outcome::Refused(Refusal::StoreFailing))
    }
}

impl Batch {
    /// Adds an event, or only counts it when the queue has no room for it.
    pub fn push(&mut self, event: Event) {
        self.offered += 1;
        self.bytes += event.heap_bytes();
        let Some(room) = self.room else { return };
        if self.offered > room.events_max || self.bytes > room.bytes_max {
            self.forget();
        } else {
            self.events.push(event);
        }
    }

    /// Adds what the request says besides its events. It takes room like them, but is none of them.
    pub fn note(&mut self, note: Note) {
        self.bytes += note.heap_bytes();
        let Some(room) = self.room else { return };
        if self.bytes > room.bytes_max {
            self.forget();
        } else {
            self.notes.push(note);
        }
    }

    fn forget(&mut self) {
        self.room = None;
        self.events = Vec::new();
        self.notes = Vec::new();
    }

    /// How many events were pushed.
    pub fn len(&self) -> usize {
        self.offered
    }

    /// Whether no event was pushed. There may be notes all the same.
    pub fn is_empty(&self) -> bool {
        self.offered == 0
    }
}

impl<C> Queue<C> {
    /// A batch that will take what the queue has room for now.
    pub fn batch(&self) -> Batch {
        let state = self.shared.lock();
        let room = Limits {
            events_max: self.shared.limits.events_max - state.events_held,
            bytes_max: self.shared.limits.bytes_max - state.bytes_held,
        };
        Batch { events: Vec::new(), notes: Vec::new(), bytes: 0, offered: 0, room: Some(room) }
    }

    /// Offers the batch, whole or not at all. An empty batch is stored at once.
    ///
    /// Who drops the ticket before it is settled has told its client that nothing was stored: the
    /// writer then leaves it out.
    pub fn offer(&self, batch: Batch) -> Offer {
        let (reply, settled) = smol::channel::bounded(1);
        match self.put(batch, Some(reply)) {
            Offer::Queued(()) => Offer::Queued(Ticket { settled }),
            Offer::Refused(why) => Offer::Refused(why),
            Offer::TooLarge => Offer::TooLarge,
        }
    }

    /// Offers the batch likewise, and does not ask what becomes of it: once queued it is acknowledged.
    pub fn give(&self, batch: Batch) -> Offer<()> {
        self.put(batch, None)
    }

    fn put(&self, batch: Batch, reply: Option<Sender<Outcome>>) -> Offer<()> {
        let Shared { limits, stats, changed, .. } = &*self.shared;
        let offered = batch.offered;
        let never = offered > limits.events_max || batch.bytes > limits.bytes_max;
        let mut state = self.shared.lock();
        match state.refusal_of(&batch, limits) {
            None if offered == 0 && batch.notes.is_empty() => {
                if let Some(reply) = reply {
                    tell(&reply, Outcome::Stored { stored: 0, duplicates: 0, ignored: 0 });
                }
                Offer::Queued(())
            }
            None => {
                stats.count_queued(offered as u64);
                state.admit(Entry { events: batch.events, notes: batch.notes, bytes: batch.bytes, reply });
                stats.queue.events_high_water.raise(state.events_held as i64);
                self.shared.publish(&state);
                changed.notify_one();
                Offer::Queued(())
            }
            Some(_) if never => {
                stats.count_invalid(offered as u64);
                Offer::TooLarge
            }
            Some(refusal) => {
                stats.count_refused(refusal, offered as u64);
                Offer::Refused(refusal)
            }
        }
    }

    /// Why a request would be refused now, if it would.
    pub fn refusing(&self) -> Option<Refusal> {
        let state = self.shared.lock();
        let full =
            state.events_held >= self.shared.limits.events_max || state.bytes_held >= self.shared.limits.bytes_max;
        match state.refusing {
            _ if !state.open => Some(Refusal::Stopping),
            None if full => Some(Refusal::QueueFull),
            refusing => refusing,
        }
    }

    /// Asks something of the writer. `false` when the writer has ended.
    pub fn command(&self, command: C) -> bool {
        let mut state = self.shared.lock();
        if state.writer_gone {
            return false;
        }
        state.commands.push_back(command);
        self.shared.changed.notify_one();
        true
    }

    /// Takes no more events. What is in the queue is still stored.
    pub fn close(&self) {
        self.shared.lock().open = false;
        self.shared.changed.notify_one();
    }
}

/// The writer's end.
#[derive(Debug)]
pub struct Inbox<C> {
    shared: Arc<Shared<C>>,
}

/// One request in the writer's hands. Settle it with [`Inbox::settle`].
#[derive(Debug)]
pub struct Entry {
    /// Its events. None only where there are notes.
    pub events: Vec<Event>,
    /// What it says besides.
    pub notes: Vec<Note>,
    bytes: usize,
    reply: Option<Sender<Outcome>>,
}

impl Entry {
    /// Whether somebody waited for it and has given up.
    pub fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_some_and(Sender::is_closed)
    }
}

/// What the writer does next.
#[derive(Debug)]
pub struct Next<C> {
    /// Requests to store, oldest first; together at most [`BATCH_EVENTS_MAX`] events, or one request.
    pub entries: Vec<Entry>,
    /// What was asked besides.
    pub commands: Vec<C>,
    /// No event will ever come again. Said once.
    pub drained: bool,
}

/// What the records are called that may turn out to be no row only when they are stored.
const SUM_OF_TURN: &str = "openclaw.model.usage";

/// The most events in one transaction: past some hundreds a commit gets longer, not cheaper.
pub const BATCH_EVENTS_MAX: usize = 1000;

impl<C> Inbox<C> {
    /// Waits for work, for `patience` at the longest: then everything in [`Next`] may be empty.
    pub fn next(&self, patience: Option<Duration>) -> Next<C> {
        let until = patience.map(|p| Instant::now() + p);
        let mut state = self.shared.lock();
        loop {
            let now = Instant::now();
            let ripe_at = state.ripe_at(self.shared.window);
            let ripe = ripe_at.is_some_and(|at| at <= now);
            let drained = !state.open && state.entries.is_empty() && !state.drain_told;
            let late = until.is_some_and(|at| at <= now);
            if ripe || drained || late || !state.commands.is_empty() {
                let entries = if ripe { state.take() } else { Vec::new() };
                let commands = state.commands.drain(..).collect();
                state.drain_told |= drained;
                return Next { entries, commands, drained };
            }
            let wake_at = [ripe_at, until].into_iter().flatten().min();
            state = match wake_at {
                Some(at) => {
                    let (state, _) =
                        self.shared.changed.wait_timeout(state, at - now).unwrap_or_else(PoisonError::into_inner);
                    state
                }
                None => self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Tells the producers of these requests how they ended, counts it, and frees their room.
    pub fn settle(&self, settled: impl IntoIterator<Item = (Entry, Outcome)>) {
        let mut events = 0;
        let mut bytes = 0;
        for (entry, outcome) in settled {
            events += entry.events.len();
            bytes += entry.bytes;
            match outcome {
                Outcome::Stored { stored, duplicates, ignored } => {
                    self.shared.stats.count_settled(stored.into(), duplicates.into());
                    self.shared.stats.count_settled_ignored(SUM_OF_TURN, ignored.into());
                }
                Outcome::Refused(why) => {
                    self.shared.stats.count_given_back(why, entry.events.len() as u64);
                }
            }
            if let Some(reply) = &entry.reply {
                tell(reply, outcome);
            }
        }
        let mut state = self.shared.lock();
        state.events_held -= events;
        state.bytes_held -= bytes;
        self.shared.publish(&state);
    }

    /// From now on every offer is refused with `why`, until it is `None` again.
    pub fn refuse(&self, why: Option<Refusal>) {
        self.shared.lock().refusing = why;
    }

    /// Everything that waits, whatever the window says.
    pub fn take_all(&self) -> Vec<Entry> {
        let mut state = self.shared.lock();
        state.events_queued = 0;
        state.first_queued = None;
        state.entries.drain(..).collect()
    }

    /// Takes no more events, as [`Queue::close`].
    pub fn close(&self) {
        self.shared.lock().open = false;
    }
}

impl<C> Drop for Inbox<C> {
    /// The writer has ended: nobody may wait for it.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.open = false;
        state.writer_gone = true;
        state.events_queued = 0;
        let lost: usize = state.entries.drain(..).map(|entry| entry.events.len()).sum();
        state.commands.clear();
        self.shared.stats.count_given_back(Refusal::StoreFailing, lost as u64);
    }
}

/// Answers somebody who may have gone. There is room for the one answer.
fn tell(reply: &Sender<Outcome>, outcome: Outcome) {
    if reply.try_send(outcome).is_err() {
        log::debug!("a request was settled after its client had gone");
    }
}

#[derive(Debug)]
struct Shared<C> {
    state: Mutex<State<C>>,
    changed: Condvar,
    limits: Limits,
    window: Window,
    stats: Arc<Stats>,
}

#[derive(Debug)]
struct State<C> {
    entries: VecDeque<Entry>,
    commands: VecDeque<C>,
    /// Events in `entries`.
    events_queued: usize,
    /// Events in `entries` and in the writer's hands.
    events_held: usize,
    bytes_held: usize,
    /// Since when the first of `entries` waits.
    first_queued: Option<Instant>,
    refusing: Option<Refusal>,
    open: bool,
    writer_gone: bool,
    /// Whether the writer knows that nothing will come any more.
    drain_told: bool,
}

impl<C> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &State<C>) {
        self.stats.queue.events.set(state.events_held as i64);
        self.stats.queue.bytes.set(state.bytes_held as i64);
    }
}

impl<C> State<C> {
    fn refusal_of(&self, batch: &Batch, limits: &Limits) -> Option<Refusal> {
        let fits = batch.room.is_some()
            && self.events_held + batch.offered <= limits.events_max
            && self.bytes_held + batch.bytes <= limits.bytes_max;
        match self.refusing {
            _ if !self.open => Some(Refusal::Stopping),
            None if !fits => Some(Refusal::QueueFull),
            refusing => refusing,
        }
    }

    fn admit(&mut self, entry: Entry) {
        self.events_queued += entry.events.len();
        self.events_held += entry.events.len();
        self.bytes_held += entry.bytes;
        self.first_queued.get_or_insert_with(Instant::now);
        self.entries.push_back(entry);
    }

    /// When what is queued should go to the writer; `None` when nothing is.
    fn ripe_at(&self, window: Window) -> Option<Instant> {
        let first = self.first_queued?;
        match window {
            Window::Gather { events, longest } if self.open && self.events_queued < events => Some(first + longest),
            _ => Some(first),
        }
    }

    fn take(&mut self) -> Vec<Entry> {
        let mut taken = Vec::new();
        let mut events = 0;
        while let Some(entry) = self.entries.front() {
            events += entry.events.len();
            if events > BATCH_EVENTS_MAX && !taken.is_empty() {
                break;
            }
            self.events_queued -= entry.events.len();
            taken.extend(self.entries.pop_front());
        }
        if self.entries.is_empty() {
            self.first_queued = None;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CustomEvent, EventId, Kind};

    fn event() -> Event {
        let kind = Kind::CustomEvent(Box::new(CustomEvent { name: "n".into(), ..Default::default() }));
        Event { id: EventId::new(1), received_at_ms: 1, kind }
    }

    fn batch(queue: &Queue<()>, count: usize) -> Batch {
        let mut batch = queue.batch();
        for _ in 0..count {
            batch.push(event());
        }
        batch
    }

    fn small(events_max: usize) -> (Queue<()>, Inbox<()>, Arc<Stats>) {
        let stats = Arc::new(Stats::default());
        let limits = Limits { events_max, bytes_max: 1 << 20 };
        let (queue, inbox) = queue(limits, Window::AtOnce, Arc::clone(&stats));
        (queue, inbox, stats)
    }

    #[test]
    fn a_full_queue_refuses_the_whole_request_and_counts_it() {
        let (queue, inbox, stats) = small(5);
        assert!(matches!(queue.offer(batch(&queue, 3)), Offer::Queued(_)));
        assert!(matches!(queue.offer(batch(&queue, 3)), Offer::Refused(Refusal::QueueFull)));
        assert!(matches!(queue.offer(batch(&queue, 6)), Offer::TooLarge));
        assert!(matches!(queue.offer(batch(&queue, 2)), Offer::Queued(_)));
        let ledger = stats.ledger();
        assert_eq!((ledger.offered, ledger.in_flight, ledger.refused_total(), ledger.invalid), (14, 5, 3, 6));
        let next = inbox.next(None);
        assert_eq!(next.entries.len(), 2);
        assert!(matches!(queue.offer(batch(&queue, 1)), Offer::Refused(Refusal::QueueFull)), "held until settled");
        inbox.settle(next.entries.into_iter().map(|entry| {
            let stored = entry.events.len() as u32;
            (entry, Outcome::Stored { stored, duplicates: 0, ignored: 0 })
        }));
        assert_eq!(stats.ledger().stored, 5);
        assert!(matches!(queue.offer(batch(&queue, 5)), Offer::Queued(_)));
    }

    #[test]
    fn events_are_bounded_by_bytes_too() {
        let stats = Arc::new(Stats::default());
        let bytes_max = 10 * event().heap_bytes();
        let limits = Limits { events_max: 1000, bytes_max };
        let (queue, _inbox) = queue::<()>(limits, Window::AtOnce, stats);
        assert!(matches!(queue.offer(batch(&queue, 8)), Offer::Queued(_)));
        assert!(matches!(queue.offer(batch(&queue, 3)), Offer::Refused(Refusal::QueueFull)));
        assert!(matches!(queue.offer(batch(&queue, 11)), Offer::TooLarge));
        assert!(matches!(queue.offer(batch(&queue, 2)), Offer::Queued(_)));
    }

    #[test]
    fn closing_is_the_drain() {
        let (queue, inbox, stats) = small(10);
        let Offer::Queued(ticket) = queue.offer(batch(&queue, 2)) else { panic!("refused") };
        queue.close();
        assert!(matches!(queue.offer(batch(&queue, 1)), Offer::Refused(Refusal::Stopping)));
        let next = inbox.next(None);
        assert_eq!((next.entries.len(), next.drained), (1, false));
        inbox.settle(next.entries.into_iter().map(|e| (e, Outcome::Stored { stored: 2, duplicates: 0, ignored: 0 })));
        assert!(inbox.next(None).drained);
        assert!(queue.command(()), "commands are taken after the drain");
        assert_eq!(inbox.next(None).commands.len(), 1);
        assert_eq!(smol::block_on(ticket.settled()), Outcome::Stored { stored: 2, duplicates: 0, ignored: 0 });
        assert_eq!(stats.ledger().in_flight, 0);
    }

    #[test]
    fn a_request_whose_client_was_told_no_is_known_and_one_that_nobody_waits_for_is_not_mistaken_for_it() {
        let (queue, inbox, _stats) = small(10);
        let Offer::Queued(ticket) = queue.offer(batch(&queue, 1)) else { panic!("refused") };
        assert!(matches!(queue.give(batch(&queue, 1)), Offer::Queued(())));
        drop(ticket);
        let abandoned: Vec<bool> = inbox.take_all().iter().map(Entry::is_abandoned).collect();
        assert_eq!(abandoned, [true, false]);
        assert!(inbox.next(Some(Duration::ZERO)).entries.is_empty());
    }

    #[test]
    fn nobody_waits_for_a_writer_that_has_ended() {
        let (queue, inbox, stats) = small(10);
        let Offer::Queued(ticket) = queue.offer(batch(&queue, 2)) else { panic!("refused") };
        drop(inbox);
        assert_eq!(smol::block_on(ticket.settled()), Outcome::Refused(Refusal::StoreFailing));
        assert!(!queue.command(()));
        assert!(matches!(queue.offer(batch(&queue, 1)), Offer::Refused(_)));
        let ledger = stats.ledger();
        assert_eq!((ledger.offered, ledger.in_flight, ledger.refused_total()), (3, 0, 3));
    }

    #[test]
    fn a_window_gathers_until_enough_or_closed() {
        let stats = Arc::new(Stats::default());
        let window = Window::Gather { events: 3, longest: Duration::from_secs(3600) };
        let (queue, inbox) = queue::<()>(Limits::default(), window, stats);
        assert!(matches!(queue.offer(batch(&queue, 2)), Offer::Queued(_)));
        assert!(inbox.next(Some(Duration::ZERO)).entries.is_empty(), "two are not enough");
        assert!(matches!(queue.offer(batch(&queue, 1)), Offer::Queued(_)));
        assert_eq!(inbox.next(None).entries.len(), 2);
        assert!(matches!(queue.offer(batch(&queue, 1)), Offer::Queued(_)));
        queue.close();
        assert_eq!(inbox.next(None).entries.len(), 1);
    }
}
