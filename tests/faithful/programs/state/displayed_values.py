"""What a notebook has displayed has names there, too; later outputs do not change its values.

Out[3]: [1, 2]
[1, 2]
Out[5]: [9, 9]
[1, 2]
[True, True]
[False, False]
"""

from notebook import run_cells

CELLS = [
    "from ways import open_way; opened = open_way(1); way = opened.__enter__()",
    "data = [1, 2]\ndef look():\n    return data",
    "data",
    "print(way.call(look))",
    "[9, 9]",
    "print(way.call(look))",
    "class Kept: pass",
    "kept = Kept()\ndef check(given):\n    return [isinstance(x, Kept) for x in (given, kept)]",
    "print(way.call(check, kept))",
    "class Kept: pass",
    "print(way.call(check, kept))",
    "closed = opened.__exit__(None, None, None)",
]

if __name__ == "__main__":
    run_cells(CELLS)
