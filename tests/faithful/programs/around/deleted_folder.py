"""In a folder that has been deleted, the program still computes.

[0, 1, 2] [0, 2, 4]
"""

import os
import tempfile

from ways import open_way


def double(x):
    return 2 * x


if __name__ == "__main__":
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)
    with open_way() as way:
        print(way.map(int, range(3)), way.run(double, range(3)))
