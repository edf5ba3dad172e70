"""A function or value of a module that the program has replaced is replaced in tasks, too.

[1, 4] metre
[1, 8] inch
[2, 4] foot
"""

import sizes
from ways import open_way


def measure(x):
    return sizes.area(x)


def unit():
    import sizes as again

    return again.describe()


def cube(x):
    return x**3


if __name__ == "__main__":
    with open_way() as way:
        print(way.map(measure, [1, 2]), way.call(unit))
        sizes.area = cube
        sizes.UNIT = "inch"
        print(way.map(measure, [1, 2]), way.call(unit))
        sizes.area = lambda x: 2 * x
        sizes.UNIT = "foot"
        print(way.run(measure, [1, 2]), way.call(unit))
