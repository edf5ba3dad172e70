"""Wheels of what is installed here, and the versions that hosts get."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from hashlib import sha256
from importlib.metadata import metadata, version
from pathlib import Path

import pytest

import scoopsci
from scoopsci import InstallError
from scoopsci.deployment.wheels import (
    PACKED,
    PIN,
    find_needs,
    find_pins,
    gather_wheels,
    hash_wheels,
    pack_wheel,
)


@pytest.mark.parametrize("name", PACKED)
def test_a_wheel_holds_what_it_records(name: str, tmp_path: Path) -> None:
    wheel = pack_wheel(name, tmp_path)
    assert wheel.name == f"{name}-{version(name)}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (record,) = [name for name in names if name.endswith("/RECORD")]
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
        assert [row[0] for row in rows] == names
        for file, digest, n_bytes in rows[:-1]:
            data = archive.read(file)
            expected = urlsafe_b64encode(sha256(data).digest()).decode().rstrip("=")
            assert (digest, int(n_bytes)) == (f"sha256={expected}", len(data))
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_hash_is_of_what_wheels_hold(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    wheel, later = pack_wheel("scoopsci", tmp_path), pack_wheel("scoopsci", tmp_path / "later")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(later, "w") as new:
        for file in reversed(old.infolist()):
            new.writestr(zipfile.ZipInfo(file.filename), old.read(file))
    first = hash_wheels([wheel])
    assert later.read_bytes() != wheel.read_bytes()
    assert hash_wheels([later]) == first
    with zipfile.ZipFile(later, "a") as new:
        new.writestr("scoopsci/more.py", "")
    assert hash_wheels([later]) != first
    assert hash_wheels([wheel, wheel]) != first


def test_our_wheel_can_be_installed(tmp_path: Path) -> None:
    wheel = pack_wheel("scoopsci", tmp_path)
    target = tmp_path / "target"
    options = ["--no-deps", "--no-index", "--no-compile", "--target", str(target)]
    install = [sys.executable, "-m", "pip", "--quiet", "install", *options, str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=60)
    ours = Path(scoopsci.__file__).parent
    kept = {path.relative_to(ours) for path in ours.rglob("*.py")} | {Path("py.typed")}
    kept |= {Path("report.html"), *(Path("dashboard", f"page.{k}") for k in ("html", "css", "js"))}
    (theirs,) = target.glob("scoopsci")
    assert {path.relative_to(theirs) for path in theirs.rglob("*") if path.is_file()} == kept
    assert (target / "bin" / "scoopsci").exists()
    found = "from importlib import metadata; print(metadata.metadata('scoopsci'))"
    done = subprocess.run(
        [sys.executable, "-c", found], cwd=target, env={"PYTHONPATH": str(target)},
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == str(metadata("scoopsci")).strip()


def test_pins_are_what_is_installed_here() -> None:
    pins = find_pins()
    assert {"scoopsci", "numpy", "pytest", "markdown-it-py"} <= set(pins)
    assert all(pin == f"{name}=={version(name)}" for name, pin in pins.items())


def test_needs_are_transitive_and_exclude_extras() -> None:
    needs = find_needs("scoopsci", find_pins())
    direct = "scoopsci scoop pyzmq greenlet numpy scipy cloudpickle loky psutil threadpoolctl rich"
    assert {*direct.split(), "markdown-it-py", "mdurl", "pygments"} <= needs
    assert not needs & {"pytest", "hypothesis", "ruff", "ipykernel", "pip"}


@pytest.mark.parametrize(
    ("pin", "fits"),
    [
        ("numpy==2.4.6", True),
        ("a.b-c_d==1.0rc1.post2.dev3+cpu.1", True),
        ("distro-info==0.23ubuntu1", False),
        ("==1.0", False),
        ("name==", False),
        ("name==1.0\n--index-url=elsewhere", False),
    ],
)
def test_versions_that_pip_rejects_are_not_pinned(pin: str, fits: bool) -> None:
    assert bool(PIN.fullmatch(pin)) is fits


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def test_a_folder_without_wheels(tmp_path: Path, offline: None) -> None:
    with pytest.raises(InstallError, match=rf"{tmp_path} must have .*==.*pip wheel.*--wheels"):
        gather_wheels(tmp_path).__enter__()


@pytest.mark.parametrize("source", ["wheels", "requirements"])
def test_missing_sources(source: str) -> None:
    with pytest.raises(ValueError, match=rf"{source} must be .*, got '/not/there'"):
        gather_wheels(**{source: "/not/there"}).__enter__()
