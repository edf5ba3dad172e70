"""The pickler of calls and results: cloudpickle's, extended to ufuncs and exceptions."""

from __future__ import annotations

import copyreg
import io
import sys
from collections import ChainMap
from functools import cache
from typing import Any, ClassVar

import cloudpickle
import numpy as np

__all__ = ["Pickler", "pickle_exception"]

#: Flag of types that are created by Python code, in ``__flags__``.
HEAP_TYPE = 1 << 9

#: The names of the program itself: on workers these modules are another program.
PROGRAM = ("__main__", "__mp_main__")


@cache
def _find_home(ufunc: np.ufunc) -> str | None:
    """Return the module that a ufunc can be imported from."""
    for name, module in list(sys.modules.items()):
        if name not in PROGRAM and getattr(module, "__dict__", {}).get(ufunc.__name__) is ufunc:
            return name
    return None


def _reduce_ufunc(ufunc: np.ufunc) -> Any:
    # A ufunc does not know its module, and pickle takes the first that has it: the program, if
    # that imported the ufunc before SciPy's own module did.
    home = _find_home(ufunc)
    return ufunc.__name__ if home is None else (getattr, (sys.modules[home], ufunc.__name__))


def _find_builtin(kind: type[BaseException]) -> Any:
    """Return the nearest base of an exception's class that is written in C."""
    return next(base for base in kind.__mro__ if not base.__flags__ & HEAP_TYPE)


def _reduces_itself(kind: type[BaseException]) -> bool:
    """Return whether the user has defined how an exception is pickled."""
    builtin = _find_builtin(kind)
    names = ("__reduce__", "__reduce_ex__", "__setstate__")
    return kind in copyreg.dispatch_table or any(
        getattr(kind, name) is not getattr(builtin, name) for name in names
    )


def _rebuild_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """Make an exception without its own ``__init__``, which may require other arguments."""
    builtin = _find_builtin(kind)
    error: BaseException = builtin.__new__(kind, *args)
    builtin.__init__(error, *args)
    return error


def _set_state(error: BaseException, state: tuple[Any, ...]) -> None:
    attributes, error.__cause__, error.__suppress_context__ = state
    for name, value in attributes.items():
        setattr(error, name, value)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles what the program or a notebook defines by value, and ufuncs by their module.

    Exceptions keep their attributes, notes and causes, whatever arguments their class requires.
    """

    dispatch_table: ClassVar[Any] = ChainMap(
        {np.ufunc: _reduce_ufunc}, cloudpickle.Pickler.dispatch_table
    )
    with_cause = True

    def reducer_override(self, obj: Any) -> Any:
        """Return how to pickle an object; see `pickle.Pickler.reducer_override`."""
        if isinstance(obj, BaseException) and not _reduces_itself(type(obj)):
            return self._reduce_exception(obj)
        return super().reducer_override(obj)

    def _reduce_exception(self, error: BaseException) -> Any:
        reduced: Any = error.__reduce__()
        attributes = dict(reduced[2]) if len(reduced) > 2 else {}
        state: Any = object.__getstate__(error)
        if isinstance(state, tuple):
            attributes |= state[1]  # the slots
        cause = error.__cause__ if self.with_cause else None
        return (
            *(_rebuild_exception, (type(error), reduced[1])),
            *((attributes, cause, error.__suppress_context__), None, None, _set_state),
        )


def pickle_exception(error: BaseException, *, with_cause: bool = True) -> bytes:
    """Pickle an exception.

    Parameters
    ----------
    error : BaseException
        The exception.
    with_cause : bool
        Whether to keep its causes.
    """
    file = io.BytesIO()
    pickler = Pickler(file, protocol=5)
    pickler.with_cause = with_cause
    pickler.dump(error)
    return file.getvalue()
