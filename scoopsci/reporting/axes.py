"""The look that all plots share: colours, hatches, a white background, one style of axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoopsci.basics.extras import import_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "HATCHES", "INK", "label_axes", "open_axes"]

#: The Okabe-Ito palette, safe for colour-blind readers: blue, vermilion, green, orange, sky blue,
#: purple.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7")
HATCHES = ("", "///", "...", "xxx", "---", "ooo")
INK, FAINT = "#222222", "#888888"


def open_axes(height: float = 3.6) -> Axes:
    """Open the axes of a new figure, of a height in inches."""
    pyplot = import_extra("matplotlib.pyplot", "plot")
    ax: Axes = pyplot.subplots(figsize=(7.0, height), layout="constrained")[1]
    return ax


def label_axes(ax: Axes, x: str, y: str, *, legend: bool = False) -> Axes:
    """Label axes and style them; a white background is legible on pages of any colour."""
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
