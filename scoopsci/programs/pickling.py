"""Tasks and outcomes as frames; what the script defines is pickled by name.

Origin and workers have loaded the same script, so its classes are the same on both sides, and a
large global array is not sent with each task.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import FunctionType
from typing import Any

from scoopsci.engines.failure import Failure, not_pickled
from scoopsci.engines.payload import dump_by, load
from scoopsci.engines.pickler import Pickler
from scoopsci.engines.settings import take_settings
from scoopsci.engines.surroundings import note_loaded, run_in_surroundings

__all__ = [
    "SCRIPT_MODULES",
    "dump",
    "find_line",
    "load",
    "make_task",
    "pack",
    "run_task",
    "share_names",
    "take_outcome",
]

#: The names of the script's module: in the origin, and in workers.
SCRIPT_MODULES = ("__main__", "SCOOP_WORKER")

RESULT, FAILURE = b"R", b"F"

#: Names defined in the workers' script and, for functions, the lines where they begin.
_shared: dict[str, int | None] = {}


def share_names(lines: Mapping[str, int | None]) -> None:
    """Record what the workers' script defines: names, and where functions begin."""
    _shared.update(lines)


def find_line(value: object) -> int | None:
    """Return the line where a function begins; a function redefined later has another."""
    line: int | None = getattr(getattr(value, "__code__", None), "co_firstlineno", None)
    return line


class _Pickler(Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, FunctionType)) and obj.__module__ in SCRIPT_MODULES:
            path = obj.__qualname__
            name = path.split(".")[0]
            is_as_loaded = name in _shared and _shared[name] == find_line(_look_up(name))
            if is_as_loaded and _look_up(path) is obj:
                return _find, (path,)
        return super().reducer_override(obj)


def _look_up(path: str) -> Any:
    found: Any = sys.modules["__main__"]
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def _find(path: str) -> Any:
    found = _look_up(path)
    if found is None:
        raise AttributeError(f"the script defines no {path!r} here")
    return found


def dump(value: object) -> list[Any]:
    """Pickle a value for other processes that have loaded the script."""
    return dump_by(_Pickler, value)


def make_task(fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    """Return the frames of a call; see `pack`."""
    return pack((fn, args, kwargs, take_settings()))


def pack(value: object) -> list[Any]:
    """Return the frames of a value.

    Raises
    ------
    TaskError
        If it cannot be pickled.
    """
    try:
        return dump(value)
    except (Exception, SystemExit) as error:
        raise not_pickled(error) from error


def run_task(frames: Sequence[Any], *, lasts: bool = False) -> list[Any]:
    """Run a call, and return the frames of its outcome even if it fails.

    Parameters
    ----------
    frames : sequence of buffer
        From `make_task`.
    lasts : bool
        Whether what it sets is kept for the tasks that follow.
    """
    stage = "unpickling the task"
    try:
        fn, args, kwargs, settings = load(frames)
        stage = "running"
        call = partial(_call, fn, args, kwargs)
        result = run_in_surroundings(settings, call, at_home=False, lasts=lasts)
        stage = "pickling the result"
        return [RESULT, *dump(result)]
    except BaseException as error:  # SystemExit, too, must not end the worker
        return [FAILURE, pickle.dumps(Failure.of(error, stage))]


def _call(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    note_loaded()
    return fn(*args, **kwargs)


def take_outcome(frames: Sequence[Any]) -> tuple[Any, BaseException | None]:
    """Return what a call has returned, or what it has raised."""
    if bytes(frames[0]) == RESULT:
        try:
            return load(frames[1:]), None
        except (Exception, SystemExit) as error:
            lost = replace(Failure.of(error, "unpickling the result"), host=None, pid=None)
            return None, lost.as_error()
    failure: Failure = pickle.loads(frames[1])
    raised = failure.as_error().as_raised()
    if isinstance(raised, (FileNotFoundError, ModuleNotFoundError)):
        raised.add_note(
            f"--stage copies the script's folder to {failure.host}, and --data copies other files"
        )
    return None, raised
