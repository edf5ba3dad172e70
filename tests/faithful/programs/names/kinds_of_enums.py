"""Enumerations of all kinds: with types mixed in, methods that make members, and aliases.

[b'\\x00', b'\\x01'] P.X PY [80, 1]
True True 6 True True
Creature.SMALL 4 (1, 2) 3 4 x 3
Single.X True True True
"""

import dataclasses
import enum
import functools

from ways import open_way


class Coordinate(bytes, enum.Enum):
    def __new__(cls, value, label):
        member = bytes.__new__(cls, [value])
        member._value_ = 80 - 79 * value
        member.label = label
        return member

    PX = (0, "P.X")
    PY = (1, "P.Y")


class Text(str, enum.Enum):  # noqa: UP042
    A = "a"
    B = "b"


class Word(enum.StrEnum):
    A = enum.auto()


class Right(enum.IntFlag):
    READ = 4
    WRITE = 2
    BOTH = 6

    def look(self):
        return int(self)


@dataclasses.dataclass(frozen=True)
class Mixin:
    size: str
    legs: int = dataclasses.field(repr=False)


class Creature(Mixin, enum.Enum):
    SMALL = "small", 6
    LARGE = "large", 4


class Pair(tuple, enum.Enum):
    FIRST = (1, 2)


class Base(enum.Enum):
    def __init__(self, number):
        self.thrice = number * 3


class Derived(Base):
    A = 1


class Tree(enum.Enum):
    ROOT = 1
    LEAF = 2

    def __init__(self, number):
        self.parent = self if number == 1 else type(self).ROOT
        self.depth = number * 2


class Auto(enum.Enum):
    def _generate_next_value_(name, start, count, last):  # noqa: N805
        return name.lower()

    X = enum.auto()


class Call(enum.Enum):
    LARGER = functools.partial(max, 1)

    def __call__(self, *others):
        return self.value(*others)


class Single(enum.Enum):
    X = 1

    @classmethod
    def _missing_(cls, value):
        return cls.X


class Holder:
    kind = Text.A


def look():
    coordinates = [bytes(each) for each in Coordinate], Coordinate.PX.label, Coordinate(1).name
    is_both = (Right.READ | Right.WRITE) is Right["BOTH"]
    texts = Text.A == "a", Word.A == "a", Right.BOTH.look(), is_both, "A" in Text.__members__
    kinds = Creature.SMALL, Creature.LARGE.legs, tuple(Pair.FIRST), Derived.A.thrice
    more = Tree.LEAF.depth, Auto.X.value, Call.LARGER(3)
    return (
        (*coordinates, [each.value for each in Coordinate]),
        texts,
        (*kinds, *more),
        (Single(9), Holder.kind is Text.A, Tree.LEAF.parent is Tree.ROOT),
    )


if __name__ == "__main__":
    with open_way() as way:
        *rows, last = way.call(look)
        for row in rows:
            print(*row)
        print(*last, way.call(type, Creature.LARGE) is Creature)
