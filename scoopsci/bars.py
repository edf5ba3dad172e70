"""The progress bar: one line in a terminal or in a notebook."""

from __future__ import annotations

import contextlib
import html
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scoopsci.reporting import Progress, ProgressCallback

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["describe", "format_duration", "open_bar"]

#: A person reads no faster.
REFRESH_S = 0.25

#: The bar itself takes what the words leave, within this.
LEAST_BAR, LONGEST_BAR = 8, 40


def describe(state: Progress) -> list[str]:
    """Say how far a run is, in words.

    Parameters
    ----------
    state : Progress
        Of the run.

    Returns
    -------
    list of str
        What is most worth knowing first.

    Examples
    --------
    >>> describe(Progress(30, 40, 4, 0, 6.0, n_workers=2))
    ['75 %', '2 s left', '2 workers', '5 blocks/s']
    """
    told = [f"{state.n_done:,} blocks" if state.share is None else f"{100 * state.share:.0f} %"]
    if isinstance(state.estimate, float):
        told.append(f"{state.estimate:.7g} ± {state.half_width:.2g}")
    elif state.estimate is not None:
        told.append(f"{len(state.estimate)} estimates, ± {np.max(state.half_width):.2g} at most")
    if state.remaining_s is not None:
        told.append(f"{format_duration(state.remaining_s)} left")
    else:
        told.append(format_duration(state.elapsed_s))
    if state.n_lost:
        told.append(f"{state.n_lost:,} repeated")
    if state.n_workers:
        told.append(f"{state.n_workers:,} worker{'' if state.n_workers == 1 else 's'}")
    told.append(f"{_shorten(state.rate)} {state.unit}/s")
    return told


def format_duration(seconds: float) -> str:
    """Write a time for people.

    Examples
    --------
    >>> [format_duration(seconds) for seconds in (0.4, 75, 4000, 200_000)]
    ['0 s', '1:15 min', '1:06 h', '2.3 days']
    """
    whole = round(min(seconds, 1e15))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    if whole < 86_400:
        return f"{whole // 3600}:{whole % 3600 // 60:02} h"
    return f"{whole / 86_400:.1f} days"


def _shorten(number: float) -> str:
    for size, sign in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{sign}"
    return f"{number:.3g}"


@contextlib.contextmanager
def open_bar() -> Iterator[ProgressCallback | None]:
    """Yield a callback that draws a bar, or None where nobody would see it."""
    if _in_notebook():
        bar = _NotebookBar()
        try:
            yield bar
        finally:
            bar.draw()
    elif sys.stderr is not None and sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        line = _TerminalBar()
        with Live(
            line,
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=1 / REFRESH_S,
            # What tasks print goes above the bar, but stays on stdout where that leads elsewhere.
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        ):
            yield line
    else:
        yield None


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class _TerminalBar:
    """One line, as wide as the terminal is at the time."""

    def __init__(self) -> None:
        self._state: Progress | None = None

    def __call__(self, state: Progress) -> None:
        self._state = state

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        if self._state is None:
            yield Text("starting workers", "dim", no_wrap=True, overflow="crop")
            return
        room = options.max_width - 1  # a full line would wrap in some terminals
        words = ""
        for told in describe(self._state):
            if len(words) + len(told) + 2 + LEAST_BAR > room:
                break
            words += f"  {told}"
        width = min(LONGEST_BAR, room - len(words))
        line = _draw_line(self._state.share, width)
        line.append(words)
        line.no_wrap, line.overflow = True, "crop"
        yield line


def _draw_line(share: float | None, width: int) -> Any:
    from rich.text import Text

    n_full = 0 if share is None else round(share * width)
    return Text.assemble(("━" * n_full, "cyan"), ("─" * (width - n_full), "dim"))


class _NotebookBar:
    """One output of a cell, which is replaced by the next; no widget is needed."""

    def __init__(self) -> None:
        from IPython.display import display

        self._state: Progress | None = None
        self._drawn_s = time.monotonic()
        self._handle = display(  # type: ignore[no-untyped-call]
            {"text/plain": "starting workers"}, raw=True, display_id=True
        )

    def __call__(self, state: Progress) -> None:
        self._state = state
        if time.monotonic() - self._drawn_s >= REFRESH_S:
            self.draw()

    def draw(self) -> None:
        """Show the state of the run."""
        if self._state is None:
            return
        self._drawn_s = time.monotonic()
        words = " · ".join(describe(self._state))
        value = "" if self._state.share is None else f" value={self._state.share:.4f}"
        shown = (
            f"<progress style='width: 12em; vertical-align: middle'{value}></progress> "
            f"<span style='font-variant-numeric: tabular-nums'>{html.escape(words)}</span>"
        )
        self._handle.update({"text/plain": words, "text/html": shown}, raw=True)
