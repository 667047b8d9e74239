"""docs/clickhouse.sql and TRACE_PUSH_FORMAT=clickhouse against ClickHouse's engine. Usage: clickhouse.py BINARY FOLDER"""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from clickhouse_server import Engine, Refused, Server

DDL = Path(__file__).resolve().parents[2] / "docs" / "clickhouse.sql"
TABLES = ["llm_traces", "error_events", "custom_events", "system_metrics"]
DATABASE = "telemetry of agents"
USER, PASSWORD = "trace", "hush:er&=+"
CALLS = 400
WAIT_S = 60


class Failed(Exception):
    """What is wrong, in a sentence."""


def check(ok: bool, what: str) -> None:
    if not ok:
        raise Failed(what)


def equal(got: Any, wanted: Any, what: str) -> None:
    check(got == wanted, f"{what}: {got!r}, and not {wanted!r}")


def until(what: str, condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + WAIT_S
    while True:
        if met := condition():
            return met
        check(time.monotonic() < end, f"not within {WAIT_S} s: {what}")
        time.sleep(0.05)


class Sidecar:
    """The binary, which pushes to an endpoint every second."""

    def __init__(self, binary: str, folder: Path, endpoint: str, **more: str) -> None:
        self.log = folder / f"sidecar-{time.monotonic_ns()}.log"
        env = {
            "TRACE_PORT": "0",
            "TRACE_DB_PATH": str(folder / "trace.db"),
            "TRACE_PUSH_ENDPOINT": endpoint,
            "TRACE_PUSH_FORMAT": "clickhouse",
            "TRACE_PUSH_TOKEN": f"{USER}:{PASSWORD}",
            "TRACE_PUSH_INTERVAL": "1s",
            "FLY_REGION": "ams",
            **more,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([binary, "serve"], env=env, stdout=log, stderr=log)
        self.port = until("the sidecar listens", self.listening)

    def listening(self) -> str | None:
        found = re.search(r"msg=listening addr=127\.0\.0\.1:(\d+)", self.log.read_text())
        check(bool(found) or self.process.poll() is None, f"the sidecar ended: {self.log.read_text()}")
        return found and found[1]

    def post(self, path: str, items: list[dict[str, Any]]) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(items).encode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            equal(json.load(answer)["accepted"], len(items), path)

    def unsynced(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as answer:
            tables = json.load(answer)["database"]["rows"]
        return sum(table["unsynced"] for table in tables.values())

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        equal(self.process.wait(WAIT_S), 0, f"exit code of the sidecar\n{self.log.read_text()}")


def calls() -> list[dict[str, Any]]:
    """Calls whose costs a float would get wrong, and whose texts a careless writer of JSON would."""
    costs = ["0.1", "0.000000000001", "9200000", "123456.789012345678", "0", None]
    texts = ["tab\t \"quotes\" \\back", "line\nline\r\n", "ü € 🙂 \u2028", "", "NULL", "\\N", "{\"a\": 1}", "'; DROP TABLE x"]
    units = ["request", "turn", "turn_sum", "usage_only"]
    return [
        {
            "model": f"model-{i % 7}",
            "provider": "p",
            "input_tokens": 2**53 - 1 if i == 0 else i,
            "output_tokens": None if i % 5 == 0 else i,
            "cost_usd": costs[i % len(costs)],
            "latency_ms": i,
            "unit": units[i % len(units)],
            "streaming": i % 2 == 0,
            "status": "error" if i % 11 == 0 else "ok",
            "input_text": texts[i % len(texts)],
            # Of more months than ClickHouse takes in one insert.
            "timestamp": 200_000_000_000 + i * 40 * 86_400_000,
            "attributes": {"text": texts[i % len(texts)], "deep": [{"x": None}, 1e300, 2**60]},
        }
        for i in range(CALLS)
    ]


def stored(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """The rows of the sidecar's file, by table and id."""
    connection = sqlite3.connect(folder / "trace.db")
    connection.row_factory = sqlite3.Row
    found = {}
    for table in TABLES:
        source = "llm_calls" if table == "llm_traces" else table
        found[table] = {row["trace_id"]: dict(row) for row in connection.execute(f"SELECT * FROM {source}")}
    [[instance_id]] = connection.execute("SELECT value FROM meta WHERE key = 'instance_id'")
    for row in (row for rows in found.values() for row in rows.values()):
        del row["id"]
        row.update(instance_id=instance_id, fly_region="ams")
        # Computed there: a decimal of twelve places, of what is here in whole picodollars.
        if row.get("cost_picousd") is not None:
            row["cost_usd"] = Decimal(row["cost_picousd"]).scaleb(-12)
    connection.close()
    return found


def compare(engine: Engine, table: str, rows: dict[str, dict[str, Any]]) -> None:
    """Every column of every row is in ClickHouse as it is in the file."""
    computed = {"llm_traces": ", cost_usd", "system_metrics": ", io_read_bytes_per_second, io_write_bytes_per_second"}
    found_rows = engine.rows(f"SELECT *{computed.get(table, '')} FROM {table} FINAL", DATABASE)
    there = {row["trace_id"]: row for row in found_rows}
    equal(there.keys(), rows.keys(), f"ids in {table}")
    for trace_id, row in rows.items():
        for column, value in row.items():
            found = there[trace_id][column]
            if isinstance(value, float):
                check(found is not None and abs(found - value) <= 1e-12 * abs(value), f"{table}.{column}: {found} {value}")
            elif isinstance(value, Decimal):
                equal(Decimal(found), value, f"{table}.{column}")
            else:
                equal(found, value, f"{table}.{column} of {trace_id}")
        for column in there[trace_id].keys() - row.keys():
            check(column in {"hostname", "version"} or there[trace_id][column] is None, f"{table}.{column} is from nowhere")


def queries() -> list[str]:
    """The queries that docs/clickhouse.sql shows."""
    shown = DDL.read_text()
    found = re.findall(r"^--   (SELECT .*(?:\n--  +.*)*);$", shown, flags=re.M)
    return [re.sub(r"\n--", "\n", query) for query in found]


def check_money(engine: Engine, rows: dict[str, dict[str, Any]]) -> None:
    counted = [row for row in rows.values() if row["unit"] != "turn_sum"]
    spent = Decimal(sum(row["cost_picousd"] or 0 for row in counted)).scaleb(-12)
    total, by_day, without_final, surplus = queries()
    equal(Decimal(engine.value(total, DATABASE)), spent, "dollars with FINAL")
    equal(Decimal(engine.value(without_final, DATABASE)), spent, "dollars without FINAL")
    copies = engine.value("SELECT count() FROM llm_traces", DATABASE) - len(rows)
    equal(engine.value(surplus, DATABASE), copies, "rows that count nothing")
    since = 1_793_491_200_000  # 2026-11-01
    recent = [row for row in counted if row["timestamp"] >= since]
    days = engine.rows(by_day, DATABASE)
    equal(sum(day["calls"] for day in days), len(recent), "calls by day")
    recent_spent = Decimal(sum(row["cost_picousd"] or 0 for row in recent)).scaleb(-12)
    equal(sum(Decimal(day["usd"] or 0) for day in days), recent_spent, "dollars by day")
    unpriced = [row for row in recent if row["cost_picousd"] is None and (row["input_tokens"] or row["output_tokens"])]
    equal(sum(day["unpriced"] for day in days), len(unpriced), "calls without a cost by day")


def post(server: Server, path: str, body: str, password: str = PASSWORD) -> tuple[int, str]:
    """The status of an answer, and its body."""
    request = urllib.request.Request(server.url + path, body.encode())
    request.add_unredirected_header("X-ClickHouse-User", USER)
    request.add_unredirected_header("X-ClickHouse-Key", password)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def check_statuses(server: Server) -> None:
    """Which status comes with what is wrong."""
    path, body = next(insert for insert in server.inserts if "llm_traces" in insert[0])
    first = body.split("\n", 1)[0] + "\n"
    again = path.replace("insert_deduplication_token=", "insert_deduplication_token=another-")
    equal(post(server, again, first), (200, ""), "a row that is right")
    for what, status, code, its_path, its_body in [
        ("a table that is not there", 404, 60, again.replace("llm_traces", "llm_tracks"), first),
        ("a database that is not there", 404, 81, re.sub("database=[^&]*", "database=x", again), first),
        ("a setting that is not known", 404, 115, again + "&no_such_setting=1", first),
        ("a text where a number belongs", 400, 27, again, first + '{"timestamp":"x"}\n' + first),
        ("a number that is none", 400, 27, again, first + '{"timestamp":1.5}\n'),
        ("an id that is none", 400, 376, again, '{"trace_id":"x"}\n'),
        ("no JSON", 400, 27, again, "<html>\n"),
        ("a row without its end", 500, 33, again, first[:-2]),
    ]:
        got, answer = post(server, its_path, its_body)
        check((got, f"Code: {code}." in answer) == (status, True), f"{what}: {got} {answer}")
    equal(post(server, again, first, "wrong")[0], 403, "a wrong password")


def check_older_table(engine: Engine, server: Server) -> None:
    """A table without a newer column takes rows all the same, and has it once it was added and the rows came again."""
    rows = len(engine.rows("SELECT trace_id FROM llm_traces FINAL", DATABASE))
    inserts = [insert for insert in server.inserts if "INTO%20llm_traces%20" in insert[0]]
    engine.run("CREATE DATABASE older")
    engine.script(DDL.read_text(), "older")
    engine.run("ALTER TABLE llm_traces DROP COLUMN unit", "older")
    for step in ("before", "after"):
        if step == "after":
            engine.run("ALTER TABLE llm_traces ADD COLUMN unit LowCardinality(String)", "older")
        for path, body in inserts:
            path = re.sub("database=[^&]*", "database=older", path).replace("_token=", f"_token={step}-")
            equal(post(server, path, body), (200, ""), f"an insert {step} the column was added")
        equal(engine.value("SELECT count() FROM llm_traces FINAL", "older"), rows, f"rows {step} the column was added")
    equal(engine.value("SELECT countIf(unit = '') FROM llm_traces FINAL", "older"), 0, "rows without the column")


def check_refused(engine: Engine, server: Server, binary: str, folder: Path) -> None:
    """Rows that ClickHouse refuses are found among the others, become dead letters, and go out once the table is mended."""
    folder.mkdir()
    engine.run("CREATE DATABASE strict")
    engine.script(DDL.read_text(), "strict")
    engine.run("ALTER TABLE custom_events MODIFY COLUMN body Nullable(Int64)", "strict")
    sidecar = Sidecar(binary, folder, f"{server.url}/?database=strict", TRACE_METRICS_INTERVAL="off")
    sidecar.post("/v1/events", [{"name": "n", "body": "seven" if i in (11, 12) else 7} for i in range(40)])

    def dead_letters(*arguments: str) -> str:
        env = {"TRACE_DB_PATH": str(folder / "trace.db")}
        done = subprocess.run([binary, "dead-letters", *arguments], env=env, capture_output=True, text=True, check=False)
        equal((done.returncode, done.stderr), (0, ""), f"dead-letters {arguments}")
        return done.stdout

    until("the refused rows are dead letters", lambda: len(json.loads(dead_letters("--json"))) == 2)
    equal(engine.value("SELECT count() FROM custom_events FINAL", "strict"), 38, "rows beside those that are refused")
    for letter in map(json.loads, dead_letters("export").splitlines()):
        equal((letter["status"], letter["row"]["body"]), (400, "seven"), "a dead letter")
        check(letter["message"].startswith("Code: 27."), f"the reason of a dead letter: {letter['message']}")
    engine.run("ALTER TABLE custom_events MODIFY COLUMN body Nullable(String)", "strict")
    dead_letters("retry", "--all", f"http://127.0.0.1:{sidecar.port}")
    until("all is confirmed", lambda: sidecar.unsynced() == 0)
    equal(dead_letters("--json"), "[]\n", "dead letters")
    equal(engine.value("SELECT count() FROM custom_events FINAL", "strict"), 40, "rows in all")
    sidecar.stop()


def run(binary: str, folder: Path) -> None:
    engine = Engine(folder / "clickhouse")
    engine.run(f"CREATE DATABASE `{DATABASE}`")
    for _ in range(2):
        equal(engine.script(DDL.read_text(), DATABASE), len(TABLES), "statements of docs/clickhouse.sql")
    server = Server(engine, USER, PASSWORD)
    query = "?database=telemetry%20of%20agents"

    # The first answers are lost, so that the same inserts come again under the same tokens.
    server.losing = 5
    sidecar = Sidecar(binary, folder, server.url + query, TRACE_METRICS_INTERVAL="1s", TRACE_PUSH_MAX_BYTES="100KB")
    sidecar.post("/v1/traces", calls())
    sidecar.post("/v1/errors", [{"message": f"m{i}", "handled": i % 2, "stacktrace": "at\n x"} for i in range(30)])
    sidecar.post("/v1/events", [{"name": f"n{i}", "body": {"i": i}} for i in range(30)])
    until("the inserts whose answers are lost", lambda: server.losing == 0)
    until("all is confirmed", lambda: sidecar.unsynced() == 0)
    sidecar.stop()
    rows = stored(folder)
    tokens = [re.search("_token=([^&]*)", path)[1] + path.split("INTO%20")[1].split("%20")[0] for path, _ in server.inserts]
    check(len(tokens) - len(set(tokens)) >= 5, f"no insert came again: {tokens}")
    for table in TABLES:
        check(len(rows[table]) > 0, f"no rows in {table}")
        equal(engine.value(f"SELECT count() FROM {table}", DATABASE), len(rows[table]), f"{table} after repetitions")
        compare(engine, table, rows[table])
    check_money(engine, rows["llm_traces"])

    # So that every copy is still there when it is counted.
    engine.run("SYSTEM STOP MERGES")
    # An endpoint with another path gets everything again, cut otherwise and under other tokens.
    again = Sidecar(binary, folder, f"{server.url}/again{query}", TRACE_METRICS_INTERVAL="off", TRACE_PUSH_MAX_BYTES="77KB")
    until("all is confirmed again", lambda: again.unsynced() == 0)
    again.stop()
    for table in TABLES:
        equal(engine.value(f"SELECT count() FROM {table}", DATABASE), 2 * len(rows[table]), f"copies in {table}")
        compare(engine, table, rows[table])
    check_money(engine, rows["llm_traces"])
    check_statuses(server)
    check_older_table(engine, server)
    check_refused(engine, server, binary, folder / "refused")
    engine.run("SYSTEM START MERGES")
    for table in TABLES:
        engine.run(f"OPTIMIZE TABLE {table} FINAL", DATABASE)
        equal(engine.value(f"SELECT count() FROM {table}", DATABASE), len(rows[table]), f"{table} once merged")
    check_money(engine, rows["llm_traces"])
    counts = ", ".join(f"{len(rows[table])} {table}" for table in TABLES)
    print(f"clickhouse: ok, {len(server.inserts)} inserts ({counts}), engine {engine.value('SELECT version()', DATABASE)}")


def main() -> int:
    try:
        run(sys.argv[1], Path(sys.argv[2]))
    except (Failed, Refused) as error:
        print(f"clickhouse: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
