"""Arrays that are sent to each host once, and memory-mapped by its workers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

__all__ = ["Broadcast", "find_data", "serve_broadcasts"]

_NAME = re.compile(r"data-[0-9a-f]{32}")

#: In a worker: the folder of the files, and the function that fetches them.
_folder: Path | None = None
_fetch: Callable[[str], Any] | None = None


class Broadcast:
    """An array that all workers of a pool can read.

    It is pickled as a name only; on a worker, `array` is the copy on its host.

    Parameters
    ----------
    path : pathlib.Path
        The file, in NumPy's format.

    Attributes
    ----------
    array : ndarray
        Read-only, memory-mapped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)

    @classmethod
    def write(cls, array: npt.ArrayLike, folder: str | os.PathLike[str]) -> Broadcast:
        """Write an array into a folder.

        Parameters
        ----------
        array : array-like
            Of any type except objects.
        folder : path-like
            Folder of the pool; the file is removed once the broadcast is no longer used.

        Raises
        ------
        TypeError
            If the array holds objects.
        """
        array = np.asarray(array)
        if array.dtype.hasobject:
            raise TypeError(f"an array to broadcast must hold no objects, got {array.dtype}")
        path = Path(folder) / f"data-{secrets.token_hex(16)}"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            np.save(file, array, allow_pickle=False)
        broadcast = cls(path)
        weakref.finalize(broadcast, _remove, path, os.getpid())
        return broadcast

    def __repr__(self) -> str:
        return f"<Broadcast of {self.array.shape} {self.array.dtype}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (str(self._path.parent), self._path.name)


def _remove(path: Path, owner: int) -> None:
    if os.getpid() != owner:  # a forked child
        return
    with contextlib.suppress(OSError):
        path.unlink()


def serve_broadcasts(folder: str, fetch: Callable[[str], Any]) -> None:
    """Let this process, a worker, open broadcasts.

    Parameters
    ----------
    folder : str
        Folder of the pool on this host.
    fetch : callable
        ``fetch(name)`` returns the bytes of a file, or None if the file does not exist.
    """
    global _folder, _fetch
    _folder, _fetch = Path(folder), fetch


def find_data(folder: Path, name: str) -> Path | None:
    """Return the file of a broadcast, or None if there is none of that name."""
    path = folder / name
    return path if _NAME.fullmatch(name) and path.is_file() else None


def _open_private(path: Path) -> BinaryIO:
    """Open a file that only this user may read, whatever the umask of the tasks is."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _attach(home: str, name: str) -> Broadcast:
    if _folder is None or _fetch is None:
        return Broadcast(Path(home) / name)
    path = _folder / name
    if not path.exists():
        with _open_private(_folder / f"{name}.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be fetching it
            if not path.exists():
                data = _fetch(name)
                if data is None:
                    raise LookupError(
                        "the array no longer exists; keep what pool.broadcast has returned"
                    )
                scratch = _folder / f"{name}.new"
                with _open_private(scratch) as file:
                    file.write(data)
                scratch.rename(path)
    return Broadcast(path)
