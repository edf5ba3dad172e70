"""The decimal context and NumPy's error settings of the program are those of its tasks.

0.142857142857142857142857142857142857142857142857142857142857
0.14286
FloatingPointError
warned nothing
"""

import decimal
import warnings

import numpy as np
from ways import open_way


def divide(x):
    return decimal.Decimal(1) / decimal.Decimal(x)


def divide_array():
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            np.ones(2) / np.zeros(2)
    except FloatingPointError as error:
        return type(error).__name__
    return f"warned {len(found) or 'nothing'}"


if __name__ == "__main__":
    with open_way() as way:
        decimal.getcontext().prec = 60
        print(way.call(divide, 7))
        decimal.getcontext().prec = 5
        print(way.run(divide, [7])[0])
        np.seterr(divide="raise")
        print(way.call(divide_array))
        np.seterr(divide="ignore")
        print(way.run(lambda _: divide_array(), [0])[0])
