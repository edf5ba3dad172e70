"""In a task, __main__ is the program: its names, its file and its own values.

[True, True, True]
main_module.py main_module.py
['__main__', '__main__', '__main__']
5
"""

import os
import sys

from ways import open_way

VALUE = 5


class Own:
    pass


def own():
    import __main__

    return [
        __main__.own is own,
        __main__.Own is Own,
        vars(sys.modules["__main__"]) is own.__globals__,
    ]


def files():
    import __main__

    return os.path.basename(__file__), os.path.basename(__main__.__file__)


def name():
    return [own.__module__, Own.__module__, __name__]


def value():
    import __main__

    return __main__.VALUE


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(own))
        print(*way.call(files))
        print(way.call(name))
        print(way.call(value))
