"""Plots of results, by Matplotlib: legible in print, on dark pages, and to the colour-blind.

Each function draws into the axes it is given, or into a new figure, and returns the axes. Nothing
is distinguished by colour alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scoopsci.basics.extras import import_extra
from scoopsci.basics.wording import plural
from scoopsci.reporting.axes import COLOURS, HATCHES, INK, label_axes, open_axes
from scoopsci.reporting.workers import ACTIVITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_convergence",
    "plot_hosts",
    "plot_receipt",
    "plot_scaling",
    "plot_speedup",
    "plot_times",
    "plot_workers",
]

#: With more workers than this, labels would be illegible: hosts are labelled instead.
MOST_NAMES = 32


def plot_convergence(
    convergence: Mapping[str, Any], *, truth: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw how an estimate converges, with its band.

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
    ax = ax or open_axes()
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
    return label_axes(ax, "samples", "estimate", legend=bool(ax.get_legend_handles_labels()[1]))


def plot_speedup(
    names: Sequence[str],
    speedups: Sequence[float],
    intervals: Sequence[tuple[float, float]] | None = None,
    *,
    ideal: float,
    limit: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the speed-ups of several engines or methods, with the ideal line.

    Parameters
    ----------
    names : sequence of str
        Names of the engines or methods.
    speedups : sequence of float
        Their speed-ups.
    intervals : sequence of tuple of float, optional
        Confidence intervals of the speed-ups.
    ideal : float
        The ideal speed-up: the number of workers.
    limit : float, optional
        Speed-up of bare processes.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With a bar for each engine or method.
    """
    ax = ax or open_axes(height=1.2 + 0.45 * len(names))
    places = np.arange(len(names))
    ax.barh(places, speedups, height=0.55, color=COLOURS[0], alpha=0.85)
    ax.errorbar(speedups, places, xerr=_find_errors(speedups, intervals), fmt="none", ecolor=INK,
                capsize=4, linewidth=1.2)  # fmt: skip
    ax.axvline(ideal, color=COLOURS[1], linestyle="--", label=f"ideal: {ideal:g}")
    if limit is not None:
        ax.axvline(limit, color=INK, linestyle=":", label=f"bare processes: {limit:.2f}")
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    return label_axes(ax, "speed-up over serial", "", legend=True)


def plot_scaling(
    n_workers: Sequence[int],
    speedups: Sequence[float],
    intervals: Sequence[tuple[float, float]] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the speed-up against the number of workers, with the ideal line.

    Parameters
    ----------
    n_workers : sequence of int
        Numbers of workers.
    speedups : sequence of float
        Speed-ups over one worker.
    intervals : sequence of tuple of float, optional
        Confidence intervals of the speed-ups.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With both axes from zero.
    """
    ax = ax or open_axes()
    ax.plot([0, max(n_workers)], [0, max(n_workers)], "--", color=COLOURS[1], label="ideal")
    ax.errorbar(n_workers, speedups, yerr=_find_errors(speedups, intervals), fmt="o-",
                color=COLOURS[0], capsize=4, label="measured")  # fmt: skip
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.set_xticks(n_workers)
    return label_axes(ax, "workers", "speed-up", legend=True)


def _find_errors(
    speedups: Sequence[float], intervals: Sequence[tuple[float, float]] | None
) -> list[Any]:
    """Return the lengths of error bars, below and above."""
    centre = np.asarray(speedups, dtype=float)
    low, high = (centre, centre) if intervals is None else np.transpose(intervals)
    return [np.maximum(0, centre - low), np.maximum(0, high - centre)]


def plot_times(times: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw how the time was spent, averaged over the workers.

    Parameters
    ----------
    times : mapping
        A receipt; or the seconds spent on each activity, keyed by the names of engines, say:
        ``start_up_s``, ``serialising_s``, ``computing_s``, ``returning_s`` and ``waiting_s``.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With a bar for each name.
    """
    if "run" in times:
        times = {times["run"]["engine"]: times["run"]["times"]}
    ax = ax or open_axes(height=1.6 + 0.45 * len(times))
    left = np.zeros(len(times))
    for i, (activity, name) in enumerate(ACTIVITIES.items()):
        width = np.array([float(split[activity]) for split in times.values()])
        ax.barh(list(times), width, left=left, height=0.55, color=COLOURS[i], hatch=HATCHES[i],
                edgecolor="white", linewidth=0.5, label=name)  # fmt: skip
        left += width
    ax.invert_yaxis()
    return label_axes(ax, "seconds", "", legend=True)


def plot_workers(receipt: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw a Gantt chart: when each worker was busy, and where workers were lost.

    In a run of very many tasks, a span covers several: its height is the share of busy time.

    Parameters
    ----------
    receipt : mapping
        Receipt of a run; see `scoopsci.report.make_receipt`.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        With a line for each worker, grouped by host.
    """
    run = receipt["run"]
    workers = sorted(run["workers"], key=lambda worker: (worker["host"], worker["pid"]))
    hosts = list(dict.fromkeys(worker["host"] for worker in workers))
    ax = ax or open_axes(height=min(8.0, 1.2 + 0.25 * max(1, len(workers))))
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
    return label_axes(ax, "seconds since the start", "", legend=bool(losses))


def _group_by_height(
    spans: Sequence[tuple[float, float, float]],
) -> dict[float, list[tuple[float, float]]]:
    """Return the start and length of bars, keyed by height: the share of busy time."""
    groups: dict[float, list[tuple[float, float]]] = {}
    for start, stop, busy_s in spans:
        share = min(1.0, busy_s / max(stop - start, 1e-9))
        height = 0.8 * max(0.05, round(20 * share) / 20)
        groups.setdefault(height, []).append((start, stop - start))
    return groups


def plot_hosts(receipt: Mapping[str, Any], *, ax: Axes | None = None) -> Axes:
    """Draw the throughput of each host.

    Parameters
    ----------
    receipt : mapping
        Receipt of a run; see `scoopsci.report.make_receipt`.
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
    ax = ax or open_axes(height=1.2 + 0.45 * max(1, len(blocks)))
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
    return label_axes(ax, f"{unit} per second", "")


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
        If `kind` is unknown.
    """
    plots = {"workers": plot_workers, "hosts": plot_hosts, "times": plot_times}
    if kind not in plots:
        raise ValueError(f"a run can be drawn as {', '.join(plots)}; got {kind!r}")
    return plots[kind](receipt, ax=ax)
