"""A qemu process: an emulated machine with a control socket, that never outlives its driver."""

import json
import pathlib
import socket
import subprocess
import time

# A loaded two-core host needs 75 s to boot what it boots in 15 s when idle.
CONTROL_SECONDS = 120

# KVM is not asked for even where /dev/kvm is there: on our CI machines no stock kernel boots on that device.
# Should the driver be killed, the kernel ends qemu as well.
BASE = """setpriv --pdeathsig KILL qemu-system-x86_64 -M q35,usb=off,vmport=off -accel tcg,thread=multi -cpu qemu64
    -nodefaults -no-user-config -nographic -vga none -device virtio-net-pci,netdev=net,romfile=
    -device virtio-rng-pci""".split()

# What every guest's kernel is told: where its messages go, and no pause before it gives up, which ends qemu
# (reboot=shutdown). Its clock leaps when a kept state is restored, which is no stall.
KERNEL = "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0 audit=0 rcupdate.rcu_cpu_stall_suppress=1"


class Failure(Exception):
    """What was expected of the guest did not happen."""


class Qemu:
    """Starts qemu with `arguments`, its files in `directory`. The kernel is told `told`; what it says is in
    console.log."""

    def __init__(
        self, directory: pathlib.Path, kernel: pathlib.Path, initrd: pathlib.Path, told: str, arguments: list[str]
    ):
        self.console = directory / "console.log"
        control = directory / "control.sock"
        command = BASE + ["-kernel", str(kernel), "-initrd", str(initrd)]
        command += ["-append", f"{KERNEL} {told}", "-serial", f"file:{self.console}"]
        command += ["-qmp", f"unix:{control},server=on,wait=off", "-action", "reboot=shutdown"] + arguments
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._socket = self._connect(control)
        self._lines = self._socket.makefile("rw")
        self._lines.readline()  # The greeting.
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> object:
        """Asks the control socket, and returns its answer."""
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while True:
            line = self._lines.readline()
            if not line:
                raise Failure(f"qemu ended while it was asked for {command}: {self.console_tail()}")
            answer = json.loads(line)
            if "error" in answer:
                raise Failure(f"qemu, asked for {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def monitor(self, command: str) -> str:
        """Gives a command to the monitor for people, and returns what that says."""
        return str(self.ask("human-monitor-command", **{"command-line": command}))

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def wait(self, seconds: float) -> None:
        """Waits until the guest has switched itself off."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"the guest is still on after {seconds} s: {self.console_tail()}") from None
        if status != 0:
            raise Failure(f"qemu ended with {status}")

    def kill(self) -> None:
        """Ends it, whatever it does."""
        if self.alive():
            self.process.kill()
        self.process.wait()
        self._socket.close()

    def console_tail(self) -> str:
        """The last that the kernel said."""
        lines = self.console.read_text(errors="replace").splitlines() if self.console.exists() else []
        return "\n".join(["console:"] + lines[-30:])

    def _connect(self, path: pathlib.Path) -> socket.socket:
        end = time.monotonic() + CONTROL_SECONDS
        while True:
            control = socket.socket(socket.AF_UNIX)
            try:
                control.connect(str(path))
                control.settimeout(CONTROL_SECONDS)
                return control
            except OSError:
                control.close()
                if self.process.poll() is not None or time.monotonic() > end:
                    self.process.kill()
                    raise Failure("qemu did not start") from None
                time.sleep(0.05)
