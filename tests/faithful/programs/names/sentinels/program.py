"""Objects of private names are the same as those in defaults and attributes.

(True, []) (True, True, []) (True, []) (True, True, [])
(True, [1]) (True, True, [1]) (True, [1]) (True, True, [1])
"""

import helper
from ways import open_way

_MISSING = object()


def get(default=_MISSING, seen=[]):  # noqa: B006
    return default is _MISSING, list(seen)


class Box:
    _empty = _MISSING

    def get(self, default=_MISSING, seen=[]):  # noqa: B006
        return default is _MISSING, self._empty is _MISSING, list(seen)


def look():
    return get(), Box().get(), helper.get(), helper.Box().get()


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(look))
        for fn in (get, Box.get, helper.get, helper.Box.get):
            fn.__defaults__[1].append(1)
        print(*way.call(look))
