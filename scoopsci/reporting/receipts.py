"""Receipts: the provenance of a result, and what is needed to reproduce it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scoopsci.basics.interrupts import uninterrupted

__all__ = [
    "as_plain",
    "battery_hash",
    "make_receipt",
    "process_facts",
    "software_versions",
    "write_receipt",
    "write_whole",
]


@cache
def battery_hash() -> str:
    """Hash the results of a fixed battery of computations on this machine.

    Returns
    -------
    str
        16 hexadecimal digits, equal on machines whose results agree to the last bit.

    Notes
    -----
    NumPy, OpenBLAS and the C library choose their kernels by the processor, and results differ in
    the last bit: exp and log with and without AVX-512, sin and gamma with and without FMA, dot
    products between OpenBLAS cores. It takes about 5 ms, apart from SciPy's import.
    The arrays are small enough for one thread, and tasks are limited to one.
    """
    with uninterrupted():
        from scipy import linalg, special

    x = np.arange(1.0, 4097.0) * 0.7310585786300049 % 1.0
    single = x.astype(np.float32)
    square = x.reshape(64, 64)
    with np.errstate(all="ignore"):
        results = [
            *(ufunc(x) for ufunc in _UFUNCS),
            *(ufunc(40.0 * x) for ufunc in (np.sin, np.cos, np.tan, np.exp)),
            *(ufunc(single) for ufunc in (np.exp, np.log, np.sin, np.tanh)),
            np.power(x, 1.7),
            np.hypot(x, x[::-1]),
            np.asarray([np.sum(x), np.mean(single), np.dot(x, x), np.var(x)]),
            square @ square.T,
            np.linalg.solve(square + 64.0 * np.eye(64), x[:64]),
            linalg.cholesky(square @ square.T + 64.0 * np.eye(64)),  # SciPy has its own BLAS
            *(function(x) for function in (special.gamma, special.erf, special.ndtri, special.j0)),
            np.asarray(
                [f(v) for f in (math.gamma, math.erf, math.lgamma) for v in x[:256].tolist()]
            ),
        ]
    digest = hashlib.sha256()
    for result in results:
        digest.update(np.ascontiguousarray(result).tobytes())
    return digest.hexdigest()[:16]


_UFUNCS = (
    np.exp, np.expm1, np.log, np.log1p, np.log2, np.sqrt, np.cbrt, np.sin, np.cos, np.tan,
    np.arcsin, np.arctan, np.sinh, np.cosh, np.tanh, np.arctanh,
)  # fmt: skip


def process_facts() -> dict[str, Any]:
    """Return what a result records about the process that computed it.

    Returns
    -------
    dict
        ``host``, ``pid``, ``python``, ``numpy`` and ``battery``.
    """
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "battery": battery_hash(),
    }


@cache
def software_versions() -> dict[str, str]:
    """Return the versions of Python, scoopsci and the packages it computes with."""
    packages = ("scoopsci", "numpy", "scipy", "scoop", "pyzmq", "loky", "cloudpickle")
    versions = {name: importlib.metadata.version(name) for name in packages}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["numba"] = importlib.metadata.version("numba")
    return {"python": platform.python_version(), **versions}


def make_receipt(
    *,
    workload: str,
    options: Mapping[str, Any],
    stream: str,
    code: str,
    result: Mapping[str, Any],
    **run: Any,
) -> dict[str, Any]:
    """Assemble a receipt.

    Parameters
    ----------
    workload : str
        Name of the workload.
    options : mapping
        Everything that the result depends on: seed, counts, block size, confidence.
    stream : str
        Identity and version of the random streams.
    code : str
        `scoopsci.montecarlo.hash_code` of the user's function, or the name of one of ours.
    result : mapping
        The result.
    **run
        How it was run: engine, workers, times, losses.

    Returns
    -------
    dict
        Plain values, ready for JSON.
    """
    receipt = {
        "workload": workload,
        "options": dict(options),
        "stream": stream,
        "code": code,
        "result": dict(result),
        "run": run,
        "versions": software_versions(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    plain: dict[str, Any] = as_plain(receipt)
    return plain


def as_plain(value: Any) -> Any:
    """Convert a value for JSON: arrays become lists, infinities and NaN become text."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return as_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    return value


def write_receipt(receipt: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a receipt as JSON, atomically.

    Parameters
    ----------
    receipt : mapping
        Plain values, as `make_receipt` returns them.
    path : path-like
        The file; an existing one is replaced.

    Raises
    ------
    OSError, ValueError
        If it cannot be written, or the receipt holds an infinity or a NaN.
    """
    write_whole(json.dumps(receipt, indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def write_whole(text: str, path: str | os.PathLike[str]) -> None:
    """Write a file atomically.

    Parameters
    ----------
    text : str
        Its content.
    path : path-like
        The file; an existing one is replaced.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    try:
        _write(text, Path(path))
    except OSError as error:
        why = f"{os.fspath(path)} cannot be written: {error.strerror}"
        raise OSError(error.errno, why) from None


def _write(text: str, target: Path) -> None:
    is_special = target.exists() and not target.is_file()
    if is_special or (target.is_absolute() and target.parts[1] in ("dev", "proc")):
        with target.open("a", encoding="utf-8") as device:  # a pipe, a terminal, /dev/null
            device.write(text)
        return
    target = target.resolve()
    scratch = target.with_name(f".scoopsci-{os.getpid()}")
    try:
        scratch.write_text(text, "utf-8")
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
