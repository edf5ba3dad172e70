"""Exceptions of a module are caught here by its class, and by its base.

caught Missing: no 'x' in store
caught base ('y',) True
[True, True]
"""

import store_errors
from store_errors import Missing, StoreError
from ways import open_way


def find(key):
    return store_errors.find(key)


def same(error):
    return isinstance(error, Missing) and isinstance(error, StoreError)


if __name__ == "__main__":
    with open_way() as way:
        try:
            way.call(find, "x")
        except Missing as error:
            print(f"caught {type(error).__name__}: {error}")
            first = error
        try:
            way.run(find, ["y"])
        except StoreError as error:
            print("caught base", error.args, type(error) is Missing)
        print(way.map(same, [first, Missing("z")]))
