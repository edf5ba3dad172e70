"""Engines count the same processors, of which affinity and LOKY_MAX_CPU_COUNT leave fewer.

1
1
"""

import os

from ways import open_way

if __name__ == "__main__":
    os.environ["LOKY_MAX_CPU_COUNT"] = "1"
    with open_way(n_workers=None) as way:
        print(way.engine.n_workers)
    del os.environ["LOKY_MAX_CPU_COUNT"]
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    with open_way(n_workers=None) as way:
        print(way.engine.n_workers)
