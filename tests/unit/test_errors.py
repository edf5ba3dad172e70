"""Every class of the tree: raised by a real call, and whole again after pickling."""

import copy
import os
import pickle
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import pytest

import scoopsci
from scoopsci import errors
from scoopsci.basics.extras import import_extra
from scoopsci.deployment.wheels import pack_wheel
from scoopsci.engines.payload import Call, run_payload
from scoopsci.engines.taskfuture import unpack
from scoopsci.hosts import read_hostfile
from scoopsci.road.chunks import FoldBlocks
from scoopsci.road.dispatch import Dispatch
from scoopsci.road.ledger import Ledger
from scoopsci.road.options import DispatchOptions
from scoopsci.testing.tasks import CallBlocks


def call_nothing(block: int, _: object) -> int:
    return block


def end_process(block: int, _: object) -> int:
    os._exit(3)


def take_time(block: int, _: object) -> int:
    time.sleep(0.01)
    return block


def fail(block: int, _: object) -> int:
    raise LookupError("the user's own", block)


def walk(run_block: Callable[[int, object], int], engine: str = "serial", **options: Any) -> None:
    n_workers = 1 if engine == "processes" else None
    work: FoldBlocks[int] = FoldBlocks(CallBlocks(run_block), max)
    with scoopsci.open_engine(engine, n_workers=n_workers) as opened:
        for _ in Dispatch(opened, work, range(100), DispatchOptions(**options)):
            pass


def lose_worker() -> None:
    with scoopsci.open_engine("processes", n_workers=1) as engine:
        engine.submit(os._exit, 3).result()


def meet_another_python() -> None:
    header, *frames = Call(call_nothing, (0, None), {}).as_whole()
    other = {**pickle.loads(header), "python": (2, 7)}
    unpack(run_payload([pickle.dumps(other), *frames]))


def open_hostfile(text: str) -> None:
    path = Path("hostfile")
    path.write_text(text)
    read_hostfile(path)


def open_another_run_s_ledger() -> None:
    Ledger("run.ledger", {"seed": 1}).close()
    Ledger("run.ledger", {"seed": 2})


CALLS: dict[type[errors.ScoopsciError], Callable[[], object]] = {
    errors.EngineError: meet_another_python,
    errors.EngineUnavailableError: lambda: scoopsci.open_engine("nonesuch"),
    errors.EngineNotStartedError: lambda: scoopsci.open_engine("scoop"),
    errors.WorkerLostError: lose_worker,
    errors.EngineTimeoutError: lambda: walk(take_time, timeout=0.001),
    errors.TaskError: lambda: walk(fail),
    errors.PoisonTaskError: lambda: walk(end_process, "processes", poison_after=1),
    errors.HostfileError: lambda: open_hostfile("node1\n\n$(reboot)\n"),
    errors.ExtraMissingError: lambda: import_extra("nonesuch", "plot"),
    errors.InstallError: lambda: pack_wheel("nonesuch", Path()),
    errors.LedgerError: open_another_run_s_ledger,
    errors.NotConvergedError: lambda: scoopsci.pi(
        half_width=0.01, max_samples=5_000, seed=1, block_size=1_000, engine="serial"
    ),
}
BUILT_IN = {
    errors.EngineUnavailableError: ImportError,
    errors.EngineNotStartedError: RuntimeError,
    errors.WorkerLostError: BrokenExecutor,
    errors.EngineTimeoutError: TimeoutError,
    errors.HostfileError: ValueError,
}
REMEDIES = {
    errors.EngineError: r"minor version of Python.*2\.7.*install 2\.7",
    errors.EngineUnavailableError: r"must be one of auto, .*serial.*'nonesuch'",
    errors.EngineNotStartedError: "python -m scoop",
    errors.WorkerLostError: "worker",
    errors.EngineTimeoutError: r"0\.001 s.*allow more time",
    errors.TaskError: r"block 0 failed on host .* \(running\): LookupError.*the user's own",
    errors.PoisonTaskError: r"block \d+ ended its worker",
    errors.HostfileError: r"hostfile, line 3: .*\$\(reboot\)",
    errors.ExtraMissingError: r"nonesuch cannot be imported \(.*\); pip install 'scoopsci\[plot\]'",
    errors.InstallError: r"nonesuch must be installed here; try",
    errors.LedgerError: r"run\.ledger .*another run: seed is 1 there and 2 here; .*another file",
    errors.NotConvergedError: r"0\.01 is not reached: max_samples = 5,000 .*5,000 samples give",
}
ATTRIBUTES = {
    errors.WorkerLostError: {"by_task", "host"},
    errors.TaskError: {"error", "block", "host", "pid", "stage", "remote_traceback"},
    errors.PoisonTaskError: {"error", "block", "host", "pid", "stage", "remote_traceback"},
    errors.HostfileError: {"path", "line_number"},
    errors.NotConvergedError: {"estimate"},
}
# Those that the calls above cannot fill, and the one that is never raised itself.
MADE = [
    errors.ScoopsciError("root"),
    errors.ScoopsciError(),
    errors.EngineUnavailableError("no module", "two", "arguments"),
    errors.EngineTimeoutError("late"),
    errors.WorkerLostError("gone", host="node1"),
    errors.TaskError("m", block=2**70, host="h", pid=7, stage="s", remote_traceback="Trace\n"),
    errors.PoisonTaskError("m", block=3, host="h"),
    errors.HostfileError("whole file", path="/etc/hosts"),
    errors.HostfileError("a line", path="hosts", line_number=4),
    errors.NotConvergedError("m", estimate=3.0),
]


@pytest.fixture(autouse=True, scope="module")
def first_loss() -> None:
    """Lose a worker once: loky keeps the pipes of its tracker, and those of its last loss."""
    with pytest.raises(errors.WorkerLostError):
        lose_worker()


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def catch(cls: type[errors.ScoopsciError]) -> errors.ScoopsciError:
    with pytest.raises(cls, match=f"(?s){REMEDIES[cls]}") as caught:
        CALLS[cls]()
    assert type(caught.value) is cls
    return caught.value


def _attributes(error: BaseException) -> dict[str, Any]:
    """Return attributes and notes; estimates and exceptions, which do not compare, as written."""
    kinds = scoopsci.Estimate, BaseException
    return {k: repr(v) if isinstance(v, kinds) else v for k, v in vars(error).items()}


def assert_same(ours: BaseException | None, theirs: BaseException | None) -> None:
    assert type(ours) is type(theirs)
    if ours is not None and theirs is not None:
        assert (str(ours), ours.args) == (str(theirs), theirs.args)
        assert _attributes(ours) == _attributes(theirs), "attributes and notes"
        if isinstance(ours, errors.ScoopsciError):
            assert_same(ours.__cause__, theirs.__cause__)


def test_the_tree_is_complete() -> None:
    classes = {getattr(errors, name) for name in errors.__all__}
    assert classes == {errors.ScoopsciError, *CALLS}
    assert all(issubclass(cls, errors.ScoopsciError) for cls in classes)
    assert set(errors.__all__) <= set(scoopsci.__all__)
    drawn = errors.__doc__ or ""
    assert all(name in drawn for name in errors.__all__)


@pytest.mark.parametrize("cls", CALLS, ids=lambda cls: cls.__name__)
def test_a_real_call_raises_it_and_pickle_keeps_it(cls: type[errors.ScoopsciError]) -> None:
    error = catch(cls)
    assert isinstance(error, BUILT_IN.get(cls, Exception))
    assert set(error.__dict__) - {"__notes__"} == ATTRIBUTES.get(cls, set())
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert_same(pickle.loads(pickle.dumps(error, protocol)), error)


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_copies_are_complete(error: errors.ScoopsciError) -> None:
    chained = copy.copy(error)
    chained.__cause__ = KeyError("cause")
    chained.add_note("a note")
    for each in (error, chained):
        for again in (pickle.loads(pickle.dumps(each)), copy.copy(each), copy.deepcopy(each)):
            assert_same(again, each)
            assert_same(pickle.loads(pickle.dumps(again)), each)


def test_copy_of_an_error_does_not_share_its_notes() -> None:
    error = errors.TaskError("m", remote_traceback="Traceback")
    copy.copy(error).add_note("of the copy alone")
    assert len(error.__notes__) == 1


def test_task_error_shows_all_it_knows() -> None:
    error = catch(errors.TaskError)
    assert isinstance(error, errors.TaskError)
    assert isinstance(error.__cause__, LookupError)
    assert error.__cause__.args == ("the user's own", 0)
    assert (error.block, error.pid, error.stage) == (0, os.getpid(), "running")
    assert "in fail" in error.remote_traceback
    assert error.remote_traceback.rstrip() in error.__notes__[0]


def test_hostfile_error_without_a_line() -> None:
    with pytest.raises(errors.HostfileError, match=r"no-such-file: .*cannot be read") as caught:
        read_hostfile("no-such-file")
    assert (caught.value.path, caught.value.line_number) == ("no-such-file", None)
