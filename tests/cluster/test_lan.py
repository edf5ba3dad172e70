"""The network of isolated hosts: what the tests on it may rely on."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest

import tests.lan
from tests.conftest import becomes as becomes_within
from tests.conftest import require
from tests.lan import ENVIRONMENT, PYTHON, REPOSITORY, SCRIPTS, WORK, Lan, LanError, missing_parts

pytestmark = pytest.mark.cluster

HOME = str(Path("~root").expanduser())
NODES = ["node1", "node2", "node3"]
MACHINES = ["laptop", *NODES]

WHERE = """
import json, socket, sys, time
import scoopsci
from scoop import futures

def where(_):
    time.sleep(0.02)
    return socket.gethostname(), sys.prefix, scoopsci.__file__

if __name__ == "__main__":
    output, *expected = sys.argv[1:]
    seen, deadline = set(), time.monotonic() + 60
    while {host for host, *_ in seen} != set(expected) and time.monotonic() < deadline:
        seen |= set(futures.map(where, range(30)))
    with open(output, "w") as file:
        json.dump(sorted(seen), file)
"""

HOLDER = """
import json, os, subprocess, time
from tests.lan import Lan
with Lan.start(n_hosts=2) as lan:
    lan.popen([lan.ssh, "-tt", "node1", "setsid sleep 600"], stdout=subprocess.DEVNULL)
    lan.popen(["setsid", "sleep", "600"], host="node2", stdout=subprocess.DEVNULL)
    while not lan.processes("node1") or not lan.processes("node2"):
        time.sleep(0.01)
    heir = os.fork()  # a child that inherits every descriptor must not keep the network up
    if heir:
        pids = [lan.pid(machine) for machine in ("laptop", "node1", "node2")]
        print(json.dumps([heir, pids]), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that every process of a network started in this test names."""
    require(missing_parts())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def namespaces(*pids: int) -> set[str]:
    kinds = ("net", "mnt", "uts", "pid", "ipc")
    return {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in pids for kind in kinds}


def held(wanted: set[str]) -> set[str]:
    """Return those of the namespaces that a process is in or has open."""
    found = set()
    for pattern in ("[0-9]*/ns/*", "[0-9]*/fd/*"):
        for link in Path("/proc").glob(pattern):
            with contextlib.suppress(OSError):
                found.add(os.readlink(link))
    return wanted & found


def remains(scratch: Path) -> list[str]:
    """Return the files, mounts and processes that name the folder."""
    found = [str(path) for path in scratch.iterdir()]
    found += [m for m in Path("/proc/self/mountinfo").read_text().splitlines() if str(scratch) in m]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = [*process.cmdline(), *process.environ().values()]
            if process.pid != os.getpid() and any(str(scratch) in word for word in words):
                found.append(f"{process.pid} {words}")
    return found


becomes = partial(becomes_within, within_s=20.0)


def output(lan: Lan, command: str, host: str) -> str:
    return lan.run(["sh", "-c", command], host=host, check=True).stdout.strip()


class TestHosts:
    @pytest.mark.parametrize("machine", MACHINES)
    def test_has_its_name(self, lan: Lan, machine: str) -> None:
        address = {host.name: host.address for host in lan.hosts}.get(machine, "10.77.0.254")
        program = (
            "import socket as s; h = s.gethostname(); print(h, s.getfqdn(), s.gethostbyname(h))"
        )
        seen = lan.run([PYTHON, "-c", program], host=machine, check=True).stdout.split()
        assert seen == [machine, machine, address]

    @pytest.mark.parametrize("machine", MACHINES)
    def test_reaches_the_others_and_nothing_else(self, lan: Lan, machine: str) -> None:
        others = [host.name for host in lan.hosts if host.name != machine]
        probe = "import socket, sys; [socket.create_connection((h, 22), 5) for h in sys.argv[1:]]"
        lan.run([PYTHON, "-c", probe, *others], host=machine, check=True)
        away = lan.run(["ip", "route", "get", "192.0.2.1"], host=machine)
        assert "unreachable" in away.stderr

    def test_leaves_the_network_of_the_machine_alone(self, lan: Lan) -> None:
        assert not {"lan", *NODES} & {name for _, name in socket.if_nameindex()}

    @pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/dev/shm", HOME, "/run", "/srv"])
    def test_keeps_files_to_itself(self, lan: Lan, folder: str) -> None:
        path = f"{folder}/only-on-node1"
        lan.run(["touch", path], host="node1", check=True)
        assert not Path(path).exists()
        for machine in ("laptop", "node2"):
            assert lan.run(["test", "-e", path], host=machine).returncode == 1

    def test_keeps_processes_to_itself(self, lan: Lan) -> None:
        with lan.popen(["sleep", "61"], host="node1") as process:
            assert becomes(lambda: lan.processes("node1") == ["sleep 61"])
            assert lan.processes("node2") == []
            assert "sleep 61" not in output(lan, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", "node2")
            process.kill()
        assert lan.processes("node1") == []

    @pytest.mark.parametrize("node", NODES)
    @pytest.mark.parametrize("path", [REPOSITORY, Path(sys.prefix)])
    def test_hides_the_files_of_the_driver(self, lan: Lan, node: str, path: Path) -> None:
        if path == Path(sys.base_prefix):
            pytest.skip("the tests run without a virtual environment")
        listed = lan.run(["ls", "-A", path], host=node)
        assert listed.stdout == ""

    def test_protects_the_interpreter(self, lan: Lan) -> None:
        where = "import os, sys; print(os.statvfs(sys.base_prefix).f_flag & os.ST_RDONLY)"
        if not Path(sys.base_prefix).is_relative_to(HOME):
            pytest.skip("the interpreter lies where nothing is hidden")
        assert output(lan, f"{PYTHON} -c '{where}'", "node1") == "1"

    def test_reaps_dead_processes(self, lan: Lan) -> None:
        output(lan, "setsid sh -c 'sleep 0.05' >/dev/null 2>&1 & exit 0", "node1")
        assert becomes(lambda: lan.processes("node1") == [])
        assert " Z" not in output(lan, "cat /proc/[0-9]*/stat 2>/dev/null; true", "node1")

    def test_comes_back_after_a_loss_of_power(self, lan: Lan) -> None:
        lan.run(["touch", "/tmp/before"], host="node3", check=True)
        session = lan.popen([lan.ssh, "node3", "sleep", "600"])
        assert becomes(lambda: lan.processes("node3"))
        lan.power_off("node3")
        with pytest.raises(LanError, match="node3 is not up"):
            lan.run(["true"], host="node3")
        assert lan.run([lan.ssh, "-oConnectTimeout=1", "node3", "true"]).returncode == 255
        session.kill()
        session.communicate()
        lan.power_on("node3")
        assert output(lan, "ssh node3 'hostname; ls /tmp'", "laptop") == "node3"


class TestEnvironment:
    @pytest.mark.parametrize("node", NODES)
    def test_is_the_hosts_own(self, lan: Lan, node: str) -> None:
        program = (
            "import json, sys, numpy, scoop, scoopsci, importlib.metadata as m;"
            "d = m.distribution('scoopsci');"
            "print(json.dumps([sys.prefix, numpy.__file__, scoop.__file__, scoopsci.__file__,"
            " [str(f) for f in d.files], d.read_text('direct_url.json') or '']))"
        )
        printed = output(lan, f'ssh {node} "python -c \\"{program}\\""', "laptop")
        prefix, *origins, files, url = json.loads(printed)
        assert prefix == str(ENVIRONMENT)
        assert all(origin.startswith(f"{ENVIRONMENT}/lib/") for origin in origins)
        assert "scoopsci/__init__.py" in files
        assert "editable" not in url

    def test_has_no_trace_of_the_editable_installation(self, lan: Lan) -> None:
        found = output(lan, f"find {ENVIRONMENT}/ -name '*__editable__*'", "node1")
        assert found == ""
        assert str(REPOSITORY) not in output(
            lan, f"{PYTHON} -c 'import sys; print(sys.path)'", "node1"
        )

    def test_has_the_live_page_which_is_no_module(self, lan: Lan) -> None:
        make = "from scoopsci.dashboard.server import make_page; print(make_page()[0])"
        shown = lan.run([PYTHON, "-c", make], host="node1", check=True).stdout
        assert shown.startswith("<!DOCTYPE html>")

    def test_can_change_without_the_others(self, lan: Lan) -> None:
        site = f"{ENVIRONMENT}/lib/python3.{sys.version_info.minor}/site-packages"
        output(lan, f"echo x = 1 >{site}/only_node1.py; rm -r {site}/psutil", "node1")
        assert output(lan, f"{PYTHON} -c 'import only_node1'", "node1") == ""
        assert lan.run([PYTHON, "-c", "import only_node1"], host="node2").returncode == 1
        assert output(lan, f"{PYTHON} -c 'import psutil'", "node2") == ""
        assert Path(psutil.__file__).exists()
        lan.power_off("node1")
        lan.power_on("node1")
        assert output(lan, f"{PYTHON} -c 'import psutil'", "node1") == ""

    def test_holds_the_scripts(self, lan: Lan) -> None:
        script = (REPOSITORY / "scoopsci" / "errors.py").read_text()
        for node in NODES:
            assert (lan.root(node) / str(WORK)[1:] / "scoopsci" / "errors.py").read_text() == script

    def test_is_the_drivers_on_the_launching_machine(self, lan: Lan) -> None:
        program = (
            "import os, psutil, scoopsci;"
            "print(os.path.realpath(psutil.__file__), os.path.realpath(scoopsci.__file__))"
        )
        seen = lan.run([PYTHON, "-c", program], cwd=WORK, check=True).stdout.split()
        package = REPOSITORY / "scoopsci" / "__init__.py"
        assert seen == [os.path.realpath(psutil.__file__), str(package)]
        assert output(lan, f"readlink -f {WORK}", "laptop") == str(REPOSITORY)


class TestLogin:
    @pytest.mark.parametrize("node", NODES)
    def test_finds_the_environment_first(self, lan: Lan, node: str) -> None:
        assert output(lan, f"ssh {node} 'command -v python'", "laptop") == str(PYTHON)

    @pytest.mark.parametrize("host", ["node1", "10.77.0.1"])
    def test_checks_the_key_of_the_host(self, lan: Lan, host: str) -> None:
        known = lan.run([lan.ssh, "-v", host, "true"], check=True)
        assert f"Host '{host}' is known" in known.stderr
        unknown = lan.run([lan.ssh, "-oUserKnownHostsFile=/dev/null", host, "true"])
        assert (unknown.returncode, "Host key verification failed" in unknown.stderr) == (255, True)
        key = (lan.folder / "known_hosts").read_text().splitlines()[1].split(maxsplit=1)[1]
        wrong = lan.folder / "wrong_known_hosts"
        wrong.write_text(f"{host} {key}\n")
        changed = lan.run([lan.ssh, f"-oUserKnownHostsFile={wrong}", host, "true"])
        assert (changed.returncode, "HAS CHANGED" in changed.stderr) == (255, True)

    def test_needs_the_key_of_the_client(self, lan: Lan) -> None:
        options = ["-oIdentityFile=/nowhere", f"-F{os.devnull}", "-oBatchMode=yes"]
        options += [f"-oUserKnownHostsFile={lan.folder}/known_hosts"]
        refused = lan.run([shutil.which("ssh") or "ssh", *options, "root@node1", "true"])
        assert refused.returncode == 255
        assert "Permission denied (publickey)" in refused.stderr

    def test_gives_a_terminal(self, lan: Lan) -> None:
        shown = lan.run([lan.ssh, "-tt", "node2", "tty"], check=True)
        assert shown.stdout.startswith("/dev/pts/")

    def test_takes_many_at_once(self, lan: Lan) -> None:
        sessions = [lan.popen([lan.ssh, "node2", "hostname"]) for _ in range(20)]
        answers = [session.communicate(timeout=60)[0] for session in sessions]
        assert answers == ["node2\n"] * 20

    @pytest.mark.parametrize("target", ["/tmp/back", "127.0.0.1:4711"])
    def test_forwards_back(self, lan: Lan, target: str) -> None:
        family = "UNIX" if target.startswith("/") else "INET"
        address = f"'{target}'" if family == "UNIX" else "('127.0.0.1', 4711)"
        listen = f"{tempfile.gettempdir()}/lan-{os.getpid()}"
        serve = (
            f"import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind('{listen}');"
            "s.listen(); print('up', flush=True); s.accept()[0].send(b'hello')"
        )
        ask = (
            f"import socket; s = socket.socket(socket.AF_{family}); s.settimeout(20);"
            f"s.connect({address}); print(s.recv(5).decode())"
        )
        with lan.popen([PYTHON, "-c", serve]) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "up\n"
            remote = f'{PYTHON} -c "{ask}"'
            answer = lan.run([lan.ssh, "-R", f"{target}:{listen}", "node1", remote], check=True)
        Path(listen).unlink()
        assert answer.stdout == "hello\n"


class TestPrograms:
    @pytest.mark.parametrize("machine", ["laptop", "node1"])
    @pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
    def test_gets_the_signals(self, lan: Lan, machine: str, sign: signal.Signals) -> None:
        name = sign.name.removeprefix("SIG")
        script = f"trap 'echo got {name}; exit 7' {name}; echo up; while :; do sleep 0.02; done"
        with lan.popen(["sh", "-c", script], host=machine) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(sign)
            assert process.communicate(timeout=20)[0] == f"got {name}\n"
        assert process.returncode == 7

    def test_stops_and_goes_on(self, lan: Lan) -> None:
        go = lan.root("node1") / "tmp/go"
        script = "echo up; until [ -e /tmp/go ]; do sleep 0.02; done; rm /tmp/go; echo done"
        with lan.popen(["sh", "-c", script], host="node1") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            process.send_signal(signal.SIGSTOP)
            go.touch()
            with pytest.raises(subprocess.TimeoutExpired):
                process.communicate(timeout=1)
            process.send_signal(signal.SIGCONT)
            assert process.communicate(timeout=20)[0] == "done\n"

    def test_is_killed_while_stopped(self, lan: Lan) -> None:
        with lan.popen(["sleep", "600"], host="node1") as process:
            assert becomes(lambda: lan.processes("node1") == ["sleep 600"])
            process.send_signal(signal.SIGSTOP)
            process.kill()
            assert process.wait(20) == -signal.SIGKILL

    def test_has_a_deadline(self, lan: Lan) -> None:
        argv = ["sh", "-c", "echo begun; sleep 600 & sleep 600"]
        start_s = time.monotonic()
        lan.run(["true"], host="node1", check=True)
        timeout = 1 + 10 * (time.monotonic() - start_s)  # enough for its first line
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            lan.run(argv, host="node1", timeout=timeout)
        assert "begun" in caught.value.__notes__[0]
        assert becomes(lambda: lan.processes("node1") == [])

    def test_shows_why_it_failed(self, lan: Lan) -> None:
        with pytest.raises(LanError, match=r"(?s)node1 ended with 3.*no luck"):
            lan.run(["sh", "-c", "echo no luck >&2; exit 3"], host="node1", check=True)

    def test_reads_its_input(self, lan: Lan) -> None:
        assert lan.run(["cat"], host="node1", input="some text", check=True).stdout == "some text"

    def test_has_the_variables_of_a_login_on_a_host(
        self, lan: Lan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SCOOPSCI_DRIVER_ONLY", "1")
        there = lan.run(["env"], host="node1", env={"MORE": "2"}, check=True).stdout
        here = lan.run(["env"], check=True).stdout
        assert "SCOOPSCI_DRIVER_ONLY" in here
        assert "SCOOPSCI_DRIVER_ONLY" not in there
        assert "MORE=2" in there


class TestScoop:
    @pytest.mark.parametrize("first", ["node1", "10.77.0.1", "127.0.0.1"])
    def test_works_on_every_host(self, lan: Lan, first: str) -> None:
        origin, expected = ("laptop", MACHINES) if first == "127.0.0.1" else ("node1", NODES)
        others = [name for name in expected if name != origin]
        hostfile = lan.folder / "hostfile"
        hostfile.write_text("".join(f"{host} 2\n" for host in (first, *others)))
        lan.share("where.py", WHERE)
        argv: list[str | Path] = [sys.executable, "-m", "scoop", "--hostfile", hostfile]
        argv += ["--path", SCRIPTS, "--python-interpreter", PYTHON, "--ssh-executable", lan.ssh]
        argv += ["where.py", "/dev/shm/where.json", *expected]
        done = lan.run(argv, timeout=100, check=True)
        result = lan.root(origin) / "dev/shm/where.json"
        assert result.exists(), done.stdout + done.stderr
        seen = {host: (prefix, file) for host, prefix, file in json.loads(result.read_text())}
        result.unlink()
        assert sorted(seen) == expected
        for node in NODES:
            prefix, file = seen[node]
            assert prefix == str(ENVIRONMENT)
            assert file.startswith(f"{ENVIRONMENT}/lib/")
        assert becomes(lambda: not any(lan.processes(machine) for machine in MACHINES))


class TestTeardown:
    def test_leaves_nothing(self, scratch: Path) -> None:
        with Lan.start(n_hosts=1) as lan:
            sleep = lan.popen(["setsid", "sleep", "600"], host="node1")
            mine = namespaces(lan.pid("laptop"), lan.pid("node1"))
            assert remains(scratch)
            assert held(mine) == mine
        sleep.communicate()
        assert remains(scratch) == []
        assert held(mine) == set()

    @pytest.mark.slow
    def test_follows_an_error(self, scratch: Path) -> None:
        with pytest.raises(ZeroDivisionError), Lan.start(n_hosts=1):
            raise ZeroDivisionError
        assert remains(scratch) == []

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("part", "text"),
        [
            ("_LAPTOP", "set -e; trap 'echo gave up' EXIT; echo no luck; exit 3"),
            ("_NODE", "set -e; trap 'echo gave up' EXIT; echo no luck; exit 3"),
            ("_SSHD_CONFIG", "no-luck yes"),
            ("_BUILD", "echo no luck; exit 3"),
        ],
    )
    def test_follows_a_failed_start(
        self, scratch: Path, monkeypatch: pytest.MonkeyPatch, part: str, text: str
    ) -> None:
        monkeypatch.setattr(tests.lan, part, text)
        with pytest.raises(LanError, match=r"no.luck"):
            Lan.start(n_hosts=2)
        assert remains(scratch) == []

    def test_follows_a_silent_start(self, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tests.lan, "_LAPTOP", "echo thinking; sleep 600")
        start_s = time.monotonic()
        subprocess.run(["unshare", "--fork", "--pid", sys.executable, "-c", ""], check=True)
        enough_s = 1.0 + 10 * (time.monotonic() - start_s)  # for its first line
        monkeypatch.setattr(tests.lan, "_START_TIMEOUT_S", enough_s)
        with pytest.raises(LanError, match="thinking"):
            Lan.start()
        assert remains(scratch) == []

    @pytest.mark.slow
    def test_follows_the_death_of_the_holder(self, scratch: Path) -> None:
        argv = [sys.executable, "-c", HOLDER]
        with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            heir, pids = json.loads(holder.stdout.readline())
            mine = namespaces(*pids)
            assert held(mine) == mine
            holder.kill()
        assert becomes(lambda: not held(mine)), held(mine)
        os.kill(heir, signal.SIGKILL)
        assert becomes(lambda: not remains(scratch)), remains(scratch)

    @pytest.mark.slow
    @pytest.mark.parametrize("sign", ["", "laptop.log", "source/setup.cfg", "image", "node1.log"])
    def test_follows_a_death_on_the_way_up(self, scratch: Path, sign: str) -> None:
        argv = [sys.executable, "-c", HOLDER]
        with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.DEVNULL) as holder:
            assert becomes(lambda: list(scratch.glob(f"*/{sign}")))
            holder.kill()
        assert becomes(lambda: not remains(scratch)), remains(scratch)

    @pytest.mark.slow
    def test_follows_the_death_of_the_keeper(self, scratch: Path) -> None:
        with Lan.start(n_hosts=1) as lan:
            mine = namespaces(lan.pid("laptop"), lan.pid("node1"))
            lan._keeper.kill()
            assert becomes(lambda: not held(mine)), held(mine)
        assert remains(scratch) == []


@pytest.mark.slow
def test_two_networks_do_not_meet_and_outlive_the_threads_that_made_them(scratch: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(Lan.start, [1, 1]))
    with both[0] as one, both[1] as two:
        one.share("mark", "one")
        two.share("mark", "two")
        for network, mark in ((one, "one"), (two, "two")):
            shown = network.run([network.ssh, "node1", f"cat {SCRIPTS}/mark"], check=True)
            assert shown.stdout == mark
    assert remains(scratch) == []


def test_names_the_missing_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.lan, "_PROGRAMS", {"no-such-program", "sh"})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing_parts()[0] == "no-such-program"
    assert "root" in missing_parts()
