"""Pools over the isolated hosts: how tests open them, and what must be left of them."""

from __future__ import annotations

import contextlib
import functools
import json
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests import pool_console
from tests.conftest import becomes
from tests.lan import PLAIN, PYTHON, REPOSITORY, Lan, LanProcess

NODES = ("node1", "node2", "node3")
MACHINES = ("laptop", *NODES)
TWO_EACH = tuple([f"{name} 2" for name in NODES])

#: Of each machine, a folder of its own; what a pool writes elsewhere is in these, too.
SCRATCH = Path("/srv/scratch")
FOLDERS = (SCRATCH, Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))

#: A host is given up after so long, so that tests need not take long.
HOST_TIMEOUT_S = 4.0
LEASE_S = 2 * HOST_TIMEOUT_S

GENEROUS_S = 60.0


@functools.cache
def serial_bits() -> dict[str, Any]:
    """Return what every pool must find."""
    return pool_console.find_bits("serial")


def serial_sum(n_items: int) -> str:
    """Return the bits of a sum, whose pauses change nothing."""
    return pool_console.find_sum(range(n_items), 0.0, "serial")


def write_hosts(lan: Lan, hosts: Sequence[str], name: str = "hosts-of-pool") -> Path:
    """Write a hostfile."""
    path = lan.folder / name
    path.write_text("".join(f"{host}\n" for host in hosts))
    return path


def write_ssh(lan: Lan, config: str, name: str = "other-ssh") -> Path:
    """Write an ssh whose configuration starts with some lines, and goes on as the usual one."""
    own = lan.folder / f"{name}-config"
    own.write_text(f"{config}\nHost *\n    Include {lan.folder}/ssh_config\n")
    program = lan.folder / name
    usual = lan.ssh.read_text()
    program.write_text(usual.replace(f"-F {lan.folder}/ssh_config", f"-F {own}"))
    program.chmod(0o755)
    return program


class PoolError(RuntimeError):
    """The error of a program that holds a pool."""


class OpenPool:
    """A program on `laptop` that holds a pool open and answers requests."""

    def __init__(
        self,
        lan: Lan,
        hosts: Sequence[str] = TWO_EACH,
        *,
        env: Mapping[str, str] | None = None,
        plain: bool = True,
        program: Path = Path(pool_console.__file__),
        **options: Any,
    ) -> None:
        self.lan = lan
        self._errors, self._done = lan.folder / "pool-errors", lan.folder / "pool-done"
        self._word = lan.folder / "pool-word"
        given = {"hostfile": str(write_hosts(lan, hosts)), "ssh": str(lan.ssh), **options}
        given["done"] = str(self._done)
        lan.run(["mkdir", "-p", "-m", "1777", SCRATCH], check=True)
        variables = {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(SCRATCH), **(env or {})}
        changes = PLAIN if plain else []
        with self._errors.open("w") as errors:
            self.process: LanProcess = lan.popen(
                ["env", *changes, PYTHON, program, json.dumps(given)],
                env=variables,
                stdin=subprocess.PIPE,
                stderr=errors,
            )

    @property
    def errors(self) -> str:
        """What the program has written to its standard error."""
        return self._errors.read_text(errors="replace")

    def hear(self, timeout: float = GENEROUS_S) -> Any:
        """Return the next answer, or raise the error of the program."""
        has_answered = self.has_answered(timeout)
        assert self.process.stdout is not None
        line = self.process.stdout.readline() if has_answered else ""
        assert line, f"no answer within {timeout:g} s: {self.errors}"
        told = json.loads(line)
        if "error" in told:
            raise PoolError(f"{told['error']}: {told['message']}")
        return told["answer"]

    def has_answered(self, within_s: float) -> bool:
        """Return whether an answer arrives in time."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], within_s)[0])

    def say(self, question: str, *args: Any) -> None:
        """Send a request; `hear` returns its answer."""
        assert self.process.stdin is not None
        self._done.write_text("0")
        self.process.stdin.write(json.dumps([question, *args]) + "\n")
        self.process.stdin.flush()

    def ask(self, question: str, *args: Any, timeout: float = GENEROUS_S) -> Any:
        """Send a request, and return its answer."""
        self.say(question, *args)
        return self.hear(timeout)

    @property
    def n_done(self) -> int:
        """How much of the request is done."""
        return int(self._done.read_text() or 0)

    def has_done(self, n_items: int) -> bool:
        """Return whether that many items are done."""
        return self.n_done >= n_items

    def begin(self, question: str, n_more: int, pause_s: float) -> None:
        """Begin a run that lasts until `let_end`, and return once some of it is done."""
        self._word.unlink(missing_ok=True)
        self.say(question, str(self._word), n_more, pause_s)
        assert becomes(lambda: self.n_done > 0)

    def let_end(self) -> None:
        """Let the run end after as many more items as were given to `begin`."""
        self._word.touch()

    def begin_sum(self, n_more: int, pause_s: float) -> None:
        """Begin a sum that lasts until `let_end`, and return once some of it is done."""
        self.begin("sum_until", n_more, pause_s)

    @contextlib.contextmanager
    def in_mid_sum(self, n_more: int, pause_s: float) -> Iterator[None]:
        """Run a sum during the block and for `n_more` items; check its bits against serial."""
        self.begin_sum(n_more, pause_s)
        yield
        assert not self.has_answered(0.0), "the sum is over"
        self.let_end()
        bits, n_items = self.hear()
        assert bits == serial_sum(n_items)

    def check_bits(self) -> None:
        """Fail unless runs have the results of serial ones."""
        assert self.ask("bits") == serial_bits()

    def end(self) -> None:
        """End the program, and check its exit status."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.communicate("", timeout=GENEROUS_S)
        assert self.process.returncode == 0, self.errors

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc_value is None and self.process.poll() is None:
                self.end()
            elif exc_value is not None:
                exc_value.add_note(f"the program of the pool has said:\n{self.errors}")
        finally:
            self.process.kill()
            self.process.communicate()


def fail_to_open(lan: Lan, *args: Any, timeout: float = GENEROUS_S, **options: Any) -> str:
    """Return why a pool cannot be opened."""
    with OpenPool(lan, *args, **options) as pool:
        try:
            hosts = pool.hear(timeout)
        except PoolError as error:
            return str(error)
    raise AssertionError(f"the pool has opened: {hosts}")


def remains(lan: Lan, machines: Sequence[str] = MACHINES) -> list[str]:
    """Return the processes and files of pools on machines."""
    left = [f"{name}: {line}" for name in machines for line in lan.processes(name)]
    for name in machines:
        folders = FOLDERS[:1] if name == "laptop" else FOLDERS
        for folder in folders:
            for path in (lan.root(name) / folder.relative_to("/")).glob("*"):
                if name == "laptop" or path.name.startswith("scoopsci"):
                    left.append(f"{name}: {folder / path.name}")
    return left


def check_nothing_left(
    lan: Lan, machines: Sequence[str] = MACHINES, *, within_s: float = 30.0
) -> None:
    """Fail if a pool has left anything, once there was time for it to end."""
    becomes(lambda: not remains(lan, machines), within_s)
    left = remains(lan, machines)
    assert left == [], left


def processes_on(lan: Lan, machine: str, words: str) -> dict[int, str]:
    """Return the processes of a machine whose command holds some words, as it numbers them."""
    listed = "for p in /proc/[0-9]*; do echo ${p#/proc/} $(tr '\\0' ' ' <$p/cmdline); done"
    done = lan.run(["sh", "-c", listed], host=machine)
    found = (line.split(maxsplit=1) for line in done.stdout.splitlines() if " " in line)
    return {int(pid): command for pid, command in found if words in command}


def signal_on(
    lan: Lan, machine: str, pid: int, number: signal.Signals, *, check: bool = True
) -> None:
    """Send a signal to a process of a machine, which has to be there if that is checked."""
    lan.run(["kill", f"-{number.value}", str(pid)], host=machine, check=check)
