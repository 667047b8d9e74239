"""kill -9 under load, three times: systemd starts it again, and every call is there, once."""

import json

DATABASE = "/var/lib/openclaw-trace/openclaw-trace.db"
KILLS = 3

start_all()
machine.wait_for_unit("openclaw-trace.service")
machine.succeed("systemd-run --unit=load --property=StandardOutput=file:/var/tmp/load python3 /etc/guest/load")
for kill in range(1, KILLS + 1):
    machine.wait_until_succeeds(f"test $(grep -c ^202 /var/tmp/load) -ge {100 * kill}")
    machine.succeed("systemctl kill --signal=SIGKILL openclaw-trace.service")
    machine.wait_until_succeeds(f"test $(systemctl show --property=NRestarts --value openclaw-trace.service) = {kill}")
    machine.wait_for_unit("openclaw-trace.service")
machine.wait_until_succeeds(f"test $(grep -c ^202 /var/tmp/load) -ge {100 * KILLS + 100}")

# The clients sent again what was not answered, under the same id. Nobody is in the middle of a call any more.
machine.succeed("systemctl stop load.service")
counts = json.loads(machine.succeed(f"python3 /etc/guest/counts {DATABASE} /var/tmp/load"))
assert counts["answers"]["none"] >= KILLS, counts
assert counts["sent"] == counts["acknowledged"] == counts["rows"] == counts["stored"], counts
assert counts["lost"] == counts["unknown"] == counts["doubled"] == 0, counts
assert counts["integrity"] == "ok", counts
