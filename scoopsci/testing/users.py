"""Modules of the user's own, like those beside a program."""

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
    """Write and import a temporary module, and forget it afterwards.

    Parameters
    ----------
    folder : Path
        Folder to write it to.
    name : str
        Its name, not that of any other module.
    text : str
        Its source.

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
