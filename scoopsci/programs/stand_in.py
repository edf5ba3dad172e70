"""Replaces SCOOP's modules by ours."""

from __future__ import annotations

import logging
import os
import socket
import sys

import scoop

from scoopsci.programs import futures, shared

__all__ = ["stand_in_for_scoop"]


def stand_in_for_scoop(*, is_origin: bool, log_level: str) -> None:
    """Let a program that imports SCOOP's modules get ours, from now on.

    Parameters
    ----------
    is_origin : bool
        Whether this process runs the program; otherwise it is a worker.
    log_level : str
        Level of `scoop.logger`.
    """
    sys.modules["scoop.futures"] = scoop.futures = futures
    sys.modules["scoop.shared"] = scoop.shared = shared
    scoop.IS_RUNNING, scoop.IS_ORIGIN = True, is_origin
    scoop.logger = logging.getLogger("scoop")
    scoop.logger.setLevel(log_level)
    scoop.logger.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s %(message)s"))
    scoop.logger.handlers = [handler]
    scoop.worker = f"{socket.gethostname()}:{os.getpid()}".encode()
