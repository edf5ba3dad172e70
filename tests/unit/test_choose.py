"""The hosts of `scoopsci run`, against those that SCOOP's own launcher chooses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from scoopsci import HostfileError
from scoopsci.programs.choose import choose_hosts
from tests.conftest import require

TWO_QUEUES = "node1 4 short@node1 UNDEFINED\nnode2 2 short@node2 UNDEFINED\n"
NODES = "node1\nnode1\nnode2\nnode1\nnode3\n"


def choose_as_scoop(n_workers: int | None, hostfile: str | None = None) -> list[tuple[str, int]]:
    """Return what SCOOP's own functions choose in this environment."""
    from scoop import launcher, utils

    hosts = utils.getHosts(hostfile, None)
    n = n_workers or utils.getWorkerQte(hosts)
    app = SimpleNamespace(externalHostname="elsewhere", tunnel=False)
    divided = launcher.ScoopApp.divideHosts(app, hosts, n)
    return [(name, count) for name, count in divided if count]


def choose(n_workers: int | None, hostfile: str | None = None) -> list[tuple[str, int | None]]:
    return [(host.name, host.n_workers) for host in choose_hosts(n_workers, hostfile=hostfile)]


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SLURM's own tool, which SCOOP asks: it needs no cluster to read a list of nodes."""
    require([] if shutil.which("scontrol") else ["scontrol (Debian: slurm-client)"])
    config = tmp_path / "slurm.conf"
    config.write_text("ClusterName=none\nSlurmctldHost=localhost\n")
    monkeypatch.setenv("SLURM_CONF", str(config))


@pytest.mark.parametrize("n_workers", [None, 1, 3, 5, 20])
@pytest.mark.parametrize(
    ("nodes", "tasks", "n_tasks"),
    [
        ("node[1-3,07],login", "2(x3),1,4", "11"),
        ("node1", "2", None),
        ("a[08-10],b[1-2]", "1(x5)", "7"),
    ],
)
@pytest.mark.usefixtures("scontrol")
def test_slurm_as_scoop(
    nodes: str,
    tasks: str,
    n_tasks: str | None,
    n_workers: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_NODELIST", nodes)
    monkeypatch.setenv("SLURM_TASKS_PER_NODE", tasks)
    if n_tasks is not None:
        monkeypatch.setenv("SLURM_NTASKS", n_tasks)

    assert choose(n_workers) == choose_as_scoop(n_workers)


@pytest.mark.parametrize("n_workers", [None, 1, 4, 9])
@pytest.mark.parametrize("given", [None, "2", "8"])
def test_pbs_as_scoop(
    given: str | None, n_workers: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nodes").write_text(NODES)
    monkeypatch.setenv("PBS_ENVIRONMENT", "PBS_BATCH")
    monkeypatch.setenv("PBS_NODEFILE", str(tmp_path / "nodes"))
    if given is not None:
        monkeypatch.setenv("PBS_NP", given)

    assert choose(n_workers) == choose_as_scoop(n_workers)


@pytest.mark.parametrize("n_workers", [None, 1, 5, 9])
@pytest.mark.parametrize("given", [None, "3", "6"])
def test_sge_as_scoop(
    given: str | None, n_workers: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts").write_text(TWO_QUEUES)
    monkeypatch.setenv("PE_HOSTFILE", str(tmp_path / "hosts"))
    if given is not None:
        monkeypatch.setenv("NSLOTS", given)

    assert choose(n_workers) == choose_as_scoop(n_workers)


def test_hostfile_takes_precedence_over_the_batch_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostfile").write_text("a 2\nb 3\n")
    monkeypatch.setenv("PE_HOSTFILE", str(tmp_path / "hosts"))
    monkeypatch.setenv("NSLOTS", "4")
    hostfile = str(tmp_path / "hostfile")

    assert choose(None, hostfile) == choose_as_scoop(None, hostfile) == [("a", 2), ("b", 2)]


def test_one_host_on_two_lines_of_a_batch_system(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(TWO_QUEUES + "node1 3 long@node1 UNDEFINED\n")

    hosts = choose_hosts(environment={"PE_HOSTFILE": str(path)})

    assert [(host.name, host.n_workers) for host in hosts] == [("node1", 7), ("node2", 2)]


def test_names_and_no_names() -> None:
    twice = choose_hosts(names=["a", "b", "a"], environment={})

    assert [(host.name, host.n_workers) for host in twice] == [("a", 2), ("b", 1)]
    assert [host.n_workers for host in choose_hosts(environment={})] == [None]
    assert [host.n_workers for host in choose_hosts(3, environment={})] == [3]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"SLURM_NODELIST": "a"}, "SLURM_TASKS_PER_NODE: is not set"),
        ({"SLURM_NODELIST": "a[1-2]", "SLURM_TASKS_PER_NODE": "1"}, "names 2 hosts"),
        ({"SLURM_NODELIST": "a", "SLURM_TASKS_PER_NODE": "one"}, "must be like"),
        ({"PBS_ENVIRONMENT": "PBS_BATCH"}, "PBS_NODEFILE: is not set"),
        ({"PBS_ENVIRONMENT": "PBS_BATCH", "PBS_NODEFILE": "/nowhere"}, "/nowhere: cannot be read"),
        ({"PBS_ENVIRONMENT": "PBS_BATCH", "PBS_NODEFILE": os.devnull}, "names no host"),
        ({"PE_HOSTFILE": os.devnull}, "names no host"),
        ({"NSLOTS": "many"}, "NSLOTS: must be a number of workers, at least 1, got 'many'"),
        ({"PBS_NP": "0"}, "PBS_NP: must be a number of workers"),
    ],
)
def test_bad_environments(environment: dict[str, str], words: str) -> None:
    with pytest.raises(HostfileError, match=words.replace("[", r"\[")):
        choose_hosts(environment=environment)
