"""Threads of a task print; bytes are refused as ever; what is printed is no result.

10 TypeError
[3, 3]
None None
"""

import contextlib
import io
import sys
import threading

from ways import open_way


def talk(n):
    def say(i):
        print(f"said {i}", file=sys.stderr)

    threads = [threading.Thread(target=say, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return n


def write():
    try:
        sys.stdout.write(b"hi")
    except TypeError as error:
        return type(error).__name__


def redirected(_):
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        print("hi")
    return len(stream.getvalue())


def flush():
    print("\r 50 %\r100 %", end="", file=sys.stderr)
    return sys.stderr.flush()


if __name__ == "__main__":
    with open_way() as way:
        print(way.call(talk, 10), way.call(write))
        print(way.run(redirected, range(2)))
        print(way.call(flush), way.call(sys.stdout.flush))
