"""Classes that numba compiles, in the script and in a module.

3 6.0 True 5 4
3 6 True True
[(4, 8.0, True, 5, 4), (5, 10.0, True, 5, 4)]
"""

import numpy as np
from helper import Count
from numba import float64, njit
from numba.experimental import jitclass
from ways import open_way

STEP = 5


@jitclass([("array", float64[:])])
class Bag:
    def __init__(self, size):
        self.array = np.zeros(size)

    @property
    def size(self):
        return self.array.size

    def increase(self, by):
        for i in range(self.size):
            self.array[i] += by

    @staticmethod
    def next_after(n):
        return n + STEP


@njit
def total(bag):
    return bag.array.sum()


def use(size):
    bag = Bag(size)
    bag.increase(2)
    kind = isinstance(bag, Bag)
    return bag.size, float(total(bag)), kind, Bag.next_after(0), Count(2).double()


def make(kind, number):
    made = kind(number)
    return made.size if kind is Bag else made.double()


def both():
    return Bag, Count


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(use, 3))
        there = way.call(both)
        print(way.call(make, Bag, 3), way.call(make, Count, 3), there[0] is Bag, there[1] is Count)
        print(way.run(use, [4, 5]))
