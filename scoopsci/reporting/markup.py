"""Results as HTML, for notebooks and reports: tables in the colours of the surrounding page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["as_facts", "as_notes", "as_table"]

_CELL = "padding: 0.2em 0.8em"
_NUMBER = f"{_CELL}; text-align: right; font-variant-numeric: tabular-nums"
_WORD = f"{_CELL}; text-align: left"


def as_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, n_words: int = 1) -> str:
    """Make a table.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        The cells.
    n_words : int
        Number of leading columns that hold words; the others hold numbers.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> as_table(["a"], [["<b>"]]).count("&lt;b&gt;")
    1
    """
    styles = [_WORD if i < n_words else _NUMBER for i in range(len(header))]
    head = "".join(
        f"<th scope='col' style='{style}'>{html.escape(name)}</th>"
        for name, style in zip(header, styles, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td style='{style}'>{html.escape(cell)}</td>"
            for cell, style in zip(row, styles, strict=False)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def as_facts(facts: Mapping[str, str]) -> str:
    """Make a table of names and values."""
    rows = "".join(
        f"<tr><th scope='row' style='{_WORD}'>{html.escape(name)}</th>"
        f"<td style='{_WORD}'>{html.escape(fact)}</td></tr>"
        for name, fact in facts.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def as_notes(notes: Iterable[str]) -> str:
    """Make a paragraph of each note."""
    return "".join(f"<p>{html.escape(note)}</p>" for note in notes)
