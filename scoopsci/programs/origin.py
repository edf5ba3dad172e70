"""The process that runs a SCOOP program: it submits and waits, and never executes a task."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import scoop

from scoopsci.engines.scoop import use_workers
from scoopsci.engines.threads import limiting_variables
from scoopsci.errors import EngineError, TaskError
from scoopsci.hosts import Host
from scoopsci.pool.config import make_config
from scoopsci.pool.driver import PoolDriver
from scoopsci.programs import futures
from scoopsci.programs.pickling import make_task, share_names, take_outcome
from scoopsci.programs.script import as_status, load_script, run_script
from scoopsci.programs.session import Session, open_session
from scoopsci.programs.staging import Source, stage
from scoopsci.programs.stand_in import stand_in_for_scoop
from scoopsci.protocol import messages as kind
from scoopsci.protocol.losses import Losses

__all__ = ["run_program"]


class Origin(Session[futures.Future]):
    """The session of the process that runs the program."""

    driver: PoolDriver

    def __init__(self) -> None:
        super().__init__()
        self._arrived: SimpleQueue[Callable[[], None]] = SimpleQueue()

    @property
    def name(self) -> bytes:
        """The name of this process at the broker."""
        return self.driver.name

    def send(self, future: futures.Future, frames: Sequence[Any]) -> None:
        """Send a task; its outcome settles the future."""

        def settle() -> None:
            if carried.cancelled():
                return
            error = carried.exception()
            future.settle(None if error else carried.result(), error)

        future.ticket = carried = self.driver.send(frames, judge=Losses().judge)
        carried.add_done_callback(lambda _: self._arrived.put(settle))

    def cancel(self, future: futures.Future) -> bool:
        """Take a task back that has not started, and tell whether that was possible."""
        return bool(future.ticket.cancel())

    def set_constant(self, name: str, frames: Sequence[Any]) -> None:
        """Name a value for all processes."""
        self.driver.set_variable(name.encode(), frames)

    def take_in(self, timeout_s: float) -> None:
        """Process what has arrived, or else wait some time for something to arrive."""
        if self._arrived.empty() and timeout_s > 0:
            self.driver.check_open()  # a closed driver delivers nothing
        try:
            self._arrived.get(timeout=None if timeout_s == float("inf") else timeout_s)()
            while True:
                self._arrived.get_nowait()()
        except Empty:
            pass

    def hear(self, message: bytes, rest: bytes, frames: Sequence[Any]) -> None:
        """Receive a message, in the driver's thread."""
        if message == kind.OUTPUT:
            _print(rest, bytes(frames[0]).decode(errors="replace"))
        elif message == kind.VARIABLE:
            owner, name = rest[: kind.NAME_BYTES], rest[kind.NAME_BYTES :].decode()
            self._arrived.put(lambda: self.note_constant(name, owner, frames))


class _Workers(Executor):
    """The program's workers as an executor, for runs of scoopsci in it."""

    def __init__(self, driver: PoolDriver) -> None:
        self._driver = driver

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        carried = self._driver.send(make_task(fn, args, kwargs))
        carried.add_done_callback(lambda _: _pass_on(carried, future))
        return future


def _pass_on(carried: Future[Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return  # by a run that was left early
    error = carried.exception()
    result = None
    if error is None:
        result, error = take_outcome(carried.result())
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


def _print(stream: bytes, text: str) -> None:
    with contextlib.suppress(Exception):  # the reader is gone, or the program has closed it
        output = sys.stdout if stream == b"1" else sys.stderr
        output.write(text)
        output.flush()


def run_program(
    script: str | os.PathLike[str],
    arguments: Sequence[str],
    hosts: Sequence[Host],
    *,
    folder: str | None = None,
    sources: Sequence[Source] | None = None,
    nice: int = 0,
    path: Sequence[str] = (),
    prolog: str | None = None,
    mixed: bool = False,
    log_level: str = "INFO",
    python: str | os.PathLike[str] | None = None,
    ssh: str | os.PathLike[str] = "ssh",
    host_timeout: float = 15.0,
    start_timeout: float = 60.0,
) -> int:
    """Run a program that uses `scoop.futures`, and return its exit status.

    Parameters
    ----------
    script : path-like
        The program.
    arguments : sequence of str
        For the program.
    hosts : sequence of Host
        Hosts of the workers.
    folder : str, optional
        Where workers run it, and find a script with a relative path; by default the path of the
        current folder, on all hosts.
    sources : sequence of Source, optional
        Copied to all hosts, the script included: into that folder if one is given, else into one
        that is removed after the run.
    nice : int
        Niceness of the workers.
    path : sequence of str
        Where workers search for modules first.
    prolog : str, optional
        A file for bash on each host, sourced before anything else.
    mixed : bool
        Continue, with a warning, if hosts compute differently in the last bit.
    log_level : str
        Of `scoop.logger`.
    python, ssh, host_timeout, start_timeout
        See `scoopsci.Pool`.

    Returns
    -------
    int
        That of Python: 1 after an exception, whose traceback has been printed, or the argument of
        `sys.exit`.

    Raises
    ------
    EngineError
        If the workers cannot start, or cannot load the script.
    OSError
        If the script does not exist.
    """
    here = str(Path(script).resolve(strict=True))
    there, patience_s = os.fspath(script), 0.0
    with contextlib.ExitStack() as stack:
        if sources is not None:
            copied = stage(
                hosts, sources, folder=folder, python=python, ssh=ssh, host_timeout=host_timeout
            )
            folder, there, patience_s = stack.enter_context(copied), Path(here).name, start_timeout
        constants = {"SIZE": sum(host.n_workers or 0 for host in hosts), "MAIN_MODULE": there}
        setup = make_task(
            load_script,
            (there, os.path.abspath(folder or "."), list(arguments), constants),
            {"patience_s": patience_s, "nice": nice, "path": list(path), "log_level": log_level},
        )
        config = make_config(
            hosts,
            ["scoopsci.programs.worker:work"],
            variables=limiting_variables(1),
            start_timeout=start_timeout,
            initializes=True,
            mixed=mixed,
            prolog=prolog,
            python=python,
            ssh=ssh,
            host_timeout=host_timeout,
        )
        origin = Origin()
        origin.driver = PoolDriver(config, setup, _check_setup, origin.hear)
        stack.callback(origin.driver.shutdown)
        try:
            origin.driver.wait_until_ready(start_timeout)
        except _ScriptEnded as end:
            return as_status(end.code)
        for name, value in {**constants, "SIZE": origin.driver.n_workers}.items():
            setattr(scoop, name, value)
        stand_in_for_scoop(is_origin=True, log_level=log_level)
        _warn_of_difference(origin.driver.hosts)
        use_workers(_Workers(origin.driver))
        open_session(origin)
        return run_script(here, arguments)


def _warn_of_difference(hosts: Sequence[Mapping[str, Any]]) -> None:
    kinds = {(host["facts"]["numpy"], host["facts"]["battery"]) for host in hosts if host["facts"]}
    if len(kinds) > 1:
        scoop.logger.warning(
            "hosts differ in the last bit: results depend on the host that computes them"
        )


class _ScriptEnded(EngineError):
    """The script exited while it was loaded, for example because of wrong arguments."""

    def __init__(self, code: object) -> None:
        super().__init__(f"the script exited while it was loaded, with status {code}")
        self.code = code


def _check_setup(frames: Sequence[Any]) -> None:
    lines, error = take_outcome(frames)
    if error is not None:
        failed = TaskError.behind(error)
        if failed is not None and isinstance(failed.error, SystemExit):
            raise _ScriptEnded(failed.error.code)
        failure = EngineError(f"a worker cannot load the script: {str(error) or repr(error)}")
        for note in (*getattr(failed, "__notes__", ()), *getattr(error, "__notes__", ())):
            failure.add_note(note)
        raise failure
    share_names(lines)
