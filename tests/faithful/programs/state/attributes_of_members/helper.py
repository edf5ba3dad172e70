"""A module with an enumeration whose members have attributes."""

import enum


class Tool(enum.Enum):
    SAW = 1
    AXE = 2

    def __init__(self, number):
        self.uses = []
        self.weight = number * 10
