"""The remote goes away under load and comes back: it has every row then, and nothing else."""

import json

DATABASE = "/var/lib/openclaw-trace/openclaw-trace.db"
SINK = "systemd-run --unit=sink python3 /etc/guest/sink take /var/tmp/received"
UNSYNCED = "database.rows.llm_traces.unsynced"

start_all()
machine.wait_for_unit("openclaw-trace.service")
machine.succeed(SINK)
machine.succeed("systemd-run --unit=load --property=StandardOutput=file:/var/tmp/load python3 /etc/guest/load")
machine.wait_until_succeeds("test $(grep -c ^llm_traces /var/tmp/received) -ge 100")
with subtest("the remote is away"):
    machine.succeed("systemctl stop sink.service")
    away = int(machine.succeed("grep -c ^202 /var/tmp/load"))
    machine.wait_until_succeeds("test $(python3 /etc/guest/health push.failures_in_row) -ge 2")
    machine.wait_until_succeeds(f"test $(grep -c ^202 /var/tmp/load) -ge {away + 100}")
    machine.succeed(f"test $(python3 /etc/guest/health {UNSYNCED}) -ge 100")
with subtest("the remote is back"):
    machine.succeed(SINK)
    machine.succeed("systemctl stop load.service")
    machine.wait_until_succeeds(f"test $(python3 /etc/guest/health {UNSYNCED}) = 0")

counts = json.loads(machine.succeed(f"python3 /etc/guest/counts {DATABASE} /var/tmp/load /var/tmp/received"))
assert counts["sent"] == counts["acknowledged"] == counts["rows"] == counts["received"], counts
assert counts["lost"] == counts["unknown"] == counts["doubled"] == counts["missing"] == 0, counts
machine.succeed("test $(python3 /etc/guest/health push.rows_rejected) = 0")
