"""Pictures of results, by Matplotlib: legible in print, on dark pages, and to the colour-blind.

Each function draws into the axes that it is given, or into a figure of its own, and returns the
axes. What tells things apart is never colour alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scoopsci.basics.extras import import_extra
from scoopsci.basics.wording import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_convergence",
    "plot_hosts",
    "plot_receipt",
    "plot_scaling",
    "plot_speedup",
    "plot_times",
    "plot_ways",
    "plot_workers",
]

#: Okabe and Ito's colours, told apart with any colour vision: blue, vermilion, green, orange, sky
#: blue, purple.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7")
HATCHES = ("", "///", "...", "xxx", "---", "ooo")
INK, FAINT = "#222222", "#888888"

#: Where time goes, in the words of a receipt.
CAUSES = {
    "start_up_s": "start-up",
    "serialising_s": "serialising",
    "computing_s": "computing",
    "returning_s": "returning",
    "waiting_s": "waiting",
}

#: More workers than this have no name at their line, which nobody could read.
MOST_NAMES = 32


def plot_convergence(
    convergence: Mapping[str, Any], *, truth: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw how an estimate closes in, with its band.

    Parameters
    ----------
    convergence : mapping
        ``n_samples``, ``value`` and ``half_width``, each of shape (m,), or the last two of shape
        (m, k) for k estimates, of which the first six are drawn.
    truth : float, optional
        The true value, drawn as a line.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With the samples on a logarithmic scale.
    """
    n_samples, values, half_widths = (
        np.asarray(convergence[name], dtype=float) for name in ("n_samples", "value", "half_width")
    )
    values, half_widths = (a.reshape(len(n_samples), -1) for a in (values, half_widths))
    n_lines = min(values.shape[1], len(COLOURS))
    if ax is None:
        ax = _open_axes()
    for i in range(n_lines):
        name = "estimate" if values.shape[1] == 1 else f"estimate {i + 1}"
        centre, half = values[:, i], half_widths[:, i]
        known = np.isfinite(half) & np.isfinite(centre)
        if not known.any():
            continue
        ax.plot(n_samples[known], centre[known], "osD^vP"[i] + "-", color=COLOURS[i], label=name,
                markersize=4)  # fmt: skip
        ax.fill_between(
            n_samples[known], (centre - half)[known], (centre + half)[known],
            color=COLOURS[i], alpha=0.2, linewidth=0, label=None if i else "± half-width",
        )  # fmt: skip
    if truth is not None:
        ax.axhline(truth, color=INK, linestyle="--", linewidth=1, label="true value")
    ax.set(xscale="log", xlim=(n_samples[0] / 1.2, n_samples[-1] * 1.2))
    return _label(ax, "samples", "estimate", legend=bool(ax.get_legend_handles_labels()[1]))


def plot_speedup(
    names: Sequence[str],
    speedups: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    *,
    ideal: float,
    limit: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the speed-up of several engines, with the ideal line.

    Parameters
    ----------
    names : sequence of str
        Of the engines.
    speedups : sequence of float
        Theirs.
    intervals : sequence of tuple of float
        Their intervals.
    ideal : float
        Number of workers: what nothing is lost for.
    limit : float, optional
        What bare processes reach.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With a line for each engine.
    """
    if ax is None:
        ax = _open_axes(height=1.2 + 0.45 * len(names))
    places = np.arange(len(names))
    low, high = np.transpose(intervals)
    centre = np.asarray(speedups, dtype=float)
    ax.barh(places, centre, height=0.55, color=COLOURS[0], alpha=0.85)
    ax.errorbar(centre, places, xerr=[np.maximum(0, centre - low), np.maximum(0, high - centre)],
                fmt="none", ecolor=INK, capsize=4, linewidth=1.2)  # fmt: skip
    ax.axvline(ideal, color=COLOURS[1], linestyle="--", label=f"ideal: {ideal:g}")
    if limit is not None:
        ax.axvline(limit, color=INK, linestyle=":", label=f"bare processes: {limit:.2f}")
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    return _label(ax, "speed-up against serial", "", legend=True)


def plot_scaling(
    n_workers: Sequence[int],
    speedups: Sequence[float],
    intervals: Sequence[tuple[float, float]] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the speed-up over the number of workers, with the ideal line.

    Parameters
    ----------
    n_workers : sequence of int
        Numbers of workers.
    speedups : sequence of float
        Against one.
    intervals : sequence of tuple of float, optional
        Their intervals.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With both scales from zero.
    """
    if ax is None:
        ax = _open_axes()
    ax.plot([0, max(n_workers)], [0, max(n_workers)], "--", color=COLOURS[1], label="ideal")
    centre = np.asarray(speedups, dtype=float)
    low, high = (centre, centre) if intervals is None else np.transpose(intervals)
    ax.errorbar(n_workers, centre, yerr=[np.maximum(0, centre - low), np.maximum(0, high - centre)],
                fmt="o-", color=COLOURS[0], capsize=4, label="measured")  # fmt: skip
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.set_xticks(n_workers)
    return _label(ax, "workers", "speed-up", legend=True)


def plot_times(times: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw where the time went, as a mean worker saw it.

    Parameters
    ----------
    times : mapping
        A receipt; or by name, such as that of an engine, the seconds of each cause: ``start_up_s``,
        ``serialising_s``, ``computing_s``, ``returning_s`` and ``waiting_s``.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With a bar for each name.
    """
    if "run" in times:
        times = {times["run"]["engine"]: times["run"]["times"]}
    if ax is None:
        ax = _open_axes(height=1.6 + 0.45 * len(times))
    left = np.zeros(len(times))
    for i, (cause, name) in enumerate(CAUSES.items()):
        width = np.array([float(split[cause]) for split in times.values()])
        ax.barh(list(times), width, left=left, height=0.55, color=COLOURS[i], hatch=HATCHES[i],
                edgecolor="white", linewidth=0.5, label=name)  # fmt: skip
        left += width
    ax.invert_yaxis()
    return _label(ax, "seconds", "", legend=True)


def plot_workers(receipt: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw a Gantt chart: when each worker was busy, and where workers were lost.

    Of a run of very many tasks, spans stand for several: they are as high as they are busy.

    Parameters
    ----------
    receipt : mapping
        Of a run; see `scoopsci.report.make_receipt`.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With a line for each worker, those of a host side by side.
    """
    run = receipt["run"]
    workers = sorted(run["workers"], key=lambda worker: (worker["host"], worker["pid"]))
    hosts = list(dict.fromkeys(worker["host"] for worker in workers))
    if ax is None:
        ax = _open_axes(height=min(8.0, 1.2 + 0.25 * max(1, len(workers))))
    for line, worker in enumerate(workers):
        i = hosts.index(worker["host"]) % len(COLOURS)
        look: dict[str, Any] = {"facecolor": COLOURS[i], "hatch": HATCHES[i]}
        for height, spans in _group_by_height(worker.get("spans", ())).items():
            ax.broken_barh(
                spans, (line - height / 2, height), edgecolor="white", linewidth=0.3, **look
            )
    losses = run.get("losses", ())
    for i, loss in enumerate(losses):
        ax.axvline(loss["at_s"], color=INK, linestyle=":", linewidth=1,
                   label=None if i else "tasks lost")  # fmt: skip
    if len(workers) <= MOST_NAMES:
        ax.set_yticks(range(len(workers)), [f"{w['host']} {w['pid']}" for w in workers])
    else:
        lines = [[n for n, w in enumerate(workers) if w["host"] == host] for host in hosts]
        ax.set_yticks([float(np.mean(of_host)) for of_host in lines], hosts)
    ax.invert_yaxis()
    ax.set_xlim(0, max(run["elapsed_s"], 1e-9))
    return _label(ax, "seconds since the start", "", legend=bool(losses))


def _group_by_height(
    spans: Sequence[tuple[float, float, float]],
) -> dict[float, list[tuple[float, float]]]:
    """Return where bars begin and how long they are, by their height: the share of busy time."""
    groups: dict[float, list[tuple[float, float]]] = {}
    for start, stop, busy_s in spans:
        share = min(1.0, busy_s / max(stop - start, 1e-9))
        height = 0.8 * max(0.05, round(20 * share) / 20)
        groups.setdefault(height, []).append((start, stop - start))
    return groups


def plot_hosts(receipt: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw how much each host has computed in a second.

    Parameters
    ----------
    receipt : mapping
        Of a run; see `scoopsci.report.make_receipt`.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With a bar for each host.
    """
    run, block_size = receipt["run"], receipt["options"].get("block_size", 1)
    blocks: Counter[str] = Counter()
    n_workers = Counter(worker["host"] for worker in run["workers"])
    for worker in run["workers"]:
        blocks[worker["host"]] += worker["n_blocks"]
    if ax is None:
        ax = _open_axes(height=1.2 + 0.45 * max(1, len(blocks)))
    rates = [n * block_size / max(run["elapsed_s"], 1e-9) for n in blocks.values()]
    bars = ax.barh(
        [f"{host}, {plural(n_workers[host], 'worker')}" for host in blocks], rates,
        height=0.55, color=COLOURS[0],
    )  # fmt: skip
    short = import_extra("matplotlib.ticker", "plot").EngFormatter()
    ax.xaxis.set_major_formatter(short)
    ax.bar_label(bars, [f" {short(float(f'{rate:.3g}'))}" for rate in rates], color=INK)
    ax.margins(x=0.15)
    ax.invert_yaxis()
    unit = "items" if block_size == 1 else "samples"
    return _label(ax, f"{unit} per second", "")


def plot_receipt(kind: str, receipt: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw the run of a receipt.

    Parameters
    ----------
    kind : {"workers", "hosts", "times"}
        See `plot_workers`, `plot_hosts` and `plot_times`.
    receipt : mapping
        See `scoopsci.report.make_receipt`.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        The axes.

    Raises
    ------
    ValueError
        If there is no such plot.
    """
    plots = {"workers": plot_workers, "hosts": plot_hosts, "times": plot_times}
    if kind not in plots:
        raise ValueError(f"a run can be drawn as {', '.join(plots)}; got {kind!r}")
    return plots[kind](receipt, ax=ax)


def plot_ways(
    kind: str,
    speedups: Mapping[str, float],
    n_workers: int,
    receipt: Mapping[str, Any],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw what several ways to do the same have gained, or the run of one of them.

    Parameters
    ----------
    kind : {"speedup", "workers", "hosts", "times"}
        The first draws all ways, by `plot_speedup`; for the others see `plot_receipt`.
    speedups : mapping
        By the name of each way; measured once, so without an interval.
    n_workers : int
        The ideal speed-up.
    receipt : mapping
        Of the run.
    ax : Axes, optional
        Where to draw; by default into a figure of its own.

    Returns
    -------
    Axes
        The axes.

    Raises
    ------
    ValueError
        If there is no such plot.
    """
    if kind != "speedup":
        return plot_receipt(kind, receipt, ax=ax)
    values = list(speedups.values())
    return plot_speedup(list(speedups), values, [(x, x) for x in values], ideal=n_workers, ax=ax)


def _open_axes(height: float = 3.6) -> Axes:
    pyplot = import_extra("matplotlib.pyplot", "plot")
    ax: Axes = pyplot.subplots(figsize=(7.0, height), layout="constrained")[1]
    return ax


def _label(ax: Axes, x: str, y: str, *, legend: bool = False) -> Axes:
    """Give all plots one look; a white ground is legible on pages of any colour."""
    ax.figure.set_facecolor("white")
    ax.set_facecolor("white")
    ax.set_xlabel(x, color=INK)
    ax.set_ylabel(y, color=INK)
    ax.tick_params(colors=INK)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)
    ax.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    if legend:  # above the data, where it hides none of them
        ax.legend(frameon=False, labelcolor=INK, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return ax
