"""A thousand lists, each summed after a sleep: the built-in `map` against the map family.

List a holds a times the number a, so that its sum is a². The sum of all is that of the squares
below n, n(n - 1)(2n - 1)/6, which is 332833500 for n = 1000. The sleep stands for work; workers
that sleep overlap, also where there are more of them than cores.
"""

import operator
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial

import scoopsci


def sum_slowly(sleep_s: float, numbers: list[int]) -> int:
    """Sum a list after a sleep.

    Parameters
    ----------
    sleep_s : float
        Seconds.
    numbers : list of int
        The list.

    Returns
    -------
    int
        The sum.
    """
    time.sleep(sleep_s)
    return sum(numbers)


def main(
    engine: str | Executor = "auto", n_lists: int = 1000, sleep_s: float = 0.01
) -> dict[str, int]:
    """Print the sum of all and the time, by each way to call a function on many items.

    Parameters
    ----------
    engine : str or Executor
        Where.
    n_lists : int
        Number of lists.
    sleep_s : float
        Seconds that each takes.

    Returns
    -------
    dict
        The sums, by the way.
    """
    lists = [[a] * a for a in range(n_lists)]
    fn = partial(sum_slowly, sleep_s)
    ways: dict[str, Callable[[], int]] = {
        "sum of the built-in map": lambda: sum(map(fn, lists)),
        "sum of scoopsci.map": lambda: sum(scoopsci.map(fn, lists, engine=engine)),
        "sum of scoopsci.map_as_completed": lambda: sum(
            scoopsci.map_as_completed(fn, lists, engine=engine)
        ),
        "scoopsci.map_reduce": lambda: scoopsci.map_reduce(fn, operator.add, lists, engine=engine),
    }
    sums = {}
    for way, add_up in ways.items():
        start_s = time.perf_counter()
        sums[way] = add_up()
        print(f"{way:33} {sums[way]:>10}   {time.perf_counter() - start_s:.2f} s")
    return sums


if __name__ == "__main__":
    with scoopsci.open_engine() as workers:  # started once for all calls
        main(workers)
