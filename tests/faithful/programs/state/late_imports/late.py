"""A module that the program imports late."""

VALUE = 1
ITEMS = [1]
