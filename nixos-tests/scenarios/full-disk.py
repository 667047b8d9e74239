"""The disk is full: what cannot be stored is refused and counted, and it goes on by itself once there is room."""

import json

STATE = "/var/lib/private/openclaw-trace"

start_all()
machine.wait_for_unit("openclaw-trace.service")
machine.succeed("systemctl stop openclaw-trace.service")
machine.succeed(f"rm -rf {STATE}/* && truncate --size=16M /var/tmp/small && mkfs.ext4 -q /var/tmp/small")
machine.succeed(f"mount -o loop /var/tmp/small {STATE} && systemctl start openclaw-trace.service")
unit = machine.get_unit_info("openclaw-trace.service")

machine.succeed("systemd-run --unit=load --property=StandardOutput=file:/var/tmp/load python3 /etc/guest/load")
machine.wait_until_succeeds("test $(grep -c ^202 /var/tmp/load) -ge 100")
with subtest("the disk is full"):
    # Somebody else fills it, and takes whatever the sidecar lets go, too.
    # With our PATH: a unit of NixOS finds no cat and no sleep.
    machine.succeed(f"systemd-run --setenv=PATH --unit=fill bash -c 'while cat /dev/zero >>{STATE}/fill || sleep 0.2; do :; done'")
    machine.wait_until_succeeds("test $(grep -c ^503 /var/tmp/load) -ge 10")
    assert machine.succeed("python3 /etc/guest/health refusing").strip() == "store_full"
    machine.fail("curl --fail --silent http://127.0.0.1:9090/health")
with subtest("there is room again"):
    machine.succeed(f"systemctl stop fill.service && rm {STATE}/fill")
    refused = int(machine.succeed("grep -c ^202 /var/tmp/load"))
    machine.wait_until_succeeds(f"test $(grep -c ^202 /var/tmp/load) -ge {refused + 100}")

machine.succeed("systemctl stop load.service")
counts = json.loads(machine.succeed(f"python3 /etc/guest/counts {STATE}/openclaw-trace.db /var/tmp/load"))
events = json.loads(machine.succeed("curl --fail --silent http://127.0.0.1:9090/health"))["events"]
assert counts["sent"] == counts["acknowledged"] == counts["rows"] == events["stored"], (counts, events)
assert counts["answers"]["503"] == sum(events["refused"].values()), (counts, events)
assert events["offered"] == events["stored"] + events["duplicate"] + sum(events["refused"].values()), events
assert counts["lost"] == counts["unknown"] == counts["doubled"] == 0, counts
assert machine.get_unit_property("openclaw-trace.service", "MainPID") == unit["MainPID"]
