"""A module with sets of text, which have another order in each process."""

import sys

TAGS = {"plain", "text", "bold", "wide", "long", "short"}
BY_KIND = {"fonts": [{"serif", "mono", "script", "sans"}, ({1, "red", "green"}, frozenset("abc"))]}
HOLDING = {"all": BY_KIND, "some": [TAGS]}


class Words(set):
    pass


class Font:
    known = {"traits": {"serif", "mono", "script", "sans"}}  # noqa: RUF012

    def __init__(self):
        self.traits = {"serif", "mono", "script", "sans"}
        self.words = Words(["red", "green", "blue"])


FONT = Font()


def find(item, allowed={"serif", "mono", "script", "sans"}):  # noqa: B006
    return item in allowed


def list_made():
    defaults = find, find.__defaults__[0]
    return TAGS, BY_KIND, HOLDING, FONT, FONT.traits, Font.known, *defaults


sys.made_by_helper = list_made()


def are_those():
    return [one is other for one, other in zip(list_made(), sys.made_by_helper, strict=True)]
