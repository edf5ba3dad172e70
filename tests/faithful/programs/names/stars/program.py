"""Star imports, definitions under conditions, and a module's __getattr__.

[1, 4, 9] 3
posix lazy:colour
['lazy:a', 'lazy:b']
AttributeError
"""

import lazy
from shapes import *  # noqa: F403
from ways import open_way

if os_name == "posix":  # noqa: F405

    def where():
        return os_name  # noqa: F405

else:

    def where():
        return "elsewhere"


def area(x):
    return square(x)  # noqa: F405


def ask(name):
    return getattr(lazy, name)


def wrong():
    try:
        return lazy._hidden
    except AttributeError as error:
        return type(error).__name__


if __name__ == "__main__":
    with open_way() as way:
        print(way.run(area, [1, 2, 3]), way.call(lambda: SIDES))  # noqa: F405
        print(way.call(where), way.call(ask, "colour"))
        print(way.map(ask, ["a", "b"]))
        print(way.call(wrong))
