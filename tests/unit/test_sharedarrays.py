"""Arrays that processes share: who sees them, who does not, and that nothing is left of them."""

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from scoopsci import Engine, open_engine
from scoopsci.sorting.sharedarrays import SharedArray, SharedReference

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DTYPES = ["?", "i1", ">i4", "f8", "g", "c16", "M8[ms]", "m8[D]", "S5", "U3", "V7", "i4,f8"]
RECORD = np.dtype({"names": ["a", "b"], "formats": ["i1", ">f8"], "offsets": [3, 10]})


@pytest.fixture(scope="module")
def worker() -> Iterator[Engine]:
    """Open another process of this machine."""
    with open_engine("processes", n_workers=1) as engine:
        yield engine


def fill(reference: SharedReference, values: Any) -> bool:
    found = reference.open()
    if found is None:
        return False
    found[:] = values
    return True


def is_here(reference: SharedReference) -> bool:
    return reference.open() is not None


def count_mapped() -> int:
    return Path("/proc/self/maps").read_text().count("/memfd:scoopsci")


def run_program(text: str) -> str:
    command = [sys.executable, "-W", "error", "-c", text]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("dtype", [*map(np.dtype, DTYPES), RECORD], ids=str)
def test_writes_are_visible_to_every_process(worker: Engine, dtype: np.dtype[Any]) -> None:
    values = (np.arange(7 * dtype.itemsize, dtype=np.uint8) & 0x1F).view(dtype)
    if dtype.kind in "bf":  # not every byte is one of a truth value or of a long double
        values = np.arange(7).astype(dtype)
    with SharedArray(len(values), dtype) as shared:
        assert shared.array.dtype == dtype
        assert not any(shared.array.tobytes())
        assert worker.submit(fill, shared.reference, values).result(60)
        assert shared.array.tolist() == values.tolist()
        shared.array[:] = values[::-1]
        assert shared.reference is not None
        found = shared.reference.open()
        assert found is not None
        assert found.tolist() == values[::-1].tolist()


def test_reference_is_small() -> None:
    with SharedArray(1_000_000, RECORD) as shared:
        assert len(pickle.dumps(shared.reference)) < 1_000


def test_memory_is_unmapped_and_closed_after_its_last_use(worker: Engine) -> None:
    n_before = count_mapped()
    with SharedArray(10, np.dtype("f8")) as shared:
        view = shared.array[2:]
        mine = shared.detach()
        assert worker.submit(fill, shared.reference, 1.0).result(60)
    assert worker.submit(count_mapped).result(60) == 0
    assert count_mapped() == n_before + 2
    assert view.tolist() == [1.0] * 8
    assert mine.tolist() == [1.0] * 10
    del view, mine
    assert count_mapped() == n_before
    shared.close()


def test_results_hold_no_descriptors() -> None:
    n_open = len(os.listdir("/proc/self/fd"))
    kept = []
    for number in range(2_000):
        with SharedArray(1, np.dtype("i8")) as shared:
            shared.array[0] = number
            kept.append(shared.detach())
    assert [int(array[0]) for array in kept] == list(range(2_000))
    assert len(os.listdir("/proc/self/fd")) == n_open


class TestNotFound:
    """Each of these would be another host's numbers, met by chance."""

    def test_closed(self) -> None:
        with SharedArray(3, np.dtype("i8")) as shared:
            reference = shared.reference
            assert reference is not None
            assert is_here(reference)
        assert shared.reference is None
        assert not is_here(reference)

    def test_a_descriptor_reused_for_another_array_is_refused(self) -> None:
        with SharedArray(3, np.dtype("i8")) as shared:
            reference = shared.reference
        assert reference is not None
        with SharedArray(3, np.dtype("i8")) as other:
            assert other.reference is not None
            assert other.reference.fd == reference.fd
            assert not fill(reference, 5)
            assert other.array.tolist() == [0, 0, 0]

    def test_a_descriptor_reused_for_a_file_is_refused(self, tmp_path: Path) -> None:
        with SharedArray(3, np.dtype("i8")) as shared:
            reference = shared.reference
        assert reference is not None
        with (tmp_path / "data").open("w+b") as file:
            file.write(b"precious" * 3)
            file.flush()
            assert file.fileno() == reference.fd
            assert not fill(reference, 5)
        assert (tmp_path / "data").read_bytes() == b"precious" * 3

    @pytest.mark.timeout(30)
    def test_a_descriptor_reused_for_a_pipe_is_refused(self, tmp_path: Path) -> None:
        with SharedArray(3, np.dtype("i8")) as shared:
            assert shared.reference is not None
            os.mkfifo(tmp_path / "pipe")
            fd = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
            try:
                assert not is_here(replace(shared.reference, fd=fd))
            finally:
                os.close(fd)

    def test_no_such_process_or_descriptor(self) -> None:
        with SharedArray(3, np.dtype("i8")) as shared:
            assert shared.reference is not None
            assert not is_here(replace(shared.reference, pid=2**22 + 1))
            assert not is_here(replace(shared.reference, fd=100_000))
            assert not is_here(replace(shared.reference, pid=os.getppid()))

    def test_memory_that_cannot_be_mapped(self) -> None:
        with SharedArray(3, np.dtype("i8")) as shared:
            assert shared.reference is not None
            assert not is_here(replace(shared.reference, size=2**58))


class TestDetached:
    def test_it_outlives_the_sharing_and_is_private(self) -> None:
        with SharedArray(4, np.dtype("f8")) as shared:
            shared.array[:] = 1.0
            mine = shared.detach()
            mine[0] = 2.0
            assert shared.array[0] == 1.0
        assert mine.flags.writeable
        assert mine.flags.c_contiguous
        assert mine.tolist() == [2.0, 1.0, 1.0, 1.0]
        assert pickle.loads(pickle.dumps(mine)).tolist() == mine.tolist()

    def test_a_fork_does_not_share_it(self) -> None:
        found = run_program(
            "import os, numpy as np\n"
            "from scoopsci.sorting.sharedarrays import SharedArray\n"
            "with SharedArray(2, np.dtype(int)) as shared:\n"
            "    mine = shared.detach()\n"
            "child = os.fork()\n"
            "if not child:\n"
            "    mine[0] = 1\n"
            "    os._exit(0)\n"
            "os.waitpid(child, 0)\n"
            "mine[1] = 2\n"
            "print(mine)\n"
        )
        assert found == "[0 2]\n"

    def test_it_may_outlive_the_exit_handlers(self) -> None:
        found = run_program(
            "import atexit, numpy as np\n"
            "from scoopsci.sorting.sharedarrays import SharedArray\n"
            "atexit.register(lambda: print(mine))\n"
            "with SharedArray(2, np.dtype(int)) as shared:\n"
            "    mine = shared.detach()\n"
        )
        assert found == "[0 0]\n"


class TestNotShared:
    """It is an ordinary array then."""

    @pytest.mark.parametrize("dtype", ["O", "S0"])
    def test_dtypes_of_pointers_are_not_shared(self, dtype: str) -> None:
        with SharedArray(3, np.dtype(dtype)) as shared:
            assert shared.reference is None
            assert shared.array.shape == (3,)
            assert shared.detach() is shared.array

    def test_empty(self) -> None:
        with SharedArray(0, np.dtype("f8")) as shared:
            assert shared.reference is None
            assert shared.detach().shape == (0,)

    def test_where_memory_is_limited(self) -> None:
        found = run_program(
            "import os, resource, numpy as np\n"
            "from scoopsci.sorting.sharedarrays import SharedArray\n"
            "n_open = len(os.listdir('/proc/self/fd'))\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
            "with SharedArray(1 << 20, np.dtype(int)) as shared:\n"
            "    shared.array[:] = 1\n"
            "    print(shared.reference, shared.detach().sum())\n"
            "    print(len(os.listdir('/proc/self/fd')) - n_open)\n"
        )
        assert found == f"None {1 << 20}\n0\n"


def test_no_memory_is_left_when_the_owner_is_killed(tmp_path: Path) -> None:
    program = (
        "import time, numpy as np\n"
        "from scoopsci.sorting.sharedarrays import SharedArray\n"
        "with SharedArray(1_000_000, np.dtype(int)) as shared:\n"
        "    shared.array[:] = 1\n"
        "    print(shared.reference.fd, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:
        assert process.stdout is not None
        fd = int(process.stdout.readline())
        name = os.readlink(f"/proc/{process.pid}/fd/{fd}")
        assert name.startswith("/memfd:scoopsci-")
        process.kill()
    token = name.removeprefix("/memfd:").split()[0]
    assert not any(token in name for name in os.listdir("/dev/shm"))
    assert not list(tmp_path.iterdir())


def test_an_error_closes_it() -> None:
    n_before, n_open = count_mapped(), len(os.listdir("/proc/self/fd"))
    with contextlib.suppress(ZeroDivisionError), SharedArray(3, np.dtype("f8")):
        raise ZeroDivisionError
    assert count_mapped() == n_before
    assert len(os.listdir("/proc/self/fd")) == n_open
