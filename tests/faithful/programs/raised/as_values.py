"""With on_error="return", failures are values that hold the task's own exception.

[1.0, 'ZeroDivisionError', 0.5, 'OwnError', 0.25]
True True running
[1.0, 0.5]
"""

from ways import open_way

import scoopsci
from scoopsci import TaskError


class OwnError(Exception):
    pass


def divide(x):
    if x == 3:
        raise OwnError(x)
    return 1 / x


def show(value):
    return type(value.error).__name__ if isinstance(value, TaskError) else value


if __name__ == "__main__":
    with open_way() as way:
        items = [1, 0, 2, 3, 4]
        found = list(scoopsci.map(divide, items, engine=way.library, on_error="return"))
        print([show(value) for value in found])
        print(type(found[3].error) is OwnError, found[3].error.args == (3,), found[3].stage)
        print(way.map(divide, [1, 2]))
