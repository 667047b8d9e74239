"""A remote for pushes. `sink take FILE` writes the table and trace_id of each row to FILE, one a line, and then answers
200; `sink hang` takes requests and never answers."""

import http.server
import json
import sys
import time

PORT = 8080
TABLES = ("llm_traces", "error_events", "custom_events", "system_metrics")


class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if sys.argv[1] == "hang":
            while True:
                time.sleep(3600)
        with open(sys.argv[2], "a") as received:
            received.writelines(f"{table} {row['trace_id']}\n" for table in TABLES for row in batch[table])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Sink).serve_forever()
