"""Lines of bytes from a stream, each of bounded length. One that is too long is thrown away up to its end, and said to have been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

CHUNK = 1 << 16


async def lines(stream: asyncio.StreamReader, *, longest: int) -> AsyncIterator[bytes | None]:
    """None stands for a line that was too long. What comes after the last line end is half a line, and nobody's message."""
    kept: list[bytes] = []
    length, too_long = 0, False
    while chunk := await stream.read(CHUNK):
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            length += len(piece)
            too_long = too_long or length > longest
            yield None if too_long else b"".join([*kept, piece])
            kept, length, too_long = [], 0, False
        length += len(rest)
        if length > longest:
            kept, too_long = [], True
        elif rest:
            kept.append(rest)
