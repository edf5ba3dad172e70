"""Copies a program's folder to the hosts for the time of a run."""

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
from scoopsci.pool.launcher import AgentProcess, Place, pack_program
from scoopsci.programs import keeper

__all__ = ["Source", "find_sources", "stage"]

#: Not part of a program, and often large.
LEFT_OUT = {".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".venv", "node_modules"}

#: A copy whose run has not been heard of for so long is removed, in times of host_timeout.
LEASE_TIMES = 2

#: A host says that it has a folder, or has made the link, within so long, in times of host_timeout.
ANSWER_TIMES = 4

#: The run is heard of so often, in parts of host_timeout.
BEATS_PER_TIMEOUT = 4

#: A host that was lost is tried again so often.
RETRY_S = 2.0

PARTING_S = 15.0

POLL_S = 0.2

#: rsync's status when a file has gone since it was listed, and when it cannot write, as on a full
#: disk: it ends its ssh with the words of the other side, if these have not come yet.
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
        What of it, with all that lies below; virtual environments, caches and version control
        aside.
    follow : bool
        Whether to copy what links lead to, instead of the links.
    """

    def __init__(self, root: Path, path: Path, *, follow: bool) -> None:
        self.root, self.follow = root, follow
        self.names = list(_walk(root, path, follow))


def find_sources(script: str | os.PathLike[str], data: Sequence[str]) -> list[Source]:
    """Return what a program needs: its folder, and data from elsewhere.

    Parameters
    ----------
    script : path-like
        The program.
    data : sequence of str
        Files and folders, which come to lie beside it.

    Raises
    ------
    ValueError
        If the folder is the user's home or the whole disk, or two things would bear one name.
    OSError
        If something is not there.
    """
    folder = Path(script).resolve(strict=True).parent
    if folder in (Path.home().resolve(), Path(folder.anchor)):
        raise ValueError(
            f"--stage copies the script's folder, got {folder}; give it one of its own"
        )
    beside = Source(folder, folder, follow=False)
    sources = [beside]
    taken = {Path(name).parts[0] for name in beside.names}
    for given in data:
        path = Path(os.path.abspath(given))
        path.stat()
        if path.parent == folder:  # here for what it leads to, should it be a link
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
        if entry.name not in LEFT_OUT and not is_environment:
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
    """Copy files to all hosts, and yield the folder in which they are there.

    Parameters
    ----------
    hosts : sequence of Host
        Where they are to be.
    sources : sequence of Source
        The files.
    folder : str or None
        Where they are to be, and to stay; None for a folder that goes with the run.
    python, ssh, host_timeout
        See `scoopsci.Pool`.

    Raises
    ------
    EngineError
        If a host cannot be reached, or has no room.
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
    """The copy on one host: made, kept, and made again should the host be lost and come back."""

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
        self._hindrance: str | None = None

    def wait(self) -> None:
        """Return once the files are there, or raise."""
        self._tried.wait()
        if self._hindrance is not None:
            raise EngineError(
                f"host {self._label}: the program's folder cannot be copied: {self._hindrance}; "
                "see scoopsci hosts, or take the host out of the hostfile"
            )

    def part(self) -> None:
        """Have the copy removed."""
        self._parting.set()

    def run(self) -> None:
        """Make the copy, and again, until told to part."""
        while not self._parting.is_set():
            try:
                self._serve()
            except (OSError, EngineError, subprocess.SubprocessError) as error:
                self._hindrance = str(error)
            if not self._tried.is_set():  # a host has to be there at the start
                self._tried.set()
                return
            self._parting.wait(RETRY_S)

    def _serve(self) -> None:
        place = self._place.prepare()
        lease_s = LEASE_TIMES * self._timeout_s
        program, line = pack_program(keeper.keep, **self._target, lease_s=lease_s)
        process = AgentProcess(place, line, arguments=("-c", program))
        try:
            found = self._hear(process)
            for source in self._sources:
                self._send(place, source, found, process)
            process.tell(complete=True)
            self._hear(process)
            self._tried.set()
            while not (process.ended or self._parting.wait(POLL_S)):
                self._beat(process)
        finally:
            process.end(PARTING_S)

    def _hear(self, process: AgentProcess) -> dict[str, Any]:
        until_s = time.monotonic() + ANSWER_TIMES * self._timeout_s
        while not process.ended and not self._parting.is_set():
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                raise EngineError(f"no answer within {ANSWER_TIMES * self._timeout_s:g} s")
            for told in process.await_messages(min(left_s, POLL_S)):
                if told.get("hindrance"):
                    raise EngineError(told["hindrance"])
                return told
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
        """Run a command that reads what a function writes, and keep the host's lease meanwhile."""
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
            while not words.done():  # rsync's ssh may speak last
                if self._parting.wait(POLL_S) or process.ended:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                self._beat(process)
            said = words.result().decode(errors="replace").strip()
            if child.wait() not in (0, RSYNC_VANISHED):
                status = f"ended with status {child.returncode}"
                if child.returncode == RSYNC_IO:
                    status += ", as it does on a full disk"
                raise EngineError(said or f"{command[0]} {status}")
            written.result()

    def _beat(self, process: AgentProcess) -> None:
        if time.monotonic() - process.asked_s > self._timeout_s / BEATS_PER_TIMEOUT:
            process.beat()
        process.read_errors()
        for _ in process.listen():
            pass


def _write_and_close(write: Callable[[IO[bytes]], None], stream: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError), stream:  # the reader's own words say why
        write(stream)


def _write_names(names: Sequence[str], stream: IO[bytes]) -> None:
    # rsync takes names that begin with # or ; for comments.
    stream.writelines(b"./" + os.fsencode(name) + b"\0" for name in names)


def _write_archive(source: Source, names: Sequence[str], stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=stream, mode="w|", dereference=source.follow) as archive:
        for name in names:
            archive.add(source.root / name, name, recursive=False)


def _size_and_time(source: Source, name: str) -> list[int]:
    state = os.stat(source.root / name, follow_symlinks=source.follow)
    return [state.st_size, int(state.st_mtime)]
