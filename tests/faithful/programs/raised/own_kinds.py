"""What a task raises is raised here: its type, attributes and cause, by every call.

submit: TooFar('too far', 5) 5 LookupError('inner')
map: TooFar('too far', 1) 1 LookupError('inner')
run: TooFar('too far', 0) 0 LookupError('inner')
results before it are the first ones: True
"""

from ways import open_way

import scoopsci


class TooFar(ValueError):
    def __init__(self, word, distance):
        super().__init__(word, distance)
        self.distance = distance


def fail(x):
    try:
        raise LookupError("inner")
    except LookupError as error:
        raise TooFar("too far", x) from error


def fail_later(x):
    return x if x < 3 else fail(x)


if __name__ == "__main__":
    with open_way() as way:
        calls = {
            "submit": lambda: way.call(fail, 5),
            "map": lambda: way.map(fail, [1, 2]),
            "run": lambda: way.run(fail, [0]),
        }
        for name, call in calls.items():
            try:
                call()
            except TooFar as error:
                print(f"{name}: {error!r} {error.distance} {error.__cause__!r}")
        found = []
        try:
            for result in scoopsci.map(
                fail_later, range(9), engine=way.library, chunk_target_s=1e-9
            ):
                found.append(result)
        except TooFar:
            print("results before it are the first ones:", found == [0, 1, 2][: len(found)])
