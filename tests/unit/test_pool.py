"""A pool's arguments, and how it deals its workers out."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import scoopsci
from scoopsci import EngineError, HostfileError, Pool
from scoopsci.deployment.install import SEARCH
from scoopsci.engines.pool import _spread
from scoopsci.hosts import parse_hosts
from scoopsci.pool.place import CHOICE, LOADER, Place

HOSTS = parse_hosts("a 4\nb 2\nc")


@pytest.mark.parametrize(
    ("n_workers", "counts"),
    [
        (None, {"a": 4, "b": 2, "c": None}),
        (1, {"a": 1}),
        (3, {"a": 1, "b": 1, "c": 1}),
        (8, {"a": 3, "b": 2, "c": 3}),
        (20, {"a": 4, "b": 2, "c": 14}),
    ],
)
def test_workers_are_distributed_over_hosts(
    n_workers: int | None, counts: dict[str, int | None]
) -> None:
    assert {host.name: host.n_workers for host in _spread(n_workers, HOSTS)} == counts


def test_more_workers_than_the_hostfile_allows() -> None:
    with pytest.raises(ValueError, match=r"must be at most 6, .* got 7; name more hosts"):
        _spread(7, HOSTS[:2])


def test_without_a_hostfile_this_machine() -> None:
    (host,) = _spread(3, None)
    assert (host.name, host.n_workers) == ("localhost", 3)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"n_workers": 0}, ValueError, "n_workers must be at least 1, got 0"),
    ({"n_workers": 5000}, ValueError, "a number of workers must be .* 1 to 4096, got 5000"),
    ({"n_workers": 1.5}, TypeError, "n_workers must be an integer, got 1.5"),
    ({"worker_memory": -1}, ValueError, "worker_memory must be at least 1, got -1"),
    ({"poison_after": 0}, ValueError, "poison_after must be at least 1, got 0"),
    ({"host_timeout": 0}, ValueError, "host_timeout must be a positive number"),
    ({"start_timeout": "1"}, TypeError, "start_timeout must be a real number"),
    ({"hostfile": "missing"}, HostfileError, "missing: cannot be read"),
    ({"initializer": 3}, TypeError, "initializer must be callable, got 3"),
]


@pytest.mark.parametrize(("options", "error", "told"), WRONG)
def test_wrong_arguments_start_nothing(
    options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        Pool(**options)


def test_a_pool_cannot_be_sent() -> None:
    with Pool(1) as pool, pytest.raises(TypeError, match="cannot be sent to a worker"):
        pickle.dumps(pool)


def test_a_hostfile_means_a_pool(tmp_path: Path) -> None:
    (tmp_path / "hostfile").write_text("localhost 2\n")
    found = scoopsci.pi(10_000, seed=7, hostfile=tmp_path / "hostfile")
    assert (found.engine, found.n_workers) == ("pool", 2)
    assert found.value == scoopsci.pi(10_000, seed=7, engine="serial").value


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho no route to anywhere >&2\nexit 255\n")
    ssh.chmod(0o755)
    (tmp_path / "hostfile").write_text("elsewhere 2\n")
    with pytest.raises(EngineError, match=r"host elsewhere cannot be used.*no route") as got:
        Pool(hostfile=tmp_path / "hostfile", ssh=ssh, python="/no/such/python")
    assert f"try by hand: {ssh} elsewhere /no/such/python" in str(got.value)


def test_nothing_on_the_command_line_can_be_an_option_or_a_command() -> None:
    place = Place("user@host", 22, "/a b/$(python)", "ssh", "/tmp/control", 5.0)
    *options, mark, destination, command = place.command(["-c", "$(x)"], {"A": "1"})
    assert (mark, destination) == ("--", "user@host")
    assert command == "exec env A=1 '/a b/$(python)' -c '$(x)'"
    chosen = replace(place, environment="scoopsci/0.1.0-py3.11").command(["-c", "$(x)"], {"A": "1"})
    quoted = f"exec env A=1 sh -c '{CHOICE}' scoopsci/0.1.0-py3.11 '/a b/$(python)' -c '$(x)'"
    assert chosen[:-1] == [*options, mark, destination]
    assert chosen[-1] == quoted
    assert not set(CHOICE + SEARCH + LOADER) & set(
        "'!\\\n"
    )  # which csh and fish read between quotes
    assert "-oBatchMode=yes" in options
    assert not any("StrictHostKeyChecking" in option for option in options)


def test_a_named_interpreter_is_used_instead_of_an_installed_one() -> None:
    here, there = parse_hosts("localhost\nnode1")
    common: dict[str, Any] = {"ssh": "ssh", "patience_s": 5.0}
    name = f"scoopsci/{scoopsci.__version__}-py{sys.version_info.major}.{sys.version_info.minor}"
    assert Place.of(there, python=None, **common).environment == name
    assert Place.of(there, python="/named", **common).environment is None
    assert Place.of(here, python=None, **common).environment is None
