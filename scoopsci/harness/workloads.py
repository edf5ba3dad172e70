"""The workloads that engines are compared by: each has a size, and its result a digest.

Each runs in its own child process: the script `scoopsci.compare` calls `run_child`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
import operator
import os
import pickle
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import cloudpickle
import numpy as np

from scoopsci.estimation.streams import block_generator
from scoopsci.harness.methods import sum_list
from scoopsci.mapreduce import map as map_items
from scoopsci.mapreduce import map_reduce
from scoopsci.mergesort import sort_and_describe
from scoopsci.montecarlo import pi
from scoopsci.reporting.receipts import write_receipt
from scoopsci.road.options import RunOptions
from scoopsci.road.runs import keeping_task_errors

__all__ = ["Workload", "digest", "find_workload", "import_function", "run_child"]

#: What a report contains about the call, besides its digest and its time.
REPORTED = ("engine", "n_workers", "times", "sent_bytes", "returned_bytes")

#: Number of results hashed together: one by one, hashing would cost more than small tasks.
DIGEST_BATCH = 1000

#: The digest of a result, and a description of the run.
Found: TypeAlias = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that runs on any engine.

    Attributes
    ----------
    unit : str
        Name of one part of it.
    size : str
        Name of the argument of `scoopsci.compare.compare` that counts its parts.
    default : int
        Default number of parts.
    options : tuple of str
        Names of the other arguments that it takes.
    run : callable
        ``run(part, options, where)`` runs some of the parts, by index, and returns the digest of
        the result and a description of the run.
    """

    unit: str
    size: str
    default: int
    options: tuple[str, ...]
    run: Callable[[range, argparse.Namespace, RunOptions], Found]


def find_workload(name: str) -> Workload:
    """Return a workload by its name.

    Parameters
    ----------
    name : str
        "pi", "mapreduce", "sort", or MODULE:FUNCTION.

    Returns
    -------
    Workload
        The workload.

    Raises
    ------
    ValueError
        If there is no such workload, or the function cannot be imported.
    """
    if name in WORKLOADS:
        return WORKLOADS[name]
    if not isinstance(name, str) or ":" not in name:
        known = ", ".join(WORKLOADS)
        raise ValueError(f"workload must be one of {known}, or MODULE:FUNCTION; got {name!r}")
    return Workload("task", "n_tasks", 1000, (), partial(_run_function, import_function(name)))


def import_function(name: str) -> Callable[[Any], Any]:
    """Import a function, also from the working folder, so that its code is sent to all workers.

    Parameters
    ----------
    name : str
        MODULE:FUNCTION.

    Returns
    -------
    callable
        The function.

    Raises
    ------
    ValueError
        If it cannot be imported.
    TypeError
        If it cannot be called.
    """
    module_name, _, function_name = name.rpartition(":")
    if not module_name:
        raise ValueError(f"a function must be given as MODULE:FUNCTION, got {name!r}")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
        function = getattr(module, function_name)
    except ModuleNotFoundError as error:
        file = f"{module_name.removesuffix('.py')}.py"
        raise ValueError(
            f"{name!r} cannot be imported: {error}; MODULE must be installed, or be the name of a "
            f"file in this folder without its .py: here {file}"
        ) from error
    except Exception as error:
        raise ValueError(f"{name!r} cannot be imported: {error}") from error
    finally:
        sys.path.pop(0)
    if not callable(function):
        raise TypeError(f"{name!r} must be callable, got {function!r}")
    source = Path(getattr(module, "__file__", None) or sys.prefix)
    if source.is_relative_to(Path.cwd()) and "site-packages" not in source.parts:
        cloudpickle.register_pickle_by_value(module)  # workers cannot import from this folder
    return function  # type: ignore[no-any-return]


def _run_pi(part: range, options: argparse.Namespace, where: RunOptions) -> Found:
    receipt = pi(len(part), seed=options.seed, **where).receipt
    return digest([receipt["result"]]), receipt["run"]


def _run_mapreduce(part: range, options: argparse.Namespace, where: RunOptions) -> Found:
    receipts: list[dict[str, Any]] = []
    task = partial(sum_list, options.task_seconds)
    total = map_reduce(task, operator.add, part, receipt=receipts.append, **where)
    return digest([total]), receipts[0]["run"]


def _run_sort(part: range, options: argparse.Namespace, where: RunOptions) -> Found:
    numbers = block_generator(options.seed, 0).integers(-(2**63), 2**63 - 1, len(part))
    sorted_numbers = sort_and_describe(numbers, **where)
    run = {name: getattr(sorted_numbers, name) for name in ("elapsed_s", *REPORTED)}
    return digest([sorted_numbers.values]), run


def _run_function(
    function: Callable[[Any], Any], part: range, _: argparse.Namespace, where: RunOptions
) -> Found:
    receipts: list[dict[str, Any]] = []
    found = digest(map_items(function, part, receipt=receipts.append, **where))
    return found, receipts[0]["run"]


WORKLOADS = {
    "pi": Workload("point", "n_points", 500_000_000, ("seed",), _run_pi),
    "mapreduce": Workload("task", "n_tasks", 1000, ("task_seconds",), _run_mapreduce),
    "sort": Workload("item", "n_items", 10_000_000, ("seed",), _run_sort),
}


class _CanonicalPickler(pickle.Pickler):
    """Pickles values identically if they are equal to the last bit, whatever their history."""

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, (set, frozenset)):  # their order depends on it
            return type(value).__name__, sorted(digest([item]) for item in value)
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:  # so does their layout
            return "array", value.dtype.str, value.shape, value.tobytes()
        return None


def digest(values: Iterable[Any]) -> str:
    """Hash the exact bits of values.

    Parameters
    ----------
    values : iterable
        Values that can be pickled.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits: equal for equal bits and types, whichever process computed
        them and whatever the order of a set.

    Examples
    --------
    >>> digest([0.0, {1, 2}]) == digest([0.0, {2, 1}])
    True
    >>> digest([0.0]) == digest([-0.0])
    False
    """
    found = hashlib.sha256()
    items = iter(values)
    while batch := list(islice(items, DIGEST_BATCH)):
        written = io.BytesIO()
        pickler = _CanonicalPickler(written, protocol=5)
        pickler.fast = True  # no memo: the same object twice is written as two equal ones
        pickler.dump(batch)
        found.update(written.getbuffer())
    return found.hexdigest()


def run_child() -> None:
    """Run a workload on an engine, both given by the process's arguments, and write a report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "OF"))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--task-seconds", type=float)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--hostfile")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    first, n_parts = options.part
    where: RunOptions = {
        "engine": options.engine,
        "n_workers": options.workers,
        "hostfile": options.hostfile,
    }
    workload = find_workload(options.workload)
    with keeping_task_errors():
        found, run = workload.run(range(first, options.size, n_parts), options, where)
    report = {name: run[name] for name in REPORTED}
    write_receipt({"digest": found, "call_s": run["elapsed_s"], **report}, options.output)
