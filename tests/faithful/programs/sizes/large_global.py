"""A global of 40 MB is sent to each worker once, not with each task.

20.0 once
20.0 once
changed 2.0
"""

import numpy as np
from ways import open_way

TABLE = np.zeros(5_000_000)
TABLE[:20] = 1.0
N_TASKS = 20


def total(i):
    return float(TABLE[i])


def frequency(futures):
    n_bytes = sum(future.report["sent_bytes"] for future in futures)
    return "once" if n_bytes <= 2.1 * TABLE.nbytes else f"{n_bytes / TABLE.nbytes:.1f} times"


if __name__ == "__main__":
    with open_way() as way:
        for _ in range(2):
            futures = [way.submit(total, i) for i in range(N_TASKS)]
            print(sum(future.result() for future in futures), frequency(futures))
        TABLE = np.full(5_000_000, 2.0)
        print("changed", way.call(total, 0))
