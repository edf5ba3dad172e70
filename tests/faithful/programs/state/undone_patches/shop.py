"""A module that the program patches."""


def price(x):
    return x


def total(x):
    return 2 * price(x)


class Cart:
    def go(self):
        return "true"
