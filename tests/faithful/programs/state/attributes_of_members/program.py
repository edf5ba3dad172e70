"""Attributes of the members of enumerations: as made, set, changed in place, deleted.

(5.97, 6.37, []) None None ([], 10)
(5.97, 6.37, ['a']) n 1 (['b'], 3)
(1.0, 6.37, ['a', 'c']) m 2 (['b'], 4)
(1.0, 6.37, ['a', 'c']) m None (['b'], 4)
True True Planet.EARTH [<Kind.ROUND: 1>, <Kind.FLAT: 2>] {<Kind.ROUND: 1>: ['d']}
"""

import enum

import helper
from ways import open_way


class Planet(enum.Enum):
    EARTH = (5.97, 6.37)
    MARS = (0.64, 3.39)
    HOME = EARTH

    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius
        self.visits = []

    @property
    def facts(self):
        return self.mass, self.radius, self.visits


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Shape:
    class Kind(enum.Enum):
        ROUND = 1
        FLAT = 2

    known = {Kind.ROUND: []}  # noqa: RUF012


def look(planet):
    tool = helper.Tool.SAW
    note, number = getattr(planet, "note", None), getattr(Right.READ, "number", None)
    return planet.facts, note, number, (tool.uses, tool.weight)


def compare():
    kinds = list(Shape.Kind), Shape.known
    return Planet.HOME is Planet.EARTH, Planet["HOME"] is Planet.EARTH, Planet.HOME, *kinds


if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(look, Planet.EARTH))
        Planet.EARTH.visits.append("a")
        Planet.EARTH.note = "n"
        Right.READ.number = 1
        helper.Tool.SAW.uses.append("b")
        helper.Tool.SAW.weight = 3
        print(*way.call(look, Planet.EARTH))
        Planet.EARTH.visits.append("c")
        Planet.EARTH.mass = 1.0
        Planet.EARTH.note = "m"
        Right.READ.number = 2
        helper.Tool.SAW.weight = 4
        print(*way.run(look, [Planet.EARTH])[0])
        del Right.READ.number
        print(*way.call(look, Planet.EARTH))
        Shape.known[Shape.Kind.ROUND].append("d")
        print(*way.call(compare))
