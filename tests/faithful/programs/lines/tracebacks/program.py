"""A traceback taken in a task has the file, the line and the text of each frame.

program.py fail 'raise ValueError(word)' True
tools_own.py divide 'return 1 // x' True
program.py <lambda> True
"""

import traceback
from pathlib import Path

import tools_own
from ways import open_way


def fail(word):
    raise ValueError(word)


def last_frame(fn, *args):
    try:
        fn(*args)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        line = fn.__code__.co_firstlineno + 1
        return Path(frame.filename).name, frame.name, f"{frame.line!r}", frame.lineno == line


def lambda_frame():
    name, fn, text, _ = last_frame(lambda x: fail(x) if x else 1 // x, 0)
    return name, fn, "1 // x" in text


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(last_frame, fail, "wrong"))
        print(*way.call(last_frame, tools_own.divide, 0))
        print(*way.call(lambda_frame))
