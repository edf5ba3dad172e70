# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""A SCOOP program that needs a module and a file in its folder, and data from elsewhere."""

import pathlib
import platform
import sys
import time

import beside  # type: ignore[import-not-found]
from scoop import futures


def read(pause_s):
    time.sleep(pause_s)
    words = [pathlib.Path(name).read_text() for name in ("words.txt", "data/more.txt")]
    return platform.node(), beside.join(words)


def main(n_tasks, pause_s):
    print("begins", flush=True)
    for host, text in futures.map(read, [pause_s] * n_tasks):
        print(host, text, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
