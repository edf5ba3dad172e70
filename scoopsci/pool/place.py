"""Where an agent runs, and the commands that reach it: this machine, or another one by ssh."""

from __future__ import annotations

import inspect
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scoopsci.hosts import Host
from scoopsci.pool.agent import MARK
from scoopsci.reporting.receipts import software_versions

__all__ = ["Place", "name_environment", "pack_program"]

#: Arguments of Python on a host; modules must not be hidden by the folder where it starts.
AGENT = ("-P", "-m", "scoopsci.pool.agent")

#: What Python runs for `pack_program`: the program comes with the first line of input, as do the
#: arguments of its function, so that no shell on the way has to understand them.
LOADER = (
    "import json, sys; given = json.loads(sys.stdin.buffer.readline().decode()); "
    'exec(given.pop("program")); {}(**given)'
)

#: For the host's sh: run the interpreter of the environment $0 if it exists, else $1. It contains
#: nothing special to csh or fish within single quotes: no "!", no backslash, no newline.
CHOICE = (
    "p=${XDG_DATA_HOME:-$HOME/.local/share}/$0/bin/python; "
    'test -x "$p" || p=$1; shift; exec "$p" "$@"'
)

#: Names of this machine in a hostfile, used without ssh.
HERE = ("localhost", "127.0.0.1", "::1")

#: ssh gives up a connection after this many unanswered keep-alive messages.
N_KEEP_ALIVES = 3

#: Timeout of commands on a connection that is already open.
CHECK_S = 5.0


@dataclass(frozen=True)
class Place:
    """Where an agent runs, and how it is reached.

    Attributes
    ----------
    destination : str or None
        For ssh; None for this machine.
    port : int or None
        For ssh.
    python : str
        The interpreter there.
    ssh : str
        The ssh program.
    own_control : str
        Path for the control socket of our own connection; empty for none, so that each command
        opens a connection.
    keep_alive_s : float
        Time between keep-alive messages of ssh.
    users_control : str or None
        Path of the control socket of a connection kept open by the user's configuration.
    environment : str or None
        Where `scoopsci.deployment.install` puts environments, below the user's data there: used
        instead of `python` if it exists. None if only `python` may be used.
    prolog : str or None
        A file for bash there, which may set up the environment.
    """

    destination: str | None
    port: int | None
    python: str
    ssh: str
    own_control: str
    keep_alive_s: float
    users_control: str | None = None
    environment: str | None = None
    prolog: str | None = None

    @classmethod
    def of(
        cls,
        host: Host,
        *,
        python: str | os.PathLike[str] | None,
        ssh: str | os.PathLike[str],
        patience_s: float,
        own_control: str = "",
    ) -> Place:
        """Return the place of a host.

        Parameters
        ----------
        host : Host
            Of the hostfile.
        python : path-like or None
            The interpreter on other machines; None for that of the environment installed there,
            or else the same path as here.
        ssh : path-like
            The ssh program.
        patience_s : float
            Seconds of silence after which a connection is given up.
        own_control : str, optional
            See the attribute.
        """
        is_here = host.ssh_destination in HERE and host.port is None
        return cls(
            destination=None if is_here else host.ssh_destination,
            port=host.port,
            python=sys.executable if is_here else os.fspath(python or sys.executable),
            ssh=os.fspath(ssh),
            own_control=own_control,
            keep_alive_s=patience_s / N_KEEP_ALIVES,
            environment=None if is_here or python is not None else name_environment(),
        )

    def prepare(self) -> Place:
        """Return the place ready for a new connection, as it is reached at present."""
        if self.destination is None:
            return self
        if self.own_control:
            Path(self.own_control).unlink(missing_ok=True)  # of a broken connection
        if _run_briefly([*self._program, "-O", "check", "--", self.destination]) is not None:
            configured = _run_briefly([*self._program, "-G", "--", self.destination]) or ""
            for line in configured.splitlines():
                name, _, value = line.partition(" ")
                if name == "controlpath":
                    return replace(self, users_control=value)
        return replace(self, users_control=None)

    def command(self, arguments: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        """Return the command that runs Python there, in an environment with some variables."""
        # For libraries that read them when they are loaded, before the first line runs.
        setting = ["env", *(f"{name}={value}" for name, value in variables.items())]
        python = [*setting, *self._interpreter, *arguments]
        if self.prolog is not None:
            python = ["bash", "-c", 'source "$0" && exec "$@"', self.prolog, *python]
        return self.reach(python)

    def reach(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs another command there."""
        if self.destination is None:
            return list(command)
        # Forwardings in the user's configuration are for other connections: they would listen.
        options = ["-T", "-oClearAllForwardings=yes"]
        return [*self._ssh(), *options, "--", self.destination, "exec " + shlex.join(command)]

    def rsync(self, source: str | os.PathLike[str], folder: str, *, follow: bool) -> list[str]:
        """Return the command that copies files, named on standard input, into a folder there.

        Parameters
        ----------
        source : path-like
            The folder here; names are relative to it, and end with a zero byte.
        folder : str
            The folder there.
        follow : bool
            Whether to copy the targets of links instead of the links.
        """
        options = ["-Lpt" if follow else "-lpt", "--files-from=-", "--from0"]
        if self.destination is None:
            return ["rsync", *options, f"{source}/", folder]
        user, at, name = self.destination.rpartition("@")
        host = f"[{name}]" if ":" in name else name
        program = shlex.join([*self._ssh(), "-oClearAllForwardings=yes"])
        return ["rsync", *options, "-e", program, f"{source}/", f"{user}{at}{host}:{folder}/"]

    def as_typed(self) -> str:
        """Return a command that a user can run to find the cause of a failure."""
        command = [*self._interpreter, *AGENT]
        if self.destination is not None:  # ssh joins the words, and a shell there splits them
            command = [*self._program, self.destination, *map(shlex.quote, command)]
        return shlex.join(command)

    def find_remedy(self, words: str) -> str:
        """Return the remedy for an agent that did not start, if its output shows the cause."""
        if "scoopsci" in words and "No module named" in words:
            return (
                f"scoopsci hosts HOSTFILE --install prepares it; or install scoopsci there, for "
                f"{self.python}, or name another one by python=\n"
            )
        if self.python in words and ("No such file" in words or "not found" in words):
            return (
                "scoopsci hosts HOSTFILE --install prepares it; or name the interpreter there by "
                "python=\n"
            )
        return ""

    def forwarding(self, there: str, here: str) -> list[str]:
        """Return the command that forwards a socket there to one here, over the same connection."""
        return self._change_forwarding("forward", there, here)

    def stop_forwarding(self, there: str, here: str) -> None:
        """Cancel the forwarding if the connection is the user's, and persists."""
        if self.destination is not None and self.users_control is not None:
            _run_briefly(self._change_forwarding("cancel", there, here))

    def _change_forwarding(self, order: str, there: str, here: str) -> list[str]:
        assert self.destination is not None
        change = ["-F", "none", "-O", order, "-R", f"{there}:{here}"]
        return [*self._ssh(), *change, "--", self.destination]

    def _ssh(self) -> list[str]:
        options: dict[str, str | int] = {
            "BatchMode": "yes",
            "ControlMaster": "auto" if self.users_control is None else "no",
            "ControlPath": self.users_control or self.own_control or "none",
            "ControlPersist": "no",
            "ServerAliveInterval": max(1, round(self.keep_alive_s)),
            "ServerAliveCountMax": N_KEEP_ALIVES,
            "ConnectTimeout": max(1, round(N_KEEP_ALIVES * self.keep_alive_s)),
            "ForwardX11": "no",
            "ForwardAgent": "no",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
            "LogLevel": "ERROR",
        }
        return [*self._program, *(f"-o{name}={value}" for name, value in options.items())]

    @property
    def _interpreter(self) -> list[str]:
        if self.environment is None:
            return [self.python]
        return ["sh", "-c", CHOICE, self.environment, self.python]

    @property
    def _program(self) -> list[str]:
        return [self.ssh] if self.port is None else [self.ssh, "-p", str(self.port)]


def pack_program(function: Callable[..., None], **arguments: Any) -> tuple[str, dict[str, Any]]:
    """Return code for Python on a host, and the first line of its input, to call a function.

    The text of the function's module is sent along: the host need not have it. The function also
    gets ``mark``, with which the lines that it writes begin.
    """
    program = inspect.getsource(sys.modules[function.__module__])
    return LOADER.format(function.__name__), {"program": program, "mark": MARK, **arguments}


def name_environment() -> str:
    """Return the path of a host's environment that matches this one, below the user's data."""
    versions = software_versions()
    return "scoopsci/{}-py{}.{}".format(versions["scoopsci"], *sys.version_info)


def _run_briefly(command: list[str]) -> str | None:
    """Return the output of a command, or None if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CHECK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode(errors="replace")
