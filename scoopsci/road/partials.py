"""Partials as bytes: plain values and our own kinds as numbers and arrays, all others as pickles.

Encoded, a partial is one line of JSON, followed by the bytes of its arrays in the order in which
the line names them. In the line, ``null``, booleans, strings, integers of up to 64 bits and finite
floats stand for themselves, and everything else is a list that begins with its kind:

=========================================== ==================================================
``["list", …]``, ``["tuple", …]``           the items
``["dict", key, value, …]``                 keys and values in turn
``["floats", n]``                           a list of floats; 8 bytes each follow
``["scalars", dtype, n]``                   a list of NumPy scalars; their bytes follow
``["float"]``, ``["complex"]``              8 or 16 bytes follow
``["bytes", n]``                            n bytes follow
``["int", digits]``                         a large integer, in hexadecimal
``["scalar", dtype]``                       a NumPy scalar, whose bytes follow
``["array", dtype, shape, order, writable]`` an array, whose bytes follow in this order, C or F
``["Moments", …]``, …                       a kind of ours, see `KINDS`, with its fields in order
``["pickle"]``                              a pickle follows, of a value that has other parts
=========================================== ==================================================

The dtype is NumPy's, such as ``<f8``, and names the byte order. Only pickles can run code.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
from dataclasses import fields
from typing import Any

import cloudpickle
import numpy as np
from numpy.typing import NDArray

from scoopsci.errors import LedgerError
from scoopsci.estimation.comoments import CoMoments
from scoopsci.estimation.estimators import CircleCount, SampleMean, ScrambledMoments
from scoopsci.estimation.moments import Moments

__all__ = ["KINDS", "PLAIN", "decode", "encode", "find_misfit", "is_pickled"]

#: Our own kinds: dataclasses, encoded by their fields.
KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Moments, CoMoments, ScrambledMoments, CircleCount, SampleMean)
}
FIELDS = {kind: [field.name for field in fields(kind)] for kind in KINDS.values()}

#: Types of array items, after the byte order.
ITEMS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")

#: Kinds of a fixed number of bytes: `_Decoder` has a method for each.
LEAVES = ("array", "bytes", "complex", "float", "floats", "int", "scalar", "scalars")

#: Types of values that stand for themselves in JSON; floats and integers do below these limits.
ATOMS = (str, bool, type(None))
LARGE = 1 << 63

#: Workloads whose partials are of our own kinds: a pickle among them is not theirs.
PLAIN = ("pi", "estimate", "integrate")

#: Header of a pickle.
PICKLE = b'["pickle"]\n'

#: Containers that are nested deeper than this are pickled.
MOST_LEVELS = 50


class _OtherKindError(Exception):
    """A part is of a kind that only a pickle can hold."""


def encode(partial: Any) -> bytes:
    """Return a partial as bytes.

    Parameters
    ----------
    partial : object
        A value with parts of other kinds than those above, or with a part that can be modified and
        occurs twice, is pickled.

    Raises
    ------
    LedgerError
        If it cannot be pickled.
    """
    encoder = _Encoder()
    try:
        tree = encoder.describe(partial, 0)
    except _OtherKindError:
        return PICKLE + _pickle(partial)
    return b"".join([_dump(tree).encode(), b"\n", *encoder.buffers])


_dump = json.JSONEncoder(separators=(",", ":")).encode


def is_pickled(encoded: bytes) -> bool:
    """Return whether an encoded partial is a pickle, which can run code when it is loaded."""
    return encoded.startswith(PICKLE)


def decode(encoded: bytes, *, may_unpickle: bool = False) -> Any:
    """Return the partial of `encode`, with the same bits.

    Parameters
    ----------
    encoded : bytes
        The partial.
    may_unpickle : bool
        Whether it may be a pickle. Nothing of another one is run, whoever wrote it.

    Raises
    ------
    ValueError
        If the bytes are not those of a partial. A pickle may raise anything.
    """
    if may_unpickle and is_pickled(encoded):
        return pickle.loads(memoryview(encoded)[len(PICKLE) :])
    header, _, content = encoded.partition(b"\n")
    decoder = _Decoder(content)
    try:
        value = decoder.build(json.loads(header))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no partial: {error}") from error
    decoder.check_end()
    return value


def _pickle(partial: Any) -> bytes:
    try:
        return pickle.dumps(partial, protocol=5)  # by name, to recall the program's own classes
    except Exception:
        pass
    try:
        pickled: bytes = cloudpickle.dumps(partial, protocol=5)
    except Exception as error:
        raise LedgerError(f"a result cannot be pickled for the ledger: {error}") from error
    return pickled


class _Encoder:
    """Describes a value for the line of JSON, and gathers the bytes that follow it."""

    def __init__(self) -> None:
        self.buffers: list[bytes] = []
        self._met: set[int] = set()

    def describe(self, value: Any, level: int) -> Any:
        if _is_atom(value):
            return value
        kind = type(value)
        if kind is int:
            return ["int", hex(value)]
        if kind is float or kind is complex:
            self.buffers.append(np.asarray(value, "<f8" if kind is float else "<c16").tobytes())
            return [kind.__name__]
        if kind is bytes:
            self.buffers.append(value)
            return ["bytes", len(value)]
        if isinstance(value, np.generic):
            self.buffers.append(value.tobytes())
            return ["scalar", _check_dtype(value.dtype)]
        return self._describe_whole(value, kind, level)

    def _describe_whole(self, value: Any, kind: type, level: int) -> list[Any]:
        """Describe a value that has parts, or could be modified."""
        if id(value) in self._met or level > MOST_LEVELS:
            raise _OtherKindError
        if kind is not tuple:
            self._met.add(id(value))
        if kind is np.ndarray:
            return self._describe_array(value)
        if kind is list and len(value) > 1:
            first = type(value[0])
            is_number = first is float or issubclass(first, np.generic)
            if is_number and all(type(item) is first for item in value):
                return self._describe_numbers(value, first)
        parts: Any
        if kind is dict:
            parts = [part for pair in value.items() for part in pair]
        elif kind in FIELDS:
            parts = [getattr(value, name) for name in FIELDS[kind]]
        elif kind is list or kind is tuple:
            parts = value
        else:
            raise _OtherKindError
        return [
            kind.__name__,
            *[part if _is_atom(part) else self.describe(part, level + 1) for part in parts],
        ]

    def _describe_numbers(self, values: list[Any], kind: type) -> list[Any]:
        if kind is float:
            self.buffers.append(struct.pack(f"<{len(values)}d", *values))
            return ["floats", len(values)]
        dtype = _check_dtype(values[0].dtype)
        self.buffers.append(np.array(values, dtype).tobytes())
        return ["scalars", dtype, len(values)]

    def _describe_array(self, value: NDArray[Any]) -> list[Any]:
        flags = value.flags
        order: Any = "F" if flags.f_contiguous and not flags.c_contiguous else "C"
        dtype = _check_dtype(value.dtype)
        self.buffers.append(value.tobytes(order))
        return ["array", dtype, list(value.shape), order, flags.writeable]


def _is_atom(value: Any) -> bool:
    """Return whether a value stands for itself in JSON."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    return kind in ATOMS or (kind is int and -LARGE < value < LARGE)


def _check_dtype(dtype: np.dtype[Any]) -> str:
    if dtype.str[1:] not in ITEMS or dtype.metadata is not None:
        raise _OtherKindError
    return dtype.str


class _Decoder:
    """Builds a value from its description, and from the bytes that follow."""

    def __init__(self, content: bytes) -> None:
        self._rest = memoryview(content)

    def build(self, tree: Any) -> Any:
        if type(tree) is not list:
            return tree
        kind, *parts = tree
        if kind in ("list", "tuple", "dict") or kind in KINDS:
            return self._build_whole(
                kind, [self.build(part) if type(part) is list else part for part in parts]
            )
        if kind not in LEAVES:
            raise ValueError(f"there is no kind {kind!r}")
        return getattr(self, f"_take_{kind}")(*parts)

    def _build_whole(self, kind: str, parts: list[Any]) -> Any:
        if kind == "list":
            return parts
        if kind == "tuple":
            return tuple(parts)
        if kind == "dict":
            return dict(zip(parts[::2], parts[1::2], strict=True))
        if len(parts) != len(FIELDS[KINDS[kind]]):
            raise ValueError(f"its {kind} are of another version of scoopsci")
        return KINDS[kind](*parts)

    def check_end(self) -> None:
        if len(self._rest):
            raise ValueError(f"it is no partial: {len(self._rest)} bytes too many")

    def _take(self, dtype: str, shape: list[int], order: Any = "C") -> NDArray[Any]:
        if type(dtype) is not str or dtype[:1] not in ("<", ">", "|") or dtype[1:] not in ITEMS:
            raise ValueError(f"an array cannot hold {dtype!r}")
        if order not in ("C", "F") or any(type(size) is not int or size < 0 for size in shape):
            raise ValueError(f"an array has a shape and an order, got {shape!r} and {order!r}")
        taken = self._take_bytes(math.prod(shape) * np.dtype(dtype).itemsize)
        return np.frombuffer(bytearray(taken), dtype).reshape(shape, order=order)

    def _take_bytes(self, size: int) -> bytes:
        if type(size) is not int or not 0 <= size <= len(self._rest):
            raise ValueError(f"{size!r} bytes are not there")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def _take_array(self, dtype: str, shape: list[int], order: str, writable: bool) -> NDArray[Any]:
        found = self._take(dtype, shape, order)
        found.setflags(write=writable)
        return found

    def _take_scalar(self, dtype: str) -> Any:
        return self._take(dtype, [])[()]

    def _take_scalars(self, dtype: str, size: int) -> list[Any]:
        return list(self._take(dtype, [size]))

    def _take_floats(self, size: int) -> list[float]:
        found: list[float] = self._take("<f8", [size]).tolist()
        return found

    def _take_float(self) -> float:
        return float(self._take("<f8", [])[()])

    def _take_complex(self) -> complex:
        return complex(self._take("<c16", [])[()])

    def _take_int(self, digits: str) -> int:
        return int(digits, 16)


def find_misfit(workload: object, partial: Any, n_blocks: int, inputs: str) -> str:
    """Return what is wrong with the number of items or samples of a partial; empty if nothing is.

    Parameters
    ----------
    workload : str
        One of ours; nothing is known about the partials of others.
    partial : object
        The partial of a range.
    n_blocks, inputs : int, str
        Number of blocks in the range, and for Monte Carlo the number of samples in each.
    """
    if workload in PLAIN:
        n_samples = n_blocks * int(inputs) if inputs.isdecimal() and len(inputs) < 20 else 0
        if workload == "pi":
            is_possible = type(partial) is int and 0 <= partial <= n_samples
            return "" if is_possible else f"more hits than their {n_samples} samples"
        held = _count_samples(partial)
        return "" if held == n_samples else f"{held} samples instead of {n_samples}"
    if workload == "map_scan":
        partial = partial[1] if type(partial) is tuple and len(partial) == 2 else None
    if workload in ("map", "starmap", "map_scan"):
        n_items = len(partial) if type(partial) is list else -1
        return "" if n_items == n_blocks else f"{n_items} items instead of {n_blocks}"
    return ""


def _count_samples(partial: Any) -> int:
    """Return the number of samples in moments; -1 for anything else."""
    whole = partial.whole if isinstance(partial, ScrambledMoments) else partial
    moments = whole.moments if isinstance(whole, CoMoments) else whole
    return moments.count if isinstance(moments, Moments) else -1
