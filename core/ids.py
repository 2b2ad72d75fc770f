"""Identifiers: UUIDv7, so that rows sort by the moment they were made.

Layout from RFC 9562 section 5.7: 48 bits of Unix milliseconds, version, 12 + 62 random bits. An id is a name, never a secret.
"""

from __future__ import annotations

import os
import time
from uuid import UUID


def uuid7() -> UUID:
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
