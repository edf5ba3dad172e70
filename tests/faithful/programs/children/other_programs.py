"""A task runs other programs: its folder, its environment and its interpreter are the driver's.

6 True
own True
"""

import os
import subprocess
import sys

from ways import open_way

os.environ["OWN_VARIABLE"] = "own"


def run(text):
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def folder():
    return os.getcwd(), sys.executable


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(run, "print(2 * 3)"), way.call(folder) == folder())
        text = "import os; print(os.environ.get('OWN_VARIABLE'))"
        print(way.call(run, text), way.run(run, [text]) == ["own"])
