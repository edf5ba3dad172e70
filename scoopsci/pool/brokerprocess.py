"""The process of a pool's broker, as the driver starts and ends it, and its folder."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

__all__ = ["BrokerProcess", "name_folder"]

#: Addresses of UNIX sockets have at most 107 bytes, and ssh appends 17 to its own temporarily.
LONGEST_FOLDER = 60

#: Other names could contain ssh's own syntax: blanks, %h, ${HOME}, here:there.
PLAIN_FOLDER = re.compile(r"[\w./+=@-]+", re.ASCII)

#: A broker that does not end within this time is killed.
END_S = 10


class BrokerProcess:
    """Starts the broker of a pool.

    Parameters
    ----------
    config : dict
        For `scoopsci.pool.broker.PoolBroker`.

    Attributes
    ----------
    pid : int
        Of the process.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._folder = config["folder"]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scoopsci.pool.broker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(config).encode() + b"\n")
        self._process.stdin.flush()

    def wait(self) -> int:
        """Wait for its end, and return its exit status."""
        return self._process.wait()

    def end(self) -> None:
        """End it, and with it all agents and workers."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def name_folder() -> str:
    """Name the folder that the broker will make: a driver killed before that leaves none behind."""
    for parent in (tempfile.gettempdir(), "/tmp"):
        folder = os.path.abspath(f"{parent}/scoopsci-{secrets.token_urlsafe(8)}")
        if len(os.fsencode(folder)) <= LONGEST_FOLDER and PLAIN_FOLDER.fullmatch(folder):
            break
    return folder
