"""What a code object says and reads, without its docstring and its line numbers."""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import opcode
import types
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

__all__ = ["UNREAD", "Reading", "read_code"]

CONSTANT = frozenset(opcode.hasconst)
EXTENDED_ARG, LOAD_GLOBAL = opcode.EXTENDED_ARG, opcode.opmap["LOAD_GLOBAL"]

#: Of the flags, those that say how a function is called; others tell of docstrings and nesting.
CALLING = (
    inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
)  # fmt: skip

#: Names in a class body that change with its text and place alone.
UNREAD = frozenset({"__doc__", "__firstlineno__", "__static_attributes__"})


class Reading(NamedTuple):
    """What a code object, with those inside it, says and reads.

    Attributes
    ----------
    text : str
        A description, equal for equal code.
    global_names : frozenset of str
        Names of the globals that it reads.
    names : frozenset of str
        Names of all globals and attributes.
    words : frozenset of str
        Names of variables and keywords, and constants that are text.
    """

    text: str
    global_names: frozenset[str]
    names: frozenset[str]
    words: frozenset[str]


@functools.lru_cache(maxsize=1024)
def read_code(code: types.CodeType) -> Reading:
    """Read a code object.

    Parameters
    ----------
    code : code
        Of a function, a class body, or a program.
    """
    is_function = bool(code.co_flags & inspect.CO_OPTIMIZED)
    steps, constants, global_names = _read_function(code) if is_function else _read_body(code)
    called = code.co_flags & CALLING, code.co_argcount, code.co_posonlyargcount
    said = (
        *(steps, code.co_exceptiontable.hex(), *called, code.co_kwonlyargcount),
        *(code.co_names if is_function else (), code.co_varnames, code.co_freevars),
        [_as_text(constant) for constant in constants],
    )
    inner = [read_code(each) for each in constants if isinstance(each, types.CodeType)]
    return Reading(
        repr(said),
        frozenset(global_names).union(*(each.global_names for each in inner)),
        frozenset(code.co_names).union(*(each.names for each in inner)),
        frozenset(code.co_varnames).union(_find_words(constants), *(each.words for each in inner)),
    )


def _read_function(code: types.CodeType) -> tuple[Any, list[Any], set[str]]:
    """Return instructions, constants in the order of their use, and names of globals.

    A docstring is a constant that no instruction loads; it shifts the numbers of the others.
    """
    units = bytearray(code.co_code)
    used: dict[int, int] = {}
    loads, global_names, extended = [], set(), 0
    for i in range(0, len(units), 2):
        argument = units[i + 1] | extended
        extended = argument << 8 if units[i] == EXTENDED_ARG else 0
        if units[i] in CONSTANT:
            loads.append(used.setdefault(argument, len(used)))
            units[i + 1] = 0
        elif units[i] == LOAD_GLOBAL:
            global_names.add(code.co_names[argument >> 1])
    return (units.hex(), loads), [code.co_consts[number] for number in used], global_names


def _read_body(code: types.CodeType) -> tuple[Any, list[Any], set[str]]:
    """Return the same of a class body, which stores its docstring, or of a program."""
    steps: list[tuple[str, str]] = []
    constants: list[Any] = []
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME" and step.argval in UNREAD:
            steps.pop()
            constants.pop()
        elif step.opcode in CONSTANT:
            steps.append((step.opname, ""))
            constants.append(step.argval)
        else:
            steps.append((step.opname, str(step.argval)))
    return steps, constants, set(code.co_names)


def _as_text(constant: Any) -> str:
    """Describe a constant: equal in every process, unlike the order of a set."""
    if isinstance(constant, types.CodeType):
        return hashlib.sha256(read_code(constant).text.encode()).hexdigest()
    if isinstance(constant, tuple):
        return f"({', '.join(map(_as_text, constant))})"
    if isinstance(constant, frozenset):
        return f"{{{', '.join(sorted(map(_as_text, constant)))}}}"
    if type(constant) is int:
        return f"int {constant:x}"  # decimal digits are limited
    return repr(constant)


def _find_words(constants: Iterable[Any]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from _find_words(constant)
