"""Annotations by type parameters of each kind, and classes made from them.

2 (1, {'a': 1}) 3
[(1, 'int'), (2, 'int')]
[True, True, True]
"""

import functools
from collections.abc import Callable
from typing import Generic, NamedTuple, ParamSpec, TypedDict, TypeVar, TypeVarTuple

from ways import open_way

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def wrapped(fn: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(fn)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return fn(*args, **kwargs)

    return wrapper


@wrapped
def grow(x: int) -> int:
    return x + 1


class Box(Generic[T]):
    def __init__(self, value: T):
        self.value = value


class Row(Generic[*Ts]):
    pass


class Options(TypedDict):
    a: int


class Pair(NamedTuple):
    value: int
    kind: str


def unpack(x):
    options: Options = Options(a=1)
    return Box[int](x).value, options


def name(x: T) -> Pair:
    return Pair(x, type(x).__name__)


def compare() -> list[bool]:
    parameters = Box.__parameters__, Row.__parameters__, wrapped.__annotations__["fn"].__args__
    return [parameters[0] == (T,), parameters[1] == (Ts,), parameters[2] == (P, T)]


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(grow, 1), way.call(unpack, 1), way.call(lambda x: wrapped(grow)(x), 2))
        print([tuple(pair) for pair in way.run(name, [1, 2])])
        print(way.call(compare))
