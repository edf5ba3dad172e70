"""A module that makes its names when they are asked for."""


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    return f"lazy:{name}"
