"""What `scoopsci run --stage` runs on a host, sent as text: keeps a copy of the program's folder.

The copy has a unique name; a symbolic link is made to it once it is complete. If a host was lost
and returns, its new copy takes over the link. A copy is removed when its connection ends.
"""

import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time

#: Removal of the copy is retried for this many seconds, as processes may still be writing to it.
REMOVAL_S = 10.0


def keep(kept: "str | None", link: str, lease_s: float, mark: str) -> None:
    """Provide a folder, link to it on request, and remove it at the end of the connection.

    A folder that the user has named is used as it is, and is not removed.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    parent, folder = "", kept or ""
    try:
        if kept is None:
            parent = tempfile.mkdtemp(prefix="scoopsci-", dir=os.path.dirname(link))
            folder = os.path.join(parent, "files")
            if os.path.exists(
                link
            ):  # of a broken connection: it spares sending the same files again
                shutil.copytree(link, folder, symlinks=True)
        os.makedirs(folder, exist_ok=True)
        tell(mark, folder=folder, rsync=shutil.which("rsync"), files=look_into(folder))
        while select.select([0], [], [], lease_s)[0]:
            said = os.read(0, 1 << 16)
            if not said:
                break
            if b"complete" in said:
                if kept is None:
                    os.symlink(folder, os.path.join(parent, "link"))
                    os.replace(os.path.join(parent, "link"), link)
                tell(mark, complete=True)
    except OSError as error:
        tell(mark, problem=str(error))
    finally:
        if parent:
            remove(parent, folder, link)


def tell(mark: str, **facts: object) -> None:
    """Write a line to the process that has started this."""
    sys.stdout.write(mark + json.dumps(facts) + "\n")
    sys.stdout.flush()


def look_into(folder: str) -> "dict[str, list[int]]":
    """Return the size and modification time of each file."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            state = os.lstat(path)
            found[os.path.relpath(path, folder)] = [state.st_size, int(state.st_mtime)]
    return found


def remove(parent: str, folder: str, link: str) -> None:
    """Remove the copy, and the link if it points there."""
    aside = os.path.join(parent, "link")
    try:
        # Moved aside first: otherwise it could be replaced between the check and its removal.
        os.rename(link, aside)
        if os.readlink(aside) != folder:
            os.rename(aside, link)
    except OSError:
        pass  # there is no link
    until_s = time.monotonic() + REMOVAL_S
    while os.path.exists(parent) and time.monotonic() < until_s:
        shutil.rmtree(parent, ignore_errors=True)
        time.sleep(0.05)
