"""Compares a database with what the clients of README.md sent. Usage: check.py DATABASE SINCE_MS SERVICE..."""

import sqlite3
import sys
import time

# Columns of which `-` is NULL. `response_id` and `ttft_ms` are only there or not: `+` or `-`.
COLUMNS = (
    "operation, provider, request_model, response_model, input_tokens, output_tokens, cache_read_tokens,"
    " cache_write_tokens, reasoning_tokens, status, error_type, finish_reason, streaming, unit, source,"
    " iif(response_id IS NULL, '-', '+'), iif(ttft_ms IS NULL, '-', '+')"
)
ROWS_BY_HAND = [
    "chat openai gpt-test gpt-test-2026 1200 45 1000 - - ok - stop - request {source} - -",
    "chat openai gpt-test - - - - - - error rate_limit - - request {source} - -",
]
ROWS_OF_THE_AI_SDK = [
    "chat mockai gpt-test gpt-test-2026 1200 45 1000 - 12 ok - stop 0 request {source} + -",
    "chat mockai gpt-test gpt-test-2026 1200 45 1000 - 12 ok - stop 1 request {source} + +",
    "chat mockai gpt-tool gpt-tool-2026 1200 45 1000 - 12 ok - tool-calls 0 request {source} + -",
    "chat mockai gpt-tool gpt-tool-2026 1200 45 1000 - 12 ok - stop 0 request {source} + -",
    "chat mockai gpt-err429 - - - - - - error AI_APICallError - 0 request {source} - -",
    "embeddings mockai embed-test - 7 - - - - ok - - - request {source} - -",
]
# It tells of no cached tokens, and of a stream not how it ended.
ROWS_OF_OPENAI_V2 = [
    "chat openai gpt-test gpt-test-2026 1200 45 - - - ok - stop - request otlp_pb + -",
    "chat openai gpt-test gpt-test-2026 1200 45 - - - ok - - - request otlp_pb + -",
    "chat openai gpt-tool gpt-tool-2026 1200 45 - - - ok - tool_calls - request otlp_pb + -",
    "chat openai gpt-err429 - - - - - - error RateLimitError - - request otlp_pb - -",
    "embeddings openai embed-test embed-test-2026 7 - - - - ok - - - request otlp_pb - -",
]
ROWS = {
    "openai-v2": ROWS_OF_OPENAI_V2,
    "openai-v2-latest": ROWS_OF_OPENAI_V2,
    "openllmetry": [
        "chat openai gpt-test gpt-test-2026 1200 45 1000 - 12 ok - stop 0 request otlp_pb + -",
        "chat openai gpt-test gpt-test-2026 1200 45 1000 - - ok - stop 1 request otlp_pb + -",
        "chat openai gpt-tool gpt-tool-2026 1200 45 1000 - 12 ok - tool_call 0 request otlp_pb + -",
        "chat openai gpt-err429 - - - - - - error RateLimitError - 0 request otlp_pb - -",
        "embeddings openai embed-test embed-test-2026 7 - 0 - - ok - - 0 request otlp_pb - -",
    ],
    # Of a stream it adds the output tokens of the first event to those of the last, which are all.
    "openllmetry-anthropic": [
        "chat anthropic claude-test claude-test-2026 1250 45 1000 50 - ok - stop - request otlp_pb + -",
        "chat anthropic claude-test claude-test-2026 1250 46 1000 50 - ok - stop 1 request otlp_pb + -",
        "chat anthropic claude-err429 - - - - - - error RateLimitError - - request otlp_pb - -",
    ],
    "anthropic-sdk": [
        "chat anthropic claude-test claude-test-2026 1250 45 1000 50 - ok - end_turn - request otlp_pb + -",
        "chat anthropic claude-test claude-test-2026 1250 45 1000 50 - ok - end_turn 1 request otlp_pb + +",
        "chat anthropic claude-err429 - - - - - - error rate_limit_error - - request otlp_pb - -",
    ],
    "openinference": [
        "chat openai gpt-test gpt-test-2026 1200 45 1000 - 12 ok - stop - request otlp_pb - -",
        "chat openai gpt-test gpt-test-2026 1200 45 1000 - 12 ok - stop - request otlp_pb - -",
        "chat openai gpt-tool gpt-tool-2026 1200 45 1000 - 12 ok - tool_calls - request otlp_pb - -",
        "chat openai gpt-err429 - - - - - - error openai.RateLimitError - - request otlp_pb - -",
        "embeddings openai embed-test embed-test-2026 7 - - - - ok - - - request otlp_pb - -",
    ],
    "ai-sdk-protobuf": [row.format(source="otlp_pb") for row in ROWS_OF_THE_AI_SDK],
    "ai-sdk-json": [row.format(source="otlp_json") for row in ROWS_OF_THE_AI_SDK],
    "python-protobuf": [row.format(source="otlp_pb") for row in ROWS_BY_HAND],
    "python-protobuf-gzip": [row.format(source="otlp_pb") for row in ROWS_BY_HAND],
    "js-protobuf": [row.format(source="otlp_pb") for row in ROWS_BY_HAND],
    "js-protobuf-gzip": [row.format(source="otlp_pb") for row in ROWS_BY_HAND],
    "js-json": [row.format(source="otlp_json") for row in ROWS_BY_HAND],
    "js-json-gzip": [row.format(source="otlp_json") for row in ROWS_BY_HAND],
}
# What senders that set times by hand say of them: timestamp, latency, message of the error.
BY_HAND_START_MS = 1_795_000_000_000
TIMES_BY_HAND = [(BY_HAND_START_MS, 250, None), (BY_HAND_START_MS + 1000, 30, "slow down")]
# What was asked, what the model said, what it asked the tool and what that said: nobody wanted it stored.
CONTENT = (b"hi there", b"Hello from the mock", b"Winterthur", b"sunny")

faults = []


def check(is_right, fault):
    if not is_right:
        faults.append(fault)


def check_rows(connection, service):
    query = f"SELECT {COLUMNS} FROM llm_traces WHERE service_name = ? ORDER BY timestamp, id"
    rows = [
        " ".join("-" if value is None else str(value) for value in row)
        for row in connection.execute(query, (service,))
    ]
    expected = ROWS[service]
    for row in sorted(set(rows) - set(expected)):
        check(False, f"{service}: did not expect the row\n  {row}")
    for row in sorted(set(expected) - set(rows)):
        check(False, f"{service}: expected the row\n  {row}")
    check(sorted(rows) == sorted(expected), f"{service}: expected {len(expected)} rows, got {len(rows)}")


def check_times(connection, service, since_ms):
    query = (
        "SELECT timestamp, latency_ms, error_message FROM llm_traces WHERE service_name = ? ORDER BY timestamp, id"
    )
    times = connection.execute(query, (service,)).fetchall()
    if service.startswith(("python-", "js-")):
        check(times == TIMES_BY_HAND, f"{service}: expected {TIMES_BY_HAND}, got {times}")
        return
    now_ms = time.time() * 1000
    for start, latency, error in times:
        check(since_ms <= start <= now_ms, f"{service}: a call started at {start}, not since {since_ms}")
        check(latency is not None and 0 <= latency <= now_ms - since_ms, f"{service}: a call took {latency} ms")
        check(error is None or "slow down" in error, f"{service}: a call failed with {error}")


def main():
    database, since_ms, services = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    connection = sqlite3.connect(database)
    for service in services:
        check_rows(connection, service)
        check_times(connection, service, since_ms)
    (total,) = connection.execute("SELECT count(*) FROM llm_traces").fetchone()
    expected = sum(len(ROWS[service]) for service in services)
    check(total == expected, f"expected {expected} rows in all, got {total}")
    with open(database, "rb") as file:
        stored = file.read()
    for content in CONTENT:
        check(content not in stored, f"the database holds {content!r}")
    if faults:
        sys.exit("\n".join(faults))


main()
