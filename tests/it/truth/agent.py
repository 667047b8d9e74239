"""An agent that does what it is told, and says what the kernel says of it.

agent.py SOCKET [NAME]: connects to SOCKET, goes by NAME, and answers each line `["command", argument...]` with a line of
JSON. It ends with the connection."""

import json
import mmap
import os
import resource
import signal
import socket
import sys
import threading

MIB = 1 << 20
kept = []
children = []


def fork(work):
    """Has a child do `work` and nothing else, and returns its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def used():
    """CPU of this process so far: by itself, and by the kernel for it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


def spend(seconds):
    """Half of it in the kernel."""
    began = used()
    with open("/dev/zero", "rb", buffering=0) as zeros:
        while used()[1] - began[1] < seconds / 2:
            zeros.read(MIB)
    while sum(used()) - sum(began) < seconds:
        pass


def burn(seconds):
    spend(seconds)


def burn_in_children(seconds):
    """As much in one that is waited for as in one that lives on, of which the answer says what it used."""
    os.waitpid(fork(lambda: spend(seconds)), 0)
    told, tell = os.pipe()

    def live_on():
        spend(seconds)
        os.write(tell, json.dumps(sum(used())).encode())
        live()

    children.append(fork(live_on))
    return {"of_child": json.loads(os.read(told, 100))}


def live():
    """Until the agent is gone."""
    os.close(hold_children)
    os.read(wait_for_parent, 1)


def hold(mib):
    kept.append(b"\1" * (mib * MIB))


def write(path, mib):
    """Past the cache: what a thread of the kernel writes is nobody's in version 1 of cgroups."""
    page = mmap.mmap(-1, MIB)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
    for _ in range(mib):
        os.write(file, page)
    os.fsync(file)
    os.close(file)


def open_files(count):
    kept.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(count))


def leave_dead(count):
    """Children that have ended, and are not waited for."""
    dead = [fork(lambda: None) for _ in range(count)]
    for pid in dead:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    children.extend(dead)


def reap():
    """Ends and waits for every child."""
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    children.clear()


def have(processes, threads):
    children.extend(fork(live) for _ in range(processes))
    for _ in range(threads):
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def connect(pairs, half_closed, closed):
    """Connections of loopback, both ends here, of one listener: some with one end closed, some with both."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=pairs + half_closed + closed)
    kept.append(listener)
    for number in range(pairs + half_closed + closed):
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        kept.extend([ours, theirs])
        if number >= pairs:
            ours.close()
        if number >= pairs + half_closed:
            theirs.recv(1)
            theirs.close()


def send(interface, packets, payload):
    """Broadcasts out of this interface."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    for _ in range(packets):
        out.sendto(bytes(payload), ("255.255.255.255", 9))
    out.close()


def lose_child():
    """A child takes memory until the kernel kills it rather than this process."""

    def take():
        with open("/proc/self/oom_score_adj", "w") as adjust:
            adjust.write("1000")
        while True:
            hold(8)

    return {"status": os.waitpid(fork(take), 0)[1]}


def take_all():
    while True:
        hold(8)


def replace():
    """Another program in the same process."""
    os.execv(sys.executable, [sys.executable] + sys.argv)


def usage():
    pass


def state():
    own, waited_for = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    with open("/proc/self/status") as status:
        rss = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))
    return {
        "pid": os.getpid(),
        "cpu": own.ru_utime + own.ru_stime + waited_for.ru_utime + waited_for.ru_stime,
        "written": own.ru_oublock * 512,
        "rss": rss,
    }


if len(sys.argv) > 2:
    with open("/proc/self/comm", "w") as comm:
        comm.write(sys.argv[2])
wait_for_parent, hold_children = os.pipe()
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
lines = connection.makefile("rw")
commands = [burn, burn_in_children, hold, write, open_files, leave_dead, reap, have, connect, send, lose_child, take_all]
commands += [replace, usage]
named = {command.__name__: command for command in commands}
lines.write("{}\n")
lines.flush()
for line in lines:
    name, *arguments = json.loads(line)
    answer = named[name](*arguments) or {}
    lines.write(json.dumps(state() | answer) + "\n")
    lines.flush()
