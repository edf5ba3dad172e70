"""Built-in exceptions and those of libraries keep all their parts, also around a whole map.

division by zero
FileNotFoundError 2 gone.txt
('utf-8', b'\\xff', 0, 1, 'invalid start byte')
Expecting value 0 ['false']
json: Expecting value: line 1 column 1 (char 0)
"""

import errno
import json
import os
import subprocess

from ways import open_way


def divide(x):
    return 1 / x


def miss(path):
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def decode(data):
    return data.decode("utf-8")


def parse(text):
    return json.loads(text)


def fail(command):
    subprocess.run(command, check=True)


def caught(call, *args):
    try:
        call(*args)
    except Exception as error:
        return error


if __name__ == "__main__":
    with open_way() as way:
        print(caught(way.run, divide, [1, 0]))
        error = caught(way.call, miss, "gone.txt")
        print(type(error).__name__, error.errno, error.filename)
        print(caught(way.call, decode, b"\xff").args)
        error = caught(way.call, parse, "")
        print(error.msg, error.pos, caught(way.call, fail, ["false"]).cmd)
        try:
            way.map(parse, ["1", ""])
        except json.JSONDecodeError as error:
            print("json:", error)
