"""The messages on the broker's socket.

The first frame of a message, its head, names the kind in two bytes, and usually a task::

    kind task details

A task is named by its sender, a name of 32 bytes, and a number of 8. Between a worker and the
broker::

    REQUEST pid                  the worker is ready, and accepts a task
    REQUEST n_answers            its task waits: it accepts another one
    TASK sender number, *frames  the task
    REPLY sender number n_answers, *frames
                                 its outcome; the worker accepts another one, unless it has
                                 tasks to continue, and sends -1
    RUNS sender number           of several tasks it continues this one, not the newest
    INITIALIZE, *frames          to be run before the first task
    INITIALIZED, *frames         its outcome
    FETCH name                   asks for a broadcast
    FETCHED, data                its data, or nothing if it does not exist

Workers may submit, too: then they are senders, as the driver is, and the broker's messages about
their tasks are its answers. A request is valid only until the next answer, which may give the
worker other work: it names the number of answers that the worker has received, and is void if more
have been sent.

Between a sender and the broker::

    TASK number timeout, *frames a task; seconds as text, or nothing
    REPLY number, *frames        the outcome
    LOST number facts            there is no outcome: the worker ended, for example
    CANCEL number force          asks to cancel a task
    CANCELLED number taken       whether it has been cancelled
    SET name, *frames            sets a named value, which cannot be changed
    VARIABLE owner name, *frames the value, for all peers; for a second setter, the owner's value

Between the driver and the broker alone::

    INITIALIZE, *frames          for every worker
    INITIALIZED, *frames         its outcome
    RESIZE counts                workers wanted on each host
    STATUS number                asks for the status of the pool
    STATUS number status         the answer: ``hosts``, each with its workers, ``tasks``, and the
                                 log of ``losses``; see `scoopsci.pool.status`
    HOSTS hosts                  their present state
    LONELY                       there has been no worker for too long
    FAILED reason                the pool cannot continue
    PING, PONG                   the broker is alive
    OUTPUT stream, text          output of a worker's program

Facts, counts, hosts and status are JSON. The broker reads heads only, and passes frames on
unchanged.
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

#: Instead of a number of answers: accepts no other task now.
BUSY = b"-1"

NAME_BYTES, NUMBER_BYTES = 32, 8
KEY_BYTES = NAME_BYTES + NUMBER_BYTES
