"""Groups of exceptions arrive whole, and are split by except* as elsewhere.

values: ['1', '3'] keys: ["'2'"]
own (OwnError('inner'),) True
"""

from ways import open_way


class OwnError(Exception):
    pass


class OwnGroup(ExceptionGroup):
    def derive(self, exceptions):
        return OwnGroup(self.message, exceptions)


def fail():
    raise ExceptionGroup("three", [ValueError(1), KeyError("2"), ValueError(3)])


def fail_deep():
    raise OwnGroup("own", [ExceptionGroup("deep", [OwnError("inner")])])


if __name__ == "__main__":
    with open_way() as way:
        try:
            way.call(fail)
        except* ValueError as group:
            values = [str(error) for error in group.exceptions]
        except* KeyError as group:
            keys = [str(error) for error in group.exceptions]
        print("values:", values, "keys:", keys)
        try:
            way.run(lambda _: fail_deep(), [0])
        except OwnGroup as group:
            inner = group.exceptions[0].exceptions
            print(group.message, inner, type(inner[0]) is OwnError)
