"""Hosts with nothing but Python, which `scoopsci hosts --install` makes ready."""

from __future__ import annotations

import contextlib
import json
import pwd
import shutil
import signal
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from scoopsci.wheels import gather_wheels
from tests.conftest import becomes, require
from tests.lan import PLAIN, PYTHON, SHARED, Lan
from tests.pools import (
    OpenPool,
    check_nothing_left,
    processes_on,
    signal_on,
    write_hosts,
    write_ssh,
)
from tests.servers import servers

pytestmark = pytest.mark.cluster

HOME = pwd.getpwuid(0).pw_dir
DATA = f"{HOME}/.local/share"
BASE = Path(sys.base_prefix)
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

#: What a Python brings besides the standard library, and the pip within that.
PACKAGES = (
    sysconfig.get_path("purelib", vars={"base": sys.base_prefix}),
    f"{sysconfig.get_path('stdlib')}/ensurepip",
)

#: A host without an environment of ours, whose Python has no package, nor pip.
BARE = "".join(
    [
        f"mount -t tmpfs tmpfs {SHARED}; mkdir -p {DATA}; ",
        *(f"if [ -d {path} ]; then mount -t tmpfs tmpfs {path}; fi; " for path in PACKAGES),
        "mount -t tmpfs -o {options} tmpfs " + DATA + "; {more} exec {{sshd}} "
        f"-o SetEnv=PATH={BASE}/bin:/usr/local/bin:/usr/bin:/bin",
    ]
)

#: How much an environment takes is below this.
ROOMY = "size=600m"

LINK = f"{version('scoopsci')}-py{VERSION}"

#: Lets a server log its user in to another shell.
OTHER_SHELL = "sed s,^root:.*,root:x:0:0::$HOME:{shell}, /etc/passwd >/run/passwd; "
OTHER_SHELL += "mount --bind /run/passwd /etc/passwd; "

#: Needed by pytest, so it is here, and scoopsci does not need it.
FURTHER = "iniconfig"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gather wheels once, from pip's index."""
    folder = tmp_path_factory.mktemp("wheels")
    requirements = folder.parent / "requirements"
    requirements.write_text(f"{FURTHER}\n")
    with gather_wheels(requirements=requirements) as gathered:
        for wheel in gathered:
            shutil.copy(wheel, folder)
    return folder


@pytest.fixture(autouse=True)
def nothing_left(lan: Lan) -> Iterator[None]:
    yield
    check_nothing_left(lan)


@contextlib.contextmanager
def bare_hosts(lan: Lan, *, more: str = "", **options: str) -> Iterator[Path]:
    """Yield an ssh that knows hosts with nothing but Python, by the options of their data."""
    ports = {name: 2300 + i for i, name in enumerate(options)}
    config = "".join(
        f"Host {name}\n HostName node1\n HostKeyAlias node1\n Port {port}\n"
        for name, port in ports.items()
    )
    scripts = {port: BARE.format(options=options[name], more=more) for name, port in ports.items()}
    with servers(lan, "node1", scripts):
        yield write_ssh(lan, config, "ssh-of-the-bare")


def command(lan: Lan, hosts: list[str], ssh: Path, *more: str | Path) -> list[str | Path]:
    hostfile = write_hosts(lan, hosts, "hosts-to-install")
    program: list[str | Path] = [PYTHON, "-m", "scoopsci", "hosts", hostfile, "--ssh", ssh]
    return ["env", *PLAIN, *program, *more]


def install(
    lan: Lan, hosts: list[str], ssh: Path, *more: str | Path, env: dict[str, str] | None = None
) -> tuple[int, dict[str, Any], str]:
    words = command(lan, hosts, ssh, "--json", "--install", *more)
    done = lan.run(words, timeout=110, env=env)
    found = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, found, done.stderr


def look(lan: Lan, ssh: Path, host: str, words: str) -> str:
    return lan.run([ssh, host, words], check=True).stdout


def wrong(host: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in host["checks"] if not check["ok"]}


def listing(lan: Lan, ssh: Path, host: str) -> dict[str, str]:
    """Return what lies in the data of a host's user, and where links lead."""
    lines = look(lan, ssh, host, f"find {DATA} -mindepth 1 -maxdepth 2 -printf '%P %l\\n'")
    return {name: target for name, _, target in (row.partition(" ") for row in lines.splitlines())}


def targets(lan: Lan, ssh: Path, host: str) -> list[str]:
    """Return the environments that are in use on a host."""
    return [target for target in listing(lan, ssh, host).values() if target]


def test_a_host_with_nothing_but_python(lan: Lan, wheels: Path) -> None:
    with bare_hosts(lan, one=ROOMY, two=ROOMY) as ssh:
        hosts = ["127.0.0.1 1", "one 1", "two 1"]
        done = lan.run(command(lan, hosts, ssh))
        assert done.returncode == 1
        assert done.stdout.count("scoopsci hosts HOSTFILE --install") == 2

        status, found, said = install(lan, hosts, ssh, "--wheels", wheels)
        assert (status, found["ok"]) == (0, True), (found, said)
        assert "installing on one 1, two 1\n" in said
        (target,) = targets(lan, ssh, "one")
        files = {"scoopsci", "scoopsci/lock", f"scoopsci/{LINK}", f"scoopsci/{target}"}
        assert set(listing(lan, ssh, "one")) == files
        assert look(lan, ssh, "one", f"stat -c %a {DATA}/scoopsci/{target}") == "700\n"
        assert look(lan, ssh, "one", f"find {DATA} -name '*.whl'") == ""

        again = install(lan, hosts, ssh, "--wheels", wheels)
        assert (again[0], again[2]) == (0, "nothing to install\n")
        assert targets(lan, ssh, "one") == [target]

        with OpenPool(lan, hosts, ssh=str(ssh)) as pool:
            for host in pool.hear()[1:]:
                used = lan.run(["cat", f"/proc/{host['agent']}/cmdline"], host="node1").stdout
                assert used.startswith(f"{DATA}/scoopsci/{LINK}/bin/python\0"), used
            pool.check_bits()


def test_from_an_index_with_further_packages(lan: Lan, wheels: Path, tmp_path: Path) -> None:
    for wheel in wheels.iterdir():
        folder = tmp_path / "simple" / wheel.name.partition("-")[0].replace("_", "-")
        folder.mkdir(parents=True)
        (folder / wheel.name).symlink_to(wheel)
        (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    index = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{(tmp_path / 'simple').as_uri()}/"}
    requirements = tmp_path / "requirements"
    requirements.write_text(f"{FURTHER}\n")
    with bare_hosts(lan, one=ROOMY) as ssh:
        hosts = ["one 1", "node2 1"]
        words: list[str | Path] = ["--requirements", requirements]
        try:
            # The second has all that scoopsci needs, but for what the user wants besides.
            status, found, said = install(lan, hosts, ssh, *words, env=index)
            assert status == 0, (found, said)
            python = f"{DATA}/scoopsci/{LINK}/bin/python"
            before = [targets(lan, ssh, name) for name in ("one", "node2")]
            for name in ("one", "node2"):
                assert look(lan, ssh, name, f"{python} -c 'import {FURTHER}; print(1)'") == "1\n"
            assert install(lan, hosts, ssh, *words, env=index)[0] == 0
            assert [targets(lan, ssh, name) for name in ("one", "node2")] == before
            # What a package has lost, the next installation brings back.
            look(lan, ssh, "one", f"rm -r {DATA}/scoopsci/{LINK}/lib/python*/site-packages/numpy*")
            assert install(lan, hosts, ssh, env=index)[0] == 0
            assert targets(lan, ssh, "one") != before[0]
            assert len(listing(lan, ssh, "one")) == 4
        finally:
            shutil.rmtree(lan.root("node2") / DATA[1:] / "scoopsci")


def test_hosts_that_cannot_be_helped(lan: Lan, wheels: Path) -> None:
    with bare_hosts(lan, frozen="ro", small="size=30m", unwilling=ROOMY) as ssh:
        hosts = ["frozen 1", "small 1", "node1 1", "unwilling 1"]
        status, found, _ = install(lan, hosts, ssh, "--wheels", wheels)
        assert status == 1
        frozen, small, node, unwilling = found["hosts"]
        assert "Read-only file system" in wrong(frozen)["installation"]["found"]
        assert f"write below {DATA}" in wrong(frozen)["installation"]["remedy"]
        assert "No space left on device" in wrong(small)["installation"]["found"]
        assert "MB below" in wrong(small)["installation"]["remedy"]
        assert (node["ok"], unwilling["ok"]) == (True, True)
        assert set(listing(lan, ssh, "small")) == {"scoopsci", "scoopsci/lock"}
        named = install(lan, ["small 1"], ssh, "--wheels", wheels, "--python", "/no/such/python")[1]
        (host,) = named["hosts"]
        assert "/no/such/python" in wrong(host)["installation"]["found"]
        assert "name it by --python" in wrong(host)["installation"]["remedy"]


def test_a_wheel_that_is_missing(lan: Lan, wheels: Path, tmp_path: Path) -> None:
    for wheel in wheels.iterdir():
        if not wheel.name.startswith("numpy"):
            (tmp_path / wheel.name).symlink_to(wheel)
    env = {"PIP_CONFIG_FILE": "/dev/null"}
    with bare_hosts(lan, one=ROOMY) as ssh:
        status, found, said = install(lan, ["one 1"], ssh, "--wheels", tmp_path, env=env)
        assert (status, found) == (1, {})
        last = said.splitlines()[-1]
        assert f"numpy=={version('numpy')}" in last
        assert str(tmp_path) in last
        assert "pip wheel" in last
        assert listing(lan, ssh, "one") == {}


@pytest.mark.parametrize("victim", ["driver", "pip"])
def test_killed_in_the_middle(lan: Lan, wheels: Path, victim: str) -> None:
    with bare_hosts(lan, one=ROOMY) as ssh:
        words = command(lan, ["one 1"], ssh, "--json", "--install", "--wheels", wheels)
        with lan.popen(words) as driver:
            assert becomes(lambda: processes_on(lan, "node1", "--no-index"))
            if victim == "driver":
                driver.kill()
            else:  # with its parent, which then cleans nothing up
                for pid in processes_on(lan, "node1", "-I -c import json"):
                    signal_on(lan, "node1", pid, signal.SIGKILL)
                for pid in processes_on(lan, "node1", "--no-index"):
                    signal_on(lan, "node1", pid, signal.SIGKILL, check=False)
            out, _ = driver.communicate(timeout=60)
        assert becomes(lambda: not processes_on(lan, "node1", "--no-index"))
        assert becomes(lambda: not lan.processes("node1"))
        if victim == "driver":
            assert set(listing(lan, ssh, "one")) == {"scoopsci", "scoopsci/lock"}
        else:
            assert "try again" in wrong(json.loads(out)["hosts"][0])["installation"]["remedy"]
            assert len(listing(lan, ssh, "one")) == 3
        assert targets(lan, ssh, "one") == []
        assert lan.run(command(lan, ["one 1"], ssh)).returncode == 1
        if victim == "pip":
            assert install(lan, ["one 1"], ssh, "--wheels", wheels)[0] == 0
            assert len(listing(lan, ssh, "one")) == 4


@pytest.mark.parametrize("name", [pytest.param("dash", marks=pytest.mark.slow), "tcsh", "fish"])
def test_login_shells(lan: Lan, wheels: Path, name: str) -> None:
    shell = shutil.which(name)
    require([] if shell else [name])
    with bare_hosts(lan, more=OTHER_SHELL.format(shell=shell), one=ROOMY) as ssh:
        assert name in look(lan, ssh, "one", "ps -o comm= $$; echo $0 $SHELL")
        assert install(lan, ["one 1"], ssh, "--wheels", wheels)[0] == 0
        with OpenPool(lan, ["one 1"], ssh=str(ssh)) as pool:
            pool.hear()
            pool.check_bits()


def test_hosts_that_share_a_home(lan: Lan, wheels: Path) -> None:
    shared = "mkdir -p {0}; mount --bind {0} {1}; ".format("/srv/shared-home", DATA)
    try:
        with bare_hosts(lan, more=shared, one=ROOMY, two=ROOMY) as ssh:
            status, found, said = install(lan, ["one 1", "two 1"], ssh, "--wheels", wheels)
            assert status == 0, (found, said)
            assert len(listing(lan, ssh, "one")) == 4
    finally:
        shutil.rmtree(lan.root("node1") / "srv/shared-home")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--wheels", "/tmp"], "--install"),
        (["--requirements", "/dev/null"], "--install"),
        (["--install", "--wheels", "/no/folder"], "/no/folder"),
        (["--install", "--requirements", "/no/file"], "/no/file"),
    ],
)
def test_wrong_use(lan: Lan, words: list[str], told: str) -> None:
    done = lan.run(command(lan, ["node1 1"], lan.ssh, *words))
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
