"""The script: workers load it, as SCOOP's do, and the origin runs it."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import scoop

from scoopsci.pickling.replica import PROGRAM, replicas
from scoopsci.programs.pickling import find_line, share_names
from scoopsci.programs.stand_in import stand_in_for_scoop

__all__ = ["as_status", "load_script", "run_script"]


def load_script(
    script: str,
    folder: str,
    arguments: Sequence[str],
    constants: Mapping[str, object],
    *,
    patience_s: float,
    nice: int,
    path: Sequence[str],
    log_level: str,
) -> dict[str, int | None]:
    """Load the script in a worker, as SCOOP does.

    Parameters
    ----------
    script, folder : str
        The program, and the folder where it runs.
    arguments : sequence of str
        For the program.
    constants : mapping
        Attributes of `scoop` to set.
    patience_s : float
        Time to wait for the folder, which may still be being copied.
    nice : int
        Niceness of the process.
    path : sequence of str
        Where to search for modules first.
    log_level : str
        Of `scoop.logger`.

    Returns
    -------
    dict of str
        The names that the script defines and, for functions, the lines where they begin.

    Raises
    ------
    FileNotFoundError
        If the script is not on this host.
    """
    stand_in_for_scoop(is_origin=False, log_level=log_level)
    for name, value in constants.items():
        setattr(scoop, name, value)
    if nice:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    until_s = time.monotonic() + patience_s
    while not Path(folder).exists() and time.monotonic() < until_s:
        time.sleep(0.1)
    try:
        os.chdir(folder)
        script = str(Path(script).absolute())
        os.stat(script)
    except OSError as error:
        raise FileNotFoundError(
            f"{error.filename!r} is not on host {socket.gethostname()} ({error.strerror}); copy "
            "it there, or let --stage copy it"
        ) from None
    sys.path[:0] = path
    if path:
        known = [entry for entry in [os.environ.get("PYTHONPATH")] if entry]
        os.environ["PYTHONPATH"] = os.pathsep.join([*path, *known])
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    loader = SourceFileLoader("SCOOP_WORKER", script)  # whatever the script's suffix
    module = ModuleType(loader.name)
    module.__file__, module.__loader__ = script, loader
    sys.modules[loader.name] = module
    loader.exec_module(module)
    found = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    _make_main(module, found)
    lines = {name: find_line(value) for name, value in found.items()}
    share_names(lines)
    return lines


def _make_main(module: ModuleType, found: Mapping[str, object]) -> None:
    """Make the loaded script the worker's own program, for its children, too."""
    for value in found.values():
        if getattr(value, "__module__", None) == module.__name__:
            with contextlib.suppress(AttributeError, TypeError):  # an object without attributes
                value.__module__ = "__main__"
    module.__name__ = "__main__"
    sys.modules.update(dict.fromkeys(PROGRAM, module))
    replicas.adopt(module)


def run_script(path: str, arguments: Sequence[str]) -> int:
    """Run the script as Python does, and return its exit status."""
    sys.argv = [path, *arguments]
    sys.path.insert(0, str(Path(path).parent))
    module = ModuleType("__main__")
    module.__file__ = path
    # Workers know the script by the second name.
    sys.modules["__main__"] = sys.modules["SCOOP_WORKER"] = module
    try:
        code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
        exec(code, vars(module))
    except SystemExit as end:
        return as_status(end.code)
    except Exception as error:
        _show(error, path)
        return 1
    return 0


def as_status(code: object) -> int:
    """Return the exit status that Python derives from the argument of `sys.exit`."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _show(error: Exception, path: str) -> None:
    """Print the traceback, beginning in the script."""
    start = error.__traceback__
    while start is not None and start.tb_frame.f_code.co_filename != path:
        start = start.tb_next
    error = error.with_traceback(start or error.__traceback__)
    sys.excepthook(type(error), error, error.__traceback__)
