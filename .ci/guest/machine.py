"""`machine`, as the scripts of the scenarios know it: the methods of the NixOS test driver's Machine that they use,
with the same meaning, over the same protocol (a root shell on a virtio console, answers as one line of base64)."""

import base64
import contextlib
import pathlib
import re
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator

from qemu import Failure, Qemu

# As in the NixOS test driver.
TIMEOUT = 900

# How often a condition is looked at: a command in the guest costs 50 ms of emulation, so more often would slow it down.
RETRY_SECONDS = 0.5

# What the guest's shell says first.
READY = b"Spawning backdoor root shell..."
BOOT_SECONDS = 300

# The name of the state to which every scenario returns.
BOOTED = "booted"


class Machine:
    """One guest, started when it is made."""

    name = "machine"

    def __init__(self, directory: pathlib.Path, guest: pathlib.Path, store: pathlib.Path, memory: int, cores: int):
        self.size = (memory, cores)
        shell = directory / "shell.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(shell))
        listener.listen(1)
        listener.settimeout(BOOT_SECONDS)
        disks = []
        # Only the root disk can be written, and what is written goes into a file without a name.
        for disk, options in ((guest / "root.ext4", "snapshot=on,cache=unsafe"), (store, "readonly=on")):
            disks += ["-drive", f"file={disk},format=raw,if=none,id={disk.stem},{options}"]
            disks += ["-device", f"virtio-blk-pci,drive={disk.stem}"]
        console = ["-device", "virtio-serial", "-chardev", f"socket,id=shell,path={shell}"]
        console += ["-device", "virtconsole,chardev=shell"]
        size = ["-m", str(memory), "-smp", str(cores)]
        quiet = "guest_mode=system systemd.show_status=0"
        arguments = size + disks + console + ["-netdev", "user,id=net"]
        self.qemu = Qemu(directory, guest / "kernel", guest / "initrd", quiet, arguments)
        self._shell, _ = listener.accept()
        listener.close()
        self._on = True
        self._wait_for_shell()

    # What the session does between scenarios.

    def keep(self) -> None:
        """Notes the state of memory and disk, to which `restore` returns."""
        self._monitor(f"savevm {BOOTED}")

    def restore(self) -> None:
        """Back to the state that was kept, as if nothing had happened since."""
        self._monitor(f"loadvm {BOOTED}")
        self.qemu.ask("cont")
        self._on = True
        self._drop_what_was_said()

    # What the scripts use.

    def start(self) -> None:
        """Switches it on again after `crash`."""
        if self._on:
            return
        self._drop_what_was_said()
        self._on = True
        self.qemu.ask("cont")
        self._wait_for_shell()
        self.qemu.ask("set-action", reboot="shutdown")

    def crash(self) -> None:
        """Cuts the power: memory and the state of the processor are gone, and the disk has what it was given."""
        self._log("crash")
        self.qemu.ask("stop")
        # Any other reset ends qemu: this one comes a moment after it was asked for, so `start` forbids it again.
        self.qemu.ask("set-action", reboot="reset")
        self.qemu.ask("system_reset")
        self._on = False

    def execute(self, command: str, timeout: int | None = TIMEOUT) -> tuple[int, str]:
        """Runs it, and returns its exit code and what it wrote to stdout."""
        if not self._on:
            self.start()
        limit = f"timeout {timeout} " if timeout is not None else ""
        script = shlex.quote(f"set -euo pipefail; {command}")
        self._shell.settimeout(None if timeout is None else timeout + BOOT_SECONDS)
        with self._explained():
            self._shell.sendall(f"{limit}bash -c {script} | (base64 -w 0; echo)\n".encode())
            output = base64.b64decode(self._line()).decode(errors="replace")
            self._shell.sendall(b"echo ${PIPESTATUS[0]}\n")
            return int(self._line()), output

    def succeed(self, *commands: str, timeout: int | None = None) -> str:
        """Each must end with 0. Returns what they wrote."""
        outputs = []
        for command in commands:
            self._log(f"must succeed: {command}")
            status, output = self.execute(command, timeout)
            if status != 0:
                raise Failure(f"command `{command}` failed (exit code {status})\n{output}")
            outputs.append(output)
        return "".join(outputs)

    def fail(self, *commands: str, timeout: int | None = None) -> str:
        """None may end with 0. Returns what they wrote."""
        outputs = []
        for command in commands:
            self._log(f"must fail: {command}")
            status, output = self.execute(command, timeout)
            if status == 0:
                raise Failure(f"command `{command}` unexpectedly succeeded\n{output}")
            outputs.append(output)
        return "".join(outputs)

    def wait_until_succeeds(self, command: str, timeout: int = TIMEOUT) -> str:
        """Runs it again and again until it ends with 0. Returns what it wrote then."""
        self._log(f"waiting for success: {command}")
        return self._retry(command, lambda status: status == 0, timeout)

    def wait_until_fails(self, command: str, timeout: int = TIMEOUT) -> str:
        """Runs it again and again until it does not end with 0. Returns what it wrote then."""
        self._log(f"waiting for failure: {command}")
        return self._retry(command, lambda status: status != 0, timeout)

    def systemctl(self, query: str) -> tuple[int, str]:
        """Runs systemctl."""
        return self.execute(f"systemctl {query}")

    def get_unit_info(self, unit: str) -> dict[str, str]:
        """All properties of the unit."""
        status, lines = self.systemctl(f"--no-pager show {shlex.quote(unit)}")
        if status != 0:
            raise Failure(f"systemctl show {unit} failed (exit code {status})")
        return {key: value for key, value in re.findall(r"^([^=\n]+)=(.*)$", lines, re.MULTILINE)}

    def get_unit_property(self, unit: str, property: str) -> str:
        """One of them."""
        properties = self.get_unit_info(unit)
        if property not in properties:
            raise Failure(f"{unit} has no property {property}")
        return properties[property]

    def wait_for_unit(self, unit: str, timeout: int = TIMEOUT) -> None:
        """Waits until it is active; one that failed, or that nobody starts, is a failure at once."""
        self._log(f"waiting for unit {unit}")
        end = time.monotonic() + timeout
        while True:
            properties = self.get_unit_info(unit)
            state = properties["ActiveState"]
            if state == "active":
                return
            if state == "failed" or (state == "inactive" and "No jobs" in self.systemctl("list-jobs --full 2>&1")[1]):
                # It may have become active between the two questions.
                if self.get_unit_property(unit, "ActiveState") in ("failed", "inactive"):
                    raise Failure(f"{unit} is {state}, and nothing will start it ({properties.get('Result')})")
            self._pause(end, f"{unit} is {state}")

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: int = TIMEOUT) -> None:
        """Waits until somebody listens there."""
        self.wait_until_succeeds(f"nc -z {addr} {port}", timeout)

    # The protocol.

    def _monitor(self, command: str) -> None:
        # Of these commands it says nothing unless they fail.
        said = self.qemu.monitor(command)
        if said:
            raise Failure(f"qemu, told to {command}: {said}")

    def _retry(self, command: str, done: Callable[[int], bool], timeout: int) -> str:
        end = time.monotonic() + timeout
        while True:
            status, output = self.execute(command, timeout)
            if done(status):
                return output
            self._pause(end, f"`{command}` (exit code {status}): {output}")

    def _pause(self, end: float, otherwise: str) -> None:
        if time.monotonic() > end:
            raise Failure(f"out of time: {otherwise}")
        time.sleep(RETRY_SECONDS)

    def _wait_for_shell(self) -> None:
        self._shell.settimeout(BOOT_SECONDS)
        with self._explained():
            while READY not in self._line():
                pass

    def _line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            # An answer ends with its only line feed.
            piece = self._shell.recv(65536)
            if not piece:
                raise ConnectionResetError
            line += piece
        return bytes(line)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise Failure("the guest does not answer") from None
        except ConnectionError:
            raise Failure("the guest is off") from None

    def _drop_what_was_said(self) -> None:
        self._shell.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._shell.recv(65536):
                pass
        self._shell.setblocking(True)

    def _log(self, text: str) -> None:
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)
