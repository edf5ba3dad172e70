"""Installs an environment like this one on hosts that lack it, separate from the user's own.

It is put into ``~/.local/share/scoopsci`` there, or ``$XDG_DATA_HOME/scoopsci``, one for each
version of scoopsci and Python, and `scoopsci.pool.place.Place` finds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from scoopsci.deployment import environment
from scoopsci.deployment.doctor import MOST_AT_ONCE, Check, Diagnosis, examine_hosts
from scoopsci.deployment.wheels import check_sources, gather_wheels, hash_wheels
from scoopsci.hosts import read_hostfile
from scoopsci.pool.agent import MARK
from scoopsci.pool.place import Place, name_environment, pack_program

__all__ = ["install_hosts"]

#: Failed checks that an installation fixes.
FIXABLE = {"python", "packages"}

#: Enough for all wheels over a slow link, and for a slow disk.
INSTALL_S = 3600.0

#: ssh gives up a connection after this many seconds of silence, as while wheels fill a slow link.
PATIENCE_S = 60.0

#: Size of the wheels and the environment, in multiples of the wheels; 4.6 was measured.
GROWTH = 5.0

VERSION = "{}.{}".format(*sys.version_info)

#: For the host's sh, like `scoopsci.pool.place.CHOICE`: run $0 with the first suitable Python.
SEARCH = (
    'for p in "$@"; do if "$p" -I -c "import sys, fcntl, venv; '
    f'assert sys.version_info[:2] == {sys.version_info[:2]}" </dev/null >/dev/null 2>&1; '
    'then exec "$p" -I -c "$0"; fi; done; '
    f'echo "no Python {VERSION} with the module venv found as: $*" >&2; exit 127'
)

#: Errors there, and their remedies.
REMEDIES = (
    ("no Python", f"install Python {VERSION} there, with its module venv, or name it by --python"),
    ("No space left", "free space there: {room} below {data}"),
    ("quota exceeded", "free space there: {room} below {data}"),
    ("Read-only", "make {data} writable for you there, or set XDG_DATA_HOME for its logins"),
    ("Permission denied", "make {data} writable for you there"),
    ("not a supported wheel", "give wheels built for that host by --wheels"),
)


class _Delivery:
    """Installs the same wheels on several hosts."""

    def __init__(self, wheels: Sequence[Path]) -> None:
        self._wheels = wheels
        self._digest = hash_wheels(wheels)
        self._n_bytes = sum(wheel.stat().st_size for wheel in wheels)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._is_abandoned = False

    def deliver(self, place: Place, pythons: Sequence[str], renew: bool) -> Check:
        """Install on a host, and return the outcome."""
        program, line = pack_program(
            environment.install,
            environment=name_environment(),
            digest=self._digest,
            wheels=[wheel.name for wheel in self._wheels],
            renew=renew,
        )
        process = subprocess.Popen(
            place.prepare().reach(["sh", "-c", SEARCH, program, *pythons]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._processes.append(process)
        if self._is_abandoned:
            process.kill()
        limit = threading.Timer(INSTALL_S, process.kill)
        limit.start()
        words = b""
        try:
            # It may have ended, or need no wheels. Our end stays open: closing it would end it.
            with contextlib.suppress(BrokenPipeError), process:
                assert process.stdin is not None
                assert process.stdout is not None
                with contextlib.suppress(BrokenPipeError):
                    self._write(process.stdin, line)
                words = process.stdout.read()
        finally:
            limit.cancel()
        return self._judge(words.decode(errors="replace"))

    def abandon(self) -> None:
        """End the connections, and thereby the installations."""
        self._is_abandoned = True
        for process in self._processes:
            process.kill()

    def _write(self, stream: IO[bytes], line: dict[str, Any]) -> None:
        stream.write(json.dumps(line).encode() + b"\n")
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            for wheel in self._wheels:
                archive.add(wheel, wheel.name)
        stream.flush()

    def _judge(self, words: str) -> Check:
        match = re.search(f"{MARK}({{.*}})", words)  # amid the output of a login shell
        answer = json.loads(match[1]) if match else {"problem": words}
        problem = answer["problem"]
        if problem is None:
            return Check("installation", True, answer["folder"])
        last = (problem.strip() or "it ended without a message").splitlines()[-1]
        room, data = f"{GROWTH * self._n_bytes / 1e6:.0f} MB", answer.get("data", "~/.local/share")
        for sign, remedy in REMEDIES:
            if sign in problem:
                return Check("installation", False, last, remedy.format(room=room, data=data))
        return Check("installation", False, last, "try again; the unfinished one is not used")


def install_hosts(
    hostfile: str | os.PathLike[str],
    *,
    python: str | os.PathLike[str] | None = None,
    ssh: str | os.PathLike[str] = "ssh",
    timeout: float = 15.0,
    wheels: str | os.PathLike[str] | None = None,
    requirements: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Diagnosis]:
    """Install an environment on the hosts that lack one, and examine all hosts again.

    Parameters
    ----------
    hostfile : path-like
        Names the hosts; nothing is installed on this machine.
    python : path-like, optional
        The interpreter there that makes the environment; by default the same path as here, or else
        one of the same minor version on the host's PATH.
    ssh : path-like
        The ssh program.
    timeout : float
        Seconds for each examination of a host.
    wheels : path-like, optional
        A folder of wheels; by default they come from pip's index.
    requirements : path-like, optional
        A requirements file of further packages for every host.
    tell : callable, optional
        Called with a line of text before each step that takes a while.

    Returns
    -------
    list of Diagnosis
        In the order of the hostfile.

    Raises
    ------
    HostfileError, InstallError, ValueError
        If the hostfile, the wheels or the requirements are missing or invalid.

    Notes
    -----
    The hosts need no network: about 65 MB go to each over its SSH connection.
    """
    check_sources(wheels, requirements)
    diagnoses = examine_hosts(hostfile, ssh=ssh, timeout=timeout)
    with tempfile.TemporaryDirectory(prefix="scoopsci-", dir="/tmp") as folder:
        places = [
            Place.of(
                host, python=python, ssh=ssh, patience_s=PATIENCE_S, own_control=f"{folder}/{i}"
            )
            for i, host in enumerate(read_hostfile(hostfile))
        ]
        chosen = [
            i
            for i, (place, diagnosis) in enumerate(zip(places, diagnoses, strict=True))
            if place.destination is not None
            and (_is_fixable(diagnosis) or (requirements is not None and _answers(diagnosis)))
        ]
        if not chosen:
            tell("nothing to install")
            return diagnoses
        tell("gathering wheels")
        with gather_wheels(wheels, requirements) as gathered:
            tell(f"installing on {', '.join(diagnoses[i].host for i in chosen)}")
            found = _deliver(
                _Delivery(gathered),
                [places[i] for i in chosen],
                [] if python is not None else [f"python{VERSION}"],
                [_is_fixable(diagnoses[i]) for i in chosen],
            )
    again = examine_hosts(hostfile, ssh=ssh, timeout=timeout)
    for i, check in zip(chosen, found, strict=True):
        again[i] = replace(again[i], checks=(*again[i].checks, check))
    return again


def _is_fixable(diagnosis: Diagnosis) -> bool:
    return any(check.name in FIXABLE and not check.ok for check in diagnosis.checks)


def _answers(diagnosis: Diagnosis) -> bool:
    return any(check.name == "connection" and check.ok for check in diagnosis.checks)


def _deliver(
    delivery: _Delivery, places: Sequence[Place], pythons: Sequence[str], renew: Sequence[bool]
) -> list[Check]:
    candidates = [[place.python, *pythons] for place in places]
    with ThreadPoolExecutor(min(len(places), MOST_AT_ONCE)) as threads:
        try:
            return list(threads.map(delivery.deliver, places, candidates, renew))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            delivery.abandon()
            raise
