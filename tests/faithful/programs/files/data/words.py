"""A module that tells its file."""

from pathlib import Path


def own_name():
    return Path(__file__).name
