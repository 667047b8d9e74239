//! What the sums must be, found out as simply as possible: every row ever stored is kept and added up anew.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::Connection;

use super::{DAY_MS, HOUR_MS, Happened, MINUTE_MS, Request};
use crate::event::{Counted, CounterPoint, Event, EventId, Histogram, Kind, LlmTrace, Note, Source, Unit};
use crate::queue::Outcome;
use crate::stats::Refusal;

#[derive(Clone)]
struct Row {
    trace: LlmTrace,
    received_at_ms: i64,
    counts: Counts,
    /// Whether the row is still in the file, so that more can be learnt of it.
    present: bool,
    /// Since when it waits for its spans.
    waits_since_ms: Option<i64>,
}

#[derive(Clone, PartialEq)]
enum Counts {
    Yes,
    Never,
    Open(Box<str>),
}

#[derive(Clone, Default, PartialEq)]
struct Context {
    channel: Option<Box<str>>,
    trigger: Option<Box<str>>,
    agent_name: Option<Box<str>>,
    at_ms: i64,
}

#[derive(Clone)]
pub struct Model {
    made_ms: i64,
    /// Hours before this are gone.
    kept_from_ms: i64,
    /// Ids of rows in the file: one that was removed is stored again when it is sent again.
    present: HashSet<EventId>,
    rows: Vec<(EventId, Row)>,
    exporters: HashMap<Box<str>, bool>,
    contexts: HashMap<(Box<str>, Box<str>), Context>,
    counters: HashMap<[u8; 16], CounterPoint>,
    rises: Vec<(i64, Box<str>, Counted, i64, i64)>,
}

/// Hour, provider, model, agent, channel, status.
type Key = (i64, [String; 5]);
/// The columns of numbers, and the encoded buckets.
type Sums = ([i64; 9], Vec<u8>, Vec<u8>);

impl Model {
    pub fn new(made_ms: i64) -> Model {
        Model {
            made_ms,
            kept_from_ms: i64::MIN,
            present: HashSet::new(),
            rows: Vec::new(),
            exporters: HashMap::new(),
            contexts: HashMap::new(),
            counters: HashMap::new(),
            rises: Vec::new(),
        }
    }

    /// Stores a request. Returns what its sender must be told.
    pub fn store(&mut self, request: &Request, now_ms: i64, happened: &mut Happened) -> Outcome {
        if request.is_bad {
            happened.refused += 1;
            return Outcome::Refused(Refusal::StoreFailing);
        }
        let services: HashSet<Box<str>> = self.counters.values().map(|point| point.service_name.clone()).collect();
        let mut said: HashMap<Box<str>, bool> = HashMap::new();
        for note in &request.notes {
            if let Note::Exporter { exporter, tokens_on_calls } = note {
                *said.entry(Box::from(&**exporter)).or_default() |= tokens_on_calls;
            }
        }
        for (exporter, tokens) in said {
            self.decide(exporter, tokens, happened);
        }
        for note in &request.notes {
            match note {
                Note::Exporter { .. } | Note::Position { .. } => {}
                Note::Run { otel_trace_id, otel_span_id, channel, trigger } => {
                    let context =
                        Context { channel: channel.clone(), trigger: trigger.clone(), agent_name: None, at_ms: now_ms };
                    self.learn(otel_trace_id, Some(otel_span_id), context, happened);
                }
                Note::Agent { otel_trace_id, agent_name } => {
                    let context = Context { agent_name: Some(agent_name.clone()), at_ms: now_ms, ..Context::default() };
                    self.learn(otel_trace_id, None, context, happened);
                }
                Note::Counter(point) => {
                    happened.rises += u64::from(self.count(point, services.contains(&point.service_name), now_ms));
                }
            }
        }
        let (mut stored, mut duplicates, mut ignored) = (0, 0, 0);
        for event in &request.events {
            let Kind::LlmTrace(trace) = &event.kind else { panic!("{event:?}") };
            let is_ignored = trace.exporter.as_ref().is_some_and(|e| self.exporters.get(&**e) == Some(&true));
            if is_ignored {
                ignored += 1;
            } else if self.present.insert(event.id) {
                self.add(event, trace, now_ms);
                stored += 1;
            } else {
                duplicates += 1;
            }
        }
        happened.rows += u64::from(stored);
        happened.duplicates += u64::from(duplicates);
        happened.ignored += u64::from(ignored);
        Outcome::Stored { stored, duplicates, ignored }
    }

    /// Stores rows of which a program knows nothing but themselves. Returns how many.
    pub fn store_by_schema_1(&mut self, events: &[Event]) -> u64 {
        let mut stored = 0;
        for event in events {
            let Kind::LlmTrace(trace) = &event.kind else { panic!("{event:?}") };
            if self.present.insert(event.id) {
                let counts = if trace.unit == Unit::TurnSum { Counts::Never } else { Counts::Yes };
                let trace = LlmTrace::clone(trace);
                let row =
                    Row { trace, received_at_ms: event.received_at_ms, counts, present: true, waits_since_ms: None };
                self.rows.push((event.id, row));
                stored += 1;
            }
        }
        stored
    }

    fn decide(&mut self, exporter: Box<str>, tokens: bool, happened: &mut Happened) {
        if let Some(known) = self.exporters.get_mut(&exporter) {
            *known |= tokens;
            return;
        }
        let open = Counts::Open(exporter.clone());
        for (_, row) in self.rows.iter_mut().filter(|(_, row)| row.counts == open) {
            happened.decided_late += 1;
            row.counts = if tokens || !row.present { Counts::Never } else { Counts::Yes };
        }
        self.exporters.insert(exporter, tokens);
    }

    fn add(&mut self, event: &Event, trace: &LlmTrace, now_ms: i64) {
        let mut trace = trace.clone();
        let fresh = |context: &&Context| now_ms - context.at_ms <= HOUR_MS;
        if let Some(id) = trace.otel_trace_id.clone() {
            let parent = trace.otel_parent_span_id.clone();
            if let Some(around) = parent.and_then(|span| self.contexts.get(&(id.clone(), span)).filter(fresh)) {
                trace.channel = trace.channel.take().or(around.channel.clone());
                trace.trigger = trace.trigger.take().or(around.trigger.clone());
            }
            if let Some(around) = self.contexts.get(&(id, Box::from(""))).filter(fresh) {
                trace.agent_name = trace.agent_name.take().or(around.agent_name.clone());
            }
        }
        let counts = match (trace.unit, &trace.exporter) {
            (Unit::TurnSum, None) => Counts::Never,
            (Unit::TurnSum, Some(exporter)) if self.exporters.contains_key(&**exporter) => Counts::Yes,
            (Unit::TurnSum, Some(exporter)) => Counts::Open(Box::from(&**exporter)),
            _ => Counts::Yes,
        };
        let waits = trace.unit != Unit::TurnSum && trace.otel_trace_id.is_some() && lacks(&trace);
        let row = Row {
            trace,
            received_at_ms: event.received_at_ms,
            counts,
            present: true,
            waits_since_ms: waits.then_some(now_ms),
        };
        self.rows.push((event.id, row));
    }

    fn learn(&mut self, trace_id: &str, span: Option<&str>, context: Context, happened: &mut Happened) {
        let at_ms = context.at_ms;
        let known = self.contexts.get(&(trace_id.into(), span.unwrap_or_default().into())).cloned();
        let known = known.filter(|known| at_ms - known.at_ms <= HOUR_MS);
        let said_first = known.clone().unwrap_or_default();
        let learnt = Context {
            channel: said_first.channel.clone().or(context.channel),
            trigger: said_first.trigger.clone().or(context.trigger),
            agent_name: said_first.agent_name.clone().or(context.agent_name),
            at_ms,
        };
        let same = Context { at_ms: said_first.at_ms, ..learnt.clone() };
        if known.is_some() && same == said_first {
            return;
        }
        self.contexts.insert((trace_id.into(), span.unwrap_or_default().into()), learnt.clone());
        for (_, row) in &mut self.rows {
            let trace = &mut row.trace;
            let is_meant = trace.otel_trace_id.as_deref() == Some(trace_id)
                && span.is_none_or(|span| trace.otel_parent_span_id.as_deref() == Some(span));
            let waits = row.waits_since_ms.is_some_and(|since_ms| at_ms - since_ms <= HOUR_MS);
            if !(is_meant && waits && row.present) {
                continue;
            }
            let before = (trace.channel.clone(), trace.agent_name.clone());
            trace.channel = trace.channel.take().or(learnt.channel.clone());
            trace.trigger = trace.trigger.take().or(learnt.trigger.clone());
            trace.agent_name = trace.agent_name.take().or(learnt.agent_name.clone());
            happened.moved += u64::from(before != (trace.channel.clone(), trace.agent_name.clone()));
            if !lacks(trace) {
                row.waits_since_ms = None;
            }
        }
    }

    fn count(&mut self, point: &CounterPoint, service_is_known: bool, now_ms: i64) -> bool {
        let rise = match self.counters.get(&point.series) {
            None if !point.is_cumulative => point.value,
            None if point.start_ms == 0 => 0,
            None if service_is_known || point.start_ms >= self.made_ms - 10 * MINUTE_MS => point.value,
            None if point.timestamp_ms < self.made_ms - 10 * MINUTE_MS => point.value,
            None => 0,
            Some(last) if !point.is_cumulative && point.timestamp_ms > last.timestamp_ms => point.value,
            Some(last) if point.is_cumulative && point.start_ms > last.start_ms => point.value,
            Some(last)
                if point.is_cumulative && point.start_ms == last.start_ms && point.timestamp_ms > last.timestamp_ms =>
            {
                if point.value >= last.value {
                    point.value - last.value
                } else {
                    point.value
                }
            }
            Some(_) => return false,
        };
        self.counters.insert(point.series, point.clone());
        let hour = hour_of(point.timestamp_ms, now_ms);
        self.rises.push((hour, point.service_name.clone(), point.counted, rise, point.start_ms));
        rise > 0
    }

    /// Rows were removed; these are left.
    pub fn rows_left(&mut self, present: &HashSet<String>) {
        self.present.retain(|id| present.contains(&id.to_string()));
        self.rows.iter_mut().for_each(|(id, row)| row.present &= self.present.contains(id));
    }

    /// The hours whose time is over are gone.
    pub fn let_go(&mut self, now_ms: i64) {
        self.kept_from_ms = self.kept_from_ms.max(now_ms - 400 * DAY_MS);
    }

    pub fn check(&self, conn: &Connection) {
        let wanted = self.usage();
        let found = usage_of(conn);
        for (key, sums) in &wanted {
            // What is older may have been let go, or may not have been yet.
            assert!(
                key.0 < self.oldest_ms() || found.get(key) == Some(sums),
                "{key:?}: {sums:?}\n{:?}",
                found.get(key)
            );
        }
        for key in found.keys() {
            assert!(wanted.contains_key(key), "{key:?} counts nothing that was stored");
            assert!(key.0 >= self.kept_from_ms || key.0 >= self.oldest_ms() - DAY_MS, "{key:?} is too old");
        }
        let found: BTreeMap<(i64, String), [i64; 7]> = coverage_of(conn);
        let wanted: BTreeMap<_, _> = self.coverage().into_iter().filter(|(_, sums)| sums[..6] != [0; 6]).collect();
        let kept = |key: &(i64, String)| key.0 >= self.oldest_ms();
        let of_kept =
            |sums: BTreeMap<(i64, String), [i64; 7]>| sums.into_iter().filter(|(key, _)| kept(key)).collect::<Vec<_>>();
        assert_eq!(of_kept(found), of_kept(wanted));
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0);
        let rolled = number("SELECT rolled_id FROM row_counts WHERE table_name = 'llm_traces'");
        // A duplicate takes a number as well.
        let last = number("SELECT seq FROM sqlite_sequence WHERE name = 'llm_traces'");
        let there = number("SELECT coalesce(max(id), 0) FROM llm_traces");
        assert!((there..=last).contains(&rolled), "{there} is there, {rolled} rolled up, {last} given");
    }

    /// No hour from here on was ever let go.
    fn oldest_ms(&self) -> i64 {
        self.kept_from_ms
    }

    fn usage(&self) -> BTreeMap<Key, Sums> {
        let mut all: BTreeMap<Key, ([i64; 9], Histogram, Histogram)> = BTreeMap::new();
        for (_, Row { trace, received_at_ms, counts, .. }) in &self.rows {
            if *counts != Counts::Yes {
                continue;
            }
            let agent = trace.agent_name.as_deref().or(trace.agent_id.as_deref());
            let texts = [
                trace.provider.as_deref().unwrap_or(""),
                &trace.request_model[..trace.request_model.floor_char_boundary(256)],
                agent.unwrap_or(""),
                trace.channel.as_deref().unwrap_or(""),
                trace.status.as_str(),
            ];
            let (sums, latency, ttft) =
                all.entry((hour_of(trace.timestamp_ms, *received_at_ms), texts.map(str::to_owned))).or_default();
            let tokens = trace.input_tokens.unwrap_or(0) + trace.output_tokens.unwrap_or(0);
            let is_sum = trace.unit == Unit::TurnSum;
            let more = [
                i64::from(!is_sum),
                i64::from(is_sum),
                trace.input_tokens.unwrap_or(0),
                trace.output_tokens.unwrap_or(0),
                trace.cache_read_tokens.unwrap_or(0),
                trace.cache_write_tokens.unwrap_or(0),
                trace.reasoning_tokens.unwrap_or(0),
                trace.cost.map_or(0, |cost| cost.0),
                i64::from(tokens > 0 && trace.cost.is_none()),
            ];
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            trace.latency_ms.into_iter().for_each(|ms| latency.record(ms));
            trace.ttft_ms.into_iter().for_each(|ms| ttft.record(ms));
        }
        all.into_iter().map(|(key, (sums, latency, ttft))| (key, (sums, latency.encode(), ttft.encode()))).collect()
    }

    fn coverage(&self) -> BTreeMap<(i64, String), [i64; 7]> {
        let mut all: BTreeMap<(i64, String), [i64; 7]> = BTreeMap::new();
        for (_, Row { trace, received_at_ms, counts, .. }) in &self.rows {
            if *counts == Counts::Yes && trace.source != Source::Native {
                let service = trace.service_name.as_deref().unwrap_or("").to_owned();
                let sums = all.entry((hour_of(trace.timestamp_ms, *received_at_ms), service)).or_default();
                sums[0] += i64::from(trace.unit != Unit::TurnSum);
                sums[1] += trace.input_tokens.unwrap_or(0) + trace.output_tokens.unwrap_or(0);
                sums[2] += trace.cost.map_or(0, |cost| cost.0);
            }
        }
        for (hour, service, counted, rise, start_ms) in &self.rises {
            let sums = all.entry((*hour, service.to_string())).or_default();
            let place = match counted {
                Counted::Calls => 3,
                Counted::Tokens => 4,
                Counted::PicoUsd => 5,
            };
            sums[place] += rise;
            if *rise > 0 && *start_ms != 0 {
                sums[6] = if sums[6] == 0 { *start_ms } else { sums[6].min(*start_ms) };
            }
        }
        all
    }
}

/// Whether a span around a call could say more of it.
fn lacks(trace: &LlmTrace) -> bool {
    (trace.channel.is_none() && trace.otel_parent_span_id.is_some()) || trace.agent_name.is_none()
}

fn hour_of(timestamp_ms: i64, received_at_ms: i64) -> i64 {
    let is_believed = i128::from(timestamp_ms) >= i128::from(received_at_ms) - 400 * i128::from(DAY_MS)
        && i128::from(timestamp_ms) <= i128::from(received_at_ms) + i128::from(DAY_MS);
    (if is_believed { timestamp_ms } else { received_at_ms }).div_euclid(HOUR_MS) * HOUR_MS
}

fn usage_of(conn: &Connection) -> BTreeMap<Key, Sums> {
    let sql = "SELECT hour, provider, model, agent, channel, status, calls, turn_sums, input_tokens, output_tokens, \
               cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_picousd, unpriced, latency_buckets, \
               ttft_buckets FROM usage_hourly";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let texts = [1, 2, 3, 4, 5].map(|column| row.get::<_, String>(column).unwrap());
        let sums = [6, 7, 8, 9, 10, 11, 12, 13, 14].map(|column| row.get::<_, i64>(column).unwrap());
        Ok(((row.get(0)?, texts), (sums, row.get(15)?, row.get(16)?)))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn coverage_of(conn: &Connection) -> BTreeMap<(i64, String), [i64; 7]> {
    let sql = "SELECT hour, service_name, row_calls, row_tokens, row_cost_picousd, reported_calls, reported_tokens, \
               reported_cost_picousd, counting_since FROM coverage_hourly";
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(((row.get(0)?, row.get(1)?), [2, 3, 4, 5, 6, 7, 8].map(|column| row.get::<_, i64>(column).unwrap())))
    });
    rows.unwrap().map(Result::unwrap).collect()
}
