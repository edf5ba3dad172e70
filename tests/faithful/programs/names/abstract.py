"""Abstract base classes, virtual subclasses, protocols and generics of the script.

[True, True, True, False]
Can't instantiate abstract class Shape
[True, False]
['int', 'str'] True
"""

import abc
from typing import Generic, Protocol, TypeVar, runtime_checkable

from ways import open_way

T = TypeVar("T")


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    def area(self):
        return 1


@Shape.register
class Stranger:
    pass


@runtime_checkable
class HasArea(Protocol):
    def area(self): ...


class Box(Generic[T]):
    def __init__(self, value: T):
        self.value = value


def look(square, stranger):
    return [
        isinstance(square, Shape),
        isinstance(stranger, Shape),
        issubclass(Stranger, Shape),
        isinstance(3, Shape),
    ]


def make():
    try:
        Shape()
    except TypeError as error:
        return str(error).partition(" with ")[0].partition(" without ")[0]


def checks(thing):
    return isinstance(thing, HasArea)


def open_box(box):
    return type(box.value).__name__, Box[int] is Box[int], isinstance(box, Box)


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(look, Square(), Stranger()))
        print(way.call(make))
        print(way.map(checks, [Square(), Stranger()]))
        found = way.run(open_box, [Box(1), Box[str]("a")])
        print([name for name, _, _ in found], all(same and kind for _, same, kind in found))
