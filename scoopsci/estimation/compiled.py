"""Compilation by numba, if it is installed: once per host, cached for later processes."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.util
import math
import os
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from scoopsci.basics.interrupts import uninterrupted

__all__ = ["battery_of_numba", "compile_once", "find_numba"]

#: Compilation takes a few seconds; a process that holds the lock for longer has been stopped.
PATIENCE_S = 10.0


@cache
def find_numba() -> Any:
    """Return the module numba, or None with a warning if it is installed but cannot be imported."""
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        with uninterrupted():
            return importlib.import_module("numba")
    except Exception as error:  # such as an incompatible version of NumPy
        warnings.warn(
            f"numba is installed but cannot be imported ({error}); continuing without it, slower; "
            "to repair it: pip install --upgrade 'scoopsci[fast]'",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def compile_once(fn: Any, signature: Any, stamp: str = "", **options: Any) -> Callable[..., Any]:
    """Compile a function for one signature, or load it as compiled by another process.

    Parameters
    ----------
    fn : callable
        The function. It may depend on globals, but not on a closure.
    signature : str or tuple
        Numba's signature, such as "float64(int64)", or the types of the arguments.
    stamp : str
        Identity of what the function depends on besides its own file.
    **options
        Options of ``numba.njit``.

    Returns
    -------
    callable
        The compiled function, which releases the GIL.

    Raises
    ------
    numba.core.errors.NumbaError
        If it cannot be compiled.

    Notes
    -----
    The cache lies in the user's cache folder. It holds pickles, so it is used only if nobody else
    can write there. Of processes that start together, one compiles and the others wait. If the
    folder is not writable, each process compiles for itself.
    """
    compiled = find_numba().njit(nogil=True, **options)(fn)
    folder = _make_folder()
    if folder is None:
        with uninterrupted():
            compiled.compile(signature)
        return cast(Callable[..., Any], compiled)
    source = Path(fn.__code__.co_filename).read_bytes()
    key = hashlib.sha256(source + f"{stamp} {sorted(options.items())}".encode()).hexdigest()
    compiled._cache = _make_cache(fn, folder, key)
    with _locked(folder / f"{fn.__name__}-{key[:16]}.lock"), uninterrupted():
        compiled.compile(signature)
    return cast(Callable[..., Any], compiled)


def _make_folder() -> Path | None:
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        folder = Path(home).absolute() / "scoopsci" / "numba"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        is_ours = found.st_uid == os.geteuid() and not found.st_mode & 0o022
        modes = [parent.stat().st_mode for parent in folder.parents]
    except (OSError, RuntimeError):  # there may be no home folder
        return None
    can_be_moved = any(mode & stat.S_IWOTH and not mode & stat.S_ISVTX for mode in modes)
    return folder if is_ours and not can_be_moved and os.access(folder, os.W_OK) else None


def _make_cache(fn: Any, folder: Path, key: str) -> Any:
    """Return numba's own cache of a function, in the given folder and under the given key."""
    from numba.core import caching

    class Locator(caching._CacheLocator):
        def get_cache_path(self) -> str:
            return str(folder)

        def get_source_stamp(self) -> str:
            return key

        def get_disambiguator(self) -> str:
            return key[:16]

        @classmethod
        def from_function(cls, py_func: Any, py_file: str) -> Locator:
            return cls()

    class Results(caching.CompileResultCacheImpl):
        _locator_classes: Any = (Locator,)

    class Cache(caching.FunctionCache):
        _impl_class = Results

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            load: Any = super().load_overload
            try:
                return load(sig, target_context)
            except Exception:  # a truncated file
                forget: Any = self.flush
                forget()
                return None

        def save_overload(self, sig: Any, data: Any) -> None:
            save: Any = super().save_overload
            with suppress(OSError):  # a full disk
                save(sig, data)

    make: Any = Cache
    return make(fn)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; as it only saves work, proceed without it after a while."""
    with ExitStack() as stack:
        with suppress(OSError):  # on a full disk, or without support for locks
            file = stack.enter_context(path.open("w"))
            deadline = time.monotonic() + PATIENCE_S
            while not _lock(file) and time.monotonic() < deadline:
                time.sleep(0.02)
        yield


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@cache
def battery_of_numba() -> str:
    """Hash the results of a fixed battery of compiled computations on this machine.

    Returns
    -------
    str
        16 hexadecimal digits. Compiled code has its own exp, which depends on the processor.
    """
    compute = compile_once(_compute_battery, "float64[:, :](float64[:])")
    x = np.arange(1.0, 1025.0) * 0.7310585786300049 % 1.0
    version = find_numba().__version__
    return hashlib.sha256(version.encode() + compute(x).tobytes()).hexdigest()[:16]


def _compute_battery(x: Any) -> Any:
    found = np.empty((14, len(x)))
    for i in range(len(x)):
        v = x[i]
        found[0, i], found[1, i], found[2, i] = math.exp(v), math.exp(40.0 * v), math.log(v)
        found[3, i], found[4, i], found[5, i] = math.sin(v), math.cos(40.0 * v), math.tan(v)
        found[6, i], found[7, i], found[8, i] = math.tanh(v), v**1.7, math.log1p(v)
        found[9, i], found[10, i], found[11, i] = math.expm1(v), math.erf(v), math.gamma(v)
        found[12, i], found[13, i] = math.atan(v), math.sqrt(v)
    return found
