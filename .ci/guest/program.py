"""The image's program as the only one of a machine: its root filesystem is the initramfs, it is PID 1, a disk is
/data.

Boots it, posts to it from outside, presses the power button under load, and reads the disk from outside: every call
that was acknowledged must be there, once."""

import argparse
import http.client
import json
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import uuid
from typing import IO

from qemu import Failure, Qemu

# The listener is reached from outside the machine, so it wants a token.
TOKEN = "of-the-test"
VARIABLES = f"TRACE_BIND=0.0.0.0 TRACE_TOKEN={TOKEN} TRACE_METRICS_INTERVAL=1s"

BOOT_SECONDS = 300
STOP_SECONDS = 120
ANSWER_SECONDS = 60

CLIENTS = 4
# The button is pressed once so many calls were acknowledged: enough that every client is in the middle of its work.
ACKNOWLEDGED_MIN = 200


class Image:
    """A docker archive: its root filesystem and its configuration."""

    def __init__(self, archive: pathlib.Path, directory: pathlib.Path):
        self.root = directory / "root"
        with tarfile.open(archive) as tar:
            # Some that make archives begin every name with "./".
            members = {member.name.removeprefix("./"): member for member in tar.getmembers()}

            def opened(name: str) -> IO[bytes]:
                file = tar.extractfile(members[name])
                if file is None:
                    raise Failure(f"{name} in the archive is no file")
                return file

            manifest = json.load(opened("manifest.json"))[0]
            self.config = json.load(opened(manifest["Config"]))["config"]
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=opened(layer)) as files:
                    files.extractall(self.root)

    def told(self) -> str:
        """What the kernel is told, so that the program runs as in a container: user, environment, command."""
        user, group = self.config["User"].split(":")
        command = self.config["Entrypoint"] + (self.config.get("Cmd") or [])
        environment = " ".join(self.config.get("Env") or [])
        mode = f"guest_mode=program guest_user={user} guest_group={group}"
        return f"{mode} {environment} {VARIABLES} -- {' '.join(command)}"

    def initrd(self, helper: pathlib.Path, path: pathlib.Path) -> None:
        """The helper's initramfs with the image's root on top: the kernel unpacks archives that follow each other."""
        path.write_bytes(helper.read_bytes())
        with path.open("ab") as end:
            names = b"\0".join(bytes(p.relative_to(self.root)) for p in sorted(self.root.rglob("*")))
            cpio = ["cpio", "--quiet", "--null", "--create", "--format=newc"]
            subprocess.run(cpio, cwd=self.root, input=names, stdout=end, check=True)


class Load:
    """Clients that post without a pause until nobody answers, and remember what was acknowledged."""

    def __init__(self, port: int):
        self._port = port
        self._changed = threading.Condition()
        self.sent = 0
        self.acknowledged: list[str] = []
        self.others: list[int] = []
        self._clients = [threading.Thread(target=self._post_until_off) for _ in range(CLIENTS)]
        for client in self._clients:
            client.start()

    def wait_acknowledged(self, wanted: int) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.acknowledged) >= wanted, BOOT_SECONDS):
                raise Failure(f"only {len(self.acknowledged)} calls were acknowledged")

    def end(self) -> None:
        for client in self._clients:
            client.join()

    def _post_until_off(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
        while True:
            id = str(uuid.uuid4())
            with self._changed:
                self.sent += 1
            try:
                status = post(connection, id)
            except (OSError, http.client.HTTPException):
                return
            with self._changed:
                if status == 202:
                    self.acknowledged.append(id)
                else:
                    self.others.append(status)
                self._changed.notify_all()


def post(connection: http.client.HTTPConnection, id: str) -> int:
    """Posts one call, and returns the status of the answer."""
    body = json.dumps({"trace_id": id, "model": "m", "input_tokens": 1, "prompt": "x" * 400})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    connection.request("POST", "/v1/traces", body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def forwarded_port(qemu: Qemu) -> int:
    """The port of this machine that leads to the guest's: qemu took a free one."""
    said = qemu.monitor("info usernet")
    found = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", said)
    if not found:
        raise Failure(f"no forwarded port in {said}")
    return int(found.group(1))


def first_acknowledged(qemu: Qemu, port: int, id: str) -> None:
    """Posts one call until it is acknowledged."""
    end = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < end and qemu.alive():
        try:
            status = post(http.client.HTTPConnection("127.0.0.1", port, timeout=1), id)
        except (OSError, http.client.HTTPException):
            # qemu takes the connection itself, and closes it as long as nobody listens in the guest.
            time.sleep(0.02)
            continue
        if status != 202:
            raise Failure(f"the first answer is {status}, expected 202")
        return
    raise Failure(f"nobody answers: {qemu.console_tail()}")


def check_disk(disk: pathlib.Path, acknowledged: list[str], directory: pathlib.Path) -> str:
    """Reads the disk without mounting it, and holds it against what was acknowledged."""
    check = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True)
    if check.returncode != 0:
        raise Failure(f"the disk was not left in order: {check.stdout}{check.stderr}")

    def debugfs(command: str) -> str:
        return subprocess.run(["debugfs", "-R", command, disk], check=True, capture_output=True, text=True).stdout

    names = {entry.split("/")[5] for entry in debugfs("ls -p /").splitlines() if entry.count("/") > 5}
    if "openclaw-trace.db-wal" in names:
        raise Failure("the log is still beside the database: it was not closed")
    database = directory / "read-back.db"
    debugfs(f"dump /openclaw-trace.db {database}")
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
    stored = [id for (id,) in connection.execute("SELECT trace_id FROM llm_traces")]
    (counted,) = connection.execute("SELECT stored FROM row_counts WHERE table_name = 'llm_traces'").fetchone()
    (samples,) = connection.execute("SELECT count(*) FROM system_metrics").fetchone()
    lost = set(acknowledged) - set(stored)
    if integrity != "ok" or lost or counted != len(stored):
        raise Failure(f"integrity_check {integrity}, {len(lost)} lost, {counted} counted, {len(stored)} rows")
    return f"{len(stored)} rows, {samples} samples, integrity_check ok"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--guest", type=pathlib.Path, required=True, help="what .ci/guest/make made")
    parser.add_argument("image", type=pathlib.Path, help="a docker archive")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vm-") as name:
        directory = pathlib.Path(name)
        image = Image(arguments.image, directory)
        image.initrd(arguments.guest / "initrd", directory / "initrd")
        disk = directory / "data.ext4"
        with disk.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", disk], check=True)
        devices = ["-m", "256", "-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:0-:9090"]
        devices += ["-drive", f"file={disk},format=raw,if=none,id=data", "-device", "virtio-blk-pci,drive=data"]
        began = time.monotonic()
        qemu = Qemu(directory, arguments.guest / "kernel", directory / "initrd", image.told(), devices)
        try:
            port, first = forwarded_port(qemu), str(uuid.uuid4())
            first_acknowledged(qemu, port, first)
            print(f"first 202 {time.monotonic() - began:.1f} s after the power was switched on", flush=True)
            load = Load(port)
            load.wait_acknowledged(ACKNOWLEDGED_MIN)
            pressed = time.monotonic()
            qemu.ask("system_powerdown")
            qemu.wait(STOP_SECONDS)
            print(f"off {time.monotonic() - pressed:.1f} s after the power button was pressed", flush=True)
            load.end()
        finally:
            qemu.kill()
        console = qemu.console.read_text(errors="replace")
        if "guest: PID 1 exited with 0" not in console or "guest: power off" not in console:
            raise Failure(f"the program was not PID 1, or did not end well\n{qemu.console_tail()}")
        print("\n".join(line for line in console.splitlines() if line.startswith("guest:")))
        found = check_disk(disk, [first] + load.acknowledged, directory)
        statuses = {status: load.others.count(status) for status in set(load.others)}
        print(f"{load.sent + 1} sent, {len(load.acknowledged) + 1} acknowledged, other answers {statuses}")
        print(f"on the disk: {found}")


if __name__ == "__main__":
    # Ended from outside, it still ends its qemu.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        main()
    except Failure as failure:
        sys.exit(f"FAILED {failure}")
