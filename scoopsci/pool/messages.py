"""What passes over the broker's socket: frames, the first of which names the kind of a message.

Between a worker and the broker::

    REQUEST                                 the worker takes a task
    TASK, sender, number, *frames           here it is
    REPLY, sender, number, *frames          its outcome
    INITIALIZE, *frames                     to be run before the first task
    INITIALIZED, *frames                    its outcome
    FETCH, name                             asks for what is broadcast
    FETCHED, data                           or nothing, where there is no such thing

Between the driver, which sends on one connection and hears on another, and the broker::

    TASK, number, timeout, *frames          seconds as text, or nothing
    REPLY, number, *frames                  the outcome
    LOST, number, facts                     there is none: the worker ended, say
    CANCEL, number, force                   asks whether a task can be taken back
    CANCELLED, number, taken                the answer
    INITIALIZE, *frames                     for every worker
    INITIALIZED, worker, *frames            its outcome
    RESIZE, counts                          workers wanted on each host
    HOSTS, hosts                            what has become of them
    LONELY                                  there has been no worker for too long
    FAILED, reason                          the pool cannot go on
    PING, PONG                              the broker lives

Facts are JSON. The broker reads nothing else: frames pass through it as they are.
"""

from __future__ import annotations

from scoop.broker.brokerzmq import REPLY, REQUEST, TASK

__all__ = [
    "CANCEL",
    "CANCELLED",
    "FAILED",
    "FETCH",
    "FETCHED",
    "HOSTS",
    "INITIALIZE",
    "INITIALIZED",
    "LONELY",
    "LOST",
    "PING",
    "PONG",
    "REPLY",
    "REQUEST",
    "RESIZE",
    "SENDING",
    "TASK",
]

CANCEL, CANCELLED = b"X", b"XD"
INITIALIZE, INITIALIZED = b"IN", b"ID"
FETCH, FETCHED = b"FE", b"FD"
LOST, LONELY, FAILED = b"L", b"LO", b"F"
RESIZE, HOSTS = b"RS", b"H"
PING, PONG = b"PI", b"PO"

#: Before the driver's name: its connection for sending.
SENDING = b">"
