"""A client and a receiver of pushes, made from docs/wire.md alone, against the sidecar. Usage: from_docs.py BINARY"""

import contextlib
import gzip
import http.client
import http.server
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid

# The store may take 30 s, and a client that gives up before it does not know what was stored.
ANSWER_TIMEOUT_S = 40
ATTEMPTS_MAX = 20
PATIENCE_S = 30
CONNECTIONS_MAX = 256
ITEMS_MAX = 10_000
TABLES = ("llm_traces", "error_events", "custom_events", "system_metrics")
ROUTES = {"/v1/traces": "traces", "/v1/events": "events", "/v1/errors": "errors"}


class Refused(Exception):
    """The same again will not do."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status = status
        self.error = body["error"]
        self.rejected = body.get("rejected", [])


class Client:
    """Posts items so that each is stored once, whatever happens on the way."""

    def __init__(self, port, token=None):
        self.port = port
        self.token = token
        self.statuses = []

    def post(self, route, items, key=None):
        """The receipts of the items: one, or several where they were too many for one request."""
        try:
            return [self.send(route, json.dumps({ROUTES[route]: items}).encode(), "application/json", key)]
        except Refused as refused:
            if refused.status != 413 or len(items) < 2 or key:
                raise
        half = len(items) // 2
        return self.post(route, items[:half]) + self.post(route, items[half:])

    def send(self, route, body, media, key=None):
        headers = {"Content-Type": media}
        if len(body) > 1024:
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        if key:
            headers["Idempotency-Key"] = key
        for _ in range(ATTEMPTS_MAX):
            try:
                status, answer_headers, answer = self.ask("POST", route, body, headers)
            except (OSError, http.client.HTTPException):
                # No answer came: it may be stored, and the ids make a repetition harmless.
                time.sleep(1)
                continue
            if status == 202:
                return answer
            if status != 503:
                raise Refused(status, answer)
            time.sleep(int(answer_headers["Retry-After"]))
        raise TimeoutError(f"{route} was not taken in {ATTEMPTS_MAX} attempts")

    def ask(self, method, path, body=None, headers=()):
        headers = dict(headers)
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            self.statuses.append(response.status)
            text = response.read()
            return response.status, response.headers, json.loads(text) if text else None


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes pushes: each row once, by its trace_id, and 200 only after the commit."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        push = json.loads(body)
        server = self.server
        server.seen.append((self.headers["Idempotency-Key"], int(self.headers["X-Trace-Attempt"]), body))
        check(self.headers["Content-Type"] == "application/json", self.headers["Content-Type"])
        check(self.headers["Authorization"] == "Bearer hush", "the token of the push")
        check(self.headers["User-Agent"] == f"openclaw-trace/{push['agent']['version']}", self.headers["User-Agent"])
        check(push["schema_version"] == 1, push["schema_version"])
        check(push["batch_id"] == self.headers["Idempotency-Key"], "the batch and its key")
        action = server.script.pop(0) if server.script else "take"
        if action == "not now":
            self.answer(503, b"", {"Retry-After": "1"})
            return
        with server.database:
            for table in TABLES:
                for row in push[table]:
                    values = (row["trace_id"], push["agent"]["instance_id"], json.dumps(row))
                    insert = f"INSERT INTO {table} VALUES (?, ?, ?) ON CONFLICT (trace_id) DO NOTHING"
                    server.database.execute(insert, values)
        if action == "lose the answer":
            self.close_connection = True
            return
        self.answer(200, b"{}")

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def check(condition, what):
    if not condition:
        faults.append(str(what))
        raise AssertionError(what)


faults = []


@contextlib.contextmanager
def receiver(script):
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    server.script = script
    server.seen = []
    server.database = sqlite3.connect(":memory:", check_same_thread=False)
    for table in TABLES:
        server.database.execute(
            f"CREATE TABLE {table} (trace_id TEXT PRIMARY KEY, instance_id TEXT NOT NULL, body TEXT NOT NULL)"
        )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def sidecar(binary, **variables):
    """The port of a sidecar with an empty database, which must end well."""
    with tempfile.TemporaryDirectory() as folder:
        env = {"TRACE_PORT": "0", "TRACE_BIND": "127.0.0.1", "TRACE_DB_PATH": f"{folder}/trace.db", **variables}
        process = subprocess.Popen([binary, "serve"], env=env, stderr=subprocess.PIPE, text=True)
        try:
            for line in process.stderr:
                if found := re.search(r"msg=listening addr=127\.0\.0\.1:(\d+)", line):
                    break
            else:
                raise AssertionError("the sidecar ended before it listened")
            # Nobody may stop reading: a full pipe would hold the sidecar up.
            log = threading.Thread(target=lambda: [sys.stderr.write(line) for line in process.stderr])
            log.start()
            yield int(found[1])
            process.send_signal(signal.SIGTERM)
            check(process.wait(PATIENCE_S) == 0, "the sidecar did not end well")
            log.join()
        finally:
            process.kill()
            process.wait()


def ids(count):
    return [str(uuid.uuid4()) for _ in range(count)]


def sums(receipts):
    """Of what was accepted, of duplicates, and of what was rejected."""
    for receipt in receipts:
        taken = receipt["accepted"] + receipt["duplicates"]
        check(len(receipt["trace_ids"]) == taken, receipt)
    return tuple(
        sum(values)
        for values in zip(*((r["accepted"], r["duplicates"], len(r["rejected"])) for r in receipts), strict=True)
    )


def items_are_stored_once(client):
    own = ids(3)
    calls = [{"trace_id": own[0].upper(), "model": "m", "latency_ms": 517.3}, {"id": own[1], "request_model": "m"}]
    check(sums(client.post("/v1/traces", calls)) == (2, 0, 0), "new calls")
    [receipt] = client.post("/v1/traces", [*calls, {"event_id": own[2], "model": "m"}])
    check(sums([receipt]) == (1, 2, 0), receipt)
    check(receipt["trace_ids"] == own, receipt)
    for expected in [(2, 0, 0), (0, 2, 0)]:
        events = [{"name": "a", "body": {"b": 1}}, {"name": "b", "level": "WARNING"}]
        check(sums(client.post("/v1/events", events, key="k-1")) == expected, f"a key: {expected}")
    # The key is of its route.
    check(sums(client.post("/v1/errors", [{"message": "x"}], key="k-1")) == (1, 0, 0), "the same key elsewhere")
    lines = "\n".join(json.dumps({"message": "m", "stack": "s" * 1000, "id": id}) for id in ids(3)).encode()
    for expected in [(3, 0, 0), (0, 3, 0)]:
        check(sums([client.send("/v1/errors", lines, "application/x-ndjson")]) == expected, f"lines: {expected}")
    check(sums(client.post("/v1/events", [])) == (0, 0, 0), "no items")


def what_is_rejected_is_mended_and_sent_again(client):
    own = ids(3)
    items = [
        {"trace_id": own[0], "model": "m"},
        {"trace_id": own[1], "model": "m", "prompt_tokens": -1},
        {"trace_id": own[2], "model": "m", "status": "OK"},
    ]
    [receipt] = client.post("/v1/traces", items)
    check(receipt["trace_ids"] == [own[0], own[2]], receipt)
    [rejected] = receipt["rejected"]
    check((rejected["index"], rejected["field"]) == (1, "prompt_tokens"), rejected)
    items[rejected["index"]].pop(rejected["field"])
    check(sums(client.post("/v1/traces", items)) == (1, 2, 0), "the mended item")


def what_can_never_be_taken_is_refused(client):
    for items, status, code, field in [
        ([{"name": 1, "severity": "odd"}], 400, "invalid", "severity"),
        ([7], 400, "invalid", ""),
    ]:
        try:
            client.post("/v1/events", items)
        except Refused as refused:
            check((refused.status, refused.error["code"], refused.error["field"]) == (status, code, field), refused)
            check([r["index"] for r in refused.rejected] == [0], refused)
        else:
            check(False, f"{items} was taken")
    for body, media, status, code in [
        (b"{", "application/json", 400, "bad_request"),
        (b"name=a", "text/plain", 415, "unsupported_media_type"),
    ]:
        try:
            client.send("/v1/events", body, media)
        except Refused as refused:
            check((refused.status, refused.error["code"]) == (status, code), refused)
        else:
            check(False, f"{body} was taken")


def too_many_items_are_halved(client):
    items = [{"trace_id": id, "name": "n"} for id in ids(ITEMS_MAX + 1)]
    receipts = client.post("/v1/events", items)
    check(len(receipts) == 2 and sums(receipts) == (len(items), 0, 0), [len(receipts), sums(receipts)])
    check(413 in client.statuses, "a request of too many items")


def a_refusal_for_now_is_waited_out(client):
    taken = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(CONNECTIONS_MAX)]
    client.statuses.clear()

    def let_go_after_a_refusal():
        while not client.statuses:
            time.sleep(0.01)
        for connection in taken:
            connection.close()

    thread = threading.Thread(target=let_go_after_a_refusal)
    thread.start()
    check(sums(client.post("/v1/events", [{"trace_id": ids(1)[0], "name": "n"}])) == (1, 0, 0), "after the refusal")
    thread.join()
    check(client.statuses[0] == 503 and client.statuses[-1] == 202, client.statuses)


def the_token_is_asked_for(client):
    status, headers, body = Client(client.port).ask("POST", "/v1/events", b"{}", {"Content-Type": "application/json"})
    check((status, headers["WWW-Authenticate"], body["error"]["code"]) == (401, "Bearer", "unauthorized"), body)
    check(Client(client.port).ask("GET", "/health")[0] == 200, "health needs no token")
    check(Client(client.port).ask("GET", "/openapi.json")[0] == 401, "the description needs one")
    check(client.ask("GET", "/openapi.json")[2]["openapi"].startswith("3."), "the description")
    status, headers, _ = client.ask("GET", "/v1/events")
    check((status, headers["Allow"]) == (405, "POST"), status)


def every_row_is_pushed_and_kept_once(client, server):
    def stored():
        rows = client.ask("GET", "/health")[2]["database"]["rows"]
        return {table: rows[table]["stored"] for table in TABLES}

    def kept():
        count = server.database.execute
        return {table: count(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}

    deadline = time.monotonic() + PATIENCE_S
    while kept() != stored():
        check(time.monotonic() < deadline, [kept(), stored()])
        time.sleep(0.05)
    check(kept()["llm_traces"] == 6 and kept()["error_events"] == 4, kept())

    batches = {}
    for batch_id, attempt, body in server.seen:
        sent = batches.setdefault(batch_id, [])
        sent.append(body)
        check(attempt == len(sent), "attempts are counted from 1")
        check(body == sent[0], "a batch stays the same bytes")
    check(len(batches[server.seen[0][0]]) == 3, "the first batch came three times")

    [(body,)] = server.database.execute("SELECT body FROM llm_traces WHERE body LIKE '%\"latency_ms\"%'").fetchall()
    row = json.loads(body)
    expected = {"request_model": "m", "operation": "chat", "latency_ms": 517, "status": "ok", "unit": "request"}
    expected |= {"cost_source": "none", "text_truncated": 0, "source": "native"}
    check(row | expected == row and set(row) - set(expected) == {"trace_id", "timestamp", "received_at"}, row)
    rows = server.database.execute("SELECT body FROM custom_events").fetchall()
    warned = [row for (body,) in rows if (row := json.loads(body)).get("severity")]
    check([row["severity"] for row in warned] == ["warn"], warned)


def main():
    binary = os.path.abspath(sys.argv[1])
    with receiver(["not now", "lose the answer"]) as server:
        variables = {
            "TRACE_TOKEN": "secret",
            "TRACE_PUSH_ENDPOINT": f"http://127.0.0.1:{server.server_port}/in",
            "TRACE_PUSH_TOKEN": "hush",
            "TRACE_PUSH_INTERVAL": "1s",
        }
        with sidecar(binary, **variables) as port:
            client = Client(port, "secret")
            items_are_stored_once(client)
            what_is_rejected_is_mended_and_sent_again(client)
            what_can_never_be_taken_is_refused(client)
            too_many_items_are_halved(client)
            a_refusal_for_now_is_waited_out(client)
            the_token_is_asked_for(client)
            every_row_is_pushed_and_kept_once(client, server)
    if faults:
        sys.exit("\n".join(faults))
    print("from_docs: ok")


main()
