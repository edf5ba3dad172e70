"""What people see in a terminal: a real one, by tmux, of several widths."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import REPOSITORY, becomes, require
from tests.sizes import points_taking

#: On two workers, which take half as long as one core does for the points.
LONG = "pi --points {points} --block-size 33554432 --engine processes --workers 2 --seed 1"
ENDLESS = LONG.format(points=10**15)
SHORT = "pi --points 3000000 --seed 1 --engine serial"

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:[349][0-7]|10[0-7]|[34]8)[;m]")


class Terminal:
    """A shell in a terminal of tmux's."""

    def __init__(self, socket: Path, folder: Path, columns: int) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", os.devnull]
        python = f"PYTHONPATH={shlex.quote(str(REPOSITORY))} {shlex.quote(sys.executable)}"
        (folder / "rc").write_text(
            "unset COLUMNS LINES\n"  # pytest's own, which would hold
            f"PS1='ended $? at \\#: '\nscoopsci() {{ {python} -m scoopsci \"$@\"; }}\n"
        )
        size = ["-x", str(columns), "-y", "30"]
        self._run("new-session", "-d", *size, "-c", str(folder), "bash --rcfile rc --noprofile")
        self._n_ended = 1
        self.wait(0)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            [*self._tmux, *command], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout

    def type(self, line: str) -> None:
        self._run("send-keys", "-l", line)
        self._run("send-keys", "Enter")

    def wait(self, status: int) -> str:
        """Wait for the end of a line that was typed, and return the screen."""
        prompt = f"ended {status} at {self._n_ended}:"
        assert becomes(lambda: self.screen().endswith(prompt)), (prompt, self.screen())
        self._n_ended += 1
        return self.screen()

    def press(self, key: str) -> None:
        self._run("send-keys", key)

    def terminate(self) -> None:
        shell = psutil.Process(int(self._run("display", "-p", "#{pane_pid}")))
        (child,) = shell.children()
        child.terminate()

    def resize(self, columns: int) -> None:
        self._run("resize-window", "-x", str(columns))

    def screen(self, *, coloured: bool = False) -> str:
        return self._run("capture-pane", "-p", *(["-e"] if coloured else [])).rstrip()

    def shows_cursor(self) -> bool:
        return self._run("display", "-p", "#{cursor_flag}").strip() == "1"

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False, timeout=30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(params=[80, pytest.param(200, marks=pytest.mark.slow)])
def terminal(request: pytest.FixtureRequest, folder: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        require(["tmux"])
    terminal = Terminal(folder / "socket", folder, request.param)
    yield terminal
    terminal.close()


def bars(screen: str) -> list[str]:
    return [line for line in screen.splitlines() if line.startswith(("━", "─"))]


def test_bar_then_result(terminal: Terminal) -> None:
    terminal.type(f"scoopsci {LONG.format(points=points_taking(5.0))}")
    assert becomes(lambda: any("±" in bar for bar in bars(terminal.screen())))
    (bar,) = bars(terminal.screen())
    told = r"[━─]+  \d+ %  3\.14\d* ± [\d.e-]+  [\d:.]+ (s|min|h|days) left  2 workers"
    assert re.match(told, bar)
    screen = terminal.wait(0)
    assert bars(screen) == [], "nothing of it is left"
    assert "π ≈ 3.14" in screen
    assert terminal.shows_cursor()


def test_narrow_window_and_ctrl_c(terminal: Terminal) -> None:
    terminal.type(f"scoopsci {ENDLESS}")
    assert becomes(lambda: len(bars(terminal.screen())) == 1)
    for columns, has_room in ((40, False), (20, False), (120, True)):
        terminal.resize(columns)

        def fits(columns: int = columns, has_room: bool = has_room) -> bool:
            last = bars(terminal.screen())[-1:]
            if len(last) != 1 or len(last[0]) >= columns or "%" not in last[0]:
                return False
            return ("workers" in last[0]) == has_room

        assert becomes(fits), terminal.screen()
    terminal.press("C-c")
    screen = terminal.wait(130)
    assert "scoopsci pi: interrupted" in screen
    assert "Traceback" not in screen
    assert terminal.shows_cursor()


def test_an_end_by_a_signal_shows_the_cursor_again(terminal: Terminal) -> None:
    terminal.type(f"scoopsci {ENDLESS}")
    assert becomes(lambda: len(bars(terminal.screen())) == 1 and not terminal.shows_cursor())
    terminal.terminate()
    assert "scoopsci pi: ended by SIGTERM" in terminal.wait(143)
    assert terminal.shows_cursor()


def test_no_color(terminal: Terminal) -> None:
    command = LONG.format(points=points_taking(60.0))  # some of the bar is soon drawn
    for setting, coloured in (("", True), ("NO_COLOR=1 ", False)):
        terminal.type("clear")
        assert not bars(terminal.wait(0)), "the bar of the run before is gone"
        terminal.type(f"{setting}scoopsci {command}")
        assert becomes(lambda: any("━" in bar for bar in bars(terminal.screen())))
        drawn = [line for line in terminal.screen(coloured=True).splitlines() if "%" in line]
        assert any(map(COLOUR.search, drawn)) == coloured
        terminal.press("C-c")
        terminal.wait(130)


def test_table_of_hosts(terminal: Terminal, folder: Path) -> None:
    (folder / "hostfile").write_text("localhost 1\nnonesuch.invalid 2\n")
    terminal.type("scoopsci hosts")
    words = " ".join(terminal.wait(1).split())
    assert "localhost 1" in words
    assert "not ready" in words
    assert "→" in words


@pytest.mark.parametrize("command", [SHORT, "hosts", "mapreduce --tasks 20", "sort --items 2000"])
def test_pipe_gets_no_control_codes(terminal: Terminal, folder: Path, command: str) -> None:
    """Also where stderr is a terminal, which has a bar, and where both lead into the pipe."""
    (folder / "hostfile").write_text("localhost 1\n")
    terminal.type(f"scoopsci {command} | cat >out; scoopsci {command} 2>&1 | cat >both")
    terminal.wait(0)
    for name in ("out", "both"):
        text = (folder / name).read_text("utf-8")
        assert text.strip()
        assert [character for character in text if ord(character) < 32 and character != "\n"] == []
    assert terminal.shows_cursor()


def test_dumb_terminal_gets_no_bar(terminal: Terminal) -> None:
    terminal.type(f"TERM=dumb scoopsci {SHORT}")
    screen = terminal.wait(0)
    assert bars(screen) == []
    assert "π ≈" in screen
