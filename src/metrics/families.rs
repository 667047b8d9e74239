//! The table: every family, in the order in which it is written.

use super::{Facts, Kind, Number, Sink};
use crate::clock::day_start;
use crate::event::{Coverage, Severity, Status, Table};
use crate::stats::{
    BODIES_FULL, COMMIT_US, Circuit, Durations, GAUGES, LATENCY_MS, Measure, Pruned, Refusal, SOCKETS, SUMS, Sampled,
    Stats, TOKENS, TTFT_MS, WRITER_STUCK,
};

/// Writes every family.
pub(super) fn write(facts: &Facts<'_>, sink: &mut dyn Sink) {
    let mut to = Families { sink };
    events(facts, &mut to);
    signals(facts.stats, &mut to);
    database(facts, &mut to);
    writer(facts, &mut to);
    queue(facts.stats, &mut to);
    http(facts.stats, &mut to);
    push(facts, &mut to);
    calls(facts.stats, &mut to);
    money(facts, &mut to);
    log(facts, &mut to);
    container(&facts.stats.samples(), &mut to);
    ourselves(facts, &mut to);
}

/// Where families are written.
struct Families<'s> {
    sink: &'s mut dyn Sink,
}

impl Families<'_> {
    /// A counter without labels.
    fn counter(&mut self, name: &str, help: &str, value: impl Into<Number>) {
        self.many(name, Kind::Counter, help).add(&[], value);
    }

    /// A gauge without labels.
    fn gauge(&mut self, name: &str, help: &str, value: impl Into<Number>) {
        self.many(name, Kind::Gauge, help).add(&[], value);
    }

    /// A gauge that may be unknown.
    fn maybe(&mut self, name: &str, help: &str, value: Option<impl Into<Number>>) {
        let mut samples = self.many(name, Kind::Gauge, help);
        value.into_iter().for_each(|value| samples.add(&[], value));
    }

    /// A family whose samples come one by one.
    fn many(&mut self, name: &str, kind: Kind, help: &str) -> Samples<'_> {
        self.sink.family(name, kind, help);
        Samples { sink: self.sink }
    }

    fn counters(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.many(name, Kind::Counter, help)
    }

    fn gauges(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.many(name, Kind::Gauge, help)
    }

    fn histograms(&mut self, name: &str, help: &str) -> Samples<'_> {
        self.many(name, Kind::Histogram, help)
    }
}

/// Where samples of one family are written.
struct Samples<'s> {
    sink: &'s mut dyn Sink,
}

impl Samples<'_> {
    fn add(&mut self, labels: &[(&str, &str)], value: impl Into<Number>) {
        self.sink.sample("", labels, value.into());
    }

    /// What is no number is no sample.
    fn real(&mut self, labels: &[(&str, &str)], value: f64) {
        if value.is_finite() {
            self.sink.sample("", labels, Number::Real(value));
        }
    }

    /// One histogram. `per_second`: how many of the units that were counted in make a second.
    fn durations<const N: usize>(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[u64; N],
        per_second: f64,
        took: &Durations<N>,
    ) {
        let mut cumulative = 0;
        let with = |labels: &[(&'_ str, &'_ str)], bound: &str, sink: &mut dyn Sink, count: u64| {
            // As many labels as any histogram has, and the bound.
            let mut all = [("", ""); 3];
            all[..labels.len()].copy_from_slice(labels);
            all[labels.len()] = ("le", bound);
            sink.sample("_bucket", &all[..=labels.len()], count.into());
        };
        for (bound, count) in bounds.iter().zip(took.counts) {
            cumulative += count;
            with(labels, &(*bound as f64 / per_second).to_string(), self.sink, cumulative);
        }
        with(labels, "+Inf", self.sink, took.count);
        self.sink.sample("_sum", labels, Number::Real(took.sum as f64 / per_second));
        self.sink.sample("_count", labels, took.count.into());
    }
}

/// Unix milliseconds in seconds.
fn seconds(ms: i64) -> Number {
    Number::Real(ms as f64 / 1000.0)
}

fn events(facts: &Facts<'_>, to: &mut Families<'_>) {
    let ledger = facts.stats.ledger();
    to.counter(
        "openclaw_trace_events_offered_total",
        "Events that anybody offered: the sum of stored, duplicate, refused, invalid, ignored and in flight.",
        ledger.offered,
    );
    to.counter("openclaw_trace_events_stored_total", "Events stored as new rows.", ledger.stored);
    to.counter("openclaw_trace_events_duplicate_total", "Events stored before under the same id.", ledger.duplicate);
    let mut refused = to
        .counters("openclaw_trace_events_refused_total", "Events answered 503: their producer was told to come again.");
    for why in Refusal::ALL {
        refused.add(&[("reason", why.name())], ledger.refused[why as usize]);
    }
    to.counter("openclaw_trace_events_invalid_total", "Events that can never be taken.", ledger.invalid);
    to.counter("openclaw_trace_events_ignored_total", "OTLP records that become no row.", ledger.ignored);
    to.gauge(
        "openclaw_trace_events_in_flight",
        "Events in the queue, or in a transaction that has not ended.",
        ledger.in_flight,
    );
    let mut names =
        to.counters("openclaw_trace_events_ignored_by_name_total", "OTLP records that become no row, by name.");
    for (name, count) in facts.stats.ignored_names() {
        names.add(&[("name", &name)], count);
    }
    let mut refusing = to.gauges("openclaw_trace_refusing", "Whether a POST would be refused now, and why.");
    for word in Refusal::ALL.map(Refusal::name).into_iter().chain([BODIES_FULL, WRITER_STUCK]) {
        refusing.add(&[("reason", word)], facts.refusing == Some(word));
    }
}

fn signals(stats: &Stats, to: &mut Families<'_>) {
    let all = stats.signals.all();
    let mut requests = to.counters("openclaw_trace_signal_requests_total", "Requests (samples) that could be read.");
    all.iter().for_each(|(name, signal)| requests.add(&[("signal", name)], signal.requests.total()));
    let mut records = to.counters("openclaw_trace_signal_records_total", "Records in them.");
    all.iter().for_each(|(name, signal)| records.add(&[("signal", name)], signal.records.total()));
    let mut last = to.gauges("openclaw_trace_signal_last_received_timestamp_seconds", "When the last request came.");
    for (name, signal) in all {
        signal.last_ms().into_iter().for_each(|ms| last.add(&[("signal", name)], seconds(ms)));
    }
}

fn database(facts: &Facts<'_>, to: &mut Families<'_>) {
    let store = facts.stats.store().clone();
    let tables = Table::ALL.map(|table| (table.name(), store.rows[table.index()]));
    let mut present = to.gauges("openclaw_trace_db_rows", "Rows that are there.");
    tables.iter().for_each(|(table, rows)| present.add(&[("table", table)], rows.present));
    let mut stored = to.counters("openclaw_trace_db_rows_stored_total", "Rows stored over the life of the file.");
    tables.iter().for_each(|(table, rows)| stored.add(&[("table", table)], rows.stored));
    let mut pruned = to.counters("openclaw_trace_db_rows_pruned_total", "Rows removed over the life of the file.");
    for (table, rows) in &tables {
        for cause in Pruned::ALL {
            pruned.add(&[("table", table), ("cause", cause.name())], rows.pruned[cause as usize]);
        }
    }
    let mut unsynced =
        to.gauges("openclaw_trace_db_rows_unsynced", "Rows that the remote has not confirmed; 0 without a remote.");
    tables.iter().for_each(|(table, rows)| unsynced.add(&[("table", table)], rows.unsynced));
    to.gauge("openclaw_trace_db_file_bytes", "Size of the database, by its pages.", store.file_bytes);
    to.gauge("openclaw_trace_db_file_limit_bytes", "Size at which the oldest rows are removed.", facts.file_bytes_max);
    to.gauge("openclaw_trace_db_free_bytes", "Part of the database that holds nothing.", store.free_bytes);
    to.gauge("openclaw_trace_db_wal_bytes", "Size of the write-ahead log, by its pages.", store.wal_bytes);
    to.gauge("openclaw_trace_db_ballast", "Whether the reserve for a full disk is there.", store.ballast);
    to.counter("openclaw_trace_db_errors_total", "Errors of the database.", store.errors);
    to.counter(
        "openclaw_trace_db_incidents_total",
        "What happened to the file (moved aside, replaced); counted up to 8.",
        store.incidents.len() as u64,
    );
    let mut commits = to.histograms(
        "openclaw_trace_db_commit_duration_seconds",
        "How long commits of events took, their inserts included.",
    );
    commits.durations(&[], &COMMIT_US, 1e6, &store.commits);
    let longest = Number::Real(store.commit_us_max as f64 / 1e6);
    to.gauge("openclaw_trace_db_commit_longest_seconds", "How long the longest commit took.", longest);
}

fn writer(facts: &Facts<'_>, to: &mut Families<'_>) {
    let busy = facts.stats.writer.busy(facts.uptime);
    let time = Number::Real(busy.time.as_millis() as f64 / 1000.0);
    to.gauge(
        "openclaw_trace_writer_busy_seconds",
        "How long the writer has been at what it is at; 0 when it is idle.",
        time,
    );
    to.gauge("openclaw_trace_writer_stuck", "Whether that is 15 seconds or longer.", busy.is_stuck());
}

fn queue(stats: &Stats, to: &mut Families<'_>) {
    let queue = &stats.queue;
    to.gauge(
        "openclaw_trace_queue_events",
        "Events that wait to be stored, those in the open transaction included.",
        queue.events.value(),
    );
    to.gauge("openclaw_trace_queue_events_limit", "How many may wait.", queue.events_max.value());
    to.gauge("openclaw_trace_queue_events_high_water", "The most that ever waited.", queue.events_high_water.value());
    to.gauge("openclaw_trace_queue_bytes", "Their memory.", queue.bytes.value());
    to.gauge("openclaw_trace_queue_limit_bytes", "How much memory they may have.", queue.bytes_max.value());
}

fn http(stats: &Stats, to: &mut Families<'_>) {
    let http = &stats.http;
    to.gauge("openclaw_trace_http_connections_open", "Connections that are open.", http.connections.value());
    to.gauge("openclaw_trace_http_connections_limit", "How many may be open.", http.connections_max.value());
    to.counter(
        "openclaw_trace_http_connections_accepted_total",
        "Connections accepted.",
        http.connections_total.total(),
    );
    to.counter(
        "openclaw_trace_http_connections_refused_total",
        "Connections turned away because too many were open.",
        http.connections_refused.total(),
    );
    let mut requests = to.counters("openclaw_trace_http_requests_total", "Requests answered, by status.");
    for (status, count) in http.answers() {
        requests.add(&[("code", &status.to_string())], count);
    }
    to.counter(
        "openclaw_trace_http_bodies_truncated_total",
        "Bodies whose client went away before their end.",
        http.bodies_truncated.total(),
    );
    to.gauge("openclaw_trace_http_body_bytes", "Memory of all bodies in flight.", http.body_bytes.value());
    to.gauge("openclaw_trace_http_body_limit_bytes", "How much memory they may have.", http.body_bytes_max.value());
}

fn push(facts: &Facts<'_>, to: &mut Families<'_>) {
    let push = facts.stats.push().clone();
    to.gauge("openclaw_trace_push_enabled", "Whether rows are pushed to a remote.", push.enabled);
    to.counter("openclaw_trace_push_batches_total", "Batches that the remote confirmed.", push.batches);
    to.counter("openclaw_trace_push_rows_total", "Rows in them.", push.rows);
    to.counter(
        "openclaw_trace_push_rows_rejected_total",
        "Rows that the remote will never take: they became dead letters.",
        push.rows_rejected,
    );
    to.counter(
        "openclaw_trace_push_rows_put_off_total",
        "How often the remote put a row off, or refused it and is asked again.",
        push.rows_put_off,
    );
    to.counter(
        "openclaw_trace_push_rows_unnamed_total",
        "Rows that the remote dropped without saying which.",
        push.rows_unnamed,
    );
    let mut circuit = to.gauges("openclaw_trace_push_circuit", "Whether the push is in this state.");
    Circuit::ALL.iter().for_each(|state| circuit.add(&[("state", state.name())], push.circuit == *state));
    to.counter("openclaw_trace_push_failures_total", "Attempts that failed.", push.failures);
    to.gauge(
        "openclaw_trace_push_failures_in_row",
        "Attempts that failed since the last that did not.",
        push.failures_in_row,
    );
    to.maybe(
        "openclaw_trace_push_next_attempt_timestamp_seconds",
        "When the next push begins.",
        push.next_attempt_ms.map(seconds),
    );
    to.maybe(
        "openclaw_trace_push_last_success_timestamp_seconds",
        "When a batch was last confirmed.",
        push.last_success_ms.map(seconds),
    );
    to.maybe(
        "openclaw_trace_push_last_failure_timestamp_seconds",
        "When an attempt last failed.",
        push.last_failure_ms.map(seconds),
    );
    let from_ms = facts.stats.store().backlog_from_ms;
    let age = from_ms.map_or(Number::from(0u64), |from_ms| seconds(facts.now_ms.saturating_sub(from_ms).max(0)));
    to.maybe(
        "openclaw_trace_push_backlog_age_seconds",
        "Age of the oldest row that the remote has not confirmed; 0 when it has all.",
        push.enabled.then_some(age),
    );
    not_taken(facts, to);
}

/// Rows of which the remote said something else than that it has them.
fn not_taken(facts: &Facts<'_>, to: &mut Families<'_>) {
    let rows = facts.stats.store().rows;
    let tables = Table::ALL.map(|table| (table.name(), rows[table.index()]));
    let help = "Rows that the remote put off or refused, and that are sent again.";
    let mut waiting = to.gauges("openclaw_trace_push_waiting_rows", help);
    tables.iter().for_each(|(table, rows)| waiting.add(&[("table", table)], rows.waiting));
    let mut dead = to.gauges("openclaw_trace_dead_letters", "Rows that the remote will never take.");
    tables.iter().for_each(|(table, rows)| dead.add(&[("table", table)], rows.dead));
    let help = "Dead letters forgotten over the life of the file, by age or number.";
    let mut let_go = to.counters("openclaw_trace_dead_letters_let_go_total", help);
    tables.iter().for_each(|(table, rows)| let_go.add(&[("table", table)], rows.dead_let_go));
}

fn calls(stats: &Stats, to: &mut Families<'_>) {
    let gains = stats.gains();
    let by_model = || {
        gains.calls.rows().map(|([provider, model], counts)| ([("provider", &**provider), ("model", &**model)], counts))
    };
    let mut calls = to.counters("openclaw_trace_llm_calls_total", "Calls of models that were newly stored.");
    for ([provider, model], counts) in by_model() {
        for (status, count) in Status::ALL.iter().zip(counts.calls) {
            calls.add(&[provider, model, ("status", status.as_str())], count);
        }
    }
    let mut tokens = to.counters(
        "openclaw_trace_llm_tokens_total",
        "Their tokens. cache_read and cache_write are part of input, reasoning is part of output.",
    );
    for ([provider, model], counts) in by_model() {
        for (kind, count) in TOKENS.iter().zip(counts.tokens) {
            tokens.add(&[provider, model, ("type", kind)], count);
        }
    }
    let mut cost = to.counters("openclaw_trace_llm_cost_usd_total", "What is known of their costs, in dollars.");
    by_model().for_each(|(labels, counts)| cost.add(&labels, counts.cost));
    let mut unpriced = to.counters("openclaw_trace_llm_unpriced_calls_total", "Those that have tokens and no cost.");
    by_model().for_each(|(labels, counts)| unpriced.add(&labels, counts.unpriced));
    let mut latency = to.histograms("openclaw_trace_llm_latency_seconds", "How long they took.");
    by_model().for_each(|(labels, counts)| latency.durations(&labels, &LATENCY_MS, 1e3, &counts.latency));
    let mut ttft = to.histograms("openclaw_trace_llm_ttft_seconds", "Time from their start to the first token.");
    by_model().for_each(|(labels, counts)| ttft.durations(&labels, &TTFT_MS, 1e3, &counts.ttft));
    let mut errors = to.counters("openclaw_trace_error_events_total", "Errors that were newly stored.");
    for ([component], counts) in gains.errors.rows() {
        for (severity, count) in Severity::ALL.iter().zip(counts.0) {
            errors.add(&[("severity", severity.as_str()), ("component", component)], count);
        }
    }
}

fn money(facts: &Facts<'_>, to: &mut Families<'_>) {
    let usage = facts.stats.store().usage.clone();
    let (cost, unpriced) = usage.of_day(day_start(facts.now_ms));
    to.gauge("openclaw_trace_spend_today_usd", "What is known of the costs of today's calls (UTC), in dollars.", cost);
    to.gauge("openclaw_trace_spend_today_unpriced_calls", "Today's rows that have tokens and no cost.", unpriced);
    to.maybe("openclaw_trace_spend_budget_day_usd", "What a day may cost, in dollars.", facts.budget_day);
    to.counter(
        "openclaw_trace_spend_budget_crossings_total",
        "Days that cost as much.",
        facts.stats.budget.crossings.total(),
    );
    let mut coverage = to.gauges(
        "openclaw_trace_coverage_ratio",
        "What rows say of the last 24 hours, of what the service counted itself.",
    );
    for service in &usage.coverage {
        let Coverage { row_cost, reported_cost, .. } = service;
        let cost = (reported_cost.0 > 0).then(|| row_cost.0 as f64 / reported_cost.0 as f64);
        for (what, ratio) in [("calls", service.ratio_of_calls()), ("tokens", service.ratio()), ("cost", cost)] {
            let labels = [("service", &*service.service_name), ("what", what)];
            ratio.into_iter().for_each(|ratio| coverage.real(&labels, ratio));
        }
    }
    let models = facts.stats.unpriced();
    to.gauge(
        "openclaw_trace_prices_unpriced_models",
        "Models that came with tokens and have no price.",
        models.len() as u64,
    );
    let mut unpriced =
        to.counters("openclaw_trace_prices_unpriced_calls_total", "Calls of them that came, stored or not.");
    for (model, count) in models {
        unpriced.add(&[("model", &model)], count);
    }
}

fn log(facts: &Facts<'_>, to: &mut Families<'_>) {
    let log = &facts.stats.openclaw_log;
    to.gauge("openclaw_trace_openclaw_log_enabled", "Whether the gateway's log is followed.", facts.follows_log);
    to.gauge(
        "openclaw_trace_openclaw_log_problem",
        "Whether it, or a file of it, cannot be read now.",
        log.problem().is_some(),
    );
    to.gauge("openclaw_trace_openclaw_log_files", "Files of it that are followed now.", log.files.value());
    to.counter(
        "openclaw_trace_openclaw_log_lines_total",
        "Lines read: the sum of rows, skipped, unreadable and too long.",
        log.lines.total(),
    );
    to.counter(
        "openclaw_trace_openclaw_log_rows_total",
        "Lines that became a row, or had become one before.",
        log.rows.total(),
    );
    let mut skipped =
        to.counters("openclaw_trace_openclaw_log_skipped_total", "Lines that become no row, by subsystem.");
    for (subsystem, count) in log.skipped() {
        skipped.add(&[("subsystem", &subsystem)], count);
    }
    to.counter(
        "openclaw_trace_openclaw_log_unreadable_total",
        "Lines that are no JSON object.",
        log.unreadable.total(),
    );
    to.counter("openclaw_trace_openclaw_log_too_long_total", "Lines that are too long.", log.too_long.total());
    to.counter(
        "openclaw_trace_openclaw_log_files_truncated_total",
        "Times that a file was found shorter, or another.",
        log.files_truncated.total(),
    );
    to.counter(
        "openclaw_trace_openclaw_log_files_lost_total",
        "Files of which lines may not have been read.",
        log.files_lost.total(),
    );
}

fn container(sampled: &Sampled, to: &mut Families<'_>) {
    let newest = sampled.newest.as_ref();
    let mut info = to.gauges("openclaw_trace_container_info", "Whose CPU and memory the samples show.");
    newest.into_iter().for_each(|sample| info.add(&[("scope", sample.scope.as_str())], 1u64));
    let path = newest.and_then(|sample| sample.disk_path.as_deref()).unwrap_or_default();
    let one = |to: &mut Families<'_>, kind, measure: &Measure, value: Option<f64>| {
        let labels = [("path", path)];
        let mut samples = to.many(measure.name, kind, measure.help);
        value.into_iter().for_each(|value| samples.real(&labels[..usize::from(measure.of_disk)], value));
    };
    for measure in GAUGES {
        one(to, Kind::Gauge, measure, newest.and_then(measure.value));
    }
    let mut sockets = to.gauges("openclaw_trace_container_tcp_connections", "TCP sockets that we can see, by state.");
    for ((state, _), count) in SOCKETS.iter().zip(sampled.sockets) {
        count.into_iter().for_each(|count| sockets.real(&[("state", state)], count as f64));
    }
    for (measure, sum) in SUMS.iter().zip(sampled.sums) {
        one(to, Kind::Counter, measure, sum);
    }
}

fn ourselves(facts: &Facts<'_>, to: &mut Families<'_>) {
    let process = &facts.process;
    to.gauges("openclaw_trace_build_info", "The program.").add(&[("version", facts.version)], 1u64);
    let mut cpu = to.counters("process_cpu_seconds_total", "CPU time used by the sidecar.");
    process.cpu_seconds.into_iter().for_each(|seconds| cpu.real(&[], seconds));
    to.maybe("process_resident_memory_bytes", "Memory of the sidecar.", process.resident_bytes);
    to.maybe("process_virtual_memory_bytes", "Addresses that the sidecar has mapped.", process.virtual_bytes);
    to.maybe("process_open_fds", "Files that the sidecar has open.", process.open_files);
    to.maybe("process_max_fds", "How many it may have open.", process.open_files_max);
    to.maybe("process_threads", "Threads of the sidecar.", process.threads);
    let started_ms = facts.stats.started_ms.value();
    to.maybe("process_start_time_seconds", "When the sidecar started.", (started_ms > 0).then(|| seconds(started_ms)));
}
