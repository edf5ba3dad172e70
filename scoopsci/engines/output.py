"""What a task prints, warns and logs, separated from the output of concurrent tasks."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pickle
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TextIO

from scoopsci.engines.counted import CountedContext

__all__ = ["Output", "capture_output", "replay_output"]

#: Longer output is truncated: a task that prints in a loop must not fill the driver's memory.
LIMIT_CHARACTERS = 100_000
LIMIT_RECORDS = 1_000
LIMIT_SHARED_BYTES = 1 << 20


@dataclass(eq=False)
class Output:
    """Text and log records of one task."""

    parts: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    n_characters: int = 0
    n_records: int = 0
    #: A file in memory, for the children that the task forks.
    shared: int | None = None

    def write(self, text: str) -> None:
        """Keep printed text, up to the limit."""
        if text.startswith("\r") and text.strip("\r\n"):
            self._drop_line()
        room = LIMIT_CHARACTERS - self.n_characters
        self.n_characters += len(text)
        if room > 0:
            self.parts.append(text[:room])

    def _drop_line(self) -> None:
        """Forget the unfinished line, which a progress bar overwrites."""
        while self.parts and "\n" not in self.parts[-1]:
            self.n_characters -= len(self.parts.pop())

    def log(self, record: logging.LogRecord) -> None:
        """Keep a log record as plain values, up to the limit."""
        self.keep(_as_plain(record))

    def keep(self, values: dict[str, Any]) -> None:
        """Keep the plain values of a log record, up to the limit."""
        self.n_records += 1
        if self.n_records <= LIMIT_RECORDS:
            self.records.append(values)

    def share(self) -> int:
        """Return the file for what forked children print and log."""
        if self.shared is None:
            self.shared = os.memfd_create("output")
            fcntl.fcntl(self.shared, fcntl.F_SETFL, os.O_APPEND)
        return self.shared

    def collect(self) -> None:
        """Take what forked children have printed and logged."""
        if self.shared is None:
            return
        with open(self.shared, "rb") as file:
            self.shared = None
            file.seek(0)
            with contextlib.suppress(EOFError):
                while True:
                    name, value = pickle.load(file)
                    getattr(self, name)(value)

    def text(self) -> str:
        """Return the printed text, with a note where it was cut."""
        notes = ""
        if self.n_characters > LIMIT_CHARACTERS:
            notes += f"\n… {self.n_characters - LIMIT_CHARACTERS} characters more"
        if self.n_records > LIMIT_RECORDS:
            notes += f"\n… {self.n_records - LIMIT_RECORDS} log records more"
        return "".join(self.parts) + notes


def _as_plain(record: logging.LogRecord) -> dict[str, Any]:
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    kept = ("name", "levelno", "levelname", "pathname", "filename", "module", "lineno",
            "funcName", "created", "exc_text")  # fmt: skip
    values = {name: getattr(record, name) for name in kept}
    return {**values, "msg": record.getMessage()}


_output: ContextVar[Output | None] = ContextVar("output", default=None)

#: Those of the tasks of other processes that run here: threads that they start have no variable.
_visitors: list[Output] = []


def _current() -> Output | _Children | None:
    """Return where the output of this thread goes, unless it is no task's."""
    if _children is not None:
        return _children
    found = _output.get()
    return _visitors[0] if found is None and len(_visitors) == 1 else found


class _Children:
    """Sends what a forked child of a task prints and logs to the process of the task."""

    def __init__(self, file: int) -> None:
        self._file = file

    def write(self, text: str) -> None:
        self._send("write", text)

    def log(self, record: logging.LogRecord) -> None:
        self._send("keep", _as_plain(record))

    def _send(self, name: str, value: Any) -> None:
        if os.fstat(self._file).st_size < LIMIT_SHARED_BYTES:
            os.write(self._file, pickle.dumps((name, value)))


_children: _Children | None = None


def _prepare_fork() -> None:
    output = _current()
    if isinstance(output, Output):
        output.share()


def _note_fork() -> None:
    global _children
    output = _current()
    if isinstance(output, Output) and output.shared is not None:
        _children = _Children(output.shared)


os.register_at_fork(before=_prepare_fork, after_in_child=_note_fork)


class _TaskStream:
    """Replaces a standard stream: records the text of tasks, and passes on all other text.

    Not an `io.TextIOBase`, whose finalizer would flush a stream that may be closed by then.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        output = _current()
        if output is not None:
            output.write(text)
        elif self.stream is not None:
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        if self.stream is not None:
            self.stream.flush()

    def writelines(self, lines: Iterable[str], /) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _TaskLogHandler(logging.Handler):
    """Keeps the records of the current task."""

    def emit(self, record: logging.LogRecord) -> None:
        output = _current()
        if output is not None:
            try:
                output.log(record)
            except Exception:  # a malformed logging call must not fail the task
                self.handleError(record)


class _Capture(CountedContext):
    """Replaces the standard streams of the process while any task runs."""

    def __init__(self) -> None:
        super().__init__()
        self._streams: dict[str, _TaskStream] = {}

    def _begin(self) -> None:
        for name in ("stdout", "stderr"):
            self._streams[name] = _TaskStream(getattr(sys, name))
            setattr(sys, name, self._streams[name])

    def _finish(self) -> None:
        for name, stand_in in self._streams.items():
            # A task may have set a stream of its own there, which is left alone.
            if getattr(sys, name) is stand_in:
                setattr(sys, name, stand_in.stream)
        self._streams.clear()


class _Records(CountedContext):
    """Handles the log records of the process while any task runs."""

    _handler = _TaskLogHandler()

    def _begin(self) -> None:
        logging.root.addHandler(self._handler)

    def _finish(self) -> None:
        logging.root.removeHandler(self._handler)


_capture, _records = _Capture(), _Records()


@contextlib.contextmanager
def capture_output(log_level: int | None) -> Iterator[Output]:
    """Yield an `Output` that captures what the code inside prints, warns and logs.

    Parameters
    ----------
    log_level : int or None
        Level of the driver's root logger. None leaves logging alone: in the driver's own process,
        records reach the user's handlers directly.
    """
    output = Output()
    token = _output.set(output)
    if log_level is not None:
        _visitors.append(output)
    try:
        with _capture, contextlib.nullcontext() if log_level is None else _logging_at(log_level):
            yield output
    finally:
        output.collect()
        if log_level is not None:
            _visitors.remove(output)
        _output.reset(token)


@contextlib.contextmanager
def _logging_at(level: int) -> Iterator[None]:
    with _records:
        previous = logging.root.level
        _set_log_level(level)
        try:
            yield
        finally:
            _set_log_level(previous)


def _set_log_level(level: int) -> None:
    if logging.root.level != level:  # setting it clears the cache of every logger
        logging.root.setLevel(level)


def _as_shown(text: str) -> list[str]:
    """Return the lines that a terminal shows in the end, where carriage returns overwrite them."""
    lines = text.removesuffix("\n").split("\n")
    return [line.rstrip("\r").rpartition("\r")[2] for line in lines]


def replay_output(text: str, records: list[dict[str, Any]], label: str) -> None:
    """Write a task's text to stderr, and pass its log records to the driver's loggers.

    Parameters
    ----------
    text, label : str
        What was printed, and what labels each line: the names of host and worker.
    records : list of dict
        From `Output.records`.
    """
    if text and sys.stderr is not None:
        lines = "".join(f"[{label}] {line}\n" for line in _as_shown(text))
        with contextlib.suppress(OSError, ValueError):  # a closed stderr must not lose the result
            sys.stderr.write(lines)
    for values in records:
        logger = logging.getLogger(values["name"])
        if logger.isEnabledFor(values["levelno"]):
            message = f"[{label}] {values['msg']}"
            logger.handle(logging.makeLogRecord({**values, "msg": message, "args": None}))
