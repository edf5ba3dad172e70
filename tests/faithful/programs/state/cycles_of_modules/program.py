"""Objects of two modules that refer to each other, and that the program has changed.

[1, 2, 1, 2] True True
"""

import first
import second
from ways import open_way

first.ONE.value = 1
second.OTHER.value = 2

if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(second.look))
