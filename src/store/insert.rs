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
     scope, memory_working_set_bytes, oom_kills, cpu_pressure_ms, memory_pressure_ms, memory_pressure_full_ms, \
     io_pressure_ms, io_pressure_full_ms, cpu_steal_ms, io_read_bytes, io_write_bytes, disk_inodes_total, \
     disk_inodes_free, net_rx_errors, net_tx_errors, tcp_established, tcp_listen, tcp_time_wait, tcp_close_wait, \
     tcp_other, processes_top, agent_alive, agent_rss_bytes, agent_cpu_cores_used, agent_fds, agent_restarts) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
     ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
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
    row.bind(m.scope.as_str())?;
    row.integers([
        m.memory_working_set_bytes,
        m.oom_kills,
        m.cpu_pressure_ms,
        m.memory_pressure_ms,
        m.memory_pressure_full_ms,
        m.io_pressure_ms,
        m.io_pressure_full_ms,
        m.cpu_steal_ms,
        m.io_read_bytes,
        m.io_write_bytes,
        m.disk_inodes_total,
        m.disk_inodes_free,
        m.net_rx_errors,
        m.net_tx_errors,
        m.tcp_established,
        m.tcp_listen,
        m.tcp_time_wait,
        m.tcp_close_wait,
        m.tcp_other,
    ])?;
    row.bind(m.processes_top.as_deref())?;
    row.bind(m.agent_alive)?;
    row.bind(m.agent_rss_bytes)?;
    row.bind(m.agent_cpu_cores_used)?;
    row.integers([m.agent_fds, m.agent_restarts])
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

    /// A sample of a busy machine with so many bytes of everything: nothing is absent.
    fn busy_sample(bytes: i64) -> SystemMetric {
        let byte_count = Some(bytes);
        SystemMetric {
            timestamp_ms: 1_795_745_984_000,
            interval_ms: Some(15_000),
            cpu_percent: Some(12.3),
            cpu_cores_used: Some(0.123),
            cpu_limit_cores: Some(8.0),
            cpu_throttled_ms: Some(14_000),
            memory_used_bytes: byte_count,
            memory_limit_bytes: byte_count,
            memory_percent: Some(45.6),
            memory_rss_bytes: byte_count,
            swap_used_bytes: Some(0),
            disk_path: Some("/data".into()),
            disk_total_bytes: byte_count,
            disk_used_bytes: byte_count,
            disk_free_bytes: byte_count,
            disk_percent: Some(78.9),
            net_rx_bytes: Some(50 << 20),
            net_tx_bytes: Some(50 << 20),
            process_count: Some(60),
            thread_count: Some(400),
            zombie_count: Some(1),
            load_1m: Some(0.12),
            scope: crate::event::Scope::Cgroup2,
            memory_working_set_bytes: byte_count,
            oom_kills: Some(0),
            cpu_pressure_ms: Some(300),
            memory_pressure_ms: Some(300),
            memory_pressure_full_ms: Some(300),
            io_pressure_ms: Some(300),
            io_pressure_full_ms: Some(300),
            cpu_steal_ms: Some(300),
            io_read_bytes: Some(50 << 20),
            io_write_bytes: Some(50 << 20),
            disk_inodes_total: Some(4_000_000),
            disk_inodes_free: Some(4_000_000),
            net_rx_errors: Some(0),
            net_tx_errors: Some(0),
            tcp_established: Some(30),
            tcp_listen: Some(5),
            tcp_time_wait: Some(200),
            tcp_close_wait: Some(1),
            tcp_other: Some(1),
            processes_top: Some(r#"[["node",1100],["chrome",512],["python3",20]]"#.into()),
            agent_alive: Some(true),
            agent_rss_bytes: byte_count,
            agent_cpu_cores_used: Some(0.12),
            agent_fds: Some(120),
            agent_restarts: Some(0),
        }
    }

    /// Bytes of the one row of a table, as SQLite writes records: <https://www.sqlite.org/fileformat2.html#record_format>.
    fn row_bytes(conn: &Connection, table: &str) -> usize {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let stored: Vec<bool> = {
            let hidden = format!("SELECT hidden = 0 FROM pragma_table_xinfo('{table}')");
            let mut columns = conn.prepare(&hidden).unwrap();
            columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let mut rows = statement.query([]).unwrap();
        let row = rows.next().unwrap().unwrap();
        let mut bytes = 2;
        for (column, _) in stored.iter().enumerate().filter(|(_, stored)| **stored) {
            let whole = |n: i64| match n {
                0 | 1 => 0,
                _ => [1, 2, 3, 4, 6, 8].into_iter().find(|size| n.unsigned_abs() < 1 << (8 * size - 1)).unwrap(),
            };
            let (data, varint) = match row.get_ref(column).unwrap() {
                // The id of a row is its key, and nothing in its record.
                _ if column == 0 => (0, 1),
                rusqlite::types::ValueRef::Null => (0, 1),
                rusqlite::types::ValueRef::Integer(n) => (whole(n), 1),
                rusqlite::types::ValueRef::Real(x) if x.fract() == 0.0 => (whole(x as i64), 1),
                rusqlite::types::ValueRef::Real(_) => (8, 1),
                rusqlite::types::ValueRef::Text(text) | rusqlite::types::ValueRef::Blob(text) => {
                    (text.len(), if 2 * text.len() + 13 < 128 { 1 } else { 2 })
                }
            };
            bytes += data + varint;
        }
        bytes
    }

    #[test]
    fn a_sample_takes_less_than_300_bytes() {
        let stored = |sample: SystemMetric| {
            let conn = empty();
            let event = Event { received_at_ms: sample.timestamp_ms, ..event(Kind::SystemMetric(Box::new(sample))) };
            Inserts::new(&conn).insert(&event, &Learnt::default()).unwrap();
            row_bytes(&conn, "system_metrics")
        };
        let disk = Some(50 << 30);
        let volume = SystemMetric {
            disk_total_bytes: disk,
            disk_used_bytes: disk,
            disk_free_bytes: disk,
            ..busy_sample(2_000_000_000)
        };
        let container = stored(volume);
        let host = stored(SystemMetric { processes_top: None, ..busy_sample(64 << 30) });
        assert!((200..300).contains(&container) && (200..300).contains(&host), "{container} {host}");
    }
}
