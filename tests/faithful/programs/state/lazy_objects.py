"""Objects that make what they stand for when they are looked at are left alone by tasks.

[2, 3] 2
[]
"""

from ways import open_way

SET_UP = []


class Settings:
    """Stand for settings that are not known yet, as those of Django do."""

    @property
    def __class__(self):
        return set_up()

    def __getattr__(self, name):
        return set_up()


def set_up():
    SET_UP.append("too early")
    raise RuntimeError("the settings have not been configured")


settings = Settings()
NUMBERS = [1]


def add(x):
    return x + NUMBERS[0]


if __name__ == "__main__":
    with open_way() as way:
        print(way.run(add, [1, 2]), way.call(add, 1))
    print(SET_UP)
