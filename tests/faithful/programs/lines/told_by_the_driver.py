"""The traceback that the driver prints shows the lines of the task.

line of fail: True True
line of inner: True True
"""

import traceback
from pathlib import Path

from ways import open_way


def inner(x):
    return {"a": 1}[x]  # this line


def fail(x):
    return inner(x)  # and this one


def print_found(name, fn, word, text):
    where = f'{Path(__file__).name}", line {fn.__code__.co_firstlineno + 1}, in {name}'
    print(f"line of {name}:", where in text, word in text)


if __name__ == "__main__":
    with open_way() as way:
        try:
            way.call(fail, "b")
        except KeyError as error:
            text = "".join(traceback.format_exception(error))
    print_found("fail", fail, "return inner(x)  # and this one", text)
    print_found("inner", inner, 'return {"a": 1}[x]  # this line', text)
