"""Opening an engine: by name, or around an executor of another library.

An engine is a factory, found by entry point: a context manager that yields a
`concurrent.futures.Executor` and the number of its workers.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from importlib.metadata import EntryPoints, entry_points, metadata
from typing import Any, TypeAlias

from scoopsci.basics.arguments import check_count
from scoopsci.basics.processors import count_processors
from scoopsci.engines.base import Engine
from scoopsci.engines.payload import in_task
from scoopsci.errors import EngineUnavailableError
from scoopsci.pickling.resources import RESOURCES

__all__ = [
    "ENTRY_POINTS",
    "EngineFactory",
    "borrow_engine",
    "inside_plain_scoop",
    "inside_scoop",
    "open_engine",
    "reduce_engine",
]

#: ``factory(n_workers=..., hostfile=..., **options)``, found by entry point.
EngineFactory: TypeAlias = Callable[..., AbstractContextManager[tuple[Executor, int]]]

ENTRY_POINTS = "scoopsci.engines"


def open_engine(
    engine: str | Executor = "auto",
    *,
    n_workers: int | None = None,
    hostfile: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Engine:
    """Open an engine.

    Parameters
    ----------
    engine : str or concurrent.futures.Executor
        Name of an engine, or an executor of another library, which the caller shuts down; if its
        tasks run in this process, it can declare so by an attribute ``in_process``.
        "auto" is "scoop" inside ``python -m scoop``, "pool" with a hostfile, "processes" for more
        than one worker, else "serial". Inside a task every engine is "serial", with the same bits.
    n_workers : int, optional
        Number of workers, where the engine has a choice.
    hostfile : path-like, optional
        The hosts, for engines that start workers on them.
    **options
        Further options of the engine.

    Returns
    -------
    Engine
        A context manager, and a `concurrent.futures.Executor`.

    Raises
    ------
    EngineUnavailableError
        If there is no engine of that name, or its package is missing.
    EngineNotStartedError
        If the engine must be started by a command first.
    ValueError, TypeError
        If an argument is out of range.

    Examples
    --------
    >>> with open_engine("serial") as engine:
    ...     engine.submit(pow, 2, 10).result()
    1024
    """
    if n_workers is not None:
        check_count("n_workers", n_workers)
    if _nested():
        return Engine("serial", _find_factory("serial")(), in_process=True)
    if isinstance(engine, Executor):
        n_known = n_workers or getattr(engine, "_max_workers", None) or os.cpu_count() or 1
        foreign = contextlib.nullcontext((engine, n_known))
        in_process = getattr(engine, "in_process", isinstance(engine, ThreadPoolExecutor))
        return Engine(type(engine).__name__, foreign, plain=True, in_process=in_process)
    if not isinstance(engine, str):
        raise TypeError(f"engine must be a name or a concurrent.futures.Executor, got {engine!r}")
    if engine == "auto":
        engine = _choose(n_workers, hostfile)
    factory = _find_factory(engine)
    carrier = factory(n_workers=n_workers, hostfile=hostfile, **options)
    return Engine(engine, carrier, in_process=engine == "serial")


def reduce_engine(engine: Engine) -> Any:
    """Return how a global that holds an engine is sent: the engine of a task is serial."""
    return open_engine, ("serial",)


RESOURCES[Engine] = reduce_engine


@contextlib.contextmanager
def borrow_engine(engine: str | Executor, **options: Any) -> Iterator[Engine]:
    """Yield an engine that is open already, or open one for the block.

    Parameters
    ----------
    engine : str, Executor or Engine
        An open `Engine` stays open; anything else is passed to `open_engine`.
    **options
        For `open_engine`; for an open engine, any that is not None raises a ValueError.
    """
    if isinstance(engine, Engine) and not _nested():
        if given := [name for name, value in options.items() if value is not None]:
            raise ValueError(f"an open engine has its workers already, got {', '.join(given)}")
        yield engine.for_runs()
        return
    with open_engine(engine, **options) as opened:
        yield opened


def inside_scoop() -> bool:
    """Return whether ``python -m scoop`` or ``scoopsci run`` started this process."""
    scoop = sys.modules.get("scoop")
    return scoop is not None and bool(getattr(scoop, "IS_RUNNING", False))


def inside_plain_scoop() -> bool:
    """Return whether SCOOP itself, and not ``scoopsci run``, started this process."""
    return inside_scoop() and hasattr(sys.modules["scoop"], "BROKER")


def _nested() -> bool:
    # A SCOOP worker may also run a future submitted by the user: that is a task, too.
    return in_task() or (inside_scoop() and not sys.modules["scoop"].IS_ORIGIN)


def _choose(n_workers: int | None, hostfile: str | os.PathLike[str] | None) -> str:
    if inside_scoop():
        return "scoop"
    if hostfile is not None:
        return "pool"
    if n_workers is None:
        n_workers = count_processors()
    return "processes" if n_workers > 1 else "serial"


@cache
def _installed_engines() -> EntryPoints:
    return entry_points(group=ENTRY_POINTS)


def _find_factory(name: str) -> EngineFactory:
    found = _installed_engines()
    for entry in found.select(name=name):
        try:
            factory: EngineFactory = entry.load()
        except ImportError as error:
            has_extra = name in metadata("scoopsci").get_all("Provides-Extra", [])
            remedy = f"pip install 'scoopsci[{name}]'" if has_extra else "see its documentation"
            raise EngineUnavailableError(
                f"engine {name!r} needs a package that is missing ({error}); {remedy}"
            ) from error
        return factory
    known = ", ".join(["auto", *sorted({entry.name for entry in found})])
    raise EngineUnavailableError(f"engine must be one of {known}; got {name!r}")
