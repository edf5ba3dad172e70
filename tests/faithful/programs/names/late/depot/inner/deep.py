"""A module two folders down."""

import depot


def double(x):
    assert depot.__name__ == "depot"
    return 2 * x
