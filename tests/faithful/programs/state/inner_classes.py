"""Changes of classes within classes, of a method's default value, and of a member of an enum.

first 1 none
second 2 noted
['second', 'second']
"""

import enum

from ways import open_way


class Config:
    class Database:
        host = "first"

    def ask(self, options={"a": 1}):  # noqa: B006
        return options["a"]


class Color(enum.Enum):
    RED = 1


def look():
    return Config.Database.host, Config().ask(), getattr(Color.RED, "note", "none")


def host(_):
    return Config.Database.host


if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(look))
        Config.Database.host = "second"
        Config.ask.__defaults__[0]["a"] = 2
        Color.RED.note = "noted"
        print(*way.call(look))
        print(way.run(host, range(2)))
