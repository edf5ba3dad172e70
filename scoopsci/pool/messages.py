"""What passes over the broker's socket.

The first frame of a message, its head, names the kind in two bytes, and mostly a task::

    kind task details

A task is named by its sender, a name of 32 bytes, and a number of 8. Between a worker and the
broker::

    REQUEST pid                  the worker is ready, and takes a task
    REQUEST n_answers            its task waits: it takes another one
    TASK sender number, *frames  here it is
    REPLY sender number n_answers, *frames
                                 its outcome; and the worker takes another one, unless it has
                                 tasks to go on with, and says -1
    RUNS sender number           of several tasks it goes on with this one, not the newest
    INITIALIZE, *frames          to be run before the first task
    INITIALIZED, *frames         its outcome
    FETCH name                   asks for what is broadcast
    FETCHED, data                or nothing, where there is no such thing

Workers may submit, too: then they are senders, as the driver is, and what the broker tells them of
their tasks are its answers. A request holds only until the next answer, with which the worker may
have other things to do: it names the number of answers that the worker has had, and is void if
there have been more.

Between a sender and the broker::

    TASK number timeout, *frames seconds as text, or nothing
    REPLY number, *frames        the outcome
    LOST number facts            there is none: the worker ended, say
    CANCEL number force          asks whether a task can be taken back
    CANCELLED number taken       the answer
    SET name, *frames            names a value for everybody, once and for all
    VARIABLE owner name, *frames the value, to everybody; to who sets it again, that of the owner

Between the driver and the broker alone::

    INITIALIZE, *frames          for every worker
    INITIALIZED, *frames         its outcome
    RESIZE counts                workers wanted on each host
    STATUS number                asks how the pool is
    STATUS number status         the answer: ``hosts``, each with its workers, ``tasks``, and the
                                 log of ``losses``; see `scoopsci.pool.status`
    HOSTS hosts                  what has become of them
    LONELY                       there has been no worker for too long
    FAILED reason                the pool cannot go on
    PING, PONG                   the broker lives
    OUTPUT stream, text          of a worker's program

Facts, counts, hosts and status are JSON. The broker reads heads alone: frames pass through it as
they are.
"""

from __future__ import annotations

from scoop.broker import brokerzmq

TASK, REQUEST, REPLY = (
    kind.ljust(2) for kind in (brokerzmq.TASK, brokerzmq.REQUEST, brokerzmq.REPLY)
)
CANCEL, CANCELLED = b"CA", b"CD"
INITIALIZE, INITIALIZED = b"IN", b"ID"
FETCH, FETCHED = b"FE", b"FD"
LOST, LONELY, FAILED = b"LS", b"LO", b"FA"
RESIZE, HOSTS = b"RS", b"HO"
PING, PONG = b"PI", b"PO"
SET, VARIABLE, OUTPUT = b"SE", b"VA", b"OU"
RUNS, STATUS = b"RU", b"ST"

#: In place of a number of answers: takes no other task now.
BUSY = b"-1"

NAME_BYTES, NUMBER_BYTES = 32, 8
KEY_BYTES = NAME_BYTES + NUMBER_BYTES
