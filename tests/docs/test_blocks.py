"""Every block of code in the documentation runs, and prints what the page says."""

from __future__ import annotations

import configparser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, require
from tests.docs.pages import KINDS, PAGES, Block, read_blocks
from tests.lan import PLAIN, PYTHON, Lan
from tests.pools import NODES, check_nothing_left

RUNNER = Path(__file__).with_name("run_page.py")
SCRATCH = Path(__file__).with_name("scratch")
#: For a page, on a machine that has other things to do as well.
TIMEOUT_S = 300.0

pytestmark = pytest.mark.timeout(TIMEOUT_S + 60)

#: The hosts that pages name, here two of the isolated ones.
HOSTS = {"node1": "192.0.2.11", "node2": "192.0.2.12"}
HOSTFILE = "".join(f"{address} 2\n" for address in HOSTS.values())
NEEDS_HOSTS = re.compile(r"--hostfile|hostfile=\"|scoopsci hosts|192\.0\.2\.")

#: Names that a page takes for the reader's own.
GIVEN = {
    "README.md": """
import operator
import scoopsci
from mymodule import simulate
parameters, values = range(4), ["pear", "fig"]
""",
}

#: What a page needs beyond the core: where that is not there it is a skip, or a failure in CI.
NEEDS = {
    "docs/montecarlo.md": ("numba",),
    "docs/notebooks.md": ("scoopsci.dashboard",),
    "docs/watching.md": (
        *("scoopsci.dashboard", "scoopsci.reporting.plots", "scoopsci.report"),
        *("tornado", "matplotlib", "jinja2", "tqdm", "shtab"),
    ),
}


def has_target(command: str) -> bool:
    """Tell whether the Makefile has the target."""
    rules = (REPOSITORY / "Makefile").read_text("utf-8")
    return re.search(rf"^{command.split()[1]}:", rules, re.MULTILINE) is not None


def has_extra(command: str) -> bool:
    """Tell whether the package has the extra."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", "utf-8")
    extra = re.search(r"scoopsci\[(\w+)\]", command)
    return extra is not None and setup.has_option("options.extras_require", extra[1])


#: Commands that are checked, and not run: what they match, how, and why.
NOT_RUN: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    (r"make (pi|test|bench|docs)\b", has_target, "it makes an environment, and takes minutes"),
    (r"pip install '?scoopsci\[", has_extra, "it asks an index"),
)


def find_reason(command: str) -> str | None:
    """Return why a command is not run, once it is known to be right."""
    for pattern, is_right, reason in NOT_RUN:
        if re.match(pattern, command):
            assert is_right(command), f"there is nothing that this could run: {command}"
            return reason
    return None


def drop_unrun(block: Block) -> Block:
    """Take the commands of a block that are not run out of it."""
    if block.kind != "console":
        return block
    lines = block.text.splitlines(keepends=True)
    left = [line for line in lines if not (line[:2] == "$ " and find_reason(line[2:]))]
    return block._replace(text="".join(left))


#: The code of each page that has any.
CODE = {
    page: code
    for page in PAGES
    if (code := [drop_unrun(block) for block in read_blocks(page) if KINDS.get(block.kind)])
}

ON_HOSTS = [page for page, code in CODE.items() if any(NEEDS_HOSTS.search(b.text) for b in code)]


def find_missing(page: str) -> list[str]:
    """Return the packages that a page needs, and that are not there."""
    return [name for name in NEEDS.get(page, ()) if importlib.util.find_spec(name) is None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what pages take for the reader's, and the scripts of a checkout."""
    (tmp_path / "table.npy").touch()
    found = shutil.copytree(SCRATCH, tmp_path / "work")
    (found / "hostfile").write_text(HOSTFILE)
    for name in ("scoopsci", "tests"):
        (found / name).symlink_to(REPOSITORY / name)
    return found


@pytest.fixture
def named_lan(lan: Lan, folder: Path) -> Iterator[Lan]:
    """The isolated hosts under the addresses that pages name; scripts lie there, too."""
    lan.run(["ip", "address", "replace", "192.0.2.254/24", "dev", "lan"], check=True)
    known_hosts = lan.folder / "known_hosts"
    before = known = known_hosts.read_text()
    for name, address in HOSTS.items():
        lan.run(f"ip address replace {address}/24 dev eth0".split(), host=name, check=True)
        known = known.replace(f"{name},", f"{address},{name},")
        there = lan.root(name) / folder.relative_to("/") / "scoopsci"
        there.mkdir(parents=True)
        for script in ("montecarlo.py", "mapreduce.py", "mergesort.py"):
            shutil.copy(REPOSITORY / "scoopsci" / script, there)
    known_hosts.write_text(known)
    yield lan
    known_hosts.write_text(before)
    check_nothing_left(lan, NODES)


def prepare(
    folder: Path, python: str | Path, page: str, blocks: Sequence[Block]
) -> tuple[list[str | Path], dict[str, str]]:
    """Return the command that runs blocks by an interpreter, and its variables."""
    plan = folder / ".plan.json"
    plan.write_text(json.dumps({"page": page, "blocks": blocks, "given": GIVEN.get(page, "")}))
    programs, site = folder / ".bin", folder / ".site"
    programs.mkdir()
    for name, command in {
        "python": f'{python} "$@"',
        "scoopsci": f'{python} -m scoopsci "$@"',
        # What a page installs stays with it, and leaves every environment as it is.
        "pip": f'{python} -m pip "$@" --quiet --no-deps --target {site}',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\nexec {command}\n")
        (programs / name).chmod(0o755)
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(site)}
    return [python, "-P", RUNNER, plan], variables


def run_here(folder: Path, page: str, blocks: Sequence[Block]) -> subprocess.CompletedProcess[str]:
    """Run blocks on this machine."""
    command, variables = prepare(folder, sys.executable, page, blocks)
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def run_in_lan(
    lan: Lan, folder: Path, page: str, blocks: Sequence[Block]
) -> subprocess.CompletedProcess[str]:
    """Run blocks on a machine from which the hosts can be reached."""
    # Under this path Python is on the hosts, too.
    command, variables = prepare(folder, PYTHON, page, blocks)
    variables["PATH"] = f"{lan.ssh.parent}:{variables['PATH']}"
    return lan.run(["env", *PLAIN, *command], cwd=folder, env=variables, timeout=TIMEOUT_S)


@pytest.mark.parametrize("page", PAGES)
def test_fences_are_of_a_known_kind(page: str) -> None:
    for block in read_blocks(page):
        assert block.kind in KINDS or block.kind.startswith("{"), f"{page}:{block.line}"


@pytest.mark.parametrize("page", [page for page in CODE if page not in ON_HOSTS])
def test_blocks_run(page: str, folder: Path) -> None:
    require(find_missing(page))
    done = run_here(folder, page, CODE[page])
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.cluster
@pytest.mark.parametrize("page", ON_HOSTS)
def test_blocks_run_on_hosts(page: str, folder: Path, named_lan: Lan) -> None:
    require(find_missing(page))
    done = run_in_lan(named_lan, folder, page, CODE[page])
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("python", "1 / 0\n"),
        ("pycon", ">>> 1 + 1\n3\n"),
        ("console", "$ false\n"),
        ("console", "$ true\n$ echo one\ntwo\n"),
        ("console", "$ no-such-command\n"),
    ],
)
def test_a_wrong_block_fails(kind: str, text: str, folder: Path) -> None:
    assert run_here(folder, "page.md", [Block(kind, 1, text)]).returncode != 0


def test_blocks_share_names_and_files(folder: Path) -> None:
    blocks = [
        Block("python", 1, "a = 1\n"),
        Block("pycon", 3, ">>> a += 1\n>>> a\n2\n"),
        Block("python", 9, "# written.py\n\nprint('one', 'two')\n"),
        Block("console", 12, "$ python written.py \\\n  # says\none ...\n$ echo three\nthree\n"),
    ]
    done = run_here(folder, "page.md", blocks)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["make tea", "pip install 'scoopsci[tea]'"])
def test_what_is_not_run_must_exist(command: str) -> None:
    if command == "make tea":
        assert find_reason(command) is None
    else:
        with pytest.raises(AssertionError, match="nothing that this could run"):
            find_reason(command)
