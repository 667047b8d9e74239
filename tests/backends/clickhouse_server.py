"""ClickHouse's HTTP interface in front of chdb, which is ClickHouse's engine as a library.

The engine parses, stores and refuses. Made by hand is the HTTP: which parameters are settings, who may log in, and which status
comes with which exception (as in ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp).
"""

import gzip
import http.server
import json
import re
import threading
import urllib.parse
from pathlib import Path
from typing import Any

from chdb.session import Session

# Parameters that are no settings.
NO_SETTINGS = {"query", "database", "user", "password", "wait_end_of_query", "buffer_size", "query_id", "default_format"}

STATUS_OF_CODE = {
    # Cannot parse; no such column; a value outside of its type; syntax, arguments, types.
    **dict.fromkeys([6, 8, 15, 25, 26, 27, 36, 38, 41, 44, 53, 62, 69, 72, 117, 376, 427, 441], 400),
    # A password is missing; a wrong one, an unknown user, no rights.
    194: 401,
    **dict.fromkeys([192, 193, 497, 512, 516], 403),
    # No such function, identifier, type, engine, table, format, database, setting, role.
    **dict.fromkeys([46, 47, 50, 56, 60, 73, 81, 115, 511], 404),
    159: 408,
    48: 501,
}


class Refused(Exception):
    """What the engine said to a query."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Engine:
    """One engine; one query at a time."""

    def __init__(self, folder: Path) -> None:
        self.session = Session(str(folder))
        self.lock = threading.Lock()

    def run(self, query: str, database: str = "default", form: str = "Null") -> str:
        with self.lock:
            try:
                self.session.query(f"USE `{database}`")
                return str(self.session.query(query, form))
            except Exception as error:
                # Its class is one of the library's own, which it does not export.
                code = re.match(r"Code: (\d+)", str(error))
                if not code:
                    raise
                raise Refused(int(code[1]), str(error)) from None

    def rows(self, query: str, database: str) -> list[dict[str, Any]]:
        # A decimal as the text that it is: a float would round it.
        quoted = query + " SETTINGS output_format_json_quote_decimals = 1, output_format_json_quote_64bit_integers = 0"
        return [json.loads(line) for line in self.run(quoted, database, "JSONEachRow").splitlines()]

    def value(self, query: str, database: str) -> Any:
        [row] = self.rows(query, database)
        [value] = row.values()
        return value

    def script(self, text: str, database: str) -> int:
        """Runs every statement of a file, and says how many there were."""
        without_comments = re.sub(r"^--.*\n", "", text, flags=re.M)
        statements = [statement for statement in without_comments.split(";\n") if statement.strip()]
        for statement in statements:
            self.run(statement, database)
        return len(statements)

    def insert(self, parameters: dict[str, str], body: str) -> None:
        settings = {name: value for name, value in parameters.items() if name not in NO_SETTINGS}
        quoted = ", ".join(f"{name} = '{value.replace(chr(92), chr(92) * 2).replace(chr(39), chr(92) + chr(39))}'"
                           for name, value in settings.items())
        start, form = parameters["query"].rsplit(" FORMAT ", 1)
        self.run(f"{start} SETTINGS {quoted} FORMAT {form}\n{body}", parameters.get("database", "default"))


class Server:
    """Answers inserts as ClickHouse does, and keeps each for the test."""

    def __init__(self, engine: Engine, user: str, password: str) -> None:
        self.engine, self.user, self.password = engine, user, password
        self.inserts: list[tuple[str, str]] = []
        # So many of the next inserts are stored, and the answer is lost.
        self.losing = 0
        handler = type("Bound", (Handler,), {"owner": self})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, path: str, headers: Any, body: bytes) -> None:
        who = headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
        if who != (self.user, self.password):
            raise Refused(516, f"Code: 516. DB::Exception: {who[0]}: Authentication failed. (AUTHENTICATION_FAILED)")
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        query = urllib.parse.urlsplit(path).query
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=True)
        if len(dict(pairs)) != len(pairs):
            raise Refused(36, f"Code: 36. DB::Exception: a parameter comes twice: {query}")
        text = body.decode()
        self.engine.insert(dict(pairs), text)
        self.inserts.append((path, text))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer, status, code = "", 200, 0
        try:
            self.owner.answer(self.path, self.headers, body)
        except Refused as refused:
            answer, code = refused.message + "\n", refused.code
            status = STATUS_OF_CODE.get(code, 500)
            print(f"{status} {answer[:300].strip()}", flush=True)
        else:
            if self.owner.losing > 0:
                self.owner.losing -= 1
                self.close_connection = True
                return
        self.send_response(status)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.send_header("Content-Length", str(len(answer.encode())))
        self.end_headers()
        self.wfile.write(answer.encode())
