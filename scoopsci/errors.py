"""The errors of scoopsci.

Wrong arguments are plain `ValueError` or `TypeError`; everything else is in this tree::

    ScoopsciError
    ├ EngineError
    │ ├ EngineUnavailableError (ImportError)    names the extra to install
    │ ├ EngineNotStartedError (RuntimeError)    names the command that starts it
    │ ├ WorkerLostError (BrokenExecutor)        names the host
    │ └ EngineTimeoutError (TimeoutError)
    ├ TaskError                                 a task failed in another way than by raising
    │ └ PoisonTaskError                         a block that ends every worker it runs on
    ├ ExtraMissingError (ImportError)           names the extra to install
    ├ HostfileError (ValueError)                path and line
    ├ InstallError                              the packages for the hosts cannot be gathered
    ├ LedgerError                               another run's ledger, a damaged file, a full disk
    └ NotConvergedError                         carries the estimate so far

What a task raises is raised here, with its own type; its cause is a `TaskError`, which has the
worker's traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from typing import Any, Self

__all__ = [
    "EngineError",
    "EngineNotStartedError",
    "EngineTimeoutError",
    "EngineUnavailableError",
    "ExtraMissingError",
    "HostfileError",
    "InstallError",
    "LedgerError",
    "NotConvergedError",
    "PoisonTaskError",
    "ScoopsciError",
    "TaskError",
    "WorkerLostError",
]


class ScoopsciError(Exception):
    """Root of all errors that scoopsci raises, wrong arguments aside."""

    def __reduce__(self) -> tuple[object, ...]:
        # BaseException would call the class with `args` alone and lose keyword-only attributes.
        return _rebuild, (type(self), self.args, self.__dict__.copy(), self.__cause__)


def _rebuild(
    cls: type[ScoopsciError],
    args: tuple[object, ...],
    state: dict[str, object],
    cause: BaseException | None,
) -> ScoopsciError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    if "__notes__" in state:
        error.__notes__ = list(error.__notes__)  # a copy must not share them
    error.__cause__ = cause
    return error


class EngineError(ScoopsciError):
    """An engine has failed, or cannot start."""


class EngineUnavailableError(EngineError, ImportError):
    """The engine's own package is missing, or no engine of that name is installed."""


class EngineNotStartedError(EngineError, RuntimeError):
    """The engine must first be started by a command, and was not."""


class WorkerLostError(EngineError, BrokenExecutor):
    """A worker ended, or became unreachable, while it held the task.

    Attributes
    ----------
    host : str or None
        Host of the lost worker, where it is known.
    by_task : bool or None
        Whether the task ended it; False for causes from outside, None where the engine cannot
        tell.
    """

    def __init__(
        self, message: str, *, host: str | None = None, by_task: bool | None = None
    ) -> None:
        super().__init__(message)
        self.host = host
        self.by_task = by_task


class EngineTimeoutError(EngineError, TimeoutError):
    """The deadline of a call has passed.

    Attributes
    ----------
    estimate : Estimate or None
        Of a Monte Carlo run, the estimate from the first blocks, if they had arrived.
    """

    estimate: Any = None


class TaskError(ScoopsciError):
    """A task failed.

    It is raised if the task did not raise an exception of its own, or that cannot be rebuilt here;
    and for `SystemExit` and `KeyboardInterrupt`, which must not end the program. Otherwise it is
    the cause of the exception that is raised, or of that exception's own first cause.

    Attributes
    ----------
    error : BaseException or None
        In place of a result, as by ``on_error="return"``: the exception that the task raised; None
        if there is none, or it cannot be rebuilt.
    block : int or None
        Index of the block that failed, None for a task submitted directly.
    host : str or None
        Host on which it failed.
    pid : int or None
        Process that ran it.
    stage : str
        What failed: "pickling the task", "unpickling the task", "running", "pickling the
        result" or "unpickling the result".
    remote_traceback : str
        The worker's traceback.
    """

    def __init__(
        self,
        message: str,
        *,
        error: BaseException | None = None,
        block: int | None = None,
        host: str | None = None,
        pid: int | None = None,
        stage: str = "running",
        remote_traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.error = self.__cause__ = error
        self.block = block
        self.host = host
        self.pid = pid
        self.stage = stage
        self.remote_traceback = remote_traceback
        if remote_traceback:
            self.add_note(f"The worker's traceback:\n{remote_traceback.rstrip()}")

    @classmethod
    def behind(cls, error: BaseException) -> TaskError | None:
        """Return the error of the task that raised an exception; None if no task did."""
        for cause in _walk_causes(error):
            if isinstance(cause, TaskError):
                return cause
        return None

    def as_raised(self) -> Exception:
        """Return what a call raises: the task's own exception, if it has one.

        That takes the place of this error, which becomes the cause of its first cause.
        """
        error = self.error
        if not isinstance(error, Exception):
            return self
        self.error = self.__cause__ = self.__traceback__ = None
        error.add_note(str(self).partition(": ")[0])
        *_, first = _walk_causes(error)
        first.__cause__ = self
        return error

    def name_block(self, block: int) -> None:
        """Record which block the task was, once that is known."""
        self.block = block
        message = str(self).replace("task failed", f"block {block} failed", 1)
        self.args = (message,)


def _walk_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes; a circle of causes is passed through once."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


class PoisonTaskError(TaskError):
    """A block ended its worker so often that it is not submitted again."""

    @classmethod
    def of_deaths(cls, n_deaths: int, error: WorkerLostError, *, block: int | None = None) -> Self:
        """Return the error for a block, or a task, that has ended its workers repeatedly."""
        what = "the task" if block is None else f"block {block}"
        poison = cls(
            f"{what} ended its worker {n_deaths} times, running alone, and is not submitted again; "
            f"find out what ends the process (memory, a C extension, os._exit): {error}",
            block=block,
            host=error.host,
        )
        poison.__cause__ = error
        return poison


class ExtraMissingError(ScoopsciError, ImportError):
    """An optional package is missing; the message names it and the extra to install."""


class HostfileError(ScoopsciError, ValueError):
    """A hostfile is missing, or has a line that cannot be parsed.

    Attributes
    ----------
    path : str
        The file.
    line_number : int or None
        Line of the error, counted from 1; None if it concerns the whole file.
    """

    def __init__(self, message: str, *, path: str, line_number: int | None = None) -> None:
        where = path if line_number is None else f"{path}, line {line_number}"
        super().__init__(f"{where}: {message}")
        self.path = path
        self.line_number = line_number


class InstallError(ScoopsciError):
    """The packages for the hosts cannot be gathered."""


class LedgerError(ScoopsciError):
    """A ledger belongs to another run, is in use or damaged, or cannot be written."""


class NotConvergedError(ScoopsciError):
    """An estimate has not reached the requested half-width.

    Attributes
    ----------
    estimate : Estimate
        The estimate so far.
    """

    def __init__(self, message: str, *, estimate: Any) -> None:
        super().__init__(message)
        self.estimate = estimate
