"""SIGTERM under load: every call that was acknowledged is in the file, and the unit ends well."""

import json

DATABASE = "/var/lib/openclaw-trace/openclaw-trace.db"

start_all()
machine.wait_for_unit("openclaw-trace.service")
machine.wait_for_open_port(9090, "127.0.0.1")
machine.succeed("systemd-run --unit=load --property=StandardOutput=file:/var/tmp/load python3 /etc/guest/load")
machine.wait_until_succeeds("test $(grep -c ^202 /var/tmp/load) -ge 300")

machine.succeed("systemctl stop openclaw-trace.service")
machine.succeed("systemctl stop load.service")

unit = machine.get_unit_info("openclaw-trace.service")
assert unit["ActiveState"] == "inactive", unit["ActiveState"]
assert unit["Result"] == "success", unit["Result"]
assert unit["ExecMainStatus"] == "0", unit["ExecMainStatus"]
assert unit["NRestarts"] == "0", unit["NRestarts"]
machine.fail(f"test -e {DATABASE}-wal")

counts = json.loads(machine.succeed(f"python3 /etc/guest/counts {DATABASE} /var/tmp/load"))
assert counts["acknowledged"] >= 300, counts
assert counts["lost"] == counts["unknown"] == counts["doubled"] == 0, counts
assert counts["integrity"] == "ok", counts
