"""A file open for writing cannot be sent: the error names the variable that holds it.

TaskError names NOTES
[1, 2]
"""

import os

from ways import open_way

from scoopsci import TaskError

NOTES = open(os.devnull, "w")  # noqa: SIM115


def note():
    NOTES.write("noted")


def read_own(x):
    with open(__file__):
        return x


if __name__ == "__main__":
    with open_way() as way:
        try:
            way.call(note)
        except TaskError as error:
            text = "\n".join([str(error), *getattr(error, "__notes__", ())])
            print("TaskError names", "NOTES" if "NOTES" in text else text)
        print(way.map(read_own, [1, 2]))
