"""A module whose functions have options by default."""

OPTIONS = {"scale": 1}
NAMES = {"alpha", "beta", "gamma", "delta"}


class Config:
    def __init__(self):
        self.scale = 1
        self.kinds = {"alpha", "beta", "gamma", "delta"}


CONFIG = Config()


class Runner:
    def __init__(self, config=CONFIG):
        self.config = config

    def run(self):
        return self.config.scale, self.config is CONFIG


def times(x, options=OPTIONS):
    return x * options["scale"], options is OPTIONS


def run():
    return Runner().run()


def compare(names=NAMES, config=CONFIG):
    return names is NAMES, config is CONFIG


def add(name, names=NAMES):
    names.add(name)
    return len(NAMES)
