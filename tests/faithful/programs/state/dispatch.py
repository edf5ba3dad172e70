"""singledispatch of the script, with types of the script, also those registered later.

['number', 'own', 'text', 'any']
['number', 'own', 'late', 'any']
method number
"""

from functools import singledispatch, singledispatchmethod

from ways import open_way


class Own:
    pass


@singledispatch
def name(_):
    return "any"


@name.register
def _(x: int):
    return "number"


@name.register(Own)
def _(x):
    return "own"


@name.register(str)
def _(x):
    return "text"


class Namer:
    @singledispatchmethod
    def name(self, _):
        return "method any"

    @name.register
    def _(self, x: int):
        return "method number"


def through(x):
    return name(x)


if __name__ == "__main__":
    things = [1, Own(), "a", None]
    with open_way() as way:
        print(way.map(through, things))
        name.register(str, lambda _: "late")
        print(way.run(name, things))
        print(way.call(Namer().name, 3))
