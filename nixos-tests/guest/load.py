"""Posts model calls from four clients without a pause, and writes a line to stdout for each attempt: its status, or
`none` when no answer came, and the trace_id. What was not acknowledged is sent again under the same id, as a good
producer does. Ends at SIGTERM, or once so many calls were acknowledged as its only argument says."""

import http.client
import json
import os
import signal
import sys
import threading
import uuid

CLIENTS = 4
WANTED = int(sys.argv[1]) if len(sys.argv) > 1 else None
# Long enough for an answer under emulation. Its end counts as no answer.
ANSWER_SECONDS = 60
# Between two attempts while nobody listens.
PAUSE_SECONDS = 0.05

stopping = threading.Event()
lock = threading.Lock()
acknowledged = 0


def note(status: str, id: str) -> None:
    global acknowledged
    with lock:
        # In one write, so that a line is there whole or not at all.
        os.write(1, f"{status} {id}\n".encode())
        acknowledged += status == "202"
        if WANTED is not None and acknowledged >= WANTED:
            stopping.set()


def post_until_acknowledged(connection: http.client.HTTPConnection, id: str) -> None:
    body = json.dumps({"trace_id": id, "model": "m", "input_tokens": 7, "cost_usd": 0.25, "prompt": "x" * 400})
    while not stopping.is_set():
        try:
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            note("none", id)
            connection.close()
            stopping.wait(PAUSE_SECONDS)
            continue
        note(str(answer.status), id)
        if answer.status == 202:
            return
        stopping.wait(float(answer.getheader("Retry-After", "0")))


def client() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", 9090, timeout=ANSWER_SECONDS)
    while not stopping.is_set():
        post_until_acknowledged(connection, str(uuid.uuid4()))


signal.signal(signal.SIGTERM, lambda *_: stopping.set())
clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
for thread in clients:
    thread.start()
for thread in clients:
    # A thread that is joined for ever keeps Python from running the handler of the signal.
    while thread.is_alive():
        thread.join(0.2)
