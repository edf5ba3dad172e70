"""A module with an object to which another module gives a peer."""


class Part:
    def __init__(self, peer=None):
        self.value, self.peer = 0, peer


ONE = Part()
