"""A build backend that needs nothing but Python: its wheels hold a package, or a way to it.

See PEP 517 and PEP 660. The package is the folder ``shapes`` beside the project's file.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

NAME, VERSION = "shapes_of_the_user", "1.0"


def build_wheel(
    wheel_directory: str, config_settings: object = None, metadata_directory: object = None
) -> str:
    """Build a wheel with the package."""
    files = {path.as_posix(): path.read_text() for path in Path("shapes").rglob("*.py")}
    return _write(wheel_directory, files)


def build_editable(
    wheel_directory: str, config_settings: object = None, metadata_directory: object = None
) -> str:
    """Build a wheel with a line of the path that leads to the package."""
    return _write(wheel_directory, {f"{NAME}.pth": os.getcwd()})


def _write(folder: str, files: dict[str, str]) -> str:
    info = f"{NAME}-{VERSION}.dist-info"
    name = f"{NAME}-{VERSION}-py3-none-any.whl"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(Path(folder, name), "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)
    return name
