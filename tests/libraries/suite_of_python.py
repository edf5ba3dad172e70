"""Runs CPython's own tests of its process pool on an engine; the arguments are engine and group.

They come from the interpreter's test package, or the one that FOUND_SUITE names, and are neither
copied nor changed: an executor of ours takes the place of ProcessPoolExecutor, and its errors are
translated into that one's, which know neither lost workers nor tasks that cannot be pickled.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import pickle
import sys
import unittest
import weakref
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, Future
from concurrent.futures import process as process_pool
from typing import Any

from scoopsci import PoisonTaskError, Pool, TaskError, open_engine

PACKAGE = "test.test_concurrent_futures"

#: Groups, and the module and class of each: of Python 3.12 and newer, and the same of 3.11.
GROUPS = {
    "executor": ("test_process_pool", "ProcessPoolExecutorTest"),
    "initializer": ("test_init", "InitializerMixin"),
    "shutdown": ("test_shutdown", "ExecutorShutdownTest"),
    "wait": ("test_wait", "WaitTests"),
    "as_completed": ("test_as_completed", "AsCompletedTests"),
    "deadlock": ("test_deadlock", "ExecutorDeadlockTest"),
}

PRIVATE = "reads attributes that begin with an underscore"
BY_NAME = "starts a program that imports ProcessPoolExecutor by its name"
OPTION = "is about max_tasks_per_child, an option that we do not have"
WORDS = "expects the words 'max_workers', which we call n_workers"

#: Tests that are left out, and why. All of ``ProcessPoolShutdownTest`` and of
#: ``FailingInitializerMixin`` read such attributes, too. `test_ends` does what
#: ``BY_NAME`` expects.
LEFT_OUT = {
    "test_killed_child": PRIVATE,
    "test_saturation": PRIVATE,
    "test_idle_process_reuse_one": PRIVATE,
    "test_idle_process_reuse_multiple": PRIVATE,
    "test_force_shutdown_workers": PRIVATE,
    "test_shutdown_deadlock_pickle": PRIVATE,
    "test_crash_big_data": PRIVATE,
    "test_gh105829_should_not_deadlock_if_wakeup_pipe_full": PRIVATE,
    "test_python_finalization_error": PRIVATE,
    "test_interpreter_shutdown": BY_NAME,
    "test_submit_after_interpreter_shutdown": BY_NAME,
    "test_hang_gh83386": BY_NAME,
    "test_hang_gh94440": BY_NAME,
    "test_max_tasks_per_child": OPTION,
    "test_max_tasks_per_child_defaults_to_spawn_context": OPTION,
    "test_max_tasks_early_shutdown": OPTION,
    "test_max_workers_negative": WORDS,
    "test_max_workers_too_large": WORDS,
}


def translate(error: BaseException) -> BaseException:
    """Return what ProcessPoolExecutor would raise."""
    if isinstance(error, (PoisonTaskError, BrokenExecutor)):
        return process_pool.BrokenProcessPool(str(error))
    if isinstance(error, TaskError):
        if error.stage.startswith("unpickling"):
            return process_pool.BrokenProcessPool(str(error))
        own = error.error or error.__cause__
        return own if isinstance(own, (pickle.PicklingError, SystemExit)) else error
    behind = TaskError.behind(error)
    if behind is not None:
        error.__cause__ = process_pool._RemoteTraceback(behind.remote_traceback)  # type: ignore[arg-type]
    return error


class Translated(Future[Any]):
    """A future with the exceptions of ProcessPoolExecutor's."""

    def result(self, timeout: float | None = None) -> Any:
        with translated():
            return super().result(timeout)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Translate what is raised within."""
    try:
        yield
    except BaseException as error:
        other = translate(error)
        if other is error:
            raise
        raise other from other.__cause__


class OnEngine(Executor):
    """An engine with the constructor of ProcessPoolExecutor.

    Parameters
    ----------
    max_workers : int, optional
        Number of workers.
    mp_context : object
        Ignored: an engine starts processes in its own way.
    **options
        Of the engine.
    """

    open: Callable[..., Any]

    def __init__(self, max_workers: int | None = None, mp_context: Any = None, **options: Any):
        self._engine = type(self).open(n_workers=max_workers, **options)
        self._futures: weakref.WeakSet[Future[Any]] = weakref.WeakSet()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = self._engine.submit(fn, *args, **kwargs)
        kind = type(future)
        future.__class__ = type("Translated", (Translated, kind), {})
        self._futures.add(future)
        return future

    def map(self, fn: Callable[..., Any], *iterables: Any, **how: Any) -> Iterator[Any]:
        found: Iterator[Any] = self._engine.map(fn, *iterables, **how)
        return found

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:  # that one a test expects to have started: here it may be cancelled
            futures.wait(self._futures, return_when=futures.FIRST_COMPLETED)
        self._engine.shutdown(wait, cancel_futures=cancel_futures)


class OnPool(OnEngine):
    """`scoopsci.Pool`."""

    open = Pool


class OnProcesses(OnEngine):
    """The engine `processes`."""

    @staticmethod
    def open(**options: Any) -> Any:
        return open_engine("processes", **options)


def load_group(name: str, executor: type[OnEngine]) -> unittest.TestSuite:
    """Return the tests of a group, on an executor, except those that are left out."""
    module_name, class_name = GROUPS[name]
    suite = importlib.import_module(PACKAGE)
    if not hasattr(suite, class_name):
        suite = importlib.import_module(f"{PACKAGE}.{module_name}")
    base = getattr(suite, class_name)
    in_one = suite.__name__ == PACKAGE
    common = suite if in_one else importlib.import_module(f"{PACKAGE}.util")

    def get_context(self: Any) -> Any:
        return multiprocessing.get_context("fork")

    own = {"executor_type": executor, "worker_count": 2, "get_context": get_context}
    bases = (base, common.ExecutorMixin, common.BaseTestCase)
    name = f"{executor.__name__}{class_name}"
    kind = globals()[name] = type(name, tuple(dict.fromkeys(bases)), own)
    found = unittest.defaultTestLoader.loadTestsFromTestCase(kind)
    return unittest.TestSuite(
        test for test in found if getattr(test, "_testMethodName", "") not in LEFT_OUT
    )


def main(engine: str, *groups: str) -> int:
    """Run groups of tests, and return the exit status."""
    executor = {"pool": OnPool, "processes": OnProcesses}[engine]
    suite = unittest.TestSuite(load_group(name, executor) for name in groups)
    done = unittest.TextTestRunner(verbosity=2).run(suite)
    return not (done.wasSuccessful() and done.testsRun)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
