"""Help and completion: every command shows an example of its use."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

import pytest

from scoopsci.cli import _make_parser, main
from tests.conftest import require


def find_parsers() -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    unread = [("scoopsci", _make_parser())]
    while unread:
        name, parser = unread.pop()
        found[name] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                unread += [(f"{name} {word}", child) for word, child in action.choices.items()]
    return found


PARSERS = find_parsers()


@pytest.mark.parametrize("name", PARSERS)
def test_help_shows_an_example(name: str) -> None:
    assert (PARSERS[name].epilog or "").startswith("example")
    actions = PARSERS[name]._actions
    assert all(a.help for a in actions if not isinstance(a, argparse._SubParsersAction))


@pytest.mark.parametrize("name", PARSERS)
def test_examples_parse(name: str) -> None:
    """Every example parses; the files it names need not exist."""
    lines = [line for line in (PARSERS[name].epilog or "").splitlines() if "scoopsci" in line]
    assert lines
    for line in lines:
        words = line.partition("example: ")[2].split() or line.split()
        at = next(i for i, word in enumerate(words) if "scoopsci" in word)
        arguments = ["math:sin" if ":" in word else word for word in words[at + 1 :]]
        if words[at].endswith(".py"):  # under python -m scoop
            script = {"mapreduce": "mapreduce", "mergesort": "sort", "montecarlo": "pi"}
            arguments = [script[words[at].split("/")[-1].removesuffix(".py")], *arguments]
        assert _make_parser().parse_args(arguments).run


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
    def test_knows_every_command(self, shell: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--print-completion", shell]) == 0
        script = capsys.readouterr().out
        commands = [name.split()[-1] for name in PARSERS if " " in name]
        commands.remove("simulate")  # for developers, and hidden
        assert [word for word in commands if word not in script] == []

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["scoopsci", "le"], {"ledger"}),
            (["scoopsci", "pi", "--half"], {"--half-width"}),
            (["scoopsci", "ledger", "v"], {"verify"}),
            (["scoopsci", "pi", "--hostfile", "se"], {"setup.cfg"}),
        ],
    )
    def test_bash_completes(self, words: list[str], expected: set[str]) -> None:
        if shutil.which("bash") is None:
            require(["bash"])
        program = (
            f"source <({sys.executable} -m scoopsci --print-completion bash); "
            f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
            "_shtab_scoopsci; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", program], capture_output=True, text=True, check=True
        )
        assert set(done.stdout.split()) == expected

    def test_an_unknown_shell(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--print-completion", "cmd.exe"]) == 2
        assert "invalid choice: 'cmd.exe'" in capsys.readouterr().err

    def test_a_package_that_is_missing(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "shtab", None)
        assert main(["--print-completion", "bash"]) == 2
        assert "pip install 'scoopsci[completion]'" in capsys.readouterr().err
