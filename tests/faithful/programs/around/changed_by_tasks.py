"""What a task changes around it does not reach the next task, nor the program.

True True True True True
True True True True True
"""

import locale
import os
import signal

from ways import open_way


def change(_):
    os.chdir("/")
    os.environ["OWN_LEFT_BEHIND"] = "x"
    os.umask(0o77)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    locale.setlocale(locale.LC_NUMERIC, "C.UTF-8")


def umask():
    found = os.umask(0o22)
    os.umask(found)
    return found


def state(_=None):
    return (
        os.getcwd(),
        os.environ.get("OWN_LEFT_BEHIND"),
        umask(),
        signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
        locale.setlocale(locale.LC_NUMERIC),
    )


if __name__ == "__main__":
    before = state()
    with open_way(n_workers=1) as way:
        for call in (way.map, way.run):
            call(change, range(4))
            found = call(state, range(4))
            print(*(all(one[i] == before[i] for one in found) for i in range(5)))
