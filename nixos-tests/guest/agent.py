"""An agent: tells its sidecar of a call now and then, and when it is told to stop, of some that it held back, as an
exporter does that sends in batches. Notes each attempt in the file `calls` of its state directory, as `load` does."""

import json
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
import uuid

ENDPOINT = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
RECORD = os.path.join(os.environ["STATE_DIRECTORY"], "calls")
PAUSE_SECONDS = 0.1
HELD_BACK = 50
# What it is busy with before its last flush: longer than a sidecar takes that does not wait for it.
FAREWELL_SECONDS = 2
# That its supervisor hands on.
EXIT_CODE = 7

stopping = threading.Event()


def tell(ids: list[str]) -> None:
    """Posts them until they are acknowledged."""
    body = json.dumps([{"trace_id": id, "model": "m", "input_tokens": 7} for id in ids]).encode()
    headers = {"Content-Type": "application/json"}
    while True:
        try:
            request = urllib.request.Request(f"{ENDPOINT}/v1/traces", body, headers)
            status = str(urllib.request.urlopen(request, timeout=60).status)
        except urllib.error.HTTPError as error:
            status = str(error.code)
        except OSError:
            status = "none"
        with open(RECORD, "a") as record:
            record.writelines(f"{status} {id}\n" for id in ids)
        if status == "202":
            return
        threading.Event().wait(PAUSE_SECONDS)


signal.signal(signal.SIGTERM, lambda *_: stopping.set())
while not stopping.wait(PAUSE_SECONDS):
    tell([str(uuid.uuid4())])
threading.Event().wait(FAREWELL_SECONDS)
tell([str(uuid.uuid4()) for _ in range(HELD_BACK)])
sys.exit(EXIT_CODE)
