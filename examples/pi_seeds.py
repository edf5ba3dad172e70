"""π from points in the unit circle, as W tasks of A attempts each.

The runs are (W, A) = (1000, 1000), (2000, 2000) and (3000, 3000). A task is a block of A points, so
there are W·A points. The reference is π.
"""

import math
from collections.abc import Sequence
from concurrent.futures import Executor

import scoopsci
from scoopsci import PiEstimate

RUNS = ((1000, 1000), (2000, 2000), (3000, 3000))


def run_tasks(n_tasks: int, n_attempts: int, engine: str | Executor) -> PiEstimate:
    """Estimate π by a number of tasks with a number of attempts each.

    Parameters
    ----------
    n_tasks, n_attempts : int
        W and A.
    engine : str or Executor
        Engine to run on.

    Returns
    -------
    PiEstimate
        The estimate.
    """
    return scoopsci.pi(n_tasks * n_attempts, block_size=n_attempts, seed=1, engine=engine)


def main(
    engine: str | Executor = "auto", runs: Sequence[tuple[int, int]] = RUNS
) -> list[PiEstimate]:
    """Print a line for each run: the estimate, its error in percent, and the time.

    Parameters
    ----------
    engine : str or Executor
        Engine to run on.
    runs : sequence of tuple of two int
        W and A of each.

    Returns
    -------
    list of PiEstimate
        The estimates.
    """
    found = [run_tasks(*run, engine) for run in runs]
    print("tasks  attempts  π                    error       time")
    for (n_tasks, n_attempts), pi in zip(runs, found, strict=True):
        error = 100.0 * abs(pi.value - math.pi) / math.pi
        print(
            f"{n_tasks:5}  {n_attempts:8}  {pi.value:.6f} ± {pi.half_width:.6f}  "
            f"{error:.5f} %   {pi.elapsed_s:.2f} s, {pi.n_workers} workers"
        )
    return found


if __name__ == "__main__":
    with scoopsci.open_engine() as workers:  # started once for all calls
        main(workers)
