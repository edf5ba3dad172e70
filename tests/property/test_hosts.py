"""The hostfile, for arbitrary hosts and arbitrary text."""

from __future__ import annotations

import itertools
import string
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given
from hypothesis import strategies as st

from scoopsci.errors import HostfileError
from scoopsci.hosts import Host, parse_hosts, to_plain_scoop

WORD = string.ascii_letters + string.digits + "_"

names = st.builds("{}{}".format, st.sampled_from(WORD), st.text(alphabet=WORD + ".+-", max_size=30))
scoped = st.builds("fe80::{:x}%{}".format, st.integers(0, 0xFFFF), names)
addresses = st.ip_addresses().map(str)
hosts = st.builds(
    Host,
    name=names | addresses | scoped,
    user=st.none() | names,
    port=st.none() | st.integers(1, 65_535),
    n_workers=st.none() | st.integers(1, 4096),
)
# Text that resembles a hostfile finds more errors than random text.
tokens = "node1 [1-3] [ ] 01 - , @ : ::1 % = slots= # 4 9999999999 \ufeff \0 ٣ $(x)"
pieces = st.sampled_from([*tokens.split(" "), " ", "\t", "\n", "\r\n", "\N{NO-BREAK SPACE}"])
almost_hostfiles = st.lists(pieces, max_size=20).map("".join)


@given(hosts)
def test_host_survives_its_line(host: Host) -> None:
    assert parse_hosts(str(host)) == [host]


@given(st.lists(hosts, min_size=1, unique_by=lambda host: (host.name, host.user, host.port)))
def test_hosts_survive_their_file(several: list[Host]) -> None:
    text = "# hosts\r\n" + "\r\n".join(f"  {host} # a comment" for host in several)
    assert parse_hosts(text) == several


@given(st.text() | almost_hostfiles)
@example("\udcff")
@example("[::1]:")
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_hosts(text, path="hostfile")
    except HostfileError as error:
        refusal = str(error)
    else:
        refusal = "hostfile"
        assert found
        assert parse_hosts("\n".join(map(str, found))) == found
        for host in found:
            assert not host.ssh_destination.startswith("-")
            assert not set(host.ssh_destination) & set(" \t\r\n\0!\"#$&'()*;<=>?[\\]^`{|}~")
    assert refusal.startswith("hostfile")
    assert len(refusal.splitlines()) == 1


@given(st.text(), st.text() | st.none())
def test_any_host_is_made_or_refused(name: str, user: str | None) -> None:
    try:
        host = Host(name, user)
    except ValueError:
        return
    assert parse_hosts(str(host)) == [host]


@st.composite
def ranges(draw: st.DrawFn) -> tuple[str, list[str]]:
    """One bracket and its naive expansion."""
    written, expanded = [], []
    for _ in range(draw(st.integers(1, 3))):
        low = draw(st.integers(0, 1100))
        high = low + draw(st.integers(0, 20))
        width = draw(st.integers(1, 4))
        ends = f"{low:0{width}d}", f"{high:0{width}d}"
        written.append("-".join(ends) if high > low or draw(st.booleans()) else ends[0])
        for number in range(low, high + 1):
            expanded.append("0" * (width - len(str(number))) + str(number))
    return f"[{','.join(written)}]", expanded


@given(names, st.lists(ranges(), min_size=1, max_size=2), st.sampled_from(["", ".lan", "-a"]))
def test_ranges_expand_like_a_naive_loop(
    prefix: str, brackets: list[tuple[str, list[str]]], suffix: str
) -> None:
    expected = [
        prefix + "".join(numbers) + suffix
        for numbers in itertools.product(*(expanded for _, expanded in brackets))
    ]
    line = prefix + "".join(written for written, _ in brackets) + suffix
    try:
        found = parse_hosts(f"user@{line}:2222 3")
    except HostfileError:
        assert len(set(expected)) < len(expected)
    else:
        assert found == [Host(name, "user", 2222, 3) for name in expected]


@given(
    st.lists(st.ip_addresses(v=4), min_size=1, unique=True),
    st.none() | st.lists(st.integers(1, 4096), min_size=100, max_size=100),
)
def test_plain_scoop_reads_what_is_written(several: list[object], counts: list[int] | None) -> None:
    with warnings.catch_warnings():
        # Its source has invalid escape sequences, which warn whenever it is compiled.
        warnings.simplefilter("ignore")
        from scoop.utils import getHostsFromFile
    expected = [
        (str(address), 0 if counts is None else counts[index % 100])
        for index, address in enumerate(several)
    ]
    text = to_plain_scoop([Host(name, n_workers=count or None) for name, count in expected])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "hostfile"
        path.write_text(text)
        assert getHostsFromFile(str(path)) == expected
