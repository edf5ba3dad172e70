"""The worker's traceback is behind what is raised; notes tell the host and the process.

True True True
True
"""

from ways import open_way

import scoopsci


def inner(x):
    return [][x]


def fail(x):
    return inner(x)


def caught(call, *args):
    try:
        call(*args)
    except IndexError as error:
        return error


if __name__ == "__main__":
    with open_way() as way:
        error = caught(way.call, fail, 7)
        task_error = scoopsci.TaskError.behind(error)
        text = task_error.remote_traceback
        print("in inner" in text, "IndexError" in text, "process" in error.__notes__[-1])
        error = caught(way.run, fail, [7])
        print("block 0" in error.__notes__[-1])
