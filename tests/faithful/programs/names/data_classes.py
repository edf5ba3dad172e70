"""Dataclasses of the script: fields, defaults, replace, order, slots and frozen ones.

['x', 'y', 'tags'] MISSING set
Point(x=1.0, y=5.0, tags=['new'])
[True, True, True]
cannot assign to field 'x'
Fixed(name='a', n=2) True
Only(a=1, b=2) 3
"""

import dataclasses
from dataclasses import KW_ONLY, MISSING, InitVar, dataclass, field

from ways import open_way


@dataclass(order=True)
class Point:
    x: float
    y: float = 0.0
    tags: list = field(default_factory=list, compare=False)


@dataclass(frozen=True, slots=True)
class Fixed:
    name: str
    n: int = 1


@dataclass
class Only:
    a: int
    _: KW_ONLY
    b: int = 2
    extra: InitVar[int] = 0

    def __post_init__(self, extra):
        self.sum = self.a + self.b + extra


def names(point):
    found = dataclasses.fields(point)
    default = "MISSING" if found[0].default is MISSING else "set"
    return [one.name for one in found], default, "set" if found[1].default == 0 else "unset"


def move(point):
    return dataclasses.replace(point, y=point.y + 5, tags=[*point.tags, "new"])


def compare(left, right):
    return [left < right, left == Point(1.0), isinstance(left, Point)]


def change(point):
    try:
        point.x = 1
    except dataclasses.FrozenInstanceError as error:
        return str(error)


@dataclass(frozen=True)
class Frozen:
    x: int


def grow(fixed):
    return dataclasses.replace(fixed, n=fixed.n + 1)


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(names, Point(1.0)))
        print(way.call(move, Point(1.0)))
        print(way.call(compare, Point(1.0), Point(2.0)))
        print(way.call(change, Frozen(1)))
        fixed = way.call(grow, Fixed("a"))
        print(fixed, fixed == Fixed("a", 2))
        only = way.call(Only, 1)
        print(only, only.sum)
