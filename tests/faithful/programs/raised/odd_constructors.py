"""Exceptions whose __init__ needs other arguments survive: they are rebuilt without calling it.

OnlyKeywords code=3 ('failed with 3',)
Chatty once ('said by init',)
Slotted x=1
Reduced by __reduce__ 7
['a note of the task']
"""

from ways import open_way


class OnlyKeywords(Exception):
    def __init__(self, *, code):
        super().__init__(f"failed with {code}")
        self.code = code


class Chatty(Exception):
    def __init__(self, word, many, arguments):
        super().__init__("said by init")
        self.times = "once"


class Slotted(Exception):
    __slots__ = ("x",)


class Reduced(Exception):
    def __reduce__(self):
        return rebuild, (7,)


def rebuild(n):
    error = Reduced()
    error.words = f"by __reduce__ {n}"
    return error


def fail(kind):
    if kind == "only":
        raise OnlyKeywords(code=3)
    if kind == "chatty":
        raise Chatty(1, 2, 3)
    if kind == "slotted":
        error = Slotted()
        error.x = 1
        raise error
    if kind == "reduced":
        raise Reduced
    error = ValueError("noted")
    error.add_note("a note of the task")
    raise error


if __name__ == "__main__":
    with open_way() as way:
        try:
            way.call(fail, "only")
        except OnlyKeywords as error:
            print(f"OnlyKeywords code={error.code}", error.args)
        try:
            way.run(fail, ["chatty"])
        except Chatty as error:
            print("Chatty", error.times, error.args)
        try:
            way.call(fail, "slotted")
        except Slotted as error:
            print(f"Slotted x={error.x}")
        try:
            way.call(fail, "reduced")
        except Reduced as error:
            print("Reduced", error.words)
        try:
            way.call(fail, "noted")
        except ValueError as error:
            print(error.__notes__[:1])
