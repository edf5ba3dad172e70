"""Closures, lambdas, partial functions, defaults and methods travel with what they hold.

[1, 3, 6] [11, 12]
[[0], [0, 1], [0, 1, 2]]
[8, 9] [5, 7] [6, 7]
[0, 1, 4] [1, 2]
"""

from functools import partial, partialmethod

from ways import open_way


def make_sums(numbers):
    total = 0

    def add(x):
        nonlocal total
        total += x
        return total

    return lambda: [add(number) for number in numbers]


def make_adder(n):
    return lambda x: x + n


def up_to(n):
    i = 0
    while i <= n:
        yield i
        i += 1


def gather(n):
    return list(up_to(n))


def power(x, base=2):
    return x**base


class Adder:
    def __init__(self, n):
        self.n = n

    def add(self, x):
        return self.n + x

    add_two = partialmethod(add, 2)

    @classmethod
    def of(cls, n):
        return cls(n).add(1)

    @staticmethod
    def twice(x):
        return 2 * x

    def __call__(self, x):
        return self.n + x


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(make_sums([1, 2, 3])), way.map(make_adder(10), [1, 2]))
        print(way.run(gather, range(3)))
        adder = Adder(5)
        print(
            way.map(adder.add, [3, 4]),
            [way.call(Adder.of, 4), way.call(adder.add_two)],
            way.run(Adder(4), [2, 3]),
        )
        print(way.run(power, range(3)), way.map(partial(power, base=1), [1, 2]))
