"""What an initializer sets is seen by tasks: globals of the script, of modules, and caches.

[3, 3, 3] loaded
['set', 'set']
4 loaded
"""

import colorsys

from ways import open_way

DATA = None
OTHER = 1


def set_up(n):
    global DATA
    DATA = "loaded"
    look.n = n
    colorsys.own_setting = "set"


def look(_):
    return look.n


def data():
    return DATA


def setting(_):
    return colorsys.own_setting


def both():
    return OTHER, DATA


if __name__ == "__main__":
    with open_way(initializer=set_up, initargs=(3,)) as way:
        print(way.map(look, range(3)), way.call(data))
        print(way.run(setting, range(2)))
        OTHER = 4
        print(*way.call(both))
