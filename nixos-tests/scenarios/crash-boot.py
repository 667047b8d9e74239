"""The power is cut under load: after the next boot every call that was acknowledged is in the file."""

DATABASE = "/var/lib/openclaw-trace/openclaw-trace.db"

start_all()
machine.wait_for_unit("openclaw-trace.service")
machine.succeed("systemd-run --unit=load --property=StandardOutput=file:/var/tmp/load python3 /etc/guest/load")
machine.wait_until_succeeds("test $(grep -c ^202 /var/tmp/load) -ge 300")
# What is only in the machine's memory goes with it, this list too: so it is read before. Nothing is synced for it.
acknowledged = set(machine.succeed("sed -n 's/^202 //p' /var/tmp/load").split())

machine.crash()
machine.start()
machine.wait_for_unit("openclaw-trace.service")
machine.wait_until_succeeds("curl --fail --silent http://127.0.0.1:9090/health")

rows = machine.succeed(f"sqlite3 -readonly {DATABASE} 'SELECT trace_id FROM llm_traces'").split()
assert len(acknowledged) >= 300, len(acknowledged)
lost = acknowledged - set(rows)
assert not lost, f"{len(lost)} of {len(acknowledged)} lost, {len(rows)} rows"
check = machine.succeed(f"sqlite3 -readonly {DATABASE} 'PRAGMA integrity_check'").strip()
assert check == "ok", check
