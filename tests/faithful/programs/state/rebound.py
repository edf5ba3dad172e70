"""Globals that the program rebinds or changes in place are seen by the next call.

1 ['a'] {'k': 1} first
2 ['a', 'b'] {'k': 2} second
3 ['c'] {'k': 2} second
[3, 3, 3]
True
"""

import numpy as np
from ways import open_way

N = 1
WORDS = ["a"]
OPTIONS = {"k": 1}
TABLE = np.zeros(300_000)


class Settings:
    name = "first"


def look():
    return N, WORDS, OPTIONS, Settings.name


def number(_):
    return N


def first(_):
    return float(TABLE[0])


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(look))
        N = 2
        WORDS.append("b")
        OPTIONS["k"] = 2
        Settings.name = "second"
        print(*way.call(look))
        N, WORDS = 3, ["c"]
        print(*way.call(look))
        print(way.run(number, range(3)))
        before = way.run(first, range(3))
        TABLE[0] = 5.0  # of 2.4 MB: a change in place is seen at the start of a run
        print((before, way.run(first, range(3))) == ([0.0] * 3, [5.0] * 3))
