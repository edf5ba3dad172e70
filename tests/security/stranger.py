"""A stranger on the broker's socket, of the same user: its messages must do no harm."""

from __future__ import annotations

import contextlib
import pickle
import random
import secrets
import socket
import sys
import time
from collections.abc import Iterator

import zmq

SCOOP_KINDS = (b"I", b"RQ", b"T", b"RP", b"S", b"V", b"B", b"SR", b"SA", b"SD", b"SU", b"C")
OWN_KINDS = (
    b"X",
    b"XD",
    b"IN",
    b"ID",
    b"FE",
    b"FD",
    b"L",
    b"LO",
    b"F",
    b"RS",
    b"H",
    b"PI",
    b"PO",
    b"ST",
)
IDENTITIES = (None, b"1", b"driver", b"broker", b"127.0.0.1:1", b"0" * 32, b"f" * 32, b"\xff" * 255)
OVERSIZED_BYTES = 200_000_000
N_RANDOM = 300


class Harm:
    """Creates a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self._path, "w")


def make_messages(mark: str, rng: random.Random) -> Iterator[list[bytes]]:
    harm = pickle.dumps(Harm(mark))
    for kind in (*SCOOP_KINDS, *OWN_KINDS):
        for n_frames in range(7):
            yield [kind] + [harm] * n_frames
            yield [kind] + [b""] * n_frames
        yield [kind, (0).to_bytes(8, "big"), b"1"]
        yield [kind, b"[0, 0, 0]"]
        yield [kind, b"../broker"]
        yield [kind, b"not a number", b"not a number", rng.randbytes(100)]
    for _ in range(N_RANDOM):
        n_frames = rng.randrange(1, 8)
        yield [rng.randbytes(rng.choice((0, 1, 2, 33, 5_000))) for _ in range(n_frames)]


def speak(path: str, identity: bytes | None, messages: Iterator[list[bytes]]) -> None:
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        if identity is not None:
            dealer.setsockopt(zmq.IDENTITY, identity)
        dealer.setsockopt(zmq.LINGER, 5_000)
        dealer.connect(f"ipc://{path}")
        for message in messages:
            dealer.send_multipart(message)


def speak_raw(path: str, rng: random.Random) -> None:
    """Send bytes that are not ZeroMQ's, are cut short, or announce sizes that never arrive."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    ready = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
    huge = b"\x02" + (1 << 62).to_bytes(8, "big")
    for data in (b"", b"GET / HTTP/1.0\r\n\r\n", greeting, greeting[:20], greeting + ready + huge,
                 greeting + huge, greeting + ready + b"\x01\x05ab",
                 *(rng.randbytes(1_000) for _ in range(20)),
                 *(greeting + ready + rng.randbytes(1_000) for _ in range(20))):  # fmt: skip
        with socket.socket(socket.AF_UNIX) as raw, contextlib.suppress(OSError):
            raw.settimeout(5)
            raw.connect(path)
            raw.sendall(data)
            time.sleep(0.01)


def main(path: str, mark: str, seed: str) -> None:
    rng = random.Random(int(seed))
    for identity in (*IDENTITIES, secrets.token_hex(16).encode()):
        speak(path, identity, make_messages(mark, rng))
    speak_raw(path, rng)
    oversized = bytes(OVERSIZED_BYTES)
    speak(path, None, iter([[b"T", b"1", b"", oversized], [oversized], [b"RP", oversized]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
