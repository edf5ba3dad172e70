"""With its streams closed, the program still computes.

[0, 1, 2] [0, 2, 4]
"""

import os
import sys

from ways import open_way


def talk(x):
    print("heard by nobody")
    print("heard by nobody", file=sys.stderr)
    return x


def double(x):
    return 2 * x


if __name__ == "__main__":
    out = os.dup(1)
    sys.stdout.close()
    sys.stderr.close()
    with open_way() as way:
        found = [way.map(talk, range(3)), way.run(double, range(3))]
    os.write(out, f"{found[0]} {found[1]}\n".encode())
