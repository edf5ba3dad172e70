"""A call as frames, and how a worker runs it; its outcome is frames, too.

`run_payload` is the only function that engines submit. It returns whatever the task does: failures
are frames, too, so that no carrier has to pickle a user's exception.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

from scoopsci.basics.interrupts import Terminated
from scoopsci.engines.failure import Failure, not_pickled
from scoopsci.engines.mapped import MappedFrame, Place, map_frame
from scoopsci.engines.output import capture_output
from scoopsci.engines.settings import take_settings
from scoopsci.engines.shared import collect_shared, keep_only, list_wanted
from scoopsci.engines.surroundings import hosts_tasks, note_loaded, run_in_surroundings
from scoopsci.engines.threads import limit_libraries_to_come, one_thread
from scoopsci.pickling.frames import Buffer, as_plain, dump, load
from scoopsci.pickling.names import Key
from scoopsci.pickling.program import Entry, Manifest, program
from scoopsci.pickling.replica import MissingError, replicas
from scoopsci.reporting.receipts import process_facts

__all__ = ["Call", "in_task", "run_payload", "run_plain_payload"]

_in_task: ContextVar[bool] = ContextVar("in_task", default=False)
_PROCESS = secrets.token_hex(8)


def in_task() -> bool:
    """Return whether the caller runs inside a task."""
    return _in_task.get() or hosts_tasks()  # threads that a task has started, and their children


def run_plain_payload(frames: Sequence[Buffer]) -> list[Buffer]:
    """Do the same as `run_payload`, for carriers that do not support pickle protocol 5 buffers."""
    return [as_plain(frame) for frame in run_payload(frames)]


class Call:
    """A call that is sent to a worker.

    Parameters
    ----------
    fn : callable
        The function.
    args, kwargs : sequence, mapping
        Its arguments. Large arrays are separate frames, not copied where the engine supports it.
    in_process : bool
        Whether it runs in this process, which has what it needs.

    Attributes
    ----------
    manifest : Manifest or None
        What a worker needs of the program.

    Raises
    ------
    TaskError
        If it cannot be pickled.
    """

    def __init__(
        self,
        fn: Callable[..., object],
        args: Sequence[object],
        kwargs: Mapping[str, object],
        *,
        in_process: bool = False,
    ) -> None:
        self.manifest: Manifest | None = None
        reached: set[Key] = set()
        try:
            with collect_shared() as shared:
                self._body = dump((fn, args, kwargs), reached)
            if not in_process and (reached or shared):
                self.manifest = program.list_needed(reached, *(each.manifest for each in shared))
        except (Exception, SystemExit) as error:  # pickling must not end the driver
            raise not_pickled(error) from error
        self._header = {
            "python": sys.version_info[:2],
            "process": (_PROCESS, os.getpid()),
            "log_level": logging.getLogger().level,
            "shared": list_wanted(),
            "settings": take_settings(),
        }

    def as_frames(
        self,
        sent: Container[Entry] | None = (),
        mapped: Mapping[int, MappedFrame] | None = None,
    ) -> list[Buffer]:
        """Return the frames for `run_payload`.

        Parameters
        ----------
        sent : container of Entry, optional
            What of the manifest is sent along; None for not even its list.
        mapped : mapping of int to MappedFrame, optional
            Frames that workers of this machine map, by their ids.
        """
        if self.manifest is None:
            return [pickle.dumps(self._header), *self._body]
        needed = [] if sent is None else self.manifest.as_frames(sent)
        places: dict[int, Place] = {}
        for i, frame in enumerate(needed):
            if mapped and id(frame) in mapped:
                places[i], needed[i] = mapped[id(frame)].place, b""
        needs = program.token, self.manifest.number, len(needed)
        header = {**self._header, "needs": needs, "places": places}
        return [pickle.dumps(header), *needed, *self._body]

    def as_whole(self) -> list[Buffer]:
        """Return the frames for a worker that has nothing yet."""
        return self.as_frames([] if self.manifest is None else self.manifest.entries)


def run_payload(frames: Sequence[Buffer]) -> list[Buffer]:
    """Run a call from `pack` on a worker; return a report and the result, as frames."""
    watch = _Stopwatch()
    header = pickle.loads(frames[0])
    report = process_facts()
    if header["python"] != sys.version_info[:2]:
        return [pickle.dumps({**report, "other_python": header["python"]}), b""]
    at_home = header["process"] == (_PROCESS, os.getpid())
    if not at_home:
        limit_libraries_to_come()
        keep_only(*header["shared"])
    with capture_output(None if at_home else header["log_level"]) as output, one_thread:
        report["prepare_s"] = watch.lap()
        how = {"at_home": at_home, "lasts": header.get("lasts", False)}
        run = partial(_run, frames[1:], header, watch, at_home=at_home)
        body, outcome = run_in_surroundings(header["settings"], run, **how)
        report["ended_s"] = time.monotonic()
    report.update(**outcome, text=output.text(), records=output.records)
    return [pickle.dumps(report), *body]


class _Stopwatch:
    """Measures the time since the previous lap."""

    def __init__(self) -> None:
        self._lap_s = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        lap_s, self._lap_s = now - self._lap_s, now
        return lap_s


def _run(
    frames: Sequence[Buffer],
    header: Mapping[str, Any],
    watch: _Stopwatch,
    *,
    at_home: bool,
) -> tuple[list[Buffer], dict[str, Any]]:
    outcome: dict[str, Any] = {"load_s": 0.0, "elapsed_s": 0.0, "dump_s": 0.0, "failure": None}
    stage = "unpickling the task"
    token = _in_task.set(True)
    try:
        if "needs" in header:
            driver, number, n_needed = header["needs"]
            frames, needed = frames[n_needed:], list(frames[:n_needed])
            if not at_home:
                _map_needed(needed, header["places"])
                replicas.install(driver, number, needed)
        fn, args, kwargs = load(frames)
        note_loaded(_in_task)
        outcome["load_s"] = watch.lap()
        stage = "running"
        result = fn(*args, **kwargs)
        outcome["elapsed_s"] = watch.lap()
        stage = "pickling the result"
        body = dump(result)
        outcome["dump_s"] = watch.lap()
    except MissingError:
        return [], {**outcome, "missing": True}
    except BaseException as error:  # not even SystemExit may end the worker
        if at_home and isinstance(error, (KeyboardInterrupt, Terminated)):
            raise
        return [], {**outcome, "failure": Failure.of(error, stage)}
    finally:
        _in_task.reset(token)
    return body, outcome


def _map_needed(needed: list[Buffer], places: Mapping[int, Place]) -> None:
    try:
        for i, place in places.items():
            needed[i] = map_frame(place)
    except OSError as error:  # of a program that has changed its user, or sends no longer
        raise MissingError(error.filename) from error
