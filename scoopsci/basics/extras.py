"""Optional packages: imported when needed; the error for a missing one names the extra."""

from __future__ import annotations

import importlib
from typing import Any

from scoopsci.basics.interrupts import uninterrupted
from scoopsci.errors import ExtraMissingError

__all__ = ["import_extra"]


def import_extra(module: str, extra: str) -> Any:
    """Import a module that an extra of scoopsci provides, or raise an `ExtraMissingError`.

    Examples
    --------
    >>> import_extra("fractions", "plot").Fraction(1, 2) * 2
    Fraction(1, 1)
    """
    try:
        with uninterrupted():
            return importlib.import_module(module)
    except ImportError as error:
        package = (error.name or module).partition(".")[0]
        raise ExtraMissingError(
            f"{package} cannot be imported ({error}); pip install 'scoopsci[{extra}]'"
        ) from None
