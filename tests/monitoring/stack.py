"""The programs that a run needs: a remote for pushes, an agent, the sidecar and Prometheus. All on loopback, on ports that
were free; none outlives the run."""

import http.server
import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

WAIT_S = 60
TOKEN = "token-of-the-test"
T = TypeVar("T")


class Failed(Exception):
    """What is wrong, in a sentence."""


def until(what: str, condition: Callable[[], T | None], seconds: float = WAIT_S) -> T:
    """Waits for the condition to be true, and has what it gave."""
    end = time.monotonic() + seconds
    while True:
        if met := condition():
            return met
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


class Sink:
    """A remote that refuses the first push, and takes all others."""

    def __init__(self) -> None:
        self.pushes = 0
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                sink.pushes += 1
                self.send_response(503 if sink.pushes == 1 else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Program:
    """A child whose log is a file. It ends with the run."""

    def __init__(self, name: str, work: Path, command: list[str], env: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = work / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=env, cwd=work, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )

    def says(self, pattern: str) -> str:
        """The first group of the pattern in the log, once it is there."""

        def look() -> str | None:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}")
            found = re.search(pattern, self.log.read_text(errors="replace"))
            return found and found.group(1)

        return until(f"{self.name} says {pattern}", look)

    def stop(self) -> int:
        """SIGTERM, and how it ended."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} does not stop") from None

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Sidecar(Program):
    """The binary with all that fills a metric: a budget, a remote, an agent, a log of the gateway, a token."""

    def __init__(self, binary: str, work: Path, sink: Sink, agent: Program) -> None:
        (work / "gateway").mkdir()
        env = {
            "PATH": "/usr/bin:/bin",
            "TZ": "UTC",
            "TRACE_PORT": "0",
            "TRACE_TOKEN": TOKEN,
            "TRACE_DB_PATH": str(work / "trace.db"),
            "TRACE_METRICS_INTERVAL": "1s",
            "TRACE_BUDGET_DAY_USD": "10",
            "TRACE_PUSH_ENDPOINT": sink.url,
            "TRACE_PUSH_INTERVAL": "1s",
            "TRACE_AGENT_PROCESS": str(agent.process.pid),
            "TRACE_OPENCLAW_LOG": str(work / "gateway"),
        }
        super().__init__("sidecar", work, [binary, "serve"], env)
        self.address = self.says(r"msg=listening addr=(127\.0\.0\.1:\d+)")
        self.gateway_log = work / "gateway" / time.strftime("openclaw-%Y-%m-%d.log", time.gmtime())

    def ask(self, path: str, body: Any = None) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class Prometheus(Program):
    """A real one, with the configuration and the rules of the docs; all intervals are a second."""

    def __init__(self, work: Path, docs: Path, target: str) -> None:
        config = (docs / "prometheus.yml").read_text()
        secret = work / "token"
        secret.write_text(TOKEN)
        for old, new in (
            ("_interval: 15s", "_interval: 1s"),
            ("- alerts.yml", f"- {docs / 'alerts.yml'}"),
            ('"127.0.0.1:9090"', f'"{target}"'),
            ("# authorization:", "authorization:"),
            ("#   credentials_file: /run/secrets/trace-token", f"  credentials_file: {secret}"),
        ):
            if old not in config:
                raise Failed(f"docs/monitoring/prometheus.yml has no {old}")
            config = config.replace(old, new)
        file = work / "prometheus.yml"
        file.write_text(config)
        storage = f"--storage.tsdb.path={work / 'tsdb'}"
        command = ["prometheus", f"--config.file={file}", storage, "--web.listen-address=127.0.0.1:0"]
        super().__init__("prometheus", work, command)
        self.address = self.says(r'msg="Listening on" address=(127\.0\.0\.1:\d+)')
        self.says(r'(msg="Server is ready)')

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of an answer of its API."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise Failed(f"{json.load(error).get('error', error)}: {parameters}") from None

    def values(self, query: str) -> list[float]:
        data = self.get("query", query=query)
        if data["resultType"] == "scalar":
            return [float(data["result"][1])]
        return [float(series["value"][1]) for series in data["result"]]

    def alerts(self) -> dict[str, str]:
        """Those that are pending or firing."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self.get("alerts")["alerts"]}

    def rules_after(self, moment: float) -> bool:
        """Whether every group was evaluated since then."""
        groups = self.get("rules")["groups"]
        return all(seconds(group["lastEvaluation"]) > moment for group in groups)


def seconds(rfc3339: str) -> float:
    text = re.sub(r"(\.\d{6})\d*", r"\1", rfc3339).replace("Z", "+00:00")
    return datetime.fromisoformat(text).timestamp()
