"""Files beside the script and in a package are found by __file__ and importlib.resources.

beside packed
program.py words.py pack/__init__.py
['packed', 'packed']
"""

from importlib import resources
from pathlib import Path

import words
from pack import text
from ways import open_way


def read():
    return Path(__file__).with_name("beside.txt").read_text().strip(), text()


def files():
    import pack

    own = Path(pack.__file__)
    return Path(__file__).name, words.own_name(), f"{own.parent.name}/{own.name}"


def read_resource(name):
    return resources.files("pack").joinpath(name).read_text().strip()


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(read))
        print(*way.call(files))
        print(way.run(read_resource, ["packed.txt", "packed.txt"]))
