"""SIGTERM while pushes are refused or unanswered: it ends in its time, and what the remote lacks is in the file."""

import json

DATABASE = "/var/lib/openclaw-trace/openclaw-trace.db"


def stop_under_load(record):
    load = f"--unit=load --property=StandardOutput=file:{record}"
    machine.succeed(f"systemd-run {load} python3 /etc/guest/load")
    machine.wait_until_succeeds(f"test $(grep -c ^202 {record}) -ge 100")
    machine.succeed("systemctl stop openclaw-trace.service")
    machine.succeed("systemctl stop load.service")
    # One that took longer than TimeoutStopSec would have the result `timeout`.
    result = machine.get_unit_property("openclaw-trace.service", "Result")
    status = machine.get_unit_property("openclaw-trace.service", "ExecMainStatus")
    assert (result, status) == ("success", "0"), (result, status)
    machine.fail(f"test -e {DATABASE}-wal")
    confirmed = machine.succeed(f"sqlite3 -readonly {DATABASE} 'SELECT coalesce(max(last_id), 0) FROM push_cursor'")
    assert confirmed.strip() == "0", confirmed


start_all()
machine.wait_for_unit("openclaw-trace.service")
with subtest("nobody listens"):
    stop_under_load("/var/tmp/refused")
with subtest("the remote takes the push and never answers"):
    machine.succeed("systemd-run --unit=sink python3 /etc/guest/sink hang")
    machine.wait_for_open_port(8080, "127.0.0.1")
    machine.succeed("systemctl start openclaw-trace.service")
    stop_under_load("/var/tmp/unanswered")

machine.succeed("cat /var/tmp/refused /var/tmp/unanswered >/var/tmp/load")
counts = json.loads(machine.succeed(f"python3 /etc/guest/counts {DATABASE} /var/tmp/load"))
assert counts["acknowledged"] >= 200, counts
assert counts["lost"] == counts["unknown"] == counts["doubled"] == 0, counts
assert counts["integrity"] == "ok", counts
