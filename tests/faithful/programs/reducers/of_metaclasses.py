"""A reducer registered for a metaclass makes classes known by a registry, not by module.

[1, 2] True
True int:5
"""

import copyreg

from ways import open_way

KINDS = {}


class Meta(type):
    pass


def make(name):
    if name not in KINDS:
        KINDS[name] = Meta(name, (), {"word": name, "use": lambda self: len(self.word)})
    return KINDS[name]


copyreg.pickle(Meta, lambda cls: (make, (cls.__name__,)))


def use(cls):
    return len(cls().word)


def give(name):
    return make(name)


def same(cls):
    return cls is make(cls.__name__)


def instance(thing):
    thing.value = f"{type(thing.n).__name__}:{thing.n}"
    return thing


if __name__ == "__main__":
    with open_way() as way:
        print(way.map(use, [make("a"), make("bb")]), way.call(give, "a") is make("a"))
        thing = make("a")()
        thing.n = 5
        print(all(way.run(same, [make("a"), make("bb")])), way.call(instance, thing).value)
