"""Members of the script's enums are the same objects in tasks, and come back as themselves.

[True, True, False] Kind.B
[<Kind.A: 1>, <Kind.B: 2>] True True
Rights.READ|WRITE True
Level.HIGH True
"""

import enum

from ways import open_way


class Kind(enum.Enum):
    A = 1
    B = 2

    @property
    def other(self):
        return Kind.B if self is Kind.A else Kind.A


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


NAMES = {Kind.A: "first"}


def look(kind):
    return [kind is Kind.A, kind in NAMES, kind is Kind.A.other]


def turn(kind):
    return kind.other


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(look, Kind.A), way.call(turn, Kind.A))
        there = way.map(turn, Kind)
        back = way.run(turn, there)
        print(back, there[0] is Kind.B, back[0] is Kind.A)
        both = way.call(lambda right: right | Rights.READ, Rights.WRITE)
        print(both, both is Rights.READ | Rights.WRITE)
        level = way.call(lambda low: Level(low + 1), Level.LOW)
        print(repr(level).partition(":")[0].strip("<"), level is Level.HIGH)
