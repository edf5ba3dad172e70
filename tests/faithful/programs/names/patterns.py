"""Matching by class, annotations that name later classes, and typing's own kinds.

['point 1 2', 'word a', 'other']
{'later': 'Later', 'return': 'int'} True
{'x': 1}
"""

from __future__ import annotations

import typing
from typing import NewType, TypedDict

from ways import open_way


class Point:
    __match_args__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


class Word(str):
    __slots__ = ()


class Options(TypedDict, total=False):
    x: int


UserId = NewType("UserId", int)


def match(thing):
    match thing:
        case Point(x, y):
            return f"point {x} {y}"
        case Word():
            return f"word {thing}"
        case _:
            return "other"


def take(later: Later) -> int:
    return UserId(3)


def hints():
    found = typing.get_type_hints(take)
    return {name: kind.__name__ for name, kind in found.items()}, found["later"] is Later


class Later:
    pass


def options():
    return Options(x=1)


if __name__ == "__main__":
    with open_way() as way:
        print(way.run(match, [Point(1, 2), Word("a"), "a"]))
        print(*way.call(hints))
        print(way.call(options))
