"""What schemathesis does with docs/openapi.json beyond its own checks: see README.md beside this file.

Every item that it posts must be taken if its schema allows it, and rejected if not: the answer says which by their
positions. A schema cannot say everything that docs/wire.md does, so `as_read` and `is_taken` say the rest.
"""

import gzip
import json
import re
import sys
from datetime import datetime

import jsonschema_rs
import schemathesis
from schemathesis.core import NotSet

ITEMS = {"/v1/traces": ("traces", "Trace"), "/v1/events": ("events", "Event"), "/v1/errors": ("errors", "ErrorItem")}
INSIDE = (
    "attributes metadata prompt_tokens_details completion_tokens_details input_tokens_details output_tokens_details inputTokenDetails"
    " outputTokenDetails cache_creation"
).split()
OTLP = ("resourceSpans", "resourceLogs", "resourceMetrics")
LINES = "application/x-ndjson"
KEYS_MAX = 256

validators = {}
counts = {"requests": 0, "taken": 0, "rejected": 0}


def is_time(text):
    """RFC 3339, of the years that are taken."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text, re.ASCII)
    if not found:
        return False
    date, minute, second, _, offset = found.groups()
    # A leap second, which Python does not know.
    second = "59" if second == "60" else second
    offset = "+00:00" if offset in "Zz" else offset
    try:
        ms = datetime.fromisoformat(f"{date}T{minute}:{second}{offset}").timestamp() * 1000
    except (ValueError, OverflowError):
        return False
    return 1e11 <= ms <= 1e14


def is_id(text):
    """A hyphenated UUID, not nil."""
    return bool(re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text)) and text.strip("0-") != ""


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    for _, name in ITEMS.values():
        schema = {"$ref": f"#/components/schemas/{name}", "components": raw_schema["components"]}
        validators[name] = jsonschema_rs.Draft202012Validator(
            json.loads(json.dumps(schema)), formats={"date-time": is_time, "uuid": is_id}, validate_formats=True
        )
    for path in ITEMS:
        post = raw_schema["paths"][path]["post"]
        # All media types of lines are one; bodies of ten thousand items are for tests/it.
        content = post["requestBody"]["content"]
        del content["application/ndjson"], content["application/jsonl"]
    drop_key(raw_schema["components"]["schemas"], "maxItems")


def drop_key(value, key):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict):
        value.pop(key, None)
    for child in children:
        drop_key(child, key)


@schemathesis.serializer(LINES)
def serialize_lines(ctx, value):
    return lines(value)


def lines(value):
    items = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(item) for item in items).encode()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """What is said to be gzip is."""
    is_gzip = (case.headers or {}).get("Content-Encoding") == "gzip"
    if is_gzip and not isinstance(case.body, (bytes, NotSet)):
        plain = lines(case.body) if case.media_type == LINES else json.dumps(case.body).encode()
        kwargs["data"] = gzip.compress(plain, mtime=0)


def as_read(name, item):
    """The item without what docs/wire.md says is not looked at."""
    item = {key: value for key, value in item.items() if value is not None}
    if name == "Trace":
        if "status" in item:
            item.pop("success", None)
        if "ttft_ms" in item:
            item.pop("gen_ai.response.time_to_first_chunk", None)
        if item.get("model", "") == "" and is_text(item.get("response_model")) and item["response_model"] != "":
            item["model"] = item["response_model"]
    error = item.get("error")
    if isinstance(error, dict):
        own = {"type": "error_type", "message": "error_message" if name == "Trace" else "message"}
        own["stacktrace"] = "stacktrace"
        looked_at = {key: column not in item for key, column in own.items()}
        looked_at["stacktrace"] &= name != "Trace"
        item["error"] = {key: value for key, value in error.items() if looked_at.get(key, True)}
    return item


def is_text(value):
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def is_taken(name, item):
    if not isinstance(item, dict):
        return False
    nested = [value for key in ("error", "usage") if isinstance(value := item.get(key), dict)]
    bounded = all(keys_of(value) <= KEYS_MAX for value in [item, *nested])
    return bounded and validators[name].is_valid(as_read(name, item))


def keys_of(item):
    """Its keys, and those of the objects in it whose fields are looked at as its own."""
    inside = [item.get(key) for key in INSIDE]
    return len(item) + sum(len(value) for value in inside if isinstance(value, dict))


def items_of(batch_key, values):
    """The items of a body, which is these values one after the other."""
    for value in values:
        if isinstance(value, dict):
            batch = value.get(batch_key)
            yield from batch if isinstance(batch, list) else [value]
        elif isinstance(value, list):
            yield from value
        else:
            raise ValueError("no items")


@schemathesis.check
def items_are_taken_as_the_schema_says(ctx, response, case):
    path = case.operation.path
    if path not in ITEMS or response.status_code not in (200, 202, 400):
        return
    request = response.request
    headers = {key.lower(): value for key, value in request.headers.items()}
    if any(re.search(r"[^\t -~]", value.decode("latin-1") if isinstance(value, bytes) else value) for value in headers.values()):
        assert response.status_code == 400, "a head that is not printable ASCII was taken"
        return
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body
    batch_key, name = ITEMS[path]
    is_lines = headers.get("content-type", "").startswith(LINES)
    try:
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        values = [json.loads(line) for line in body.splitlines() if line.strip()] if is_lines else [json.loads(body)]
        items = list(items_of(batch_key, values))
    except (ValueError, EOFError, OSError):
        items = None
    answer = response.json()
    whole = values[0] if items is not None and len(values) == 1 else None
    if path == "/v1/traces" and isinstance(whole, dict) and (whole == {} or any(whole.get(k) is not None for k in OTLP)):
        return
    if items is None or not values:
        assert (response.status_code, answer["error"]["code"]) == (400, "bad_request"), answer
        return
    rejected = answer.get("rejected", [])
    # Parts that were counted beside their whole are added to it, in more dialects than are known here.
    past_sums = {item["index"] for item in rejected if item["message"].startswith("expected a sum of at most")}
    expected = [index for index, item in enumerate(items) if index in past_sums or not is_taken(name, item)]
    found = [item["index"] for item in rejected]
    if found != expected:
        index = sorted(set(found) ^ set(expected))[0]
        verdict = "rejected" if index in found else "taken"
        raise AssertionError(f"the item {index} was {verdict}: {json.dumps(items[index])[:2000]}\n{answer}")
    if items and len(expected) == len(items):
        assert (response.status_code, answer["error"]["code"]) == (400, "invalid"), answer
    else:
        assert response.status_code == 202, answer
        assert len(answer["trace_ids"]) == len(items) - len(expected), answer
        assert answer["accepted"] + answer["duplicates"] + len(expected) == len(items), answer
    counts["requests"] += 1
    counts["taken"] += len(items) - len(expected)
    counts["rejected"] += len(expected)

