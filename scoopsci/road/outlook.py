"""The outlook of a run to a half-width: a warning if the goal is far beyond its first look."""

from __future__ import annotations

import warnings

from scoopsci.basics.wording import format_duration
from scoopsci.estimation.estimates import DistantGoalWarning
from scoopsci.reporting.progress import Progress
from scoopsci.road.stopping import Goal, Supply

__all__ = ["Outlook"]

#: A goal that takes longer is told, and one beyond `max_samples` if the run goes on for longer.
LONG_S, SHORT_S = 86_400.0, 60.0


class Outlook:
    """Warns once, as soon as the time of samples is known; it never changes a result.

    Attributes
    ----------
    has_looked : bool
        Whether that is past.
    """

    def __init__(self, goal: Goal, supply: Supply, unit: str) -> None:
        self._goal, self._supply, self._unit = goal, supply, unit
        self.has_looked = False

    def look(self, n_projected: float, state: Progress) -> None:
        """Warn if the goal is far away.

        Parameters
        ----------
        n_projected : float
            Samples that the goal needs, by the rate of convergence.
        state : Progress
            State of the run.
        """
        n_done = self._supply.count_samples(state.n_done)
        n_computed = n_done * (1.0 - state.n_recalled / max(1, state.n_done))
        if self.has_looked or n_computed <= 0 or state.worker_s <= 0:
            return
        self.has_looked = True
        sample_s = state.worker_s / n_computed / max(1, state.n_workers)
        most = self._goal.max_samples
        needed_s = (n_projected - n_done) * sample_s
        is_beyond = most is not None and n_projected > most
        left_s = needed_s if most is None else min(needed_s, (most - n_done) * sample_s)
        if left_s > SHORT_S and (is_beyond or needed_s > LONG_S):
            self._warn(n_projected, needed_s, is_beyond)

    def _warn(self, n_projected: float, needed_s: float, is_beyond: bool) -> None:
        goal = self._goal
        share = " of the estimate" if goal.relative else ""
        end = f"; the run ends at max_samples={goal.max_samples:,}" if is_beyond else ""
        warnings.warn(
            f"half_width={goal.half_width:g}{share} needs about {n_projected:.2g} {self._unit}, "
            f"about {format_duration(needed_s)} at the present rate{end}",
            DistantGoalWarning,
            stacklevel=6,  # where the user calls estimate, integrate or pi
        )
