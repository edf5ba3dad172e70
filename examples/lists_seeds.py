"""A thousand lists, each summed after a sleep: the built-in `map` compared with the map family.

List a contains the number a, a times, so its sum is a². The total is the sum of the squares below
n, n(n - 1)(2n - 1)/6, which is 332833500 for n = 1000. The sleep simulates work; sleeping workers
overlap, even if there are more of them than cores.
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
    """Print the total and the time of each method of calling a function on many items.

    Parameters
    ----------
    engine : str or Executor
        Engine to run on.
    n_lists : int
        Number of lists.
    sleep_s : float
        Seconds that each takes.

    Returns
    -------
    dict
        The sums, by method.
    """
    lists = [[a] * a for a in range(n_lists)]
    fn = partial(sum_slowly, sleep_s)
    methods: dict[str, Callable[[], int]] = {
        "sum of the built-in map": lambda: sum(map(fn, lists)),
        "sum of scoopsci.map": lambda: sum(scoopsci.map(fn, lists, engine=engine)),
        "sum of scoopsci.map_as_completed": lambda: sum(
            scoopsci.map_as_completed(fn, lists, engine=engine)
        ),
        "scoopsci.map_reduce": lambda: scoopsci.map_reduce(fn, operator.add, lists, engine=engine),
    }
    sums = {}
    for method, add_up in methods.items():
        start_s = time.perf_counter()
        sums[method] = add_up()
        print(f"{method:33} {sums[method]:>10}   {time.perf_counter() - start_s:.2f} s")
    return sums


if __name__ == "__main__":
    with scoopsci.open_engine() as workers:  # started once for all calls
        main(workers)
