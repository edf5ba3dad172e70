"""The surroundings of a task on a worker: the driver's settings, and no traces of other tasks."""

from __future__ import annotations

import contextlib
import locale
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any

from scoopsci.engines.auditing import notice
from scoopsci.engines.counted import CountedContext
from scoopsci.engines.settings import Keeper, enter_settings, follow_driver, leave_driver

__all__ = ["hosts_tasks", "note_loaded", "run_in_surroundings"]

#: Signals that programs handle.
SIGNALS = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGCHLD, signal.SIGPIPE,
)  # fmt: skip


def run_in_surroundings(
    settings: dict[str, Any],
    fn: Callable[..., Any],
    *args: Any,
    at_home: bool,
    lasts: bool = False,
) -> Any:
    """Call a function with the settings of the driver, and undo what it changes around itself.

    Parameters
    ----------
    settings : dict
        From `scoopsci.engines.settings.take_settings`.
    fn, *args
        The call; it calls `note_loaded` once the user's modules are imported.
    at_home : bool
        Whether this is the driver's own process, where nothing of the process is touched.
    lasts : bool
        Whether the changes are kept: this is an initializer.

    Returns
    -------
    object
        What the function returned.

    Notes
    -----
    Undone are changes of the working folder, the umask and resource limits and, unless a module
    was imported meanwhile, which may have made them, of the environment, the locale, the handlers
    of signals, the filters of warnings and the recursion limit.
    """
    context = enter_settings(settings, at_home=at_home)
    if context is None:
        return fn(*args)
    if at_home:
        return context.run(fn, *args)
    follow_driver(settings)
    keeper = Keeper(context, settings)
    context.run(_keeper.set, keeper)
    try:
        with contextlib.nullcontext() if lasts else _undoing:
            return context.run(fn, *args)
    finally:
        (keeper.keep_all if lasts else keeper.keep_imports)()


#: Of the task that runs.
_keeper: ContextVar[Keeper | None] = ContextVar("keeper", default=None)


def hosts_tasks() -> bool:
    """Return whether a task of another process runs in this one."""
    return _undoing.is_used


def note_loaded(*ours: ContextVar[Any]) -> None:
    """Tell that what a task changes from now on is its own doing, and not that of an import.

    Parameters
    ----------
    *ours
        Variables that we have set for the task.
    """
    keeper = _keeper.get()
    if keeper is not None:
        keeper.note_imports((*ours, _keeper))
    _undoing.begin()


class _Undoing(CountedContext):
    """Undoes the changes of tasks when none runs any more."""

    def __init__(self) -> None:
        super().__init__()
        self._n_modules = 0
        self._process: dict[str, Any] = {}
        #: Read rarely: handlers slowly, and the umask only by setting another one for a moment.
        self._handlers: dict[signal.Signals, Any] = {}
        self._umask = 0o077
        #: What was there before the first change that an event has announced.
        self._before: dict[Any, Any] = {}
        self._is_active = False

    @property
    def is_used(self) -> bool:
        """Whether a task runs."""
        return self._n_inside > 0

    def _begin(self) -> None:
        _watch(self)

    def begin(self) -> None:
        """Record the surroundings, if no other task runs."""
        if self._n_inside != 1 or self._is_active:
            return
        if not self._handlers or len(sys.modules) != self._n_modules:
            self._handlers, self._umask = _take_handlers(), _read_umask()
        self._n_modules = len(sys.modules)
        self._process = {
            "locale": locale.setlocale(locale.LC_ALL),
            "filters": list(warnings.filters),
            "recursion": sys.getrecursionlimit(),
        }
        self._before = {}
        self._is_active = True

    def announce(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record what an event is about to change."""
        if not self._is_active:
            return
        if event == "os.chdir":
            with contextlib.suppress(OSError):  # it has been deleted
                self._before.setdefault("folder", os.getcwd())
        elif event.startswith("resource."):
            limits, kind = self._before.setdefault("limits", {}), arguments[-2]
            limits.setdefault(kind, resource.getrlimit(kind))
        else:
            self._before.setdefault("environment", dict(os.environ))

    def _finish(self) -> None:
        if not self._is_active:
            return
        self._is_active = False
        self._undo_own()
        if len(sys.modules) == self._n_modules:
            self._undo_others()
        leave_driver()

    def _undo_own(self) -> None:
        os.umask(self._umask)
        if "folder" in self._before:
            with contextlib.suppress(OSError):
                os.chdir(self._before["folder"])
        for kind, (soft, _) in self._before.get("limits", {}).items():
            hard = resource.getrlimit(kind)[1]
            with contextlib.suppress(OSError, ValueError):  # a hard limit cannot be raised
                resource.setrlimit(kind, (soft, hard))

    def _undo_others(self) -> None:
        if "environment" in self._before:
            _restore_environment(self._before["environment"])
        if locale.setlocale(locale.LC_ALL) != self._process["locale"]:
            locale.setlocale(locale.LC_ALL, self._process["locale"])
        if self._process["filters"] != warnings.filters:
            warnings.resetwarnings()
            warnings.filters.extend(self._process["filters"])  # type: ignore[attr-defined]
        if sys.getrecursionlimit() != self._process["recursion"]:
            sys.setrecursionlimit(self._process["recursion"])
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


def _take_handlers() -> dict[signal.Signals, Any]:
    return {number: signal.getsignal(number) for number in SIGNALS}


def _read_umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _restore_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


@cache
def _watch(undoing: _Undoing) -> None:
    events = ("os.chdir", "os.putenv", "os.unsetenv", "resource.setrlimit", "resource.prlimit")
    notice(events, undoing.announce)


_undoing = _Undoing()
