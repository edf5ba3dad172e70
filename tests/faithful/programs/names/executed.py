"""Functions that the program has made by exec, in a namespace of no module.

[0.0, 1.0, 4.0] 6
decimal
"""

from ways import open_way

TEXT = """
import numpy as np

def square(x):
    return float((np.array([x]) ** 2).sum(axis=0))  # imports a module of NumPy's at its first call

def total(numbers):
    return sum(numbers)

def late():
    import decimal

    return decimal.__name__
"""

if __name__ == "__main__":
    names = {}
    exec(TEXT, names)
    with open_way() as way:
        print(way.map(names["square"], range(3)), way.call(names["total"], [1, 2, 3]))
        print(way.call(names["late"]))
