"""Recordings of a pool: the machines believe the same again, and nothing else is in the file."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from scoopsci import Pool
from scoopsci.cli import main
from scoopsci.pool import trace
from scoopsci.pool.trace import RECORD_VARIABLE, replay
from tests.conftest import becomes

SECRET = "what-a-task-carries"


def record(path: Path) -> None:
    """Record a pool that loses workers."""
    with Pool(2, record=path) as pool:
        assert pool.submit(str.upper, SECRET).result() == SECRET.upper()
        killed = pool.hosts[0]["workers"][0]
        os.kill(killed, signal.SIGKILL)
        assert becomes(lambda: killed not in pool.hosts[0]["workers"])  # or it may get the task
        assert pool.submit(os._exit, 3).exception() is not None
        assert sorted(pool.map(abs, range(-20, 0))) == [*range(1, 21)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "pool.trace"
    path.write_text("of an earlier pool")
    record(path)
    return path


def test_the_machines_believe_the_same_again(recording: Path) -> None:
    found = replay(recording)
    assert {side: facts["agrees"] for side, facts in found.items()} == {
        "driver": True,
        "broker": True,
    }
    driver, broker = (found[side]["believes"] for side in ("driver", "broker"))
    assert driver == {"waiting": [], "sent": [], "n_repeated": 2}
    (host,) = broker["hosts"]
    assert sum(worker["n_done"] for worker in host["workers"]) >= 1
    assert (broker["waiting"], broker["running"]) == ([], {})
    assert found["broker"]["n_events"] > 60


def test_an_end_that_differs_is_told(recording: Path, tmp_path: Path) -> None:
    lines = recording.read_text().splitlines(keepends=True)
    other = tmp_path / "other.trace"
    lost = next(line for line in reversed(lines) if line.startswith('["broker"') and '"RP' in line)
    other.write_text("".join(line for line in lines if line != lost))
    assert replay(other)["broker"]["agrees"] is False


def test_what_tasks_carry_and_keys_are_not_in_it(recording: Path) -> None:
    text = recording.read_text()
    assert SECRET not in text
    assert "authkey" not in text
    assert stat.S_IMODE(recording.stat().st_mode) == 0o600


def wait_for(path: Path) -> None:
    assert becomes(path.exists)


def test_of_a_pool_that_still_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, go = tmp_path / "pool.trace", tmp_path / "go"
    monkeypatch.setenv(RECORD_VARIABLE, str(path))
    with Pool(1) as pool:
        futures = [pool.submit(wait_for, go) for _ in range(5)]
        assert becomes(lambda: pool.status()["tasks"]["running"] == 1)
        copy = tmp_path / "copy.trace"
        copy.write_text(path.read_text().rpartition("\n")[0] + '\n["driver", 1')  # it goes on
        go.touch()
        assert [future.result() for future in futures] == [None] * 5
    found = replay(copy)
    assert (found["driver"]["agrees"], found["broker"]["agrees"]) == (None, None)
    believed = found["broker"]["believes"]
    (running,) = believed["running"].values()
    assert running == [0]
    assert len(found["driver"]["believes"]["sent"]) == 2
    assert len(found["driver"]["believes"]["waiting"]) == 3


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MOST_BYTES", 4_000)
    path = tmp_path / "pool.trace"
    with Pool(1, record=path) as pool:
        assert list(pool.map(abs, range(200))) == [*range(200)]
    n_bytes = sum(len(line) for line in path.read_text().splitlines() if "driver" in line[:9])
    assert n_bytes < 4_100
    driver = replay(path)["driver"]
    assert (driver["is_full"], driver["agrees"]) == (True, None)


BEGUN = '["driver", 0.0, "setup", {"poison_after": 3, "begun_s": 0.0}]\n'
WRONG = [
    "no lines of JSON\n",
    "{}\n",
    '["driver", 1.0, "Tick"]\n',
    '["driver", 1.0, "setup"]\n',
    '["broker", 1.0, "setup", {"driver": 5}]\n',
    f'{BEGUN}["driver", 1.0, "Any"]\n',
    f'{BEGUN}["driver", 1.0, "Send", "", []]\n',
]


@pytest.mark.parametrize("text", WRONG)
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match="is no recording of a pool"):
        replay(tmp_path / "file")


def test_nothing_is_started_if_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Pool(1, record=tmp_path / "none" / "pool.trace")


class TestCommand:
    def test_prints_what_they_believed(
        self, recording: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["replay", str(recording)]) == 0
        said = capsys.readouterr().out
        assert "host localhost: connected" in said
        assert "n_repeated: 2" in said

    def test_prints_one_json_object(
        self, recording: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["replay", str(recording), "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert set(found) == {"driver", "broker"}

    def test_refuses_other_files(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").write_text("\n")
        assert main(["replay", str(tmp_path / "file")]) == 2
        assert "is no recording" in capsys.readouterr().err
