"""What pip has installed is the worker's own, imported by its name.

True True
[True, True]
"""

import types

import cloudpickle
import psutil
from ways import open_way


def look(module):
    import psutil as again

    return module is again, module.Error is again.Error


def give():
    return [types.SimpleNamespace, cloudpickle.Pickler]


def check(kinds):
    return [kinds[0] is types.SimpleNamespace, kinds[1] is cloudpickle.Pickler]


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(look, psutil))
        assert check(way.call(give))
        print(way.call(check, give()))
