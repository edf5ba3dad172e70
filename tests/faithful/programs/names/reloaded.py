"""A module that is edited and reloaded is the new one for the next call.

[1, 2] 1 one
[10, 20] 2 two
ImportError: no old
True
"""

import importlib
import sys
import tempfile
from pathlib import Path

from ways import open_way

TEXT = """
N = {n}

class Own:
    word = "{word}"

def grow(x):
    return x * {factor}
"""


def grow(x):
    import edited

    return edited.grow(x)


def look():
    import edited

    return edited.N, edited.Own.word


def fail():
    try:
        from edited import old
    except ImportError:
        return "ImportError: no old"
    return old


def keep(own):
    import edited

    return type(own) is edited.Own


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, open_way() as way:
        sys.dont_write_bytecode = True
        sys.path.insert(0, folder)
        path = Path(folder, "edited.py")
        path.write_text(TEXT.format(n=1, word="one", factor=1))
        import edited

        print(way.map(grow, [1, 2]), *way.call(look))
        path.write_text(TEXT.format(n=2, word="two", factor=10) + "\n")
        importlib.reload(edited)
        print(way.run(edited.grow, [1, 2]), *way.call(look))
        print(way.call(fail))
        print(way.call(keep, edited.Own()))
