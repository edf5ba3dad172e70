"""A notebook's cell that is run again defines its classes anew; earlier objects keep theirs.

1 True
2 True
old Kept
[True, False]
"""

import sys

from IPython.core.interactiveshell import InteractiveShell

CELL = """
class Kept:
    version = {version}

def look(kept):
    return kept.version, isinstance(kept, Kept)
"""

CELLS = [
    "from ways import open_way; opened = open_way(); way = opened.__enter__()",
    CELL.format(version=1),
    "kept = Kept(); print(*way.call(look, kept))",
    CELL.format(version=2),
    "print(*way.call(look, Kept()))",
    "print('old', type(way.call(lambda old: old, kept)).__name__)",
    "print([way.call(look, Kept())[1], way.call(look, kept)[1]])",
    "opened.__exit__(None, None, None)",
]

if __name__ == "__main__":
    shell = InteractiveShell.instance(history_length=0)
    for cell in CELLS:
        done = shell.run_cell(cell, silent=True)
        done.raise_error()
    shell.history_manager.end_session()
    shell.atexit_operations()
    sys.stdout.flush()
