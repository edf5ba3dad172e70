"""A module that only the program can import: it needs a screen."""

import datetime
import os

import numpy as np

if os.environ.get("SCREEN_OF") != str(os.getpid()):
    raise RuntimeError("there is no screen")

FLOAT = np.dtype("f8")
UTC = datetime.timezone.utc  # noqa: UP017


def show(x):
    print("shown", x)
