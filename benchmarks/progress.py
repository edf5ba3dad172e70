"""Overhead of progress reporting: a bar in a terminal, and the live page with a reader.

Complete runs of π on two workers already started: without an observer, with a progress bar on a
terminal of 100 columns, and with the live page open. Ratios of times are paired within each round.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from benchmarks.form import as_cell, as_fields, count_rounds, make_table
from scoopsci import Engine, open_engine, pi
from scoopsci.harness.rounds import Figure, interleave, paired_ratio

#: As the stored results name them.
NOBODY, BAR, PAGE = "nobody", "a bar in a terminal", "the live page"
#: As the table names them.
LABELS = {NOBODY: "none", BAR: "progress bar in a terminal", PAGE: "live page"}


def measure(*, quick: bool) -> dict[str, Any]:
    n_points = 10**9 if quick else 16 * 10**9
    with open_engine("processes", n_workers=2) as engine:
        run_s(engine, n_points)
        ways = {
            NOBODY: partial(run_s, engine, n_points),
            BAR: partial(run_with_bar_s, engine, n_points),
            PAGE: partial(run_with_page_s, engine, n_points),
        }
        rounds = interleave(ways, count_rounds(quick=quick, wanted=60))
    rows = [
        {
            "way": way,
            "seconds": Figure.of([taken[way] for taken in rounds]).median,
            **as_fields("ratio", paired_ratio(rounds, way, NOBODY)),
        }
        for way in ways
    ]
    return {"n_points": n_points, "n_workers": 2, "rows": rows, "rounds": rounds}


def run_s(engine: Engine, n_points: int, **options: Any) -> float:
    start_s = time.perf_counter()
    pi(n_points, seed=1, engine=engine, **options)
    return time.perf_counter() - start_s


def run_with_bar_s(engine: Engine, n_points: int) -> float:
    with a_terminal():
        return run_s(engine, n_points, progress=True)


@contextlib.contextmanager
def a_terminal() -> Iterator[None]:
    """Connect stderr to a terminal whose other end is read."""
    other_end, end = os.openpty()
    reader = threading.Thread(target=read_all, args=[other_end])
    reader.start()
    os.environ["TERM"], kept = "xterm-256color", sys.stderr
    os.environ["COLUMNS"] = "100"
    try:
        with os.fdopen(end, "w") as sys.stderr:
            yield
    finally:
        sys.stderr = kept
        reader.join()


def read_all(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # the writer has closed it
        while os.read(descriptor, 1 << 16):
            pass
    os.close(descriptor)


def run_with_page_s(engine: Engine, n_points: int) -> float:
    with engine.dashboard() as page:
        source = page.url.replace("/?", "/events?")
        events = urllib.request.urlopen(source, timeout=60)
        reader = threading.Thread(target=events.read)
        reader.start()
        elapsed_s = run_s(engine, n_points)
    reader.join()
    return elapsed_s


def as_table(results: Mapping[str, Any]) -> str:
    header = ["observer", "seconds", "relative to no observer (95 % interval)"]
    rows = [
        [LABELS[row["way"]], f"{row['seconds']:.2f}", as_cell(row, "ratio")]
        for row in results["rows"]
    ]
    return make_table(header, rows)
