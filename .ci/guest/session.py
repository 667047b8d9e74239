"""Runs scenarios: boots the guest once, and gives each of them the machine as it was right after."""

import argparse
import contextlib
import io
import json
import pathlib
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator

from machine import BOOT_SECONDS, Machine
from qemu import Failure

# What a scenario that failed leaves to be read.
JOURNAL = "journalctl --no-pager --boot --output=short-monotonic --lines=60"
JOURNAL_SECONDS = 120


class Scenario:
    """A directory that `testers.runNixOSTest` of the stand-in made: test.json, script.py, etc/."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory.resolve()
        test = json.loads((directory / "test.json").read_text())
        self.name: str = test["name"]
        self.seconds_max: int = test["globalTimeout"]
        self.size: tuple[int, int] = (test["memorySize"], test["cores"])

    def run(self, machine: Machine) -> None:
        """Makes the machine the one of the scenario, and runs its script."""
        machine.succeed(f"cp -a {self.directory}/etc/. /etc/ && sync && systemctl daemon-reload")
        machine.succeed("systemctl start --no-block multi-user.target")

        @contextlib.contextmanager
        def subtest(name: str) -> Iterator[None]:
            print(f"subtest: {name}", file=sys.stderr)
            yield

        script = self.directory / "script.py"
        names = {"__name__": "__main__", "machine": machine, "start_all": machine.start, "subtest": subtest}
        exec(compile(script.read_text(), str(script), "exec"), names)


@contextlib.contextmanager
def limit(seconds: int) -> Iterator[None]:
    """`globalTimeout`: nothing in here may take longer."""

    def out_of_time(_signal: int, _frame: object) -> None:
        raise Failure(f"out of time: globalTimeout is {seconds} s")

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def passes(scenario: Scenario, machine: Machine) -> bool:
    """Runs one, and says how it went; all that it said before only if it failed."""
    began = time.monotonic()
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said), limit(scenario.seconds_max):
            machine.restore()
            scenario.run(machine)
    except Exception:
        print(f"FAILED {scenario.name} ({time.monotonic() - began:.1f} s)", flush=True)
        # What the commands wrote to stderr is on the console.
        print(said.getvalue() + traceback.format_exc() + machine.qemu.console_tail())
        with contextlib.suppress(Failure), limit(JOURNAL_SECONDS):
            print(machine.execute(JOURNAL, JOURNAL_SECONDS)[1], flush=True)
        return False
    print(f"ok     {scenario.name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True


def boot(directory: pathlib.Path, guest: pathlib.Path, store: pathlib.Path, memory: int, cores: int) -> Machine:
    """A machine that is up, in the state to which `restore` returns."""
    began = time.monotonic()
    machine = Machine(directory, guest, store, memory, cores)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            machine.succeed("systemctl is-system-running --wait", timeout=BOOT_SECONDS)
        machine.keep()
    except BaseException:
        machine.qemu.kill()
        raise
    print(f"booted, {memory} MiB, {cores} cores ({time.monotonic() - began:.1f} s)", flush=True)
    return machine


def run(scenarios: list[Scenario], guest: pathlib.Path, store: pathlib.Path) -> int:
    """Runs them one after the other, those of like machines on one. Returns how many passed."""
    passed = 0
    machine = None
    with tempfile.TemporaryDirectory(prefix="vm-") as directory, contextlib.ExitStack() as stack:
        for number, scenario in enumerate(sorted(scenarios, key=lambda scenario: scenario.size)):
            if machine is None or machine.size != scenario.size:
                stack.close()
                own = pathlib.Path(directory) / str(number)
                own.mkdir()
                machine = boot(own, guest, store, *scenario.size)
                stack.callback(machine.qemu.kill)
            if passes(scenario, machine):
                passed += 1
            else:
                # It may be off, or still busy with a command that nobody waits for.
                machine = None
    return passed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--guest", type=pathlib.Path, required=True, help="what .ci/guest/make made")
    parser.add_argument("--store", type=pathlib.Path, required=True, help="a squashfs of all that the scenarios need")
    parser.add_argument("scenarios", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    # Ended from outside, it still ends its qemu.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        passed = run([Scenario(path) for path in arguments.scenarios], arguments.guest, arguments.store)
    except Failure as failure:
        sys.exit(f"FAILED to boot: {failure}")
    failed = len(arguments.scenarios) - passed
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
