"""Child processes, each in its own session, that end with this process whatever happens."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import IO, Any

from scoopsci.errors import EngineTimeoutError

__all__ = ["Child", "run_children"]

#: Kills a process group once its standard input has a line, or ends: with this process, even by
#: SIGKILL. A command that is still running first gets SIGINT, as from Ctrl-C, and 3 s to end:
#: SCOOP's launcher would leave its workers behind.
_GUARD = """
if ! read ended; then
    kill -s INT -- "-$1"
    for tenth in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30
    do
        sleep 0.1
        kill -s 0 -- "-$1" || exit 0
    done
fi
kill -s KILL -- "-$1"
"""


#: Becomes the command that follows once its standard input has a line; exits if that ends first.
_GATE = 'read go && exec "$@" </dev/null'


@dataclass
class Child:
    """A process that leads its own session.

    Attributes
    ----------
    command : str
        Its command line.
    elapsed_s : float
        Seconds from its start to its end; NaN until then.
    status : int or None
        Its exit status, or minus the signal that ended it; None until then.
    """

    command: str
    elapsed_s: float = field(default=float("nan"), init=False)
    status: int | None = field(default=None, init=False)
    _pid: int
    _start_s: float
    _output: IO[bytes]

    def read_output(self) -> str:
        """Return what the session has written so far to stdout and stderr."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")


@contextlib.contextmanager
def run_children(commands: Sequence[Sequence[str]], *, timeout: float) -> Iterator[list[Child]]:
    r"""Run commands concurrently until all have ended.

    Each session ends with its command, at the timeout, on an error and with this process, whatever
    signal ends it: nothing that a command starts is left behind.

    Parameters
    ----------
    commands : sequence of sequence of str
        Programs with their arguments.
    timeout : float
        Seconds that they may take.

    Yields
    ------
    list of Child
        In the order of the commands. Their output can be read inside the context.

    Raises
    ------
    EngineTimeoutError
        If the timeout passes.
    OSError
        If a program cannot be started.

    Examples
    --------
    >>> with run_children([["echo", "one"], ["echo", "two"]], timeout=60.0) as (one, two):
    ...     one.read_output() + two.read_output()
    'one\ntwo\n'
    """
    with contextlib.ExitStack() as output, contextlib.ExitStack() as sessions:
        children = []
        for command in commands:
            file = output.enter_context(tempfile.TemporaryFile())
            children.append(sessions.enter_context(_start(command, file)))
        _wait(children, timeout)
        sessions.close()
        yield children


@contextlib.contextmanager
def _start(command: Sequence[str], output: IO[bytes]) -> Iterator[Child]:
    start_s = time.perf_counter()
    child: Child | None = None
    launched: Future[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]] = Future()
    # Ctrl-C interrupts only the main thread, and could come between a process and its guard.
    launcher = Thread(target=_launch, args=(command, output, launched))
    try:
        launcher.start()
        process, _ = launched.result()
        child = Child(shlex.join(command), process.pid, start_s, output)
        yield child
    finally:
        if launcher.ident is not None and launched.exception() is None:
            launcher.join()
            process, guard = launched.result()
            _end(process, guard)
            if child is not None:
                child.status = process.returncode


def _launch(command: Sequence[str], output: IO[bytes], launched: Future[Any]) -> None:
    """Start a command in its own session, with a guard that ends it with this process."""
    start: Any = partial(subprocess.Popen, stdin=subprocess.PIPE, start_new_session=True)
    try:
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
        behind_gate = ["/bin/sh", "-c", _GATE, "gate", *command]
        process = start(behind_gate, stdout=output, stderr=output)
        try:
            with process.stdin as gate:
                guarding = ["/bin/sh", "-c", _GUARD, "guard", str(process.pid)]
                guard = start(guarding, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                gate.write(b"go\n")
        except BaseException:
            process.wait()
            raise
    except BaseException as error:
        launched.set_exception(error)
    else:
        launched.set_result((process, guard))


def _end(process: subprocess.Popen[bytes], guard: subprocess.Popen[bytes]) -> None:
    assert guard.stdin is not None
    if process.poll() is not None:
        guard.stdin.write(b"ended\n")
    guard.stdin.close()
    process.wait()  # before the guard, to which an unreaped process looks alive
    guard.wait()


def _wait(children: Sequence[Child], timeout: float) -> None:
    """Wait until all have ended, and record when each did."""
    deadline_s = time.perf_counter() + timeout
    with contextlib.ExitStack() as stack:
        poll, running = select.poll(), {}
        for child in children:
            descriptor = os.pidfd_open(child._pid)
            stack.callback(os.close, descriptor)
            poll.register(descriptor, select.POLLIN)
            running[descriptor] = child
        while running:
            remaining_s = deadline_s - time.perf_counter()
            ended = poll.poll(max(0.0, 1e3 * remaining_s))
            if not ended and remaining_s <= 0.0:
                late = next(iter(running.values()))
                raise EngineTimeoutError(
                    f"timeout of {timeout:g} s passed before the end of {late.command}\n"
                    f"{late.read_output()}".rstrip()
                )
            for descriptor, _ in ended:
                child = running.pop(descriptor)
                child.elapsed_s = time.perf_counter() - child._start_s
                poll.unregister(descriptor)
