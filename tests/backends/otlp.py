"""TRACE_PUSH_FORMAT=otlp through rotel, a collector, into a second sidecar. Usage: otlp.py BINARY FOLDER"""

import json
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rotel

TABLES = ["llm_traces", "error_events", "custom_events"]
# Each file's own.
NOT_COMPARED = {"id", "received_at"}
CALLS, ERRORS, EVENTS, SPANS, FAILED_SPANS = 400, 100, 100, 20, 5
WAIT_S = 40


class Failed(Exception):
    """What is wrong, in a sentence."""


def check(ok: bool, what: str) -> None:
    if not ok:
        raise Failed(what)


def until(what: str, condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + WAIT_S
    while True:
        if met := condition():
            return met
        check(time.monotonic() < end, f"not within {WAIT_S} s: {what}")
        time.sleep(0.1)


started: list[subprocess.Popen[bytes]] = []


def start(command: list[Any], log: Path, **how: Any) -> subprocess.Popen[bytes]:
    """A process that does not outlive this one."""
    with log.open("wb") as out:
        started.append(subprocess.Popen(command, stdout=out, stderr=out, **how))
    return started[-1]


class Sidecar:
    """The binary, on a port of its own."""

    def __init__(self, binary: str, database: Path, **more: str) -> None:
        self.log = database.with_suffix(f".{time.monotonic_ns()}.log")
        env = {
            "TRACE_PORT": "0",
            "TRACE_DB_PATH": str(database),
            "TRACE_CAPTURE_TEXT": "all",
            "TRACE_METRICS_INTERVAL": "off",
            **more,
        }
        self.process = start([binary, "serve"], self.log, env=env)
        self.port = until("the sidecar listens", self.listening)

    def listening(self) -> str | None:
        found = re.search(r"msg=listening addr=127\.0\.0\.1:(\d+)", self.log.read_text())
        check(bool(found) or self.process.poll() is None, f"the sidecar ended: {self.log.read_text()}")
        return found and found[1]

    def post(self, path: str, body: Any) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT_S)
        check(code == 0, f"the sidecar ended with {code}\n{self.log.read_text()}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Collector:
    """rotel, which hands everything on to a port. It cannot say which port it chose, so it is told one that was free."""

    def __init__(self, folder: Path, to: str) -> None:
        program = Path(rotel.__file__).with_name("rotel-agent")
        self.log = folder / "rotel.log"
        for _ in range(3):
            self.port = free_port()
            options = {
                "otlp-grpc-endpoint": f"127.0.0.1:{free_port()}",
                "otlp-http-endpoint": f"127.0.0.1:{self.port}",
                "exporter": "otlp",
                "otlp-exporter-protocol": "http",
                "otlp-exporter-endpoint": f"http://127.0.0.1:{to}",
                "otlp-exporter-retry-initial-backoff": "200ms",
                "batch-timeout": "100ms",
                "pid-file": str(folder / "rotel.pid"),
                "log-file": str(folder / "rotel-agent.log"),
            }
            words = [word for name, value in options.items() for word in (f"--{name}", value)]
            self.process = start([program, "start", *words], self.log, cwd=folder)
            until("the collector listens or ends", lambda: self.listens() or self.process.poll() is not None)
            if self.process.poll() is None:
                return
        raise Failed(f"the collector did not listen: {self.log.read_text()}")

    def listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT_S)


def call(chance: random.Random, number: int) -> dict[str, Any]:
    """A call as a client of native JSON sends it: each field is there or not."""
    text = chance.choice(["plain", "é 😀 \n\t\"quoted\" \\ ", "x" * 3000, "[1, 2]", "NULL"])
    fields = {
        "provider": chance.choice(["anthropic", "openai", "somebody"]),
        "response_model": "m-2026",
        "operation": chance.choice(["chat", "embeddings", "invoke_agent"]),
        "input_tokens": 2**53 - 1 if number == 0 else 1200 + number,
        "output_tokens": chance.randrange(1000),
        "cache_read_tokens": 1000,
        "cache_write_tokens": 100,
        "cache_write_1h_tokens": 50,
        "reasoning_tokens": 0,
        "cost_usd": chance.choice(["0", "0.000000000001", "0.001575", "9000000.000000000001"]),
        "latency_ms": chance.choice([0, 1, 517, 86_400_000]),
        "ttft_ms": chance.choice([0, 1, 230, 86_399_999]),
        "ttfb_ms": 220,
        "status": chance.choice(["ok", "error", "timeout", "cancelled"]),
        "error_type": "429",
        "error_message": text,
        "finish_reason": "stop",
        "response_id": f"r-{number}",
        "conversation_id": "s-1",
        "agent_id": "a-1",
        "agent_name": "main é",
        "user_id": "u-1",
        "streaming": chance.choice([True, False]),
        "unit": chance.choice(["request", "turn", "usage_only"]),
        "otel_trace_id": f"{chance.getrandbits(128) | 1:032x}",
        "otel_span_id": "00f067aa0ba902b7",
        "otel_parent_span_id": "00f067aa0ba902b8",
        "input_text": text,
        "output_text": text,
        "service_name": "agent-é",
        "channel": "webchat",
        "trigger": "cron",
        "service_tier": "batch",
    }
    kept = {name: value for name, value in fields.items() if chance.random() < 0.7}
    nested = {"a": [1, 2.5, "x", False, {"deep": {"er": [[["é"]]]}}], "long": "y" * 2000, "gen_ai.request.seed": 7}
    # Not among the attributes of a span, whose names these are.
    nested |= {"error.message": "mine", "openclaw_trace.unit": "mine"}
    return {"model": f"model-{number % 3}", "timestamp": 1_795_000_000_000 + number * 1007, **kept, "attributes": nested}


def errors() -> list[dict[str, Any]]:
    severities = ["debug", "info", "warn", "error", "fatal"]
    return [
        {
            "message": f"m {n} \n é",
            "error_type": "E",
            "stacktrace": "at x\n" * 50,
            "handled": n % 2 == 0,
            "severity": severities[n % 5],
            "component": "c",
            "fingerprint": "f",
            "attributes": {"session.id": "s", "n": n},
        }
        for n in range(ERRORS)
    ]


def events() -> list[dict[str, Any]]:
    severities: list[dict[str, str]] = [{}, *({"severity": word} for word in ["debug", "info", "warn", "error", "fatal"])]
    attributes = {"gen_ai.operation.name": "x", "gen_ai.usage.input_tokens": 5}
    return [
        {"name": f"e.{n}", "body": {"k": [n]}, "conversation_id": "s-1", "attributes": attributes, **severities[n % 6]}
        for n in range(EVENTS)
    ]


def spans() -> dict[str, Any]:
    """An export of a client of OTLP: calls, calls that failed, and a tool."""
    usage = [
        ("gen_ai.request.model", "stringValue", "m"),
        ("gen_ai.usage.input_tokens", "intValue", "12"),
        ("gen_ai.usage.cost", "doubleValue", 0.001575),
        ("custom.flag", "boolValue", True),
    ]

    def span(number: int, attributes: list[tuple[str, str, Any]], **more: Any) -> dict[str, Any]:
        start_ns = 1_795_000_000_000_000_000 + number * 1_000_000_007
        return {
            "traceId": f"{0xABCDEF:032x}",
            "spanId": f"{number + 1:016x}",
            "startTimeUnixNano": str(start_ns),
            "endTimeUnixNano": str(start_ns + 250_500_000),
            "attributes": [{"key": key, "value": {kind: value}} for key, kind, value in attributes],
            **more,
        }

    failed = {"status": {"code": 2, "message": "boom"}, "parentSpanId": f"{1:016x}"}
    sent = [span(n, usage) for n in range(SPANS)]
    sent += [span(SPANS + n, usage, **failed) for n in range(FAILED_SPANS)]
    sent += [span(SPANS + FAILED_SPANS, [("gen_ai.operation.name", "stringValue", "execute_tool")])]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "a client"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": sent}]}]}


Rows = dict[tuple[str, str], dict[str, Any]]


def rows(database: Path) -> Rows:
    """The rows of a file by table and id, without what is each file's own."""
    found = {}
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    for table in TABLES:
        for row in connection.execute(f"SELECT * FROM {table}"):
            columns = {name: row[name] for name in row.keys() if name not in NOT_COMPARED}
            if columns["attributes"] is not None:
                columns["attributes"] = json.loads(columns["attributes"])
            found[table, columns.pop("trace_id")] = columns
    connection.close()
    return found


def differences(before: Rows, behind: Rows) -> Iterator[str]:
    for key in sorted(before.keys() | behind.keys()):
        a, b = before.get(key), behind.get(key)
        if a is None or b is None:
            yield f"{key} is not {'behind' if b is None else 'before'} the collector"
        else:
            yield from (f"{key} {name}: {a[name]!r} became {b[name]!r}" for name in a if a[name] != b[name])


def compare(before: Rows, behind: Rows) -> None:
    found = list(differences(before, behind))
    check(not found, "\n".join([f"{len(found)} differences", *found[:20]]))


def main(binary: str, folder: Path) -> None:
    chance = random.Random(7)
    before_db, behind_db = folder / "before.db", folder / "behind.db"
    behind = Sidecar(binary, behind_db)
    collector = Collector(folder, behind.port)
    push = {"TRACE_PUSH_FORMAT": "otlp", "TRACE_PUSH_INTERVAL": "1s"}
    endpoint = f"http://127.0.0.1:{collector.port}"
    before = Sidecar(binary, before_db, TRACE_PUSH_ENDPOINT=endpoint, TRACE_METRICS_INTERVAL="1s", **push)
    calls = [call(chance, number) for number in range(CALLS)]
    for path, items in [("/v1/traces", calls), ("/v1/errors", errors()), ("/v1/events", events())]:
        for at in range(0, len(items), 50):
            accepted = before.post(path, items[at : at + 50])["accepted"]
            check(accepted == 50, f"{path}: {accepted} of 50 rows were accepted")
    check(before.post("/v1/traces", spans()) == {}, "spans were not accepted")
    # Spans that failed are errors too.
    wanted = CALLS + ERRORS + EVENTS + SPANS + 2 * FAILED_SPANS + 1
    stored = rows(before_db)
    check(len(stored) == wanted, f"{len(stored)} rows were stored, and not {wanted}")
    until("all rows are behind the collector", lambda: len(rows(behind_db)) >= wanted)
    until("so are metrics", lambda: behind.health()["signals"]["otlp_metrics"]["records"] > 0)
    compare(stored, rows(behind_db))
    before.stop()
    pushed = before.log.read_text()
    check("push failed" not in pushed and "dropped rows" not in pushed, f"a push failed:\n{pushed}")

    # Another endpoint gets everything again, this time without a collector between: all of it is there already.
    endpoint = f"http://127.0.0.1:{behind.port}/otlp"
    before = Sidecar(binary, before_db, TRACE_PUSH_ENDPOINT=endpoint, **push)
    until("rows that came again are known", lambda: behind.health()["events"]["duplicate"] >= wanted)
    compare(stored, rows(behind_db))
    before.stop()
    collector.stop()
    behind.stop()
    found = [columns for (table, _), columns in stored.items() if table == "llm_traces"]
    tokens = sum(columns["input_tokens"] or 0 for columns in found)
    cost = sum(columns["cost_picousd"] or 0 for columns in found)
    print(
        f"otlp: ok, {wanted} rows are equal behind a collector, among them {len(found)} calls with {tokens} tokens of input "
        f"for {cost} picodollars; sent again without it they are no row more"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    finally:
        for process in started:
            process.kill()
            process.wait()
