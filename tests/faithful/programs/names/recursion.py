"""Recursive functions, also of each other, and names that hide built-in ones.

[1, 1, 2, 6, 24]
[True, False, True]
[13, 'own sum', [3, 2, 1]]
"""

from ways import open_way


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def is_even(n):
    return n == 0 or is_odd(n - 1)


def is_odd(n):
    return n != 0 and is_even(n - 1)


def max(*_):
    return 13


sum = "own sum"


def sorted(items, key=None):
    return list(items)[::-1]


def look():
    return [max(1, 2), sum, sorted([1, 2, 3])]


if __name__ == "__main__":
    with open_way() as way:
        print(way.run(factorial, range(5)))
        print(way.map(is_even, [10, 7, 0]))
        print(way.call(look))
