"""A fork of the program that uses its engine gets an error that names the owner, and no wait.

EngineError True
EngineError True
[1, 2]
"""

import os
import signal

from ways import open_way

from scoopsci import EngineError


def in_child(call):
    """Return what a call raises in a fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends a wait for ever
        try:
            call()
            words = "nothing raised"
        except EngineError as error:
            words = f"{type(error).__name__} {str(os.getppid()) in str(error)}"
        except BaseException as error:
            words = repr(error)
        os.write(writing, words.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    return os.read(reading, 1000).decode()


if __name__ == "__main__":
    with open_way() as way:
        way.call(abs, -1)
        print(in_child(lambda: way.call(abs, -1)))
        print(in_child(lambda: way.run(abs, [-1])))
        print(way.map(abs, [-1, -2]))
