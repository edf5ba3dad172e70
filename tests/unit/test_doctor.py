"""The doctor on this machine, and how it speaks; tests/cluster has the hosts."""

import ast
import inspect
import json
import sys
from pathlib import Path

import pytest

from scoopsci.cli import main
from scoopsci.deployment import probe
from scoopsci.deployment.doctor import Check, Diagnosis, examine_hosts, show_diagnoses


@pytest.fixture
def hostfile(tmp_path: Path) -> Path:
    path = tmp_path / "hostfile"
    path.write_text("localhost 1\n")
    return path


def test_this_machine_is_ready(hostfile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hosts", str(hostfile)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("localhost 1  ready")
    assert out.count("\n") == 1
    assert main(["hosts", str(hostfile), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    (host,) = found["hosts"]
    assert all(check["ok"] and check["found"] and not check["remedy"] for check in host["checks"])


def test_more_workers_than_fit(hostfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoopsci.deployment.doctor.WORKER_BYTES", 1 << 50)
    hostfile.write_text("localhost 3\n")
    (diagnosis,) = examine_hosts(hostfile)
    (wrong,) = [check for check in diagnosis.checks if not check.ok]
    assert wrong.name == "memory"
    assert "fewer than 3 workers" in wrong.remedy


def test_each_problem_has_a_line_and_its_remedy_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ill = Diagnosis("node2", (Check("clock", False, "86,400 s ahead", "set it"),))
    well = Diagnosis("a-longer-name", (Check("python", True, "3.11.9"),))
    assert not ill.ok
    assert well.ok
    show_diagnoses([ill, well])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["node2", "not", "ready"],
        ["clock:", "86,400", "s", "ahead"],
        ["→", "set", "it"],
        ["a-longer-name", "ready", "python", "3.11.9"],
    ]


def test_the_probe_can_be_read_by_old_pythons() -> None:
    ast.parse(inspect.getsource(probe), feature_version=(3, 6))


@pytest.mark.parametrize(("seconds", "told"), [("0", "timeout"), ("-1", "time"), ("x", "number")])
def test_wrong_times(
    seconds: str, told: str, hostfile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hosts", str(hostfile), "--timeout", seconds]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert captured.err.count("\n") == 1


def test_a_program_that_is_not_ssh(hostfile: Path) -> None:
    hostfile.write_text("elsewhere\n")
    (diagnosis,) = examine_hosts(hostfile, ssh=sys.executable)
    (check,) = diagnosis.checks
    assert not check.ok
    assert check.remedy
