"""A package with data."""

from pathlib import Path


def text():
    return Path(__file__).with_name("packed.txt").read_text().strip()
