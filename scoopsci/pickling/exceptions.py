"""Exceptions keep their attributes, notes and causes, whatever arguments their class requires."""

from __future__ import annotations

import copyreg
from typing import Any

__all__ = ["find_builtin", "reduce_exception"]

#: Flag of types that are created by Python code, in ``__flags__``.
HEAP_TYPE = 1 << 9


def reduce_exception(error: BaseException, *, with_cause: bool) -> Any:
    """Return how to pickle an exception; NotImplemented if its class defines that itself.

    Parameters
    ----------
    error : BaseException
        The exception.
    with_cause : bool
        Whether to keep its causes.
    """
    if _reduces_itself(type(error)):
        return NotImplemented
    reduced: Any = error.__reduce__()
    attributes = dict(reduced[2]) if len(reduced) > 2 else {}
    state: Any = object.__getstate__(error)
    if isinstance(state, tuple):
        attributes |= state[1]  # the slots
    cause = error.__cause__ if with_cause else None
    return (
        *(_rebuild_exception, (type(error), reduced[1])),
        *((attributes, cause, error.__suppress_context__), None, None, _set_state),
    )


def find_builtin(kind: type) -> Any:
    """Return the nearest base of a class that is written in C."""
    return next(base for base in kind.__mro__ if not base.__flags__ & HEAP_TYPE)


def _reduces_itself(kind: type[BaseException]) -> bool:
    """Return whether the user has defined how an exception is pickled."""
    builtin = find_builtin(kind)
    names = ("__reduce__", "__reduce_ex__", "__setstate__")
    return kind in copyreg.dispatch_table or any(
        getattr(kind, name) is not getattr(builtin, name) for name in names
    )


def _rebuild_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Make an exception without its own ``__init__``, which may require other arguments."""
    builtin = find_builtin(kind)
    error: BaseException = builtin.__new__(kind, *args)
    builtin.__init__(error, *args)
    return error


def _set_state(error: BaseException, state: tuple[Any, ...]) -> None:
    attributes, error.__cause__, error.__suppress_context__ = state
    for name, value in attributes.items():
        setattr(error, name, value)
