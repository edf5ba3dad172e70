"""Copies a program's folder to the hosts for the duration of a run."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

from scoopsci.errors import EngineError
from scoopsci.hosts import Host
from scoopsci.pool.launcher import AgentProcess
from scoopsci.pool.place import Place, pack_program
from scoopsci.programs import keeper

__all__ = ["Source", "find_sources", "stage"]

#: Not part of a program, and often large.
EXCLUDED = {".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".venv", "node_modules"}

#: A copy without a sign of life from its run is removed after this multiple of host_timeout.
LEASE_TIMES = 2

#: A host must report its folder, or the link, within this multiple of host_timeout.
ANSWER_TIMES = 4

#: Signs of life of the run per host_timeout.
BEATS_PER_TIMEOUT = 4

#: Time between attempts to reach a lost host.
RETRY_S = 2.0

PARTING_S = 15.0

POLL_S = 0.2

#: rsync's status if a file has vanished since it was listed, and if it cannot write, as on a full
#: disk: then it ends its ssh, possibly before the error message from the other side has arrived.
RSYNC_VANISHED, RSYNC_IO = 24, 11

UNPACK = (
    "-c",
    "import sys, tarfile; archive = tarfile.open(fileobj=sys.stdin.buffer, mode='r|'); "
    "archive.extraction_filter = lambda member, path: member; archive.extractall(sys.argv[1])",
)


class Source:
    """Files to be copied.

    Parameters
    ----------
    root : Path
        The folder that holds them.
    path : Path
        The part of it to copy, with all its contents except virtual environments, caches and
        version control.
    follow : bool
        Whether to copy the targets of links instead of the links.
    """

    def __init__(self, root: Path, path: Path, *, follow: bool) -> None:
        self.root, self.follow = root, follow
        self.names = list(_walk(root, path, follow))


def find_sources(script: str | os.PathLike[str], data: Sequence[str]) -> list[Source]:
    """Return the files that a program needs: its folder, and data from elsewhere.

    Parameters
    ----------
    script : path-like
        The program.
    data : sequence of str
        Files and folders, which are copied next to the program.

    Raises
    ------
    ValueError
        If the folder is the user's home or the whole disk, or two items have the same name.
    OSError
        If something does not exist.
    """
    folder = Path(script).resolve(strict=True).parent
    if folder in (Path.home().resolve(), Path(folder.anchor)):
        raise ValueError(
            f"--stage copies the script's folder, got {folder}; give the script a folder of its own"
        )
    beside = Source(folder, folder, follow=False)
    sources = [beside]
    taken = {Path(name).parts[0] for name in beside.names}
    for given in data:
        path = Path(os.path.abspath(given))
        path.stat()
        if path.parent == folder:  # listed for its target, should it be a link
            beside.names = [name for name in beside.names if Path(name).parts[0] != path.name]
        elif path.name in taken:
            raise ValueError(f"--data {given} would replace another {path.name!r}; rename it")
        taken.add(path.name)
        sources.append(Source(path.parent, path, follow=True))
    return sources


def _walk(root: Path, path: Path, follow: bool) -> Iterator[str]:
    if not path.is_dir() or (path.is_symlink() and not follow):
        yield str(path.relative_to(root))
        return
    entries = sorted(path.iterdir())
    if not entries and path != root:
        yield str(path.relative_to(root))
    for entry in entries:
        is_environment = (entry / "pyvenv.cfg").exists()
        if entry.name not in EXCLUDED and not is_environment:
            yield from _walk(root, entry, follow)


@contextlib.contextmanager
def stage(
    hosts: Sequence[Host],
    sources: Sequence[Source],
    *,
    folder: str | None,
    python: str | os.PathLike[str] | None,
    ssh: str | os.PathLike[str],
    host_timeout: float,
) -> Iterator[str]:
    """Copy files to all hosts, and yield their folder there.

    Parameters
    ----------
    hosts : sequence of Host
        The destinations.
    sources : sequence of Source
        The files.
    folder : str or None
        Where to put and keep them; None for a folder that is removed after the run.
    python, ssh, host_timeout
        See `scoopsci.Pool`.

    Raises
    ------
    EngineError
        If a host cannot be reached, or its disk is full.
    """
    link = folder or f"/tmp/scoopsci-{secrets.token_hex(16)}"
    place = partial(Place.of, python=python, ssh=ssh, patience_s=host_timeout)
    target = {"kept": folder, "link": link}
    copies = [_Copy(str(host), place(host), sources, target, host_timeout) for host in hosts]
    try:
        for copy in copies:
            copy.start()
        for copy in copies:
            copy.wait()
        yield link
    finally:
        for copy in copies:
            copy.part()
        for copy in copies:
            copy.join()


class _Copy(threading.Thread):
    """The copy on one host: made, kept, and made again if the host is lost and returns."""

    def __init__(
        self,
        label: str,
        place: Place,
        sources: Sequence[Source],
        target: dict[str, str | None],
        host_timeout: float,
    ) -> None:
        super().__init__(name=f"stage-{label}", daemon=True)
        self._label, self._place, self._sources = label, place, sources
        self._target, self._timeout_s = target, host_timeout
        self._parting = threading.Event()
        self._tried = threading.Event()
        self._problem: str | None = None

    def wait(self) -> None:
        """Return once the files have been copied, or raise."""
        self._tried.wait()
        if self._problem is not None:
            raise EngineError(
                f"host {self._label}: the program's folder cannot be copied: {self._problem}; "
                "see scoopsci hosts, or remove the host from the hostfile"
            )

    def part(self) -> None:
        """Ask for the removal of the copy."""
        self._parting.set()

    def run(self) -> None:
        """Make the copy, and make it again after a loss, until told to remove it."""
        while not self._parting.is_set():
            try:
                self._serve()
            except (OSError, EngineError, subprocess.SubprocessError) as error:
                self._problem = str(error)
            if not self._tried.is_set():  # every host must be reachable at the start
                self._tried.set()
                return
            self._parting.wait(RETRY_S)

    def _serve(self) -> None:
        place = self._place.prepare()
        lease_s = LEASE_TIMES * self._timeout_s
        program, line = pack_program(keeper.keep, **self._target, lease_s=lease_s)
        process = AgentProcess(place, line, arguments=("-c", program))
        try:
            found = self._receive(process)
            for source in self._sources:
                self._send(place, source, found, process)
            process.tell(complete=True)
            self._receive(process)
            self._tried.set()
            while not (process.ended or self._parting.wait(POLL_S)):
                self._beat(process)
        finally:
            process.end(PARTING_S)

    def _receive(self, process: AgentProcess) -> dict[str, Any]:
        until_s = time.monotonic() + ANSWER_TIMES * self._timeout_s
        while not process.ended and not self._parting.is_set():
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise EngineError(f"no answer within {ANSWER_TIMES * self._timeout_s:g} s")
            for facts in process.await_messages(min(left_s, POLL_S)):
                if facts.get("problem"):
                    raise EngineError(facts["problem"])
                return facts
        raise EngineError(process.last_words() or "the connection ended")

    def _send(
        self, place: Place, source: Source, found: dict[str, Any], process: AgentProcess
    ) -> None:
        folder = found["folder"]
        if found["rsync"] and shutil.which("rsync"):
            command = place.rsync(source.root, folder, follow=source.follow)
            self._run(command, partial(_write_names, source.names), process)
        else:
            names = [
                name
                for name in source.names
                if found["files"].get(name) != _size_and_time(source, name)
            ]
            command = place.command([*UNPACK, folder], {})
            self._run(command, partial(_write_archive, source, names), process)

    def _run(
        self, command: list[str], write: Callable[[IO[bytes]], None], process: AgentProcess
    ) -> None:
        """Run a command that reads what a function writes, and renew the host's lease meanwhile."""
        with (
            ThreadPoolExecutor(2) as threads,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            ) as child,
        ):
            assert child.stdin is not None
            assert child.stderr is not None
            written = threads.submit(_write_and_close, write, child.stdin)
            words = threads.submit(child.stderr.read)
            while not words.done():  # rsync's ssh may write its message last
                if self._parting.wait(POLL_S) or process.ended:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                self._beat(process)
            message = words.result().decode(errors="replace").strip()
            if child.wait() not in (0, RSYNC_VANISHED):
                status = f"ended with status {child.returncode}"
                if child.returncode == RSYNC_IO:
                    status += ", as it does on a full disk"
                raise EngineError(message or f"{command[0]} {status}")
            written.result()

    def _beat(self, process: AgentProcess) -> None:
        if time.monotonic() - process.asked_s > self._timeout_s / BEATS_PER_TIMEOUT:
            process.beat()
        process.read_errors()
        for _ in process.listen():
            pass


def _write_and_close(write: Callable[[IO[bytes]], None], stream: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError), stream:  # the reader's own message gives the reason
        write(stream)


def _write_names(names: Sequence[str], stream: IO[bytes]) -> None:
    # rsync treats names that begin with # or ; as comments.
    stream.writelines(b"./" + os.fsencode(name) + b"\0" for name in names)


def _write_archive(source: Source, names: Sequence[str], stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=stream, mode="w|", dereference=source.follow) as archive:
        for name in names:
            archive.add(source.root / name, name, recursive=False)


def _size_and_time(source: Source, name: str) -> list[int]:
    state = os.stat(source.root / name, follow_symlinks=source.follow)
    return [state.st_size, int(state.st_mtime)]
