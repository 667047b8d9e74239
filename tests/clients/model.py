"""A model on loopback that speaks OpenAI's and Anthropic's protocols and always says the same. Usage: model.py PORT_FILE

It answers chat completions (streamed or not, with a call of the first tool where the model's name has `tool` in it), embeddings
and messages. 1200 prompt tokens of which 1000 came from a cache, 45 completion tokens of which 12 are reasoning; Anthropic's
1250 prompt tokens are 200, and 1000 read from and 50 written to a cache. A model with `err429` in its name answers 429.
"""

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CREATED = 1_795_000_000
ANSWERS = itertools.count(1)
WORDS = ("Hello ", "from ", "the ", "mock ", "model.")
USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 45,
    "total_tokens": 1245,
    "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 12, "audio_tokens": 0},
}
ANTHROPIC_USAGE = {
    "input_tokens": 200,
    "cache_creation_input_tokens": 50,
    "cache_read_input_tokens": 1000,
    "output_tokens": 45,
}
RATE_LIMIT = {
    "type": "error",
    "error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"},
}


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        if "err429" in request["model"]:
            self.answer(429, RATE_LIMIT)
        elif self.path.endswith("/chat/completions") and request.get("stream"):
            self.stream(chat_chunks(request))
        elif self.path.endswith("/chat/completions"):
            self.answer(200, chat(request))
        elif self.path.endswith("/embeddings"):
            self.answer(200, embeddings(request))
        elif self.path.endswith("/messages") and request.get("stream"):
            self.stream(message_events(request))
        elif self.path.endswith("/messages"):
            self.answer(200, message(request))
        else:
            self.answer(404, {"error": {"message": f"no such path: {self.path}"}})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            line = event.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


def wants_tool(request):
    """Once: the answer to what the tool said is text."""
    was_called = any(message["role"] == "tool" for message in request["messages"])
    return "tool" in request["model"] and bool(request.get("tools")) and not was_called


def tool_call(request):
    name = request["tools"][0]["function"]["name"]
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"city":"Winterthur"}'}}


def chat(request):
    message = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
    finish = "stop"
    if wants_tool(request):
        message |= {"content": None, "tool_calls": [tool_call(request)]}
        finish = "tool_calls"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {
        "id": f"chatcmpl-{next(ANSWERS)}",
        "object": "chat.completion",
        "created": CREATED,
        "model": request["model"] + "-2026",
        "choices": [choice],
        "usage": USAGE,
    }


def chat_chunks(request):
    head = {"id": f"chatcmpl-{next(ANSWERS)}", "object": "chat.completion.chunk", "created": CREATED}
    head["model"] = request["model"] + "-2026"

    def chunk(choices, **more):
        return f"data: {json.dumps(head | {'choices': choices} | more)}\n\n"

    def choice(delta, finish=None):
        return [{"index": 0, "delta": delta, "finish_reason": finish}]

    yield chunk(choice({"role": "assistant", "content": ""}))
    if wants_tool(request):
        yield chunk(choice({"tool_calls": [{"index": 0, **tool_call(request)}]}))
        yield chunk(choice({}, "tool_calls"))
    else:
        for word in WORDS:
            yield chunk(choice({"content": word}))
        yield chunk(choice({}, "stop"))
    if (request.get("stream_options") or {}).get("include_usage"):
        yield chunk([], usage=USAGE)
    yield "data: [DONE]\n\n"


def embeddings(request):
    vector = {"object": "embedding", "index": 0, "embedding": [0.5] * 4}
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return {"object": "list", "model": request["model"] + "-2026", "data": [vector], "usage": usage}


def message(request):
    return {
        "id": f"msg_{next(ANSWERS)}",
        "type": "message",
        "role": "assistant",
        "model": request["model"] + "-2026",
        "content": [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
    }


def message_events(request):
    def event(kind, **more):
        return f"event: {kind}\ndata: {json.dumps({'type': kind} | more)}\n\n"

    start = message(request) | {"content": [], "stop_reason": None, "usage": ANTHROPIC_USAGE | {"output_tokens": 1}}
    yield event("message_start", message=start)
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for word in WORDS:
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
    yield event("content_block_stop", index=0)
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=end, usage={"output_tokens": ANTHROPIC_USAGE["output_tokens"]})
    yield event("message_stop")


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write(f"{server.server_port}\n")
    server.serve_forever()


main()
