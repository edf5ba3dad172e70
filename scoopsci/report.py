"""Reports: a result, and the run that it comes from, on one self-contained page."""

from __future__ import annotations

import dataclasses
import io
import json
import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, Protocol

from scoopsci.basics.extras import import_extra
from scoopsci.basics.wording import format_with_error, plural
from scoopsci.estimation.estimates import Estimate
from scoopsci.mergesort import SortResult
from scoopsci.reporting.markup import as_facts, as_table
from scoopsci.reporting.plots import (
    plot_convergence,
    plot_hosts,
    plot_receipt,
    plot_scaling,
    plot_speedup,
    plot_times,
    plot_workers,
)
from scoopsci.reporting.receipts import (
    as_plain,
    battery_hash,
    make_receipt,
    write_receipt,
    write_whole,
)

__all__ = [
    "battery_hash",
    "format_with_error",
    "make_receipt",
    "plot_convergence",
    "plot_hosts",
    "plot_receipt",
    "plot_scaling",
    "plot_speedup",
    "plot_times",
    "plot_workers",
    "write_receipt",
    "write_report",
]

#: Captions of the plots.
CAPTIONS = {
    "convergence": "Convergence of the estimate: its value and interval against the samples drawn.",
    "speedup": "Speed-up over serial, with the ideal line.",
    "workers": "When each worker was busy.",
    "hosts": "Throughput of each host.",
    "times": "How the time was spent, averaged over the workers.",
}


class Result(Protocol):
    """What can be reported: an estimate, a comparison or a sort."""

    def plot(self, kind: Any, /, *, ax: Any) -> Any:
        """Draw one of its kinds of plots."""

    def _repr_html_(self) -> str:
        """Return its tables."""


def check_extras() -> None:
    """Raise an `ExtraMissingError` if a package that reports need is missing."""
    import_extra("jinja2", "plot")
    import_extra("matplotlib.figure", "plot")


def write_report(
    result: Result, path: str | os.PathLike[str], *, command: str | None = None
) -> None:
    """Write a report of a result.

    Parameters
    ----------
    result : Estimate, Comparison, SortResult, MapComparison or SortComparison
        The result.
    path : path-like
        The page; an existing one is replaced.
    command : str, optional
        The command line that repeats it.

    Raises
    ------
    ExtraMissingError
        If Matplotlib or Jinja2 is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import scoopsci, tempfile
    >>> from scoopsci.report import write_report
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(scoopsci.pi(1_000_000, seed=7, engine="serial"), f"{folder}/pi.html")
    """
    check_extras()
    jinja2 = import_extra("jinja2", "plot")
    template = files("scoopsci").joinpath("report.html").read_text("utf-8")
    page = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(template)
    write_whole(page.render(_describe(result, command)), path)


def _describe(result: Result, command: str | None) -> dict[str, Any]:
    """Return the variables of the template; tables are HTML already."""
    markup = import_extra("markupsafe", "plot").Markup
    receipt: Mapping[str, Any] | None = getattr(result, "receipt", None)
    facts: Mapping[str, Any] = getattr(result, "facts", {}) if receipt is None else receipt
    workload = getattr(result, "workload", None) if receipt is None else receipt["workload"]
    choices = {**facts["options"], **{k: facts[k] for k in ("stream", "code") if facts.get(k)}}
    commands = [] if command is None else [command]
    return {
        "title": f"scoopsci: {workload}",
        "subtitle": _describe_run(facts),
        "result": markup(result._repr_html_()),
        "plots": list(_draw_all(result, receipt)),
        "workers": None if receipt is None else markup(_tabulate_workers(receipt["run"])),
        "losses": None if receipt is None else markup(_tabulate_losses(receipt["run"])),
        "versions": markup(as_facts(facts["versions"])),
        "commands": [*commands, *facts.get("commands", {}).values()],
        "options": markup(as_facts({name: _as_text(choice) for name, choice in choices.items()})),
        "figures": json.dumps(_find_figures(result), indent=1, ensure_ascii=False),
    }


def _describe_run(facts: Mapping[str, Any]) -> str:
    run = facts.get("run")
    if run is None:  # of a comparison, in which each run is a separate process
        return f"{plural(facts['n_rounds'], 'round')}, {plural(facts['n_processors'], 'processor')}"
    hosts = {worker["host"] for worker in run["workers"]}
    return (
        f"Engine {run['engine']}, {plural(run['n_workers'], 'worker')} on "
        f"{plural(len(hosts), 'host')}, {run['elapsed_s']:.2f} s; written {facts['written']}."
    )


def _draw_all(result: Result, receipt: Mapping[str, Any] | None) -> Iterator[dict[str, str]]:
    """Draw all plots of a result, as images to embed in the page."""
    first = "convergence" if isinstance(result, Estimate) else "speedup"
    kinds = [first] if not isinstance(result, SortResult) else []
    kinds += ["times"] if receipt is None else ["workers", "hosts", "times"]
    matplotlib = import_extra("matplotlib", "plot")
    plain = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    for kind in kinds:
        with matplotlib.rc_context(plain):  # not in the user's style, which may need LaTeX
            picture = _draw(result, kind)
        yield {"caption": CAPTIONS[kind], "data": b64encode(picture).decode()}


def _draw(result: Result, kind: str) -> bytes:
    # Not a figure of pyplot's: those are the user's, and need a display of some kind.
    figure = import_extra("matplotlib.figure", "plot").Figure((7.0, 3.2), layout="constrained")
    ax = figure.subplots()
    result.plot(kind, ax=ax)
    if kind != "convergence":  # which has no line for each engine or worker
        low, high = sorted(ax.get_ylim())
        figure.set_figheight(min(8.0, 1.2 + 0.4 * max(1.0, high - low)))
    picture = io.BytesIO()
    figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


def _tabulate_workers(run: Mapping[str, Any]) -> str:
    header = ["host", "process", "blocks", "busy, s", "Python", "NumPy", "numerics"]
    rows = [
        [
            *(worker["host"], str(worker["pid"]), f"{worker['n_blocks']:,}"),
            f"{worker['elapsed_s']:.2f}",
            *(worker[fact] for fact in ("python", "numpy", "battery")),
        ]
        for worker in run["workers"]
    ]
    return as_table(header, rows, n_words=2)


def _tabulate_losses(run: Mapping[str, Any]) -> str:
    counts = {
        "tasks lost with their workers, and resubmitted": run["n_lost_tasks"],
        "tasks that raised an exception, and were retried": run["n_retried_tasks"],
        "blocks taken from a ledger": run.get("n_recalled_blocks"),  # a sort has none
    }
    table = as_facts({name: f"{n:,}" for name, n in counts.items() if n is not None})
    if not run["losses"]:
        return table
    rows = (
        [f"{loss['at_s']:.1f}", loss["host"], f"{loss['n_blocks']:,}", loss["why"]]
        for loss in run["losses"]
    )
    return table + as_table(["after, s", "host", "blocks", "reason"], rows, n_words=4)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _find_figures(result: Result) -> Any:
    if isinstance(result, Estimate):
        return result.receipt
    if isinstance(result, SortResult):
        result = dataclasses.replace(result, values=None)  # of which there may be many
    assert dataclasses.is_dataclass(result)
    figures = dataclasses.asdict(result)
    figures.pop("values", None)
    return as_plain(figures)
