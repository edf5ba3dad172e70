"""What `scoopsci hosts --install` runs on a host, sent as text: makes an environment of wheels.

The environment is a folder that nothing refers to until, as the last step, a symbolic link is made
to it: an unfinished environment is never used, and the next installation removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import venv
from pathlib import Path

#: Fails on a processor or a file system on which the packages do not work.
TRIAL = (
    "import scoopsci.pool.worker; "
    "from scoopsci.reporting.receipts import battery_hash; battery_hash()"
)


def install(environment: str, digest: str, wheels: list[str], renew: bool, mark: str) -> None:
    """Make an environment of the wheels that follow on standard input, and report the outcome."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    data = Path(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"))
    problem = None
    try:
        make_environment(data / environment, digest, wheels, renew)
    except subprocess.CalledProcessError as error:
        problem = error.stdout.strip() or str(error)
    except (OSError, tarfile.TarError) as error:
        problem = str(error)
    outcome = {"folder": str(data / environment), "data": str(data), "problem": problem}
    sys.stdout.write(f"{mark}{json.dumps(outcome)}\n")
    sys.stdout.flush()


def make_environment(link: Path, digest: str, wheels: list[str], renew: bool) -> None:
    """Make the environment, unless it exists already."""
    link.parent.mkdir(parents=True, exist_ok=True)
    before = find_target(link)
    with open(link.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        now = find_target(link)
        # Hosts may share a home: another one may have made it meanwhile.
        if f"-{digest}-" in now and (now != before or not renew):
            return
        remove_others(link, now)
        folder = Path(tempfile.mkdtemp(prefix=f"{link.name}-{digest}-", dir=link.parent))
        try:
            fill(folder, wheels)
            os.symlink(folder.name, folder / "link")
            os.replace(folder / "link", link)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        remove_others(link, folder.name)


def find_target(link: Path) -> str:
    """Return the name of the folder in use, or an empty string."""
    return os.readlink(link) if link.is_symlink() else ""


def remove_others(link: Path, kept: str) -> None:
    """Remove environments that are older or unfinished."""
    for path in link.parent.glob(f"{link.name}-*"):
        if path.name != kept:
            shutil.rmtree(path, ignore_errors=True)


def fill(folder: Path, wheels: list[str]) -> None:
    """Install the wheels into a folder."""
    scratch = folder / "scratch"
    scratch.mkdir()
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for name in archive:
            data = archive.extractfile(name)
            assert data is not None
            with open(scratch / os.path.basename(name.name), "xb") as file:
                shutil.copyfileobj(data, file)
    threading.Thread(target=end_with_connection, daemon=True).start()
    venv.create(folder, symlinks=True)
    python = str(folder / "bin" / "python")
    (pip,) = scratch.glob("pip-*.whl")
    quiet = ["--isolated", "--quiet", "--disable-pip-version-check", "--no-warn-script-location"]
    # All packages are given. Python compiles what it uses; all of SciPy would take long.
    options = ["--no-index", "--no-deps", "--no-cache-dir", "--no-compile"]
    paths = [str(scratch / name) for name in wheels]
    run([python, "-I", f"{pip}/pip", "install", *quiet, *options, *paths], scratch)
    run([python, "-I", "-c", TRIAL], scratch)
    shutil.rmtree(scratch)


def run(command: list[str], scratch: Path) -> None:
    """Run a command that writes nothing outside the environment."""
    subprocess.run(
        command,
        env={**os.environ, "TMPDIR": str(scratch), "PIP_CONFIG_FILE": os.devnull},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=True,
    )


def end_with_connection() -> None:
    """End when the sender of the wheels closes the connection."""
    while os.read(0, 1 << 16):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
