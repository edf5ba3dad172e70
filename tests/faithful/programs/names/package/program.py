"""A package with relative imports: its modules are the worker's own, under their names.

['parrot of zoo.birds.parrots', 'parrot of zoo.birds.parrots']
[True, True, True]
zoo.birds.parrots zoo.birds.parrots zoo.birds
no cage for 'tiger'
"""

import sys

import zoo
from ways import open_way
from zoo.birds import Parrot
from zoo.errors import CageError


def describe(parrot):
    return parrot.describe()


def look(parrot):
    from zoo.birds.parrots import Parrot as Again

    return [
        type(parrot) is Again,
        zoo.birds.Parrot is Parrot,
        sys.modules["zoo"].birds is sys.modules["zoo.birds"],
    ]


def name(parrot):
    kind = type(parrot)
    module = sys.modules[kind.__module__]
    return kind.__module__, module.__name__, module.__package__


def cage(word):
    try:
        return zoo.find_cage(word)
    except CageError as error:
        return str(error)


if __name__ == "__main__":
    with open_way() as way:
        print(way.map(describe, [Parrot(), Parrot()]))
        print(way.call(look, Parrot()))
        print(*way.call(name, Parrot()))
        print(way.call(cage, "tiger"))
