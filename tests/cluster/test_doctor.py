"""The doctor, on hosts with one problem each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from tests.lan import ENVIRONMENT, PLAIN, PYTHON, Lan
from tests.pools import check_nothing_left, write_hosts, write_ssh
from tests.servers import servers

pytestmark = pytest.mark.cluster

COMMAND: list[str | Path] = [PYTHON, "-m", "scoopsci", "hosts"]

OTHER_PYTHON = Path("/usr/bin/pypy3")
OTHER_CLOCKS = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

#: The problem of each host: the failed check, a part of its message and of the remedy.
PROBLEMS = {
    "wrong-key": ("login", "Permission denied", "ssh-copy-id wrong-key"),
    "changed-key": ("host key", "HAS CHANGED", "fingerprint"),
    "unknown-key": ("host key", "Host key verification failed", "log in once with"),
    "no-forwarding": ("forwarding", "forwarding", "AllowStreamLocalForwarding yes"),
    "other-python": ("python", "3.9.", "and name it by --python"),
    "no-package": ("packages", "cloudpickle is missing", "pip install cloudpickle=="),
    "full-disk": ("scratch", "No space left on device", "free space in /tmp"),
    "other-day": ("clock", "s ahead", "set-ntp"),
    "no-route": ("connection", "", "ping no-route"),
    "no.such.name.invalid": ("name", "Could not resolve hostname", "/etc/hosts"),
    "nobody-listens": ("connection", "Connection refused", "start sshd there"),
}

SSH_CONFIG = """
Host wrong-key
    HostName node1
    HostKeyAlias node1
    Port 2200
Host changed-key
    HostKeyAlias changed-key
Host unknown-key
    HostKeyAlias unknown-key
Host changed-key unknown-key
    HostName node1
    UserKnownHostsFile {folder}/other-known-hosts
    UpdateHostKeys no
Host no-forwarding
    HostName node1
    HostKeyAlias node1
    Port 2201
Host full-disk
    HostName node1
    HostKeyAlias node1
    Port 2202
Host other-day
    HostName node1
    HostKeyAlias node1
    Port 2203
Host no-package
    HostName node2
    HostKeyAlias node2
Host other-python
    HostName node3
    HostKeyAlias node3
Host no-route
    HostName 10.77.0.99
Host nobody-listens
    HostName node1
    Port 2299
"""

#: Servers beside the usual one, each with a peculiarity.
SERVERS = {
    2200: "exec {sshd} -o AuthorizedKeysFile=/run/keys-of-others",
    2201: "exec {sshd} -o AllowStreamLocalForwarding=no",
    2202: "mount -t tmpfs -o mode=1777,size=64k tmpfs /tmp; cp /proc/self/exe /tmp/full; "
    "exec {sshd}",
    2203: f"exec {{sshd}} -o 'SetEnv=LD_PRELOAD={next(iter(OTHER_CLOCKS), None)} FAKETIME=+1d'",
}


@contextlib.contextmanager
def problems(lan: Lan) -> Iterator[Path]:
    """Give the hosts problems, and yield an ssh that knows them by these names."""
    theirs = (lan.folder / "host_key_node2.pub").read_text()
    (lan.folder / "other-known-hosts").write_text(f"changed-key {theirs}")
    (site,) = (lan.root("node2") / str(ENVIRONMENT)[1:]).glob("lib/python*/site-packages")
    hidden = [f"/{path.relative_to(lan.root('node2'))}" for path in site.glob("cloudpickle*")]
    python = lan.root("node3") / str(PYTHON)[1:]
    kept = python.readlink()
    for path in hidden:
        lan.run(["mount", "-t", "tmpfs", "tmpfs", path], host="node2", check=True)
    python.unlink()
    python.symlink_to(OTHER_PYTHON)
    try:
        with servers(lan, "node1", SERVERS):
            yield write_ssh(lan, SSH_CONFIG.format(folder=lan.folder), "ssh-of-problems")
    finally:
        python.unlink()
        python.symlink_to(kept)
        for path in hidden:
            lan.run(["umount", path], host="node2", check=True)


def examine(
    lan: Lan, hosts: list[str], ssh: Path | None = None, *more: str
) -> tuple[int, dict[str, Any]]:
    hostfile = write_hosts(lan, hosts, "hosts-to-examine")
    command = [*COMMAND, hostfile, "--ssh", ssh or lan.ssh, "--json", *more]
    done = lan.run(["env", *PLAIN, *command], timeout=60)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(autouse=True)
def nothing_left(lan: Lan) -> Iterator[None]:
    yield
    check_nothing_left(lan)


def test_healthy_hosts(lan: Lan) -> None:
    names = ["127.0.0.1 2", "node1 2", "node2", "node3"]
    status, found = examine(lan, names)
    assert (status, found["ok"]) == (0, True), found
    assert [host["host"] for host in found["hosts"]] == names
    local, *others = ([check["name"] for check in host["checks"]] for host in found["hosts"])
    looked_at = ["connection", "forwarding", "python", "packages", "battery", "processors",
                 "memory", "scratch", "clock"]  # fmt: skip
    assert others == [looked_at] * 3
    assert local == [name for name in looked_at if name != "forwarding"]


def test_each_problem_has_its_remedy(lan: Lan) -> None:
    parts = {"pypy3": OTHER_PYTHON.exists(), "libfaketime": bool(OTHER_CLOCKS)}
    require([name for name, is_there in parts.items() if not is_there])
    with problems(lan) as ssh:
        status, found = examine(lan, [*PROBLEMS, "127.0.0.1"], ssh)
    assert (status, found["ok"]) == (1, False)
    *faulty, healthy = found["hosts"]
    assert healthy["ok"], healthy
    for host, (name, words, remedy) in zip(faulty, PROBLEMS.values(), strict=True):
        wrong = {check["name"]: check for check in host["checks"] if not check["ok"]}
        # Consequences of the problem fail as well.
        assert set(wrong) - {"packages", "battery"} == {name} - {"packages"}, host
        assert words in wrong[name]["found"], host
        assert remedy in wrong[name]["remedy"], host


def test_a_host_that_is_silent(lan: Lan) -> None:
    lan.lose_packets("node2", from_host=True)
    try:
        status, found = examine(lan, ["node1", "node2"], None, "--timeout", "5")
    finally:
        lan.mend("node2")
    assert status == 1
    assert [host["ok"] for host in found["hosts"]] == [True, False]
    (silent,) = found["hosts"][1]["checks"]
    assert (silent["name"], silent["ok"]) == ("connection", False)
    assert "ping node2" in silent["remedy"]


def test_hosts_that_compute_differently(lan: Lan) -> None:
    hostfile = write_hosts(lan, ["node1"], "hosts-to-examine")
    done = lan.run([*COMMAND, hostfile], env={"OPENBLAS_CORETYPE": "Nehalem"})
    assert done.returncode == 1
    assert "node1  not ready" in done.stdout
    assert "battery: " in done.stdout
    assert "--mixed" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-hostfile"], "no-such-hostfile"),
        (["hostfile", "--timeout", "0"], "timeout"),
        (["hostfile", "--ssh", "no-such-ssh", "--json"], None),
    ],
)
def test_wrong_use(lan: Lan, arguments: list[str], words: str | None) -> None:
    folder = lan.folder / "elsewhere"
    folder.mkdir(exist_ok=True)
    (folder / "hostfile").write_text("node1\n")
    done = lan.run([*COMMAND, *arguments], cwd=folder)
    if words is None:
        (check,) = json.loads(done.stdout)["hosts"][0]["checks"]
        assert done.returncode == 1
        assert "no-such-ssh" in check["found"]
        assert "--ssh" in check["remedy"]
    else:
        assert done.returncode in (1, 2)
        assert done.stdout == ""
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
