"""A module that is a value of the program."""

VALUE = 1


def find():
    return VALUE
