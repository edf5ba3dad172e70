"""Hosts with nothing but Python, which `scoopsci hosts --install` makes ready."""

from __future__ import annotations

import contextlib
import json
import pwd
import shlex
import shutil
import signal
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy
import pytest

from scoopsci import InstallError
from scoopsci.deployment.wheels import gather_wheels
from tests import pool_console
from tests.conftest import becomes, require
from tests.lan import PLAIN, PYTHON, SHARED, Lan
from tests.pools import (
    OpenPool,
    check_nothing_left,
    processes_on,
    serial_bits,
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

#: Enough for a few environments.
ROOMY = "size=1500m"

LINK = f"{version('scoopsci')}-py{VERSION}"
PREPARED = f"{DATA}/scoopsci/{LINK}/bin/python"

#: Installed here, as pytest needs it, but not needed by scoopsci.
FURTHER = "iniconfig"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gather wheels once, from pip's index."""
    folder = tmp_path_factory.mktemp("wheels")
    requirements = folder.parent / "requirements"
    requirements.write_text(f"{FURTHER}\n")
    try:
        with gather_wheels(requirements=requirements) as gathered:
            for wheel in gathered:
                shutil.copy(wheel, folder)
    except InstallError as error:
        require([f"pip's index ({error})"])
    return folder


@pytest.fixture
def index(wheels: Path, tmp_path: Path) -> dict[str, str]:
    """Return the variables that name an index to pip."""
    for wheel in wheels.iterdir():
        folder = tmp_path / "simple" / wheel.name.partition("-")[0].replace("_", "-")
        folder.mkdir(parents=True)
        (folder / wheel.name).symlink_to(wheel)
        (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    return {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": f"{(tmp_path / 'simple').as_uri()}/"}


@pytest.fixture(autouse=True)
def nothing_left(lan: Lan) -> Iterator[None]:
    yield
    check_nothing_left(lan)


def bare(options: str = ROOMY, more: str = "", variables: str = "") -> str:
    """Return the script of a host without our environment, whose Python has no package, nor pip."""
    hidden = "".join(f"if [ -d {p} ]; then mount -t tmpfs tmpfs {p}; fi; " for p in PACKAGES)
    return (
        f"mount -t tmpfs tmpfs {SHARED}; {hidden} mkdir -p {DATA}; "
        f"mount -t tmpfs -o {options} tmpfs {DATA}; {more} "
        f"exec {{sshd}} -o 'SetEnv=PATH={BASE}/bin:/usr/local/bin:/usr/bin:/bin {variables}'"
    )


def other_shell(path: str) -> str:
    """Return the command that gives a host's user another login shell."""
    passwd = "sed s,^root:.*,root:x:0:0::$HOME:" + path + ", /etc/passwd >/run/passwd-$$; "
    return passwd + "mount --bind /run/passwd-$$ /etc/passwd; "


@contextlib.contextmanager
def bare_hosts(lan: Lan, **scripts: str) -> Iterator[Path]:
    """Yield an ssh that knows hosts with nothing but Python."""
    ports = {name: 2300 + i for i, name in enumerate(scripts)}
    config = "".join(
        f"Host {name}\n HostName node1\n HostKeyAlias node1\n Port {port}\n"
        for name, port in ports.items()
    )
    with servers(lan, "node1", {port: scripts[name] for name, port in ports.items()}):
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


def link_ssh(lan: Lan, ssh: Path) -> Path:
    """Return a folder for the PATH, in which this ssh is called ssh."""
    folder = lan.folder / f"{ssh.name}-folder"
    folder.mkdir(exist_ok=True)
    (folder / "ssh").unlink(missing_ok=True)
    (folder / "ssh").symlink_to(ssh)
    return folder


def look(lan: Lan, ssh: Path, host: str, words: str) -> str:
    return lan.run([ssh, host, words], check=True).stdout


def wrong(host: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in host["checks"] if not check["ok"]}


def listing(lan: Lan, ssh: Path, host: str) -> dict[str, str]:
    """Return the files in the data of a host's user, and the targets of links."""
    lines = look(lan, ssh, host, f"find {DATA} -mindepth 1 -maxdepth 2 -printf '%P %l\\n'")
    return {name: target for name, _, target in (row.partition(" ") for row in lines.splitlines())}


def targets(lan: Lan, ssh: Path, host: str) -> list[str]:
    """Return the environments that are in use on a host."""
    return [target for target in listing(lan, ssh, host).values() if target]


@pytest.mark.timeout(300)  # pip unpacks SciPy there
def test_a_host_with_nothing_but_python(lan: Lan, wheels: Path, index: dict[str, str]) -> None:
    with bare_hosts(lan, one=bare()) as ssh:
        hosts = ["127.0.0.1 1", "one 2"]
        done = lan.run(command(lan, hosts, ssh))
        assert done.returncode == 1
        assert done.stdout.count("scoopsci hosts HOSTFILE --install") == 1

        status, found, said = install(lan, hosts, ssh, env=index)
        assert (status, found["ok"]) == (0, True), (found, said)
        assert "installing on one 2\n" in said
        (target,) = targets(lan, ssh, "one")
        files = {"scoopsci", "scoopsci/lock", f"scoopsci/{LINK}", f"scoopsci/{target}"}
        assert set(listing(lan, ssh, "one")) == files
        assert look(lan, ssh, "one", f"stat -c %a {DATA}/scoopsci/{target}") == "700\n"
        assert look(lan, ssh, "one", f"find {DATA} -name '*.whl'") == ""

        again = install(lan, hosts, ssh, env=index)
        assert (again[0], again[2]) == (0, "nothing to install\n")
        assert targets(lan, ssh, "one") == [target]

        with OpenPool(lan, hosts, ssh=str(ssh)) as pool:
            host = pool.hear()[1]
            used = lan.run(["cat", f"/proc/{host['agent']}/cmdline"], host="node1").stdout
            assert used.startswith(f"{PREPARED}\0"), used
            pool.check_bits()


#: Builds a user's package with nothing but the standard library.
BACKEND = """
import zipfile
def build_wheel(folder, *_):
    info = "own-1.dist-info/"
    with zipfile.ZipFile(f"{folder}/own-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("own.py", "ANSWER = 42")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return "own-1-py3-none-any.whl"
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def write_project(folder: Path) -> Path:
    project = folder / "project"
    project.mkdir()
    (project / "backend.py").write_text(BACKEND)
    (project / "pyproject.toml").write_text(PROJECT)
    return project


@pytest.mark.slow
def test_packages_that_the_user_wants_or_has_lost(
    lan: Lan, wheels: Path, index: dict[str, str], tmp_path: Path
) -> None:
    requirements = tmp_path / "requirements"
    requirements.write_text(f"{FURTHER}\n{write_project(tmp_path)}\n")
    words: list[str | Path] = ["--requirements", requirements]
    with bare_hosts(lan, one=bare()) as ssh:
        hosts = ["one 1", "node2 1"]
        try:
            # The second has all that scoopsci needs, but not what the user wants besides.
            status, found, said = install(lan, hosts, ssh, *words, env=index)
            assert status == 0, (found, said)
            before = [targets(lan, ssh, name) for name in ("one", "node2")]
            for name in ("one", "node2"):
                program = f"import {FURTHER}, own; print(own.ANSWER)"
                assert look(lan, ssh, name, f"{PREPARED} -c '{program}'") == "42\n"
            assert install(lan, hosts, ssh, *words, env=index)[0] == 0
            assert [targets(lan, ssh, name) for name in ("one", "node2")] == before
            look(lan, ssh, "one", f"rm -r {DATA}/scoopsci/{LINK}/lib/python*/site-packages/numpy*")
            assert install(lan, hosts, ssh, env=index)[0] == 0
            assert targets(lan, ssh, "one") != before[0]
            assert len(listing(lan, ssh, "one")) == 4
            requirements.write_text("numpy<1\n")
            status, _, said = install(lan, hosts, ssh, *words, env=index)
            assert (status, "numpy<1" in said) == (1, True), said
        finally:
            shutil.rmtree(lan.root("node2") / DATA[1:] / "scoopsci")


def test_hosts_that_cannot_be_prepared(lan: Lan, wheels: Path) -> None:
    with bare_hosts(lan, frozen=bare("ro"), small=bare("size=30m"), willing=bare()) as ssh:
        hosts = ["frozen 1", "small 1", "node1:2299 1", "willing 1"]
        status, found, _ = install(lan, hosts, ssh, "--wheels", wheels)
        assert status == 1
        frozen, small, silent, willing = found["hosts"]
        assert "Read-only file system" in wrong(frozen)["installation"]["found"]
        assert f"make {DATA} writable" in wrong(frozen)["installation"]["remedy"]
        assert "No space left on device" in wrong(small)["installation"]["found"]
        assert "MB below" in wrong(small)["installation"]["remedy"]
        assert [check["name"] for check in silent["checks"]] == ["connection"]
        assert willing["ok"], willing
        assert set(listing(lan, ssh, "small")) == {"scoopsci", "scoopsci/lock"}


@pytest.mark.slow
def test_a_missing_interpreter(lan: Lan, wheels: Path) -> None:
    with bare_hosts(lan, one=bare()) as ssh:
        more: list[str | Path] = ["--wheels", wheels, "--python", "/no/such/python"]
        status, found, _ = install(lan, ["one 1"], ssh, *more)
        assert status == 1
        said = wrong(found["hosts"][0])["installation"]
        assert f"no Python {VERSION}" in said["found"]
        assert "/no/such/python" in said["found"]
        assert "name it by --python" in said["remedy"]


def test_a_missing_wheel(lan: Lan, wheels: Path, tmp_path: Path) -> None:
    for wheel in wheels.iterdir():
        if not wheel.name.startswith("numpy"):
            (tmp_path / wheel.name).symlink_to(wheel)
    env = {"PIP_CONFIG_FILE": "/dev/null"}
    with bare_hosts(lan, one=bare()) as ssh:
        status, found, said = install(lan, ["one 1"], ssh, "--wheels", tmp_path, env=env)
        assert (status, found) == (1, {})
        last = said.splitlines()[-1]
        assert f"numpy=={numpy.__version__}" in last
        assert str(tmp_path) in last
        assert "pip wheel" in last
        assert listing(lan, ssh, "one") == {}


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_driver_that_ends_in_the_middle(
    lan: Lan, wheels: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with bare_hosts(lan, one=bare()) as ssh:
        words = command(lan, ["one 1"], ssh, "--install", "--wheels", wheels)
        with lan.popen(words, env={"TMPDIR": str(tmp_path)}) as driver:
            assert becomes(lambda: processes_on(lan, "node1", "--no-index"))
            driver.send_signal(number)
            _, said = driver.communicate(timeout=30)
        if number == signal.SIGINT:
            assert (driver.returncode, said.splitlines()[-1]) == (
                130,
                "scoopsci hosts: interrupted",
            )
        assert becomes(lambda: not lan.processes("node1"))
        assert set(listing(lan, ssh, "one")) == {"scoopsci", "scoopsci/lock"}


@pytest.mark.slow
def test_an_installation_that_is_killed(lan: Lan, wheels: Path) -> None:
    with bare_hosts(lan, one=bare()) as ssh:
        words = command(lan, ["one 1"], ssh, "--json", "--install", "--wheels", wheels)
        with lan.popen(words) as driver:
            assert becomes(lambda: processes_on(lan, "node1", "--no-index"))
            # pip second: its parent, which waits for it, would clean up.
            for part in ("-I -c import json", "--no-index"):
                for pid in processes_on(lan, "node1", part):
                    signal_on(lan, "node1", pid, signal.SIGKILL, check=False)
            out, _ = driver.communicate(timeout=60)
        assert "try again" in wrong(json.loads(out)["hosts"][0])["installation"]["remedy"]
        assert becomes(lambda: not lan.processes("node1"))
        assert len(listing(lan, ssh, "one")) == 3
        assert targets(lan, ssh, "one") == []
        assert lan.run(command(lan, ["one 1"], ssh)).returncode == 1
        assert install(lan, ["one 1"], ssh, "--wheels", wheels)[0] == 0
        assert len(listing(lan, ssh, "one")) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tcsh", "fish"])
def test_other_login_shells_and_odd_folders(lan: Lan, wheels: Path, name: str) -> None:
    shell = shutil.which(name)
    require([] if shell else [name])
    folder = "/srv/own 'data' $(id)"
    quoted = shlex.quote(folder)
    more = f"mkdir -p {quoted}; mount -t tmpfs tmpfs {quoted}; {other_shell(str(shell))}"
    variables = f'"XDG_DATA_HOME={folder}"'.replace("'", "'\\''")
    with bare_hosts(lan, one=bare("ro", more, variables)) as ssh:
        assert look(lan, ssh, "one", "echo $SHELL") == f"{shell}\n"
        status, found, said = install(lan, ["one 1"], ssh, "--wheels", wheels)
        assert status == 0, (found, said)
        assert found["hosts"][0]["checks"][-1]["found"] == f"{folder}/scoopsci/{LINK}"
        run = ["scoopsci", "pi", "--points", str(pool_console.N_POINTS), "--seed", "7", "--json"]
        run += ["--block-size", str(pool_console.BLOCK_SIZE)]
        env = {"PATH": f"{link_ssh(lan, ssh)}:{PYTHON.parent}:/usr/bin:/bin"}
        hostfile = lan.folder / "hosts-to-install"
        done = lan.run(["env", *PLAIN, *run, "--hostfile", hostfile], env=env, check=True)
        assert json.loads(done.stdout)["n_inside"] == serial_bits()["pi"]["n_inside"]


@pytest.mark.slow
def test_hosts_that_share_a_home(lan: Lan, wheels: Path) -> None:
    shared = "mkdir -p {0}; mount --bind {0} {1}; ".format("/srv/shared-home", DATA)
    try:
        with bare_hosts(lan, one=bare(more=shared), two=bare(more=shared)) as ssh:
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
