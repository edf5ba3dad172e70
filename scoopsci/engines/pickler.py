"""The pickler of calls and results: cloudpickle's, extended to find ufuncs."""

from __future__ import annotations

import sys
from collections import ChainMap
from functools import cache
from typing import Any, ClassVar

import cloudpickle
import numpy as np

__all__ = ["Pickler"]

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


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles what the program or a notebook defines by value, and ufuncs by their module."""

    dispatch_table: ClassVar[Any] = ChainMap(
        {np.ufunc: _reduce_ufunc}, cloudpickle.Pickler.dispatch_table
    )
