"""The examples in the docstrings run, and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import scoopsci

pytestmark = pytest.mark.usefixtures("fonts")

MODULES = [
    "scoopsci",
    *(
        module.name
        for module in pkgutil.walk_packages(scoopsci.__path__, "scoopsci.")
        if not module.name.endswith(".__main__")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(name)
    n_failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert not n_failed, capsys.readouterr().out
