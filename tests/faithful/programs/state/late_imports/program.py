"""A module that tasks have imported before the program does, which then changes it.

1 [1]
5 [1, 2]
[5, 5]
"""

from ways import open_way


def look():
    import late

    return late.VALUE, late.ITEMS


def value(_):
    import late

    return late.VALUE


if __name__ == "__main__":
    with open_way(1) as way:
        print(*way.call(look))
        import late

        late.VALUE = 5
        late.ITEMS.append(2)
        print(*way.call(look))
        print(way.run(value, range(2)))
