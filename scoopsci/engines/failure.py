"""An error in a task, on its way from the worker to the driver."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import traceback
from dataclasses import dataclass, replace
from types import TracebackType

from scoopsci.errors import TaskError
from scoopsci.pickling.pickler import pickle_exception

__all__ = ["Failure", "not_pickled"]

MODULE_REMEDY = (
    "Modules beside the program are sent if it imports them at its top; packages must be on every "
    "host: scoopsci hosts HOSTFILE --install --requirements FILE installs them."
)

#: Folder of our own code.
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


@dataclass(frozen=True, slots=True)
class Failure:
    """An error in a task, in a form that can always be pickled."""

    stage: str  # see `TaskError`
    summary: str  # the exception, as text
    traceback: str  # as text, without our own frames at its start
    cause: bytes  # the exception, pickled; empty if it cannot be
    host: str | None  # where it was raised; None in the driver
    pid: int | None  # process that raised it; None in the driver

    @classmethod
    def of(cls, error: BaseException, stage: str = "running") -> Failure:
        """Describe an exception on the worker that raised it."""
        words = "".join(traceback.format_exception(type(error), error, _find_users_part(error)))
        host, pid = socket.gethostname(), os.getpid()
        return cls(stage, _summarise(error), words, _dump_error(error), host, pid)

    def as_error(self, block: int | None = None) -> TaskError:
        """Return the error in the driver, with the exception as its cause."""
        cause = self._rebuild()
        which = "task" if block is None else f"block {block}"
        where = f" on host {self.host}, process {self.pid}" if self.host else ""
        error = TaskError(
            f"{which} failed{where} ({self.stage}): {self.summary}",
            error=cause if self.stage == "running" else None,  # else not the task's
            block=block,
            host=self.host,
            pid=self.pid,
            stage=self.stage,
            remote_traceback=self.traceback,
        )
        error.__cause__ = RuntimeError(self.summary) if cause is None else cause
        if isinstance(cause, ModuleNotFoundError):
            error.add_note(MODULE_REMEDY)
        return error

    def _rebuild(self) -> BaseException | None:
        try:
            found = pickle.loads(self.cause)
        except (Exception, SystemExit):  # its class cannot be rebuilt here
            return None
        return found if isinstance(found, BaseException) else None


def _find_users_part(error: BaseException) -> TracebackType | None:
    """Return the traceback without our own frames at its start; all of it if it has no others."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        found = found.tb_next
    return found or error.__traceback__


def _dump_error(error: BaseException) -> bytes:
    """Pickle an exception; without its causes if that is not possible, or else as no bytes."""
    with contextlib.suppress(Exception):
        return pickle_exception(error)
    with contextlib.suppress(Exception):
        return pickle_exception(error, with_cause=False)
    return b""


def _summarise(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception_only(error)).strip()
    except Exception:
        return type(error).__name__


def not_pickled(error: BaseException) -> TaskError:
    """Return the error for a call that cannot be pickled, and so was not sent to any worker."""
    failure = Failure.of(error, "pickling the task")
    return replace(failure, host=None, pid=None, traceback="").as_error()
