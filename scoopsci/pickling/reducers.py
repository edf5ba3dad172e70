"""How objects are pickled that pickle and cloudpickle refuse, or know by name only."""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from scoopsci.pickling.names import MAIN, true_name

__all__ = ["PARAMETERS", "REDUCERS", "reduce_compiled_class"]


def _reduce_type_variable(kind: typing.TypeVar) -> Any:
    """Return what makes a type variable, without the number by which cloudpickle tracks it."""
    given = {name: getattr(kind, f"__{name}__", None) for name in OPTIONS}
    options = {name: value for name, value in given.items() if value}
    return functools.partial(typing.TypeVar, **options), (kind.__name__, *kind.__constraints__)


#: Those of type variables.
OPTIONS = ("bound", "covariant", "contravariant", "infer_variance")

#: What annotations are made from, and how to make it anew.
PARAMETERS: dict[type, Callable[[Any], Any]] = {
    typing.TypeVar: _reduce_type_variable,
    typing.ParamSpec: lambda kind: (typing.ParamSpec, (kind.__name__,)),
    typing.TypeVarTuple: lambda kind: (typing.TypeVarTuple, (kind.__name__,)),
    typing.NewType: lambda kind: (
        *(typing.NewType, (kind.__name__, kind.__supertype__)),
        {"__module__": kind.__module__},
    ),
}


@cache
def _find_home(ufunc: np.ufunc) -> str | None:
    """Return the module that a ufunc can be imported from."""
    for name, module in list(sys.modules.items()):
        is_program = true_name(name) == MAIN
        if not is_program and getattr(module, "__dict__", {}).get(ufunc.__name__) is ufunc:
            return name
    return None


def _reduce_ufunc(ufunc: np.ufunc) -> Any:
    # A ufunc does not know its module, and pickle takes the first that has it: the program, if
    # that imported the ufunc before SciPy's own module did.
    home = _find_home(ufunc)
    return ufunc.__name__ if home is None else (getattr, (sys.modules[home], ufunc.__name__))


def _reduce_cache(wrapper: Any) -> Any:
    parameters = wrapper.cache_parameters()
    return _make_cache, (wrapper.__wrapped__, parameters), vars(wrapper)


def _make_cache(fn: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(fn)


def reduce_compiled_class(cls: Any) -> Any:
    """Return how to pickle a class that numba compiles."""
    return _compile_class, (cls.__bases__[0], dict(cls.class_type.struct))


def _compile_class(cls: type, fields: dict[str, Any]) -> Any:
    from numba.experimental import jitclass  # type: ignore[attr-defined]

    return jitclass(fields)(cls)


def _reduce_cached_property(value: functools.cached_property[Any]) -> Any:
    state = {name: part for name, part in vars(value).items() if name != "lock"}
    return functools.cached_property, (value.func,), state


#: By their types.
REDUCERS: dict[type, Callable[[Any], Any]] = {
    np.ufunc: _reduce_ufunc,
    functools._lru_cache_wrapper: _reduce_cache,
    functools.cached_property: _reduce_cached_property,
}
