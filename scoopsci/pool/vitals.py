"""What an agent reads about its host and its processes."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
from pathlib import Path
from typing import Any

__all__ = ["count_unread", "read_process", "read_vitals"]


def count_unread() -> int:
    """Return the number of unread bytes in the pipe to the broker, or to sshd."""
    n_unread = bytearray(4)
    fcntl.ioctl(1, termios.FIONREAD, n_unread)
    return int.from_bytes(n_unread, sys.byteorder)


def read_process(pid: int) -> tuple[str, int]:
    """Return the state of a process, one letter, and the memory it uses."""
    stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    fields = stat[stat.rindex(")") + 2 :].split()
    return fields[0], int(fields[21]) * os.sysconf("SC_PAGESIZE")


def read_vitals() -> dict[str, Any]:
    """Return the load of this machine over a minute, its cores and its memory."""
    lines = [line.split() for line in Path("/proc/meminfo").read_text("ascii").splitlines()]
    n_kilobytes = {words[0]: int(words[1]) for words in lines}
    return {
        "load": os.getloadavg()[0],
        "n_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": 1024 * n_kilobytes["MemTotal:"],
        "available_bytes": 1024 * n_kilobytes["MemAvailable:"],
    }
