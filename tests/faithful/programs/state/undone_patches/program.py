"""What unittest.mock patches in a module is patched in tasks, too, and set back with it.

2 true
200 fake
2 true
fake class
[2, 4] true
"""

from unittest import mock

import shop
from ways import open_way


def fake_price(x):
    return 100


class Fake:
    def go(self):
        return "fake class"


def use():
    return shop.Cart().go()


if __name__ == "__main__":
    with open_way(1) as way:
        print(way.call(shop.total, 1), way.call(use))
        with (
            mock.patch.object(shop, "price", fake_price),
            mock.patch.object(shop.Cart, "go", lambda self: "fake"),  # noqa: PT008
        ):
            print(way.call(shop.total, 1), way.call(use))
        print(way.call(shop.total, 1), way.call(use))
        with mock.patch.object(shop, "Cart", Fake):
            print(way.call(use))
        print(way.run(shop.total, [1, 2]), way.call(use))
