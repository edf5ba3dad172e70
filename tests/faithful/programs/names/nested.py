"""A task that calls the library runs that call itself, with the same results.

[[0, 1, 4], [0, 2, 8], [0, 3, 12]] 55
serial [True, True]
"""

import operator

from ways import open_way

import scoopsci


class Factor:
    def __init__(self, value):
        self.value = value


def scale(factor, x):
    return factor.value * x**2


def inner(n):
    factor = Factor(n)
    return list(scoopsci.map(lambda x: scale(factor, x), range(3)))


def total(n):
    return scoopsci.map_reduce(abs, operator.add, range(n), engine="processes", n_workers=2)


def engine():
    with scoopsci.open_engine("pool") as engine:
        made = list(engine.map(Factor, [1, 2]))
        return engine.name, [isinstance(factor, Factor) for factor in made]


if __name__ == "__main__":
    with open_way() as way:
        print(way.map(inner, [1, 2, 3]), way.call(total, 11))
        print(*way.call(engine))
