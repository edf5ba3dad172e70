"""A decorated function of the script, and a function of its name in the decorator's module.

[log] 2
[('[log]', 2), ('[log]', 3)]
[plain]
"""

import timing
from timing import timed
from ways import open_way


@timed
def log(x):
    return x + 1


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(log, 1))
        print(way.run(log, [1, 2]))
        print(way.call(timing.log, "plain"))
