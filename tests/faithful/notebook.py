# mypy: disable-error-code="no-untyped-def,no-untyped-call,union-attr"
"""The cells of a notebook, run one after another in a shell of IPython."""

import sys

from IPython.core.interactiveshell import InteractiveShell


def run_cells(cells):
    """Run cells as a notebook does, and end the shell."""
    shell = InteractiveShell.instance(history_length=0)
    for cell in cells:
        shell.execution_count += 1
        shell.run_cell(cell).raise_error()
    shell.history_manager.end_session()
    shell.atexit_operations()
    sys.stdout.flush()
