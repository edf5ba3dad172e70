"""Modules beside the script win over the standard library's of the same name, in tasks too.

own colorsys own wave own xdrlib.sub
[True, True]
caught own error
"""

import colorsys

from ways import open_way


def ask():
    import wave
    import xdrlib.sub

    return colorsys.own(), wave.own(), xdrlib.sub.own()


def beside(name):
    import importlib
    from pathlib import Path

    module = importlib.import_module(name)
    return Path(module.__file__).parent == Path(__file__).parent


def fail():
    import wave

    try:
        wave.fail()
    except colorsys.OwnError as error:
        return f"caught {error}"


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(ask))
        print(way.run(beside, ["colorsys", "wave"]))
        print(way.call(fail))
