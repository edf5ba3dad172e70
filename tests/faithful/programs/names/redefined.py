"""A function or class that is defined anew between calls is the new one from then on.

[0, 1, 2] old
[0, 10, 20] new True
[0, 10, 20] newest
"""

from ways import open_way


def grow(x):
    return x


def through(x):
    return grow(x)


class Word:
    text = "old"


def say():
    return Word.text


def keep(word):
    return isinstance(word, Word)


if __name__ == "__main__":
    with open_way() as way:
        print(way.map(through, range(3)), way.call(say))

        def grow(x):
            return 10 * x

        class Word:
            text = "new"

        print(way.map(through, range(3)), way.call(say), way.call(keep, Word()))
        Word.text = "newest"
        print(way.run(through, range(3)), way.call(say))
