"""Installs an environment like this one on the hosts that lack it, apart from the user's own.

It lies in ``~/.local/share/scoopsci`` there, or in ``$XDG_DATA_HOME/scoopsci``, one for each
version of scoopsci and Python, and `scoopsci.pool.launcher.Place` finds it by itself.
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
from scoopsci.pool.launcher import Place, name_environment, pack_program

__all__ = ["install_hosts"]

#: What an environment can cure.
CURABLE = {"python", "packages"}

#: For all wheels over a slow link, and a slow disk behind it.
INSTALL_S = 3600.0

#: ssh gives up what is silent for so long; the wheels may fill a slow link for a while.
PATIENCE_S = 60.0

#: What the wheels and the environment take together, in sizes of the wheels; 4.6 was measured.
GROWTH = 5.0

VERSION = "{}.{}".format(*sys.version_info)

#: For the host's sh, as `scoopsci.pool.launcher.CHOICE`: run $0 by the first interpreter that fits.
SEARCH = (
    'for p in "$@"; do if "$p" -I -c "import sys, fcntl, venv; '
    f'assert sys.version_info[:2] == {sys.version_info[:2]}" </dev/null >/dev/null 2>&1; '
    'then exec "$p" -I -c "$0"; fi; done; '
    f'echo "no Python {VERSION} with the module venv is there as: $*" >&2; exit 127'
)

#: What hinders, and what to do about it.
REMEDIES = (
    ("no Python", f"install Python {VERSION} there, with its module venv, or name it by --python"),
    ("No space left", "make room there: {room} below {data}"),
    ("quota exceeded", "make room there: {room} below {data}"),
    ("Read-only", "let yourself write below {data} there, or set XDG_DATA_HOME for its logins"),
    ("Permission denied", "let yourself write below {data} there"),
    ("not a supported wheel", "give wheels that suit it by --wheels"),
)


class _Delivery:
    """Wheels on their way to hosts."""

    def __init__(self, wheels: Sequence[Path]) -> None:
        self._wheels = wheels
        self._digest = hash_wheels(wheels)
        self._n_bytes = sum(wheel.stat().st_size for wheel in wheels)
        self._underway: list[subprocess.Popen[bytes]] = []
        self._is_abandoned = False

    def deliver(self, place: Place, pythons: Sequence[str], renew: bool) -> Check:
        """Install on a host, and return what came of it."""
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
        self._underway.append(process)
        if self._is_abandoned:
            process.kill()
        limit = threading.Timer(INSTALL_S, process.kill)
        limit.start()
        words = b""
        try:
            # It may have ended, or need no wheels. Our end stays open: it would end with that.
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
        """End what is underway, and thereby the installations."""
        self._is_abandoned = True
        for process in self._underway:
            process.kill()

    def _write(self, stream: IO[bytes], line: dict[str, Any]) -> None:
        stream.write(json.dumps(line).encode() + b"\n")
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            for wheel in self._wheels:
                archive.add(wheel, wheel.name)
        stream.flush()

    def _judge(self, words: str) -> Check:
        told = re.search(f"{MARK}({{.*}})", words)  # between what a login shell may add
        answer = json.loads(told[1]) if told else {"hindrance": words}
        hindrance = answer["hindrance"]
        if hindrance is None:
            return Check("installation", True, answer["folder"])
        last = (hindrance.strip() or "it ended without a word").splitlines()[-1]
        room, data = f"{GROWTH * self._n_bytes / 1e6:.0f} MB", answer.get("data", "~/.local/share")
        for sign, remedy in REMEDIES:
            if sign in hindrance:
                return Check("installation", False, last, remedy.format(room=room, data=data))
        return Check("installation", False, last, "try again; what was begun is not used")


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
        Names the hosts; this machine is left alone.
    python : path-like, optional
        The interpreter there that makes the environment; by default the path of this one, or else
        what the host's PATH has of the same minor version.
    ssh : path-like
        The program that reaches them.
    timeout : float
        Seconds for each examination of a host.
    wheels : path-like, optional
        A folder of wheels; by default they come from pip's index.
    requirements : path-like, optional
        A requirements file of packages that every host gets along with it.
    tell : callable, optional
        Gets a line where something takes a while.

    Returns
    -------
    list of Diagnosis
        In the order of the hostfile.

    Raises
    ------
    HostfileError, InstallError, ValueError
        If the hostfile, the wheels or the requirements are not as they should be.

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
            and (_is_curable(diagnosis) or (requirements is not None and _answers(diagnosis)))
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
                [_is_curable(diagnoses[i]) for i in chosen],
            )
    again = examine_hosts(hostfile, ssh=ssh, timeout=timeout)
    for i, check in zip(chosen, found, strict=True):
        again[i] = replace(again[i], checks=(*again[i].checks, check))
    return again


def _is_curable(diagnosis: Diagnosis) -> bool:
    return any(check.name in CURABLE and not check.ok for check in diagnosis.checks)


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
