"""Attributes of a module's functions and classes, private ones too, as the script has set them.

11
(5, 6, 'fast')
3
(['Own'], ['Own'], True)
"""

import helper
from helper import Base
from ways import open_way


class Own(Base):
    pass


helper.count.n = 10
helper.Unit._scale, helper.Unit.size = 5, 6
helper.Unit.run = helper.fast
helper.TOOLS["measure"] = len
Base.known["Own"] = Own


def names():
    return Base.names(), Own.names(), helper.Base.known.get("Own") is Own


if __name__ == "__main__":
    with open_way(1) as way:
        print(way.call(helper.count))
        print(way.call(helper.Unit().look))
        print(way.call(helper.measure, "abc"))
        print(way.call(names))
