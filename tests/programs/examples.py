"""The example programs of SCOOP's source distribution, and how their outputs are compared."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

__all__ = ["CURED", "EXAMPLES", "LEFT_OUT", "LONG", "TYPED", "fetch_examples", "normalize"]

EXAMPLES = [
    "conditional_execution.py",
    "conditional_import.py",
    "full_tree.py",
    "map_scan.py",
    "object.py",
    "shared_example_doc.py",
    "tree/scoop_tree.py",
]

#: Examples that take more time, or show little that is new.
LONG = [
    "callback.py",
    "deap_ga_evosn.py",
    "deap_ga_onemax.py",
    "lambda.py",
    "map_as_completed.py",
    "map_doc.py",
    "map_reduce.py",
    "pi_calc.py",
    "pi_calc_doc.py",
    "recurse.py",
    "rssDoc.py",
    "sorting.py",
    "sum_multiples.py",
    "tree_traversal.py",
]

#: Fail under SCOOP, but not here: SCOOP cannot pickle what they share or define interactively.
CURED = {
    "shared_example.py": "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n",
    "interactive_shell.py": "[0, 2]\n>>> ",
}

TYPED = """
double = lambda x: 2 * x
shared.setConst(double=double)
print(list(futures.map(double, range(2))))
"""

#: The others, and why.
LEFT_OUT = {
    "except_example.py": "ends with an exception, which SCOOP prints to stdout, with status 0",
    "image_resize.py": "fails under SCOOP: written for Python 2 and the module Image",
    "url_fetch.py": "reads pages of the World Wide Web",
    "url_fetch_doc.py": "reads pages of the World Wide Web",
    "dependency/__init__.py": "no program",
    "dependency/sortingnetwork.py": "no program",
    "tree/Tree.py": "no program",
    "tree/TreeGen.py": "does not use SCOOP; writes what tree/scoop_tree.py reads",
    "tree/serial-tree.py": "does not use SCOOP",
    "tree/dtm-tree.py": "needs a part of DEAP that there is no more",
}

#: What differs from one run of plain SCOOP to the next: times and random numbers, addresses,
#: workers, and which of two functions chance has chosen.
CHANCES = [
    (re.compile(r"\d+\.\d{2,}(e-\d+)?"), "number"),
    (re.compile(r"0x[0-9a-f]+"), "address"),
    (re.compile(r"b'[\w.-]+:\d+'"), "worker"),
    (re.compile("Hello Parallel World"), "Hello World"),
    (re.compile(r"cores : \d+"), "cores"),
]


def fetch_examples(folder: Path) -> Path:
    """Download SCOOP's source distribution, and return the folder of its examples."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
         "--dest", folder, "scoop==0.7.2.0"],
        check=True, stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    (examples,) = folder.glob("*/examples")
    tree = [
        sys.executable,
        "TreeGen.py",
        *["--height", "3", "--minChildren", "3", "--maxChildren", "3", "--scale", "0.001"],
    ]
    subprocess.run(tree, cwd=examples / "tree", check=True, timeout=60)
    return examples


def normalize(output: str) -> list[str]:
    """Return the lines of an output, sorted, without random numbers and times."""
    for pattern, name in CHANCES:
        output = pattern.sub(name, output)
    return sorted(output.splitlines())
