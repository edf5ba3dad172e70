"""Arguments for __new__, slots with state, and reducers that share what they hold.

('a', 2) {'note': 'kept'}
[1, 2] True
Celsius(3.0) True
"""

from ways import open_way


class Word(str):
    def __new__(cls, text, n):
        word = super().__new__(cls, text)
        word.n = n
        return word

    def __getnewargs_ex__(self):
        return (str(self),), {"n": self.n}


class Slotted:
    __slots__ = ("__dict__", "x")

    def __init__(self, x):
        self.x = x


class Celsius(float):
    def __repr__(self):
        return f"Celsius({float(self)})"


def same(value):
    return value


def note(word):
    word.note = "kept"
    return word


def look(slotted):
    return [slotted.x, slotted.y]


if __name__ == "__main__":
    with open_way() as way:
        word = way.call(note, Word("a", n=2))
        print((str(word), word.n), {"note": word.note})
        slotted = Slotted(1)
        slotted.y = 2
        shared = [slotted, slotted]
        left, right = way.call(same, shared)
        print(way.call(look, slotted), left is right and type(left) is Slotted)
        warm = way.call(same, Celsius(3))
        print(warm, type(warm) is Celsius)
