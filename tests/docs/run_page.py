"""Run the blocks of a page, one after the other, as its reader would.

The first argument names a JSON file: the ``page``, its ``blocks`` (kind, line and text of each)
and ``given``, code that runs before them. Python blocks share one namespace. A block that starts
with a comment that is a file's name is written to that file.
"""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

#: The first line of a block that is the content of a file.
FILE = re.compile(r"# (\w+\.(?:py|toml))\n")

CHECKER = doctest.OutputChecker()


def run_python(page: str, line: int, text: str, names: dict[str, Any]) -> None:
    """Run statements; tracebacks name the lines of the page."""
    exec(compile("\n" * (line - 1) + text, page, "exec"), names)


def run_doctest(page: str, line: int, text: str, names: dict[str, Any]) -> None:
    """Run statements with prompts, and compare what they print."""
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, line - 1)
    test.globs = names
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    n_failed, _ = runner.run(test, clear_globs=False)
    if n_failed:
        sys.exit(f"{page}: see above")


def run_console(page: str, line: int, text: str, names: dict[str, Any]) -> None:
    """Run the commands, and compare what they print where the page shows it."""
    for command, shown in re.findall(r"^\$ ((?:.*\\\n)*.*\n?)((?:(?!\$ ).*\n?)*)", text, re.M):
        done = subprocess.run(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{page}:{line}: {command}ended with {done.returncode}:\n{done.stdout}")
        if shown and not CHECKER.check_output(shown, done.stdout, doctest.ELLIPSIS):
            sys.exit(f"{page}:{line}: {command}printed\n{done.stdout}\nand not\n{shown}")


RUNS = {"python": run_python, "pycon": run_doctest, "console": run_console}


def main() -> None:
    """Run the page."""
    plan = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    sys.path.insert(0, "")
    # As in a notebook: what the page defines is of __main__, which has no file.
    module = sys.modules["__main__"] = ModuleType("__main__")
    names = module.__dict__
    exec(plan["given"], names)
    for kind, line, text in plan["blocks"]:
        if named := FILE.match(text):
            Path(named[1]).write_text(text[named.end() :].lstrip("\n"), "utf-8")
        else:
            print(f"{plan['page']}:{line}: {kind}", file=sys.stderr, flush=True)
            RUNS[kind](plan["page"], line, text, names)


if __name__ == "__main__":
    main()
