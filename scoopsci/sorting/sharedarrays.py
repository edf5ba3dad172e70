"""Arrays in anonymous memory shared between the processes of one machine.

The memory has no name in any folder: it is freed with the last process that maps it, however that
process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import secrets
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SharedArray", "SharedReference"]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED = ctypes.c_void_p(-1).value


def _map(fd: int, size: int, dtype: np.dtype[Any], flags: int) -> NDArray[Any]:
    # Python's own mmap keeps a descriptor open for as long as the memory is mapped: a thousand
    # results would exhaust those of a process.
    n_bytes = size * dtype.itemsize
    address = _libc.mmap(None, n_bytes, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, 0)
    if address == _MAP_FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    memory = (ctypes.c_ubyte * n_bytes).from_address(address)
    # Arrays may outlive the interpreter's exit handlers.
    weakref.finalize(memory, _libc.munmap, address, n_bytes).atexit = False
    return np.ndarray(size, dtype, buffer=memoryview(memory))


@dataclass(frozen=True, slots=True)
class SharedReference:
    """Locates a shared array, for workers on the same machine.

    Attributes
    ----------
    pid, fd : int
        Process that holds the memory, and its descriptor there.
    name : str
        Target of the descriptor's link: on another host, or in another container, the same numbers
        may denote another process and descriptor.
    size : int
        Number of items.
    dtype : dtype
        Type of the items.
    """

    pid: int
    fd: int
    name: str
    size: int
    dtype: np.dtype[Any]

    def open(self) -> NDArray[Any] | None:
        """Map the shared array; return None if this process cannot reach it."""
        link = f"/proc/{self.pid}/fd/{self.fd}"
        try:
            if os.readlink(link) != self.name:  # opening a pipe would wait for its other end
                return None
            fd = os.open(link, os.O_RDWR)
        except OSError:
            return None
        try:
            # The owner may have reused the descriptor in the meantime.
            if os.readlink(f"/proc/self/fd/{fd}") != self.name:
                return None
            return _map(fd, self.size, self.dtype, mmap.MAP_SHARED)
        except OSError:
            return None
        finally:
            os.close(fd)


class SharedArray:
    """A one-dimensional array that workers on this machine can open. Use it as a context manager.

    If memory cannot be shared, it is an ordinary array without a reference.

    Parameters
    ----------
    size : int
        Number of items.
    dtype : dtype
        Type of the items.

    Attributes
    ----------
    array : ndarray, shape (size,)
        The array; zeros if it is shared.
    reference : SharedReference or None
        Reference that workers can open, until this is closed.

    Examples
    --------
    >>> with SharedArray(3, np.dtype(int)) as shared:
    ...     shared.reference.open()[:] = 1, 2, 3  # as a worker does
    ...     mine = shared.detach()
    >>> mine
    array([1, 2, 3])
    """

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.reference: SharedReference | None = None
        self._fd: int | None = None
        # Strings of variable width and Python objects hold pointers, which cannot be shared.
        if size * dtype.itemsize and not dtype.hasobject and hasattr(os, "memfd_create"):
            with contextlib.suppress(OSError):
                self._share(size, dtype)
        if self.reference is None:
            self.close()
            self.array = np.empty(size, dtype)

    def _share(self, size: int, dtype: np.dtype[Any]) -> None:
        self._fd = fd = os.memfd_create(f"scoopsci-{secrets.token_hex(16)}")
        os.ftruncate(fd, size * dtype.itemsize)
        self.array = _map(fd, size, dtype, mmap.MAP_SHARED)
        name = os.readlink(f"/proc/self/fd/{fd}")
        self.reference = SharedReference(os.getpid(), fd, name, size, dtype)

    def __enter__(self) -> SharedArray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def detach(self) -> NDArray[Any]:
        """Return the array as private memory of this process, without a copy.

        Returns
        -------
        ndarray
            It outlives `close`. No other process sees what is written to it, not even a child that
            this one forks later.
        """
        if self._fd is None:
            return self.array
        return _map(self._fd, self.array.size, self.array.dtype, mmap.MAP_PRIVATE)

    def close(self) -> None:
        """Release the memory; workers can no longer open it."""
        self.__dict__.pop("array", None)  # unmapped once there is no view of it
        self.reference = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
