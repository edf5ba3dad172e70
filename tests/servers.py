"""Servers on an isolated host beside its usual one, each with a peculiarity."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial

from tests.conftest import becomes
from tests.lan import PYTHON, Lan

CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])))"


@contextlib.contextmanager
def servers(lan: Lan, host: str, scripts: Mapping[int, str]) -> Iterator[None]:
    """Serve at each port as its script says, in which ``{sshd}`` is the command of the server.

    What a script mounts, only its own server sees.
    """
    with contextlib.ExitStack() as running:
        for port, script in scripts.items():
            sshd = f"$(command -v sshd) -D -e -p {port} -f /run/sshd/sshd_config"
            command = ["unshare", "--mount", "sh", "-c", script.format(sshd=sshd)]
            process = running.enter_context(lan.popen(command, host=host))
            running.callback(process.kill)
        for port in scripts:
            assert becomes(partial(_listens, lan, host, port), 20)
        yield


def _listens(lan: Lan, host: str, port: int) -> bool:
    return lan.run([PYTHON, "-c", CONNECT, host, str(port)]).returncode == 0
