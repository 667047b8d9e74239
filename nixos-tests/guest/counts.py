"""Counts what became of the calls, as one line of JSON: `counts DATABASE LOAD [RECEIVED]`, the last two being what
`load` and `sink` wrote."""

import collections
import json
import sqlite3
import sys

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
attempts = [line.split() for line in open(sys.argv[2])]
sent = {id for _, id in attempts}
acknowledged = [id for status, id in attempts if status == "202"]
rows = [id for (id,) in database.execute("SELECT trace_id FROM llm_traces")]
(stored,) = database.execute("SELECT stored FROM row_counts WHERE table_name = 'llm_traces'").fetchone()
counts = {
    "integrity": database.execute("PRAGMA integrity_check").fetchone()[0],
    "sent": len(sent),
    "acknowledged": len(acknowledged),
    "answers": collections.Counter(status for status, _ in attempts),
    "rows": len(rows),
    "stored": stored,
    # What no scenario may ever see: acknowledged and not there; there and never sent; there more than once.
    "lost": len(set(acknowledged) - set(rows)),
    "unknown": len(set(rows) - sent),
    "doubled": len(rows) - len(set(rows)),
}
if len(sys.argv) > 3:
    received = [line.split()[1] for line in open(sys.argv[3]) if line.startswith("llm_traces ")]
    counts |= {
        "received": len(set(received)),
        "repeated": len(received) - len(set(received)),
        "missing": len(set(rows) - set(received)),
    }
print(json.dumps(counts))
