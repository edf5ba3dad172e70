"""The floors of the package as a picture, from the contract that import-linter keeps.

``python -m tests.floors`` writes it anew.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator

from tests.conftest import REPOSITORY

PICTURE = REPOSITORY / "docs" / "floors.svg"

WIDTH, FLOOR, GAP = 640, 34, 6

STYLE = """\
  <style>
    rect { fill: #f4f6f8; stroke: #35566b; stroke-width: 1.5 }
    text { text-anchor: middle; fill: #1c2b35 }
  </style>"""


def read_floors() -> list[list[str]]:
    """Return the rooms of each floor, from the top down."""
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg")
    layers = settings["importlinter:contract:rooms"]["layers"].split("\n")
    return [
        [name.strip(" ()").removeprefix("scoopsci.") for name in layer.split("|")]
        for layer in filter(None, layers)
    ]


def draw(floors: list[list[str]]) -> str:
    """Return the picture: a row for each floor, whose rooms may import those below."""
    height = len(floors) * (FLOOR + GAP) + GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="14">',
            "  <title>The rooms of the package: imports run downwards only</title>",
            STYLE,
            f'  <rect width="{WIDTH}" height="{height}" style="fill:#ffffff;stroke:none"/>',
            *(box for row, rooms in enumerate(floors) for box in _draw_floor(row, rooms)),
            "</svg>\n",
        ]
    )


def _draw_floor(row: int, rooms: list[str]) -> Iterator[str]:
    width = (WIDTH - GAP) / len(rooms)
    top = GAP + row * (FLOOR + GAP)
    for column, room in enumerate(rooms):
        left = GAP + column * width
        yield (
            f'  <rect x="{left:g}" y="{top}" width="{width - GAP:g}" height="{FLOOR}" rx="5"/>'
            f'<text x="{left + (width - GAP) / 2:g}" y="{top + 22}">{room}</text>'
        )


if __name__ == "__main__":
    PICTURE.write_text(draw(read_floors()), "utf-8")
