"""Large arguments, results and buffers arrive unchanged; writable ones stay writable.

800000 True float64 (100000,)
[True, False] 2.0
b'aaaa' bytearray 3
"""

import numpy as np
from ways import open_way


def same(array):
    return array


def write(array):
    if array.flags.writeable:
        array[0] = 2.0
    return array.flags.writeable, float(array[0])


def kinds(text, data, view):
    data.extend(b"x")
    return text[:4], type(data).__name__, view.ndim


if __name__ == "__main__":
    fixed = np.zeros(100_000)
    fixed.flags.writeable = False
    with open_way() as way:
        back = way.call(same, np.arange(100_000.0))
        print(back.nbytes, bool((back == np.arange(100_000.0)).all()), back.dtype, back.shape)
        found = [way.call(write, array) for array in (np.ones(100_000), fixed)]
        print([writable for writable, _ in found], found[0][1])
        print(*way.call(kinds, b"a" * 200_000, bytearray(200_000), np.zeros((50, 50, 50))[1:]))
