"""Files that tasks leave open are flushed, and what they register at exit is run.

['left open']
['ended']
"""

import atexit
import os
import tempfile
from pathlib import Path

from ways import open_way

FILES = []


def leave(folder):
    file = open(Path(folder, f"left-{os.getpid()}"), "w")  # noqa: SIM115
    file.write("left open")
    FILES.append(file)


def register(folder):
    path = Path(folder, f"ended-{os.getpid()}")
    if os.getpid() == DRIVER[0]:
        path.write_text("ended")
    else:
        atexit.register(path.write_text, "ended")


def read(folder, name):
    return sorted({path.read_text() for path in Path(folder).glob(f"{name}-*")})


DRIVER = []

if __name__ == "__main__":
    DRIVER.append(os.getpid())
    with tempfile.TemporaryDirectory() as folder:
        with open_way() as way:
            way.call(leave, folder)
            way.call(register, folder)
        for file in FILES:
            file.close()
        print(read(folder, "left"))
        print(read(folder, "ended"))
