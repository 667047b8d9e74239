//! The budget of a day: looks what the day has cost, and tells once when that is as much as it may. Nothing is refused.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, day_start, day_utc};
use crate::event::{CustomEvent, Event, EventId, Kind, PicoUsd, Severity, Source};
use crate::queue::{Offer, Outcome, Queue};
use crate::shutdown::{Token, stops_within};
use crate::stats::Stats;

/// Between two looks: the figure is there already, so that a look costs next to nothing.
const EVERY: Duration = Duration::from_secs(5);
/// The name of the event.
const NAME: &str = "openclaw_trace.budget.crossed";

/// Looks until it is time to stop.
pub(super) async fn watch<C>(limit: PicoUsd, queue: Queue<C>, stats: Arc<Stats>, clock: Clock, stop: Token) {
    stats.budget.limit_picousd.set(limit.0);
    let mut watch = Watch { limit, told: None };
    loop {
        watch.look(&queue, &stats, &clock).await;
        if stops_within(&stop, EVERY).await {
            return;
        }
    }
}

struct Watch {
    limit: PicoUsd,
    /// Start of the day that was told of last.
    told: Option<i64>,
}

impl Watch {
    async fn look<C>(&mut self, queue: &Queue<C>, stats: &Stats, clock: &Clock) {
        let now_ms = clock.now_ms();
        let (day_ms, spent) = (day_start(now_ms), stats.spent_today(now_ms));
        if spent < self.limit || self.told == Some(day_ms) {
            return;
        }
        let mut batch = queue.batch();
        batch.push(crossed(self.limit, spent, day_ms, now_ms));
        // What is refused now is offered again at the next look.
        let Offer::Queued(ticket) = queue.offer(batch) else { return };
        let Outcome::Stored { stored, .. } = ticket.settled().await else { return };
        self.told = Some(day_ms);
        // An earlier start has told of this day and this amount already: its event has the same id.
        if stored > 0 {
            stats.budget.crossings.add(1);
            let (day, limit_usd, spent_usd) = (day_utc(day_ms), self.limit, spent);
            log::warn!(day, limit_usd:%, spent_usd:%; "the budget of the day is spent");
        }
    }
}

/// One event for a day and an amount, however often it is made.
fn crossed(limit: PicoUsd, spent: PicoUsd, day_ms: i64, now_ms: i64) -> Event {
    let day = day_utc(day_ms);
    let attributes = format!(r#"{{"limit_usd":{limit},"spent_usd":{spent},"day":"{day}"}}"#);
    let event = CustomEvent {
        timestamp_ms: now_ms,
        name: NAME.into(),
        severity: Some(Severity::Warn),
        source: Source::Serve,
        attributes: Some(attributes.into()),
        ..CustomEvent::default()
    };
    let id = EventId::of_record(day_ms, format!("{NAME}\0{day}\0{}", limit.0).as_bytes());
    Event { id, received_at_ms: now_ms, kind: Kind::CustomEvent(Box::new(event)) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::queue::{Inbox, Limits, Window, queue};

    /// 2026-11-23T18:32:12Z
    const NOW: i64 = 1_795_458_732_000;
    const DAY: Duration = Duration::from_secs(86_400);
    const DOLLAR: i64 = 1_000_000_000_000;

    /// Takes one batch and settles it as a store would that knows these ids.
    fn store(inbox: &Inbox<()>, known: &mut HashSet<EventId>) -> Vec<Event> {
        let mut events = Vec::new();
        let settled: Vec<_> = inbox
            .next(Some(Duration::ZERO))
            .entries
            .into_iter()
            .map(|entry| {
                let stored = entry.events.iter().filter(|event| known.insert(event.id)).count() as u32;
                events.extend(entry.events.iter().cloned());
                let duplicates = entry.events.len() as u32 - stored;
                (entry, Outcome::Stored { stored, duplicates, ignored: 0 })
            })
            .collect();
        inbox.settle(settled);
        events
    }

    #[test]
    fn a_day_that_costs_what_it_may_is_told_of_once_and_the_next_day_again() {
        let (stats, clock) = (Arc::new(Stats::default()), Clock::by_hand(NOW));
        let (queue, inbox) = queue::<()>(Limits::default(), Window::AtOnce, Arc::clone(&stats));
        let mut known = HashSet::new();
        let mut watch = Watch { limit: PicoUsd(2 * DOLLAR), told: None };
        let mut look = |watch: &mut Watch, spent: i64| {
            let now_ms = clock.now_ms();
            stats.store().usage.day_ms = day_start(now_ms);
            stats.store().usage.day_cost = PicoUsd(spent);
            let looking = watch.look(&queue, &stats, &clock);
            let mut told = Vec::new();
            // The first poll offers, the second finds it stored.
            let mut looking = Box::pin(looking);
            smol::block_on(async {
                if smol::future::poll_once(&mut looking).await.is_none() {
                    told = store(&inbox, &mut known);
                    looking.await;
                }
            });
            told
        };
        assert!(look(&mut watch, 2 * DOLLAR - 1).is_empty());
        let told = look(&mut watch, 5 * DOLLAR / 2);
        let Kind::CustomEvent(event) = &told[0].kind else { panic!("{told:?}") };
        assert_eq!((&*event.name, event.severity, event.source), (NAME, Some(Severity::Warn), Source::Serve));
        let attributes = event.attributes.as_deref().unwrap();
        assert_eq!(attributes, r#"{"limit_usd":2,"spent_usd":2.5,"day":"2026-11-23"}"#);
        assert!(look(&mut watch, 9 * DOLLAR).is_empty(), "once a day");
        assert_eq!(stats.budget.crossings.total(), 1);

        // A restart offers it again, and adds no row.
        let mut again = Watch { limit: watch.limit, told: None };
        assert_eq!(look(&mut again, 9 * DOLLAR)[0].id, told[0].id);
        assert_eq!(stats.budget.crossings.total(), 1);
        let mut other = Watch { limit: PicoUsd(3 * DOLLAR), told: None };
        assert_ne!(look(&mut other, 9 * DOLLAR)[0].id, told[0].id, "another amount");

        clock.advance(DAY);
        assert!(look(&mut watch, DOLLAR).is_empty());
        assert_ne!(look(&mut watch, 2 * DOLLAR)[0].id, told[0].id, "another day");
        assert_eq!(stats.budget.crossings.total(), 3);
    }

    #[test]
    fn what_the_store_refuses_is_told_at_the_next_look() {
        let (stats, clock) = (Arc::new(Stats::default()), Clock::by_hand(NOW));
        let (queue, inbox) = queue::<()>(Limits::default(), Window::AtOnce, Arc::clone(&stats));
        stats.store().usage.day_ms = day_start(NOW);
        stats.store().usage.day_cost = PicoUsd(DOLLAR);
        let mut watch = Watch { limit: PicoUsd(DOLLAR), told: None };
        inbox.refuse(Some(crate::stats::Refusal::StoreFull));
        smol::block_on(watch.look(&queue, &stats, &clock));
        assert_eq!((watch.told, stats.budget.crossings.total()), (None, 0));
        inbox.refuse(None);
        let mut looking = Box::pin(watch.look(&queue, &stats, &clock));
        assert!(smol::block_on(smol::future::poll_once(&mut looking)).is_none());
        assert_eq!(store(&inbox, &mut HashSet::new()).len(), 1);
        smol::block_on(looking);
        assert_eq!(stats.budget.crossings.total(), 1);
    }

    #[test]
    fn the_cost_of_another_day_is_not_that_of_today() {
        let (stats, clock) = (Arc::new(Stats::default()), Clock::by_hand(NOW));
        let (queue, _inbox) = queue::<()>(Limits::default(), Window::AtOnce, Arc::clone(&stats));
        stats.store().usage.day_ms = day_start(NOW - DAY.as_millis() as i64);
        stats.store().usage.day_cost = PicoUsd(DOLLAR);
        let mut watch = Watch { limit: PicoUsd(DOLLAR), told: None };
        let looked = smol::block_on(smol::future::poll_once(watch.look(&queue, &stats, &clock)));
        assert_eq!((looked, watch.told, stats.ledger().offered), (Some(()), None, 0));
    }
}
