"""Weak containers, sentinels and singletons of the script.

[True, True] [0, 0]
given none
True
"""

import weakref

from ways import open_way

NOTHING = object()
ALIVE = weakref.WeakSet()


class Single:
    _only = None

    def __new__(cls):
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __reduce__(self):
        return Single, ()


def hold(_):
    single = Single()
    ALIVE.add(single)
    return single is Single() and single in ALIVE


def empty(_):
    class Short:
        pass

    found = weakref.WeakValueDictionary(a=Short())
    return len(found)


def given(value=NOTHING):
    return "none" if value is NOTHING else "given"


def same(single):
    return single is Single()


if __name__ == "__main__":
    with open_way() as way:
        print(way.run(hold, range(2)), way.map(empty, range(2)))
        print(way.call(given, None), way.call(given))
        print(way.call(same, Single()) and way.call(Single) is Single())
