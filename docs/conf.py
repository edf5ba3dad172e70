"""Configuration of Sphinx for `make docs`."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from scoopsci.commands import add_commands

project = "scoopsci"
author = "The scoopsci developers"
copyright = author
release = importlib.metadata.version("scoopsci")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"scoopsci {release}"
html_show_sphinx = False
html_copy_source = False

myst_heading_anchors = 3

# Single backticks in docstrings refer to objects. References to scoopsci must resolve; those to
# other libraries would need their inventories.
default_role = "py:obj"
nitpick_ignore_regex = [(r"py:.*", r"(?!scoopsci\b).*")]

autodoc_typehints = "none"  # the docstrings have them
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True

os.environ["COLUMNS"] = "88"  # line width of the commands' help


class CommandHelp(Directive):
    """A section for each command, with the help text of its parser."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        commands = argparse.ArgumentParser(prog="scoopsci").add_subparsers()
        add_commands(commands)
        listed = {action.dest for action in commands._choices_actions}
        shown = [item for item in commands.choices.items() if item[0] in listed]
        return [node for item in shown for node in _describe(*item)]


def _describe(name: str, parser: argparse.ArgumentParser) -> list[nodes.Node]:
    section = nodes.section(ids=[nodes.make_id(parser.prog)], names=[parser.prog])
    text = parser.format_help().rstrip()
    section += [nodes.title("", parser.prog), nodes.literal_block(text, text, language="text")]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for item in action.choices.items():
                section += _describe(*item)
    return [section]


def mend_docstring(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Convert a numpydoc docstring to a form that napoleon supports."""
    text = "\n".join(lines)
    # As footnotes, references would be numbered consecutively through each page.
    text = re.sub(r"\.\. \[(\d+)\]", r"\1.", text)
    text = re.sub(r"\[(\d+)\]_", r"[\1]", text)
    # It does not support several attributes on one line.
    shared = re.compile(r"^(\w+), ((?:\w+, )*\w+) (: .*(?:\n +.*)+)", re.MULTILINE)
    while "\nAttributes\n" in text and shared.search(text):
        text = shared.sub(r"\1 \3\n\2 \3", text)
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> None:
    """Register both with Sphinx."""
    app.add_directive("command-help", CommandHelp)
    app.connect("autodoc-process-docstring", mend_docstring, priority=400)  # before napoleon
