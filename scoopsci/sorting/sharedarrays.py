"""Arrays in anonymous memory that the processes of one machine share.

The memory has no name in any folder: it ends with the last process that has it, however that
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
from types import TracebackType
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
    # Python's own mmap keeps a descriptor for as long as the memory is mapped: a thousand results
    # would use up those of a process.
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
    """What a worker needs to find a shared array, if it is on the same machine.

    Attributes
    ----------
    pid, fd : int
        Process that holds the memory, and its descriptor there.
    name : str
        What the descriptor links to: another host, or another container, may have a process and a
        descriptor of the same numbers.
    size : int
        Number of items.
    dtype : dtype
        Of the items.
    """

    pid: int
    fd: int
    name: str
    size: int
    dtype: np.dtype[Any]

    def open(self) -> NDArray[Any] | None:
        """Return the array that others see, too, or None where this process cannot reach it."""
        link = f"/proc/{self.pid}/fd/{self.fd}"
        try:
            if os.readlink(link) != self.name:  # to open a pipe would wait for its other end
                return None
            fd = os.open(link, os.O_RDWR)
        except OSError:
            return None
        try:
            # The owner may have put something else in its place in the meantime.
            if os.readlink(f"/proc/self/fd/{fd}") != self.name:
                return None
            return _map(fd, self.size, self.dtype, mmap.MAP_SHARED)
        except OSError:
            return None
        finally:
            os.close(fd)


class SharedArray:
    """A one-dimensional array that workers on this machine can open. Use it as a context manager.

    Where memory cannot be shared, it is an ordinary array, and has no reference.

    Parameters
    ----------
    size : int
        Number of items.
    dtype : dtype
        Of the items.

    Attributes
    ----------
    array : ndarray, shape (size,)
        The array, of zeros where it is shared.
    reference : SharedReference or None
        What workers open, while this is not closed.

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
        # What strings of variable width or Python objects point to cannot be shared.
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

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def detach(self) -> NDArray[Any]:
        """Return the array as one of this process alone, without a copy.

        Returns
        -------
        ndarray
            It outlives `close`. What is written to it is seen by no other process, not even by a
            child that this one forks later.
        """
        if self._fd is None:
            return self.array
        return _map(self._fd, self.array.size, self.array.dtype, mmap.MAP_PRIVATE)

    def close(self) -> None:
        """Let go of the memory; workers cannot open it any more."""
        self.__dict__.pop("array", None)  # unmapped once nobody has a view of it
        self.reference = None
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
