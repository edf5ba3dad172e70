"""Metaclasses and __init_subclass__ register each class once, on workers too.

['Base', 'Left', 'Right'] ['left', 'right']
True True Left!
['Base', 'Left', 'Right'] ['left', 'right']
"""

from ways import open_way

MADE = []


class Meta(type):
    def __new__(mcs, name, bases, namespace, **options):
        cls = super().__new__(mcs, name, bases, namespace, **options)
        MADE.append(name)
        return cls

    @property
    def shout(cls):
        return f"{cls.__name__}!"


class Base(metaclass=Meta):
    plugins = {}  # noqa: RUF012

    def __init_subclass__(cls, key=None, **options):
        super().__init_subclass__(**options)
        cls.plugins[key] = cls


class Left(Base, key="left"):
    pass


class Right(Base, key="right"):
    pass


def look(_):
    return MADE, sorted(Base.plugins)


def find(key):
    return Base.plugins[key]


if __name__ == "__main__":
    with open_way() as way:
        way.map(look, range(4))
        print(*way.call(look, 0))
        found = way.call(find, "left")
        print(found is Left, type(found) is Meta, found.shout)
        print(*way.run(look, range(4))[-1])
