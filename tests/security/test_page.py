"""Access to the live page of a pool over SSH hosts: only for its user, on its machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import becomes
from tests.lan import PYTHON, Lan
from tests.pools import OpenPool, check_nothing_left
from tests.security.test_pool import ALL, listeners

pytestmark = pytest.mark.cluster

#: Requests pages as the user nobody, under other host names as well.
AS_NOBODY = """
import encodings.idna, http.client, json, os, sys  # while it may still read them
os.setgroups([]); os.setgid(65534); os.setuid(65534)
port, *questions = json.loads(sys.argv[1])
answers = []
for path, host in questions:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    answers.append([response.status, len(response.read(100)) > 4])
print(json.dumps(answers))
"""

#: Reports whether an address accepts connections.
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
    print("connected")
except ConnectionRefusedError:
    print("refused")
"""


@pytest.fixture(autouse=True)
def nothing_left(lan: Lan) -> Iterator[None]:
    yield
    check_nothing_left(lan)


def test_only_the_page_listens_and_only_on_loopback(lan: Lan) -> None:
    before = listeners(lan)
    with OpenPool(lan, ALL) as pool:
        pool.hear()
        port = urlsplit(pool.ask("dashboard")).port
        assert port is not None
        assert listeners(lan) - before == {f"laptop tcp 0100007F:{port:04X}"}
        for machine, address, answer in (
            ("laptop", "127.0.0.1", "connected"),
            ("laptop", "10.77.0.254", "refused"),
            ("node1", "10.77.0.254", "refused"),
        ):
            words: list[str | Path] = [PYTHON, "-c", CONNECT, address, str(port)]
            assert lan.run(words, host=machine, check=True).stdout.strip() == answer
        pool.check_bits()
    assert listeners(lan) == before


def test_another_user_and_another_name_get_nothing(lan: Lan) -> None:
    with OpenPool(lan, ALL) as pool:
        pool.hear()
        parts = urlsplit(pool.ask("dashboard"))
        right, host = f"/?{parts.query}", parts.netloc
        refused = [
            *([path, host] for path in ("/", "/events", "/?token=", f"{right[:-1]}", "/page.css")),
            *([right, name] for name in ("rebound.example", f"rebound.example:{parts.port}")),
            [f"/events?{parts.query}", f"10.77.0.254:{parts.port}"],
        ]
        questions = json.dumps([parts.port, *refused, [right, host]])
        done = lan.run([PYTHON, "-c", AS_NOBODY, questions], check=True)
        *answers, control = json.loads(done.stdout)
        assert answers == [[403, False]] * len(refused)
        assert control == [200, True]
        pool.check_bits()


def find(pool: OpenPool, name: str) -> dict[str, Any]:
    (host,) = [host for host in pool.ask("status")["hosts"] if host["label"] == name]
    return dict(host)


def test_hosts_report_their_state_and_their_losses(lan: Lan) -> None:
    with OpenPool(lan, ALL) as pool:
        names = [host["name"] for host in pool.hear()]
        assert becomes(lambda: all(find(pool, name).get("memory_bytes") for name in names))
        for name in names:
            host = find(pool, name)
            assert host["connected"]
            assert 0 < host["available_bytes"] < host["memory_bytes"]
            (worker,) = host["workers"]
            assert worker["state"] == "idle"
            assert becomes(lambda name=name: find(pool, name)["workers"][0]["memory_bytes"])  # type: ignore[misc]
        lan.run(["kill", "-9", str(find(pool, "node2")["workers"][0]["pid"])], host="node2")
        assert becomes(lambda: pool.ask("status")["losses"])
        (agent,) = [host["agent"] for host in pool.ask("hosts") if host["name"] == "node3"]
        lan.run(["kill", "-9", str(agent)], host="node3")
        assert becomes(lambda: len(pool.ask("status")["losses"]) == 3)
        assert [(loss["host"], loss["why"]) for loss in pool.ask("status")["losses"]] == [
            ("node2", "ended with SIGKILL"),
            ("node3", "the host was lost: its agent ended"),
            ("node3", "was lost with its host"),
        ]
        assert becomes(lambda: all(find(pool, name)["connected"] for name in names))
        pool.check_bits()
