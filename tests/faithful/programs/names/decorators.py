"""Decorated functions and classes: wrapped ones, registries and names are as in the program.

[2, 4] double True
['double', 'half'] 8.0
shouted HELLO
True __main__ double
"""

import functools
import sys

from ways import open_way

FOUND = {}


def register(fn):
    FOUND[fn.__name__] = fn
    return fn


def traced(prefix):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return fn(*args, **kwargs)

        wrapper.prefix = prefix
        return wrapper

    return decorate


@register
@traced("a")
def double(x):
    """Double."""
    return 2 * x


@register
def half(x):
    return x / 2


def shouting(cls):
    class Shouting(cls):
        def say(self):
            return super().say().upper()

    Shouting.__qualname__ = Shouting.__name__ = cls.__name__
    return Shouting


@shouting
class Speaker:
    def say(self):
        return "hello"


def look():
    return double.__name__, double.__wrapped__(3) == 6 and double.prefix == "a"


def use(name, x):
    return sorted(FOUND), FOUND[name](x)


def where(fn):
    module = sys.modules[fn.__module__]
    return getattr(module, fn.__name__) is fn, fn.__module__, fn.__qualname__


if __name__ == "__main__":
    with open_way() as way:
        print(way.run(double, [1, 2]), *way.call(look))
        print(*way.call(use, "half", 16))
        print("shouted", way.call(lambda speaker: speaker.say(), Speaker()))
        print(*way.call(where, double))
