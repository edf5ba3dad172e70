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
from scoopsci.engines.settings import take_settings
from scoopsci.engines.surroundings import note_loaded, run_in_surroundings
from scoopsci.pickling.frames import dump_by, load
from scoopsci.pickling.names import MAIN, Key, hooks
from scoopsci.pickling.pickler import Pickler
from scoopsci.pickling.program import Program
from scoopsci.pickling.whole import dump_whole, load_whole

__all__ = [
    "dump",
    "find_line",
    "make_task",
    "pack",
    "run_task",
    "share_names",
    "take_outcome",
    "unpack",
]

RESULT, FAILURE = b"R", b"F"

#: Names defined in the workers' script and, for functions, the lines where they begin.
_shared: dict[str, int | None] = {}


def share_names(lines: Mapping[str, int | None]) -> None:
    """Record what the workers' script defines: names, and where functions begin."""
    _shared.update(lines)


def find_line(value: object) -> int | None:
    """Return the line where a function begins; a function redefined later has another."""
    return value.__code__.co_firstlineno if type(value) is FunctionType else None


class _Pickler(Pickler):
    def is_known(self, key: Key) -> bool:
        return _is_loaded(key) if hooks.has_defined is None else super().is_known(key)


def _is_loaded(key: Key) -> bool:
    """Tell whether workers have a name: of the script as they have loaded it, or of a module."""
    module_name, path = key
    name = path.partition(".")[0]
    if module_name != MAIN or not name:
        return True
    return name in _shared and _shared[name] == find_line(vars(sys.modules[MAIN]).get(name))


#: What the script defines in the origin only, say below: if __name__ == "__main__".
_program = Program(is_known=_is_loaded)


def dump(value: object) -> list[Any]:
    """Pickle a value for other processes that have loaded the script."""
    return dump_by(_Pickler, value)


def make_task(fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    """Return the frames of a call; see `pack`."""
    return pack((fn, args, kwargs, take_settings()))


def pack(value: object) -> list[Any]:
    """Return the frames of a value, with what workers need for it.

    Raises
    ------
    TaskError
        If it cannot be pickled.
    """
    try:
        return [*dump_whole(value, _Pickler, _program)]
    except (Exception, SystemExit) as error:
        raise not_pickled(error) from error


def unpack(frames: Sequence[Any]) -> Any:
    """Return the value from the frames of `pack`."""
    return load_whole(frames, _program)


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
        fn, args, kwargs, settings = unpack(frames)
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
