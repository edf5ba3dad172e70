"""The live page in a real browser: what it shows while a worker dies, and that it asks nobody else.

Its pictures are kept where SCOOPSCI_ARTEFACTS says.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cloudpickle
import numpy as np
import pytest

import scoopsci
from scoopsci import Estimate, Pool
from scoopsci.dashboard import Dashboard
from scoopsci.estimation.estimates import format_with_error
from tests.browser import GENEROUS_S, Tab, missing_browser, run_in_browser, take_pictures
from tests.conftest import REPOSITORY, require
from tests.pages import HOSTILE, StatedEngine, make_status

cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.timeout(240)

BLOCK_SIZE, BLOCK_S, N_WORKERS = 1_000, 0.05, 3

#: What the page has said of its connection, from now on.
REMEMBER_STATES = """
window.states = [];
new MutationObserver(() => window.states.push(document.getElementById("state").textContent))
  .observe(document.getElementById("state"), {childList: true, characterData: true, subtree: true});
"""

PIDS = "[...document.querySelectorAll('.worker span:nth-child(2)')].map(x => x.textContent)"


@pytest.fixture(autouse=True)
def browser_is_there() -> None:
    require(missing_browser())


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(N_WORKERS) as pool:
        yield pool


def run_for(seconds: float, pool: Pool, brake: Path) -> Estimate:
    """Run for so long, and far longer while a file is there."""

    def draw_slowly(rng: np.random.Generator, size: int) -> np.ndarray:
        time.sleep(BLOCK_S)
        for _ in range(20):
            if brake.exists():
                time.sleep(BLOCK_S)
        return rng.exponential(size=size)

    n_blocks = round(seconds * N_WORKERS / BLOCK_S)
    return scoopsci.estimate(
        draw_slowly, n_blocks * BLOCK_SIZE, seed=5, block_size=BLOCK_SIZE, engine=pool
    )


def check_no_other_origin(tab: Tab, board: Dashboard) -> None:
    own = urlsplit(board.url)
    for url in tab.requests:
        found = urlsplit(url)
        assert (found.scheme, found.netloc) == (own.scheme, own.netloc) or url == "data:,"
    assert len(tab.requests) >= 2
    assert tab.complaints == []


async def kill_a_worker(tab: Tab, pool: Pool) -> int:
    (host,) = pool.status()["hosts"]
    pid = next(worker["pid"] for worker in host["workers"] if worker["state"] == "running")
    os.kill(pid, signal.SIGKILL)
    await tab.becomes(f"document.querySelector('#losses').innerText.includes('{pid}')")
    assert "SIGKILL" in await tab.text("#losses")
    return int(pid)


async def check_recovery(tab: Tab, dead: int) -> None:
    await tab.becomes(f"!{PIDS}.includes('process {dead}') && {PIDS}.length == {N_WORKERS}")
    await tab.becomes("document.querySelector('#hosts').innerText.includes('3 of 3')")
    await tab.becomes("document.querySelector('#tasks [data-name=repeated]').innerText >= 1")
    assert int(await tab.text("#tasks [data-name=lost]")) >= 1


async def check_reconnection(tab: Tab, board: Dashboard) -> None:
    await tab.find(REMEMBER_STATES)
    done = await tab.text("#tasks [data-name=done]")
    history = await tab.find("state.run.history.length")
    board._loop.call_soon_threadsafe(board._pulse.drop)
    await tab.becomes("window.states.includes('not connected, trying again')")
    await tab.becomes("document.querySelector('#state').innerText == 'running'")
    await tab.becomes(f"document.querySelector('#tasks [data-name=done]').innerText != '{done}'")
    assert await tab.find("state.run.history.length") >= history


@pytest.mark.parametrize("seconds", [15.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_run_in_which_a_worker_dies(
    pool: Pool, pictures: Path, tmp_path: Path, seconds: float
) -> None:
    brake = tmp_path / "brake"
    board = pool.dashboard()
    with ThreadPoolExecutor(1) as aside:

        async def act(tab: Tab) -> None:
            await tab.open(board.url)
            await tab.becomes("document.querySelector('#state').innerText == 'waiting for a run'")
            run: Future[Estimate] = aside.submit(run_for, seconds, pool, brake)
            await tab.becomes("document.querySelector('#state').innerText == 'running'")
            await tab.becomes(f"{PIDS}.length == {N_WORKERS}")
            await tab.becomes("document.querySelector('#value').innerText.includes('±')")
            await tab.becomes("state.run.n_done > state.run.n_blocks / 3", GENEROUS_S + seconds)
            brake.touch()  # two thirds are left for what follows
            dead = await kill_a_worker(tab, pool)
            await check_recovery(tab, dead)
            await take_pictures(tab, pictures, f"run-of-{seconds:.0f}-s")
            await check_reconnection(tab, board)
            brake.unlink()
            await tab.becomes(
                "document.querySelector('#state').innerText.startsWith('run ended')",
                GENEROUS_S + 3 * seconds,
            )
            result = run.result()
            expected = format_with_error(result.value, result.half_width)
            assert await tab.text("#value") == expected
            assert str(result).startswith(expected)
            assert await tab.text("#share") == "100 %"
            check_no_other_origin(tab, board)
            pool.shutdown()
            await tab.becomes("document.querySelector('#state').innerText == 'ended'")
            assert await tab.text("#value") == expected
            assert tab.complaints == []

        run_in_browser(act)


def test_a_hundred_workers_and_names_that_hold_html(pictures: Path) -> None:
    engine = StatedEngine(make_status())
    hostile = make_status(label=HOSTILE + "{}")
    for loss in hostile["losses"]:
        loss["why"] = HOSTILE
    with Dashboard(engine) as board:
        for n in range(1, 400):
            wiggle = 0.05 * np.sin(n) / n
            engine.run(
                n_done=n, n_blocks=600, elapsed_s=float(n), started_s=9.0, workload="percolation",
                estimate=0.5927 + wiggle, half_width=0.05 / n**0.5, n_samples=1000 * n,
                unit="samples", n_lost=30,
            )  # fmt: skip

        async def act(tab: Tab) -> None:
            await tab.open(board.url)
            await tab.becomes("document.querySelectorAll('.worker').length == 100")
            await take_pictures(tab, pictures, "hundred-workers")
            lines = "[...document.querySelectorAll('.worker')].map(x => x.offsetHeight)"
            assert max(await tab.find(lines)) < 100
            engine.told = hostile
            engine.run(n_done=5, elapsed_s=5.0, started_s=10.0, workload=HOSTILE)
            shown = f"document.querySelector('#hosts td').textContent.startsWith({HOSTILE!r})"
            await tab.becomes(shown)
            await tab.becomes(f"document.querySelector('h1').textContent == {HOSTILE!r}")
            assert await tab.find("document.querySelectorAll('main img, main b b').length") == 0
            assert await tab.find("document.title") != "harmed"
            await take_pictures(tab, pictures, "hostile-names")
            check_no_other_origin(tab, board)

        run_in_browser(act)


def test_without_the_token_there_is_nothing_to_see(pictures: Path) -> None:
    engine = StatedEngine(make_status())
    with Dashboard(engine) as board:

        async def act(tab: Tab) -> None:
            await tab.open(board.url.partition("?")[0])
            await tab.becomes("document.body && document.body.innerText.trim() == '403'")

        run_in_browser(act)


#: A program with a page, which tells its address.
PROGRAM = """
import time
from scoopsci.dashboard import Dashboard
from tests.pages import StatedEngine, make_status
engine = StatedEngine(make_status())
print(Dashboard(engine).url, flush=True)
time.sleep(600)
"""


def test_a_killed_program_is_reported() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        url = program.stdout.readline().strip()

        async def act(tab: Tab) -> None:
            await tab.open(url)
            await tab.becomes("document.querySelectorAll('.worker').length == 100")
            program.kill()
            told = "document.querySelector('#state').innerText == 'not connected, trying again'"
            await tab.becomes(told)
            assert await tab.find("document.querySelectorAll('.worker').length") == 100

        try:
            run_in_browser(act)
        finally:
            program.kill()


@pytest.mark.slow
def test_a_pool_of_a_hundred_workers(pictures: Path, tmp_path: Path) -> None:
    with Pool(100, start_timeout=120.0) as pool:
        board = pool.dashboard()

        def visit(item: int) -> int:
            while not (tmp_path / "go").exists():
                time.sleep(0.2)
            return item

        def walk() -> Any:
            return sum(scoopsci.map(visit, range(10_000), engine=pool))

        with ThreadPoolExecutor(1) as aside:

            async def act(tab: Tab) -> None:
                await tab.open(board.url)
                await tab.becomes(f"{PIDS}.length == 100")
                run = aside.submit(walk)
                await tab.becomes("document.querySelector('#state').innerText == 'running'")
                await tab.becomes("document.querySelectorAll('[data-state=running]').length > 80")
                await take_pictures(tab, pictures, "pool-of-a-hundred")
                (tmp_path / "go").touch()
                await tab.becomes(
                    "document.querySelector('#state').innerText.startsWith('run ended')", 120.0
                )
                assert run.result() == sum(range(10_000))
                check_no_other_origin(tab, board)

            run_in_browser(act)
