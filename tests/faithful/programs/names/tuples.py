"""Named tuples of both kinds keep their class, fields and methods.

Pair(left=1, right=2) True 3
Old(a=5, b=1) True ('a', 'b')
[Pair(left=2, right=1), Pair(left=4, right=3)] [True, True]
"""

from collections import namedtuple
from typing import NamedTuple

from ways import open_way


class Pair(NamedTuple):
    left: int
    right: int = 2

    def total(self):
        return self.left + self.right


Old = namedtuple("Old", "a b", defaults=[1])


def turn(pair):
    assert type(pair) is Pair
    left, right = pair
    return Pair(right, left)


if __name__ == "__main__":
    with open_way() as way:
        pair = way.call(Pair, 1)
        print(pair, isinstance(pair, Pair), way.call(Pair.total, pair))
        old = way.call(lambda old: old._replace(a=5), Old(2))
        print(old, type(old) is Old, old._fields)
        pairs = way.run(turn, [Pair(1, 2), Pair(3, 4)])
        print(pairs, [type(pair) is Pair for pair in pairs])
