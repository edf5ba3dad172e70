"""What went wrong in a task, on its way from the worker to the driver."""

from __future__ import annotations

import os
import pickle
import socket
import traceback
from dataclasses import dataclass, replace
from types import TracebackType

import cloudpickle

from scoopsci.errors import TaskError

__all__ = ["Failure", "not_pickled"]

MODULE_REMEDY = (
    "Modules beside the program travel if it imports them at its top; packages must be on every "
    "host: scoopsci hosts HOSTFILE --install --requirements FILE brings them."
)

#: Where our own code lies.
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


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


def not_pickled(error: BaseException) -> TaskError:
    """Return the error of a call that cannot be pickled: no worker has seen it."""
    failure = Failure.of(error, "pickling the task")
    return replace(failure, host=None, pid=None, traceback="").as_error()
