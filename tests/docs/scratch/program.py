"""What pages take for a program that was written for SCOOP."""

import sys

from scoop import futures


def square(number: int) -> int:
    return number * number


if __name__ == "__main__":
    print(sum(futures.map(square, range(100))), *sys.argv[1:])
