"""What travels between driver and worker: a call as frames, and its outcome as frames.

`run_payload` is the only function that engines ship. It always returns, whatever the task does:
failures are frames too, so no carrier has to pickle a user's exception.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias

import cloudpickle

from scoopsci.engines.output import capture_output, replay_output
from scoopsci.engines.threads import limit_libraries_to_come, one_thread
from scoopsci.errors import EngineError, TaskError
from scoopsci.receipts import process_facts

__all__ = ["Buffer", "current_block", "in_task", "pack", "run_payload", "unpack"]

Buffer: TypeAlias = bytes | bytearray | memoryview | pickle.PickleBuffer

#: Smaller arrays stay within the pickle: a frame of their own would cost more than the copy.
OUT_OF_BAND_BYTES = 1 << 16

#: Set by a task that walks through blocks, so that a failure can name its block.
current_block: ContextVar[int | None] = ContextVar("current_block", default=None)

_in_task: ContextVar[bool] = ContextVar("in_task", default=False)
_PROCESS = secrets.token_hex(8)


def in_task() -> bool:
    """Tell whether the caller runs inside a task."""
    return _in_task.get()


def _dump(value: object) -> list[Buffer]:
    buffers: list[Buffer] = []

    def keep_small_in_band(buffer: pickle.PickleBuffer) -> bool:
        small = buffer.raw().nbytes < OUT_OF_BAND_BYTES
        if not small:
            buffers.append(buffer)
        return small

    pickled = cloudpickle.dumps(value, protocol=5, buffer_callback=keep_small_in_band)
    return [pickled, *buffers]


def _load(frames: Sequence[Buffer]) -> Any:
    return pickle.loads(frames[0], buffers=frames[1:])


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
        return [pickle.dumps(header), *_dump((fn, args, kwargs))]
    except Exception as error:
        raise _task_error(error, {}, {"stage": "pickling the task"}) from error


def run_payload(frames: Sequence[Buffer]) -> list[Buffer]:
    """Run a call on a worker.

    Parameters
    ----------
    frames : sequence of buffer
        From `pack`.

    Returns
    -------
    list of buffer
        For `unpack`: a report, then the result or the exception.
    """
    header = pickle.loads(frames[0])
    report = process_facts()
    if header["python"] != sys.version_info[:2]:
        return [pickle.dumps({**report, "other_python": header["python"]}), b""]
    at_home = header["process"] == (_PROCESS, os.getpid())
    if not at_home:
        limit_libraries_to_come()
    with capture_output(None if at_home else header["log_level"]) as output, one_thread:
        body, outcome = _run(frames[1:], at_home=at_home)
    report.update(**outcome, text=output.text(), records=output.records)
    return [pickle.dumps(report), *body]


def _run(frames: Sequence[Buffer], *, at_home: bool) -> tuple[list[Buffer], dict[str, Any]]:
    outcome: dict[str, Any] = {"elapsed_s": 0.0, "failure": None}
    stage = "unpickling the task"
    with _task_context():
        try:
            fn, args, kwargs = _load(frames)
            stage = "running"
            start = time.perf_counter()
            result = fn(*args, **kwargs)
            outcome["elapsed_s"] = time.perf_counter() - start
            stage = "pickling the result"
            return _dump(result), outcome
        except BaseException as error:  # SystemExit, too, must not end the worker
            if at_home and isinstance(error, KeyboardInterrupt):
                raise
            outcome["failure"] = {
                "stage": stage,
                "block": current_block.get(),
                "summary": _summarise(error),
                "traceback": "".join(traceback.format_exception(error)),
            }
            return _dump_error(error), outcome


@contextlib.contextmanager
def _task_context() -> Iterator[None]:
    tokens = _in_task.set(True), current_block.set(None)
    try:
        yield
    finally:
        _in_task.reset(tokens[0])
        current_block.reset(tokens[1])


def _dump_error(error: BaseException) -> list[Buffer]:
    try:
        return _dump(error)
    except Exception:
        return [b""]  # the report tells of it in words


def _summarise(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception_only(error)).strip()
    except Exception:
        return type(error).__name__


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
        The facts of `process_facts` on the worker, and ``elapsed_s``.

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
    failure = report.pop("failure")
    if failure is not None:
        try:
            cause = _load(frames[1:])
        except Exception:  # of a class that cannot be rebuilt here: its words remain
            cause = RuntimeError(failure["summary"])
        raise _task_error(cause, report, failure) from cause
    try:
        return _load(frames[1:]), report
    except Exception as error:
        raise _task_error(error, report, {"stage": "unpickling the result"}) from error


def _task_error(
    cause: BaseException, report: Mapping[str, Any], failure: Mapping[str, Any]
) -> TaskError:
    summary = failure.get("summary") or _summarise(cause)
    block, stage = failure.get("block"), failure["stage"]
    where = f" on host {report['host']}, process {report['pid']}" if report else ""
    which = "task" if block is None else f"block {block}"
    return TaskError(
        f"{which} failed{where} ({stage}): {summary}",
        block=block,
        host=report.get("host"),
        pid=report.get("pid"),
        stage=stage,
        remote_traceback=failure.get("traceback", ""),
    )
