"""A module's connection that is made when it is first needed is each process's own.

2
6
[3, 4]
"""

import base
from ways import open_way

if __name__ == "__main__":
    with open_way() as way:
        print(way.call(base.ask, 1))
        print(base.ask(5))
        print(way.run(base.ask, [2, 3]))
