"""Rounds: measurements taken side by side, and their statistics.

Machines drift. Only measurements taken in close succession may be compared, so each round takes all
of them, and every figure is the median of ratios paired within a round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from scoopsci.basics.processors import count_processors
from scoopsci.reporting.receipts import software_versions

__all__ = [
    "Figure",
    "describe_machine",
    "find_break_even",
    "format_seconds",
    "interleave",
    "median_interval",
    "paired_ratio",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """A median over rounds, with its 95 % interval.

    Attributes
    ----------
    median : float
        The median.
    low, high : float
        Ends of the interval; see `median_interval`.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Return the figure of one value for each round."""
        return cls(float(statistics.median(values)), *median_interval(values))

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the interval."""
        return self.low, self.high

    def __str__(self) -> str:
        median, low, high = (
            f"{x:.2f}" if x < 100 else f"{x:,.0f}" for x in (self.median, self.low, self.high)
        )
        return f"{median} ({low} to {high})"


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median, by bootstrap.

    Parameters
    ----------
    values : sequence of float
        One for each round.

    Returns
    -------
    tuple of float
        The 2.5 % and the 97.5 % quantile of the medians of 10,000 samples with replacement [1]_.
        The same values give the same interval.

    Notes
    -----
    With few values no interval reaches its nominal coverage, and this one cannot exceed their
    range. With up to five values it is that range, which covers the true median with probability
    1 - 2^(1 - n): 50 % for two, 75 % for three, 94 % for five. From nine rounds on its coverage is
    close to nominal.

    References
    ----------
    .. [1] B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7
       (1979) 1-26, doi:10.1214/aos/1176344552.

    Examples
    --------
    >>> median_interval([1.9, 1.7, 1.8])
    (1.7, 1.9)
    """
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(np.asarray(values), (10_000, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def interleave(
    runs: Mapping[str, Callable[[], T]],
    n_rounds: int,
    *,
    tell: Callable[[int], None] | None = None,
) -> list[dict[str, T]]:
    """Call each function once per round, starting with another one each time.

    Parameters
    ----------
    runs : mapping of str to callable
        The functions, by name.
    n_rounds : int
        Number of rounds.
    tell : callable, optional
        Called with the number of calls made so far, before each and at the end.

    Returns
    -------
    list of dict
        For each round, what each function returned, in the order of `runs`.

    Examples
    --------
    >>> interleave({"one": lambda: 1, "two": lambda: 2}, n_rounds=2)
    [{'one': 1, 'two': 2}, {'one': 1, 'two': 2}]
    """
    names = list(runs)
    rounds = []
    for n_past in range(n_rounds):
        start = n_past % len(names)
        taken: dict[str, T] = {}
        for name in names[start:] + names[:start]:
            if tell is not None:
                tell(n_past * len(names) + len(taken))
            taken[name] = runs[name]()
        rounds.append({name: taken[name] for name in names})
    if tell is not None:
        tell(n_rounds * len(names))
    return rounds


def paired_ratio(rounds: Sequence[Mapping[str, float]], upper: str, lower: str) -> Figure:
    """Return the ratio of two measurements.

    Parameters
    ----------
    rounds : sequence of mapping
        The measurements of each round, by name.
    upper, lower : str
        Names of the numerator and the denominator.

    Returns
    -------
    Figure
        Median and interval of the ratios within the rounds.

    Examples
    --------
    >>> print(paired_ratio([{"a": 2, "b": 1}, {"a": 9, "b": 3}, {"a": 8, "b": 2}], "a", "b"))
    3.00 (2.00 to 4.00)
    """
    return Figure.of([numbers[upper] / numbers[lower] for numbers in rounds])


def find_break_even(engine_s: float, serial_s: float, ceiling: float, n_tasks: int) -> float | None:
    """Return the duration of a task above which an engine is faster than serial.

    Parameters
    ----------
    engine_s, serial_s : float
        Time of the engine and of serial, for the same tasks.
    ceiling : float
        Speed-up S of processes that do not communicate.
    n_tasks : int
        Number of tasks n.

    Returns
    -------
    float or None
        In seconds; None if no duration suffices, since the processes gain nothing.

    Notes
    -----
    The overhead of an engine is o = (T_engine - T_serial/S) / n per task, whatever its duration t.
    Serial takes n·t and the engine n·(o + t/S), which are equal at t = o / (1 - 1/S). For another
    number of tasks this is a rough estimate, as o includes the start of the workers.

    Examples
    --------
    >>> find_break_even(engine_s=3.0, serial_s=2.0, ceiling=2.0, n_tasks=100)
    0.04
    """
    if ceiling <= 1.0:
        return None
    overhead_s = max(0.0, engine_s - serial_s / ceiling) / n_tasks
    return overhead_s / (1.0 - 1.0 / ceiling)


def format_seconds(seconds: float) -> str:
    """Format a time in a suitable unit.

    Parameters
    ----------
    seconds : float
        The time.

    Returns
    -------
    str
        The time to two digits.

    Examples
    --------
    >>> [format_seconds(s) for s in (4.1e-9, 0.00123, 0.25, 90.0)]
    ['4.1 ns', '1.2 ms', '250 ms', '90 s']
    """
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{float(f'{seconds / scale:.2g}'):g} {unit}"
    return f"{float(f'{seconds / 1e-9:.2g}'):g} ns"


def describe_machine() -> dict[str, Any]:
    """Return what measurements should record about the machine.

    Returns
    -------
    dict
        ``n_processors`` that this process may use, and ``versions``.
    """
    return {"n_processors": count_processors(), "versions": software_versions()}
