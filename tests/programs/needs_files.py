# mypy: disable-error-code="no-untyped-def,no-untyped-call"
"""A SCOOP program that needs a module and a file in its folder, and data from elsewhere."""

import pathlib
import platform
import sys
import time

import beside  # type: ignore[import-not-found]
from scoop import futures


def wait_for(path):
    pathlib.Path(f"{path}.awaited").touch()
    while not pathlib.Path(path).exists():
        time.sleep(0.05)


def read(pause_s, go):
    """Read files after a pause; wait for a file on this host before it, if one is named."""
    if go is not None:
        wait_for(go)
    time.sleep(pause_s)
    words = [pathlib.Path(name).read_text() for name in ("words.txt", "data/more.txt")]
    return platform.node(), beside.join(words)


def main(n_tasks, pause_s, go=None):
    print("begins", flush=True)
    for host, text in futures.map(read, [pause_s] * n_tasks, [go] * n_tasks):
        print(host, text, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:])
