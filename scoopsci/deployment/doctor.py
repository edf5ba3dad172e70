"""The hosts' doctor: examines every host before a run, and names a remedy for each problem."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from scoopsci.basics.arguments import check_seconds
from scoopsci.deployment import probe
from scoopsci.hosts import Host, read_hostfile
from scoopsci.pool.launcher import AgentProcess
from scoopsci.pool.place import Place, pack_program
from scoopsci.reporting.markup import as_table
from scoopsci.reporting.receipts import battery_hash, software_versions

__all__ = ["Check", "Diagnoses", "Diagnosis", "examine_hosts", "show_diagnoses"]

#: Packages whose versions must equal ours: results and pickles depend on them.
SAME = ("scoopsci", "numpy", "scipy", "cloudpickle")

#: Clocks may differ by this much; times in receipts and ledgers come from all hosts.
CLOCK_S = 60.0

#: Least memory for a worker, and least space for a pool's files in the scratch folder.
WORKER_BYTES, SCRATCH_BYTES = 100_000_000, 100_000_000

MOST_AT_ONCE = 64

#: Checks shown in the row of a host.
SHOWN = ("python", "processors", "memory", "scratch")

#: A probe ends with its connection, which takes no longer.
PARTING_S = 0.5

#: Share of the time for a host in which ssh must connect.
CONNECTING = 0.6

#: Remedy for missing packages, where the right Python is installed.
INSTALL = "scoopsci hosts HOSTFILE --install prepares it"

#: Messages of ssh (regular expressions), the check that failed, and the remedy.
COMPLAINTS = (
    ("Could not resolve hostname", "name",
     "write its address into the hostfile or /etc/hosts, or a HostName into ~/.ssh/config"),
    ("HAS CHANGED", "host key",
     "ask the host's administrator for the new key's fingerprint; if it matches, remove the old "
     "key (ssh-keygen -R, with the name that ssh gives) and log in once with {ssh}; if it "
     "does not, the connection is being intercepted"),
    ("Host key verification failed", "host key",
     "log in once with {ssh}, and compare the fingerprint"),
    ("Permission denied", "login", "install your key there: ssh-copy-id {destination}"),
    ("Connection refused", "connection", "start sshd there, or give its port in the hostfile"),
    ("No route to host|unreachable|timed out", "connection",
     "check that it is up and reachable from here: ping {name}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a host.

    Attributes
    ----------
    name : str
        What was checked.
    ok : bool
        Whether the check passed.
    found : str
        What was found.
    remedy : str
        What to do; empty if the check passed.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The checks of a host.

    Attributes
    ----------
    host : str
        As written in the hostfile.
    checks : tuple of Check
        In the order they were made; those that were not possible are missing.
    """

    host: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the host is ready."""
        return all(check.ok for check in self.checks)


class Diagnoses(list[Diagnosis]):
    """The diagnoses of the hosts of a hostfile, which notebooks show as a table."""

    def _repr_html_(self) -> str:
        rows = []
        for diagnosis in self:
            found = {check.name: check.found for check in diagnosis.checks if check.ok}
            wrong = [check for check in diagnosis.checks if not check.ok]
            faults = "; ".join(f"{check.name}: {check.found} → {check.remedy}" for check in wrong)
            state = "ready" if diagnosis.ok else "not ready"
            rows.append([diagnosis.host, state, *(found.get(name, "") for name in SHOWN), faults])
        header = ["host", "state", *SHOWN, "what to do"]
        return as_table(header, rows, n_words=len(header))


def examine_hosts(
    hostfile: str | os.PathLike[str],
    *,
    python: str | os.PathLike[str] | None = None,
    ssh: str | os.PathLike[str] = "ssh",
    timeout: float = 15.0,
) -> Diagnoses:
    """Examine the hosts of a hostfile, all of them concurrently.

    Parameters
    ----------
    hostfile : path-like
        Names the hosts.
    python : path-like, optional
        The interpreter on the other machines; by default that of the environment installed there
        (see `scoopsci.install_hosts`), or else the same path as here.
    ssh : path-like
        The ssh program.
    timeout : float
        Seconds for each host.

    Returns
    -------
    Diagnoses
        A `Diagnosis` of each host, in the order of the hostfile.

    Raises
    ------
    HostfileError, ValueError
        If the hostfile cannot be read, or the time is not positive.
    """
    check_seconds("timeout", timeout)
    hosts = read_hostfile(hostfile)
    with (
        tempfile.TemporaryDirectory(prefix="scoopsci-", dir="/tmp") as folder,
        ThreadPoolExecutor(min(len(hosts), MOST_AT_ONCE)) as threads,
    ):
        battery_hash()  # computed once, and not in every thread
        place = partial(Place.of, python=python, ssh=ssh, patience_s=CONNECTING * timeout)
        places = [place(host, own_control=f"{folder}/ssh{i}") for i, host in enumerate(hosts)]
        return Diagnoses(threads.map(partial(_examine, timeout_s=timeout), hosts, places))


def show_diagnoses(diagnoses: Sequence[Diagnosis]) -> None:
    """Print a row for each host, and the remedies below it.

    Parameters
    ----------
    diagnoses : sequence of Diagnosis
        From `examine_hosts`.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(diagnosis.host) for diagnosis in diagnoses)
    for diagnosis in diagnoses:
        found = {check.name: check.found for check in diagnosis.checks if check.ok}
        facts = [f"{name} {found[name]}" for name in SHOWN if name in found]
        state = Text("ready    ", "green") if diagnosis.ok else Text("not ready", "bold red")
        console.print(Text(f"{diagnosis.host:{width}}  ") + state + f"  {', '.join(facts)}")
        for check in diagnosis.checks:
            if not check.ok:
                console.print(Text(f"    {check.name}: ", "red") + check.found)
                console.print(Text("    → ", "bold") + check.remedy)


def _examine(host: Host, place: Place, timeout_s: float) -> Diagnosis:
    deadline_s = time.monotonic() + timeout_s
    place = place.prepare()
    packages = [name for name in software_versions() if name != "python"]
    program, line = pack_program(probe.look, packages=packages)
    try:
        process = AgentProcess(place, line, arguments=("-c", program))
    except OSError as error:
        remedy = "name the ssh program by --ssh"
        return Diagnosis(str(host), (Check("connection", False, str(error), remedy),))
    try:
        facts = _receive_facts(process, deadline_s)
        if facts is None:
            found = _find_complaint(host, place, process, timeout_s)
            return Diagnosis(str(host), (found,))
        checks = [Check("connection", True, place.destination or "this machine")]
        if place.destination is not None and (folder := facts["scratch"]["folder"]):
            checks.append(_check_forwarding(place, f"{folder}/socket", deadline_s))
        return Diagnosis(str(host), (*checks, *_check_facts(host, place, facts)))
    finally:
        process.end(PARTING_S)


def _receive_facts(process: AgentProcess, deadline_s: float) -> dict[str, Any] | None:
    """Return the facts that the probe reports, or None if it reports none in time."""
    while not process.ended and (left_s := deadline_s - time.monotonic()) > 0:
        for facts in process.await_messages(left_s):
            return {**facts, "offset_s": facts["time_s"] - time.time()}
    return None


def _find_complaint(host: Host, place: Place, process: AgentProcess, timeout_s: float) -> Check:
    words = process.last_words()
    names = {
        "name": host.name,
        "destination": place.destination,
        "ssh": shlex.join(["ssh", place.destination or ""]),
    }
    for sign, what, remedy in COMPLAINTS:
        if re.search(sign, words):
            return Check(what, False, words, remedy.format(**names))
    if not process.ended:
        words = f"no answer within {timeout_s:g} s. {words}".strip()
        remedy = f"check that it is up: ping {host.name}; allow a slow host more time by --timeout"
        return Check("connection", False, words, remedy)
    if place.python in words and ("No such file" in words or "not found" in words):
        remedy = f"{INSTALL}; or name the interpreter there by --python"
        return Check("python", False, words, remedy)
    return Check("python", False, words or "it printed nothing", f"try {place.as_typed()}")


def _check_forwarding(place: Place, there: str, deadline_s: float) -> Check:
    here = f"{place.own_control}-none"  # nothing will connect to it
    command = place.forwarding(there, here)
    limit_s = max(1.0, deadline_s - time.monotonic())
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Check("forwarding", False, "no answer in time", "allow more time by --timeout")
    if done.returncode == 0:
        place.stop_forwarding(there, here)
        return Check("forwarding", True, "of UNIX sockets is allowed")
    words = done.stderr.decode(errors="replace").strip()
    return Check(
        "forwarding", False, words, "sshd there needs AllowStreamLocalForwarding yes (sshd_config)"
    )


def _check_facts(host: Host, place: Place, facts: dict[str, Any]) -> Iterator[Check]:
    ours = software_versions()
    yield _check_python(facts["python"], ours["python"])
    yield _check_packages(facts["executable"], facts["versions"], ours)
    yield _check_battery(facts)
    n_workers = host.n_workers or facts["n_cores"]
    yield Check("processors", True, f"{facts['n_cores']}, load {facts['load']:.1f}")
    yield _check_room(
        "memory", facts["memory_bytes"], n_workers * WORKER_BYTES,
        f"give it fewer than {n_workers} workers in the hostfile, or free memory there",
    )  # fmt: skip
    scratch = facts["scratch"]
    if scratch["problem"]:
        remedy = f"free space in {scratch['parent']}, and make it writable for you"
        yield Check("scratch", False, scratch["problem"], remedy)
    else:
        remedy = f"free space in {scratch['parent']}"
        yield _check_room("scratch", scratch["bytes"], SCRATCH_BYTES, remedy)
    yield _check_clock(facts["offset_s"])


def _check_python(theirs: str, ours: str) -> Check:
    minor = ".".join(ours.split(".")[:2])
    ok = theirs.split(".")[:2] == ours.split(".")[:2]
    remedy = f"install Python {minor} there, and name it by --python; if it is installed, {INSTALL}"
    return Check("python", ok, theirs, "" if ok else remedy)


def _check_packages(python: str, theirs: dict[str, str | None], ours: dict[str, str]) -> Check:
    lacking = [name for name, version in theirs.items() if version is None]
    other = [name for name in SAME if name not in lacking and theirs[name] != ours[name]]
    found = [f"{name} is missing" for name in lacking]
    found += [f"{name} is {theirs[name]}, here {ours[name]}" for name in other]
    if not found:
        return Check("packages", True, f"scoopsci {theirs['scoopsci']}, numpy {theirs['numpy']}")
    wanted = [f"{name}=={ours[name]}" for name in [*lacking, *other]]
    command = shlex.join([python, "-m", "pip", "install", *wanted])
    return Check("packages", False, ", ".join(found), f"{INSTALL}; or on the host: {command}")


def _check_battery(facts: dict[str, Any]) -> Check:
    theirs, ours = facts["battery"], battery_hash()
    if theirs is None:
        return Check("battery", False, facts["battery_error"], "install the packages first")
    remedy = (
        "install the same versions, and give NPY_DISABLE_CPU_FEATURES, OPENBLAS_CORETYPE and "
        "GLIBC_TUNABLES the same values on both; or run with --mixed"
    )
    ok = theirs == ours
    return Check("battery", ok, theirs if ok else f"{theirs}, here {ours}", "" if ok else remedy)


def _check_room(name: str, n_bytes: int, n_needed: int, remedy: str) -> Check:
    ok = n_bytes >= n_needed
    found = f"{n_bytes / 1e9:.1f} GB free"
    return Check(
        name, ok, found if ok else f"{found}, needed {n_needed / 1e9:.1f}", "" if ok else remedy
    )


def _check_clock(offset_s: float) -> Check:
    ok = abs(offset_s) <= CLOCK_S
    found = f"{abs(offset_s):,.0f} s {'ahead' if offset_s > 0 else 'behind'}"
    return Check(
        "clock", ok, "right" if ok else found, "" if ok else "set it: timedatectl set-ntp true"
    )
