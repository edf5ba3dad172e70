"""NumPy's scalars sort as floats do; subclasses of arrays are kept or refused; masks are refused.

[1.0, 2.0, 3.0, nan, nan]
True
refused masked: ValueError
"""

import numpy as np
from ways import open_way

import scoopsci


class Own(np.ndarray):
    pass


def masked(points):
    return np.ma.masked_greater(points[:, 0], 0.5)


def refused(call):
    try:
        found = call()
    except (TypeError, ValueError) as error:
        return type(error).__name__
    return type(found).__name__


if __name__ == "__main__":
    with open_way() as way:
        values = [np.float64(x) for x in (3, float("nan"), 1, float("nan"), 2)]
        found = scoopsci.merge_sort(values, engine=way.library)
        print([float(x) for x in found])
        own = np.arange(5.0)[::-1].view(Own)
        print(refused(lambda: scoopsci.merge_sort(own, engine=way.library)) in ("Own", "TypeError"))
        name = refused(
            lambda: scoopsci.integrate(masked, 0, 1, points=10_000, seed=1, engine=way.library)
        )
        print("refused masked:", "ValueError" if name in ("TypeError", "ValueError") else name)
