"""Modules in containers, as arguments, as attributes, and by a computed name are one module.

5 5
5 5
5 5
True 5
"""

import importlib

import plugin
from ways import open_way

PLUGINS = {"first": plugin}
plugin.VALUE = 5


class Runner:
    def __init__(self, module):
        self.module = module

    def go(self):
        return self.module.VALUE, self.module.find()


def look():
    return PLUGINS["first"].VALUE, PLUGINS["first"].find()


def use(module):
    return module.VALUE, module.find()


def compare(module, name):
    same = importlib.import_module(name)
    return same is module, same.VALUE


if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(look))
    with open_way(1) as way:
        print(*way.call(use, plugin))
    with open_way(1) as way:
        print(*way.call(Runner(plugin).go))
    with open_way(1) as way:
        print(*way.call(compare, plugin, "plugin"))
