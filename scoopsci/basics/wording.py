"""Numbers formatted for people."""

from __future__ import annotations

import math

__all__ = ["format_duration", "format_with_error", "plural", "shorten"]


def plural(number: int, noun: str) -> str:
    """Format a number with its noun, in the singular or the plural.

    Examples
    --------
    >>> plural(1, "block"), plural(1_000, "block")
    ('1 block', '1,000 blocks')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shorten(number: float) -> str:
    """Format a number to three digits with an SI prefix, for a unit to follow.

    Examples
    --------
    >>> [shorten(number) + "points" for number in (12.0, 1_234.0, 5.6e9)]
    ['12 points', '1.23 k points', '5.6 G points']
    """
    for size, sign in ((1e9, "G "), (1e6, "M "), (1e3, "k ")):
        if number >= size:
            return f"{number / size:.3g} {sign}"
    return f"{number:.3g} "


def format_duration(seconds: float) -> str:
    """Format a duration.

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


def format_with_error(value: float, half_width: float) -> str:
    """Format a value to the decimal place of the second digit of its error.

    Parameters
    ----------
    value, half_width : float
        The estimate and its error.

    Returns
    -------
    str
        Both, to the same decimal place.

    Examples
    --------
    >>> format_with_error(3.14159265, 0.000123)
    '3.14159 ± 0.00012'
    """
    finite = math.isfinite(value) and math.isfinite(half_width)
    if not finite or half_width <= 1e-15 or abs(value) >= 1e15:
        return f"{value:.10g} ± {half_width:.2g}"
    n_decimals = max(0, 1 - math.floor(math.log10(half_width)))
    return f"{value:.{n_decimals}f} ± {half_width:.{n_decimals}f}"
