"""Classes whose metaclass refuses attributes are made, and changed as the script has.

(6, 8, 14) {'a': 1} Settings is frozen
(6, 8, 14) {'a': 1, 'b': 2} Settings is frozen
(10, 8, 14) {'a': 1, 'b': 2} Settings is frozen
True True True
"""

from ways import open_way


class Frozen(type):
    def __setattr__(cls, name, value):
        raise AttributeError(f"{cls.__name__} is frozen")

    def __delattr__(cls, name):
        raise AttributeError(f"{cls.__name__} is frozen")


class Settings(metaclass=Frozen):
    size = 3
    known = {"a": 1}  # noqa: RUF012

    def double(self):
        return self.size * 2


class Larger(Settings):
    size = 4

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)


class Largest(Larger):
    size = 7


def look(word):
    try:
        Settings.size = word
    except AttributeError as error:
        sizes = Settings().double(), Larger().double(), Largest().double()
        return sizes, Settings.known, str(error)


def classes():
    return Settings, Largest, Frozen


if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(look, 1))
        Settings.known["b"] = 2
        print(*way.call(look, 2))
        type.__setattr__(Settings, "size", 5)
        print(*way.run(look, [3])[0])
        there = way.call(classes)
        print(*(one is other for one, other in zip(there, classes(), strict=True)))
