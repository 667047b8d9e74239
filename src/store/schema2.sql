-- Schema 2: what outlives the rows (sums by the hour) and what decides how rows count. A program
-- with schema 1 leaves all of it alone. Columns, units and meanings: docs/wire.md.

-- Ids up to this are in the rollup. Rows that a program with schema 1 stored come after it.
ALTER TABLE row_counts ADD COLUMN rolled_id INTEGER NOT NULL DEFAULT 0;

CREATE TABLE usage_hourly (
    hour               INTEGER NOT NULL,
    provider           TEXT NOT NULL,
    model              TEXT NOT NULL,
    agent              TEXT NOT NULL,
    channel            TEXT NOT NULL,
    status             TEXT NOT NULL,
    calls              INTEGER NOT NULL,
    turn_sums          INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL,
    output_tokens      INTEGER NOT NULL,
    cache_read_tokens  INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens   INTEGER NOT NULL,
    cost_picousd       INTEGER NOT NULL,
    unpriced           INTEGER NOT NULL,
    latency_buckets    BLOB NOT NULL,
    ttft_buckets       BLOB NOT NULL,
    PRIMARY KEY (hour, provider, model, agent, channel, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE coverage_hourly (
    hour                  INTEGER NOT NULL,
    service_name          TEXT NOT NULL,
    row_calls             INTEGER NOT NULL,
    row_tokens            INTEGER NOT NULL,
    row_cost_picousd      INTEGER NOT NULL,
    reported_calls        INTEGER NOT NULL,
    reported_tokens       INTEGER NOT NULL,
    reported_cost_picousd INTEGER NOT NULL,
    counting_since        INTEGER NOT NULL,
    PRIMARY KEY (hour, service_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE counter_series (
    series       BLOB NOT NULL PRIMARY KEY,
    service_name TEXT NOT NULL,
    start_ms     INTEGER NOT NULL,
    timestamp    INTEGER NOT NULL,
    value        INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE exporters (
    exporter        TEXT NOT NULL PRIMARY KEY,
    tokens_on_calls INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE undecided_sums (
    exporter   TEXT NOT NULL,
    llm_id     INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (exporter, llm_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE span_context (
    otel_trace_id TEXT NOT NULL,
    otel_span_id  TEXT NOT NULL,
    channel       TEXT,
    trigger       TEXT,
    agent_name    TEXT,
    updated_at    INTEGER NOT NULL,
    PRIMARY KEY (otel_trace_id, otel_span_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE waiting_calls (
    otel_trace_id       TEXT NOT NULL,
    otel_parent_span_id TEXT NOT NULL,
    llm_id              INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    PRIMARY KEY (otel_trace_id, otel_parent_span_id, llm_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE call_context (
    llm_id     INTEGER PRIMARY KEY,
    channel    TEXT,
    trigger    TEXT,
    agent_name TEXT
) STRICT;

-- Whoever deletes the call, its context goes with it.
CREATE TRIGGER call_context_goes AFTER DELETE ON llm_traces
BEGIN
    DELETE FROM call_context WHERE llm_id = OLD.id;
END;

CREATE VIEW llm_calls AS
SELECT t.id, t.trace_id, t.timestamp, t.received_at, t.provider, t.request_model, t.response_model, t.operation,
       t.input_tokens, t.output_tokens, t.cache_read_tokens, t.cache_write_tokens, t.cache_write_1h_tokens,
       t.reasoning_tokens, t.cost_picousd, t.cost_usd, t.cost_source, t.price_version, t.latency_ms, t.ttft_ms,
       t.ttfb_ms, t.status, t.error_type, t.error_message, t.finish_reason, t.response_id, t.conversation_id,
       t.agent_id, coalesce(t.agent_name, c.agent_name) AS agent_name, t.user_id, t.streaming, t.unit,
       t.otel_trace_id, t.otel_span_id, t.otel_parent_span_id, t.input_text, t.output_text, t.text_truncated,
       t.service_name, t.source, t.attributes, coalesce(t.channel, c.channel) AS channel,
       coalesce(t.trigger, c.trigger) AS trigger
FROM llm_traces t LEFT JOIN call_context c ON c.llm_id = t.id;
