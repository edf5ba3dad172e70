"""The agent: the only process that is started on a host, and the parent of its workers.

It exchanges lines of JSON with the broker over its standard input and output: over SSH, that is the
host's one connection. It runs no task and has one thread, so that no task can block it. When the
connection ends, or is silent for too long, it ends its workers, removes its files, and ends: by the
rules of `scoopsci.protocol.agent`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoopsci.basics.processors import count_processors
from scoopsci.pool.leash import Leash
from scoopsci.pool.lifetime import become_worker
from scoopsci.pool.vitals import count_unread, read_process, read_vitals
from scoopsci.protocol import agent as on

__all__ = ["main"]

#: Begins the agent's lines, which a login shell may mix with its own.
MARK = "scoopsci: "

TICK_S = 0.25

#: Signals to a worker that come from outside: a task that crashes raises others.
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


@dataclass
class _Child:
    name: str
    pid: int
    pidfd: int
    leash: Leash


class _ForkedError(Exception):
    """Leaves the agent's code in a process that is a worker from now on."""

    def __init__(self, name: str, socket: str, leash: Leash) -> None:
        super().__init__(name)
        self.arguments = name, socket, leash


class Agent:
    """Starts and watches workers, and reports to the broker.

    Parameters
    ----------
    config : dict
        The broker's first line: ``python``, ``work``, ``path``, ``folder``, ``umask``,
        ``authkey``, ``heartbeat_s``, ``lease_s``, ``hangs_up``, ``memory_bytes`` and ``stale``.

    Attributes
    ----------
    work : callable
        ``work(name, socket, leash)`` is what a worker does.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._pid = os.getpid()
        for folder in config["stale"]:
            shutil.rmtree(folder, ignore_errors=True)
        self._parent = os.getppid()
        self._own_folder = config["folder"] is None
        self.folder = config["folder"] or tempfile.mkdtemp(prefix="scoopsci-", dir="/tmp")
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        for descriptor in (0, 1):
            os.set_blocking(descriptor, False)
        self._selector.register(0, selectors.EVENT_READ)
        self._unread = b""
        self._is_over = False
        self._machine = on.AgentMachine(config, time.monotonic())
        self._events: deque[Any] = deque()
        self._performers: dict[type[Any], Callable[[Any], None]] = {
            on.Tell: self._tell,
            on.Fork: self._fork,
            on.LetGo: self._let_go,
            on.Kill: lambda action: self._kill(self._children[action.pid]),
            on.ReadVitals: self._read_vitals,
            on.HangUp: self._hang_up,
            on.End: self._end,
        }
        sys.path += [entry for entry in config["path"] if entry not in sys.path]
        # Workers are forked: they inherit what is loaded here.
        work, *tools = map(_import, config["work"])
        self.work: Callable[[str, str, Leash], None] = lambda *given: work(*given, *tools)

    def run(self) -> None:
        """Serve until the broker has gone."""
        from scoopsci.reporting.receipts import process_facts, software_versions

        try:
            self._handle(on.Start({
                "hello": {**process_facts(), "versions": software_versions()},
                "folder": self.folder,
                "n_cores": count_processors(),
                "memory_bytes": read_process(os.getpid())[1],
            }))  # fmt: skip
            while self._machine.connected:
                self._turn()
        finally:
            if os.getpid() == self._pid:  # a worker leaves by the same way
                self._part()

    def _part(self) -> None:
        """End the workers, those that run no task as programs end."""
        self._handle(on.Cut())
        while not self._is_over:
            self._turn()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _turn(self) -> None:
        for key, _ in self._selector.select(TICK_S):
            if key.data is None:
                self._listen()
            else:
                self._reap(key.data)
        states = {}
        for pid in self._children:
            with contextlib.suppress(OSError):  # it has just ended
                states[pid] = read_process(pid)
        self._handle(on.Looked(states))

    def _handle(self, event: Any) -> None:
        """Let the machine handle what has happened, also by its own actions."""
        self._events.append(event)
        while self._events:
            for action in self._machine.handle(time.monotonic(), self._events.popleft()):
                self._performers[type(action)](action)

    # --- actions

    def _end(self, _: on.End) -> None:
        self._is_over = True

    def _read_vitals(self, _: on.ReadVitals) -> None:
        if count_unread() == 0:  # else a pipe full of heartbeats would look like a broken one
            self._events.append(on.Vitals(read_vitals()))

    def _hang_up(self, _: on.HangUp) -> None:
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{self._parent}/comm").read_text()
            if name.startswith("sshd") and os.getppid() == self._parent > 1:
                os.kill(self._parent, signal.SIGTERM)

    def _tell(self, action: on.Tell) -> None:
        try:
            os.write(1, f"{MARK}{json.dumps(action.facts)}\n".encode())
        except OSError:  # closed, or full: it has not been read for long
            self._events.append(on.Cut())

    def _fork(self, action: on.Fork) -> None:
        leash = Leash()
        pid = os.fork()
        if pid:
            leash.hold()
            child = _Child(action.name, pid, os.pidfd_open(pid), leash)
            self._children[pid] = child
            self._selector.register(child.pidfd, selectors.EVENT_READ, child)
            self._events.append(on.Forked(child.name, pid))
            return
        become_worker(self._pid, self._config["umask"], bytes.fromhex(self._config["authkey"]))
        self._selector.close()
        for child in self._children.values():
            os.close(child.pidfd)
            child.leash.drop()
        leash.drop()
        raise _ForkedError(action.name, action.socket, leash)

    def _let_go(self, action: on.LetGo) -> None:
        if not self._children[action.pid].leash.let_go():
            self._events.append(on.Busy(action.pid))

    def _kill(self, child: _Child) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    # --- what happens

    def _listen(self) -> None:
        if not self._machine.connected:
            self._selector.unregister(0)
            return
        try:
            data = os.read(0, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._handle(on.Cut())
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        self._handle(on.Heard([json.loads(line) for line in lines]))

    def _reap(self, child: _Child) -> None:
        self._selector.unregister(child.pidfd)
        self._kill(child)  # and its group; the process number is not reused until it is waited for
        found = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED)
        assert found is not None
        del self._children[child.pid]
        os.close(child.pidfd)
        child.leash.drop()
        if found.si_code == os.CLD_EXITED:
            how, own = f"exit status {found.si_status}", True
        else:
            how = signal.Signals(found.si_status).name
            own = found.si_status not in FROM_OUTSIDE
        self._handle(on.Ended(child.pid, how, own))


def _import(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def main() -> None:
    """Read the broker's first line, and serve the broker."""
    umask = os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    end: Callable[..., None] = lambda *_: sys.exit(1)  # noqa: E731
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
    config = json.loads(_read_line())
    if config["python"] != list(sys.version_info[:2]):
        os.write(1, f"{MARK}{json.dumps({'other_python': sys.version.split()[0]})}\n".encode())
        return
    if config["umask"] is None:  # another machine's: that of a login there
        config["umask"] = umask
    agent = Agent(config)
    forked = None
    try:
        agent.run()
    except _ForkedError as error:
        forked = error.arguments
    if forked is not None:  # no longer within its handler, or it were the context of all errors
        _work(agent, *forked)


def _work(agent: Agent, name: str, socket: str, leash: Leash) -> None:
    try:
        agent.work(name, socket, leash)
    except BaseException as error:
        sys.stderr.write(f"a worker of the pool cannot continue: {error!r}\n")
        os._exit(1)


def _read_line() -> bytes:
    # Byte by byte: later lines must not be buffered here.
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(1)
        line += byte
    return line


if __name__ == "__main__":
    main()
