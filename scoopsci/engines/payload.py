"""What travels between driver and worker: a call as frames, and its outcome as frames.

`run_payload` is the only function that engines ship. It always returns, whatever the task does:
failures are frames too, so no carrier has to pickle a user's exception.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import secrets
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, TypeAlias

import cloudpickle

from scoopsci.basics.interrupts import Terminated
from scoopsci.engines.byvalue import users_modules
from scoopsci.engines.output import capture_output, replay_output
from scoopsci.engines.pickler import Pickler
from scoopsci.engines.threads import limit_libraries_to_come, one_thread
from scoopsci.errors import EngineError, TaskError
from scoopsci.reporting.receipts import process_facts

__all__ = [
    "Buffer",
    "Failure",
    "as_plain",
    "count_bytes",
    "dump",
    "dump_by",
    "in_task",
    "load",
    "not_pickled",
    "pack",
    "run_payload",
    "run_plain_payload",
    "unpack",
]

Buffer: TypeAlias = bytes | bytearray | memoryview | pickle.PickleBuffer

MODULE_REMEDY = (
    "Modules beside the program travel if it imports them at its top; packages must be on every "
    "host: scoopsci hosts HOSTFILE --install --requirements FILE brings them."
)

#: Smaller arrays stay within the pickle: a frame of their own would cost more than the copy.
OUT_OF_BAND_BYTES = 1 << 16

#: Where our own code lies.
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")

_in_task: ContextVar[bool] = ContextVar("in_task", default=False)
_PROCESS = secrets.token_hex(8)


def in_task() -> bool:
    """Tell whether the caller runs inside a task."""
    return _in_task.get()


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong in a task, in a form that always travels.

    Attributes
    ----------
    stage : str
        See `TaskError`.
    summary, traceback : str
        The exception in words.
    cause : bytes
        The exception itself, pickled; empty where it cannot be.
    host : str or None
        Host on which it failed; None for the driver's side.
    pid : int or None
        Process that ran it.
    """

    stage: str
    summary: str
    traceback: str
    cause: bytes
    host: str | None
    pid: int | None

    @classmethod
    def of(cls, error: BaseException, stage: str = "running") -> Failure:
        """Describe an exception, on the worker that it was raised on."""
        words = "".join(traceback.format_exception(type(error), error, _find_users_part(error)))
        host, pid = socket.gethostname(), os.getpid()
        return cls(stage, _summarise(error), words, _dump_error(error), host, pid)

    def as_error(self, block: int | None = None) -> TaskError:
        """Return the error to raise in the driver, with the exception as its cause."""
        try:
            cause = pickle.loads(self.cause)
        except (Exception, SystemExit):  # of a class that cannot be rebuilt here
            cause = RuntimeError(self.summary)
        which = "task" if block is None else f"block {block}"
        where = f" on host {self.host}, process {self.pid}" if self.host else ""
        error = TaskError(
            f"{which} failed{where} ({self.stage}): {self.summary}",
            block=block,
            host=self.host,
            pid=self.pid,
            stage=self.stage,
            remote_traceback=self.traceback,
        )
        error.__cause__ = cause
        if isinstance(cause, ModuleNotFoundError):
            error.add_note(MODULE_REMEDY)
        return error


def _find_users_part(error: BaseException) -> TracebackType | None:
    """Return the traceback from where it leaves our own code, all of it where it never does."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        found = found.tb_next
    return found or error.__traceback__


def _dump_error(error: BaseException) -> bytes:
    try:
        pickled: bytes = cloudpickle.dumps(error, protocol=5)
    except Exception:
        return b""
    return pickled


def _summarise(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception_only(error)).strip()
    except Exception:
        return type(error).__name__


def dump(value: object) -> list[Buffer]:
    """Pickle a value, the user's modules in it by value.

    Parameters
    ----------
    value : object
        Whatever cloudpickle takes.

    Returns
    -------
    list of buffer
        See `dump_by`.
    """
    users_modules.renew()
    return dump_by(Pickler, value)


def dump_by(pickler: type[pickle.Pickler], value: object) -> list[Buffer]:
    """Pickle a value, its large buffers out of band and uncopied.

    Parameters
    ----------
    pickler : type
        What pickles.
    value : object
        Whatever it takes.

    Returns
    -------
    list of buffer
        The pickle, then its buffers.
    """
    buffers: list[Buffer] = []

    def keep_small_in_band(buffer: pickle.PickleBuffer) -> bool:
        small = buffer.raw().nbytes < OUT_OF_BAND_BYTES
        if not small:
            buffers.append(buffer)
        return small

    file = io.BytesIO()
    pickler(file, protocol=5, buffer_callback=keep_small_in_band).dump(value)
    return [file.getvalue(), *buffers]


def load(frames: Sequence[Buffer]) -> Any:
    """Return the value that `dump` was given."""
    return pickle.loads(frames[0], buffers=frames[1:])


def count_bytes(frames: Sequence[Buffer]) -> int:
    """Return the size of frames."""
    return sum(memoryview(frame).nbytes for frame in frames)


def as_plain(frame: Buffer) -> bytes | bytearray:
    """Copy a frame; a writable one stays writable."""
    view = frame.raw() if isinstance(frame, pickle.PickleBuffer) else memoryview(frame)
    return bytes(view) if view.readonly else bytearray(view)


def run_plain_payload(frames: Sequence[Buffer]) -> list[Buffer]:
    """Do the same as `run_payload`, for carriers that do not know buffers of pickle protocol 5."""
    return [as_plain(frame) for frame in run_payload(frames)]


def pack(
    fn: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> list[Buffer]:
    """Turn a call into frames.

    Parameters
    ----------
    fn : callable
        The function; it and what it refers to in a notebook or script travel by value.
    args, kwargs : sequence, mapping
        Its arguments. Arrays travel beside the pickle, uncopied where the engine can.

    Returns
    -------
    list of buffer
        For `run_payload`.

    Raises
    ------
    TaskError
        If the call cannot be pickled.
    """
    header = {
        "python": sys.version_info[:2],
        "process": (_PROCESS, os.getpid()),
        "log_level": logging.getLogger().level,
    }
    try:
        return [pickle.dumps(header), *dump((fn, args, kwargs))]
    except (Exception, SystemExit) as error:  # what travels must not end the driver
        raise not_pickled(error) from error


def not_pickled(error: BaseException) -> TaskError:
    """Return the error of a call that cannot be pickled: no worker has seen it."""
    failure = Failure.of(error, "pickling the task")
    return replace(failure, host=None, pid=None, traceback="").as_error()


def run_payload(frames: Sequence[Buffer]) -> list[Buffer]:
    """Run a call on a worker.

    Parameters
    ----------
    frames : sequence of buffer
        From `pack`.

    Returns
    -------
    list of buffer
        For `unpack`: a report, then the result.
    """
    watch = _Stopwatch()
    header = pickle.loads(frames[0])
    report = process_facts()
    if header["python"] != sys.version_info[:2]:
        return [pickle.dumps({**report, "other_python": header["python"]}), b""]
    at_home = header["process"] == (_PROCESS, os.getpid())
    if not at_home:
        limit_libraries_to_come()
    with capture_output(None if at_home else header["log_level"]) as output, one_thread:
        report["prepare_s"] = watch.lap()
        body, outcome = _run(frames[1:], watch, at_home=at_home)
        report["ended_s"] = time.monotonic()
    report.update(**outcome, text=output.text(), records=output.records)
    return [pickle.dumps(report), *body]


class _Stopwatch:
    """Takes the time from lap to lap."""

    def __init__(self) -> None:
        self._lap_s = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        lap_s, self._lap_s = now - self._lap_s, now
        return lap_s


def _run(
    frames: Sequence[Buffer], watch: _Stopwatch, *, at_home: bool
) -> tuple[list[Buffer], dict[str, Any]]:
    outcome: dict[str, Any] = {"load_s": 0.0, "elapsed_s": 0.0, "dump_s": 0.0, "failure": None}
    stage = "unpickling the task"
    with _task_context():
        try:
            fn, args, kwargs = load(frames)
            outcome["load_s"] = watch.lap()
            stage = "running"
            result = fn(*args, **kwargs)
            outcome["elapsed_s"] = watch.lap()
            stage = "pickling the result"
            body = dump(result)
            outcome["dump_s"] = watch.lap()
        except BaseException as error:  # SystemExit, too, must not end the worker
            if at_home and isinstance(error, (KeyboardInterrupt, Terminated)):
                raise
            return [], {**outcome, "failure": Failure.of(error, stage)}
    return body, outcome


@contextlib.contextmanager
def _task_context() -> Iterator[None]:
    token = _in_task.set(True)
    try:
        yield
    finally:
        _in_task.reset(token)


def unpack(frames: Sequence[Buffer]) -> tuple[Any, dict[str, Any]]:
    """Return what a call returned, or raise what it raised.

    Parameters
    ----------
    frames : sequence of buffer
        From `run_payload`. What the task printed and logged is written out, labelled.

    Returns
    -------
    result : object
        The result of the call.
    report : dict
        The facts of `process_facts` on the worker, and its times: ``prepare_s``, ``load_s``,
        ``elapsed_s`` and ``dump_s``.

    Raises
    ------
    TaskError
        If the task failed; the user's exception is its cause.
    EngineError
        If the worker's Python is of another minor version.
    """
    report = pickle.loads(frames[0])
    if "other_python" in report:
        ours = ".".join(map(str, report["other_python"]))
        raise EngineError(
            f"all hosts need the same minor version of Python: {report['host']} has "
            f"{report['python']}, the driver {ours}; install {ours} there"
        )
    text, records = report.pop("text"), report.pop("records")
    replay_output(text, records, f"{report['host']} {report['pid']}")
    failure: Failure | None = report.pop("failure")
    if failure is not None:
        raise failure.as_error()
    try:
        return load(frames[1:]), report
    except (Exception, SystemExit) as error:
        lost = Failure.of(error, "unpickling the result")
        raise replace(lost, host=report["host"], pid=report["pid"]).as_error() from error
