"""What an agent sends: on a good day, and on a bad one."""

import json
import time
from typing import Any

from stack import Failed, Sidecar

SONNET = {"provider": "anthropic", "model": "claude-sonnet-4-5"}
MINI = {"provider": "openai", "model": "gpt-5-mini"}
SERVICE = "openclaw-gateway"
# Dollars: a good day is below what SpendRateHigh and the budget of the run allow, a bad one is above.
GOOD_USD, BAD_USD = 0.25, 12.0
GOOD_CALLS, BAD_CALLS = 13, 26


def good(sidecar: Sidecar) -> None:
    """Calls that answer, an event, an error that is none of the fatal ones; all of it counted by the agent as well."""
    call = {**SONNET, "input_tokens": 1200, "cache_read_tokens": 1000, "output_tokens": 45, "ttft_ms": 300}
    post(sidecar, "/v1/traces", [{**call, "cost_usd": GOOD_USD / 10, "latency_ms": 400 * n} for n in range(1, 11)])
    post(sidecar, "/v1/traces", [{**MINI, "input_tokens": 90, "output_tokens": 9, "latency_ms": 80, "ttft_ms": 20}] * 2)
    post(sidecar, "/v1/events", {"name": "deploy"})
    post(sidecar, "/v1/errors", {"message": "a tool failed", "severity": "error", "component": "tool"})
    post(sidecar, "/v1/traces", span(1))
    post(sidecar, "/v1/metrics", counters(100, 10))
    with sidecar.gateway_log.open("a") as log:
        for subsystem in ("gateway", "gateway/ws"):
            name = json.dumps({"subsystem": subsystem})
            log.write(json.dumps({"0": name, "1": "listening", "_meta": {"logLevelName": "DEBUG"}}) + "\n")


def bad(sidecar: Sidecar) -> None:
    """A dear day of calls that fail and time out, of models that nobody knows, of repetitions and nonsense, and a fatal end."""
    call = {**SONNET, "input_tokens": 1200, "cache_read_tokens": 1000, "output_tokens": 45, "ttft_ms": 700}
    post(sidecar, "/v1/traces", [{**call, "cost_usd": BAD_USD / 5, "latency_ms": 2000}] * 5)
    failed = [{**SONNET, "status": status, "latency_ms": 9000} for status in ("error", "timeout", "cancelled")]
    post(sidecar, "/v1/traces", failed * 4)
    post(sidecar, "/v1/traces", [{**MINI, "input_tokens": 9, "output_tokens": 9, "latency_ms": 9, "ttft_ms": 3}] * 4)
    post(sidecar, "/v1/traces", [{"provider": "self", "model": "my-own-model", "input_tokens": 9, "latency_ms": 9}] * 4)
    known = {"model": "mock", "id": "0192f0c1-7d4e-7abc-8def-0123456789ab"}
    post(sidecar, "/v1/traces", known)
    post(sidecar, "/v1/traces", known)
    post(sidecar, "/v1/traces", {"model": "m", "input_tokens": -1}, status=400)
    post(sidecar, "/v1/errors", {"message": "the agent gave up", "severity": "fatal", "component": "agent"})
    post(sidecar, "/v1/metrics", counters(1000, 100))


def post(sidecar: Sidecar, path: str, body: Any, status: int | None = None) -> None:
    answer, text = sidecar.ask(path, body)
    if answer not in ((status,) if status else (200, 202)):
        raise Failed(f"POST {path}: {answer} {text}")


def attribute(key: str, value: str | int) -> dict[str, Any]:
    return {"key": key, "value": {"intValue": value} if isinstance(value, int) else {"stringValue": value}}


def span(number: int) -> dict[str, Any]:
    """A call as an exporter of OpenTelemetry sends it, of 100 and 10 tokens, and a span that becomes no row."""
    now = time.time_ns()
    common = {"traceId": f"{number:032x}", "kind": 3, "startTimeUnixNano": now - 10**9, "endTimeUnixNano": now}
    usage = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini"}
    usage |= {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
    spans = [
        {**common, "spanId": f"{1:016x}", "name": "chat", "attributes": [attribute(*pair) for pair in usage.items()]},
        {**common, "spanId": f"{2:016x}", "name": "GET /"},
    ]
    return {"resourceSpans": [{"resource": resource(), "scopeSpans": [{"spans": spans}]}]}


def counters(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """What the agent says that it used since its start."""
    now = time.time_ns()
    points = [
        {"attributes": [attribute("openclaw.token", kind)], "asInt": count, "startTimeUnixNano": STARTED, "timeUnixNano": now}
        for kind, count in (("input", input_tokens), ("output", output_tokens))
    ]
    tokens = {"name": "openclaw.tokens", "sum": {"isMonotonic": True, "aggregationTemporality": 2, "dataPoints": points}}
    return {"resourceMetrics": [{"resource": resource(), "scopeMetrics": [{"metrics": [tokens]}]}]}


def resource() -> dict[str, Any]:
    return {"attributes": [attribute("service.name", SERVICE)]}


STARTED = time.time_ns() - 60 * 10**9
