"""The image under podman: it runs within its limits and tells them, and `podman stop` drains it."""

import json

DATABASE = "/var/tmp/data/openclaw-trace.db"

start_all()
machine.wait_for_unit("multi-user.target")
# Debian 12's podman reads no archive that is compressed.
machine.succeed("gzip --decompress --stdout /etc/guest/image >/var/tmp/image")
image = machine.succeed("podman load --quiet --input /var/tmp/image").split()[-1]
machine.succeed("mkdir /var/tmp/data && chown 1000:1000 /var/tmp/data")
run = "podman run --detach --name=trace --network=host --volume=/var/tmp/data:/data --env=TRACE_METRICS_INTERVAL=1s"
machine.succeed(f"{run} --memory=64m --cpus=0.5 {image}")
machine.wait_for_open_port(9090, "127.0.0.1")

machine.succeed("systemd-run --unit=load --property=StandardOutput=file:/var/tmp/load python3 /etc/guest/load")
machine.wait_until_succeeds("test $(grep -c ^202 /var/tmp/load) -ge 200")
machine.wait_until_succeeds(f"test $(sqlite3 -readonly {DATABASE} 'SELECT count(*) FROM system_metrics') -ge 2")
machine.succeed("podman stop --time=60 trace")
machine.succeed("systemctl stop load.service")

# 137 would be the SIGKILL that follows when the time is over.
assert machine.succeed("podman inspect --format='{{.State.ExitCode}}' trace").strip() == "0"
machine.fail(f"test -e {DATABASE}-wal")
counts = json.loads(machine.succeed(f"python3 /etc/guest/counts {DATABASE} /var/tmp/load"))
assert counts["acknowledged"] >= 200, counts
assert counts["lost"] == counts["unknown"] == counts["doubled"] == 0, counts
rows = json.loads(machine.succeed(f"sqlite3 -readonly -json {DATABASE} 'SELECT * FROM system_metrics'"))
assert rows[-1]["scope"] == "cgroup2", rows[-1]
assert (rows[-1]["memory_limit_bytes"], rows[-1]["cpu_limit_cores"]) == (64 << 20, 0.5), rows[-1]
