"""What a notebook has displayed has names there, too; later outputs do not change its values.

Out[3]: [1, 2]
[1, 2]
Out[5]: [9, 9]
[1, 2]
[True, True]
[False, False]
"""

import sys

from IPython.core.interactiveshell import InteractiveShell

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
    shell = InteractiveShell.instance(history_length=0)
    for cell in CELLS:
        shell.execution_count += 1
        shell.run_cell(cell).raise_error()
    shell.history_manager.end_session()
    shell.atexit_operations()
    sys.stdout.flush()
