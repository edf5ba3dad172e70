"""What protects workers does not reach the user's code: umask, signals, variables.

0o22 0o600
default True
None None
None
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from ways import open_way

SIGNALS = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"


def umask():
    found = os.umask(0o22)
    os.umask(found)
    with tempfile.TemporaryDirectory() as folder:
        mode = Path(tempfile.mkstemp(dir=folder)[1]).stat().st_mode
    return oct(found), oct(mode & 0o777)


def handlers():
    own = signal.getsignal(signal.SIGTERM)
    done = subprocess.run([sys.executable, "-c", SIGNALS], capture_output=True, text=True)
    return "default" if own is signal.SIG_DFL else repr(own), done.stdout.strip()


def variables(names):
    return [os.environ.get(name) for name in names]


if __name__ == "__main__":
    os.umask(0o22)
    with open_way() as way:
        print(*way.call(umask))
        print(*way.call(handlers))
        print(*way.call(variables, ["PYTHONSAFEPATH", "OMP_NUM_THREADS"]))
        text = "import os; print(os.environ.get('OMP_NUM_THREADS'))"
        command = [sys.executable, "-c", text]
        print(way.call(subprocess.check_output, command, text=True).strip())
