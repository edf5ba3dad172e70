"""Modules of the user's own, as they lie beside a program."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

__all__ = ["users_module"]


@contextmanager
def users_module(folder: Path, name: str, text: str) -> Iterator[ModuleType]:
    """Import a module that is written for the purpose, and forget it afterwards.

    Parameters
    ----------
    folder : Path
        Where to write it.
    name : str
        Its name, which no other module has.
    text : str
        What it holds.

    Yields
    ------
    module
        The module, which no worker can import.
    """
    (folder / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        try:
            yield importlib.import_module(name)
        finally:
            sys.modules.pop(name, None)
