"""What the doctor runs on a host, sent as text; any Python 3 can run it."""

import json
import os
import platform
import shutil
import sys
import tempfile
import time


def look(packages: "list[str]", mark: str) -> None:
    """Report facts about the host, and stay until the connection ends."""
    scratch = make_scratch("/tmp")
    try:
        facts = {
            "host": platform.node(),
            "python": platform.python_version(),
            "executable": sys.executable,
            "versions": {name: find_version(name) for name in packages},
            "n_cores": count_cores(),
            "load": os.getloadavg()[0],
            "memory_bytes": find_memory(),
            "scratch": scratch,
            **compute_battery(),
        }
        sys.stdout.write(mark + json.dumps(dict(facts, time_s=time.time())) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        if scratch["folder"]:
            shutil.rmtree(str(scratch["folder"]))


def find_version(name: str) -> "str | None":
    """Return the version of an installed package, or None."""
    try:
        from importlib import metadata

        return metadata.version(name)
    except Exception:
        return None


def count_cores() -> int:
    """Return the number of cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):  # not in every Python
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_memory() -> int:
    """Return the number of bytes of memory available to new processes."""
    with open("/proc/meminfo") as lines:
        found = dict(line.split()[:2] for line in lines)
    return 1024 * int(found.get("MemAvailable:", found["MemFree:"]))


def make_scratch(parent: str) -> "dict[str, object]":
    """Make a folder, and return the free bytes there, or the error that prevents writing."""
    folder = problem = None
    try:
        folder = tempfile.mkdtemp(prefix="scoopsci-", dir=parent)
        with open(os.path.join(folder, "trial"), "wb") as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        problem = str(error)
    room = os.statvfs(parent)
    n_bytes = room.f_bavail * room.f_frsize
    return {"parent": parent, "folder": folder, "bytes": n_bytes, "problem": problem}


def compute_battery() -> "dict[str, str | None]":
    """Return the hash of the battery of computations, or the error where there is no scoopsci."""
    try:
        from scoopsci.reporting.receipts import battery_hash

        return {"battery": battery_hash()}
    except Exception as error:
        return {"battery": None, "battery_error": repr(error)}
