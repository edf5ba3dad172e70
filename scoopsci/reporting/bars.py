"""Progress bars: one line in a terminal or in a notebook, and those of other libraries."""

from __future__ import annotations

import atexit
import contextlib
import html
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from scoopsci.basics.wording import format_duration, format_with_error, plural, shorten
from scoopsci.reporting.progress import (
    Bar,
    Progress,
    ProgressCallback,
    ProgressOption,
    check_progress,
)

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["describe", "open_progress"]

#: People read no faster.
REFRESH_S = 0.25

#: Least and greatest width of the bar, which takes the room that the words leave.
LEAST_BAR, LONGEST_BAR = 8, 40


def describe(state: Progress) -> list[str]:
    """Describe the progress of a run in words.

    Parameters
    ----------
    state : Progress
        State of the run.

    Returns
    -------
    list of str
        The most important facts first.

    Examples
    --------
    >>> describe(Progress(30, 40, 4, 0, 6.0, n_workers=2))
    ['75 %', '2 s left', '2 workers', '5 blocks/s']
    """
    facts = [f"{state.n_done:,} blocks" if state.share is None else f"{100 * state.share:.0f} %"]
    if isinstance(state.estimate, float):
        facts.append(format_with_error(state.estimate, state.half_width))
    elif state.estimate is not None:
        facts.append(f"{len(state.estimate)} estimates, ± {np.max(state.half_width):.2g} at most")
    if state.remaining_s is not None:
        facts.append(f"{format_duration(state.remaining_s)} left")
    else:
        facts.append(format_duration(state.elapsed_s))
    if state.n_lost:
        facts.append(f"{state.n_lost:,} repeated")
    if state.n_workers:
        facts.append(plural(state.n_workers, "worker"))
    facts.append(f"{shorten(state.rate)}{state.unit}/s")
    return facts


@contextlib.contextmanager
def open_progress(progress: ProgressOption) -> Iterator[ProgressCallback | None]:
    """Yield a callback for the state of a run.

    Parameters
    ----------
    progress : bool, callable, bar, class or None
        True draws a bar in a notebook, or on stderr where that is a terminal, and nothing
        elsewhere. A callable gets each `Progress`. A bar such as ``tqdm.tqdm()`` is advanced, and
        closing it is left to its owner; a class such as ``tqdm.tqdm`` is called to make one.

    Yields
    ------
    callable or None
        None if progress is not shown.

    Raises
    ------
    TypeError
        If `progress` is something else.
    """
    check_progress(progress)
    if progress is True:
        with _open_bar() as draw:
            yield draw
    elif progress is None or progress is False:
        yield None
    elif _makes_bars(progress):
        make: Any = progress
        with contextlib.closing(make()) as bar:
            yield _Mover(bar)
    elif isinstance(progress, Bar) and not isinstance(progress, type):
        yield _Mover(progress)
    else:
        assert callable(progress)
        yield progress


@contextlib.contextmanager
def _open_bar() -> Iterator[ProgressCallback | None]:
    """Yield a callback that draws a bar, or None where nobody would see it."""
    if _in_notebook():
        bar = _NotebookBar()
        try:
            yield bar
        finally:
            bar.end()
    elif sys.stderr is not None and sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        line = _TerminalBar()
        live = Live(
            line,
            console=Console(stderr=True),
            transient=True,
            refresh_per_second=1 / REFRESH_S,
            # Output of tasks goes above the bar, but stays on stdout where that is redirected.
            redirect_stdout=_is_one_terminal(),
        )
        _OPEN.add(live)
        with live:
            yield line
    else:
        yield None


#: Bars on display.
_OPEN: WeakSet[Any] = WeakSet()


@atexit.register
def _end_bars() -> None:
    """Give the terminal its cursor back if an iteration was abandoned."""
    for live in list(_OPEN):
        live.stop()


def _makes_bars(progress: object) -> bool:
    kind = progress.func if isinstance(progress, partial) else progress
    return isinstance(kind, type) and hasattr(kind, "update")


def _is_one_terminal() -> bool:
    try:
        devices = [os.fstat(stream.fileno()).st_rdev for stream in (sys.stdout, sys.stderr)]
        return sys.stdout.isatty() and devices[0] == devices[1]
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        return False


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class _TerminalBar:
    """One line, as wide as the terminal currently is."""

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
        for fact in describe(self._state):
            if len(words) + len(fact) + 2 + LEAST_BAR > room:
                break
            words += f"  {fact}"
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
    """One output of a cell, replaced at each refresh; needs no widgets."""

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

    def end(self) -> None:
        """Show the last state."""
        if self._state is None:
            self._handle.update({"text/plain": "ended before any task had"}, raw=True)
        else:
            self.draw()

    def draw(self) -> None:
        """Show the state of the run."""
        assert self._state is not None
        self._drawn_s = time.monotonic()
        words = " · ".join(describe(self._state))
        value = "" if self._state.share is None else f" value={self._state.share:.4f}"
        shown = (
            f"<progress style='width: 12em; vertical-align: middle'{value}></progress> "
            f"<span style='font-variant-numeric: tabular-nums'>{html.escape(words)}</span>"
        )
        self._handle.update({"text/plain": words, "text/html": shown}, raw=True)


class _Mover:
    """Advances a bar of another library."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._n_shown = 0

    def __call__(self, state: Progress) -> None:
        if state.n_blocks is not None and self._bar.total != state.n_blocks:
            if not self._n_shown and hasattr(self._bar, "reset"):
                self._bar.reset(total=state.n_blocks)  # in a notebook, only this sets its width
            self._bar.total = state.n_blocks
        self._bar.update(state.n_done - self._n_shown)
        self._n_shown = state.n_done
        if state.ended and hasattr(self._bar, "refresh"):
            self._bar.refresh()
