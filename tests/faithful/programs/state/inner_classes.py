"""Changes of classes within classes.

first
second
['second', 'second']
"""

from ways import open_way


class Config:
    class Database:
        host = "first"


def look():
    return Config.Database.host


def host(_):
    return Config.Database.host


if __name__ == "__main__":
    with open_way(1) as way:
        print(way.call(look))
        Config.Database.host = "second"
        print(way.call(look))
        print(way.run(host, range(2)))
