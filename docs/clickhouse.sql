-- The tables that TRACE_PUSH_FORMAT=clickhouse inserts into. What the columns mean: wire.md, "The tables". How rows come, and
-- which may come twice: wire.md, "ClickHouse". Run it in the database that the endpoint names; it never changes a table that
-- is there.
--
-- ReplacingMergeTree keeps, of rows with the same key, the one inserted last. The key and the month of a row are made of what
-- never changes, so a row that is sent again replaces itself. It does so when ClickHouse merges, which may be never: until
-- then both are there, and only FINAL, or a GROUP BY trace_id, counts each once (queries: at the end).
--
-- The month is that of `received_at`, the sidecar's own clock. `timestamp` is what producers say, and ClickHouse refuses an
-- insert with rows of more than 100 months, again and again.
--
-- The tokens of the last 1000 inserts into a table are remembered, so that most repetitions are not stored at all. With
-- fsync, what is confirmed is on the disk. On replicated tables, say ReplicatedReplacingMergeTree, and leave
-- non_replicated_deduplication_window out: they remember tokens without it.

CREATE TABLE IF NOT EXISTS llm_traces
(
    trace_id              UUID,
    timestamp             Int64,
    time                  DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp, 'UTC'),
    received_at           Int64,
    provider              LowCardinality(Nullable(String)),
    request_model         LowCardinality(String),
    response_model        LowCardinality(Nullable(String)),
    operation             LowCardinality(String),
    input_tokens          Nullable(Int64),
    output_tokens         Nullable(Int64),
    cache_read_tokens     Nullable(Int64),
    cache_write_tokens    Nullable(Int64),
    cache_write_1h_tokens Nullable(Int64),
    reasoning_tokens      Nullable(Int64),
    cost_picousd          Nullable(Int64),
    cost_usd              Nullable(Decimal(38, 12)) ALIAS CAST(cost_picousd AS Nullable(Decimal(38, 12))) / 1000000000000,
    cost_source           LowCardinality(String),
    price_version         LowCardinality(Nullable(String)),
    latency_ms            Nullable(Int64),
    ttft_ms               Nullable(Int64),
    ttfb_ms               Nullable(Int64),
    status                LowCardinality(String),
    error_type            LowCardinality(Nullable(String)),
    error_message         Nullable(String),
    finish_reason         LowCardinality(Nullable(String)),
    response_id           Nullable(String),
    conversation_id       Nullable(String),
    agent_id              LowCardinality(Nullable(String)),
    agent_name            LowCardinality(Nullable(String)),
    user_id               Nullable(String),
    streaming             Nullable(UInt8),
    unit                  LowCardinality(String),
    otel_trace_id         Nullable(String),
    otel_span_id          Nullable(String),
    otel_parent_span_id   Nullable(String),
    input_text            Nullable(String),
    output_text           Nullable(String),
    text_truncated        UInt8,
    service_name          LowCardinality(Nullable(String)),
    source                LowCardinality(String),
    attributes            Nullable(String),
    channel               LowCardinality(Nullable(String)),
    trigger               LowCardinality(Nullable(String)),
    instance_id           LowCardinality(String),
    hostname              LowCardinality(Nullable(String)),
    fly_app_name          LowCardinality(Nullable(String)),
    fly_machine_id        LowCardinality(Nullable(String)),
    fly_region            LowCardinality(Nullable(String)),
    fly_image_ref         LowCardinality(Nullable(String)),
    fly_process_group     LowCardinality(Nullable(String)),
    version               LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(received_at, 'UTC'))
ORDER BY (instance_id, timestamp, trace_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS error_events
(
    trace_id          UUID,
    timestamp         Int64,
    time              DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp, 'UTC'),
    received_at       Int64,
    error_type        LowCardinality(Nullable(String)),
    message           String,
    stacktrace        Nullable(String),
    severity          LowCardinality(String),
    handled           Nullable(UInt8),
    component         LowCardinality(Nullable(String)),
    conversation_id   Nullable(String),
    agent_id          LowCardinality(Nullable(String)),
    otel_trace_id     Nullable(String),
    otel_span_id      Nullable(String),
    fingerprint       Nullable(String),
    text_truncated    UInt8,
    service_name      LowCardinality(Nullable(String)),
    source            LowCardinality(String),
    attributes        Nullable(String),
    instance_id       LowCardinality(String),
    hostname          LowCardinality(Nullable(String)),
    fly_app_name      LowCardinality(Nullable(String)),
    fly_machine_id    LowCardinality(Nullable(String)),
    fly_region        LowCardinality(Nullable(String)),
    fly_image_ref     LowCardinality(Nullable(String)),
    fly_process_group LowCardinality(Nullable(String)),
    version           LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(received_at, 'UTC'))
ORDER BY (instance_id, timestamp, trace_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS custom_events
(
    trace_id          UUID,
    timestamp         Int64,
    time              DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp, 'UTC'),
    received_at       Int64,
    name              LowCardinality(String),
    severity          LowCardinality(Nullable(String)),
    conversation_id   Nullable(String),
    agent_id          LowCardinality(Nullable(String)),
    otel_trace_id     Nullable(String),
    otel_span_id      Nullable(String),
    body              Nullable(String),
    text_truncated    UInt8,
    service_name      LowCardinality(Nullable(String)),
    source            LowCardinality(String),
    attributes        Nullable(String),
    instance_id       LowCardinality(String),
    hostname          LowCardinality(Nullable(String)),
    fly_app_name      LowCardinality(Nullable(String)),
    fly_machine_id    LowCardinality(Nullable(String)),
    fly_region        LowCardinality(Nullable(String)),
    fly_image_ref     LowCardinality(Nullable(String)),
    fly_process_group LowCardinality(Nullable(String)),
    version           LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(received_at, 'UTC'))
ORDER BY (instance_id, timestamp, trace_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS system_metrics
(
    trace_id                  UUID,
    timestamp                 Int64,
    time                      DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(timestamp, 'UTC'),
    received_at               Int64,
    interval_ms               Nullable(Int64),
    cpu_percent               Nullable(Float64),
    cpu_cores_used            Nullable(Float64),
    cpu_limit_cores           Nullable(Float64),
    cpu_throttled_ms          Nullable(Int64),
    memory_used_bytes         Nullable(Int64),
    memory_limit_bytes        Nullable(Int64),
    memory_percent            Nullable(Float64),
    memory_rss_bytes          Nullable(Int64),
    swap_used_bytes           Nullable(Int64),
    disk_path                 LowCardinality(Nullable(String)),
    disk_total_bytes          Nullable(Int64),
    disk_used_bytes           Nullable(Int64),
    disk_free_bytes           Nullable(Int64),
    disk_percent              Nullable(Float64),
    net_rx_bytes              Nullable(Int64),
    net_tx_bytes              Nullable(Int64),
    process_count             Nullable(Int64),
    thread_count              Nullable(Int64),
    zombie_count              Nullable(Int64),
    load_1m                   Nullable(Float64),
    scope                     LowCardinality(String),
    memory_working_set_bytes  Nullable(Int64),
    oom_kills                 Nullable(Int64),
    cpu_pressure_ms           Nullable(Int64),
    memory_pressure_ms        Nullable(Int64),
    memory_pressure_full_ms   Nullable(Int64),
    io_pressure_ms            Nullable(Int64),
    io_pressure_full_ms       Nullable(Int64),
    cpu_steal_ms              Nullable(Int64),
    io_read_bytes             Nullable(Int64),
    io_write_bytes            Nullable(Int64),
    io_read_bytes_per_second  Nullable(Float64) ALIAS io_read_bytes * 1000 / nullIf(interval_ms, 0),
    io_write_bytes_per_second Nullable(Float64) ALIAS io_write_bytes * 1000 / nullIf(interval_ms, 0),
    disk_inodes_total         Nullable(Int64),
    disk_inodes_free          Nullable(Int64),
    net_rx_errors             Nullable(Int64),
    net_tx_errors             Nullable(Int64),
    tcp_established           Nullable(Int64),
    tcp_listen                Nullable(Int64),
    tcp_time_wait             Nullable(Int64),
    tcp_close_wait            Nullable(Int64),
    tcp_other                 Nullable(Int64),
    processes_top             Nullable(String),
    agent_alive               Nullable(UInt8),
    agent_rss_bytes           Nullable(Int64),
    agent_cpu_cores_used      Nullable(Float64),
    agent_fds                 Nullable(Int64),
    agent_restarts            Nullable(Int64),
    instance_id               LowCardinality(String),
    hostname                  LowCardinality(Nullable(String)),
    fly_app_name              LowCardinality(Nullable(String)),
    fly_machine_id            LowCardinality(Nullable(String)),
    fly_region                LowCardinality(Nullable(String)),
    fly_image_ref             LowCardinality(Nullable(String)),
    fly_process_group         LowCardinality(Nullable(String)),
    version                   LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(received_at, 'UTC'))
ORDER BY (instance_id, timestamp, trace_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1;

-- What calls cost, exactly: in dollars, with all twelve decimals. The sum of a turn is left out, because the calls of the
-- turn are rows too. A cost that nobody knows is NULL, which is not 0: such rows are counted beside.
--
--   SELECT sum(cost_usd) FROM llm_traces FINAL WHERE unit != 'turn_sum';
--
--   SELECT toDate(time) AS day, provider, request_model, count() AS calls, sum(cost_usd) AS usd,
--          countIf(cost_picousd IS NULL AND (input_tokens > 0 OR output_tokens > 0)) AS unpriced
--   FROM llm_traces FINAL
--   WHERE unit != 'turn_sum' AND timestamp >= toUnixTimestamp('2026-11-01 00:00:00', 'UTC') * 1000
--   GROUP BY day, provider, request_model ORDER BY day, usd DESC;
--
-- The same without FINAL, and across sidecars that were given the same calls. What a call cost never changes, so any of its
-- rows says it.
--
--   SELECT sum(usd)
--   FROM (SELECT any(cost_usd) AS usd FROM llm_traces WHERE unit != 'turn_sum' GROUP BY trace_id);
--
-- How many rows there are that count nothing:
--
--   SELECT count() - uniqExact(trace_id) FROM llm_traces;
