"""`scoopsci run` over three isolated hosts, by real SSH."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.test_pool import ONE_EACH
from tests.conftest import becomes, require
from tests.lan import PYTHON, Lan
from tests.pools import NODES, check_nothing_left, processes_on, signal_on, write_hosts
from tests.programs.examples import EXAMPLES, LONG, fetch_examples, normalize

pytestmark = pytest.mark.cluster

PROGRAMS = Path(__file__).parents[1] / "programs"

#: A file on a host, for which tasks wait there.
GO = "/tmp/go"


@pytest.fixture(autouse=True)
def nothing_left(lan: Lan) -> Iterator[None]:
    yield
    check_nothing_left(lan)


@pytest.fixture
def project(lan: Lan) -> Iterator[Path]:
    """A program with all that it needs, on laptop only."""
    folder = lan.folder / "project"
    (folder / "__pycache__").mkdir(parents=True)
    (lan.folder / "data").mkdir()
    (lan.folder / "data" / "more.txt").write_text("three\n")
    shutil.copy(PROGRAMS / "needs_files.py", folder / "program")
    (folder / "beside.py").write_text("join = ' '.join\n")
    (folder / "words.txt").write_text("one two")
    (folder / "__pycache__" / "large").write_text("x")
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(lan.folder / "data")


def command(lan: Lan, *arguments: str | Path, hosts: Sequence[str] = ONE_EACH) -> list[str | Path]:
    hostfile = write_hosts(lan, hosts, "hosts-of-run")
    ways: list[str | Path] = ["--hostfile", hostfile, "--ssh-executable", lan.ssh]
    return [PYTHON, "-m", "scoopsci", "run", *ways, *arguments]


def test_every_call_on_three_hosts(lan: Lan) -> None:
    program = lan.share("every_call.py", (PROGRAMS / "every_call.py").read_text())
    theirs = lan.run([PYTHON, "-m", "scoop", "-q", "-n", "2", program, "a"], cwd="/", timeout=60)
    done = lan.run(command(lan, program, "a"), cwd="/", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    expected = {**json.loads(theirs.stdout), "executed in the origin": False}
    assert json.loads(done.stdout) == expected


def files_on(lan: Lan, name: str, host: str) -> list[str]:
    done = lan.run(["find", "/tmp", "/root", "/srv/scoopsci", "-name", name], host=host)
    return done.stdout.split()


@pytest.mark.parametrize("with_rsync", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_staged_program_leaves_nothing(lan: Lan, project: Path, with_rsync: bool) -> None:
    require([] if shutil.which("rsync") else ["rsync"])
    staged = command(lan, "--stage", "--data", lan.folder / "data", project / "program", "6", "0")
    if not with_rsync:
        hide = 'mount --bind /dev/null "$(command -v rsync)"; exec "$@"'
        staged = ["unshare", "--mount", "sh", "-c", hide, "sh", *staged]
    done = lan.run(staged, cwd="/", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = done.stdout.splitlines()
    assert first == "begins"
    assert {line.split()[0] for line in lines if "one two three" in line} == set(NODES)
    assert len(lines) == 12  # three has an end of line of its own
    for host in NODES:
        for name in ("words.txt", "beside.py", "more.txt", "large"):
            assert files_on(lan, name, host) == []


def test_missing_program_names_the_file_and_stage(lan: Lan, project: Path) -> None:
    program = project / "program"
    done = lan.run(command(lan, program, "6", "0"), cwd="/", timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    words = done.stderr.splitlines()[-1]
    assert f"'{program}' is not on host node" in words
    assert "--stage" in words


@pytest.mark.parametrize(
    ("removed", "words"),
    [("beside.py", "No module named 'beside'"), ("words.txt", "'words.txt'")],
)
def test_missing_files_next_to_the_program(
    lan: Lan, project: Path, removed: str, words: str
) -> None:
    for name in ("needs_files.py", "beside.py", "words.txt"):
        if name != removed:
            source = project / ("program" if name == "needs_files.py" else name)
            lan.share(name, source.read_text())
    try:
        program = lan.share("needs_files.py", (project / "program").read_text())
        done = lan.run(command(lan, program, "3", "0"), cwd=program.parent, timeout=60)
    finally:
        for machine in ("laptop", *NODES):
            for name in ("beside.py", "words.txt"):
                (lan.root(machine) / str(program.parent)[1:] / name).unlink(missing_ok=True)
    assert done.returncode == 1
    assert words in done.stderr
    assert "--stage" in done.stderr


def test_copy_in_a_named_folder_is_kept_and_not_sent_again(lan: Lan, project: Path) -> None:
    """A file sent by rsync keeps its inode until it is sent again."""
    staged = command(
        lan, "--stage", "--path", "/srv/kept-copy", "--data", lan.folder / "data",
        project / "program", "3", "0",
    )  # fmt: skip
    seen = []
    for change in (None, "four five"):
        if change:
            (project / "words.txt").write_text(change)
        done = lan.run(staged, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        found = "find /srv/kept-copy -type f -not -name '*.pyc' -printf '%P %i\\n'"
        listed = lan.run(["sh", "-c", found], host="node1", check=True).stdout
        seen.append(dict(line.split() for line in listed.splitlines()))
    assert "four five three" in done.stdout
    before, after = seen
    assert set(before) == {"program", "beside.py", "words.txt", "data/more.txt"}
    assert {name for name in before if before[name] != after[name]} == {"words.txt"}
    for host in NODES:
        lan.run(["rm", "-r", "/srv/kept-copy"], host=host, check=True)


def test_copy_to_a_full_disk_fails(lan: Lan, project: Path) -> None:
    with (project / "large").open("wb") as file:
        file.write(bytes(3_000_000))
    lan.run(["mount", "-t", "tmpfs", "-o", "mode=1777,size=1m", "tmpfs", "/tmp"], host="node2",
            check=True)  # fmt: skip
    try:
        done = lan.run(command(lan, "--stage", project / "program", "3", "0"), timeout=60)
    finally:
        lan.run(["umount", "--lazy", "/tmp"], host="node2", check=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "host node2 1: the program's folder cannot be copied" in done.stderr
    assert "No space left on device" in done.stderr or "on a full disk" in done.stderr


@pytest.mark.parametrize("options", [[], ["--mixed"]])
def test_hosts_that_compute_differently(lan: Lan, options: list[str]) -> None:
    text = (
        "from scoop import futures\nif __name__ == '__main__': print(list(futures.map(abs, [-1])))"
    )
    done = lan.run(
        command(lan, *options, lan.share("alike.py", text), hosts=["127.0.0.1 1", "node1 1"]),
        env={"OPENBLAS_CORETYPE": "Nehalem"},
        cwd="/",
        timeout=60,
    )
    (line,) = done.stderr.splitlines()
    if options:
        assert (done.returncode, done.stdout) == (0, "[1]\n")
        assert "WARNING hosts differ in the last bit" in line
    else:
        assert (done.returncode, done.stdout) == (1, "")
        assert "compute differently in the last bit" in line
        assert "--mixed" in line


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_end_of_a_staged_run_leaves_nothing(
    lan: Lan, project: Path, number: signal.Signals
) -> None:
    staged = command(lan, "--stage", "--data", lan.folder / "data", project / "program", "9", "90")
    with lan.popen(staged) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        (pid,) = (
            pid
            for pid, words in processes_on(lan, "laptop", "scoopsci run").items()
            if words.split()[0] == str(PYTHON)
        )
        signal_on(lan, "laptop", pid, number)
        process.wait(30)
    check_nothing_left(lan)
    for host in NODES:
        assert files_on(lan, "words.txt", host) == []


@pytest.mark.slow
def test_staged_host_is_used_again(lan: Lan, project: Path) -> None:
    """It is unplugged until its copy has been given up, and gets a new one."""
    staged = command(
        lan, "--stage", "--data", lan.folder / "data", project / "program", "60", "0.5", GO,
    )  # fmt: skip
    go = {name: lan.root(name) / GO[1:] for name in NODES}
    waits = go["node3"].with_name(f"{go['node3'].name}.awaited")
    with lan.popen(staged) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        assert becomes(waits.exists)
        lan.unplug("node3")
        try:
            assert becomes(lambda: not files_on(lan, "words.txt", "node3"), 60)
            waits.unlink()
        finally:
            lan.mend("node3")
        assert becomes(partial(files_on, lan, "words.txt", "node3"), 60)
        assert becomes(waits.exists, 60)
        for path in go.values():
            path.touch()
        out, err = process.communicate(timeout=300)
    for path in go.values():
        path.unlink()
        path.with_name(f"{path.name}.awaited").unlink()
    assert (process.returncode, err) == (0, "")
    lines = [line for line in out.splitlines() if line]
    assert len([line for line in lines if "one two three" in line]) == 60
    # The last tasks were executed there as well.
    assert any(line.startswith("node3") for line in lines[-12:])


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_examples(tmp_path_factory.mktemp("scoop"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EXAMPLES, *LONG])
def test_example_on_three_hosts(lan: Lan, examples: Path, name: str) -> None:
    folder = lan.folder / "examples"
    shutil.copytree(examples, folder, dirs_exist_ok=True)
    program = folder / name
    theirs = lan.run(
        [PYTHON, "-m", "scoop", "-q", "-n", "3", program.name], cwd=program.parent, timeout=120
    )
    ours = lan.run(command(lan, "--stage", program.name), cwd=program.parent, timeout=120)
    shutil.rmtree(folder)
    assert (theirs.returncode, ours.returncode) == (0, 0), ours.stderr
    assert "Traceback" not in theirs.stdout + theirs.stderr + ours.stderr
    assert normalize(ours.stdout) == normalize(theirs.stdout)
    assert ours.stdout
