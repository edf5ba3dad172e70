"""A project of a script and a package, whose classes are the same on both sides.

[True, True, True, True]
caught ShapeError: no shape 'x'
[Kind.B, Kind.A] True
[Kind.A, Kind.B] True
shapes.inner.kinds Kind shapes.inner
"""

from shapes.errors import ShapeError
from shapes.inner.kinds import Kind, Shape
from ways import open_way


class Own(Shape):
    def area(self):
        return super().area() + 1


def look(kind, shape):
    from shapes.inner import kinds

    return [
        kind is kinds.Kind.A,
        isinstance(shape, kinds.Shape),
        isinstance(shape, Own),
        shape.area() == kinds.BASE + 1,
    ]


def find(word):
    from shapes import find_shape

    return find_shape(word)


def turn(kind):
    return kind.other


def where(kind):
    import sys

    cls = type(kind)
    return cls.__module__, cls.__qualname__, sys.modules[cls.__module__].__package__


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(look, Kind.A, Own()))
        try:
            way.call(find, "x")
        except ShapeError as error:
            print(f"caught {type(error).__name__}: {error}")
        there = way.map(turn, [Kind.A, Kind.B])
        print(f"[{', '.join(map(str, there))}]", there[0] is Kind.B)
        back = way.run(turn, there)
        print(f"[{', '.join(map(str, back))}]", back[0] is Kind.A)
        print(*way.call(where, Kind.A))
