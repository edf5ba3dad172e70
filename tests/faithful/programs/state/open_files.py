"""An open file of the script cannot be sent: the error names the variable, and how to go on.

TaskError names NOTES
[1, 2]
"""

from ways import open_way

from scoopsci import TaskError

NOTES = open(__file__)  # noqa: SIM115


def read():
    return NOTES.readline()


def read_own(x):
    with open(__file__):
        return x


if __name__ == "__main__":
    with open_way() as way:
        try:
            way.call(read)
        except TaskError as error:
            text = "\n".join([str(error), *getattr(error, "__notes__", ())])
            print("TaskError names", "NOTES" if "NOTES" in text else text)
        print(way.map(read_own, [1, 2]))
