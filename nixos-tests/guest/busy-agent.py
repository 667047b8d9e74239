"""An agent that works, on CPU and disk, while /run/work is there. Told by SIGUSR1, it has a child that takes memory until
the kernel kills it."""

import os
import signal
import time

RECORD = "/var/tmp/record"
MIB = 1 << 20
# Between two looks at what there is to do.
PAUSE_SECONDS = 0.1


def lose_child(*_: object) -> None:
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/oom_score_adj", "w") as adjust:
            adjust.write("1000")
        taken = []
        while True:
            taken.append(b"\1" * (8 * MIB))
    os.waitpid(pid, 0)


signal.signal(signal.SIGUSR1, lose_child)
while True:
    if os.path.exists("/run/work"):
        end = time.process_time() + PAUSE_SECONDS
        while time.process_time() < end:
            pass
        with open(RECORD, "wb") as record:
            record.write(bytes(MIB))
            record.flush()
            os.fsync(record.fileno())
    else:
        time.sleep(PAUSE_SECONDS)
