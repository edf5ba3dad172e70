"""Defaults that have been changed in place, whoever holds the function.

[1] [1] {'item': 1}
([1], {}) ([1], {}) [1] [1] {'item': 1}
['a', 2] ['a', 2] {'b': 1, 'item': 2}
(['a', 2], {'b': 2}) (['a', 2], {'b': 2}) ['a', 2] ['a', 2] {'b': 3, 'item': 2}
[3] ([3], {'b': 2}) ([3], {'b': 2}) [3]
"""

import helper
from helper import Bag
from ways import open_way


def collect(item, seen=[]):  # noqa: B006
    return [*seen, item]


class Box:
    def hold(self, item, seen=[]):  # noqa: B006
        return [*seen, item]

    @classmethod
    def keep(cls, item, *, seen={}):  # noqa: B006
        return {**seen, "item": item}


def of_script(item):
    return collect(item), Box().hold(item), Box.keep(item)


def of_module(item):
    held = Bag().hold(item), helper.hold(None, item)
    return helper.gather(item), helper.by_name("gather", item), *held, Bag.keep(item)


def shortened(item):
    return collect(item), *of_module(item)[:3]


def list_changed():
    functions = collect, Box.hold, helper.gather, Bag.hold
    return [fn.__defaults__[0] for fn in functions]


if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(of_script, 1))
        print(*way.call(of_module, 1))
        for seen in list_changed():
            seen.append("a")
        Box.keep.__func__.__kwdefaults__["seen"]["b"] = 1
        helper.gather.__kwdefaults__["marks"]["b"] = 2
        Bag.keep.__defaults__[0]["b"] = 3
        print(*way.call(of_script, 2))
        print(*way.run(of_module, [2])[0])
        for seen in list_changed():
            seen.clear()
        print(*way.call(shortened, 3))
