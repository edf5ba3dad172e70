"""The result of a comparison of engines: rows, the limit, and one piece of advice."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from scoopsci.harness.rounds import Figure
from scoopsci.reporting.markup import as_notes, as_table
from scoopsci.reporting.workers import ACTIVITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BARE", "TIMES", "Comparison", "Row"]

#: What the bare processes are called among the engines of a round.
BARE = "bare processes"

TIMES = ("start_up_s", "serialising_s", "waiting_s", "computing_s", "returning_s")

SPEEDS = ["engine", "workers", "seconds", "speed-up", "95 % interval", "efficiency"]
SPEEDS += ["of the limit", "equal"]
SECONDS = ["seconds of", *(ACTIVITIES[name] for name in TIMES)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One engine, compared with serial.

    Attributes
    ----------
    engine : str
        Its name.
    n_workers : int
        Number of its workers.
    elapsed_s : float
        Median time of the whole process, from its start to its end.
    speedup : float
        Median of the ratios of serial's time to this one, paired within the rounds.
    speedup_interval : tuple of float
        Its 95 % interval; see `scoopsci.compare.median_interval`.
    efficiency : float
        Speed-up divided by the number of workers.
    share_of_limit : float
        Median of the ratios of the bare processes' time to this one.
    equal : bool
        Whether all its results equal serial's, bit for bit.
    start_up_s, serialising_s, waiting_s, computing_s, returning_s : float
        How the time of the median round was spent, averaged over the workers; including the start
        of the process and of the engine.
    break_even_task_s : float or None
        Duration of a task above which the engine is faster than serial; None for serial, and where
        the bare processes gain nothing. See `scoopsci.compare.find_break_even`.
    """

    engine: str
    n_workers: int
    elapsed_s: float
    speedup: float
    speedup_interval: tuple[float, float]
    efficiency: float
    share_of_limit: float
    equal: bool
    start_up_s: float
    serialising_s: float
    waiting_s: float
    computing_s: float
    returning_s: float
    break_even_task_s: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One workload on several engines. Converted to text, it is a table for terminals.

    Attributes
    ----------
    workload : str
        Name of the workload.
    rows : tuple of Row
        Serial first.
    ceiling : float
        Median speed-up of as many bare processes as there are workers, which do not communicate.
    ceiling_interval : tuple of float
        Its 95 % interval.
    n_bare : int
        Number of the bare processes.
    task_s : float
        Seconds that serial takes for a task, a point or an item.
    unit : str
        Which of the three.
    advice : str
        What to do, in one sentence.
    facts : dict
        What is needed to repeat it: options, command lines, versions, number of processors.
    rounds : list of dict
        All measurements.
    """

    workload: str
    rows: tuple[Row, ...]
    ceiling: float
    ceiling_interval: tuple[float, float]
    n_bare: int
    task_s: float
    unit: str
    advice: str
    facts: dict[str, Any] = field(repr=False)
    rounds: list[dict[str, Any]] = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the whole comparison as plain values, ready for JSON."""
        plain = asdict(self)
        return {**plain.pop("facts"), **plain}

    def __str__(self) -> str:
        tables = [_align(SPEEDS, *self._speeds()), _align(SECONDS, *self._times())]
        return "\n\n".join([*tables, *self._notes()])

    def _repr_html_(self) -> str:
        tables = [as_table(SPEEDS, self._speeds()), as_table(SECONDS, self._times())]
        return "".join([*tables, as_notes(self._notes())])

    def _speeds(self) -> list[list[str]]:
        speeds = [
            [
                *_speed_cells(r.engine, r.n_workers, r.elapsed_s, r.speedup, r.speedup_interval),
                *(f"{r.share_of_limit:.2f}", "yes" if r.equal else "NO"),
            ]
            for r in self.rows
        ]
        bare_s = Figure.of([taken[BARE]["elapsed_s"] for taken in self.rounds]).median
        limit = _speed_cells(BARE, self.n_bare, bare_s, self.ceiling, self.ceiling_interval)
        return [*speeds, limit]

    def _times(self) -> list[list[str]]:
        return [[r.engine, *(f"{getattr(r, name):.2f}" for name in TIMES)] for r in self.rows]

    def _notes(self) -> list[str]:
        n_rounds = len(self.rounds)
        few = f"With fewer than 6 rounds, here {n_rounds}, the interval is the range of all rounds."
        return [self.advice] if n_rounds >= 6 else [few, self.advice]

    def plot(
        self, kind: Literal["speedup", "times"] = "speedup", *, ax: Axes | None = None
    ) -> Axes:
        """Draw the speed-ups with the ideal line, or how each engine's time was spent.

        Parameters
        ----------
        kind : str
            "speedup" or "times".
        ax : Axes, optional
            Where to draw; by default into a new figure.

        Returns
        -------
        Axes
            See `scoopsci.report.plot_speedup` and `scoopsci.report.plot_times`.

        Raises
        ------
        ValueError
            If `kind` is unknown.
        ExtraMissingError
            If Matplotlib is not installed.
        """
        from scoopsci.reporting import plots

        if kind == "times":
            times = {row.engine: {n: getattr(row, n) for n in TIMES} for row in self.rows}
            return plots.plot_times(times, ax=ax)
        if kind != "speedup":
            raise ValueError(f"kind must be 'speedup' or 'times', got {kind!r}")
        return plots.plot_speedup(
            [row.engine for row in self.rows],
            [row.speedup for row in self.rows],
            [row.speedup_interval for row in self.rows],
            ideal=max(row.n_workers for row in self.rows),
            limit=self.ceiling,
            ax=ax,
        )


def _speed_cells(
    name: str, n_workers: int, elapsed_s: float, speedup: float, interval: tuple[float, float]
) -> list[str]:
    low, high = interval
    return [
        *(name, str(n_workers), f"{elapsed_s:.2f}", f"{speedup:.2f}"),
        *(f"{low:.2f} to {high:.2f}", f"{speedup / n_workers:.2f}"),
    ]


def _align(*lines: list[str]) -> str:
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    return "\n".join(
        "  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
        for name, *cells in lines
    )
