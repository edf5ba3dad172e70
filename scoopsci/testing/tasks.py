"""The functions that the contract runs on workers, and what it sends to them.

Nothing here needs pytest, and there is no ``assert``: pytest would rewrite it, and a worker that
is sent the function would have to import pytest.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoopsci.errors import WorkerLostError

__all__ = [
    "ERRORS",
    "CallBlocks",
    "Misfit",
    "Unpicklable",
    "UnpicklableError",
    "Ununpicklable",
    "die_at_four",
    "fail_at_seven",
    "make_unpicklable",
    "meet",
    "note",
    "raise_error",
    "raise_made",
    "sleep_and_return",
    "talk",
]

MEETING_S = 60.0


class Misfit(Exception):
    """An exception of the user's own."""


class Demanding(Exception):
    """Its arguments are not those of its base."""

    def __init__(self, code: int, *, host: str) -> None:
        super().__init__(f"code {code}")
        self.code, self.host = code, host


class Slotted(Exception):
    """Has an attribute in a slot."""

    __slots__ = ("place",)
    place: list[int]


def _make_slotted() -> Slotted:
    error = Slotted("a")
    error.place = [1, 2]
    return error


def _make_caused() -> Demanding:
    error = Demanding(4, host="b")
    error.add_note("a note")
    error.__cause__ = KeyError("first")
    error.__cause__.__cause__ = Demanding(5, host="c")
    return error


#: Exceptions that are more than their arguments.
ERRORS: dict[str, Callable[[], BaseException]] = {
    "arguments of its own": lambda: Demanding(3, host="a"),
    "slots": _make_slotted,
    "causes and notes": _make_caused,
    "an operating system's": lambda: OSError(2, "No such file", "name", None, "other"),
    "of decoding": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    "of an import": lambda: ImportError("no", name="m", path="p"),
    "of syntax": lambda: SyntaxError("bad", ("file", 3, 4, "text", 3, 5)),
    "a group": lambda: ExceptionGroup("all", [Demanding(6, host="d"), ValueError(1)]),
    "one of ours": lambda: WorkerLostError("lost", host="e", by_task=True),
}


class Unpicklable:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise RuntimeError("refuses to be pickled")


def _refuse() -> None:
    raise RuntimeError("refuses to be unpickled")


class Ununpicklable(Exception):
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> Any:
        return _refuse, ()


class UnpicklableError(Exception):
    """An exception that cannot be pickled."""

    def __reduce__(self) -> Any:
        raise RuntimeError("refuses to be pickled")


@dataclass(frozen=True)
class CallBlocks:
    """Work for a dispatch: calls ``fn(block, value)`` for each input.

    Attributes
    ----------
    fn : callable
        Returns the result of a block.
    """

    fn: Callable[[int, Any], Any]

    def __call__(self, start: int, inputs: Iterator[Any]) -> Iterator[Any]:
        """Yield the results of consecutive blocks, the first of which is `start`."""
        for block, value in enumerate(inputs, start):
            yield self.fn(block, value)


def raise_error(error: BaseException) -> None:
    """Raise an exception that came with the task."""
    raise error


def raise_made(make: Callable[[], BaseException]) -> None:
    """Raise an exception that is made on the worker."""
    raise make()


def sleep_and_return(seconds: float, value: Any) -> Any:
    """Return a value after some seconds."""
    time.sleep(seconds)
    return value


def talk() -> int:
    """Write to both streams, warn, log, and return the process identifier."""
    print("said on stdout")
    print("said on stderr", file=sys.stderr)
    warnings.warn("a warning", UserWarning, stacklevel=1)
    logging.getLogger("task.talk").info("logged with %s", "arguments")
    return os.getpid()


def fail_at_seven(item: int) -> int:
    """Return the item, or raise if its last digit is a seven."""
    if item % 10 == 7:
        raise Misfit("of item", item)
    return item


def make_unpicklable(item: int) -> Any:
    """Return the item, or for 5 an object that cannot be pickled."""
    return Unpicklable() if item == 5 else item


def die_at_four(item: int) -> int:
    """Return the item, or end the worker if it is 4."""
    if item == 4:
        os._exit(7)
    return item


def note(marks: Path, item: int) -> int:
    """Record an execution on disk, and return how many there have been."""
    with (marks / str(item)).open("ab") as mark:
        mark.write(b".")
        return mark.tell()


def meet(folder: Path, n_workers: int, _: object = None) -> None:
    """Return once this many workers have entered this function."""
    (folder / f"{os.getpid()}-{threading.get_ident()}").touch()
    deadline = time.monotonic() + MEETING_S
    while len(os.listdir(folder)) < n_workers:
        if time.monotonic() >= deadline:
            raise TimeoutError("the other workers have not entered")
        time.sleep(0.001)
