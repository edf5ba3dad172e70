"""The other module."""

import first

OTHER = first.Part(peer=first.ONE)
first.ONE.peer = OTHER


def look():
    one = first.ONE
    values = [one.value, OTHER.value, OTHER.peer.value, one.peer.value]
    return values, OTHER.peer is one, one.peer is OTHER
