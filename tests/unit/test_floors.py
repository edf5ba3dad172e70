"""The rooms of the package, as CONTRIBUTING shows them, are those of the contract."""

import ast
import pkgutil
import re
from pathlib import Path

import scoopsci
from tests.conftest import REPOSITORY
from tests.floors import PICTURE, draw, read_floors


def test_the_picture_is_drawn_from_the_contract() -> None:
    assert PICTURE.read_text("utf-8") == draw(read_floors()), "python -m tests.floors draws it"
    assert f"]({PICTURE.relative_to(REPOSITORY)})" in read_contributing()


def test_every_room_has_its_floor_and_its_line() -> None:
    (package,) = map(Path, scoopsci.__path__)
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    rooms |= {path.stem for path in package.glob("*.py")} - {"__init__", "__main__"}
    assert {room for floor in read_floors() for room in floor} == rooms
    table = re.findall(r"^\| (`.*`) \| ", read_contributing(), re.MULTILINE)
    told = [name for row in table for name in re.findall(r"`(\w+)(?:\.py|/)`", row)]
    assert sorted(told) == sorted(rooms)


def test_every_room_describes_its_modules() -> None:
    (package,) = map(Path, scoopsci.__path__)
    for room in package.rglob("*/__init__.py"):
        described = ast.get_docstring(ast.parse(room.read_text("utf-8"))) or ""
        named = set(re.findall(r"(?<!`)`([a-z_]+)`(?!`)", described))
        modules = {module.name for module in pkgutil.iter_modules([str(room.parent)])}
        assert named == modules, room


def read_contributing() -> str:
    return (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
