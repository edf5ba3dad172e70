"""The hostfile: what is read, what is refused, and what plain SCOOP makes of what we write."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scoopsci.errors import HostfileError
from scoopsci.hosts import Host, parse_hosts, read_hostfile, to_plain_scoop

ReadByScoop = Callable[[str], list[tuple[str, int]]]

UNRESOLVED = "no-such-host.invalid"
WELL_FORMED = {
    "node1": Host("node1"),
    "node1 4": Host("node1", n_workers=4),
    "node1 slots=4": Host("node1", n_workers=4),
    "\t node1 \t 004 \t": Host("node1", n_workers=4),
    "node1 4096": Host("node1", n_workers=4096),
    "user@node1": Host("node1", user="user"),
    "node1:2222": Host("node1", port=2222),
    "user@node1:65535 slots=2": Host("node1", user="user", port=65_535, n_workers=2),
    "192.0.2.1 2": Host("192.0.2.1", n_workers=2),
    "::1": Host("::1"),
    "[::1]": Host("::1"),
    "::1:2222": Host("::1:2222"),
    "[::1]:2222": Host("::1", port=2222),
    "fe80::1%eth0 3": Host("fe80::1%eth0", n_workers=3),
    "user@[fe80::1%eth0]:2222": Host("fe80::1%eth0", user="user", port=2222),
    "my_alias.with-all+signs": Host("my_alias.with-all+signs"),
    "büro": Host("büro"),
    "node1 4# a comment": Host("node1", n_workers=4),
    "node1 # 4": Host("node1"),
}
MALFORMED = {
    "node1 0": "from 1 to 4096, got '0'",
    "node1 -1": "got '-1'",
    "node1 2.5": "got '2.5'",
    "node1 1_000": "got '1_000'",
    "node1 ４": "got '４'",
    "node1 4097": "got '4097'",
    "node1 " + "9" * 5000: "from 1 to 4096, got '999",
    "node1 four": "got 'four'",
    "node1 slots=": "got ''",
    "node1 slots = 4": "got 'slots'; write it as in 'node1 slots=4'",
    "node1 cpus=4": "got 'cpus=4'; write it as in 'node1 slots=4'",
    "node1 4 4": "one count, got [4, 4]",
    "node1 4 slots=5": "one count, got [4, 5]",
    "node1\N{NO-BREAK SPACE}4": r"got 'node1\xa04'",
    "node1:0": "a port must be a whole number from 1 to 65535, got '0'",
    "node1:65536": "got '65536'",
    "node1:": "got ''",
    "node1:ssh": "got 'ssh'",
    "[::1]:ssh": "got 'ssh'",
    "node1:22:22": "got 'node1:22:22'",
    "[::1": "got '[::1'",
    "[::1]x:22": "got ",
    "fe80::1%": "got 'fe80::1%'",
    "fe80::1%-x": "got 'fe80::1%-x'",
    "fe80::1%a%b": "got 'fe80::1%a%b'",
    "fe80::[1-2]": "got 'fe80::[1-2]'",
    "slots=4": "a host must be",
    "@node1": "a user must be",
    "user@": "a host must be",
    "-user@node1": "a user must be",
    "::1@node1": "a user must be",
    "us;er@node1": "a user must be",
    "user@realm@node1": "a user must be",
    "user@-node1": "a host must be",
    "-oProxyCommand=touch": "got '-oProxyCommand=touch'",
    ".node1": "a host must be",
    "n" * 254: "at most 253 letters",
    "no\x00de": r"got 'no\x00de'",
    "no\x0bde": r"got 'no\x0bde'",
    "no\rde": r"got 'no\rde'",
    "no\x1b[2Jde": "got ",
    "no\N{ZERO WIDTH SPACE}de": r"got 'no\u200bde'",
    "node[1-3": "brackets must come in pairs",
    "node1-3]": "brackets must come in pairs",
    "node[]": "brackets must come in pairs, with numbers inside",
    "node[a-c]": "brackets must come in pairs, with numbers inside",
    "node[1,,2]": "brackets must come in pairs, with numbers inside",
    "node[[1-2]]": "brackets must come in pairs",
    "node[1-2-3]": "brackets must come in pairs",
    "node[1, 2]": "without spaces",
    "node[" + "9" * 5000 + "]": "brackets",
    "node[3-1]": "a range must ascend, padded alike, got '3-1'",
    "node[1-04]": "a range must ascend, padded alike, got '1-04'",
    "node[001-04]": "a range must ascend, padded alike, got '001-04'",
    "node[1-10001]": "at most 10000 hosts",
    "node[0-999999999999999999]": "at most 10000 hosts",
    "node[1-101][1-100]": "at most 10000 hosts",
    "node" + "[1-9999]" * 50: "at most 10000 hosts",
    "node[1-3,2]": "'node2' is on line 3 already",
    "[1-2]@node1": "a user must be",
    "node1:[22-23]": "a port must be",
}


@pytest.mark.parametrize("line", WELL_FORMED)
def test_line_means_host(line: str) -> None:
    assert parse_hosts(line) == [WELL_FORMED[line]]


@pytest.mark.parametrize("host", WELL_FORMED.values(), ids=str)
def test_str_is_line_of_hostfile(host: Host) -> None:
    assert parse_hosts(str(host)) == [host]


def test_file_with_everything() -> None:
    text = "\ufeff# A comment\r\n\r\n  \t\r\nnode1 4\r\n\t# another\r\nuser@node2:2222 # trailing"
    assert parse_hosts(text) == [Host("node1", n_workers=4), Host("node2", "user", 2222)]


@pytest.mark.parametrize(
    ("name", "expanded"),
    [
        ("node[01-04,7]", ["node01", "node02", "node03", "node04", "node7"]),
        ("node[8-11]", ["node8", "node9", "node10", "node11"]),
        ("node[098-101]x", ["node098x", "node099x", "node100x", "node101x"]),
        ("node[99-101]", ["node99", "node100", "node101"]),
        ("[1-2][0,5]", ["10", "15", "20", "25"]),
        ("192.0.2.[9-10]", ["192.0.2.9", "192.0.2.10"]),
        ("a[0]", ["a0"]),
    ],
)
def test_range_expands(name: str, expanded: list[str]) -> None:
    assert [host.name for host in parse_hosts(name)] == expanded


def test_range_takes_user_port_and_count() -> None:
    expected = [Host(f"node0{i}", "user", 2222, 3) for i in (1, 2)]
    assert parse_hosts("user@node[01-02]:2222 slots=3") == expected


def test_largest_range_is_allowed() -> None:
    assert len(parse_hosts("rack[1-100]-[1-100]")) == 100 * 100


@pytest.mark.parametrize("line", MALFORMED, ids=lambda line: ascii(line[:30]))
def test_malformed_line_is_refused_by_number(line: str) -> None:
    with pytest.raises(HostfileError) as caught:
        parse_hosts(f"# first\ngood 2\n{line}\nlast", path="my-hosts")
    message = str(caught.value)
    assert message.startswith("my-hosts, line 3: ")
    assert MALFORMED[line] in message
    assert message.isprintable()
    assert len(message) < 300
    assert (caught.value.path, caught.value.line_number) == ("my-hosts", 3)


@pytest.mark.parametrize("sign", " \t\v\f\0\x1b\x7f\u2028!\"$%&'()*,/;<=>?[\\]^`{|}~")
def test_names_contain_no_character_special_to_shells(sign: str) -> None:
    for name in (f"no{sign}de", f"{sign}node", f"node{sign}", f"fe80::1%{sign}"):
        with pytest.raises(ValueError, match="a host must be"):
            Host(name)
        with pytest.raises(ValueError, match="a user must be"):
            Host("node1", user=name)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, 10**6])
def test_wrong_numbers_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="a port must be a whole number from 1 to 65535, got"):
        Host("node1", port=value)
    with pytest.raises(ValueError, match="a number of workers must be a whole number from 1 to"):
        Host("node1", n_workers=value)


@pytest.mark.parametrize("text", ["", "\n\n", "# none\n", "\ufeff", " \t\r\n"])
def test_no_host_at_all_is_refused(text: str) -> None:
    with pytest.raises(HostfileError, match="names no host; write one per line") as caught:
        parse_hosts(text)
    assert caught.value.line_number is None


@pytest.mark.parametrize("again", ["node1", "node1 slots=3"])
def test_same_host_twice_names_both_lines(again: str) -> None:
    with pytest.raises(HostfileError, match=r"line 3: 'node1.*' is on line 1 already"):
        parse_hosts(f"node1 2\nnode2\n{again}")


def test_other_user_or_port_is_another_host() -> None:
    lines = ["node1", "user@node1", "node1:2222", "user@node1:2222"]
    assert [str(host) for host in parse_hosts("\n".join(lines))] == lines


def test_ssh_destination_leaves_the_port_out() -> None:
    assert Host("node1", port=2222).ssh_destination == "node1"
    assert Host("fe80::1%eth0", user="user", port=2222).ssh_destination == "user@fe80::1%eth0"


def test_host_is_frozen_and_survives_pickling() -> None:
    host = Host("node1", "user", 2222, 4)
    assert pickle.loads(pickle.dumps(host)) == host
    with pytest.raises(AttributeError):
        host.name = "-node1"  # type: ignore[misc]


def test_reads_file(tmp_path: Path) -> None:
    path = tmp_path / "hostfile"
    path.write_bytes("\ufeffnode1 4\r\nbüro\r\n".encode())
    assert read_hostfile(path) == read_hostfile(str(path))
    assert read_hostfile(path) == [Host("node1", n_workers=4), Host("büro")]


def test_fault_in_file_names_it(tmp_path: Path) -> None:
    path = tmp_path / "hostfile"
    path.write_text("node1\nnode2 many\n")
    with pytest.raises(HostfileError, match=f"^{path}, line 2: ") as caught:
        read_hostfile(path)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("content", [None, b"\xffnode1", "node1 4".encode("utf-16")])
def test_unreadable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "hostfile"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HostfileError, match=r"hostfile: cannot be read .* text file in UTF-8"):
        read_hostfile(path)


@pytest.mark.parametrize("name", [".", "no\0file"])
def test_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(HostfileError, match="cannot be read"):
        read_hostfile(f"{tmp_path}/{name}")


@pytest.fixture
def read_by_scoop(tmp_path: Path) -> ReadByScoop:
    """SCOOP's own parser."""
    with warnings.catch_warnings():
        # Its sources hold invalid escape sequences, noticed whenever they are compiled anew.
        warnings.simplefilter("ignore")
        from scoop.utils import getHostsFromFile

    def read(text: str) -> list[tuple[str, int]]:
        path = tmp_path / "for-scoop"
        path.write_text(text)
        hosts: list[tuple[str, int]] = getHostsFromFile(str(path))
        return hosts

    return read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1 2", [("127.0.0.1", 2)]),
        ("localhost slots=2", [("127.0.0.1", 2)]),
        ("127.0.0.1", [("127.0.0.1", 0)]),
        ("# 3 hosts\r\n192.0.2.1 4 # 5\r\n\r\n", [("192.0.2.1", 4)]),
        ("192.0.2.1 4\nuser@localhost 10", [("192.0.2.1", 4), ("user@127.0.0.1", 10)]),
        ("192.0.2.[1-2] slots=3", [("192.0.2.1", 3), ("192.0.2.2", 3)]),
        ("192.0.2.1\nuser@192.0.2.1", [("192.0.2.1", 0), ("user@192.0.2.1", 0)]),
    ],
)
def test_plain_scoop_reads_the_same(
    read_by_scoop: ReadByScoop, text: str, expected: list[tuple[str, int]]
) -> None:
    written = to_plain_scoop(parse_hosts(text))
    assert "#" not in written
    assert read_by_scoop(written) == expected


def test_plain_scoop_reads_the_same_in_another_thread(read_by_scoop: ReadByScoop) -> None:
    with ThreadPoolExecutor(1) as executor:
        written = executor.submit(to_plain_scoop, [Host("localhost", n_workers=2)]).result()
        assert executor.submit(read_by_scoop, written).result() == [("127.0.0.1", 2)]


def test_why_plain_scoop_needs_a_writer(read_by_scoop: ReadByScoop) -> None:
    """It takes comments for hosts, and anything up to a blank for a name."""
    assert read_by_scoop("# 2 hosts\n::1:2222\n") == [("#", 2), ("::1:2222", 0)]


@pytest.mark.parametrize(
    ("hosts", "complaint"),
    [
        ([Host("127.0.0.1", port=2222)], "127.0.0.1:2222: SCOOP takes no port; set 'Port 2222'"),
        ([Host("::1")], "::1: this names no IPv4 address (IPv6"),
        ([Host("fe80::1%lo")], "fe80::1%lo: this names no IPv4 address"),
        ([Host("127.0.0.1", user="user")], "user@127.0.0.1: SCOOP needs a bare address first"),
        ([Host(UNRESOLVED)], f"{UNRESOLVED}: this names no IPv4 address"),
        ([Host("127.0.0.1"), Host(UNRESOLVED)], f"{UNRESOLVED}: this names no IPv4 address"),
        ([Host("büro")], "büro: this names no IPv4 address"),
        # Python's own look-up would take these letters for the usual ones.
        ([Host("ｌｏｃａｌｈｏｓｔ")], "ｌｏｃａｌｈｏｓｔ: this names no IPv4 address"),
        ([Host("a..b")], "a..b: this names no IPv4 address"),
        ([Host("a" * 64)], f"{'a' * 64}: this names no IPv4 address"),
        ([Host("127.0.0.1"), Host("127.0.0.2", n_workers=1)], "127.0.0.1: SCOOP may drop a host"),
        ([Host("127.0.0.1", n_workers=1), Host("127.0.0.2")], "127.0.0.2: SCOOP may drop a host"),
    ],
)
def test_what_plain_scoop_cannot_express(hosts: list[Host], complaint: str) -> None:
    with pytest.raises(ValueError, match="plain SCOOP cannot use these hosts") as caught:
        to_plain_scoop(hosts)
    assert complaint in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_every_obstacle_is_named_with_a_remedy() -> None:
    hosts = [
        Host("::1", user="user", port=2222),
        Host("127.0.0.1", n_workers=2),
        Host(UNRESOLVED, n_workers=2),
        Host("localhost"),
    ]
    with pytest.raises(ValueError, match="plain SCOOP") as caught:
        to_plain_scoop(hosts)
    complaints = str(caught.value).splitlines()[1:]
    assert all("; " in complaint for complaint in complaints)
    named = [complaint.strip().partition(": ")[0] for complaint in complaints]
    assert named == ["user@[::1]:2222"] * 4 + [f"{UNRESOLVED} 2", "localhost"]


def test_plain_scoop_needs_a_host() -> None:
    with pytest.raises(ValueError, match="at least one host"):
        to_plain_scoop([])
