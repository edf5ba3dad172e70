"""A module with a connection that its initializer makes."""

CONNECTION = None


def open_store(n):
    global CONNECTION
    CONNECTION = f"ready {n}"


def read():
    assert CONNECTION is not None
    return CONNECTION
