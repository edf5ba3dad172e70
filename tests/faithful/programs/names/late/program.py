"""Modules that only a function's body imports are found on workers as in the program.

7 late True
[2, 4, 6]
depot.inner.deep depot.inner
no module named nothing
"""

from ways import open_way


def look():
    import late

    return late.VALUE, late.__name__, late.Own.of() is late.Own.of()


def double(x):
    from depot.inner.deep import double

    return double(x)


def name():
    import depot.inner.deep as deep

    return deep.__name__, deep.__package__


def miss():
    try:
        import nothing
    except ImportError as error:
        return f"no module named {error.name}"
    return nothing


if __name__ == "__main__":
    with open_way() as way:
        print(*way.call(look))
        print(way.run(double, [1, 2, 3]))
        print(*way.call(name))
        print(way.call(miss))
