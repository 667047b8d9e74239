"""Of an agent in a unit of its own, the samples tell that unit's limits, what is used of them, and who was killed in it."""

import json

QUERY = "sqlite3 -readonly -json /var/lib/openclaw-trace/openclaw-trace.db"
UNIT = "/sys/fs/cgroup/system.slice/agent.service"
PROPERTIES = "-p MemoryMax=96M -p IOAccounting=yes -p Delegate=memory -p OOMPolicy=continue"


def rows(sql):
    return json.loads(machine.succeed(f'{QUERY} "{sql}"') or "[]")


def samples(count, condition="agent_alive"):
    """As many that were begun after this, or more."""
    last = rows("SELECT ifnull(max(id), 0) AS id FROM system_metrics")[0]["id"] + 1
    wanted = f"SELECT * FROM system_metrics WHERE id > {last} AND {condition}"
    machine.wait_until_succeeds(f'test $({QUERY} "{wanted}" | grep -c trace_id) -ge {count}')
    return rows(wanted)


start_all()
machine.wait_for_unit("openclaw-trace.service")
machine.succeed(f"systemd-run --unit=agent {PROPERTIES} python3 /etc/guest/busy-agent")
samples(1)
with subtest("memory is limited and CPU is not: both are the agent's, and not those of a busy machine"):
    machine.succeed("systemd-run --unit=load sh -c 'while :; do :; done'")
    for row in samples(3):
        assert (row["scope"], row["memory_limit_bytes"], row["cpu_limit_cores"]) == ("cgroup2", 96 << 20, 1.0), row
        assert row["cpu_cores_used"] < 0.5 and row["memory_used_bytes"] < 48 << 20, row
        # But for the agent's open files: it is another user's.
        figures = [name for name in row if name.startswith(("io_", "oom_", "agent_")) or "pressure" in name]
        assert [name for name in figures if row[name] is None] == ["agent_fds"] and len(figures) == 15, row
    machine.succeed("systemctl stop load.service")
with subtest("a quota: it is told, and so is how long it keeps the agent waiting, and what is written"):
    machine.succeed("systemctl set-property --runtime agent.service CPUQuota=20% && touch /run/work")
    worked = samples(4, "agent_alive AND cpu_throttled_ms > 0")
    assert {row["cpu_limit_cores"] for row in worked} == {0.2}, worked
    assert all(0 < row["cpu_cores_used"] < 0.3 for row in worked), worked
    assert sum(row["io_write_bytes"] for row in worked) >= 1 << 20, worked
    machine.succeed("rm /run/work")
with subtest("a child of the agent is killed for want of memory: once, and the agent lives"):
    machine.succeed("systemctl kill --signal=USR1 agent.service")
    samples(1, "oom_kills > 0")
    samples(2)
    kills = rows("SELECT sum(oom_kills) AS kills, sum(agent_restarts) AS restarts FROM system_metrics")
    assert kills == [{"kills": 1, "restarts": 0}], kills
    errors = rows("SELECT error_type, attributes ->> 'memory_limit_bytes' AS bytes FROM error_events")
    assert errors == [{"error_type": "container.oom_kill", "bytes": 96 << 20}], errors
with subtest("the agent in a group below: the tightest limit of all above it counts"):
    move = f"for pid in $(cat {UNIT}/cgroup.procs); do echo $pid > {UNIT}/inner/cgroup.procs; done"
    machine.succeed(f"mkdir {UNIT}/inner && {move} && echo +memory > {UNIT}/cgroup.subtree_control")
    for limit, told in (("256M", 96 << 20), ("80M", 80 << 20)):
        machine.succeed(f"echo {limit} > {UNIT}/inner/memory.max")
        row = samples(1)[-1]
        assert (row["scope"], row["memory_limit_bytes"], row["cpu_limit_cores"]) == ("cgroup2", told, 0.2), row
