//! Events into rows.
//!
//! `ON CONFLICT (trace_id) DO NOTHING` and nothing wider: `OR IGNORE` would also swallow a NOT NULL
//! or CHECK that failed, and with it the event.

use rusqlite::{CachedStatement, Connection, ToSql};

use super::notes::Learnt;
use crate::event::{CustomEvent, ErrorEvent, Event, Kind, LlmTrace, SystemMetric, Table};

/// The prepared inserts of one transaction.
pub struct Inserts<'c> {
    conn: &'c Connection,
    statements: [Option<CachedStatement<'c>>; Table::ALL.len()],
}

impl<'c> Inserts<'c> {
    /// Prepares nothing yet.
    pub fn new(conn: &'c Connection) -> Inserts<'c> {
        Inserts { conn, statements: [const { None }; Table::ALL.len()] }
    }

    /// Inserts one event; a call with what was `learnt` of it in place of what it does not say. `false` when its id was
    /// there already.
    pub fn insert(&mut self, event: &Event, learnt: &Learnt) -> rusqlite::Result<bool> {
        let table = event.table();
        let slot = &mut self.statements[table.index()];
        let statement = match slot {
            Some(statement) => statement,
            None => slot.insert(self.conn.prepare_cached(sql(table))?),
        };
        let mut id = [0; 36];
        let mut row = Row { statement, bound: 0 };
        row.bind(event.id.encode(&mut id))?;
        match &event.kind {
            Kind::LlmTrace(trace) => bind_llm_trace(&mut row, event.received_at_ms, trace, learnt)?,
            Kind::SystemMetric(sample) => bind_system_metric(&mut row, event.received_at_ms, sample)?,
            Kind::CustomEvent(custom) => bind_custom_event(&mut row, event.received_at_ms, custom)?,
            Kind::ErrorEvent(error) => bind_error_event(&mut row, event.received_at_ms, error)?,
        }
        Ok(row.statement.raw_execute()? == 1)
    }
}

fn sql(table: Table) -> &'static str {
    match table {
        Table::LlmTraces => INSERT_LLM_TRACE,
        Table::SystemMetrics => INSERT_SYSTEM_METRIC,
        Table::CustomEvents => INSERT_CUSTOM_EVENT,
        Table::ErrorEvents => INSERT_ERROR_EVENT,
    }
}

// Each is served by the unique index on trace_id.
const INSERT_LLM_TRACE: &str = "INSERT INTO llm_traces (trace_id, timestamp, received_at, provider, request_model, \
     response_model, operation, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, \
     cache_write_1h_tokens, reasoning_tokens, cost_picousd, cost_source, price_version, latency_ms, ttft_ms, ttfb_ms, status, \
     error_type, error_message, finish_reason, response_id, conversation_id, agent_id, agent_name, user_id, \
     streaming, unit, otel_trace_id, otel_span_id, otel_parent_span_id, input_text, output_text, text_truncated, \
     service_name, source, attributes, channel, trigger) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
     ?, ?, ?, ?, ?, ?) ON CONFLICT (trace_id) DO NOTHING";

const INSERT_SYSTEM_METRIC: &str = "INSERT INTO system_metrics (trace_id, timestamp, received_at, interval_ms, \
     cpu_percent, cpu_cores_used, cpu_limit_cores, cpu_throttled_ms, memory_used_bytes, memory_limit_bytes, \
     memory_percent, memory_rss_bytes, swap_used_bytes, disk_path, disk_total_bytes, disk_used_bytes, \
     disk_free_bytes, disk_percent, net_rx_bytes, net_tx_bytes, process_count, thread_count, zombie_count, load_1m, \
     scope) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON CONFLICT (trace_id) DO NOTHING";

const INSERT_CUSTOM_EVENT: &str = "INSERT INTO custom_events (trace_id, timestamp, received_at, name, severity, \
     conversation_id, agent_id, otel_trace_id, otel_span_id, body, text_truncated, service_name, source, attributes) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trace_id) DO NOTHING";

const INSERT_ERROR_EVENT: &str = "INSERT INTO error_events (trace_id, timestamp, received_at, error_type, message, \
     stacktrace, severity, handled, component, conversation_id, agent_id, otel_trace_id, otel_span_id, fingerprint, \
     text_truncated, service_name, source, attributes) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trace_id) DO NOTHING";

/// Binds the parameters of one row, in order.
struct Row<'r, 'c> {
    statement: &'r mut CachedStatement<'c>,
    bound: usize,
}

impl Row<'_, '_> {
    fn bind(&mut self, value: impl ToSql) -> rusqlite::Result<()> {
        self.bound += 1;
        self.statement.raw_bind_parameter(self.bound, value)
    }

    fn texts<const N: usize>(&mut self, values: [&Option<Box<str>>; N]) -> rusqlite::Result<()> {
        values.into_iter().try_for_each(|value| self.bind(value.as_deref()))
    }

    fn integers<const N: usize>(&mut self, values: [Option<i64>; N]) -> rusqlite::Result<()> {
        values.into_iter().try_for_each(|value| self.bind(value))
    }
}

fn bind_llm_trace(row: &mut Row<'_, '_>, received_at_ms: i64, t: &LlmTrace, learnt: &Learnt) -> rusqlite::Result<()> {
    row.bind(t.timestamp_ms)?;
    row.bind(received_at_ms)?;
    row.bind(t.provider.as_deref())?;
    row.bind(&*t.request_model)?;
    row.bind(t.response_model.as_deref())?;
    row.bind(&*t.operation)?;
    row.integers([
        t.input_tokens,
        t.output_tokens,
        t.cache_read_tokens,
        t.cache_write_tokens,
        t.cache_write_1h_tokens,
        t.reasoning_tokens,
        t.cost.map(|cost| cost.0),
    ])?;
    row.bind(t.cost_source.as_str())?;
    row.bind(t.price_version.as_deref())?;
    row.integers([t.latency_ms, t.ttft_ms, t.ttfb_ms])?;
    row.bind(t.status.as_str())?;
    row.texts([&t.error_type, &t.error_message, &t.finish_reason, &t.response_id, &t.conversation_id, &t.agent_id])?;
    row.bind(t.agent_name.as_deref().or(learnt.agent_name.as_deref()))?;
    row.bind(t.user_id.as_deref())?;
    row.bind(t.streaming)?;
    row.bind(t.unit.as_str())?;
    row.texts([&t.otel_trace_id, &t.otel_span_id, &t.otel_parent_span_id, &t.input_text, &t.output_text])?;
    row.bind(t.text_truncated)?;
    row.bind(t.service_name.as_deref())?;
    row.bind(t.source.as_str())?;
    row.bind(t.attributes.as_deref())?;
    row.bind(t.channel.as_deref().or(learnt.channel.as_deref()))?;
    row.bind(t.trigger.as_deref().or(learnt.trigger.as_deref()))
}

fn bind_system_metric(row: &mut Row<'_, '_>, received_at_ms: i64, m: &SystemMetric) -> rusqlite::Result<()> {
    row.bind(m.timestamp_ms)?;
    row.bind(received_at_ms)?;
    row.bind(m.interval_ms)?;
    row.bind(m.cpu_percent)?;
    row.bind(m.cpu_cores_used)?;
    row.bind(m.cpu_limit_cores)?;
    row.integers([m.cpu_throttled_ms, m.memory_used_bytes, m.memory_limit_bytes])?;
    row.bind(m.memory_percent)?;
    row.integers([m.memory_rss_bytes, m.swap_used_bytes])?;
    row.bind(m.disk_path.as_deref())?;
    row.integers([m.disk_total_bytes, m.disk_used_bytes, m.disk_free_bytes])?;
    row.bind(m.disk_percent)?;
    row.integers([m.net_rx_bytes, m.net_tx_bytes, m.process_count, m.thread_count, m.zombie_count])?;
    row.bind(m.load_1m)?;
    row.bind(m.scope.as_str())
}

fn bind_custom_event(row: &mut Row<'_, '_>, received_at_ms: i64, e: &CustomEvent) -> rusqlite::Result<()> {
    row.bind(e.timestamp_ms)?;
    row.bind(received_at_ms)?;
    row.bind(&*e.name)?;
    row.bind(e.severity.map(|severity| severity.as_str()))?;
    row.texts([&e.conversation_id, &e.agent_id, &e.otel_trace_id, &e.otel_span_id, &e.body])?;
    row.bind(e.text_truncated)?;
    row.bind(e.service_name.as_deref())?;
    row.bind(e.source.as_str())?;
    row.bind(e.attributes.as_deref())
}

fn bind_error_event(row: &mut Row<'_, '_>, received_at_ms: i64, e: &ErrorEvent) -> rusqlite::Result<()> {
    row.bind(e.timestamp_ms)?;
    row.bind(received_at_ms)?;
    row.bind(e.error_type.as_deref())?;
    row.bind(&*e.message)?;
    row.bind(e.stacktrace.as_deref())?;
    row.bind(e.severity.as_str())?;
    row.bind(e.handled)?;
    row.texts([&e.component, &e.conversation_id, &e.agent_id, &e.otel_trace_id, &e.otel_span_id, &e.fingerprint])?;
    row.bind(e.text_truncated)?;
    row.bind(e.service_name.as_deref())?;
    row.bind(e.source.as_str())?;
    row.bind(e.attributes.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use crate::store::plans::empty;

    fn event(kind: Kind) -> Event {
        Event { id: EventId::new(1), received_at_ms: 7, kind }
    }

    #[test]
    fn every_kind_has_its_row_and_a_second_one_of_the_same_id_has_none() {
        let conn = empty();
        let kinds = [
            Kind::LlmTrace(Box::default()),
            Kind::SystemMetric(Box::default()),
            Kind::CustomEvent(Box::default()),
            Kind::ErrorEvent(Box::default()),
        ];
        let (mut inserts, nothing) = (Inserts::new(&conn), Learnt::default());
        for kind in kinds {
            let event = event(kind);
            assert!(inserts.insert(&event, &nothing).unwrap());
            assert!(!inserts.insert(&event, &nothing).unwrap());
            let count = format!("SELECT count(*) FROM {}", event.table().name());
            assert_eq!(conn.query_row(&count, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
        }
    }

    #[test]
    fn each_field_lands_in_the_column_of_its_name() {
        let conn = empty();
        let word = |text: &str| Some(Box::<str>::from(text));
        let trace = LlmTrace {
            timestamp_ms: 1,
            provider: word("provider"),
            request_model: "request_model".into(),
            input_tokens: Some(2),
            cost: Some(crate::event::PicoUsd(1_575_000_000)),
            ttfb_ms: Some(3),
            error_type: word("error_type"),
            user_id: word("user_id"),
            streaming: Some(true),
            otel_parent_span_id: word("otel_parent_span_id"),
            output_text: word("output_text"),
            service_name: word("service_name"),
            attributes: word("{}"),
            trigger: word("trigger"),
            ..Default::default()
        };
        let learnt = Learnt { channel: word("channel"), trigger: word("unsaid"), agent_name: None };
        Inserts::new(&conn).insert(&event(Kind::LlmTrace(Box::new(trace))), &learnt).unwrap();
        let wanted: &[(&str, &str)] = &[
            ("timestamp", "1"),
            ("received_at", "7"),
            ("provider", "provider"),
            ("request_model", "request_model"),
            ("input_tokens", "2"),
            ("cost_picousd", "1575000000"),
            ("cost_usd", "0.001575"),
            ("cost_source", "none"),
            ("ttfb_ms", "3"),
            ("status", "ok"),
            ("error_type", "error_type"),
            ("user_id", "user_id"),
            ("streaming", "1"),
            ("unit", "request"),
            ("otel_parent_span_id", "otel_parent_span_id"),
            ("output_text", "output_text"),
            ("text_truncated", "0"),
            ("service_name", "service_name"),
            ("source", "native"),
            ("attributes", "{}"),
            ("channel", "channel"),
            ("trigger", "trigger"),
        ];
        for (column, value) in wanted {
            let sql = format!("SELECT CAST({column} AS TEXT) FROM llm_traces");
            assert_eq!(conn.query_row(&sql, [], |row| row.get::<_, String>(0)).unwrap(), *value, "{column}");
        }
        let sample =
            SystemMetric { load_1m: Some(0.5), zombie_count: Some(4), disk_percent: Some(1.5), ..Default::default() };
        Inserts::new(&conn).insert(&event(Kind::SystemMetric(Box::new(sample))), &learnt).unwrap();
        let read = "SELECT load_1m, zombie_count, disk_percent, scope FROM system_metrics";
        let row = conn.query_row(read, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        assert_eq!(row, (0.5, 4, 1.5, "host".to_owned()));
    }
}
