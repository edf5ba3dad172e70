"""The contract of engines: a task has the program's settings, and what it prints comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoopsci import Engine
from scoopsci.testing.opening import EngineUnderTest
from scoopsci.testing.surroundings import (
    change_all,
    changed,
    fork_and,
    inherited,
    look_around,
    open_in_child,
    print_bars,
    settings,
    speak,
    talk_in_thread,
    write_bytes,
)

__all__ = ["SettingsContract", "SurroundingsContract"]


class SettingsContract(EngineUnderTest):
    """What holds for every engine."""

    def test_settings_travel_with_the_task(self, engine: Engine) -> None:
        before = settings()
        with changed():
            assert engine.submit(settings).result(self.patience_s) == settings() != before
        assert engine.submit(settings).result(self.patience_s) == before

    def test_bytes_for_a_text_stream_are_the_task_s_error(self, engine: Engine) -> None:
        with pytest.raises(TypeError, match="must be str, not bytes"):
            engine.submit(write_bytes).result(self.patience_s)

    def test_a_bar_is_one_line(self, engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
        engine.submit(print_bars).result(self.patience_s)
        lines = [line.partition("] ")[2] for line in capfd.readouterr().err.splitlines()]
        assert lines == ["before", f"100% {'#' * 100}", "after"]

    def test_what_a_forked_child_prints_is_the_task_s(
        self, engine: Engine, capfd: pytest.CaptureFixture[str]
    ) -> None:
        future = engine.submit(fork_and, print, "printed by a child")
        assert future.result(self.patience_s) == 0
        label = f"[{future.report['host']} {future.report['pid']}]"
        assert capfd.readouterr() == ("", f"{label} printed by a child\n")


class SurroundingsContract(EngineUnderTest):
    """What holds for engines whose workers are processes."""

    def test_what_threads_and_children_say_is_the_task_s(
        self,
        engine: Engine,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        futures = engine.submit(talk_in_thread), engine.submit(fork_and, speak, "a child")
        for future, who in zip(futures, ("a thread", "a child"), strict=True):
            future.result(self.patience_s)
            label = f"[{future.report['host']} {future.report['pid']}]"
            assert f"{label} logged by {who}" in caplog.messages
        out, err = capfd.readouterr()
        assert out == ""
        for words in ("printed by", "complained by"):
            for who in ("a thread", "a child"):
                assert sum(f"] {words} {who}" in line for line in err.splitlines()) == 1

    @pytest.mark.parametrize("in_fork", [False, True])
    def test_in_a_thread_of_a_task_an_engine_is_serial(
        self, engine: Engine, in_fork: bool, tmp_path: Path
    ) -> None:
        call = (fork_and, open_in_child) if in_fork else (open_in_child,)
        engine.submit(*call, tmp_path / "name").result(self.patience_s)
        assert (tmp_path / "name").read_text() == "serial"

    def test_what_a_task_changes_does_not_reach_the_next(self, engine: Engine) -> None:
        n_tasks = 4 * engine.n_workers
        before = [engine.submit(look_around).result(self.patience_s) for _ in range(n_tasks)]
        for future in [engine.submit(change_all) for _ in range(n_tasks)]:
            found = future.result(self.patience_s)
            assert all(found[name] != before[0][name] for name in found)
        for future in [engine.submit(look_around) for _ in range(n_tasks)]:
            assert future.result(self.patience_s) == before[0]

    def test_programs_of_a_task_inherit_what_those_of_the_driver_do(self, engine: Engine) -> None:
        assert engine.submit(inherited).result(self.patience_s) == inherited()
