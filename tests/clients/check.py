"""Compares the rows of a database with the spans of tests/clients/README.md. Usage: check.py DATABASE SERVICE..."""

import sqlite3
import sys

COLUMNS = (
    "timestamp, request_model, response_model, provider, operation, input_tokens, output_tokens, cache_read_tokens,"
    " latency_ms, status, error_type, error_message, finish_reason, source"
)
START_MS = 1_795_000_000_000


def expected(service):
    source = "otlp_json" if "json" in service else "otlp_pb"
    model = ("gpt-test", "gpt-test-2026", "openai", "chat")
    failed_model = ("gpt-test", None, "openai", "chat")
    return [
        (START_MS, *model, 1200, 45, 1000, 250, "ok", None, None, "stop", source),
        (START_MS + 1000, *failed_model, None, None, None, 30, "error", "rate_limit", "slow down", None, source),
    ]


def main():
    database, services = sys.argv[1], sys.argv[2:]
    query = f"SELECT {COLUMNS} FROM llm_traces WHERE service_name = ? ORDER BY timestamp, id"
    connection = sqlite3.connect(database)
    wrong = False
    for service in services:
        rows = connection.execute(query, (service,)).fetchall()
        if rows != expected(service):
            wrong = True
            print(f"{service}: expected {expected(service)}, got {rows}", file=sys.stderr)
    (total,) = connection.execute("SELECT count(*) FROM llm_traces").fetchone()
    if total != 2 * len(services):
        wrong = True
        print(f"expected {2 * len(services)} rows in all, got {total}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
