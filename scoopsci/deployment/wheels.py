"""The wheels of an environment like this one, for hosts without a network of their own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from scoopsci.errors import InstallError

__all__ = ["check_sources", "find_needs", "find_pins", "gather_wheels", "hash_wheels", "pack_wheel"]

#: Packed from the installation here: ours may be editable, the index has scoop as source code
#: only, and a host may lack pip.
PACKED = ("scoopsci", "scoop", "pip")

#: Packages that hosts need, with their requirements; numba, of the extra `fast`, if it is here.
ROOTS = ("scoopsci", "numba")

#: What pip accepts as a constraint; Debian's own packages have versions like 0.23ubuntu1.
PIN = re.compile(r"\w[\w.-]*==[0-9.]+((a|b|rc|\.post|\.dev)[0-9]+)*(\+[\w.]+)?")


def find_pins() -> dict[str, str]:
    """Return the packages installed here: names, and pip's ``name==version``."""
    pins: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = _normalize(distribution.name or "")
        pins.setdefault(name, f"{name}=={distribution.version}")  # the first counts, as in Python
    return {name: pin for name, pin in sorted(pins.items()) if PIN.fullmatch(pin)}


def find_needs(name: str, pins: Mapping[str, str]) -> set[str]:
    """Return the packages installed here that a package needs, extras excluded."""
    needs, unread = {name}, [name]
    while unread:
        for line in importlib.metadata.requires(unread.pop()) or ():
            needed, _, marker = line.partition(";")
            needed = _normalize(re.split(r"[^\w.-]", needed, maxsplit=1)[0])
            other = "extra" in marker or "pypy" in marker.lower()  # another interpreter's
            if not other and needed in pins and needed not in needs:
                needs.add(needed)
                unread.append(needed)
    return needs


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pack_wheel(name: str, folder: Path) -> Path:
    """Make a wheel of an installed pure-Python package, named like its only module.

    An `InstallError` is raised if the package is not installed.

    Parameters
    ----------
    name, folder : str, Path
        The package, and where to write the wheel.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise InstallError(f"{name} must be installed here; try python -m ensurepip, and pip")
    (package,) = map(Path, spec.submodule_search_locations)
    distribution = importlib.metadata.distribution(name)
    info = f"{name}-{distribution.version}.dist-info"
    contents = {
        f"{name}/{path.relative_to(package)}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    # In a source folder, it has its former name.
    metadata = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    contents[f"{info}/METADATA"] = metadata.encode()
    contents[f"{info}/entry_points.txt"] = (
        distribution.read_text("entry_points.txt") or ""
    ).encode()
    purity = "Wheel-Version: 1.0\nGenerator: scoopsci\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents[f"{info}/WHEEL"] = purity.encode()
    lines = [f"{file},{_hash(data)},{len(data)}\n" for file, data in contents.items()]
    contents[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    wheel = folder / f"{name}-{distribution.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in contents.items():
            archive.writestr(file, data)
    return wheel


def _hash(data: bytes) -> str:
    return f"sha256={urlsafe_b64encode(sha256(data).digest()).decode().rstrip('=')}"


def hash_wheels(wheels: Sequence[Path]) -> str:
    """Return 12 hexadecimal digits of a hash of wheels' contents, which no build time changes."""
    digest = sha256()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            files = sorted((file.filename, file.file_size, file.CRC) for file in archive.infolist())
        digest.update(f"{wheel.name} {files}".encode())
    return digest.hexdigest()[:12]


def check_sources(
    wheels: str | os.PathLike[str] | None, requirements: str | os.PathLike[str] | None
) -> None:
    """Raise `ValueError` if the folder or the file does not exist."""
    if wheels is not None and not Path(wheels).is_dir():
        raise ValueError(f"wheels must be a folder that exists, got {os.fspath(wheels)!r}")
    if requirements is not None and not os.access(requirements, os.R_OK):
        raise ValueError(
            f"requirements must be a file that can be read, got {os.fspath(requirements)!r}"
        )


@contextmanager
def gather_wheels(
    wheels: str | os.PathLike[str] | None = None,
    requirements: str | os.PathLike[str] | None = None,
) -> Iterator[list[Path]]:
    """Gather the wheels of scoopsci, its requirements and numba, in the versions installed here.

    Parameters
    ----------
    wheels : path-like, optional
        A folder to take them from; by default they come from pip's index.
    requirements : path-like, optional
        A requirements file of further packages.

    Yields
    ------
    list of Path
        The wheels, in a temporary folder.

    Raises
    ------
    ValueError
        If the folder or the file does not exist.
    InstallError
        If a wheel cannot be obtained.
    """
    check_sources(wheels, requirements)
    with tempfile.TemporaryDirectory(prefix="scoopsci-") as scratch:
        packed = Path(scratch, "packed")
        packed.mkdir()
        ours = [str(pack_wheel(name, packed)) for name in PACKED]
        found = find_pins()
        # By name, although ours require them: so pip names the one that is missing.
        roots = [name for name in ROOTS if name in found]
        needed = set().union(*(find_needs(name, found) for name in roots)) - set(PACKED)
        needs = [found.pop(name) for name in sorted(needed)]
        pins = Path(scratch, "pins")
        pins.write_text("\n".join(found.values()))
        folder = Path(scratch, "wheels")
        options = ["--only-binary", ":all:", "--constraint", str(pins), "--wheel-dir", str(folder)]
        if wheels is not None:
            options += ["--no-index", "--find-links", os.fspath(wheels)]
        if requirements is not None:
            options += ["--requirement", os.fspath(requirements)]
        _collect([*options, *needs, *ours], wheels)
        yield sorted(folder.iterdir())


def _collect(arguments: list[str], wheels: str | os.PathLike[str] | None) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "wheel", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        found = (errors or [done.stderr.strip()])[0].removeprefix("ERROR: ")
        where = "pip's index" if wheels is None else os.fspath(wheels)
        raise InstallError(
            f"{where} must have wheels of all requirements, in the versions installed here, but: "
            f"{found.rstrip('.')}; check that pip reaches its index, or gather the wheels on a "
            "machine where it does, by python -m pip wheel, and name their folder by --wheels"
        )
