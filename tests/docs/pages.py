"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.conftest import REPOSITORY

__all__ = ["KINDS", "PAGES", "Block", "read_blocks"]

DOCS = REPOSITORY / "docs"

#: By their path in the repository.
PAGES = [
    "README.md",
    *sorted(
        str(path.relative_to(REPOSITORY))
        for path in DOCS.rglob("*.md")
        if "_build" not in path.parts
    ),
]

#: What a fence may say, and whether the block is code. Those in braces are Sphinx's own.
KINDS = {"python": True, "pycon": True, "console": True, "toml": True, "text": False}


class Block(NamedTuple):
    """A fenced block.

    Attributes
    ----------
    kind : str
        What its fence says.
    line : int
        Line of the page that its text starts on.
    text : str
        What it holds.
    """

    kind: str
    line: int
    text: str


def read_blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, in their order."""
    text = (REPOSITORY / page).read_text("utf-8")
    for found in re.finditer(r"^( *)(```+)([^\n]*)\n(.*?)^\1\2$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, found.start(4)) + 1
        yield Block(found[3].strip(), line, found[4])
