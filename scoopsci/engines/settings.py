"""Settings of the driver that change what a task computes or shows; they travel with the task.

Only what differs from the interpreter's defaults is sent, so that an initializer can set the rest.
"""

from __future__ import annotations

import decimal
import logging
import re
import sys
import warnings
from collections.abc import Callable, Container, Mapping
from contextvars import Context, ContextVar, copy_context
from functools import cache
from operator import attrgetter
from typing import Any

import numpy as np

__all__ = [
    "Keeper",
    "describe_arithmetic",
    "enter_settings",
    "follow_driver",
    "leave_driver",
    "read_arithmetic",
    "take_settings",
]

#: Those of a thread, or of the ContextVars of what runs.
LOCAL = ("decimal", "errors", "printing")

DEFAULT_RECURSION = 1000

#: The arithmetic of an interpreter that has just started.
DEFAULT_DECIMAL = decimal.Context(
    prec=28, rounding=decimal.ROUND_HALF_EVEN, Emin=-999999, Emax=999999, capitals=1, clamp=0,
    flags=[], traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)  # fmt: skip

#: What else a context consists of, beside its traps.
FIELDS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
_read_fields = attrgetter(*FIELDS)

#: The filters with which Python starts, as `_describe_filter` does it; NumPy and SciPy add theirs.
DEFAULT_FILTERS = (
    ("default", None, "builtins:DeprecationWarning", "__main__", 0),
    *(
        ("ignore", None, f"builtins:{name}", None, 0)
        for name in (
            "DeprecationWarning",
            "PendingDeprecationWarning",
            "ImportWarning",
            "ResourceWarning",
        )
    ),
)

LIBRARIES = ("numpy.", "scipy.")


def _print_options() -> dict[str, Any]:
    options: dict[str, Any] = dict(np.get_printoptions())
    for name in ("formatter", "override_repr"):  # functions
        options.pop(name, None)
    return options


def _error_modes() -> dict[str, Any]:
    return dict(np.geterr())


#: NumPy's settings: how to read them, and their defaults.
NUMPYS: dict[str, tuple[Callable[[], dict[str, Any]], dict[str, Any]]] = {
    "errors": (
        _error_modes, {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    ),
    "printing": (
        _print_options,
        {
            "edgeitems": 3, "threshold": 1000, "floatmode": "maxprec", "precision": 8,
            "suppress": False, "linewidth": 75, "nanstr": "nan", "infstr": "inf", "sign": "-",
            "legacy": False,
        },
    ),
}  # fmt: skip

SOME_CHANGE: dict[str, tuple[Callable[..., object], dict[str, Any]]] = {
    "errors": (np.seterr, {"all": "raise"}),
    "printing": (np.set_printoptions, {"precision": 1}),
}


def take_settings() -> dict[str, Any]:
    """Return the settings of this thread and process that differ from the defaults.

    Returns
    -------
    dict
        ``decimal``, a context; ``errors`` and ``printing``, NumPy's; ``filters``, those of
        warnings; ``recursion``, the limit; ``levels``, those of loggers by name, except the root's.
    """
    found = _take_local()
    if filters := _describe_filters():
        found["filters"] = filters
    if (limit := sys.getrecursionlimit()) != DEFAULT_RECURSION:
        found["recursion"] = limit
    if levels := _take_levels():
        found["levels"] = levels
    return found


def _take_local() -> dict[str, Any]:
    """Return those of the thread, or of the ContextVars of the running code."""
    found: dict[str, Any] = {}
    if not _is_default(context := decimal.getcontext()):
        found["decimal"] = context.copy()
        found["decimal"].clear_flags()
    for name, (take, default) in NUMPYS.items():
        variable = _variable_of(name)
        if (variable is None or variable.get(None) is not None) and (here := take()) != default:
            found[name] = here
    return found


def _is_default(context: decimal.Context) -> bool:
    fields = _read_fields(context)
    return fields == _read_fields(DEFAULT_DECIMAL) and context.traps == DEFAULT_DECIMAL.traps


@cache
def _variable_of(name: str) -> ContextVar[Any] | None:
    """Return the variable of a NumPy's setting, which is much faster to read than the setting.

    NumPy does not name it, and has had it since 2.0 for errors, and 2.2 for printing.
    """
    change, arguments = SOME_CHANGE[name]
    before = NUMPYS[name][0]()
    context = Context()
    context.run(change, **arguments)
    variable = next(iter(context), None)
    if variable is None:
        change(**before)
    return variable


def describe_arithmetic() -> dict[str, Any]:
    """Return the part of a run's identity that gives the decimal context, unless it is Python's."""
    context = decimal.getcontext()
    if _is_default(context):
        return {}
    traps = sorted(signal.__name__ for signal, is_set in context.traps.items() if is_set)
    fields = dict(zip(FIELDS, _read_fields(context), strict=True))
    return {"decimal": {**fields, "traps": traps}}


def read_arithmetic(identity: Mapping[str, Any]) -> decimal.Context:
    """Return the decimal context of a run.

    Parameters
    ----------
    identity : mapping
        Of the run.

    Raises
    ------
    ValueError, TypeError
        If it gives none that is possible.
    """
    if "decimal" not in identity:
        return DEFAULT_DECIMAL.copy()
    given = dict(identity["decimal"])
    names = given.pop("traps", [])
    traps = [signal for signal in DEFAULT_DECIMAL.traps if signal.__name__ in names]
    return decimal.Context(**given, traps=traps, flags=[])


def _describe(context: decimal.Context) -> str:
    plain = context.copy()
    plain.clear_flags()  # of what was computed so far
    return repr(plain)


def _take_levels() -> dict[str, int]:
    loggers = logging.root.manager.loggerDict
    return {
        name: level
        for name, logger in list(loggers.items())
        if (level := getattr(logger, "level", 0))  # what only has children has no level
    }


_seen: tuple[list[Any], tuple[Any, ...]] = ([], ())


def _describe_filters() -> tuple[Any, ...]:
    """Return the filters of warnings as plain values, or nothing if they are the defaults."""
    global _seen
    if _seen[0] != warnings.filters:
        described = tuple(map(_describe_filter, warnings.filters))
        are_defaults = all(each in DEFAULT_FILTERS or _is_of_libraries(each) for each in described)
        _seen = list(warnings.filters), () if are_defaults else described
    return _seen[1]


def _describe_filter(entry: Any) -> tuple[Any, ...]:
    action, message, category, module, line = entry
    kind = f"{category.__module__}:{category.__qualname__}"
    return action, _as_plain(message), kind, _as_plain(module), line


def _as_plain(pattern: Any) -> Any:
    is_plain = pattern is None or isinstance(pattern, str)
    return pattern if is_plain else (pattern.pattern, pattern.flags)


def _is_of_libraries(described: tuple[Any, ...]) -> bool:
    """Return whether NumPy or SciPy has added a filter, as in every worker."""
    message, kind = described[1:3]
    words = message[0] if isinstance(message, tuple) else message or ""
    return kind.startswith(LIBRARIES) or words.startswith("numpy.")


class _Process:
    """The settings of a worker's process: the driver's where it has set them, else its own."""

    def __init__(self) -> None:
        self._own: dict[str, Any] = {}
        self._levels: dict[str, int] = {}
        self._filters: tuple[Any, ...] = ()
        self._is_complete = True

    def follow(self, settings: dict[str, Any]) -> None:
        """Set what the driver has set, and set back what it has no longer."""
        limit = settings.get("recursion") or self._own.get("recursion")
        if limit is not None and limit != sys.getrecursionlimit():
            self._own.setdefault("recursion", sys.getrecursionlimit())
            sys.setrecursionlimit(limit)
        self._follow_levels(settings.get("levels", {}))
        self._follow_filters(settings.get("filters", ()))

    def leave(self) -> None:
        """Set back filters that raise: the worker's own code runs until the next task.

        Others stay, as changing them would show again what is shown once.
        """
        if any(action == "error" for action, *_ in self._filters):
            self._follow_filters(())

    def _follow_levels(self, levels: dict[str, int]) -> None:
        if levels == self._levels:
            return
        for name in {*levels, *self._levels}:
            logger = logging.getLogger(name)
            own = self._own.setdefault(f"level of {name}", logger.level)
            logger.setLevel(levels.get(name, own))
        self._levels = levels

    def _follow_filters(self, filters: tuple[Any, ...]) -> None:
        if filters == self._filters and self._is_complete:
            return
        own = self._own.setdefault("filters", list(warnings.filters))
        found = list(map(_find_filter, filters)) if filters else own
        self._is_complete = None not in found
        warnings.resetwarnings()
        # Python's own list: a filter is an entry of it.
        warnings.filters.extend(entry for entry in found if entry is not None)  # type: ignore[attr-defined]
        self._filters = filters


def _find_filter(described: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return a filter, or None if its category is of a module that is not imported here yet."""
    action, message, kind, module, line = described
    home, name = kind.split(":")
    found: Any = sys.modules.get(home)
    for part in name.split("."):
        found = getattr(found, part, None)
    return None if found is None else (action, _compile(message), found, _compile(module), line)


def _compile(plain: Any) -> Any:
    return re.compile(*plain) if isinstance(plain, tuple) else plain


_process = _Process()
follow_driver, leave_driver = _process.follow, _process.leave


def enter_settings(settings: dict[str, Any], *, at_home: bool) -> Context | None:
    """Return a context with the thread's share of the driver's settings.

    Parameters
    ----------
    settings : dict
        From `take_settings`.
    at_home : bool
        Whether this is the driver's own process.

    Returns
    -------
    Context or None
        What a task sets in it does not reach the next one. None where the caller's context will do:
        in the driver's process, a thread that has these settings already.
    """
    local = {name: settings[name] for name in LOCAL if name in settings}
    if at_home and (not local or repr(local) == repr(_take_local())):
        return None
    context = copy_context()
    context.run(_set_local, local)
    return context


def _set_local(local: dict[str, Any]) -> None:
    # A copy: the caller has the same object, which is changed in place.
    decimal.setcontext((local.get("decimal") or decimal.getcontext()).copy())
    for name, (change, _) in SOME_CHANGE.items():
        if name in local:
            change(**local[name])


class Keeper:
    """Keeps ContextVars that are set in the context of a task, where that is not the task's doing.

    Parameters
    ----------
    context : Context
        From `enter_settings`, before anything runs in it.
    settings : dict
        From `take_settings`.
    """

    def __init__(self, context: Context, settings: dict[str, Any]) -> None:
        self._context, self._before = context, dict(context.items())
        self._settings = settings
        self._imported: list[tuple[ContextVar[Any], Any]] = []

    def _list_changes(self) -> list[tuple[ContextVar[Any], Any]]:
        items = self._context.items()
        return [(name, value) for name, value in items if self._before.get(name) is not value]

    def note_imports(self, ours: Container[ContextVar[Any]]) -> None:
        """Note what modules have set that were imported up to now.

        Parameters
        ----------
        ours : container of ContextVar
            Others than theirs.
        """
        self._imported = [item for item in self._list_changes() if item[0] not in ours]

    def keep_imports(self) -> None:
        """Set in the caller's context what has been noted, apart from settings of the driver."""
        theirs = {_variable_of(name) for name in NUMPYS}
        for variable, value in self._imported:
            if variable not in theirs and not isinstance(value, decimal.Context):
                variable.set(value)

    def keep_all(self) -> None:
        """Set in the caller's context what has changed in the other one: by an initializer."""
        for variable, value in self._list_changes():
            variable.set(value)
        given = self._settings.get("decimal") or decimal.getcontext()
        arithmetic = self._context.run(decimal.getcontext)  # changed in place
        if _describe(arithmetic) != _describe(given):
            decimal.setcontext(arithmetic)
