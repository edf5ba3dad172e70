"""Access to a pool over SSH hosts, and the effect of strangers and odd names on it."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoopsci import HostfileError
from scoopsci.hosts import parse_hosts
from tests.conftest import becomes
from tests.lan import ENVIRONMENT, PYTHON, REPOSITORY, Lan
from tests.pools import (
    MACHINES,
    NODES,
    SCRATCH,
    OpenPool,
    check_nothing_left,
    fail_to_open,
    write_ssh,
)
from tests.security import stranger

pytestmark = pytest.mark.cluster

ONE_EACH = [f"{name} 1" for name in NODES]
ALL = ["127.0.0.1 1", *ONE_EACH]
LISTENS = "0A"


@pytest.fixture(autouse=True)
def nothing_left(lan: Lan) -> Iterator[None]:
    yield
    check_nothing_left(lan)


def listeners(lan: Lan) -> set[str]:
    """Return the addresses on which a machine accepts connections, by TCP or UDP."""
    found = set()
    for machine in MACHINES:
        for name in ("tcp", "tcp6", "udp", "udp6"):
            table = Path(f"/proc/{lan.pid(machine)}/net/{name}").read_text().splitlines()[1:]
            rows = [row.split() for row in table]
            found |= {
                f"{machine} {name} {row[1]}"
                for row in rows
                if row[3] == LISTENS or name.startswith("udp")
            }
    return found


def files(lan: Lan) -> dict[str, os.stat_result]:
    """Return what the pool has written on each machine."""
    found = {}
    for machine in MACHINES:
        scratch = SCRATCH if machine == "laptop" else Path("/tmp")
        for folder in (lan.root(machine) / str(scratch)[1:]).glob("scoopsci-*"):
            for path in (folder, *folder.rglob("*")):
                inside = path.relative_to(lan.root(machine))
                found[f"{machine}:/{inside}"] = path.lstat()
    return found


class TestWhileItRuns:
    def test_nothing_listens_on_tcp(self, lan: Lan) -> None:
        before = listeners(lan)
        config = "Host node*\n LocalForward 4801 127.0.0.1:22\n RemoteForward 4802 127.0.0.1:22\n"
        ssh = write_ssh(lan, config + " DynamicForward 4803\n")
        with OpenPool(lan, ALL, ssh=str(ssh)) as pool:
            pool.hear()
            with pool.in_mid_sum(40, 0.05):
                assert listeners(lan) == before
            pool.ask("broadcast", 100_000, 8)
            assert listeners(lan) == before
            pool.check_bits()
            assert listeners(lan) == before

    def test_another_user_can_access_nothing(self, lan: Lan) -> None:
        with OpenPool(lan, ALL) as pool:
            pool.hear()
            pool.ask("broadcast", 100_000, 8)
            found = files(lan)
            folders = [name for name, facts in found.items() if stat.S_ISDIR(facts.st_mode)]
            sockets = [name for name, facts in found.items() if stat.S_ISSOCK(facts.st_mode)]
            assert len(folders) == 4, folders
            assert {name.partition(":")[0] for name in sockets} == set(MACHINES)
            for name, facts in found.items():
                assert facts.st_uid == os.getuid()
                expected = 0o700 if name in folders else 0o600
                mode = stat.S_IMODE(facts.st_mode)
                # On a socket, execute permission has no meaning.
                assert mode & ~0o100 == expected & ~0o100, (name, oct(mode))
            for name in found:
                machine, _, path = name.partition(":")
                assert try_as_nobody(lan, machine, path) == ["refused"] * 3, name
            pool.check_bits()

    def test_no_agent_nor_display_is_forwarded(self, lan: Lan) -> None:
        keys = SCRATCH.parent / "agent"
        config = "Host *\n ForwardAgent yes\n ForwardX11 yes\n IdentityAgent SSH_AUTH_SOCK\n"
        ssh = write_ssh(lan, config)
        env = {"SSH_AUTH_SOCK": str(keys), "DISPLAY": ":0"}
        with lan.popen(["ssh-agent", "-D", "-a", keys]) as agent:
            try:
                assert becomes(lambda: (lan.root("laptop") / str(keys)[1:]).exists())
                plain = lan.run([ssh, "node1", "echo $SSH_AUTH_SOCK"], env=env, check=True)
                assert plain.stdout.strip(), "the test itself forwards no agent"
                with OpenPool(lan, ONE_EACH, ssh=str(ssh), env=env) as pool:
                    for host in pool.hear():
                        words = ["cat", f"/proc/{host['agent']}/environ"]
                        seen = lan.run(words, host=host["name"], check=True).stdout
                        assert "SSH_CONNECTION" in seen
                        assert "SSH_AUTH_SOCK" not in seen
                        assert "DISPLAY" not in seen
                    pool.check_bits()
            finally:
                agent.kill()
        (lan.root("laptop") / str(keys)[1:]).unlink(missing_ok=True)


#: Lists, reads and connects as the user nobody.
AS_NOBODY = """
import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
path = sys.argv[1]
for attempt in (
    lambda: os.listdir(path) if os.path.isdir(path) else os.stat(path),
    lambda: os.open(path, os.O_RDONLY),
    lambda: socket.socket(socket.AF_UNIX).connect(path),
):
    try:
        attempt()
        print("granted")
    except PermissionError:
        print("refused")
    except OSError as error:
        print(error)
"""


def try_as_nobody(lan: Lan, machine: str, path: str) -> list[str]:
    done = lan.run([PYTHON, "-c", AS_NOBODY, path], host=machine, check=True)
    return done.stdout.splitlines()


class TestHostKeys:
    @pytest.mark.parametrize("case", ["changed", "unknown"])
    def test_stop_the_start(self, lan: Lan, case: str) -> None:
        known = (lan.folder / "known_hosts").read_text().splitlines()
        kept = [line for line in known if not line.startswith("node2,")]
        if case == "changed":
            kept.append(f"node2,10.77.0.2 {kept[0].split(maxsplit=1)[1]}")
        other = lan.folder / "other_known_hosts"
        other.write_text("".join(f"{line}\n" for line in kept))
        ssh = write_ssh(lan, f"Host *\n UserKnownHostsFile {other}")
        said = fail_to_open(lan, ONE_EACH, ssh=str(ssh))
        assert "host node2 " in said
        assert "Host key verification failed" in said
        if case == "changed":
            assert "HAS CHANGED" in said


MARK = "harm-was-done"
HARM = f"touch {SCRATCH.parent}/{MARK}"
TRICKS = (
    f"$({HARM})",
    f"`{HARM}`",
    f"; {HARM};",
    f"' ; {HARM}; '",
    f'" ; {HARM}; "',
    f"&& {HARM}",
    f"| {HARM}",
    f"\n{HARM}\n",
    f"-oProxyCommand={HARM}",
    "%h*?~{a,b}$HOME",
)


class TestOddNames:
    @pytest.fixture(autouse=True)
    def no_harm(self, lan: Lan) -> Iterator[None]:
        yield
        for machine in MACHINES:
            assert not list((lan.root(machine) / "srv").rglob(MARK))

    @pytest.mark.parametrize(
        "trick",
        [
            TRICKS[0],
            *(pytest.param(TRICKS[i], marks=pytest.mark.slow) for i in (3, 4, 7)),
        ],
    )
    def test_in_the_path_of_python(self, lan: Lan, trick: str) -> None:
        said = fail_to_open(lan, ["node1 1"], python=f"{PYTHON}{trick}")
        assert "host node1 " in said

    def test_in_the_path_of_a_python_that_works(self, lan: Lan) -> None:
        folder = f"a 'b' \"c\" $({HARM.replace('/', '_')})"
        for name in NODES:
            (lan.root(name) / "srv" / folder).symlink_to(ENVIRONMENT)
        try:
            with OpenPool(lan, ONE_EACH, python=f"/srv/{folder}/bin/python") as pool:
                pool.hear()
                pool.check_bits()
        finally:
            for name in NODES:
                (lan.root(name) / "srv" / folder).unlink()

    @pytest.mark.parametrize("place", ["node1{}", "{}@node1", "{}", "node1:{}", "node1 {}"])
    def test_in_a_hostfile(self, lan: Lan, place: str) -> None:
        for trick in TRICKS:
            with pytest.raises(HostfileError):
                parse_hosts(place.format(trick))
        said = fail_to_open(lan, [place.format(TRICKS[0])])
        assert said.startswith("HostfileError")

    def test_in_the_name_of_ssh(self, lan: Lan) -> None:
        said = fail_to_open(lan, ["node1 1"], ssh=f"{lan.ssh}{TRICKS[2]}")
        assert "ssh" in said

    def test_in_arguments(self, lan: Lan) -> None:
        with OpenPool(lan, ALL, mark=TRICKS[0]) as pool:
            pool.hear()
            assert pool.ask("echo", TRICKS) == [trick.upper() for trick in TRICKS]
            assert pool.ask("initialized", 20) == [TRICKS[0]]
            pool.check_bits()

    @pytest.mark.parametrize(
        "name",
        [
            *("a b", "$(id>i)", "'q\""),
            *(pytest.param(n, marks=pytest.mark.slow) for n in ("c:d", "%h", "${HOME}", "#,;&")),
        ],
    )
    def test_in_the_folder_of_the_driver(self, lan: Lan, name: str) -> None:
        odd = SCRATCH / name
        lan.run(["mkdir", "-p", odd], check=True)
        left = lan.root("laptop") / str(odd)[1:]
        try:
            with OpenPool(lan, ["127.0.0.1 1", "node1 1"], env={"TMPDIR": str(odd)}) as pool:
                pool.hear()
                assert pool.ask("broadcast", 1_000, 4)["sums"] == [sum(range(1_000))]
                pool.check_bits()
            assert list(left.iterdir()) == []
        finally:
            shutil.rmtree(left)

    def test_in_the_path_of_modules(self, lan: Lan) -> None:
        odd = SCRATCH / f"a 'b' \"c\" $({HARM.replace('/', '_')})\n"
        lan.run(["mkdir", "-p", odd], check=True)
        try:
            with OpenPool(lan, ALL, env={"PYTHONPATH": f"{REPOSITORY}:{odd}"}) as pool:
                pool.hear()
                pool.check_bits()
        finally:
            shutil.rmtree(lan.root("laptop") / str(odd)[1:])


class TestStranger:
    @pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
    def test_changes_nothing(self, lan: Lan, seed: int) -> None:
        with OpenPool(lan, ["127.0.0.1 2", "node1 2"]) as pool:
            before = pool.hear()
            (socket,) = (lan.root("laptop") / str(SCRATCH)[1:]).glob("scoopsci-*/broker")
            path = SCRATCH / socket.parent.name / "broker"
            mark = SCRATCH.parent / MARK
            program: list[str | Path] = [PYTHON, stranger.__file__, path, mark, str(seed)]
            with pool.in_mid_sum(20, 0.1):
                lan.run(program, timeout=100, check=True)
            pool.check_bits()
            assert pool.ask("hosts") == before
            assert not (lan.root("laptop") / str(mark)[1:]).exists()

    def test_sends_every_message_of_scoop(self) -> None:
        from scoop.broker import brokerzmq

        words = {value for name, value in vars(brokerzmq).items()
                 if isinstance(value, bytes) and not name.startswith("STATUS_") }  # fmt: skip
        assert words <= set(stranger.SCOOP_KINDS)
