//! How old the oldest row is that the remote does not have, as the writer tells it.

use std::time::Duration;

use openclaw_trace::event::{CustomEvent, Event, EventId, Kind, Table};
use openclaw_trace::queue::Outcome;
use openclaw_trace::store::Options;

use crate::store::{NOW, Store, options, remote};
use crate::support::dir::TempDir;

#[test]
fn the_backlog_begins_with_its_first_commit_and_moves_on_with_what_the_remote_confirms() {
    let dir = TempDir::new("backlog");
    let store = Store::open(Options { remote: Some(remote()), ..options(&dir.join("t.db")) });
    let from = || store.stats.store().backlog_from_ms;
    let add = |received_at_ms| {
        let kind = Kind::CustomEvent(Box::new(CustomEvent { name: "a".into(), ..CustomEvent::default() }));
        let stored = store.store(vec![Event { id: EventId::new(received_at_ms), received_at_ms, kind }]);
        assert_eq!(stored, Outcome::Stored { stored: 1, duplicates: 0, ignored: 0 });
    };
    assert_eq!(from(), None);
    add(NOW);
    assert_eq!(from(), Some(NOW));
    store.clock.advance(Duration::from_secs(61));
    add(NOW + 61_000);
    // The writer has looked after what is old, which it does once a minute.
    store.nudge();
    assert_eq!(from(), Some(NOW));
    assert!(store.confirm(vec![(Table::CustomEvents, 1)]));
    assert_eq!(from(), Some(NOW + 61_000));
    assert!(store.confirm(vec![(Table::CustomEvents, 2)]));
    assert_eq!(from(), None);
    store.clock.advance(Duration::from_secs(5));
    add(NOW + 66_000);
    assert_eq!(from(), Some(NOW + 66_000), "at once, not with the next look");
}
