"""Descriptors, properties, slots and __set_name__ of the script's classes.

('_width', 3) must be positive, got -1
[4, 6] ('x', 'y') True
no attribute z
"""

from ways import open_way


class Positive:
    def __set_name__(self, owner, name):
        self.name = f"_{name}"

    def __get__(self, instance, owner):
        return self if instance is None else getattr(instance, self.name)

    def __set__(self, instance, value):
        if value <= 0:
            raise ValueError(f"must be positive, got {value}")
        setattr(instance, self.name, value)


class Box:
    width = Positive()

    def __init__(self, width):
        self.width = width


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y

    @property
    def total(self):
        return self.x + self.y


def look(box):
    return Box.width.name, box.width


def shrink(box):
    try:
        box.width = -1
    except ValueError as error:
        return str(error)


def double(slotted):
    return Slotted(2 * slotted.x, 2 * slotted.y)


def add(slotted):
    try:
        slotted.z = 1
    except AttributeError:
        return "no attribute z"


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(look, Box(3)), way.call(shrink, Box(3)))
        once = way.run(double, [Slotted(1, 1), Slotted(1, 2)])
        print(
            [slotted.total for slotted in once],
            Slotted.__slots__,
            all(type(slotted) is Slotted for slotted in once),
        )
        print(way.call(add, once[0]))
