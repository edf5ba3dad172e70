"""The contract, for plain SCOOP: run inside ``python -m scoop``, and its absence outside."""

from __future__ import annotations

from pathlib import Path

import pytest

import scoopsci
from scoopsci import EngineNotStartedError
from tests.conftest import RunScoop

CONTRACT = Path(__file__).with_name("scoop_contract.py")

#: Workers report to the broker, as SCOOP's do every 25 s: for 60 s it then holds what it has given
#: to them for under way. Two of them die.
OLD_WORKERS = """
import os, pickle
from pathlib import Path

import scoop

import scoopsci
from scoopsci.testing.tasks import meet


def report(folder):
    meet(Path(folder), 2)
    to_broker = scoop._control.execQueue.socket.socket
    to_broker.send_multipart([b"SU", pickle.dumps(set())])


def die_once(item):
    mark = f"{os.environ['MARKS']}/{item}"
    if item in (60, 80) and not os.path.exists(mark):
        open(mark, "w").close()
        os._exit(3)
    return item


if __name__ == "__main__":
    present = os.environ["MARKS"] + "/present"
    os.mkdir(present)
    receipts = []
    run = {"engine": "scoop", "chunk_target_s": 1e-9}
    list(scoopsci.map(report, [present] * 2, **run))
    for _ in range(3):
        list(scoopsci.map(abs, range(100), **run))
    run |= {"timeout": 45, "receipt": receipts.append}
    print(*scoopsci.map(die_once, range(100), **run), receipts[0]["run"]["n_lost_tasks"])
"""


def test_what_the_broker_gives_to_a_dead_worker_comes_back(
    run_scoop: RunScoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKS", str(tmp_path))
    program = tmp_path / "old_workers.py"
    program.write_text(OLD_WORKERS)
    done = run_scoop("-q", program, n=2)
    assert done.returncode == 0, done.stderr
    *found, n_lost = map(int, done.stdout.split())
    assert found == [*range(100)]
    assert n_lost >= 2


@pytest.mark.timeout(360)
@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_contract_inside_scoop(run_scoop: RunScoop, tmp_path: Path, n: int) -> None:
    status = tmp_path / "status"
    arguments = ("-q", "-p", "no:cacheprovider")
    done = run_scoop(CONTRACT, status, *arguments, n=n, timeout=300)
    assert status.exists(), done.stderr
    assert status.read_text() == "0", done.stdout
    assert "passed" in done.stdout


def test_outside_scoop_it_names_the_command() -> None:
    with pytest.raises(EngineNotStartedError, match="python -m scoop"):
        scoopsci.pi(10, engine="scoop")
