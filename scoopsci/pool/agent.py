"""The agent: the only process that is started on a host, and the parent of its workers.

It exchanges lines of JSON with the broker over its standard input and output: over SSH, that is the
host's one connection. It runs no task and has one thread, so that no task can block it. When the
connection ends, or is silent for too long, it ends its workers, removes its files, and ends.
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoopsci.basics.processors import count_processors
from scoopsci.pool.leash import PARTING_S, Leash
from scoopsci.pool.lifetime import become_worker
from scoopsci.pool.vitals import count_unread, read_process, read_vitals

__all__ = ["main"]

#: Begins the agent's lines, which a login shell may mix with its own.
MARK = "scoopsci: "

TICK_S = 0.25

#: Signals to a worker that come from outside: a task that crashes raises others.
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


#: Workers reported in one line, which must not exceed an atomic write to a pipe.
N_IN_LINE = 50

#: Lines of a heartbeat: half as many as a pipe has pages.
MOST_LINES = 8


@dataclass
class _Child:
    name: str
    pid: int
    pidfd: int
    leash: Leash
    n_bytes: int = 0
    stopped: bool = False
    ended_for: str | None = None
    deadline_s: float | None = None


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
        self._connected = True
        self._heard_s = time.monotonic()
        self._beaten_s, self._n_beats = 0.0, 0
        sys.path += [entry for entry in config["path"] if entry not in sys.path]
        # Workers are forked: they inherit what is loaded here.
        work, *tools = map(_import, config["work"])
        self.work: Callable[[str, str, Leash], None] = lambda *given: work(*given, *tools)

    def run(self) -> None:
        """Serve until the broker has gone."""
        from scoopsci.reporting.receipts import process_facts, software_versions

        try:
            self._tell(
                hello={**process_facts(), "versions": software_versions()},
                folder=self.folder,
                n_cores=count_processors(),
                memory_bytes=read_process(os.getpid())[1],
            )
            while self._connected:
                self._turn()
        finally:
            if os.getpid() == self._pid:  # a worker leaves by the same way
                self._part()

    def _part(self) -> None:
        """End the workers, those that run no task as programs end."""
        for child in self._children.values():
            self._let_go(child)
        while any(child.deadline_s for child in self._children.values()):
            for key, _ in self._selector.select(TICK_S):
                if key.data is None:
                    self._selector.unregister(key.fd)  # the broker's
                else:
                    self._reap(key.data)
            self._end_late_ones()
        for child in list(self._children.values()):
            self._reap(child)
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _let_go(self, child: _Child) -> None:
        if child.leash.let_go():
            child.deadline_s = time.monotonic() + PARTING_S
        else:
            self._kill(child)

    def _end_late_ones(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.deadline_s is not None and now > child.deadline_s:
                child.deadline_s = None
                self._kill(child)

    def _turn(self) -> None:
        for key, _ in self._selector.select(TICK_S):
            if key.fd == 0:
                self._listen()
            else:
                self._reap(key.data)
        now = time.monotonic()
        if now - self._heard_s > self._config["lease_s"]:
            self._connected = False
            if self._config["hangs_up"]:
                self._hang_up()
        self._end_late_ones()
        for child in self._children.values():
            self._look_at(child)
        if now - self._beaten_s >= self._config["heartbeat_s"]:
            self._beaten_s = now
            self._beat()

    def _beat(self) -> None:
        """Send a heartbeat, with the state of the host and of the workers."""
        if count_unread() > 0:
            return  # not being read: a pipe full of heartbeats would look like a broken one
        vitals = read_vitals()
        children = list(self._children.values())
        # With very many workers, each heartbeat reports others: it must fit into the pipe.
        self._n_beats += 1
        shift = self._n_beats * N_IN_LINE * MOST_LINES % max(1, len(children))
        children = (children[shift:] + children[:shift])[: N_IN_LINE * MOST_LINES]
        for start in range(0, max(1, len(children)), N_IN_LINE):
            some = children[start : start + N_IN_LINE]
            self._tell(vitals=vitals, workers={child.name: child.n_bytes for child in some})

    def _hang_up(self) -> None:
        """End our connection's sshd, which may not notice for hours that its link is down."""
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{self._parent}/comm").read_text()
            if name.startswith("sshd") and os.getppid() == self._parent > 1:
                os.kill(self._parent, signal.SIGTERM)

    def _tell(self, **facts: Any) -> None:
        try:
            os.write(1, f"{MARK}{json.dumps(facts)}\n".encode())
        except OSError:  # closed, or full: it has not been read for long
            self._connected = False

    def _listen(self) -> None:
        try:
            data = os.read(0, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._connected = False
            return
        self._heard_s = time.monotonic()
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            for name in order.get("start", ()):
                self._start(name, order["socket"])
            if "kill" in order:
                for child in self._children.values():
                    if child.name == order["kill"]:
                        child.ended_for = order["why"]
                        (self._let_go if order["gently"] else self._kill)(child)

    def _start(self, name: str, socket: str) -> None:
        leash = Leash()
        pid = os.fork()
        if pid:
            leash.hold()
            pidfd = os.pidfd_open(pid)
            child = _Child(name, pid, pidfd, leash)
            self._children[pid] = child
            self._selector.register(pidfd, selectors.EVENT_READ, child)
            self._tell(started=name, pid=pid)
            return
        become_worker(self._pid, self._config["umask"], bytes.fromhex(self._config["authkey"]))
        self._selector.close()
        for child in self._children.values():
            os.close(child.pidfd)
            child.leash.drop()
        leash.drop()
        raise _ForkedError(name, socket, leash)

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
        self._tell(ended=child.name, how=how, own_doing=own, killed_for=child.ended_for)

    def _kill(self, child: _Child) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)

    def _look_at(self, child: _Child) -> None:
        """Detect a worker that has been stopped, or that exceeds its memory limit."""
        try:
            state, child.n_bytes = read_process(child.pid)
        except OSError:
            return  # it has just ended
        if (state == "T") != child.stopped:
            child.stopped = not child.stopped
            self._tell(stopped=child.name, now=child.stopped)
        limit = self._config["memory_bytes"]
        if limit is not None and child.n_bytes > limit:
            child.ended_for = "memory"
            self._kill(child)


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
