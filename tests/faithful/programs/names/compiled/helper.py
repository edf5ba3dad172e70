"""A module with a class that numba compiles."""

from numba import int32
from numba.experimental import jitclass


@jitclass([("n", int32)])
class Count:
    def __init__(self, n):
        self.n = n

    def double(self):
        return self.n * 2
