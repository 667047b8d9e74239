"""Stands between OTLP clients and the sidecar, and hands every request on twice, as after a lost answer.

Usage: twice.py PORT_FILE SIDECAR_PORT [FOLDER]

The same bytes go out twice: headers, chunks and compression are the client's own. Each request is one line on standard output:
its path, and for each time `confirmed`, or the status and the answer where that is no full success. The client gets the second
answer. In FOLDER every body is kept, as the captures of tests/data are.
"""

import json
import os
import socket
import sys
import threading
import time
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Twice(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body, framed = self.read_body()
        if self.server.folder:
            self.keep(body)
        answers = [self.server.send(self.request_bytes(framed)) for _ in range(2)]
        print(self.path, *map(verdict, answers), flush=True)
        status, content_type, answer = answers[-1]
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def read_body(self):
        """The body, and the body as it was framed."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            body = self.rfile.read(int(self.headers["Content-Length"]))
            return body, body
        body, framed = b"", b""
        while True:
            size = self.rfile.readline()
            chunk = self.rfile.read(int(size, 16))
            end = self.rfile.readline()
            framed += size + chunk + end
            body += chunk
            if not chunk:
                return body, framed

    def request_bytes(self, framed):
        head = [self.requestline]
        for name, value in self.headers.items():
            if name.lower() == "host":
                value = f"127.0.0.1:{self.server.sidecar_port}"
            if name.lower() == "connection":
                value = "close"
            head.append(f"{name}: {value}")
        return "\r\n".join([*head, "", ""]).encode() + framed

    def keep(self, body):
        content_type = self.headers["Content-Type"]
        ending = ".json" if "json" in content_type else ".pb"
        if self.headers.get("Content-Encoding") == "gzip":
            ending += ".gz"
        folder, number = self.server.folder, self.server.number()
        name = f"{number:03}_POST_{self.path.strip('/').replace('/', '-')}"
        about = {
            "t": time.time(),
            "client_port": self.client_address[1],
            "request_line": self.requestline,
            "headers": self.headers.items(),
            "body_file": name + ending,
            "body_len": len(body),
        }
        with open(os.path.join(folder, name + ending), "wb") as file:
            file.write(body)
        with open(os.path.join(folder, name + ".headers.json"), "w", encoding="utf-8") as file:
            json.dump(about, file, indent=1)


def verdict(answer):
    status, _, body = answer
    is_confirmed = status == 200 and body in (b"", b"{}")
    return "confirmed" if is_confirmed else f"{status} {body!r}"


class Server(ThreadingHTTPServer):
    def __init__(self, sidecar_port, folder):
        super().__init__(("127.0.0.1", 0), Twice)
        self.sidecar_port, self.folder = sidecar_port, folder
        self.lock, self.numbers = threading.Lock(), 0

    def number(self):
        with self.lock:
            self.numbers += 1
            return self.numbers

    def send(self, request):
        with socket.create_connection(("127.0.0.1", self.sidecar_port), timeout=30) as connection:
            connection.sendall(request)
            response = HTTPResponse(connection)
            response.begin()
            return response.status, response.headers.get("Content-Type", ""), response.read()


def main():
    server = Server(int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.write(f"{server.server_port}\n")
    server.serve_forever()


main()
