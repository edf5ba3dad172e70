"""A call as frames, and how a worker runs it; its outcome is frames, too.

`run_payload` is the only function that engines submit. It returns whatever the task does: failures
are frames, too, so that no carrier has to pickle a user's exception.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias

from scoopsci.basics.interrupts import Terminated
from scoopsci.engines.byvalue import users_modules
from scoopsci.engines.failure import Failure, not_pickled
from scoopsci.engines.output import capture_output
from scoopsci.engines.pickler import Pickler
from scoopsci.engines.settings import take_settings
from scoopsci.engines.surroundings import hosts_tasks, note_loaded, run_in_surroundings
from scoopsci.engines.threads import limit_libraries_to_come, one_thread
from scoopsci.reporting.receipts import process_facts

__all__ = [
    "Buffer",
    "as_plain",
    "count_bytes",
    "dump",
    "dump_by",
    "in_task",
    "load",
    "pack",
    "run_payload",
    "run_plain_payload",
]

Buffer: TypeAlias = bytes | bytearray | memoryview | pickle.PickleBuffer

#: Smaller arrays stay in the pickle: a separate frame would cost more than the copy.
OUT_OF_BAND_BYTES = 1 << 16

_in_task: ContextVar[bool] = ContextVar("in_task", default=False)
_PROCESS = secrets.token_hex(8)


def in_task() -> bool:
    """Return whether the caller runs inside a task."""
    return _in_task.get() or hosts_tasks()  # threads that a task has started, and their children


def dump(value: object) -> list[Buffer]:
    """Pickle a value, and the user's modules by value.

    Returns
    -------
    list of buffer
        The pickle, then its large buffers, uncopied; see `dump_by`.
    """
    users_modules.renew()
    return dump_by(Pickler, value)


def dump_by(pickler: type[pickle.Pickler], value: object) -> list[Buffer]:
    """Return a value's pickle, followed by its large buffers, out of band and uncopied."""
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
    """Return the total size of frames."""
    return sum(memoryview(frame).nbytes for frame in frames)


def as_plain(frame: Buffer) -> bytes | bytearray:
    """Copy a frame; a writable one stays writable."""
    view = frame.raw() if isinstance(frame, pickle.PickleBuffer) else memoryview(frame)
    return bytes(view) if view.readonly else bytearray(view)


def run_plain_payload(frames: Sequence[Buffer]) -> list[Buffer]:
    """Do the same as `run_payload`, for carriers that do not support pickle protocol 5 buffers."""
    return [as_plain(frame) for frame in run_payload(frames)]


def pack(
    fn: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]
) -> list[Buffer]:
    """Turn a call into frames for `run_payload`; raise a TaskError if it cannot be pickled.

    Parameters
    ----------
    fn : callable
        The function. It, and what it refers to in a notebook or script, is pickled by value.
    args, kwargs : sequence, mapping
        Its arguments. Large arrays are separate frames, not copied where the engine supports it.
    """
    header = {
        "python": sys.version_info[:2],
        "process": (_PROCESS, os.getpid()),
        "log_level": logging.getLogger().level,
        "settings": take_settings(),
    }
    try:
        return [pickle.dumps(header), *dump((fn, args, kwargs))]
    except (Exception, SystemExit) as error:  # pickling must not end the driver
        raise not_pickled(error) from error


def run_payload(frames: Sequence[Buffer]) -> list[Buffer]:
    """Run a call from `pack` on a worker; return a report and the result, as frames."""
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
        how = {"at_home": at_home, "lasts": header.get("lasts", False)}
        run = partial(_run, frames[1:], watch, at_home=at_home)
        body, outcome = run_in_surroundings(header["settings"], run, **how)
        report["ended_s"] = time.monotonic()
    report.update(**outcome, text=output.text(), records=output.records)
    return [pickle.dumps(report), *body]


class _Stopwatch:
    """Measures the time since the previous lap."""

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
    token = _in_task.set(True)
    try:
        fn, args, kwargs = load(frames)
        note_loaded()
        outcome["load_s"] = watch.lap()
        stage = "running"
        result = fn(*args, **kwargs)
        outcome["elapsed_s"] = watch.lap()
        stage = "pickling the result"
        body = dump(result)
        outcome["dump_s"] = watch.lap()
    except BaseException as error:  # not even SystemExit may end the worker
        if at_home and isinstance(error, (KeyboardInterrupt, Terminated)):
            raise
        return [], {**outcome, "failure": Failure.of(error, stage)}
    finally:
        _in_task.reset(token)
    return body, outcome
