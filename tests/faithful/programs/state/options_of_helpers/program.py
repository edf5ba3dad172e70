"""Default values of a module's functions are its globals, also once the script has changed them.

6 True
7 True
True True
5
"""

import helper
from ways import open_way

helper.OPTIONS["scale"] = 3
helper.CONFIG.scale = 7

if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(helper.times, 2))
        print(*way.call(helper.run))
        print(*way.call(helper.compare))
        print(way.call(helper.add, "epsilon"))
