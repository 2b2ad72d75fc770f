"""Identifiers: UUIDv7, so that rows sort by the moment they were made.

Layout from RFC 9562 section 5.7: 48 bits of Unix milliseconds, version, 12 bits, 62 random bits. The 12 bits are the fraction of the
millisecond (section 6.2, method 3), and a process never gives an id below its last one: what one worker writes down within a millisecond
sorts as it was written. An id is a name, never a secret.
"""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

MILLISECOND_NS = 1_000_000
FRACTIONS = 1 << 12
TURNED_BACK = 1_000 * FRACTIONS  # a second: a clock set back further is followed, so that one wrong hour does not name the rest

_turn = threading.Lock()
_last = 0


def _forked() -> None:
    """The lock may have been held by a thread that the child does not have."""
    global _turn
    _turn = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def uuid7() -> UUID:
    moment = _next_moment()
    milliseconds, fraction = divmod(moment, FRACTIONS)
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64
    value |= 0x2 << 62 | int.from_bytes(os.urandom(8), "big") >> 2
    return UUID(int=value)


def _next_moment() -> int:
    """Now in 4096ths of a millisecond, above every one given before."""
    global _last
    milliseconds, rest = divmod(time.time_ns(), MILLISECOND_NS)
    now = milliseconds * FRACTIONS + rest * FRACTIONS // MILLISECOND_NS
    with _turn:
        _last = now if now > _last or now < _last - TURNED_BACK else _last + 1
        return _last
