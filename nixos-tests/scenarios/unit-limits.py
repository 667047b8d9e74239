"""The samples tell the limits of the unit and what it uses of them, as the kernel's cgroup counts it."""

import json

DATABASE = "/var/lib/openclaw-trace/openclaw-trace.db"
CGROUP = "/sys/fs/cgroup/system.slice/openclaw-trace.service"


def counter(key):
    return int(machine.succeed(f"sed -n 's/^{key} //p' {CGROUP}/cpu.stat"))


def samples(wanted):
    count = f"sqlite3 -readonly {DATABASE} 'SELECT count(*) FROM system_metrics'"
    machine.wait_until_succeeds(f"test $({count}) -ge {wanted}")
    return int(machine.succeed(count))


start_all()
machine.wait_for_unit("openclaw-trace.service")
# No sample tells of its start, which costs an emulated machine as much as all the rest.
before = samples(1)
start_used_us, start_throttled_us = counter("usage_usec"), counter("throttled_usec")
machine.succeed("systemd-run --unit=load --property=StandardOutput=file:/var/tmp/load python3 /etc/guest/load")
# Held back for five seconds: as much load as that is on a machine of any speed.
held_back = f"test $(sed -n 's/^throttled_usec //p' {CGROUP}/cpu.stat) -ge {start_throttled_us + 5_000_000}"
machine.wait_until_succeeds(held_back)
machine.succeed("systemctl stop load.service")
# The work is done, and a sample after it is stored.
samples(samples(1) + 2)

processes = int(machine.succeed("ls -d /proc/[0-9]* | wc -l"))
memory_bytes = int(machine.succeed(f"cat {CGROUP}/memory.current"))
disk_bytes = int(machine.succeed("df --block-size=1 --output=size /var/lib | tail -1"))
used_us, throttled_us = counter("usage_usec") - start_used_us, counter("throttled_usec") - start_throttled_us
rows = json.loads(machine.succeed(f"sqlite3 -readonly -json {DATABASE} 'SELECT * FROM system_metrics ORDER BY id'"))
last, between = rows[-1], rows[before:]

# Nobody but the sidecar is in it.
assert last["scope"] == "self", last
assert (last["memory_limit_bytes"], last["cpu_limit_cores"]) == (48 << 20, 0.1), last
assert memory_bytes / 2 < last["memory_used_bytes"] < memory_bytes * 2, (memory_bytes, last)
assert 0 < last["memory_rss_bytes"] < last["memory_used_bytes"], last
# What the samples say of their intervals is what the kernel says of all of it, but for the first and the last moment.
sampled_us = sum(row["cpu_cores_used"] * row["interval_ms"] * 1000 for row in between)
assert used_us / 2 < sampled_us < used_us * 1.2, (used_us, sampled_us)
waited_us = sum(row["cpu_throttled_ms"] * 1000 for row in between)
assert throttled_us / 2 < waited_us < throttled_us * 1.2, (throttled_us, waited_us)
assert abs(last["process_count"] - processes) <= 10, (processes, last)
assert last["disk_total_bytes"] == disk_bytes, (disk_bytes, last)
