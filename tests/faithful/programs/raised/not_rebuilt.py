"""An exception that cannot be rebuilt is a TaskError with its words; nothing else is lost.

TaskError True
[0, 1, 2]
TypeError True
"""

import threading

from ways import open_way

from scoopsci import TaskError


class Locked(Exception):
    def __init__(self, word):
        super().__init__(word)
        self.lock = threading.Lock()


def fail(word):
    raise Locked(word)


def give_lock():
    return threading.Lock()


if __name__ == "__main__":
    with open_way() as way:
        try:
            way.call(fail, "unique words")
        except (TaskError, Locked) as error:
            print("TaskError", "unique words" in str(error))
        print(way.map(abs, range(3)))
        try:
            way.call(give_lock)
        except TaskError as error:
            print(type(error.__cause__).__name__, "lock" in str(error))
