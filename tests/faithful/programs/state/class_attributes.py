"""Attributes of classes that the program sets, replaces by another kind of value, or deletes.

None 1 none 5
{'a': 1} 2 [1, 2] gone
[{'a': 1, 'b': 2}, {'a': 1, 'b': 2}]
"""

from ways import open_way


class Config:
    data = None
    n = 1
    old = 5


class Late:
    pass


def look():
    late, old = getattr(Late, "items", "none"), getattr(Config, "old", "gone")
    return Config.data, Config.n, late, old


def data(_):
    return Config.data


if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(look))
        Config.data, Config.n = {"a": 1}, 2
        Late.items = [1, 2]
        del Config.old
        print(*way.call(look))
        Config.data["b"] = 2
        print(way.run(data, range(2)))
