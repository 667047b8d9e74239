//! Months of storing by a clock that is set by hand: what is kept, what goes, and how long the file ever is.

use std::time::Duration;

use fastrand::Rng;
use openclaw_trace::event::{
    CustomEvent, ErrorEvent, Event, EventId, Kind, LlmTrace, PicoUsd, SystemMetric, Table, Unit,
};
use openclaw_trace::queue::Outcome;
use openclaw_trace::stats::{Pruned, Refusal, StoreState};
use openclaw_trace::store::{Options, Reader};
use rusqlite::Connection;

use crate::store::{Store, options, remote};
use crate::support::dir::TempDir;
use crate::support::read_only;
use crate::support::sidecar::until;

const DAY: Duration = Duration::from_secs(86_400);
/// A file may be longer than its limit by what one commit brings past the room that is kept for it, and here that is
/// less than the MiB that one step gives back.
const ONE_STEP: u64 = 1 << 20;
/// The log is moved into the file when it has 1 MiB, and one commit and the steps after it come on top of that.
const LOG_MAX: u64 = 4 << 20;

const EVENTS: [Table; 3] = [Table::LlmTraces, Table::ErrorEvents, Table::CustomEvents];

/// A store that is fed by a clock.
struct Fed {
    store: Store,
    dir: TempDir,
    random: Rng,
    limits: Limits,
    /// Whatever was stored, by table, in the order of ids from 1 on.
    ids: [Vec<EventId>; 4],
    /// Rows of each table at the end of each round, and when that was.
    rounds: Vec<([usize; 4], i64)>,
    /// Looks at the file as a stranger does, at any moment.
    stranger: Connection,
    instance_id: String,
    confirmed: usize,
    /// Samples that are due, in thousandths.
    due: u64,
    was_full: bool,
}

/// What a file may have, and is given.
#[derive(Clone, Copy)]
struct Limits {
    cap: u64,
    events_a_round: usize,
    round: Duration,
    sample_every: Duration,
    /// The longest text of an event.
    text_bytes: usize,
    /// What must still be there of traces, events and errors.
    newest: Duration,
}

/// 50 000 events a day and a sample every 15 s into 50 MB, all of it divided by `scale`.
fn busy(scale: u64) -> Limits {
    Limits {
        cap: (50 << 20) / scale,
        events_a_round: 500,
        round: DAY / 100 * scale as u32,
        sample_every: Duration::from_secs(15) * scale as u32,
        text_bytes: 120,
        newest: DAY,
    }
}

impl Fed {
    fn open(name: &str, limits: Limits, change: impl FnOnce(&mut Options)) -> Fed {
        Fed::open_in(TempDir::new(name), limits, change)
    }

    fn open_in(dir: TempDir, limits: Limits, change: impl FnOnce(&mut Options)) -> Fed {
        let path = dir.join("t.db");
        let mut options = options(&path);
        options.retention.db_max_bytes = limits.cap;
        change(&mut options);
        let store = Store::open(options);
        Fed {
            store,
            random: Rng::with_seed(7),
            limits,
            ids: Default::default(),
            rounds: Vec::new(),
            stranger: read_only(&path),
            instance_id: Reader::open(&path).unwrap().instance_id().unwrap(),
            confirmed: 0,
            due: 0,
            was_full: false,
            dir,
        }
    }

    fn event(&mut self, now_ms: i64) -> Event {
        let r = &mut self.random;
        let most = self.limits.text_bytes;
        let text = |r: &mut Rng| Some(Box::<str>::from("a word ".repeat(r.usize(0..most / 7))));
        let kind = match r.u8(0..20) {
            0 => {
                Kind::ErrorEvent(Box::new(ErrorEvent { message: text(r).unwrap_or_default(), ..ErrorEvent::default() }))
            }
            1..=5 => Kind::CustomEvent(Box::new(CustomEvent {
                name: "tool.executed".into(),
                body: text(r),
                ..CustomEvent::default()
            })),
            _ => Kind::LlmTrace(Box::new(LlmTrace {
                timestamp_ms: now_ms,
                provider: Some("anthropic".into()),
                request_model: "a-model".into(),
                operation: "chat".into(),
                input_tokens: Some(r.i64(0..10_000)),
                output_tokens: Some(r.i64(0..1000)),
                cost: Some(PicoUsd(r.i64(0..10_000_000_000))),
                latency_ms: Some(r.i64(0..30_000)),
                unit: Unit::Request,
                input_text: text(r),
                output_text: text(r),
                ..LlmTrace::default()
            })),
        };
        Event { id: EventId::new(now_ms), received_at_ms: now_ms, kind }
    }

    /// What comes in a round, and the samples that are due: stored, and the file looked at in the midst of the writer's
    /// work and after it.
    fn round(&mut self) {
        let outcome = self.offer_round();
        assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?} in round {}", self.rounds.len());
        self.look();
        self.settle();
        self.check();
    }

    /// The same without looking. What is refused is not expected to be there.
    fn offer_round(&mut self) -> Outcome {
        self.store.clock.advance(self.limits.round);
        let now_ms = self.store.clock.now_ms();
        let mut events: Vec<Event> = (0..self.limits.events_a_round).map(|_| self.event(now_ms)).collect();
        self.due += self.limits.round.as_secs() * 1000;
        let every = self.limits.sample_every.as_secs() * 1000;
        while self.due >= every {
            self.due -= every;
            let at_ms = now_ms - (self.due % self.limits.round.as_secs().max(1)) as i64;
            let sample = SystemMetric { timestamp_ms: at_ms, load_1m: Some(0.5), ..SystemMetric::default() };
            events.push(Event {
                id: EventId::new(at_ms),
                received_at_ms: now_ms,
                kind: Kind::SystemMetric(Box::new(sample)),
            });
        }
        let ids: Vec<(Table, EventId)> = events.iter().map(|event| (event.table(), event.id)).collect();
        let outcome = self.store.store(events);
        if let Outcome::Stored { stored, duplicates, .. } = outcome {
            assert_eq!((stored as usize, duplicates), (ids.len(), 0));
            ids.into_iter().for_each(|(table, id)| self.ids[table.index()].push(id));
            self.rounds.push((self.stored(), now_ms));
        }
        outcome
    }

    fn stored(&self) -> [usize; 4] {
        std::array::from_fn(|place| self.ids[place].len())
    }

    /// Returns when the writer has done all there is to do now: when it has gone round and nothing has changed.
    fn settle(&self) {
        // It is told what it was before or after the round that follows the answer: so two rounds apart.
        let (mut same, mut before) = (0, None);
        while same < 2 {
            self.store.confirm_for(self.instance_id.clone(), Vec::new());
            let report = self.store.stats.store().clone();
            let now = Some((report.rows, report.file_bytes, report.free_bytes));
            same = if before == now { same + 1 } else { 0 };
            before = now;
        }
    }

    /// The remote has everything up to the end of a round.
    fn confirm(&mut self, round: usize) {
        if round > self.confirmed {
            let (stored, _) = self.rounds[round - 1];
            let cursors = Table::ALL.into_iter().map(|table| (table, stored[table.index()] as i64)).collect();
            assert!(self.store.confirm_for(self.instance_id.clone(), cursors));
            self.confirmed = round;
        }
    }

    /// At any moment.
    fn look(&self) {
        let pages: u64 = self.stranger.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap() as u64;
        let length = |name: &str| std::fs::metadata(self.dir.join(name)).unwrap().len();
        let (file, log) = (length("t.db"), length("t.db-wal"));
        let most = self.limits.cap + ONE_STEP;
        assert!(file <= most && pages * 4096 <= most, "{file} bytes, {pages} pages in round {}", self.rounds.len());
        assert!(log <= LOG_MAX, "{log} bytes of log in round {}", self.rounds.len());
        self.check_equations();
        assert_eq!((self.store.queue.refusing(), self.store.stats.ledger().refused_total()), (None, 0));
    }

    fn check_equations(&self) {
        let l = self.store.stats.ledger();
        assert_eq!(
            l.offered,
            l.stored + l.duplicate + l.refused_total() + l.invalid + l.ignored + l.in_flight,
            "{l:?}"
        );
        for account in self.store.stats.store().rows {
            assert_eq!(account.stored, account.present + account.pruned.iter().sum::<i64>(), "{account:?}");
        }
    }

    /// While the writer rests: the rows are the newest ones and no others, no more went than had to, and the new ones
    /// are there.
    fn check(&mut self) {
        self.look();
        let now_ms = self.store.clock.now_ms();
        let young_ms = now_ms - self.limits.newest.as_millis() as i64;
        // The last round that is not young, and all rows until its end.
        let old = self.rounds.partition_point(|(_, at_ms)| *at_ms < young_ms);
        let old = old.checked_sub(1).map_or([0; 4], |round| self.rounds[round].0);
        self.check_rows();
        for table in EVENTS {
            let gone = self.gone(table);
            assert!(gone <= old[table.index()] as i64, "{table:?}: {gone} are gone, and {old:?} are old");
        }
        let report = self.store.stats.store().clone();
        let used = report.file_bytes - report.free_bytes;
        self.was_full |= report.rows.iter().any(|rows| rows.pruned[Pruned::Size as usize] > 0);
        if self.was_full {
            let least = self.limits.cap - 3 * (self.limits.cap / 64) - ONE_STEP;
            assert!(used >= least, "{used} bytes are left of {least}");
        }
        if self.rounds.len().is_multiple_of(100) {
            self.count();
        }
    }

    /// While the writer rests: the accounts are those of the file, in which each table has its newest rows alone.
    fn check_rows(&self) {
        self.check_equations();
        for table in Table::ALL {
            let stored = self.ids[table.index()].len() as i64;
            let account = self.store.stats.store().rows[table.index()];
            assert_eq!(account.stored, stored);
            assert_eq!(self.ends(table), (account.present > 0).then_some((stored - account.present + 1, stored)));
        }
    }

    fn ends(&self, table: Table) -> Option<(i64, i64)> {
        let name = table.name();
        let sql = format!("SELECT (SELECT min(id) FROM {name}), (SELECT max(id) FROM {name})");
        let mut statement = self.stranger.prepare_cached(&sql).unwrap();
        statement.query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?))).unwrap()
    }

    /// Every row by its id, and what the accounts say.
    fn count(&self) {
        for table in Table::ALL {
            let name = table.name();
            let account = self.store.stats.store().rows[table.index()];
            let count = format!("SELECT count(*) FROM {name}");
            assert_eq!(self.stranger.query_row(&count, [], |row| row.get::<_, i64>(0)).unwrap(), account.present);
            let mut statement =
                self.stranger.prepare(&format!("SELECT id, trace_id FROM {name} ORDER BY id DESC LIMIT 2000")).unwrap();
            let mut rows = statement.query([]).unwrap();
            let mut next = self.ids[table.index()].len();
            while let Some(row) = rows.next().unwrap() {
                assert_eq!(row.get::<_, i64>(0).unwrap(), next as i64);
                assert_eq!(row.get::<_, String>(1).unwrap(), self.ids[table.index()][next - 1].to_string());
                next -= 1;
            }
        }
    }

    fn pruned(&self, cause: Pruned) -> i64 {
        self.store.stats.store().rows.iter().map(|rows| rows.pruned[cause as usize]).sum()
    }

    fn pruned_by_age(&self, tables: &[Table]) -> i64 {
        tables.iter().map(|table| self.store.stats.store().rows[table.index()].pruned[Pruned::Age as usize]).sum()
    }

    fn gone(&self, table: Table) -> i64 {
        let account = self.store.stats.store().rows[table.index()];
        account.stored - account.present
    }

    fn causes(&self) -> Vec<Pruned> {
        Pruned::ALL.into_iter().filter(|cause| self.pruned(*cause) > 0).collect()
    }

    /// Nothing comes any more and all of it gets old: the file gives back what it held.
    fn age_away(&mut self) {
        self.store.clock.advance(8 * DAY);
        until("nothing is left", || {
            self.settle();
            self.store.stats.store().rows.iter().all(|rows| rows.present == 0)
        });
        // Empty pages that are too few to be given back, and the sums of every hour.
        until("what was held is given back", || {
            self.settle();
            let report = self.store.stats.store().clone();
            std::fs::metadata(self.dir.join("t.db")).unwrap().len() <= report.file_bytes
                && report.free_bytes <= (report.file_bytes / 8).max(2 << 20)
        });
        self.check_equations();
        let length = std::fs::metadata(self.dir.join("t.db")).unwrap().len();
        assert!(length <= 4 << 20, "{length} bytes hold nothing");
        assert_eq!(self.store.stats.store().state, StoreState::Ok);
    }
}

#[test]
fn a_month_of_fifty_thousand_events_a_day_keeps_the_newest_within_the_limit_of_the_file() {
    let mut fed = Fed::open("month", busy(1), |_| {});
    (0..30 * 100).for_each(|_| fed.round());
    // Samples are old before the file is full for the first time, and no event ever is.
    assert_eq!(fed.causes(), [Pruned::Age, Pruned::Size]);
    assert_eq!(fed.pruned_by_age(&EVENTS), 0);
    fed.age_away();
}

#[test]
fn a_month_in_which_nothing_gets_old_is_kept_by_the_size_of_the_file_alone() {
    let mut fed = Fed::open("size", busy(8), |options| {
        (options.retention.events, options.retention.metrics) = (3650 * DAY, 3650 * DAY);
    });
    (0..30 * 100 / 8).for_each(|_| fed.round());
    assert_eq!(fed.causes(), [Pruned::Size]);
}

#[test]
fn a_month_with_a_remote_that_lags_behind_costs_no_row_that_it_lacks() {
    let mut fed = Fed::open("lag", busy(8), |options| {
        options.remote = Some(remote());
        options.retention.metrics = options.retention.events;
    });
    for round in 0..30 * 100 / 8 {
        fed.round();
        // Half a day behind, and several rounds at once.
        if fed.random.u8(0..5) == 0 {
            fed.confirm((round + 1usize).saturating_sub(6));
            fed.settle();
            fed.check();
        }
        let synced = fed.confirmed.checked_sub(1).map_or([0; 4], |round| fed.rounds[round].0);
        for table in Table::ALL {
            let account = fed.store.stats.store().rows[table.index()];
            let (stored, synced) = (account.stored, synced[table.index()] as i64);
            assert!(account.stored - account.present <= synced, "{account:?} of {synced}");
            assert_eq!(account.unsynced, stored - synced);
        }
    }
    assert_eq!(fed.causes(), [Pruned::Size]);
}

#[test]
fn a_quiet_month_keeps_events_for_a_week_and_samples_for_two_days_to_the_row() {
    let quiet = Limits { events_a_round: 100, round: DAY / 20, newest: 7 * DAY, ..busy(1) };
    let mut fed = Fed::open("quiet", quiet, |_| {});
    for _ in 0..30 * 20 {
        fed.round();
        let now_ms = fed.store.clock.now_ms();
        for (tables, keep) in [(&EVENTS[..], 7 * DAY), (&[Table::SystemMetrics][..], 2 * DAY)] {
            let old = fed.rounds.partition_point(|(_, at_ms)| *at_ms < now_ms - keep.as_millis() as i64);
            let old = old.checked_sub(1).map_or([0; 4], |round| fed.rounds[round].0);
            for table in tables {
                assert_eq!(fed.gone(*table), old[table.index()] as i64, "{table:?} at {now_ms}");
            }
        }
    }
    assert_eq!(fed.causes(), [Pruned::Age]);
    fed.age_away();
}

#[test]
fn a_volume_that_is_too_full_costs_rows_of_yesterday_and_never_of_the_last_day_nor_a_refusal() {
    let Some(dir) = TempDir::on_tmpfs("percent", "64m") else { return };
    let stranger = std::fs::File::create(dir.join("stranger")).unwrap();
    let limits = Limits { round: DAY / 24, ..busy(1) };
    let mut fed = Fed::open_in(dir, limits, |options| {
        options.retention.disk_max_percent = 80;
        options.retention.metrics = options.retention.events;
    });
    (0..3 * 24).for_each(|_| fed.round());
    assert_eq!(fed.causes(), []);
    nix::fcntl::posix_fallocate(&stranger, 0, 44 << 20).unwrap();
    for _ in 0..2 * 24 {
        fed.round();
        let young_ms = fed.store.clock.now_ms() - DAY.as_millis() as i64;
        let old = fed.rounds[fed.rounds.partition_point(|(_, at_ms)| *at_ms < young_ms) - 1].0;
        for table in Table::ALL {
            assert_eq!(fed.gone(table), old[table.index()] as i64, "{table:?}");
        }
    }
    assert_eq!(fed.causes(), [Pruned::Disk]);
    fed.count();
}

/// A week without the remote on a volume of `size`: what is told to the producers and what is in the file is accounted
/// for at every look. Then the remote is there again, and nobody frees anything.
fn a_week_without_the_remote(name: &str, size: &str, drop_oldest: bool) {
    const ROUNDS: usize = 7 * 24;
    let Some(dir) = TempDir::on_tmpfs(name, size) else { return };
    let limits = Limits { round: 7 * DAY / ROUNDS as u32, text_bytes: 1200, ..busy(1) };
    let mut fed = Fed::open_in(dir, limits, |options| {
        options.remote = Some(remote());
        options.retention.drop_oldest = drop_oldest;
        options.retention.disk_max_percent = 80;
    });
    let mut refused = 0;
    for _ in 0..ROUNDS {
        if let Outcome::Refused(why) = fed.offer_round() {
            assert_eq!(why, Refusal::StoreFull);
            refused += 1;
        }
        fed.check_equations();
        fed.settle();
        fed.check_rows();
    }
    fed.count();
    let l = fed.store.stats.ledger();
    assert_eq!((l.offered, l.in_flight), (l.stored + l.refused_total(), 0));
    let events_gone = EVENTS.iter().map(|table| fed.gone(*table)).sum::<i64>();
    if drop_oldest {
        assert_eq!((refused, fed.causes()), (0, vec![Pruned::Unsynced]));
        assert!(events_gone > 0);
    } else {
        assert!(refused > 0 && events_gone == 0, "{refused} refused, {events_gone} gone");
        assert!(matches!(fed.store.stats.store().state, StoreState::Refusing { .. }));
    }

    fed.confirm(fed.rounds.len());
    until("events are taken again", || fed.store.queue.refusing().is_none());
    for _ in 0..ROUNDS / 2 {
        let outcome = fed.offer_round();
        assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
        fed.confirm(fed.rounds.len());
        fed.settle();
        fed.check_rows();
    }
    fed.count();
}

#[test]
fn eight_mebibytes_without_the_remote_for_a_week_refuse_and_account_for_every_event_and_row() {
    a_week_without_the_remote("week-8", "8m", false);
}

#[test]
fn eight_mebibytes_without_the_remote_for_a_week_drop_the_oldest_and_account_for_every_event_and_row() {
    a_week_without_the_remote("drop-8", "8m", true);
}

#[test]
fn sixty_four_mebibytes_without_the_remote_for_a_week_refuse_and_account_for_every_event_and_row() {
    a_week_without_the_remote("week-64", "64m", false);
}

#[test]
fn sixty_four_mebibytes_without_the_remote_for_a_week_drop_the_oldest_and_account_for_every_event_and_row() {
    a_week_without_the_remote("drop-64", "64m", true);
}
