"""`run` as the unit's main process: the agent outlives a sidecar that is killed, its last flush is stored, and its
exit code is the unit's."""

import json

STATE = "/var/lib/openclaw-trace"
UNIT = "openclaw-trace.service"


def acknowledged(count):
    machine.wait_until_succeeds(f"test $(grep -c ^202 {STATE}/calls) -ge {count}")


start_all()
machine.wait_for_unit(UNIT)
acknowledged(20)
main = machine.get_unit_property(UNIT, "MainPID")
agent = machine.succeed("pgrep --full /etc/guest/agent$ --parent " + main)
with subtest("the sidecar is killed: it comes back, and the agent does not notice"):
    serve = f"pgrep --full serve.--supervised$ --parent {main}"
    killed = machine.succeed(serve).strip()
    machine.succeed(f"kill -9 {killed}")
    machine.wait_until_succeeds(f"{serve} | grep --invert-match --line-regexp {killed}")
    acknowledged(int(machine.succeed(f"grep -c ^202 {STATE}/calls")) + 20)
    assert machine.succeed("pgrep --full /etc/guest/agent$ --parent " + main) == agent
with subtest("the unit is stopped: the agent first, with what it held back, then the sidecar"):
    told = int(machine.succeed(f"grep -c ^202 {STATE}/calls"))
    machine.succeed(f"systemctl stop {UNIT}")
    unit = machine.get_unit_info(UNIT)
    assert (unit["ExecMainPID"], unit["NRestarts"]) == (main, "0"), (unit["ExecMainPID"], unit["NRestarts"], main)
    # What the agent exits with.
    assert (unit["Result"], unit["ExecMainStatus"]) == ("exit-code", "7"), (unit["Result"], unit["ExecMainStatus"])

machine.fail(f"test -e {STATE}/openclaw-trace.db-wal")
counts = json.loads(machine.succeed(f"python3 /etc/guest/counts {STATE}/openclaw-trace.db {STATE}/calls"))
assert counts["sent"] == counts["acknowledged"] == counts["rows"], counts
assert counts["lost"] == counts["unknown"] == counts["doubled"] == 0, counts
assert counts["rows"] >= told + 50, (told, counts)
