"""The hostfile: its parser, and its writer for plain SCOOP.

One entry per line; a host is an address, a name, or an alias of the ssh configuration::

    node1                       # as many workers as the host has cores
    node2 4                     # four workers; as in MPI, node2 slots=4
    user@node[03-05,7]:2222 8   # four hosts, each with a user and a port for ssh
    fe80::1%eth0 2              # IPv6; with a port, [fe80::1%eth0]:2222 2
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path

from scoopsci.errors import HostfileError

__all__ = ["Host", "parse_hosts", "read_hostfile", "to_plain_scoop"]

_MAX_HOSTS = 10_000
#: Per host; more than any host has cores.
MAX_WORKERS = 4_096
_LIMITS = {
    "a port": (65_535, "node1:2222"),
    "a number of workers": (MAX_WORKERS, "node1 slots=4"),
}

# Names reach command lines of ssh and shells: no special character of theirs, no leading dash.
_NAME = re.compile(r"\w[\w.+-]{0,252}")
_NAME_RULE = "at most 253 letters, digits and '_.+-', the first a letter, a digit or '_'"
_RANGE = "[0-9]{1,18}(?:-[0-9]{1,18})?"
_RANGES = re.compile(rf"\[({_RANGE}(?:,{_RANGE})*)\]")


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of the hostfile.

    Parameters
    ----------
    name : str
        Address, host name, or alias of the ssh configuration.
    user, port : str and int, optional
        User and port for ssh; by default what ssh chooses.
    n_workers : int, optional
        Number of workers; by default as many as the host has cores.

    Raises
    ------
    ValueError
        If a name, user or number breaks the rules of the hostfile.
    """

    name: str
    user: str | None = None
    port: int | None = None
    n_workers: int | None = None

    def __post_init__(self) -> None:
        for what, text in (("host", self.name), ("user", self.user)):
            if not (text is None or _NAME.fullmatch(text) or (what == "host" and _is_ipv6(text))):
                rule = f"a {what} must be {_NAME_RULE}, got {text!r:.80}"
                raise ValueError(f"{rule}; give an IP address or an ssh alias")
        if self.port is not None:
            _to_number(self.port, "a port")
        if self.n_workers is not None:
            check_workers(self.n_workers)

    def __str__(self) -> str:
        user = "" if self.user is None else f"{self.user}@"
        name = f"[{self.name}]" if ":" in self.name and self.port is not None else self.name
        port = "" if self.port is None else f":{self.port}"
        count = "" if self.n_workers is None else f" {self.n_workers}"
        return f"{user}{name}{port}{count}"

    @property
    def ssh_destination(self) -> str:
        """The destination for ssh, ``[user@]name``; the port is passed as an option."""
        return self.name if self.user is None else f"{self.user}@{self.name}"


def read_hostfile(path: str | os.PathLike[str]) -> list[Host]:
    """Read the hosts of a hostfile.

    Parameters
    ----------
    path : str or os.PathLike
        The file, UTF-8 text.

    Returns
    -------
    list of Host
        In the order of the file.

    Raises
    ------
    HostfileError
        If the file cannot be read, or `parse_hosts` cannot parse it.
    """
    try:
        text = Path(path).read_bytes().decode()
    except (OSError, ValueError) as error:
        message = f"cannot be read ({error}); give the path of a text file in UTF-8"
        raise HostfileError(message, path=os.fspath(path)) from error
    return parse_hosts(text, path=os.fspath(path))


def parse_hosts(text: str, *, path: str = "<string>") -> list[Host]:
    r"""Read the hosts of a hostfile's text.

    Parameters
    ----------
    text : str
        One entry per line, as the module's documentation shows.
    path : str, optional
        Where the text comes from, for error messages.

    Returns
    -------
    list of Host
        In the order of the text, ranges expanded.

    Raises
    ------
    HostfileError
        If there is no host, or a line cannot be parsed.

    Examples
    --------
    >>> [str(host) for host in parse_hosts("node1 slots=4  # large\nuser@node[08-10,2]:2222")]
    ['node1 4', 'user@node08:2222', 'user@node09:2222', 'user@node10:2222', 'user@node2:2222']
    """
    line_of: dict[Host, int] = {}
    hosts: list[Host] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        try:
            for host in _parse_line(line.removesuffix("\r")):
                first = line_of.setdefault(replace(host, n_workers=None), number)
                if len(line_of) == len(hosts):
                    raise ValueError(f"'{host}' is on line {first} already; keep only one entry")
                hosts.append(host)
        except ValueError as error:
            raise HostfileError(str(error), path=path, line_number=number) from None
    if not hosts:
        raise HostfileError("names no host; write one per line, as in '127.0.0.1 2'", path=path)
    return hosts


def to_plain_scoop(hosts: Sequence[Host]) -> str:
    r"""Write a hostfile that ``python -m scoop --hostfile`` reads with the same meaning.

    Parameters
    ----------
    hosts : sequence of Host
        The first one runs the broker of SCOOP 0.7.2.0 and the program itself.

    Returns
    -------
    str
        One host per line.

    Raises
    ------
    ValueError
        If plain SCOOP cannot express some of the hosts; the message names each of them.

    Examples
    --------
    >>> to_plain_scoop([Host("localhost", n_workers=2), Host("192.0.2.1", n_workers=4)])
    '127.0.0.1 2\n192.0.2.1 4\n'
    """
    if not hosts:
        raise ValueError("plain SCOOP needs at least one host, got none")
    counted = any(host.n_workers for host in hosts)
    obstacles = [f"{h}: {why}" for h in hosts for why in _find_obstacles(h, h is hosts[0], counted)]
    if obstacles:
        raise ValueError("\n  ".join(["plain SCOOP cannot use these hosts:", *obstacles]))
    # "localhost" may be ::1, and then SCOOP's workers mistake the broker's name for their own.
    written = (replace(h, name="127.0.0.1") if h.name == "localhost" else h for h in hosts)
    return "".join(f"{host}\n" for host in written)


def _find_obstacles(host: Host, is_first: bool, some_are_counted: bool) -> Iterator[str]:
    if host.port is not None:
        yield f"SCOOP takes no port; set 'Port {host.port}' in the ssh configuration instead"
    if host.user is not None and is_first:
        yield f"SCOOP needs a bare address first; set 'User {host.user}' in the ssh configuration"
    if host.n_workers is None and some_are_counted:
        yield "SCOOP may drop a host without a count where others have one; add a count"
    # SCOOP resolves the first host only: it loses the workers of a later name that is misspelt.
    try:
        socket.getaddrinfo(host.name.encode("ascii"), None, socket.AF_INET)
    except (OSError, UnicodeError):
        yield "this names no IPv4 address (IPv6 and ssh aliases do not); give the numeric one"


def _parse_line(line: str) -> Iterator[Host]:
    destination, *counts = re.findall(r"[^ \t]+", line.partition("#")[0]) or [""]
    user, at, place = destination.rpartition("@")
    match = re.fullmatch(r"(\[.*:.*\]|[^:]*):([^:]*)", place)
    names = _expand(match[1] if match else place)
    port = _to_number(match[2], "a port") if match else None
    numbers = [_to_number(count.removeprefix("slots="), "a number of workers") for count in counts]
    if len(numbers) > 1:
        raise ValueError(f"a host takes one count, got {numbers}; write it as in 'node1 4'")
    for name in names if destination else ():
        yield Host(name, user if at else None, port, *numbers)


def _expand(name: str) -> Iterator[str]:
    """Expand the ranges of a name, the last one varying fastest; unwrap an IPv6 address."""
    if ":" in name:
        return iter([re.sub(r"^\[(.*)\]$", r"\1", name)])
    parts = _RANGES.split(name)
    if re.search(r"[\[\]]", "".join(parts[::2])):
        rule = f"brackets must come in pairs, with numbers inside, got {name!r:.80}"
        raise ValueError(f"{rule}; write a range without spaces, as in 'node[01-04,7]'")
    choices = [[part] for part in parts]
    choices[1::2] = [list(islice(_expand_range(part), _MAX_HOSTS + 1)) for part in parts[1::2]]
    if math.prod(map(len, choices)) > _MAX_HOSTS:
        rule = f"a line must hold at most {_MAX_HOSTS} hosts, got more in {name!r:.80}"
        raise ValueError(f"{rule}; write smaller ranges, or several lines")
    return map("".join, product(*choices))


def _expand_range(body: str) -> Iterator[str]:
    for piece in body.split(","):
        low, high = (piece.split("-") * 2)[:2]
        if int(low) > int(high) or (high.startswith("0") and len(low) != len(high)):
            raise ValueError(f"a range must ascend, padded alike, got '{piece}'; write '[01-04,7]'")
        for number in range(int(low), int(high) + 1):
            yield str(number).zfill(len(low))


def check_workers(n_workers: int) -> int:
    """Return a number of workers of one host; raise `ValueError` if the number is out of range."""
    return _to_number(n_workers, "a number of workers")


def _to_number(value: str | int, what: str) -> int:
    largest, example = _LIMITS[what]
    if re.fullmatch("[0-9]{1,9}", str(value)) and 1 <= int(value) <= largest:
        return int(value)
    rule = f"{what} must be a whole number from 1 to {largest}, got {value!r:.80}"
    raise ValueError(rule + f"; write it as in '{example}'" * isinstance(value, str))


def _is_ipv6(name: str) -> bool:
    try:
        scope = ipaddress.IPv6Address(name).scope_id
        return scope is None or _NAME.fullmatch(scope) is not None
    except ValueError:
        return False
