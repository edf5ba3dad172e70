"""A module of which the program deletes a global."""

VALUE = 2


def look():
    try:
        return VALUE
    except NameError:
        return "gone"
