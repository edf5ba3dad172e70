"""A notebook's cell that is run again defines its classes anew; earlier objects keep theirs.

1 True
2 True
old Kept
[True, False]
"""

from notebook import run_cells

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
    "closed = opened.__exit__(None, None, None)",
]

if __name__ == "__main__":
    run_cells(CELLS)
