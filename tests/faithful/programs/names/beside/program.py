"""A module beside the script has one copy on a worker, whichever way it is reached.

[True, True, True]
caught ShapeError("no shape for 'x'")
[Kind.A, Kind.B] [True, True]
shape Shape True
"""

import shape
from shape import Kind, Shape
from ways import open_way


def look(kind, thing):
    from shape import Kind as Again

    return [kind is Again.A, kind is shape.Kind.A, isinstance(thing, Again.A.kind)]


def catch(word):
    from shape import ShapeError, find_kind

    try:
        find_kind(word)
    except ShapeError as error:
        return f"caught {error!r}"


def turn(thing):
    return shape.Shape(thing.kind.other)


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(look, Kind.A, Shape(Kind.A)))
        print(way.call(catch, "x"))
        things = [Shape(Kind.A), Shape(Kind.B)]
        back = way.run(turn, way.map(turn, things))
        print(
            [str(thing.kind) for thing in back].__str__().replace("'", ""),
            [thing.kind is first.kind for thing, first in zip(back, things, strict=True)],
        )
        made = way.call(Shape.of, "A")
        print(type(made).__module__, type(made).__qualname__, type(made) is Shape)
