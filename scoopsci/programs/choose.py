"""Chooses the hosts of a SCOOP program, and the number of workers on each."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scoopsci.basics.arguments import check_count
from scoopsci.errors import HostfileError
from scoopsci.hosts import Host, parse_hosts, read_hostfile

__all__ = ["choose_hosts", "read_count"]

#: Variables in which batch systems give the number of tasks of a job.
N_TASKS = ("SLURM_NTASKS", "PBS_NP", "NSLOTS")


def choose_hosts(
    n_workers: int | None = None,
    *,
    hostfile: str | os.PathLike[str] | None = None,
    names: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> list[Host]:
    """Return the hosts that ``python -m scoop`` would choose.

    Parameters
    ----------
    n_workers : int, optional
        Number of workers on all hosts; by default that of the batch system or the hostfile.
    hostfile : path-like, optional
        Names the hosts.
    names : sequence of str
        Hosts instead of a hostfile; a host that is named twice gets two workers.
    environment : mapping
        Holds the variables of SLURM, PBS or SGE.

    Returns
    -------
    list of Host
        Each with a number of workers, or with none for one worker per core.

    Raises
    ------
    HostfileError
        If the hosts cannot be read or parsed.
    """
    if hostfile is not None:
        hosts = read_hostfile(hostfile)
    elif names:
        hosts = _parse_counts(Counter(names), "--hosts")
    else:
        hosts = _ask_batch_system(environment) or [Host("localhost")]
    if n_workers is None:
        given = (_to_count(environment[name], name) for name in N_TASKS if name in environment)
        n_workers = next(given, None)
    return hosts if n_workers is None else _fill(hosts, n_workers)


def _parse_counts(counts: Mapping[str, int], where: str) -> list[Host]:
    hosts = [
        replace(host, n_workers=count)
        for name, count in counts.items()
        for host in parse_hosts(name, path=where)
    ]
    if not hosts:
        raise HostfileError("names no host; name them by --hostfile", path=where)
    return hosts


def _ask_batch_system(environment: Mapping[str, str]) -> list[Host] | None:
    def read(name: str) -> str:
        if name not in environment:
            raise HostfileError("is not set in this job; name the hosts by --hostfile", path=name)
        return environment[name]

    if "SLURM_NODELIST" in environment:
        return _read_slurm(read("SLURM_NODELIST"), read("SLURM_TASKS_PER_NODE"))
    if "PBS_ENVIRONMENT" in environment:
        path = read("PBS_NODEFILE")
        return _parse_counts(Counter(row[0] for row in _read_lines(path)), path)
    if "PE_HOSTFILE" in environment:
        path = read("PE_HOSTFILE")
        slots: Counter[str] = Counter()
        for name, count, *_ in _read_lines(path):  # a host may have slots of several queues
            slots[name] += _to_count(count, path)
        return _parse_counts(slots, path)
    return None


def _read_lines(path: str) -> list[list[str]]:
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, ValueError) as error:
        message = f"cannot be read ({error}); name the hosts by --hostfile"
        raise HostfileError(message, path=path) from error
    return [line.split() for line in lines if line.strip()]


def _read_slurm(nodes: str, tasks_per_node: str) -> list[Host]:
    """Read lists such as ``node[1-3],other`` and ``2(x3),1``."""
    hosts = parse_hosts(re.sub(r",(?![^[]*\])", "\n", nodes), path="SLURM_NODELIST")
    counts: list[int] = []
    for part in tasks_per_node.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            message = f"must be like '2(x3),1', got {tasks_per_node!r:.80}; give --hostfile"
            raise HostfileError(message, path="SLURM_TASKS_PER_NODE")
        counts += [int(match[1])] * int(match[2] or 1)
    if len(hosts) != len(counts):
        message = f"names {len(hosts)} hosts, SLURM_TASKS_PER_NODE {len(counts)}; give --hostfile"
        raise HostfileError(message, path="SLURM_NODELIST")
    return [replace(host, n_workers=n) for host, n in zip(hosts, counts, strict=True)]


def read_count(text: str) -> int:
    """Return a number of workers, or raise `ValueError`."""
    try:
        return check_count("N", int(text))
    except ValueError:
        message = f"must be a number of workers, at least 1, got {text!r:.80}"
        raise ValueError(message) from None


def _to_count(text: str, name: str) -> int:
    try:
        return read_count(text)
    except ValueError as error:
        raise HostfileError(f"{error}; give it by -n", path=name) from None


def _fill(hosts: Sequence[Host], n_workers: int) -> list[Host]:
    """Fill the hosts in order; workers beyond their numbers are assigned to each in turn."""
    counts: list[int] = []
    for host in hosts:
        counts.append(min(host.n_workers or 1, n_workers - sum(counts)))
    for i in range(n_workers - sum(counts)):
        counts[i % len(counts)] += 1
    return [replace(host, n_workers=n) for host, n in zip(hosts, counts, strict=True) if n]
