-- Schema 1 of openclaw-trace. Columns, units and meanings: docs/wire.md.
-- `id` is the order of storing. AUTOINCREMENT, because an emptied table must never hand out an id
-- below a push cursor again. Rows never change once they are stored.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE llm_traces (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    trace_id              TEXT NOT NULL UNIQUE,
    timestamp             INTEGER NOT NULL,
    received_at           INTEGER NOT NULL,
    provider              TEXT,
    request_model         TEXT NOT NULL,
    response_model        TEXT,
    operation             TEXT NOT NULL,
    input_tokens          INTEGER,
    output_tokens         INTEGER,
    cache_read_tokens     INTEGER,
    cache_write_tokens    INTEGER,
    cache_write_1h_tokens INTEGER,
    reasoning_tokens      INTEGER,
    cost_picousd          INTEGER,
    cost_usd              REAL GENERATED ALWAYS AS (cost_picousd / 1e12) VIRTUAL,
    cost_source           TEXT NOT NULL,
    price_version         TEXT,
    latency_ms            INTEGER,
    ttft_ms               INTEGER,
    ttfb_ms               INTEGER,
    status                TEXT NOT NULL,
    error_type            TEXT,
    error_message         TEXT,
    finish_reason         TEXT,
    response_id           TEXT,
    conversation_id       TEXT,
    agent_id              TEXT,
    agent_name            TEXT,
    user_id               TEXT,
    streaming             INTEGER,
    unit                  TEXT NOT NULL,
    otel_trace_id         TEXT,
    otel_span_id          TEXT,
    otel_parent_span_id   TEXT,
    input_text            TEXT,
    output_text           TEXT,
    text_truncated        INTEGER NOT NULL,
    service_name          TEXT,
    source                TEXT NOT NULL,
    attributes            TEXT,
    channel               TEXT,
    trigger               TEXT
) STRICT;

CREATE TABLE error_events (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    trace_id        TEXT NOT NULL UNIQUE,
    timestamp       INTEGER NOT NULL,
    received_at     INTEGER NOT NULL,
    error_type      TEXT,
    message         TEXT NOT NULL,
    stacktrace      TEXT,
    severity        TEXT NOT NULL,
    handled         INTEGER,
    component       TEXT,
    conversation_id TEXT,
    agent_id        TEXT,
    otel_trace_id   TEXT,
    otel_span_id    TEXT,
    fingerprint     TEXT,
    text_truncated  INTEGER NOT NULL,
    service_name    TEXT,
    source          TEXT NOT NULL,
    attributes      TEXT
) STRICT;

CREATE TABLE custom_events (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    trace_id        TEXT NOT NULL UNIQUE,
    timestamp       INTEGER NOT NULL,
    received_at     INTEGER NOT NULL,
    name            TEXT NOT NULL,
    severity        TEXT,
    conversation_id TEXT,
    agent_id        TEXT,
    otel_trace_id   TEXT,
    otel_span_id    TEXT,
    body            TEXT,
    text_truncated  INTEGER NOT NULL,
    service_name    TEXT,
    source          TEXT NOT NULL,
    attributes      TEXT
) STRICT;

CREATE TABLE system_metrics (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    trace_id           TEXT NOT NULL UNIQUE,
    timestamp          INTEGER NOT NULL,
    received_at        INTEGER NOT NULL,
    interval_ms        INTEGER,
    cpu_percent        REAL,
    cpu_cores_used     REAL,
    cpu_limit_cores    REAL,
    cpu_throttled_ms   INTEGER,
    memory_used_bytes  INTEGER,
    memory_limit_bytes INTEGER,
    memory_percent     REAL,
    memory_rss_bytes   INTEGER,
    swap_used_bytes    INTEGER,
    disk_path          TEXT,
    disk_total_bytes   INTEGER,
    disk_used_bytes    INTEGER,
    disk_free_bytes    INTEGER,
    disk_percent       REAL,
    net_rx_bytes       INTEGER,
    net_tx_bytes       INTEGER,
    process_count      INTEGER,
    thread_count       INTEGER,
    zombie_count       INTEGER,
    load_1m            REAL,
    scope              TEXT NOT NULL
) STRICT;

-- What became of the rows of each table, ever: stored = present + all that was pruned.
CREATE TABLE row_counts (
    table_name      TEXT NOT NULL PRIMARY KEY,
    stored          INTEGER NOT NULL DEFAULT 0,
    pruned_age      INTEGER NOT NULL DEFAULT 0,
    pruned_size     INTEGER NOT NULL DEFAULT 0,
    pruned_disk     INTEGER NOT NULL DEFAULT 0,
    pruned_unsynced INTEGER NOT NULL DEFAULT 0,
    pruned_foreign  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO row_counts (table_name)
VALUES ('llm_traces'), ('error_events'), ('custom_events'), ('system_metrics');

-- The last id of each table that a destination has confirmed.
CREATE TABLE push_cursor (
    destination TEXT NOT NULL,
    table_name  TEXT NOT NULL,
    last_id     INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (destination, table_name)
) STRICT, WITHOUT ROWID;
