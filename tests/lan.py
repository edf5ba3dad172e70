"""A network of isolated hosts on one machine, each with an sshd of its own.

The launching machine, `laptop`, is a set of namespaces; the hosts `node1`, `node2`, … are nested
in it and plugged into its bridge. Process namespaces nest, so the end of `laptop` ends them all.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path("/srv/scoopsci")  # on every machine, this leads to what is that machine's own
ENVIRONMENT = SHARED / "environment"
PYTHON = ENVIRONMENT / "bin" / "python"
WORK = SHARED / "work"
SCRIPTS = SHARED / "scripts"

#: What makes laptop compute as the hosts do, whose logins bring no such variables.
PLAIN = [
    f"--unset={name}"
    for name in ("NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "GLIBC_TUNABLES")
]

_START_TIMEOUT_S = 30.0
_BUILD_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0
_GO = "go"
_HOME = pwd.getpwuid(0).pw_dir
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNSHARE = "setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=SIGKILL --mount-proc"
_UNSHARE_ALL = f"{_UNSHARE} --net --uts --ipc"

# The environment is made under its final path, which its scripts hold.
_BUILD = """
set -eu
cd "$FOLDER"
"$DRIVER" -m pip wheel --quiet --no-deps $FLAGS --wheel-dir . ./source
mount -t tmpfs tmpfs /srv
"$DRIVER" -m venv --without-pip /srv/scoopsci/environment
"$DRIVER" -m pip --quiet --python /srv/scoopsci/environment/bin/python \
    install --no-deps --no-index ./*.whl
mkdir -p /srv/scoopsci/work/scoopsci /srv/scoopsci/scripts
find source/scoopsci -maxdepth 1 -name '*.py' ! -name __init__.py \
    -exec cp {} /srv/scoopsci/work/scoopsci ';'
cp -a /srv/scoopsci image
"""

_LAPTOP = """
set -eu
trap 'echo gave up' EXIT
hostname laptop
ip link set lo up
ip link add name lan address 02:00:0a:4d:00:fe type bridge
ip address add 10.77.0.254/24 dev lan
ip link set lan up
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs tmpfs /srv
mkdir -p /srv/scoopsci/scripts
ln -s "$PREFIX" /srv/scoopsci/environment
ln -s "$REPOSITORY" /srv/scoopsci/work
cp "$FOLDER/hosts" /srv/hosts
mount --bind /srv/hosts /etc/hosts
echo ready
exec env --ignore-signal=CHLD sleep infinity  # the kernel then buries whom nobody waits for
"""

# Descriptor 3 is the network of laptop, where the other end of the cable goes.
_NODE = """
set -eu
trap 'echo gave up' EXIT
hostname "$NAME"
nsenter --net=/dev/fd/3 ip link delete "$NAME" 2>/dev/null || true
# Like a real card, it keeps its address over a restart: the others remember it.
card=$(printf '02:00:0a:4d:00:%02x' "${ADDRESS##*.}")
nsenter --net=/dev/fd/3 ip link add name "$NAME" type veth \
    peer name eth0 address "$card" netns 1
nsenter --net=/dev/fd/3 ip link set "$NAME" master lan up
exec 3<&-
ip link set lo up
ip address add "$ADDRESS/24" dev eth0
ip link set eth0 up

mount -t tmpfs tmpfs /srv
cp -a "$FOLDER/image" /srv/scoopsci
ln -s scoopsci "/srv/$NAME"
for site in /srv/scoopsci/environment/lib/python*/site-packages; do :; done
mkdir /srv/packages /srv/packages/changes /srv/packages/scratch /srv/kept
mv "$site" /srv/packages/own
mkdir "$site"
mount -t overlay -o "lowerdir=$PACKAGES,upperdir=/srv/packages/changes" \
    -o workdir=/srv/packages/scratch overlay "$site"
# An editable installation would lead back to the driver.
rm -rf "$site"/*scoopsci* "$site"/__pycache__/*scoopsci*
mv /srv/packages/own/* "$site"

mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
cp "$FOLDER/hosts" /run/hosts
cp "$FOLDER/sshd_config" "$FOLDER/client_key.pub" /run/sshd
cp "$FOLDER/host_key_$NAME" /run/sshd/host_key
echo 'root:*:::::::' >/run/shadow  # sshd refuses an account locked by an exclamation mark
chmod 600 /run/shadow
mount --bind /run/hosts /etc/hosts
mount --bind /run/shadow /etc/shadow
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts

IFS=:
for path in $KEPT; do
    mkdir -p "/srv/kept$path"
    mount --rbind "$path" "/srv/kept$path"
done
for path in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs "$path"; done
for path in $HIDDEN; do
    if [ -d "$path" ]; then mount -t tmpfs -o mode=700 tmpfs "$path"; fi
done
for path in $KEPT; do
    if [ ! -d "$path" ]; then
        mkdir -p "$path"
        mount --rbind "/srv/kept$path" "$path"
        mount -o remount,bind,ro "$path"
    fi
    umount --lazy "/srv/kept$path"
done
rm -r /srv/kept /srv/packages/own
install -D -m 600 /run/sshd/client_key.pub "$HOME/.ssh/authorized_keys"

cd /
"$SSHD" -t -f /run/sshd/sshd_config
"$SSHD" -D -e -f /run/sshd/sshd_config &
exec env --ignore-signal=CHLD sleep infinity
"""

_SSHD_CONFIG = f"""\
HostKey /run/sshd/host_key
PidFile none
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
MaxStartups 100:30:200
MaxSessions 100
PrintMotd no
Subsystem sftp internal-sftp
SetEnv PATH={ENVIRONMENT}/bin:{_PATH} LANG=C.UTF-8
"""

_SSH_CONFIG = """\
Host *
    User root
    IdentityFile {folder}/client_key
    IdentitiesOnly yes
    IdentityAgent none
    BatchMode yes
    StrictHostKeyChecking yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile /dev/null
    ConnectTimeout 10
"""

_IDLE = re.compile(r"^unshare .*--kill-child|^sshd: .*\[listener\]")
_PROGRAMS = {
    "hostname", "ip", "nsenter", "setpriv", "ssh", "ssh-keygen", "sshd", "tc", "unshare",
}  # fmt: skip
_RIGHTS = {
    "the right to make namespaces": "true",
    "bridges and cables in the kernel": "ip link add type bridge && ip link add type veth",
    "overlay mounts on /srv": "mount -t tmpfs tmpfs /srv && cd /srv && mkdir a b c d &&"
    " mount -t overlay -o lowerdir=a,upperdir=b,workdir=c overlay d",
}


class LanError(RuntimeError):
    """A machine that did not come up, or a command that did not do."""


@dataclass(frozen=True)
class LanHost:
    """A machine of the network that answers to SSH."""

    name: str
    address: str


class LanProcess(subprocess.Popen[str]):
    """A program on a machine; signals reach the program, not the `nsenter` before it."""

    def send_signal(self, sig: int) -> None:
        """Send a signal to the program."""
        while self.poll() is None:
            for program in psutil.Process(self.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    program.send_signal(sig)
                if sig != signal.SIGSTOP:
                    super().send_signal(signal.SIGCONT)  # nsenter stops when its program does
                return
            time.sleep(0.01)


class Lan:
    """The hosts, and `laptop`, from which programs are launched.

    Attributes
    ----------
    hosts
        The hosts that answer to SSH.
    folder
        Scratch, seen by the tests and by `laptop` under the same path.
    ssh
        An `ssh` that knows the hosts' keys and is let in; it comes first on the PATH of `laptop`.
    """

    def __init__(
        self, hosts: Sequence[LanHost], keeper: subprocess.Popen[str], folder: Path
    ) -> None:
        self.hosts = tuple(hosts)
        self.folder = folder
        self.ssh = folder / "bin" / "ssh"
        self._keeper = keeper
        self._launched: dict[str, LanProcess] = {}
        self._pids: dict[str, int] = {}

    @classmethod
    def start(cls, n_hosts: int = 3) -> Self:
        """Bring the network up; whatever fails, nothing stays behind."""
        hosts = [LanHost(f"node{i}", f"10.77.0.{i}") for i in range(1, n_hosts + 1)]
        lan = cls(hosts, *_start_keeper())
        try:
            _write_files(lan.folder, hosts)
            lan._start_laptop()
            _build_image(lan.folder)
            for host in lan.hosts:
                lan._launch(host)
            for host in lan.hosts:
                lan._await(host.name, "Server listening", lan._launched[host.name])
        except BaseException:
            lan.close()
            raise
        return lan

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End every machine and remove the folder."""
        try:
            _dismiss(self._keeper)
            for process in self._launched.values():
                process.wait(_STOP_TIMEOUT_S)
        finally:
            self._pids.clear()
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        host: str = "laptop",
        timeout: float = 60.0,
        input: str | None = None,
        check: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on a machine, for `timeout` seconds at most; then its group is killed."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        with self.popen(argv, host=host, env=env, cwd=cwd, stdin=stdin) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException as error:
                out, err = _kill_group(process)
                error.add_note(f"{argv} on {host}, so far:\n{out}{err}")
                raise
        if check and process.returncode:
            raise LanError(f"{argv} on {host} ended with {process.returncode}:\n{out}{err}")
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def popen(
        self,
        argv: Sequence[str | Path],
        *,
        host: str = "laptop",
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        stdin: int | IO[str] = subprocess.DEVNULL,
        stdout: int | IO[str] = subprocess.PIPE,
        stderr: int | IO[str] = subprocess.PIPE,
    ) -> LanProcess:
        """Start a program on a machine, in a session of its own.

        Variables and working folder are those of the tests on `laptop`, of a login elsewhere.
        """
        enter = f"nsenter --target {self.pid(host)} --mount --net --uts --ipc --pid"
        if host == "laptop":
            folder, variables = os.getcwd(), dict(os.environ)
            path = f"{self.ssh.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        else:
            folder, variables = _HOME, {"HOME": _HOME, "USER": "root", "LANG": "C.UTF-8"}
            path = f"{ENVIRONMENT}/bin:{_PATH}"
        return LanProcess(
            [*f"{enter} setpriv --pdeathsig KILL env --chdir".split(), cwd or folder, *argv],
            env={**variables, "PATH": path, **(env or {})},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def share(self, name: str, text: str) -> Path:
        """Write a script on every machine; its path is the same on all."""
        for machine in self._pids:
            (self.root(machine) / SCRIPTS.relative_to("/") / name).write_text(text)
        return SCRIPTS / name

    def pid(self, host: str) -> int:
        """Return the first process of a machine, as the tests number it."""
        if host not in self._pids:
            raise LanError(f"{host} is not up")
        return self._pids[host]

    def root(self, host: str) -> Path:
        """Return where the tests see the file system of a machine."""
        return Path(f"/proc/{self.pid(host)}/root")

    def processes(self, host: str) -> list[str]:
        """Return the command lines of a machine's processes, less those that an idle one has."""
        init = self.pid(host)
        lines = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != init and _same_machine(process.pid, init):
                    lines.append(" ".join(process.cmdline()))
        return [line for line in lines if line and not _IDLE.search(line)]

    def log(self, host: str) -> str:
        """Return what a machine and its sshd have said since it came up."""
        return (self.folder / f"{host}.log").read_text(errors="replace")

    def power_off(self, host: str) -> None:
        """End every process of a host at once."""
        os.kill(self.pid(host), signal.SIGKILL)
        self._launched.pop(host).wait(_STOP_TIMEOUT_S)
        del self._pids[host]

    def power_on(self, host: str) -> None:
        """Bring a host up again; of its former life only its key remains."""
        self._launch(next(h for h in self.hosts if h.name == host))
        self._await(host, "Server listening", self._launched[host])

    def unplug(self, host: str) -> None:
        """Take a host's cable out; nobody is told."""
        self.run(["ip", "link", "set", host, "down"], check=True)

    def lose_packets(self, host: str, *, from_host: bool) -> None:
        """Lose whatever goes to a host, or comes from it, and let the other direction be."""
        self._queue(host, ["pfifo", "limit", "0"], from_host)

    def slow_down(self, host: str, *, rate: str) -> None:
        """Let the link of a host carry so much in each direction, as in ``1mbit``."""
        for from_host in (False, True):
            queue = ["tbf", "rate", rate, "burst", "16kb", "latency", "400ms"]
            self._queue(host, queue, from_host)

    def mend(self, host: str) -> None:
        """Make a link as it was."""
        self.run(["ip", "link", "set", host, "up"], check=True)
        for machine, card in (("laptop", host), (host, "eth0")):
            self.run(["tc", "qdisc", "delete", "dev", card, "root"], host=machine)

    def _queue(self, host: str, queue: list[str], from_host: bool) -> None:
        machine, card = (host, "eth0") if from_host else ("laptop", host)
        self.run(["tc", "qdisc", "add", "dev", card, "root", *queue], host=machine, check=True)

    def _start_laptop(self) -> None:
        (self.folder / "laptop.log").touch()
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(_GO)
        self._keeper.stdin.flush()
        self._await("laptop", "ready", self._keeper)

    def _launch(self, host: LanHost) -> None:
        hidden = {_HOME, str(REPOSITORY), str(self.folder)}
        if sys.prefix != sys.base_prefix:
            hidden.add(sys.prefix)
        packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        variables = {
            "NAME": host.name,
            "ADDRESS": host.address,
            "FOLDER": str(self.folder),
            "HOME": _HOME,
            "PATH": _PATH,
            "SSHD": _find("sshd") or "sshd",
            "PACKAGES": ":".join(packages),
            "HIDDEN": ":".join(sorted(hidden)),
            "KEPT": ":".join({sys.base_prefix, os.path.realpath(sys.base_prefix)}),
        }
        keep_network = ["sh", "-c", 'exec 3</proc/self/ns/net; exec "$@"', "sh"]
        argv = [*keep_network, *_UNSHARE_ALL.split(), "sh", f"{self.folder}/node.sh"]
        with (self.folder / f"{host.name}.log").open("w") as log:
            self._launched[host.name] = self.popen(argv, env=variables, stdout=log, stderr=log)

    def _await(self, name: str, sign: str, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while sign not in self.log(name):
            is_over = process.poll() is not None or time.monotonic() > deadline
            if is_over or "gave up" in self.log(name):
                raise LanError(f"{name} did not come up, nor say {sign!r}:\n{self.log(name)}")
            time.sleep(0.01)
        unshare = psutil.Process(process.pid).children()[0]
        self._pids[name] = unshare.children()[0].pid


def missing_parts() -> list[str]:
    """Return what this machine lacks for a network of hosts."""
    missing = [program for program in sorted(_PROGRAMS) if _find(program) is None]
    if importlib.util.find_spec("pip") is None:
        missing.append("pip")
    if os.geteuid() != 0:
        missing.append("root")
    if any(Path(p).is_relative_to("/srv") for p in (REPOSITORY, sys.prefix, sys.base_prefix)):
        missing.append("a repository and an environment outside of /srv")
    if not missing:
        for right, trial in _RIGHTS.items():
            argv = [*_UNSHARE_ALL.split(), "sh", "-c", trial]
            if subprocess.run(argv, check=False, capture_output=True, timeout=10).returncode:
                missing.append(right)
    return missing


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_PATH}")


def _call(argv: Sequence[str], **variables: str) -> None:
    result = subprocess.run(
        argv,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_BUILD_TIMEOUT_S,
        env={**os.environ, **variables},
    )
    if result.returncode:
        raise LanError(f"{argv[0]} ended with {result.returncode}:\n{result.stdout}")


def _write_files(folder: Path, hosts: Sequence[LanHost]) -> None:
    for key in ("client_key", *(f"host_key_{host.name}" for host in hosts)):
        _call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", f"{folder}/{key}"])
    known = ""
    names = "127.0.0.1 localhost\n10.77.0.254 laptop\n"
    for host in hosts:
        key = (folder / f"host_key_{host.name}.pub").read_text()
        known += f"{host.name},{host.address} {key}"
        names += f"{host.address} {host.name}\n"
    (folder / "bin").mkdir()
    for name, text in {
        "known_hosts": known,
        "hosts": names,
        "sshd_config": _SSHD_CONFIG,
        "ssh_config": _SSH_CONFIG.format(folder=folder),
        "bin/ssh": f'#!/bin/sh\nexec {_find("ssh")} -F {folder}/ssh_config "$@"\n',
        "laptop.sh": _LAPTOP,
        "node.sh": _NODE,
    }.items():
        (folder / name).write_text(text.lstrip())
    (folder / "bin/ssh").chmod(0o755)


def _build_image(folder: Path) -> None:
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "scoopsci", source / "scoopsci", ignore=ignored)
    for path in REPOSITORY.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    variables = {"FOLDER": str(folder), "TMPDIR": str(folder), "DRIVER": sys.executable}
    flags = "--no-build-isolation" if _has_setuptools() else ""
    _call([*_UNSHARE.split(), "sh", "-c", _BUILD], **variables, FLAGS=flags)


def _has_setuptools() -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return int(importlib.metadata.version("setuptools").split(".")[0]) > 70
    return False


def _same_machine(pid: int, other: int) -> bool:
    return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{other}/ns/pid")


def _kill_group(process: LanProcess) -> tuple[str, str]:
    process.kill()
    process.wait(_STOP_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return "", "a process that left the group holds the output\n"


def _start_keeper() -> tuple[subprocess.Popen[str], Path]:
    argv = [sys.executable, "-P", __file__, str(os.getpid()), tempfile.gettempdir()]
    pipe = subprocess.PIPE
    keeper = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    assert keeper.stdout is not None
    folder = keeper.stdout.readline().rstrip("\n")
    if not folder:
        _dismiss(keeper)
        raise LanError("the process that keeps the network did not come up")
    return keeper, Path(folder)


def _dismiss(keeper: subprocess.Popen[str]) -> None:
    try:
        keeper.communicate("end", _STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        keeper.kill()
        keeper.communicate()


def _keep(holder: int, parent: str) -> None:
    """Keep a folder, and on request `laptop`, until the holder says so or is gone."""
    folder = Path(tempfile.mkdtemp(prefix="scoopsci-lan-", dir=parent))
    try:
        print(folder, flush=True)
        if _hear(holder) == _GO:
            _keep_laptop(holder, folder)
    finally:
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while folder.exists() and time.monotonic() < deadline:
            shutil.rmtree(folder, ignore_errors=True)


def _hear(holder: int) -> str:
    """Wait for a word from the holder, or its end; a child forked by it may keep the pipe open."""
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(holder)
        if 0 in select.select([0, process], [], [])[0]:
            return os.read(0, 16).decode()
    return ""


def _keep_laptop(holder: int, folder: Path) -> None:
    variables = {"FOLDER": str(folder), "PREFIX": sys.prefix, "REPOSITORY": str(REPOSITORY)}
    argv = [*_UNSHARE_ALL.split(), "sh", f"{folder}/laptop.sh"]
    with (folder / "laptop.log").open("w") as log:
        laptop = subprocess.Popen(
            argv, env={"PATH": _PATH, **variables}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    _hear(holder)
    while laptop.poll() is None:
        for init in psutil.Process(laptop.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                init.kill()
        time.sleep(0.01)


if __name__ == "__main__":
    _keep(int(sys.argv[1]), sys.argv[2])
