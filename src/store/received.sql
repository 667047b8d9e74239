-- The file of `openclaw-trace receive`. Columns, units and meanings: docs/wire.md, "Receiving".
-- Rows never change once they are stored, and the receiver removes none.

-- Who has pushed. `agent` is the object that the instance sent last.
CREATE TABLE instances (
    instance_id TEXT    NOT NULL PRIMARY KEY,
    agent       TEXT    NOT NULL,
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every row that was pushed, of any table. `body` is the object as it came.
CREATE TABLE received (
    instance_id TEXT    NOT NULL,
    table_name  TEXT    NOT NULL,
    trace_id    TEXT    NOT NULL,
    timestamp   INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    PRIMARY KEY (instance_id, table_name, trace_id)
) STRICT;

CREATE INDEX received_by_time ON received (table_name, timestamp);

-- What became of the rows that were sent: stored as new, known before, refused.
CREATE TABLE totals (
    table_name TEXT    NOT NULL PRIMARY KEY,
    accepted   INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    rejected   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW llm_traces AS SELECT
    instance_id, trace_id, timestamp, received_at,
    body ->> 'provider'              AS provider,
    body ->> 'request_model'         AS request_model,
    body ->> 'response_model'        AS response_model,
    body ->> 'operation'             AS operation,
    body ->> 'input_tokens'          AS input_tokens,
    body ->> 'output_tokens'         AS output_tokens,
    body ->> 'cache_read_tokens'     AS cache_read_tokens,
    body ->> 'cache_write_tokens'    AS cache_write_tokens,
    body ->> 'cache_write_1h_tokens' AS cache_write_1h_tokens,
    body ->> 'reasoning_tokens'      AS reasoning_tokens,
    body ->> 'cost_picousd'          AS cost_picousd,
    body ->> 'cost_usd'              AS cost_usd,
    body ->> 'cost_source'           AS cost_source,
    body ->> 'latency_ms'            AS latency_ms,
    body ->> 'status'                AS status,
    body ->> 'error_type'            AS error_type,
    body ->> 'unit'                  AS unit,
    body ->> 'conversation_id'       AS conversation_id,
    body ->> 'agent_id'              AS agent_id,
    body ->> 'channel'               AS channel,
    body ->> 'source'                AS source,
    body ->  'attributes'            AS attributes,
    body
FROM received WHERE table_name = 'llm_traces';

CREATE VIEW error_events AS SELECT
    instance_id, trace_id, timestamp, received_at,
    body ->> 'error_type'      AS error_type,
    body ->> 'message'         AS message,
    body ->> 'severity'        AS severity,
    body ->> 'handled'         AS handled,
    body ->> 'component'       AS component,
    body ->> 'fingerprint'     AS fingerprint,
    body ->> 'conversation_id' AS conversation_id,
    body ->> 'agent_id'        AS agent_id,
    body ->> 'source'          AS source,
    body ->  'attributes'      AS attributes,
    body
FROM received WHERE table_name = 'error_events';

CREATE VIEW custom_events AS SELECT
    instance_id, trace_id, timestamp, received_at,
    body ->> 'name'            AS name,
    body ->> 'severity'        AS severity,
    body ->> 'body'            AS text,
    body ->> 'conversation_id' AS conversation_id,
    body ->> 'agent_id'        AS agent_id,
    body ->> 'source'          AS source,
    body ->  'attributes'      AS attributes,
    body
FROM received WHERE table_name = 'custom_events';

CREATE VIEW system_metrics AS SELECT
    instance_id, trace_id, timestamp, received_at,
    body ->> 'interval_ms'        AS interval_ms,
    body ->> 'cpu_percent'        AS cpu_percent,
    body ->> 'memory_used_bytes'  AS memory_used_bytes,
    body ->> 'memory_limit_bytes' AS memory_limit_bytes,
    body ->> 'memory_percent'     AS memory_percent,
    body ->> 'disk_percent'       AS disk_percent,
    body ->> 'net_rx_bytes'       AS net_rx_bytes,
    body ->> 'net_tx_bytes'       AS net_tx_bytes,
    body ->> 'process_count'      AS process_count,
    body ->> 'oom_kills'          AS oom_kills,
    body ->> 'scope'              AS scope,
    body
FROM received WHERE table_name = 'system_metrics';
