"""The live page's server: who may look, what is told, and that nothing is left of it."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, RemoteDisconnected
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import scoopsci
from scoopsci import ExtraMissingError, open_engine
from scoopsci.commands.options import add_run_options, open_where
from scoopsci.dashboard import Dashboard, pulse
from scoopsci.dashboard.feed import MOST_RUNS, Feed
from scoopsci.dashboard.record import MOST_POINTS, MOST_VALUES, History
from scoopsci.dashboard.server import MOST_CONNECTIONS, make_page
from tests.conftest import becomes, wait_for_end
from tests.pages import HOSTILE, StatedEngine, ask, listen, look, make_progress, make_status


@pytest.fixture
def engine() -> StatedEngine:
    return StatedEngine(make_status())


@pytest.fixture
def board(engine: StatedEngine) -> Iterator[Dashboard]:
    with Dashboard(engine) as board:
        yield board


def token_of(board: Dashboard) -> str:
    return parse_qs(urlsplit(board.url).query)["token"][0]


@contextmanager
def follow(board: Dashboard) -> Iterator[HTTPResponse]:
    """Read the news of a page, from an answer that goes on."""
    parts = urlsplit(board.url)
    with closing(HTTPConnection(parts.netloc, timeout=60)) as connection:
        connection.request("GET", f"/events?{parts.query}")
        with closing(connection.getresponse()) as answer:
            assert answer.status == 200
            yield answer


class TestWhoMayLook:
    def test_the_address_is_on_loopback_and_has_a_long_token(self, board: Dashboard) -> None:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", board.url)
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", urlsplit(board.url).port))
        assert ask(board).status == 200

    @pytest.mark.parametrize("path", ["/", "/events", "/favicon.ico", "/page.js", "//", "/%2e%2e"])
    @pytest.mark.parametrize(
        "token", ["", "?", "?token=", "?token={}x", "?token={:.31}", "?Token={}", "#{}", "?t={}"]
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_requests_without_the_token_are_refused(
        self, board: Dashboard, path: str, token: str, method: str
    ) -> None:
        found = ask(board, path, token=token.format(token_of(board)), method=method)
        assert found.status == 403
        assert found.body == (b"" if method == "HEAD" else b"403\n")  # type: ignore[attr-defined]

    def test_malformed_tokens_are_refused(self, board: Dashboard) -> None:
        right = token_of(board)
        for token in ("%00", "%ff", right + "%00", f"{right}&token=", "x" * 9000, right.lower()):
            assert ask(board, token=f"?token={token}").status == 403

    def test_other_host_names_are_refused(self, board: Dashboard) -> None:
        port = urlsplit(board.url).port
        for name in (f"127.0.0.1:{port}", f"localhost:{port}"):
            assert ask(board, headers={"Host": name}).status == 200
        for name in ("", "127.0.0.1", f"127.0.0.1:{port}1", f"evil.example:{port}", f"[::1]:{port}",
                     f"127.0.0.1.evil.example:{port}", f"localhost.:{port}"):  # fmt: skip
            for path in ("/", "/events", "/nothing"):
                assert ask(board, path, headers={"Host": name}).status in (400, 403)

    def test_requests_without_a_host_are_refused(self, board: Dashboard) -> None:
        parts = urlsplit(board.url)
        with socket.create_connection((parts.hostname, parts.port)) as plain:
            plain.sendall(f"GET /?{parts.query} HTTP/1.0\r\n\r\n".encode())
            assert plain.makefile("rb").readline().split()[1] == b"403"

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "ODD"])
    def test_methods_that_write_are_refused(self, board: Dashboard, method: str) -> None:
        for token in (None, ""):
            found = ask(board, method=method, token=token)
            assert found.status == 405
            assert found.body == b"405\n"  # type: ignore[attr-defined]

    def test_two_pages_have_two_tokens(self, engine: StatedEngine, board: Dashboard) -> None:
        with Dashboard(engine) as other:
            assert ask(other).status == ask(board).status == 200
            assert ask(other, token=f"?token={token_of(board)}").status == 403
            assert look(other) == look(board)

    def test_strangers_cannot_exhaust_descriptors_or_connections(self, board: Dashboard) -> None:
        parts = urlsplit(board.url)
        with ExitStack() as stack:
            events = stack.enter_context(follow(board))
            held = [
                stack.enter_context(socket.create_connection((parts.hostname, parts.port)))
                for _ in range(MOST_CONNECTIONS + 20)
            ]
            for early in held[:20]:
                early.settimeout(60)
                assert early.recv(1) == b""
            assert ask(board).status == 200
            assert len(board._server._connections) <= MOST_CONNECTIONS
            assert events.readline() == b"retry: 1000\n"
        assert becomes(lambda: not board._server._connections)

    def test_open_pages_are_not_displaced(self, board: Dashboard) -> None:
        with ExitStack() as stack:
            for _ in range(MOST_CONNECTIONS):
                stack.enter_context(follow(board))
            with pytest.raises((RemoteDisconnected, ConnectionResetError)):
                ask(board)
        assert becomes(lambda: not board._server._connections)
        assert ask(board).status == 200

    def test_nothing_is_logged(self, board: Dashboard, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        ask(board)
        ask(board, token="?token=wrong")
        ask(board, "/nothing")
        look(board)
        assert token_of(board) not in caplog.text


class TestWhatIsSent:
    def test_headers_of_every_answer_isolate_the_page(self, board: Dashboard) -> None:
        answers = [
            ask(board),
            ask(board, method="HEAD"),
            ask(board, "/events", method="HEAD"),
            ask(board, "/nothing"),
            ask(board, token=""),
            ask(board, method="POST"),
        ]
        assert [answer.status for answer in answers] == [200, 200, 200, 404, 403, 405]
        for answer in answers:
            found = answer.headers
            assert found["Referrer-Policy"] == "no-referrer"
            assert found["Cache-Control"] == "no-store"
            assert found["X-Content-Type-Options"] == "nosniff"
            assert found["Content-Security-Policy"].startswith("default-src 'none'; ")
            assert "frame-ancestors 'none'" in found["Content-Security-Policy"]
            assert {"server", "etag"}.isdisjoint(name.lower() for name in found)
        assert answers[-1].headers["Allow"] == "GET, HEAD"
        assert [answer.headers["Content-Type"].partition(";")[0] for answer in answers[:4]] == [
            "text/html", "text/html", "text/event-stream", "text/plain"
        ]  # fmt: skip

    def test_the_policy_allows_the_page_s_own_style_and_script(self, board: Dashboard) -> None:
        found = ask(board)
        page = found.body.decode()  # type: ignore[attr-defined]
        policy = found.headers["Content-Security-Policy"]
        assert "'unsafe" not in policy
        assert {part.split()[0] for part in policy.split("; ")} == {
            "default-src", "script-src", "style-src", "connect-src", "img-src", "base-uri",
            "form-action", "frame-ancestors",
        }  # fmt: skip
        for tag in ("style", "script"):
            (source,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy

    def test_the_page_loads_nothing_from_elsewhere(self) -> None:
        page, _ = make_page()
        assert set(re.findall(r"\w+://[^\s\"'`]+", page)) == {"http://www.w3.org/2000/svg"}
        assert not re.search(r"\s(src|style|on\w+)\s*=\s*[\"']", page)
        assert not re.search(r"@import|url\((?!#)", page)

    def test_the_page_never_inserts_data_as_html(self) -> None:
        page, _ = make_page()
        risky = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|srcdoc"
        assert not re.search(risky, page)


class TestEvents:
    def test_each_event_is_the_whole_state(self, engine: StatedEngine, board: Dashboard) -> None:
        state = look(board)
        assert state["engine"] == "pool"
        assert state["run"] is None
        assert state["trouble"] is None
        assert not state["ended"]
        assert [host["label"] for host in state["hosts"]] == ["node0", "node1", "node2", "node3"]
        assert sum(len(host["workers"]) for host in state["hosts"]) == 100
        assert all(0 < host["n_alive"] < 25 for host in state["hosts"])
        assert state["losses"] == make_status()["losses"]
        assert state["tasks"] == make_status()["tasks"]
        engine.run(workload="pi", started_s=5.0, estimate=3.14159265, half_width=0.000123)
        assert look(board)["run"]["estimate"] == ["3.14159 ± 0.00012"]

    def test_events_come_on_changes_but_not_for_each_change(
        self, engine: StatedEngine, board: Dashboard
    ) -> None:
        with listen(board) as events:
            next(events)
            for n_done in range(1, 1001):
                engine.run(n_done=n_done, n_blocks=1000, started_s=5.0, elapsed_s=1.0 + n_done)
            n_events = 1
            while next(events).get("state", {"run": {"n_done": 0}})["run"]["n_done"] < 1000:
                n_events += 1
            assert n_events <= 3

    def test_events_are_heartbeats_while_nothing_changes(
        self, board: Dashboard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert pulse.PAUSE_S >= 0.5
        assert pulse.BEAT_S <= 10
        monkeypatch.setattr(pulse, "BEAT_S", 0.05)
        monkeypatch.setattr(pulse, "PAUSE_S", 0.01)
        with listen(board) as events:
            assert "state" in next(events)
            assert [set(next(events)) for _ in range(10)] == [{"now_s"}] * 10

    def test_the_engine_is_asked_only_while_a_page_is_open(
        self, engine: StatedEngine, board: Dashboard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pulse, "PAUSE_S", 0.01)
        n_asked, tell = 0, engine.status

        def count() -> Any:
            nonlocal n_asked
            n_asked += 1
            return tell()

        monkeypatch.setattr(engine, "status", count)

        def is_asked_no_more() -> bool:
            n_before = n_asked
            time.sleep(0.2)
            return n_asked == n_before

        look(board)
        assert becomes(lambda: not board._pulse._listeners)
        assert n_asked > 0
        assert becomes(is_asked_no_more)  # a look may still have been under way

    def test_the_last_event_says_that_the_engine_has_ended(self, engine: StatedEngine) -> None:
        board = Dashboard(engine)
        with listen(board) as events:
            next(events)
            threading.Thread(target=board.close).start()
            rest = [told["state"] for told in events if "state" in told]
        assert rest[-1]["ended"]
        assert rest[-1]["hosts"] == look_back(engine)
        assert "closed" in repr(board)

    def test_an_engine_that_does_not_answer_is_reported(
        self, engine: StatedEngine, board: Dashboard
    ) -> None:
        before = look(board)
        engine.told = RuntimeError("the broker has gone")
        after = look(board)
        assert after.pop("trouble") == "the broker has gone"
        assert before.pop("trouble") is None
        assert after == before

    def test_a_failing_state_is_reported(self, engine: StatedEngine, board: Dashboard) -> None:
        engine.told = {"nonsense": 1}
        assert look(board) == {"failure": "KeyError('hosts')"}
        engine.told = make_status(label=HOSTILE)
        assert look(board)["hosts"][0]["label"] == HOSTILE


def look_back(engine: StatedEngine) -> list[dict[str, Any]]:
    return Feed("pool", engine.status, lambda: 2).take()["hosts"]  # type: ignore[no-any-return]


class TestFeed:
    @pytest.fixture
    def feed(self) -> Feed:
        return Feed("processes", lambda: None, lambda: 3)

    def note(self, feed: Feed, **told: Any) -> None:
        feed.note(make_progress(**told))

    def test_the_run_that_started_last_is_shown(self, feed: Feed) -> None:
        for started_s in (1.0, 3.0, 2.0):
            self.note(feed, workload=f"run {started_s}", started_s=started_s)
        assert feed.take()["run"]["workload"] == "run 3.0"
        assert feed.take()["n_other_runs"] == 2
        self.note(feed, workload="run 1.0", started_s=1.0, ended=True)
        assert feed.take()["n_other_runs"] == 1

    def test_old_runs_are_forgotten_but_their_repeated_tasks_counted(self, feed: Feed) -> None:
        for number in range(3 * MOST_RUNS):
            self.note(feed, started_s=float(number + 1), n_lost=1, n_retried=1)
        assert len(feed._runs) == MOST_RUNS
        assert feed.take()["tasks"]["repeated"] == 6 * MOST_RUNS

    def test_a_run_whose_time_goes_back_is_a_new_one(self, feed: Feed) -> None:
        self.note(feed, elapsed_s=5.0, estimate=1.0, half_width=0.5)
        self.note(feed, elapsed_s=6.0, estimate=2.0, half_width=0.4)
        self.note(feed, elapsed_s=0.5, estimate=3.0, half_width=0.5)
        assert feed.take()["run"]["history"] == [(0.5, 3.0, 0.5)]

    def test_without_a_status_this_machine_and_its_processes(self, feed: Feed) -> None:
        here = socket.gethostname()
        workers: list[dict[str, Any]] = [
            {"host": host, "pid": pid, "n_blocks": 3, "elapsed_s": 1.0}
            for host, pid in ((here, os.getpid()), (here, 2**22 + 1), ("elsewhere", 1))
        ]
        loss = {"at_s": 2.0, "host": "elsewhere", "why": "it ended", "n_blocks": 4}
        self.note(feed, started_s=100.0, workers=workers, losses=[loss], n_lost=1)
        found = feed.take()
        first, second = found["hosts"]
        assert (first["label"], second["label"]) == (here, "elsewhere")
        assert 0 < first["available_bytes"] < first["memory_bytes"]
        assert [worker["state"] for worker in first["workers"]] == ["alive", "ended"]
        assert first["workers"][0]["memory_bytes"] > 1 << 20
        assert [worker["state"] for worker in second["workers"]] == ["seen"]
        assert found["losses"] == [
            {"at_s": 102.0, "host": "elsewhere", "pid": None, "why": "it ended"}
        ]
        assert found["tasks"] == {"in_flight": 2, "lost": 1, "repeated": 1}

    def test_estimates_of_every_kind(self, feed: Feed) -> None:
        told: list[tuple[Any, Any, list[str], int]] = [
            (None, None, [], 0),
            (3.14159265, 0.000123, ["3.14159 ± 0.00012"], 1),
            (np.array([1.0, 2.0]), np.array([0.1, 0.2]), ["1.00 ± 0.10", "2.00 ± 0.20"], 2),
            (np.arange(50.0), None, ["0", "1", "2", "3", "4", "5"], 50),
            (np.nan, np.nan, ["nan ± nan"], 1),
            (1.0, np.inf, ["1 ± inf"], 1),
            ("of a user's own kind", object(), [], 0),
        ]
        for number, (estimate, half_width, written, n_values) in enumerate(told):
            self.note(feed, started_s=1.0 + number, estimate=estimate, half_width=half_width)
            run = feed.take()["run"]
            assert (run["estimate"], run["n_values"]) == (written[:MOST_VALUES], n_values)
            assert all(np.isfinite(point[1]) for point in run["history"])


class TestHistory:
    def test_is_thinned_evenly_and_keeps_its_ends(self) -> None:
        history = History()
        for number in range(20 * MOST_POINTS):
            history.add(float(number), number + 0.5, 1.0)
        times = [point[0] for point in history]
        assert len(times) == MOST_POINTS
        assert (times[0], times[-1]) == (0.0, 20 * MOST_POINTS - 1)
        assert times == sorted(times)
        assert np.diff(times).max() <= 3 * 20

    def test_history_has_no_repeated_points(self) -> None:
        history = History()
        for at_s in range(10):
            history.add(float(at_s), 3.0, None)
        assert [*history] == [(0.0, 3.0, None)]


class TestItsLife:
    def test_it_ends_with_its_engine(self) -> None:
        with open_engine("serial") as engine:
            boards = [engine.dashboard(), engine.dashboard()]
            assert [ask(board).status for board in boards] == [200, 200]
        for board in boards:
            with pytest.raises(ConnectionRefusedError):
                ask(board)
            board.close()
        assert engine.watchers == []
        with pytest.raises(RuntimeError, match="shut down"):
            engine.dashboard()

    def test_it_does_not_keep_its_engine_alive(self) -> None:
        engine = StatedEngine()
        board = Dashboard(engine)
        assert look(board)["hosts"][0]["label"] == socket.gethostname()
        del engine
        gc.collect()
        assert becomes(lambda: not board._thread.is_alive())

    def test_it_can_be_closed_at_any_time_and_twice(self, engine: StatedEngine) -> None:
        board = Dashboard(engine)
        with listen(board) as events:
            next(events)
            for _ in range(2):
                board.close()
        assert "live page, closed" in board._repr_html_()

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_a_child_does_not_hold_the_port(self, engine: StatedEngine) -> None:
        board = Dashboard(engine)
        begun, begins = os.pipe()
        pid = os.fork()
        if not pid:
            board.close()
            os.write(begins, b"!")
            time.sleep(600)
            os._exit(0)
        try:
            assert os.read(begun, 1) == b"!", "until then, it holds the port with its parent"
            assert ask(board).status == 200
            board.close()
            with pytest.raises(ConnectionRefusedError):
                ask(board)
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(begun)
            os.close(begins)

    def test_a_port_can_be_chosen_unless_it_is_in_use(self, engine: StatedEngine) -> None:
        with Dashboard(engine) as board:
            port = urlsplit(board.url).port
            assert port is not None
            with pytest.raises(OSError, match=f"port {port} is in use on this machine; choose"):
                Dashboard(engine, port)
            assert ask(board).status == 200
        with Dashboard(engine, port) as again:
            assert urlsplit(again.url).port == port

    @pytest.mark.parametrize(
        ("port", "kind"), [(-1, ValueError), (65536, ValueError), ("1", TypeError)]
    )
    def test_wrong_ports(self, engine: StatedEngine, port: Any, kind: type[Exception]) -> None:
        with pytest.raises(kind, match="port must be"):
            Dashboard(engine, port)
        assert engine.watchers == []

    def test_a_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith("scoopsci.dashboard")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(scoopsci, "dashboard")
        for name in [name for name in sys.modules if name.split(".")[0] == "tornado"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "tornado", None)
        with open_engine("serial") as engine:
            remedy = r"tornado cannot be imported .*pip install 'scoopsci\[dashboard\]'"
            with pytest.raises(ExtraMissingError, match=remedy):
                engine.dashboard()

    def test_a_notebook_shows_a_link(self, board: Dashboard) -> None:
        shown = board._repr_html_()
        assert f'href="{board.url}"' in shown
        assert "noreferrer" in shown
        assert board.url in repr(board)


FORGETFUL = """
import scoopsci
engine = scoopsci.open_engine("serial")
engine.dashboard()
print(list(scoopsci.map(abs, range(2), engine=engine)))
"""


class TestRuns:
    def test_an_engine_without_a_status_shows_its_runs(self) -> None:
        with open_engine("serial") as engine, engine.dashboard() as board:
            found = scoopsci.pi(300_000, seed=1, engine=engine)
            state = look(board)
        assert state["run"]["ended"]
        assert state["run"]["estimate"][0] in str(found)
        assert state["run"]["n_samples"] == found.n_samples
        (host,) = state["hosts"]
        assert [worker["pid"] for worker in host["workers"]] == [os.getpid()]
        assert host["workers"][0]["state"] == "alive"

    @pytest.mark.parametrize("name", ["processes", "foreign"])
    def test_other_engines_show_theirs(self, name: str) -> None:
        with (
            ThreadPoolExecutor(2) as foreign,
            open_engine(foreign if name == "foreign" else name, n_workers=2) as engine,
            engine.dashboard() as board,
        ):
            found = scoopsci.map_reduce(abs, max, range(-50, 50), engine=engine)
            state = look(board)
        assert found == 50
        assert state["trouble"] is None
        assert (state["run"]["ended"], state["run"]["n_done"]) == (True, 100)
        (host,) = state["hosts"]
        assert host["n_wanted"] == 2
        assert 1 <= len(host["workers"]) <= 2
        assert all(worker["state"] == "alive" for worker in host["workers"])

    def test_a_program_that_does_not_close_it_ends(self) -> None:
        command = [sys.executable, "-W", "error", "-c", FORGETFUL]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert (done.stdout, done.stderr) == ("[0, 1]\n", "")

    @pytest.mark.parametrize("sign", [None, signal.SIGINT])
    @pytest.mark.parametrize("engine", ["serial", "pool"])
    def test_a_command_serves_it_while_it_runs(
        self, engine: str, sign: signal.Signals | None
    ) -> None:
        goal = ["--points", "100000"] if sign is None else ["--half-width", "1e-7"]
        command = [sys.executable, "-m", "scoopsci", "pi", *goal, "--engine", engine, "--workers"]
        with subprocess.Popen(
            [*command, "2" if engine == "pool" else "1", "--dashboard", "--seed", "7", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            address = re.fullmatch(r"live page: (http://\S+)\n", process.stderr.readline())
            assert address is not None
            if sign is not None:
                url = urlsplit(address[1])
                with closing(HTTPConnection(url.netloc, timeout=60)) as connection:
                    connection.request("GET", f"/?{url.query}")
                    assert connection.getresponse().status == 200
                process.send_signal(sign)
            out, err = process.communicate(timeout=60)
        if sign is None:
            assert (process.returncode, err) == (0, "")
            assert json.loads(out)["n_points"] == 100_000
        else:
            assert (process.returncode, out, err) == (130, "", "scoopsci pi: interrupted\n")
        wait_for_end(process.pid)

    def test_a_command_opens_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        parser = ArgumentParser()
        add_run_options(parser)
        options = parser.parse_args(["--engine", "serial", "--dashboard", "--mixed"])
        with open_where(options) as where:
            assert set(where) == {"engine", "mixed"}
            scoopsci.pi(10_000, seed=1, **where)
            out, err = capsys.readouterr()
            assert out == ""
            (url,) = re.fullmatch(r"live page: (http://127\.0\.0\.1:\S+)\n", err).groups()  # type: ignore[union-attr]
            assert urlsplit(url).query.startswith("token=")
        with open_where(parser.parse_args(["--engine", "serial"])) as where:
            assert where == {
                "engine": "serial", "n_workers": None, "hostfile": None, "mixed": False
            }  # fmt: skip
        assert capsys.readouterr() == ("", "")
